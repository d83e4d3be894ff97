"""What every sampler has to do, checked on models small enough to be enumerated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from deem_crowd.exceptions import UnsupportedError
from deem_crowd.samplers.base import Sampler
from deem_crowd.testing.conformance import Checks, global_randomness, name_of
from deem_crowd.testing.energies import Model, models, number

_CPU = torch.device("cpu")


def check_sampler(
    sampler: Sampler | type[Sampler] | Callable[[], Sampler],
    *,
    n_steps: int = 100,
    n_chains: int = 6000,
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
        Chains per model for the tests of the distribution, shared among its kinds of task and the starts.
    level : float
        Of the chi-square tests; seeds are fixed, so that nothing is a matter of luck.
    skip : dict of str to str, optional
        Checks to leave out, each with the reason.

    Returns
    -------
    list of str
        The checks that passed.

    Raises
    ------
    ConformanceError
        Naming the check, what was seen and what to correct.
    """
    checks = Checks(name_of(sampler), skip)
    samplers: list[Sampler] = []

    def build() -> None:
        made = sampler if isinstance(sampler, Sampler) else sampler()
        checks.require(
            isinstance(made, Sampler),
            f"it makes a {type(made).__name__}.",
            "Derive from deem_crowd.samplers.Sampler.",
        )
        samplers.append(made)

    checks.run("is a sampler", build)
    if not samplers:
        return checks.finish()
    kit = _SamplerChecks(checks, samplers[0], n_steps, n_chains, level)
    checks.run("says what it cannot serve", kit.refusal)
    checks.run("runs without gradients", kit.gradients)
    checks.run("keeps the mask", kit.mask)
    checks.run("leaves its input alone", kit.input)
    checks.run("draws from the generator alone", kit.randomness)
    checks.run("counts what it accepts", kit.acceptance)
    if (
        samplers[0].n_replicas == 1
    ):  # only together with its replicas is a state drawn from what a step keeps
        checks.run("keeps the distribution", kit.keeps)
    checks.run("reaches the distribution", kit.reaches)
    checks.run("runs on other devices", kit.devices)
    return checks.finish()


class _SamplerChecks:
    def __init__(
        self, checks: Checks, sampler: Sampler, n_steps: int, n_chains: int, level: float
    ) -> None:
        self.checks, self.sampler = checks, sampler
        self.n_steps, self.n_chains, self.level = n_steps, n_chains, level
        first = torch.zeros(1, dtype=torch.int64)
        self.models = [m for m in models() if sampler.serves(m.energy(first))]
        self.others = [m for m in models() if not sampler.serves(m.energy(first))]

    def draw(self, model: Model, state: Tensor, n_steps: int, seed: int = 0) -> Tensor:
        """Return the states of all replicas, shape (C, B, T), after some steps from ``state``, shape (B, T)."""
        kind = model.kind(len(state), state.device)
        start = self.replicated(state)
        generator = torch.Generator(state.device).manual_seed(seed)
        with torch.no_grad():  # as training calls it
            drawn = self.sampler.sample(
                model.energy(kind), start, model.mask(kind), n_steps, generator
            )
        self.checks.require(
            isinstance(drawn, Tensor) and drawn.shape == start.shape and drawn.dtype == start.dtype,
            f"on {model.name!r} it returned {_described(drawn)} for a state of {_described(start)}.",
            "Return labels of the shape and dtype of the state.",
        )
        return drawn[None] if self.sampler.n_replicas == 1 else drawn

    def replicated(self, state: Tensor) -> Tensor:
        c = self.sampler.n_replicas
        return state.clone() if c == 1 else state.expand(c, *state.shape).clone()

    def start(self, model: Model, n_tasks: int, label: int = 0, device: str = "cpu") -> Tensor:
        """Return a state of one label everywhere, shape (B, T)."""
        mask = model.mask(model.kind(n_tasks, torch.device(device)))
        return torch.where(mask, label % model.n_classes, -1)

    def refusal(self) -> None:
        self.checks.require(
            bool(self.models),
            "it serves none of the models there are.",
            "Set 'needs' to TaskEnergy, BlockEnergy or TractableEnergy, whichever it makes use of.",
        )
        for model in self.others:
            refused = False
            try:
                self.draw(model, self.start(model, 2), 1)
            except UnsupportedError:
                refused = True
            self.checks.require(
                refused,
                f"it does not serve {model.name!r} by its own account, and sampled it all the same.",
                "Begin sample() with self.require(energy).",
            )

    def gradients(self) -> None:
        model = self.models[0]
        kind = model.kind(2, _CPU)
        start = self.replicated(self.start(model, 2))
        try:
            with torch.no_grad():
                self.sampler.sample(model.energy(kind), start, model.mask(kind), 1, _seeded(0))
        except RuntimeError as error:
            if "grad" not in str(error):
                raise
            self.checks.require(
                False,
                f"training calls it under torch.no_grad(), where it raised RuntimeError: {error}.",
                "Take gradients within 'with torch.enable_grad():'.",
            )

    def mask(self) -> None:
        for model in self.models:
            start = self.start(model, 200)
            drawn = self.draw(model, start, 3)
            mask = (start >= 0).expand(drawn.shape)
            self.checks.require(
                bool((drawn[~mask] == -1).all()),
                f"on {model.name!r} it filled in answers that do not exist.",
                "Leave −1 where the mask is False: torch.where(mask, proposed, state).",
            )
            inside = drawn[mask]
            self.checks.require(
                bool(((inside >= 0) & (inside < model.n_classes)).all()),
                f"on {model.name!r} it returned labels {sorted(set(inside.tolist()))}.",
                f"Labels are 0..{model.n_classes - 1} where an answer exists.",
            )

    def input(self) -> None:
        for model in self.models:
            kind = model.kind(50, _CPU)
            mask = model.mask(kind)
            state = self.replicated(self.start(model, 50, label=1))
            before, mask_before = state.clone(), mask.clone()
            energy = model.energy(kind)
            with torch.no_grad():
                still = self.sampler.sample(energy, state, mask, 0, _seeded(0))
            self.checks.require(
                torch.equal(still, before),
                "n_steps=0 changed the state.",
                "No steps return the state as it is.",
            )
            with torch.no_grad():
                self.sampler.sample(energy, state, mask, 3, _seeded(0))
            self.checks.require(
                torch.equal(state, before) and torch.equal(mask, mask_before),
                "the state or the mask it was given was changed in place.",
                "Return a new tensor.",
            )

    def randomness(self) -> None:
        model = self.models[0]
        start = self.start(model, 300)
        with global_randomness(self.checks):
            first = self.draw(model, start, 5, seed=1)
        again, other = self.draw(model, start, 5, seed=1), self.draw(model, start, 5, seed=2)
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

    def acceptance(self) -> None:
        model = self.models[0]
        self.sampler.reset()
        self.draw(model, self.start(model, 50), 3)
        share = self.sampler.acceptance
        self.checks.require(
            share is None or 0 <= share <= 1,
            f"its acceptance is {share!r}.",
            "Call self._count(accepted) with a boolean for each proposal, or leave it at None.",
        )
        self.sampler.reset()
        self.checks.require(
            self.sampler.acceptance is None,
            "reset() does not forget the acceptance.",
            "Call super().__init__() and do not override reset(), or let it forget all counts.",
        )

    def keeps(self) -> None:
        for model in self.models:
            starts = []
            for place in range(len(model.kinds)):
                p = torch.from_numpy(model.probabilities(place))
                drawn = torch.multinomial(p, self.n_chains, True, generator=_seeded(7))
                starts.append(model.states(place)[drawn])
            kind = model.kind(self.n_chains, _CPU)
            state = torch.stack(starts)[kind, torch.arange(self.n_chains)]
            moved = self.draw(model, state, 2, seed=3)[0]
            for place, p_value, apart in self.misfits(model, kind, moved):
                self.checks.require(
                    p_value > self.level,
                    f"on {model.name!r} (answers {model.kinds[place]}) chains that start from the distribution have "
                    f"left it by {apart:.3f} in total variation after two steps (chi-square test: p = {p_value:.1e}).",
                    "Check the acceptance: min(1, exp(Δ log p + log q(back) − log q(forward))) with log p = −F; that a "
                    "proposal that is turned down leaves the state; and that each task goes by its own F and mask.",
                )

    def reaches(self) -> None:
        for model in self.models:
            for label in (0, 1):
                n_chains = max(self.n_chains // 2, 1)
                state = self.start(model, n_chains, label)
                moved = self.draw(model, state, self.n_steps, seed=4 + label)[0]
                for place, p_value, apart in self.misfits(model, model.kind(n_chains, _CPU), moved):
                    self.checks.require(
                        p_value > self.level,
                        f"on {model.name!r} (answers {model.kinds[place]}), {self.n_steps} steps after a start from "
                        f"label {label}, its draws are {apart:.3f} in total variation from the enumerated "
                        f"distribution (chi-square test: p = {p_value:.1e}).",
                        "Check that every label of every answer can be reached, and the acceptance: min(1, exp(Δ log p "
                        "+ log q(back) − log q(forward))) with log p = −F. If it is right but slow, pass a larger "
                        "n_steps.",
                    )

    def misfits(
        self, model: Model, kind: Tensor, drawn: Tensor
    ) -> Iterator[tuple[int, float, float]]:
        """Yield for each kind of task its number, a p-value and the total variation from the enumerated p."""
        for place in range(len(model.kinds)):
            expected = model.probabilities(place)
            states = number(drawn[kind == place].cpu(), model.n_classes).numpy()
            counts = np.bincount(states, minlength=len(expected))
            apart = 0.5 * float(np.abs(counts / max(counts.sum(), 1) - expected).sum())
            yield place, _misfit(counts, expected), apart

    def devices(self) -> None:
        if torch.cuda.is_available():
            model = self.models[0]
            drawn = self.draw(model, self.start(model, 20, device="cuda"), 2)
            self.checks.require(
                drawn.is_cuda,
                f"a state on CUDA came back on {drawn.device}.",
                "Make new tensors on the device of the state.",
            )


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"shape {tuple(value.shape)} and dtype {value.dtype}"
    return f"a {type(value).__name__}"


def _misfit(counts: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    """Return the p-value of a chi-square test; states expected less than five times are pooled."""
    wanted = expected * counts.sum()
    rare = wanted < 5
    seen, wanted = (np.append(v[~rare], v[rare].sum()) for v in (counts, wanted))
    if wanted[-1] == 0:
        seen, wanted = seen[:-1], wanted[:-1]
    if len(wanted) < 2:  # one state alone
        return 1.0
    return float(stats.chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue)
