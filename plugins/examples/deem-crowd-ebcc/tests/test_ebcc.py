"""EBCC: a bound that never falls, an independent reference on a tiny case, and the aggregators' contract."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from deem_crowd_ebcc import EBCC
from deem_crowd_ebcc.inference import Counts, Prior, run, start
from scipy.special import digamma, gammaln

import deem_crowd
from deem_crowd.exceptions import ParameterError
from deem_crowd.testing import check_aggregator

# a folder of label sets with peers.csv, where there is one
GIVEN = os.environ.get("DEEM_CROWD_LABEL_SETS")
PLACES = (
    [Path(GIVEN)]
    if GIVEN
    else [parent / "shared" / "data" for parent in Path(__file__).resolve().parents]
)


def crowd(seed: int, n: int = 60, d: int = 8, k: int = 3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    task, worker = np.nonzero(rng.random((n, d)) < 0.6)
    right = rng.random(len(task)) < rng.uniform(0.4, 0.9, size=d)[worker]
    label = np.where(right, truth[task], rng.integers(k, size=len(task)))
    return task, worker, label, truth


def test_it_is_an_aggregator() -> None:
    check_aggregator(EBCC)


@pytest.mark.parametrize("seed", range(8))
def test_the_bound_never_falls(seed) -> None:
    task, worker, label, _ = crowd(seed)
    counts = Counts(task, worker, label, 60, 8, 3)
    rng = np.random.default_rng(seed)
    prior = Prior(np.ones(3), *rng.uniform(0.05, 4, size=3))
    rho, bounds = run(counts, start(counts, 4, rng), prior, 200, 0.0)
    assert len(bounds) > 3
    assert np.diff(bounds).min() > -1e-8
    np.testing.assert_allclose(rho.sum((1, 2)), 1.0)


def reference(task, worker, label, rho, prior: Prior, n_iter: int) -> tuple[np.ndarray, float]:
    """The same updates, answer by answer, and the bound as the expectation of log p − log q, term by term."""
    n, k, m = rho.shape
    d = worker.max() + 1

    def expected_log(parameters):
        return digamma(parameters) - digamma(parameters.sum())

    def dirichlet_part(after, before):
        """E[log p(θ)] − E[log q(θ)] of one Dirichlet."""
        log = expected_log(after)

        def constant(p):
            return gammaln(p.sum()) - gammaln(p).sum()

        return constant(before) - constant(after) + ((before - after) * log).sum()

    bound = 0.0
    for _ in range(n_iter):
        nu = prior.classes + rho.sum((0, 2))
        eta = [prior.subtypes + rho[:, c].sum(0) for c in range(k)]
        mu = {}
        for i in range(d):
            for c in range(k):
                for g in range(m):
                    cells = np.full(k, prior.wrong)
                    cells[c] = prior.right
                    for t, w, x in zip(task, worker, label, strict=True):
                        if w == i:
                            cells[x] += rho[t, c, g]
                    mu[i, c, g] = cells
        bound = dirichlet_part(nu, prior.classes)
        bound += sum(dirichlet_part(e, np.full(m, prior.subtypes)) for e in eta)
        for (_, c, _g), cells in mu.items():
            before = np.full(k, prior.wrong)
            before[c] = prior.right
            bound += dirichlet_part(cells, before)
        scores = np.zeros((n, k, m))
        for c in range(k):
            for g in range(m):
                scores[:, c, g] = expected_log(nu)[c] + expected_log(eta[c])[g]
        for t, w, x in zip(task, worker, label, strict=True):
            for c in range(k):
                for g in range(m):
                    scores[t, c, g] += expected_log(mu[w, c, g])[x]
        bound += (rho * scores).sum() - (rho * np.log(rho)).sum()
        rho = np.exp(scores - scores.max((1, 2), keepdims=True))
        rho /= rho.sum((1, 2), keepdims=True)
    return rho, bound


def test_against_a_slow_reference() -> None:
    task, worker, label, _ = crowd(1, n=7, d=3, k=2)
    counts = Counts(task, worker, label, 7, 3, 2)
    first = start(counts, 2, np.random.default_rng(0)).clip(1e-12)
    prior = Prior(np.array([1.5, 0.7]), 0.3, 3.0, 0.8)
    rho, bounds = run(counts, first, prior, 4, 0.0)
    expected, bound = reference(task, worker, label, first, prior, 4)
    np.testing.assert_allclose(rho, expected, atol=1e-9)
    assert bounds[-1] == pytest.approx(bound, abs=1e-9)


def test_of_several_starts_the_best_bound_is_kept() -> None:
    task, worker, label, _ = crowd(3)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    many = EBCC(n_seeds=6).fit(frame).bounds_[-1]
    assert many >= EBCC(n_seeds=1).fit(frame).bounds_[-1]


def test_bad_parameters() -> None:
    frame = pd.DataFrame({"task": [1], "worker": [1], "label": [1]})
    for name, value in (("n_seeds", 0), ("n_iter", 1.5), ("right_prior", 0), ("tol", -1)):
        with pytest.raises(ParameterError, match=f"{name}={value}"):
            EBCC(**{name: value}).fit(frame)


def test_it_is_listed() -> None:
    assert deem_crowd.aggregators()["ebcc"].distribution == "deem-crowd-ebcc"
    assert isinstance(deem_crowd.create("ebcc", n_seeds=2), EBCC)


def test_accuracy_on_label_sets() -> None:
    data = next((place for place in PLACES if (place / "peers.csv").is_file()), None)
    if data is None:
        pytest.skip("the label sets with the accuracy of other implementations are not at hand")
    peers = pd.read_csv(data / "peers.csv").set_index("name")
    column = next(name for name in peers.columns if name.startswith("EBCC"))
    small = ["dog", "ms", "sp_amt", "cf_amt", "zencrowd_us", "condind", "c2_boosting", "csgo", "hs3",
             "vehicle", "micro-mass", "led-display-domain-7digit"]  # fmt: skip
    near = []
    for name in small:
        folder = data / peers.loc[name, "kind"] / name
        frame = pd.read_csv(next(folder.glob("labels.csv*")))
        truth = pd.read_csv(next(folder.glob("truth.csv*"))).set_index("task")["label"]
        found = 100 * float((EBCC().fit_predict(frame).reindex(truth.index) == truth).mean())
        near.append(abs(found - peers.loc[name, column]) <= 1)
    assert sum(near) >= 9
