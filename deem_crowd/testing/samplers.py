"""What every sampler has to do, checked on models small enough to be enumerated."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from deem_crowd import layers
from deem_crowd.batches import Batch
from deem_crowd.exceptions import UnsupportedError
from deem_crowd.network import Network
from deem_crowd.samplers.base import Sampler, TaskEnergy, one_hot
from deem_crowd.testing.conformance import Checks, global_randomness, name_of
from deem_crowd.units import Units

_SEED = 20_240


@dataclass(frozen=True)
class _Model:
    """A model of T answers of which some exist; all tasks of a batch are alike."""

    name: str
    network: Network
    exists: tuple[bool, ...]

    def energy(self, n_tasks: int, device: torch.device) -> TaskEnergy:
        mask = self.mask(n_tasks, device)
        state = torch.where(mask, 0, -1)
        answers = one_hot(state, self.network.n_classes, torch.float64)
        index = torch.zeros_like(state)
        batch = Batch(torch.arange(n_tasks, device=device), None, answers, mask, index)
        with torch.no_grad():
            return self.network.to(device).bind(batch)

    def mask(self, n_tasks: int, device: torch.device) -> Tensor:
        row = torch.tensor([self.exists], device=device)
        return row.expand(n_tasks, -1).contiguous()

    def states(self) -> Tensor:
        """All states, shape (C, T), in the order in which :func:`_number` counts them."""
        k = self.network.n_classes
        ranges = [range(k) if there else (-1,) for there in self.exists]
        return torch.tensor(list(itertools.product(*ranges)))

    def probabilities(self) -> np.ndarray[Any, Any]:
        """The enumerated distribution, shape (C,)."""
        states = self.states()
        energy = self.energy(len(states), torch.device("cpu"))
        with torch.no_grad():
            free = energy.free_energy(one_hot(states, self.network.n_classes, torch.float64))
        found: np.ndarray[Any, Any] = torch.softmax(-free, 0).numpy()
        return found


def _model(name: str, k: int, exists: str, n_units: int = 1, layered: bool = False) -> _Model:
    generator = torch.Generator().manual_seed(_SEED)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    n_places = len(exists)
    stack = None
    if layered:
        stack = layers.build(k, n_places, [n_places], "sparsemax", "identity", 0.3, generator)
    columns = n_units * k + 1
    units = Units(normal(n_units, k), normal(k, columns) / 2, normal(n_places, k, columns))
    return _Model(name, Network(units, stack), tuple(c == "x" for c in exists))


def _models() -> list[_Model]:
    return [
        _model("one unit, K=2", 2, "xxxx"),
        _model("one unit, K=3, two answers missing", 3, "x.xx."),
        _model("two units, K=4, one answer missing", 4, "xx.", n_units=2),
        _model("one answer", 2, ".x."),
        _model("layers, K=3, one answer missing", 3, "xx.x", layered=True),
    ]


def check_sampler(
    sampler: Sampler | type[Sampler] | Callable[[], Sampler],
    *,
    n_steps: int = 100,
    n_chains: int = 4000,
    level: float = 1e-6,
    skip: dict[str, str] | None = None,
) -> list[str]:
    """Check that a sampler keeps the contract of :mod:`deem_crowd.samplers.base`.

    Parameters
    ----------
    sampler : Sampler, or a class or function that makes one
    n_steps : int
        After how many steps a chain has to have forgotten its start, on models of up to 81 states.
    n_chains : int
        Chains per model and start for the test of the distribution.
    level : float
        Of the chi-square tests; the seed is fixed.
    skip : dict of str to str, optional
        Checks to leave out, each with the reason.

    Returns
    -------
    list of str
        The checks that passed.

    Raises
    ------
    ConformanceError
        Naming the check, what was seen and what to mend.
    """
    checks = Checks(name_of(sampler), skip)
    found: list[Sampler] = []

    def build() -> None:
        made = sampler if isinstance(sampler, Sampler) else sampler()
        checks.require(
            isinstance(made, Sampler),
            f"it makes a {type(made).__name__}.",
            "Derive from deem_crowd.samplers.Sampler.",
        )
        found.append(made)

    checks.run("is a sampler", build)
    if not found:
        return checks.finish()
    kit = _SamplerChecks(checks, found[0], n_steps, n_chains, level)
    checks.run("says what it cannot serve", kit.refusal)
    checks.run("keeps the mask", kit.mask)
    checks.run("leaves its input alone", kit.input)
    checks.run("draws from the generator alone", kit.randomness)
    checks.run("follows the distribution", kit.distribution)
    checks.run("runs on other devices", kit.devices)
    return checks.finish()


class _SamplerChecks:
    def __init__(
        self, checks: Checks, sampler: Sampler, n_steps: int, n_chains: int, level: float
    ) -> None:
        self.checks, self.sampler = checks, sampler
        self.n_steps, self.n_chains, self.level = n_steps, n_chains, level
        cpu = torch.device("cpu")
        self.models = [m for m in _models() if sampler.serves(m.energy(1, cpu))]
        self.others = [m for m in _models() if not sampler.serves(m.energy(1, cpu))]

    def draw(
        self,
        model: _Model,
        n_tasks: int,
        n_steps: int,
        seed: int = 0,
        label: int = 0,
        device: str = "cpu",
    ) -> Tensor:
        """Return the state of the first replica after some steps from one label everywhere."""
        place = torch.device(device)
        mask = model.mask(n_tasks, place)
        state = torch.where(mask, label % model.network.n_classes, -1)
        start = self.replicated(state)
        generator = torch.Generator(place).manual_seed(seed)
        energy = model.energy(n_tasks, place)
        drawn = self.sampler.sample(energy, start, mask, n_steps, generator)
        self.checks.require(
            isinstance(drawn, Tensor) and drawn.shape == start.shape and drawn.dtype == start.dtype,
            f"on {model.name!r} it returned {_described(drawn)} for a state of {_described(start)}.",
            "Return labels of the shape and dtype of the state.",
        )
        return drawn if self.sampler.n_replicas == 1 else drawn[0]

    def replicated(self, state: Tensor) -> Tensor:
        c = self.sampler.n_replicas
        return state.clone() if c == 1 else state.expand(c, *state.shape).clone()

    def refusal(self) -> None:
        self.checks.require(
            bool(self.models),
            "it serves none of the models there are.",
            "Set 'needs' to TaskEnergy, BlockEnergy or TractableEnergy, whichever it makes use of.",
        )
        for model in self.others:
            refused = False
            try:
                self.draw(model, 2, 1)
            except UnsupportedError:
                refused = True
            self.checks.require(
                refused,
                f"it does not serve {model.name!r} by its own account, and sampled it all the same.",
                "Begin sample() with self.require(energy).",
            )

    def mask(self) -> None:
        for model in self.models:
            drawn = self.draw(model, 200, 3)
            mask = model.mask(200, drawn.device)
            self.checks.require(
                bool((drawn[~mask] == -1).all()),
                f"on {model.name!r} it filled in answers that do not exist.",
                "Leave −1 where the mask is False: torch.where(mask, proposed, state).",
            )
            inside = drawn[mask]
            self.checks.require(
                bool(((inside >= 0) & (inside < model.network.n_classes)).all()),
                f"on {model.name!r} it returned labels {sorted(set(inside.tolist()))}.",
                f"Labels are 0..{model.network.n_classes - 1} where an answer exists.",
            )

    def input(self) -> None:
        model = self.models[0]
        mask = model.mask(50, torch.device("cpu"))
        state = self.replicated(torch.where(mask, 1, -1))
        before = state.clone()
        energy = model.energy(50, torch.device("cpu"))
        still = self.sampler.sample(energy, state, mask, 0, torch.Generator().manual_seed(0))
        self.checks.require(
            torch.equal(still, before),
            "n_steps=0 changed the state.",
            "No steps return the state as it is.",
        )
        self.sampler.sample(energy, state, mask, 3, torch.Generator().manual_seed(0))
        self.checks.require(
            torch.equal(state, before),
            "the state it was given was changed in place.",
            "Return a new tensor.",
        )

    def randomness(self) -> None:
        model = self.models[0]
        with global_randomness(self.checks):
            first = self.draw(model, 300, 5, seed=1)
        torch.manual_seed(1 + torch.initial_seed() % 1000)
        again, other = self.draw(model, 300, 5, seed=1), self.draw(model, 300, 5, seed=2)
        self.checks.require(
            torch.equal(first, again),
            "two generators of one seed gave different draws.",
            "All randomness has to come from the generator that sample() is given.",
        )
        self.checks.require(
            not torch.equal(first, other),
            "generators of different seeds gave the same draws.",
            "Hand the generator to every random function: torch.rand(..., generator=generator).",
        )

    def distribution(self) -> None:
        for model in self.models:
            expected = model.probabilities()
            for label in (0, 1):
                drawn = self.draw(model, self.n_chains, self.n_steps, seed=3, label=label)
                numbers = _number(drawn.cpu(), model.network.n_classes)
                counts = np.bincount(numbers.numpy(), minlength=len(expected))
                p_value = _misfit(counts, expected)
                apart = 0.5 * float(np.abs(counts / self.n_chains - expected).sum())
                self.checks.require(
                    p_value > self.level,
                    f"on {model.name!r}, {self.n_steps} steps after the start, its draws are {apart:.3f} in total "
                    f"variation from the enumerated distribution (chi-square test: p = {p_value:.1e}).",
                    "Check the acceptance: min(1, exp(Δ log p + log q(back) − log q(forward))) with log p = −F; and "
                    "that a proposal that is turned down leaves the state. Right but slow: pass a larger n_steps.",
                )

    def devices(self) -> None:
        if torch.cuda.is_available():
            drawn = self.draw(self.models[0], 20, 2, device="cuda")
            self.checks.require(
                drawn.is_cuda,
                f"a state on CUDA came back on {drawn.device}.",
                "Make new tensors on the device of the state.",
            )


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"shape {tuple(value.shape)} and dtype {value.dtype}"
    return f"a {type(value).__name__}"


def _number(states: Tensor, k: int) -> Tensor:
    """Return the number of each state, shape (B,): its answers that exist, read as digits."""
    number = torch.zeros(states.shape[0], dtype=torch.int64)
    for column in states.T:
        number = torch.where(column >= 0, number * k + column, number)
    return number


def _misfit(counts: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    """Return the p-value of a chi-square test; states expected less than five times are pooled."""
    wanted = expected * counts.sum()
    rare = wanted < 5
    seen, wanted = (np.append(v[~rare], v[rare].sum()) for v in (counts, wanted))
    if wanted[-1] == 0:
        seen, wanted = seen[:-1], wanted[:-1]
    return float(stats.chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue)
