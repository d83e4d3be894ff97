"""Numbers at their ends: nothing overflows, nothing is NaN, and what does not converge says what to do."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import wild
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.exceptions import DataWarning
from deem_crowd.model.energy import Energy
from deem_crowd.model.rows import softmax

MODELS = pytest.mark.parametrize(
    "params",
    [{}, {"auto_hyperparameters": False}, {"penalty": None}, {"gauge": "free"}],
    ids=["default", "plain", "unpenalised", "free"],
)


def fit(task, worker, label, **params) -> DEEMAggregator:
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    model = DEEMAggregator(progress=False, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of numpy and torch, too
        warnings.simplefilter("ignore", DataWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(frame)
        wild.check_aggregator(model)
        intervals = model.skill_intervals_.to_numpy()
    assert np.isfinite(intervals).all()
    assert (intervals[:, 0] <= intervals[:, 1]).all()
    return model


@MODELS
def test_twenty_thousand_answers_to_one_task(params) -> None:
    """Their likelihood is far below the smallest number."""
    rng = np.random.default_rng(0)
    label = rng.choice([0, 1, 2], 20_000, p=[0.5, 0.3, 0.2])
    model = fit(0, np.arange(20_000), label, **params)
    assert model.labels_[0] == 0
    assert model.probas_.loc[0, 0] > 0.99 or params.get("gauge") == "free"


@MODELS
def test_tens_of_thousands_of_answers_to_one_task_among_others(params) -> None:
    rng = np.random.default_rng(1)
    slow = not params or "gauge" in params  # many fits, or many passes
    d = 2 * 10**4 if slow else 10**5
    small = np.repeat(np.arange(1, 201), 5)
    worker = np.concatenate([np.arange(d), rng.integers(d, size=1000)])
    task = np.concatenate([np.zeros(d, int), small])
    truth = np.arange(201) % 2
    label = np.where(rng.random(len(task)) < 0.7, truth[task], 1 - truth[task])
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    frame = frame.drop_duplicates(["task", "worker"])
    model = fit(frame["task"], frame["worker"], frame["label"], **params)
    assert model.labels_[0] == truth[0]


@pytest.mark.slow
@MODELS
def test_a_worker_with_three_hundred_thousand_answers(params) -> None:
    rng = np.random.default_rng(2)
    n = 3 * 10**5
    truth = rng.integers(3, size=n)
    one = np.where(rng.random(n) < 0.9, truth, rng.integers(3, size=n))
    few = rng.choice(n, 3000, replace=False)
    others = np.where(rng.random(3000) < 0.8, truth[few], rng.integers(3, size=3000))
    params = {"n_iter": 30, **params}  # the free gauge takes long
    model = fit(
        np.concatenate([np.arange(n), few]),
        np.concatenate([np.zeros(n, int), 1 + np.arange(3000) % 30]),
        np.concatenate([one, others]),
        **params,
    )
    assert (model.labels_.loc[np.arange(n)].to_numpy() == one).mean() > 0.99
    assert model.skill_intervals_.loc[0].diff().iloc[-1] < 0.2


@pytest.mark.parametrize("k", [2, 50, 500, 5000])
@pytest.mark.parametrize("auto", [None, False])
def test_up_to_five_thousand_classes(k, auto) -> None:
    rng = np.random.default_rng(k)
    n, d = (3 * k, 4) if k < 1000 else (k, 2)  # sparse tables beyond
    truth = np.concatenate([np.arange(k), rng.integers(k, size=n - k)])
    task = np.repeat(np.arange(n), d)
    label = np.where(rng.random(n * d) < 0.8, truth[task], rng.integers(k, size=n * d))
    n_iter = 10 if k < 500 else 2
    model = fit(task, np.tile(np.arange(d), n), label, auto_hyperparameters=auto, n_iter=n_iter)
    assert (model.labels_.to_numpy() == truth).mean() > 0.75


@MODELS
@pytest.mark.parametrize("k", [1, 2, 4])
def test_unanimous_answers(params, k) -> None:
    truth = np.arange(60) % k
    model = fit(np.repeat(np.arange(60), 5), np.tile(np.arange(5), 60), truth.repeat(5), **params)
    assert (model.labels_.to_numpy() == truth).all()
    if params.get("gauge") != "free":
        assert (model.skills_ > 0.9).all()


@MODELS
def test_separable_answers_whose_likelihood_has_no_finite_maximum(params) -> None:
    """Every worker is right always, or wrong always: each table runs to zeros and ones."""
    truth = np.arange(80) % 2
    flip = np.array([0, 0, 0, 0, 1])
    label = truth[:, None] ^ flip
    task, worker = np.nonzero(label >= 0)
    model = fit(task, worker, label[task, worker], **params)
    assert (model.labels_.to_numpy() == truth).all()
    assert model.skills_[4] < 0.1 or params.get("gauge") == "free"


@MODELS
def test_one_worker_for_each_task(params) -> None:
    label = np.arange(300) % 3
    model = fit(np.arange(300), np.arange(300), label, **params)
    assert (model.labels_.to_numpy() == label).all()
    assert model.probas_.to_numpy().max() < 0.999


@MODELS
def test_one_task_for_each_worker_and_all_disagree(params) -> None:
    fit(np.repeat(np.arange(40), 2), np.arange(80), np.arange(80), **params)


@wild.runs(16)
@given(wild.crowds(), st.sampled_from([None, False]))
def test_single_precision_says_the_same_as_double(frame, auto) -> None:
    frame = frame.drop_duplicates(["task", "worker"])
    found = [
        fit(
            frame["task"], frame["worker"], frame["label"], dtype=dtype, auto_hyperparameters=auto
        ).probas_
        for dtype in ("float32", "float64")
    ]
    np.testing.assert_allclose(found[0], found[1], atol=2e-3)


@pytest.mark.parametrize("size", [0.0, 5e-324, 1e-310, 1e-30, 1e4, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_any_size(size, dtype) -> None:
    """Subnormal and huge weights: posteriors stay distributions."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn((4, 3, 3), generator=generator, dtype=torch.float64) * size
    energy = Energy(torch.zeros(3, dtype=torch.float64), weight, weight.mean(0))
    from deem_crowd.data.answers import Answers
    from deem_crowd.model.design import DesignMatrix

    answers = Answers.from_dense(np.random.default_rng(0).integers(0, 3, (50, 4)), 3)
    posterior = energy.posterior(DesignMatrix(answers, torch.device("cpu"), dtype))
    assert torch.isfinite(posterior).all()
    torch.testing.assert_close(posterior.sum(1), torch.ones(50, dtype=dtype), atol=1e-5, rtol=0)


@given(st.lists(st.floats(-1e38, 1e38), min_size=1, max_size=6), st.booleans())
def test_softmax_of_anything_finite(values, single) -> None:
    logits = torch.tensor([values], dtype=torch.float32 if single else torch.float64)
    posterior, log_total = softmax(logits)
    assert torch.isfinite(posterior).all()
    assert torch.isfinite(log_total).all()
    assert float(posterior.sum()) == pytest.approx(1, abs=1e-5)


def test_what_does_not_converge_says_what_to_do() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=200)
    matrix = np.where(rng.random((200, 5)) < 0.6, truth[:, None], rng.integers(0, 3, (200, 5)))
    words = (
        r"training stopped after 2 passes before a pass gained less than tol=1e-06 nats an answer\. "
        r"Raise n_iter \(epochs\), or tol\."
    )
    with pytest.warns(ConvergenceWarning, match=words):
        DEEM(auto_hyperparameters=False, epochs=2).fit(matrix)
    with pytest.warns(ConvergenceWarning, match="stopped after 3 passes"):
        DEEM(hidden_dim=2, epochs=3).fit(matrix)
