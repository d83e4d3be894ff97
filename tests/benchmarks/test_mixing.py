"""The suite of samplers, against enumeration and processes of known autocorrelation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from deem_crowd_benchmarks import mixing

from deem_crowd.samplers.base import one_hot


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_effective_size_of_an_autoregression(rho) -> None:
    rng = np.random.default_rng(0)
    trace = np.zeros((2000, 50))
    trace[0] = rng.normal(size=50)
    for i in range(1, len(trace)):
        trace[i] = rho * trace[i - 1] + np.sqrt(1 - rho**2) * rng.normal(size=50)
    expected = 2000 * (1 - rho) / (1 + rho)
    assert mixing.effective_size(trace).mean() == pytest.approx(expected, rel=0.1)


def test_chains_that_stay_apart_have_no_effective_samples() -> None:
    rng = np.random.default_rng(0)
    trace = np.repeat([[0.0, 10.0]], 500, axis=0) + 0.1 * rng.normal(size=(500, 2))
    assert mixing.effective_size(trace).max() < 3
    assert mixing.effective_size(np.ones((50, 3))).tolist() == [0, 0, 0]


@pytest.mark.parametrize("k", [2, 3])
def test_the_exact_gradient_is_that_of_enumeration(k) -> None:
    model = mixing.network(k, 0.7, seed=1)
    exists = torch.zeros(mixing.WORKERS, dtype=torch.bool)
    exists[[1, 4, 5, 9]] = True
    states = torch.full((k**4, mixing.WORKERS), -1)
    states[:, exists] = torch.tensor(list(itertools.product(range(k), repeat=4)))
    energy = mixing._energy(model, exists.expand(len(states), -1))
    answers = one_hot(states, k, torch.float64)
    with torch.no_grad():
        p = torch.softmax(-energy.free_energy(answers), 0)
        posterior = mixing._posterior(model, answers)
        expected = torch.einsum("b,btl,bh->tlh", p, answers, posterior)
    torch.testing.assert_close(mixing._exact(model, exists), expected)


def test_rows_of_all_samplers(monkeypatch) -> None:
    monkeypatch.setattr(mixing, "N_CHAINS", 500)
    monkeypatch.setattr(mixing, "N_TRACE", 50)
    found = {(row["sampler"], row["model"]): row for row in mixing.rows(["exact", "gibbs", "dlp"])}
    assert len(found) == 3 * len(mixing.MODELS)
    for model in mixing.MODELS:
        exact, gibbs = found["exact", model], found["gibbs", model]
        assert exact["status"] == gibbs["status"] == "ok"
        # independent draws are at the noise from the first step on
        assert max(exact["gradient_error"].values()) < 2.5 * exact["noise"]
        assert 0 < found["dlp", model]["acceptance"] < 1
        assert gibbs["acceptance"] is None
    strong = found["gibbs", "K=4, strong"]["gradient_error"]
    assert strong["1"] > 5 * found["gibbs", "K=4, strong"]["noise"]
    assert strong["100"] < strong["1"]


def test_a_sampler_that_fails_is_a_row(monkeypatch) -> None:
    from deem_crowd.samplers.gibbs import Gibbs

    def fails(*_):
        raise RuntimeError("not today")

    monkeypatch.setattr(Gibbs, "sample", fails)
    assert {row["status"] for row in mixing.rows(["gibbs"])} == {"failed"}
    assert mixing.rows(["gibbs"])[0]["reason"] == "RuntimeError: not today"
