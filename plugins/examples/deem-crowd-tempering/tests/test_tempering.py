"""Parallel tempering: the checks every sampler must pass, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from deem_crowd_tempering import ParallelTempering

import deem_crowd
from deem_crowd.exceptions import ParameterError
from deem_crowd.samplers.base import TaskEnergy, one_hot
from deem_crowd.samplers.gwg import GibbsWithGradients
from deem_crowd.testing import check_sampler


def test_it_is_a_sampler() -> None:
    check_sampler(ParallelTempering, n_steps=40, n_chains=3000)


class TwoModes(TaskEnergy):
    """Five answers that like to agree, so much that single changes hardly ever leave an agreement."""

    n_classes, dtype = 2, torch.float64

    def free_energy(self, answers):
        share = answers.sum(-2) / 5
        return -15.0 * (share**4).sum(-1)


def test_it_passes_between_modes_where_single_changes_do_not() -> None:
    n = 400
    mask = torch.ones((n, 5), dtype=torch.bool)
    state = torch.zeros((n, 5), dtype=torch.int64)  # all chains start in one of two equal modes

    def share(sampler, start) -> float:
        drawn = sampler.sample(TwoModes(), start, mask, 150, torch.Generator().manual_seed(0))
        first = drawn[0] if sampler.n_replicas > 1 else drawn
        return float((first.double().mean(-1) > 0.5).double().mean())

    tempered = share(ParallelTempering(n_replicas=6, hottest=0.1), state.expand(6, -1, -1))
    assert abs(tempered - 0.5) < 0.1
    assert share(GibbsWithGradients(), state) < tempered - 0.15


def test_it_is_listed_and_fits() -> None:
    assert deem_crowd.samplers()["tempering"].distribution == "deem-crowd-tempering"
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=150)
    data = np.where(rng.random((150, 6)) < 0.7, truth[:, None], rng.integers(3, size=(150, 6)))
    model = deem_crowd.DEEM(sampler="tempering", epochs=30).fit(data)
    assert model.score(data, truth) > deem_crowd.DEEM().fit(data).score(data, truth) - 0.05
    assert 0 < model.history_["acceptance"][-1] <= 1


def test_bad_parameters() -> None:
    with pytest.raises(ParameterError, match="n_replicas=1"):
        ParallelTempering(n_replicas=1)
    with pytest.raises(ParameterError, match="hottest=2"):
        ParallelTempering(hottest=2)


def test_gaps_stay_gaps() -> None:
    mask = torch.tensor([[True, False, True, True, False]])
    state = torch.where(mask, 1, -1).expand(4, -1, -1)
    drawn = ParallelTempering().sample(TwoModes(), state, mask, 5, torch.Generator().manual_seed(1))
    assert torch.equal(drawn >= 0, mask.expand(4, -1, -1))
    assert one_hot(drawn, 2, torch.float64).sum().item() == 12
