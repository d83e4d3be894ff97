r"""Losses of a network q(x) = softmax(z) for labels that are not certain.

Bootstrapped losses: Reed, Lee, Anguelov, Szegedy, Erhan, Rabinovich, *Training deep neural networks on noisy labels
with bootstrapping*, arXiv 1412.6596. The crowd layer: Rodrigues and Pereira, *Deep learning from crowds*, AAAI 2018;
the joint likelihood: Raykar et al., *Learning from crowds*, JMLR 11, 2010.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deem_crowd.exceptions import DataError, FormError, ParameterError

Reduction = Literal["mean", "sum", "none"]
_SMALLEST = 1e-12
_USUAL = {"soft": 0.95, "hard": 0.8, "reconstruction": 0.005}
_NOISE_ON_THE_START = 4.0
"""Log-odds of a label itself in the noise table that the reconstruction loss starts from."""


class BootstrapLoss(nn.Module):
    r"""Cross-entropy that trusts the network as well as the label.

    With t the label (one-hot, or a distribution) and q the prediction, both of K classes,

    - ``kind='soft'``: −Σ_k [β t_k + (1 − β) q_k] log q_k. The gradient runs through q on both sides: were it stopped
      inside the target, the loss would be β times cross-entropy.
    - ``kind='hard'``: −Σ_k [β t_k + (1 − β) 1(k = argmax q)] log q_k.
    - ``kind='reconstruction'``: −Σ_k t_k log Σ_j P[k, j] q_j + β ‖x − V q‖², with a noise table P and a decoder V that
      are learned: they are parameters of the loss, and belong into the optimiser.

    Parameters
    ----------
    kind : {'soft', 'hard', 'reconstruction'}
    beta : float, optional
        β: what the label counts, in [0, 1]; for 'reconstruction' the weight of the second term, ≥ 0. If omitted 0.95,
        0.8 and 0.005. β = 1 is cross-entropy for the first two. It may be lowered during training
        (``loss.beta = 0.5``), after some epochs with 1.
    n_classes, n_features : int, optional
        K and p, for 'reconstruction'.
    reduction : {'mean', 'sum', 'none'}
        Over tasks.

    Raises
    ------
    ParameterError
    """

    def __init__(
        self,
        kind: str = "soft",
        beta: float | None = None,
        *,
        n_classes: int | None = None,
        n_features: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        if kind not in _USUAL:
            raise ParameterError(f"kind={kind!r} is not one of {', '.join(map(repr, _USUAL))}.")
        _check_reduction(reduction)
        value = _USUAL[kind] if beta is None else float(beta)
        if not (value >= 0 and (value <= 1 or kind == "reconstruction")):
            limits = ">= 0" if kind == "reconstruction" else "in [0, 1]"
            raise ParameterError(
                f"beta={beta!r} is not allowed: for kind={kind!r} it is a number {limits}."
            )
        self.kind, self.beta, self.reduction = kind, value, reduction
        if kind == "reconstruction":
            if not n_classes or not n_features:
                raise ParameterError(
                    "kind='reconstruction' needs n_classes and n_features, both integers >= 1."
                )
            self.noise = nn.Parameter(_NOISE_ON_THE_START * torch.eye(n_classes))
            self.decoder = nn.Parameter(torch.zeros(n_features, n_classes))

    def forward(self, logits: Tensor, target: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the loss.

        Parameters
        ----------
        logits : shape (N, K)
            z.
        target : integers, shape (N,), or distributions, shape (N, K)
        x : shape (N, p), optional
            Features, for 'reconstruction'.

        Raises
        ------
        FormError
        """
        log_q = torch.log_softmax(_two_axes(logits), 1)
        t = _distribution(target, log_q)
        if self.kind == "reconstruction":
            if x is None:
                raise FormError(
                    "kind='reconstruction' needs the features: loss(logits, target, x)."
                )
            q = log_q.exp()
            noisy = q @ torch.softmax(self.noise, 0).T
            lost = (x.flatten(1) - q @ self.decoder.T).square().sum(1)
            values = -(t * noisy.clamp_min(_SMALLEST).log()).sum(1) + self.beta * lost
        else:
            if self.kind == "soft":
                own = log_q.exp()
            else:
                own = nn.functional.one_hot(log_q.argmax(1), log_q.shape[1]).to(log_q.dtype)
            values = -((self.beta * t + (1 - self.beta) * own) * log_q).sum(1)
        return _reduced(values, self.reduction)

    def extra_repr(self) -> str:
        """Return what ``repr`` shows."""
        return f"kind={self.kind!r}, beta={self.beta:g}"


class CrowdLoss(nn.Module):
    r"""Minus the log-likelihood of answers, each seen through its worker's table.

    With T_i[l, h] = p(worker i answers l | label h) and O(n) the workers who answered task n,

    - ``kind='joint'``: −log Σ_h q_h Π_{i∈O} T_i[A_i, h]: the likelihood of DEEM's model with q(x) in the place of the
      class prior;
    - ``kind='marginal'``: −Σ_{i∈O} log Σ_h T_i[A_i, h] q_h: the crowd layer, which takes the answers to a task for
      independent observations. The two are equal where tasks have one answer.

    Parameters
    ----------
    confusion : array or Tensor, shape (D, K, K), as [worker, answer, label]
        ``DEEM.confusion_``. A fitted DEEM or DEEMAggregator is taken as well: workers then stand in its order.
    kind : {'joint', 'marginal'}
    learn : bool
        Whether the tables are parameters, to be trained with the network from this start.
    reduction : {'mean', 'sum', 'none'}
        Over tasks.

    Raises
    ------
    ParameterError, FormError, DataError
    """

    def __init__(
        self,
        confusion: Any,
        kind: str = "joint",
        *,
        learn: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        if kind not in ("joint", "marginal"):
            raise ParameterError(f"kind={kind!r} is not one of 'joint', 'marginal'.")
        _check_reduction(reduction)
        self.kind, self.reduction = kind, reduction
        logits = torch.from_numpy(_tables(confusion)).clamp_min(_SMALLEST).log()
        if learn:
            self.logits = nn.Parameter(logits)
        else:
            self.register_buffer("logits", logits)

    def forward(self, logits: Tensor, answers: Tensor) -> Tensor:
        """Return the loss.

        Parameters
        ----------
        logits : shape (N, K)
        answers : integers, shape (N, D)
            −1 where a worker did not answer. A task without answers adds nothing.

        Raises
        ------
        FormError, DataError
        """
        log_q = torch.log_softmax(_two_axes(logits), 1)
        d, k, _ = self.logits.shape
        _require_tensor("answers", answers)
        if answers.ndim != 2 or answers.shape != (len(log_q), d) or log_q.shape[1] != k:
            raise FormError(
                f"logits have shape {tuple(log_q.shape)} and answers {tuple(answers.shape)}; for {d} workers and {k} "
                f"classes they are (N, {k}) and (N, {d}), −1 where there is no answer."
            )
        if bool((answers >= k).any()) or bool((answers < -1).any()):
            raise DataError(f"answers hold values outside −1..{k - 1}.")
        tables = torch.log_softmax(self.logits, 1).to(log_q.dtype)
        task, worker = torch.nonzero(answers >= 0, as_tuple=True)
        evidence = tables[worker, answers[task, worker]]
        if self.kind == "joint":
            total = log_q.index_add(0, task, evidence)
            values = -torch.logsumexp(total, 1)
        else:
            each = torch.logsumexp(log_q[task] + evidence, 1)
            values = -log_q.new_zeros(len(log_q)).index_add(0, task, each)
        return _reduced(values, self.reduction)

    @property
    def confusion(self) -> Tensor:
        """The tables as they are now, shape (D, K, K)."""
        return torch.softmax(self.logits.detach(), 1)


def _tables(confusion: Any) -> npt.NDArray[np.float32]:
    if hasattr(confusion, "confusion_"):
        confusion = confusion.confusion_
    elif hasattr(confusion, "errors_"):
        frame = confusion.errors_
        k = frame.shape[1]
        confusion = frame.to_numpy().reshape(-1, k, k)
    if isinstance(confusion, Tensor):
        confusion = confusion.detach().cpu().numpy()
    tables = np.asarray(confusion, dtype=np.float32)
    if tables.ndim != 3 or tables.shape[1] != tables.shape[2]:
        raise FormError(
            f"confusion has shape {tables.shape}; it is (D, K, K), as [worker, answer, label]."
        )
    if not (tables >= 0).all() or np.abs(tables.sum(axis=1) - 1).max(initial=0) > 1e-3:
        raise DataError(
            "confusion holds columns that do not sum to 1 over the answers: its axes are [worker, answer, label]."
        )
    return tables


def _two_axes(logits: Tensor) -> Tensor:
    if logits.ndim != 2:
        raise FormError(f"logits have shape {tuple(logits.shape)}; they are (N, K).")
    return logits


def _require_tensor(name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise FormError(
            f"{name} is a {type(value).__name__}; pass a tensor: torch.tensor(np.asarray({name}))."
        )


def _distribution(target: Tensor, like: Tensor) -> Tensor:
    """Return targets as distributions, shape (N, K)."""
    _require_tensor("target", target)
    if target.ndim == 1 and not target.is_floating_point() and len(target) == len(like):
        return nn.functional.one_hot(target.long(), like.shape[1]).to(like.dtype)
    if target.shape == like.shape:
        return target.to(like.dtype)
    raise FormError(
        f"target has shape {tuple(target.shape)} and dtype {target.dtype}; it is (N,) of classes or (N, K) of "
        f"distributions, for logits of shape {tuple(like.shape)}."
    )


def _check_reduction(reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ParameterError(f"reduction={reduction!r} is not one of 'mean', 'sum', 'none'.")


def _reduced(values: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.mean()
