"""Checks for authors of samplers: our own samplers pass them, and each planted fault fails its own."""

from __future__ import annotations

import pytest
import torch

import deem_crowd
from deem_crowd.samplers import BUILT_IN, DiscreteLangevin, Gibbs, GibbsWithGradients, base
from deem_crowd.samplers.base import Sampler
from deem_crowd.testing import ConformanceError, check_sampler


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_built_in_samplers(name) -> None:
    passed = check_sampler(deem_crowd.samplers()[name].load(), n_steps=50, n_chains=3000)
    assert "reaches the distribution" in passed
    assert len(passed) == 13


class Fills(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        return super().sample(energy, state, torch.ones_like(mask), n_steps, generator)


class OwnSeed(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        return super().sample(energy, state, mask, n_steps, torch.Generator().manual_seed(0))


class Global(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        seed = int(torch.randint(10**6, ()))
        return super().sample(energy, state, mask, n_steps, torch.Generator().manual_seed(seed))


class InPlace(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        state.copy_(super().sample(energy, state, mask, n_steps, generator))
        return state.clone()


class SpoilsMask(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        drawn = super().sample(energy, state, mask, n_steps, generator)
        mask[:] = True
        return drawn


class NeedsGradients(Sampler):
    """Takes a slope as torch takes one outside of training."""

    def sample(self, energy, state, mask, n_steps, generator):
        answers = base.one_hot(state, energy.n_classes, energy.dtype).requires_grad_(True)
        torch.autograd.grad(energy.free_energy(answers).sum(), answers)
        return GibbsWithGradients().sample(energy, state, mask, n_steps, generator)


class Moves(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        return super().sample(energy, state, mask, n_steps + 1, generator)


class Flat(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        return super().sample(energy, state, mask, n_steps, generator).flatten()


class OutOfRange(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        drawn = super().sample(energy, state, mask, n_steps, generator)
        return torch.where(mask, drawn + 1, drawn)


class Uniform(Sampler):
    def sample(self, energy, state, mask, n_steps, generator):
        if n_steps == 0:
            return state
        return torch.where(
            mask, torch.randint(energy.n_classes, state.shape, generator=generator), state
        )


class Stuck(Sampler):
    """Keeps the distribution, and never changes the first answer: it draws from the conditional on it."""

    def sample(self, energy, state, mask, n_steps, generator):
        moves = GibbsWithGradients()
        for _ in range(n_steps):
            proposed = moves.sample(energy, state, mask, 1, generator)
            state = torch.where(proposed[:, :1] == state[:, :1], proposed, state)
        return state


class Overcounts(Gibbs):
    @property
    def acceptance(self):
        return 2.0


class Remembers(GibbsWithGradients):
    def reset(self) -> None:
        pass


class NeverRefuses(Gibbs):
    def require(self, energy) -> None:
        pass

    def sample(self, energy, state, mask, n_steps, generator):
        served = self.serves(energy)
        return super().sample(energy, state, mask, n_steps, generator) if served else state


class Raises(Sampler):
    def sample(self, energy, state, mask, n_steps, generator):
        raise RuntimeError("not today")


@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        (Fills, "keeps the mask", "filled in answers that do not exist. Leave −1"),
        (OutOfRange, "keeps the mask", "returned labels .* Labels are 0"),
        (Flat, "keeps the mask", "of the shape and dtype of the state"),
        (
            OwnSeed,
            "draws from the generator alone",
            "different seeds gave the same draws. Hand the gen",
        ),
        (Global, "draws from the generator alone", "global random state of torch changed"),
        (InPlace, "leaves its input alone", "changed in place. Return a new tensor"),
        (SpoilsMask, "leaves its input alone", "the mask it was given was changed in place"),
        (
            NeedsGradients,
            "runs without gradients",
            "training calls it under torch.no_grad.* within 'with torch.enable_grad",
        ),
        (Moves, "leaves its input alone", "n_steps=0 changed the state"),
        (
            Uniform,
            "keeps the distribution",
            "chains that start from the distribution have left it .*Check the acceptance",
        ),
        (
            Stuck,
            "reaches the distribution",
            "100 steps after a start .*every label of every answer",
        ),
        (Overcounts, "counts what it accepts", "its acceptance is 2.0. Call self._count"),
        (Remembers, "counts what it accepts", "reset.. does not forget"),
        (NeverRefuses, "says what it cannot serve", "Begin sample.. with self.require"),
        (Raises, "runs without gradients", "it raised RuntimeError: not today"),
        (lambda: 3, "is a sampler", "it makes a int. Derive from deem_crowd.samplers.Sampler"),
    ],
)
def test_broken_samplers(broken, check, words) -> None:
    with pytest.raises(ConformanceError, match=words) as caught:
        check_sampler(broken)
    assert caught.value.check == check


@pytest.mark.parametrize("kind", [GibbsWithGradients, DiscreteLangevin])
@pytest.mark.parametrize("fault", ["always", "inverted", "of another task", "of all tasks at once"])
def test_broken_acceptance(kind, fault, monkeypatch) -> None:
    honest = base.bernoulli
    faults = {
        "always": lambda ratio, generator: torch.ones_like(ratio, dtype=torch.bool),
        "inverted": lambda ratio, generator: honest(-ratio, generator),
        "of another task": lambda ratio, generator: honest(ratio.flip(0), generator),
        "of all tasks at once": lambda ratio, generator: honest(
            ratio.mean() + 0 * ratio, generator
        ),
    }
    monkeypatch.setattr(base, "bernoulli", faults[fault])
    with pytest.raises(ConformanceError, match="Check the acceptance") as caught:
        check_sampler(kind)
    assert caught.value.check == "keeps the distribution"
