r"""The contract between a sampler and a model.

A sampler draws from ``p(x_O) ∝ exp(−F_O(x))`` for B tasks at once. Each task has T places for answers, of which those
in its mask exist. What a sampler may know of the model is one of three classes, each knowing more than the one before:

- :class:`TaskEnergy`: the free energy of answers, differentiable in them;
- :class:`BlockEnergy`: hidden units can be drawn given answers, and answers given hidden units;
- :class:`TractableEnergy`: hidden units can be drawn from their marginal, given only which answers exist.

A state is a tensor of labels, shape (B, T), 0..K-1 where an answer exists and −1 where none does. A sampler changes
labels and never the −1. Its randomness comes from the generator it is given, and from nowhere else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from deem_crowd.exceptions import UnsupportedError


class TaskEnergy(ABC):
    """The model, seen from B tasks with T places and K classes.

    Attributes
    ----------
    n_classes : int
        K.
    dtype : torch.dtype
        Of the answers it takes.
    """

    n_classes: int
    dtype: torch.dtype

    @abstractmethod
    def free_energy(self, answers: Tensor) -> Tensor:
        """Return F, shape (..., B), of answers of shape (..., B, T, K).

        ``answers`` are one-hot over the last axis, and zero where no answer exists; F is differentiable in them.
        """


class BlockEnergy(TaskEnergy):
    """A model whose hidden units are drawn given the answers, and the answers given the hidden units."""

    @abstractmethod
    def draw_hidden(self, answers: Tensor, generator: torch.Generator) -> Tensor:
        """Draw h given ``answers``, shape (..., B, T, K); the result is what :meth:`draw_answers` takes."""

    @abstractmethod
    def draw_answers(self, hidden: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a label for every place given h, shape (..., B, T), regardless of what exists."""


class TractableEnergy(BlockEnergy):
    """A model whose partition function is a short sum."""

    @abstractmethod
    def draw_hidden_prior(self, mask: Tensor, generator: torch.Generator) -> Tensor:
        """Draw h from its marginal, given only which answers exist: mask, shape (..., B, T)."""


class Sampler(ABC):
    """Draws answers from a model.

    Subclasses implement :meth:`sample`, and say in ``needs`` what they have to know of the model.

    Attributes
    ----------
    needs : type
        The least a model must offer.
    n_replicas : int
        C chains per task, of which the first follows the model. With C > 1 states have shape (C, B, T).
    """

    needs: ClassVar[type] = TaskEnergy
    n_replicas: int = 1

    def __init__(self) -> None:
        self._accepted = 0.0
        self._proposed = 0

    @abstractmethod
    def sample(
        self,
        energy: TaskEnergy,
        state: Tensor,
        mask: Tensor,
        n_steps: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the state after ``n_steps`` steps.

        Training calls it under ``torch.no_grad()``: a sampler that needs gradients of the free energy enables them.

        Parameters
        ----------
        energy : TaskEnergy
            Of B tasks; an instance of ``needs``.
        state : LongTensor, shape (B, T)
            Labels, −1 where no answer exists. It is not changed.
        mask : BoolTensor, shape (B, T)
            Which answers exist. It is not changed.
        n_steps : int
        generator : torch.Generator
            The only source of randomness, on the device of the state.
        """

    @property
    def acceptance(self) -> float | None:
        """The share of proposals accepted since :meth:`reset`; None if nothing was proposed."""
        return self._accepted / self._proposed if self._proposed else None

    def reset(self) -> None:
        """Forget the counts of proposals."""
        self._accepted, self._proposed = 0.0, 0

    def adapt(self) -> None:  # noqa: B027 (most samplers have nothing to adapt)
        """Adapt step sizes to the acceptance since :meth:`reset`; for training, never between draws that are kept."""

    def _count(self, accepted: Tensor) -> None:
        self._accepted += float(accepted.sum())
        self._proposed += accepted.numel()

    def serves(self, energy: TaskEnergy) -> bool:
        """Whether this sampler can draw from ``energy``."""
        return isinstance(energy, self.needs)

    def require(self, energy: TaskEnergy) -> None:
        """Raise unless this sampler can draw from ``energy``.

        Raises
        ------
        UnsupportedError
            Naming the built-in samplers that can.
        """
        if self.serves(energy):
            return
        from deem_crowd.samplers import BUILT_IN

        able = [name for name, kind in BUILT_IN.items() if isinstance(energy, kind.needs)]
        raise UnsupportedError(
            f"sampler {type(self).__name__} needs a {self.needs.__name__} (see deem_crowd.samplers.base), which this "
            f"model is not. Use sampler={' or '.join(repr(name) for name in able)}."
        )


class MetropolisHastings(Sampler):
    """A sampler that proposes changes and accepts them with probability min(1, p(x') q(x | x') / (p(x) q(x' | x))).

    Subclasses say what is proposed. The score of changing answer t to class l is ``d[t, l] − d[t, x_t]`` with
    ``d = −∂F/∂x``, the first-order estimate of how log p changes. It guides the proposal only: acceptance uses F
    itself, so that the draws follow p exactly.
    """

    @abstractmethod
    def log_proposal(self, score: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        """Return log q of every choice that :meth:`propose` draws from, its batch axes being those of the state.

        Parameters
        ----------
        score : float64, shape (..., B, T, K)
        state, mask : shape (..., B, T)
        """

    @abstractmethod
    def propose(
        self, log_q: Tensor, state: Tensor, mask: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a proposal from ``log_q``.

        Returns
        -------
        proposed : LongTensor, shape (..., B, T)
        choice, undo : LongTensor
            The choice that was drawn, and the one that leads back, for :meth:`log_chosen`.
        """

    @abstractmethod
    def log_chosen(self, log_q: Tensor, choice: Tensor, mask: Tensor) -> Tensor:
        """Return log q of a choice, shape (..., B)."""

    def sample(
        self,
        energy: TaskEnergy,
        state: Tensor,
        mask: Tensor,
        n_steps: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the state after ``n_steps`` proposals. See :meth:`Sampler.sample`."""
        self.require(energy)
        if n_steps == 0:
            return state
        log_p, score = _log_p_and_scores(energy, state)
        forward = self.log_proposal(score, state, mask)
        for _ in range(n_steps):
            proposed, choice, undo = self.propose(forward, state, mask, generator)
            log_p_proposed, score = _log_p_and_scores(energy, proposed)
            backward = self.log_proposal(score, proposed, mask)
            log_q = self.log_chosen(forward, choice, mask)
            log_q_back = self.log_chosen(backward, undo, mask)
            accepted = bernoulli(log_p_proposed - log_p + log_q_back - log_q, generator)
            self._count(accepted)
            state = torch.where(accepted[..., None], proposed, state)
            log_p = torch.where(accepted, log_p_proposed, log_p)
            each = accepted.reshape(*accepted.shape, *[1] * (forward.ndim - accepted.ndim))
            forward = torch.where(each, backward, forward)
        return state


def _log_p_and_scores(energy: TaskEnergy, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return log p up to a constant, shape (..., B), and the scores of all changes, shape (..., B, T, K)."""
    answers = one_hot(state, energy.n_classes, energy.dtype).requires_grad_(True)
    with torch.enable_grad():
        log_p = -energy.free_energy(answers)
        (slope,) = torch.autograd.grad(log_p.sum(), answers)
    current = slope.gather(-1, state.clamp_min(0)[..., None])
    return log_p.detach().to(torch.float64), (slope - current).to(torch.float64)


def one_hot(state: Tensor, n_classes: int, dtype: torch.dtype) -> Tensor:
    """Return the answers of a state, shape (..., T) to (..., T, K): zero where no answer exists."""
    classes = torch.arange(n_classes, device=state.device)
    return (state[..., None] == classes).to(dtype)


def draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from softmax(logits) over the last axis by the Gumbel maximum; shape (..., K) to (...)."""
    uniform = torch.rand(
        logits.shape, generator=generator, device=logits.device, dtype=torch.float64
    )
    noise = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
    return (logits.to(torch.float64) + noise).argmax(-1)


def bernoulli(log_probability: Tensor, generator: torch.Generator) -> Tensor:
    """Return True with probability min(1, exp(log_probability)), in the same shape."""
    uniform = torch.rand(
        log_probability.shape,
        generator=generator,
        device=log_probability.device,
        dtype=torch.float64,
    )
    return torch.log(uniform.clamp_min(1e-300)) < log_probability
