"""How well samplers serve: acceptance, effective samples a second, and the error of the gradient they give.

The yardstick is exact: on the models here the expectation of every table cell under the model is known.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from deem_crowd.exceptions import ParameterError, UnsupportedError
from deem_crowd.model.network import Batch, Network
from deem_crowd.model.units import Units
from deem_crowd.plugins import registry
from deem_crowd.samplers.base import Sampler, one_hot
from deem_crowd_benchmarks.running.runs import Row

N_CHAINS = 2000
STEPS = (1, 5, 25, 100)
N_TRACED, N_TRACE = 64, 400
WORKERS = 10

MODELS: dict[str, tuple[int, float]] = {
    "K=2, weak": (2, 0.5),
    "K=4, weak": (4, 0.5),
    "K=4, strong": (4, 2.5),
}
"""Classes, and the size of the couplings: the strong model has one mode for each class."""


def network(n_classes: int, strength: float, seed: int) -> Network:
    """Return one unit and ten workers: a diagonal of ``strength`` and N(0, 0.5²) on every weight."""
    generator = torch.Generator().manual_seed(seed)
    own = torch.randn((WORKERS, n_classes, n_classes + 1), generator=generator, dtype=torch.float64)
    own *= 0.5
    own[:, :, :-1] += strength * torch.eye(n_classes, dtype=torch.float64)
    population = torch.zeros((n_classes, n_classes + 1), dtype=torch.float64)
    bias = 0.3 * torch.randn((1, n_classes), generator=generator, dtype=torch.float64)
    return Network(Units(bias, population, own), None)


def rows(samplers: Sequence[str] | None = None, seed: int = 0) -> list[Row]:
    """Measure samplers of the registry on every model.

    Chains start from one label everywhere, a task with a quarter of its answers missing.

    Parameters
    ----------
    samplers : list of str, optional
        Names in the registry; None is all of them.
    seed : int

    Returns
    -------
    list of dict
        ``sampler``, ``model``, ``status``, ``reason``; ``acceptance``, None where every move is taken;
        ``ess_per_second``: effective sample size of the number of answers of class 0, per second, all chains together;
        ``gradient_error``: by number of steps, the error ‖ĝ − g‖ / ‖g‖ of the expected one-hot answers × hidden state
        against their exact values, chains from one label; ``noise``: the same for as many independent exact draws.

    Raises
    ------
    ParameterError
        If there is no such sampler.
    """
    known = registry.samplers()
    names = list(known) if samplers is None else list(samplers)
    for name in names:
        if name not in known:
            raise ParameterError(f"no sampler is called {name!r}; there are: {', '.join(known)}.")
    measured = []
    for model, (n_classes, strength) in MODELS.items():
        for name in names:
            row: Row = {"sampler": name, "model": model, "seed": seed, "status": "ok", "reason": ""}
            try:
                sampler = known[name].load()()
                measured.append(row | _measure(sampler, network(n_classes, strength, seed), seed))
            except UnsupportedError as error:
                measured.append(row | {"status": "refused", "reason": str(error)})
            except Exception as error:  # a stranger's sampler may fail in any way
                reason = f"{type(error).__name__}: {error}"
                measured.append(row | {"status": "failed", "reason": reason})
    return measured


def _measure(sampler: Sampler, model: Network, seed: int) -> dict[str, Any]:
    k = model.n_classes
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones((N_CHAINS, WORKERS), dtype=torch.bool)
    mask[:, : WORKERS // 4] = False
    energy = _energy(model, mask)
    exact = _exact(model, mask[0])
    independent = _draws(model, mask, generator)
    noise = _error(_counts(model, independent), exact)
    start = torch.where(mask, 0, -1)
    start = start if sampler.n_replicas == 1 else start.expand(sampler.n_replicas, -1, -1).clone()
    state, done, errors = start, 0, {}
    for steps in STEPS:
        with torch.no_grad():
            state = sampler.sample(energy, state, mask, steps - done, generator)
        done = steps
        errors[str(steps)] = _error(_counts(model, _first(state, sampler)), exact)
    few = mask[:N_TRACED]
    traced = _energy(model, few)
    state = state[..., :N_TRACED, :].clone()
    sampler.reset()
    trace = np.empty((N_TRACE, N_TRACED))
    began = time.perf_counter()
    for i in range(N_TRACE):
        with torch.no_grad():
            state = sampler.sample(traced, state, few, 1, generator)
        trace[i] = (_first(state, sampler) == 0).sum(-1).numpy()
    seconds = time.perf_counter() - began
    return {
        "acceptance": sampler.acceptance,
        "ess_per_second": float(effective_size(trace).sum() / seconds),
        "steps_per_second": float(trace.size / seconds),
        "gradient_error": errors,
        "noise": noise,
        "n_classes": k,
    }


def effective_size(trace: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the effective sample size of each chain, shape (C,), from a trace of shape (T, C).

    T / (1 + 2 Σ ρ_t), the sum cut where the sum of two neighbouring autocorrelations turns negative: the initial
    positive sequence of Geyer, Statistical Science 7 (1992). The mean over all chains is taken for the true one, so
    that a chain that stays in one mode does not pass for independent draws. A constant trace has no effective sample.
    """
    n = len(trace)
    centred = trace - trace.mean()
    spectrum = np.fft.rfft(centred, 2 * n, axis=0)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:n] / n
    variance = centred.var()
    if variance == 0:
        return np.zeros(trace.shape[1])
    rho = covariance / variance
    pairs = rho[: n // 2 * 2].reshape(n // 2, 2, -1).sum(1)
    positive = np.cumprod(pairs > 0, axis=0)
    tau = np.maximum(2 * (pairs * positive).sum(0) - 1, 1 / n)
    return np.asarray(np.minimum(n / tau, n))


def _energy(model: Network, mask: Tensor) -> Any:
    state = torch.where(mask, 0, -1)
    answers = one_hot(state, model.n_classes, torch.float64)
    batch = Batch(torch.arange(len(mask)), None, answers, mask, torch.zeros_like(state))
    with torch.no_grad():
        return model.bind(batch)


def _draws(model: Network, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Return independent states of the model itself, shape (B, T)."""
    sampler = registry.samplers()["exact"].load()()
    with torch.no_grad():
        start = torch.where(mask, 0, -1)
        drawn: Tensor = sampler.sample(_energy(model, mask), start, mask, 1, generator)
    return drawn


def _posterior(model: Network, answers: Tensor) -> Tensor:
    units = model.units()
    weight = (units.population + units.own)[:, :, :-1]  # (T, K, K): answer × hidden state
    score = units.bias[0] + torch.einsum("btl,tlh->bh", answers, weight)
    return torch.softmax(score, -1)


def _counts(model: Network, state: Tensor) -> Tensor:
    """Return the mean over chains of answers × posterior, shape (T, K, K): the model's half of the gradient."""
    answers = one_hot(state, model.n_classes, torch.float64)
    with torch.no_grad():
        return torch.einsum("btl,bh->tlh", answers, _posterior(model, answers)) / len(state)


def _exact(model: Network, exists: Tensor) -> Tensor:
    """Return the same in expectation: p(h) from the sums over each worker's answers, then p(answer | h)."""
    with torch.no_grad():
        units = model.units()
        table = units.population + units.own
        weight, alone = table[:, :, :-1], table[:, :, -1:]
        logits = weight + alone  # (T, K, K)
        log_z = torch.logsumexp(logits, dim=1)  # (T, K)
        log_z = torch.where(exists[:, None], log_z, 0.0)
        hidden = torch.softmax(units.bias[0] + log_z.sum(0), -1)
        expected = torch.softmax(logits, dim=1) * hidden
        return torch.where(exists[:, None, None], expected, 0.0)


def _first(state: Tensor, sampler: Sampler) -> Tensor:
    return state if sampler.n_replicas == 1 else state[0]


def _error(estimate: Tensor, exact: Tensor) -> float:
    return float((estimate - exact).norm() / exact.norm())
