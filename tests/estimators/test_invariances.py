"""What must not change a result does not: order of rows, names, dtypes, empty workers, unused classes."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from examples import SCALE, runs
from hypothesis import given
from hypothesis import strategies as st

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.model.votes import first_of_best

CLOSE = {"rtol": 0, "atol": 1e-6}
MANY = runs(10)


@st.composite
def frames(draw, fewest: int = 1) -> pd.DataFrame:
    seed = draw(st.integers(0, 10**6))
    n, d, k = draw(st.integers(fewest, 25)), draw(st.integers(1, 7)), draw(st.integers(1, 4))
    skill = draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    task, worker = np.nonzero(rng.random((n, d)) < draw(st.sampled_from([0.3, 0.7, 1.0])))
    right = rng.random(len(task)) < skill
    label = np.where(right, truth[task], rng.integers(0, k, len(task)))
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    return frame if len(frame) else pd.DataFrame({"task": [0], "worker": [0], "label": [0]})


def fit(frame: pd.DataFrame, **params) -> DEEMAggregator:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return DEEMAggregator(**params).fit(frame)


def check_same(one: DEEMAggregator, other: DEEMAggregator, tasks=None, labels=None) -> None:
    """Compare probabilities under renamings old → new, and labels where no tie is near."""
    probas = one.probas_.rename(index=tasks or {}, columns=labels or {})
    there = other.probas_.loc[probas.index, probas.columns]
    np.testing.assert_allclose(there.to_numpy(), probas.to_numpy(), **CLOSE)
    top = np.sort(probas.to_numpy(), axis=1)
    clear = top[:, -1] - (top[:, -2] if top.shape[1] > 1 else 0) > 1e-5
    mine = one.labels_.rename(index=tasks or {}).map(lambda x: (labels or {}).get(x, x))
    assert (other.labels_.loc[probas.index][clear] == mine.loc[probas.index][clear]).all()


@MANY
@given(frames(), st.integers(0, 99))
def test_order_of_rows(frame, seed) -> None:
    one, other = fit(frame), fit(frame.sample(frac=1, random_state=seed))
    check_same(one, other)
    ties = one.labels_.reindex(other.labels_.index)
    assert (ties == other.labels_).all()  # ties break the same way, too


@MANY
@given(frames(), st.permutations(range(4)))
def test_names_of_tasks_workers_and_labels(frame, order) -> None:
    tasks = {t: f"task-{(7 * t) % 101}" for t in frame["task"].unique()}
    labels = {k: "wxyz"[order[k]] for k in range(4)}
    renamed = pd.DataFrame(
        {
            "task": frame["task"].map(tasks),
            "worker": frame["worker"].map(lambda w: (-w, "who")),
            "label": frame["label"].map(labels),
        }
    )
    check_same(fit(frame), fit(renamed), tasks, labels)


@MANY
@given(
    frames(), st.sampled_from(["str", "category", "string[pyarrow]", "float64", "int64[pyarrow]"])
)
def test_dtypes(frame, dtype) -> None:
    one, other = fit(frame), fit(frame.astype(dtype))
    np.testing.assert_allclose(other.probas_.to_numpy(), one.probas_.to_numpy(), **CLOSE)
    assert other.labels_.dtype == frame["label"].astype(dtype).dtype
    assert other.labels_.astype(str).map(float).tolist() == one.labels_.map(float).tolist()


@MANY
@given(frames(), st.booleans())
def test_a_worker_and_a_class_that_never_occur(frame, first) -> None:
    matrix = np.full((frame["task"].max() + 1, frame["worker"].max() + 1), -1)
    matrix[frame["task"], frame["worker"]] = frame["label"]
    k = int(frame["label"].max()) + 1
    nobody = np.full((len(matrix), 1), -1)
    wider = np.hstack([nobody, matrix] if first else [matrix, nobody])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = DEEM(n_classes=k).fit(matrix).predict_proba(matrix)
        other = DEEM(n_classes=k + 1).fit(wider).predict_proba(wider)
    np.testing.assert_allclose(other[:, :k], one, **CLOSE)
    assert (other[:, k] == 0).all()


@MANY
@given(
    frames(),
    st.sampled_from([{}, {"subtypes": 2}, {"gauge": "free"}, {"penalty": None}, {"n_iter": 0}]),
)
def test_probabilities_are_finite_and_sum_to_one(frame, params) -> None:
    agg = fit(frame, **params)
    assert np.isfinite(agg.probas_.to_numpy()).all()
    np.testing.assert_allclose(agg.probas_.sum(axis=1), 1, atol=1e-9)
    assert agg.skills_.between(0, 1).all()
    np.testing.assert_allclose(agg.errors_.groupby(level=0).sum(), 1, atol=1e-6)


@pytest.mark.parametrize("n", [300, 3000])
def test_larger_frames_in_any_order(n) -> None:
    rng = np.random.default_rng(n)
    truth = rng.integers(0, 4, n)
    frame = pd.DataFrame({"task": np.repeat(np.arange(n), 5), "worker": rng.integers(0, 40, 5 * n)})
    right = rng.random(5 * n) < rng.beta(4, 2, 40)[frame["worker"]]
    frame["label"] = np.where(right, truth[frame["task"]], rng.integers(0, 4, 5 * n))
    frame = frame.drop_duplicates(["task", "worker"])
    check_same(fit(frame), fit(frame.sample(frac=1, random_state=1)))


@runs(15)
@given(
    frames(),
    st.integers(0, 99),
    st.sampled_from([{"subtypes": 2}, {"gauge": "free"}, {"penalty": None}]),
)
def test_order_of_rows_in_the_variants_of_the_model(frame, seed, params) -> None:
    check_same(fit(frame, **params), fit(frame.sample(frac=1, random_state=seed), **params))


def tied(seed: int) -> pd.DataFrame:
    """Few answers, so that many a vote is a tie."""
    rng = np.random.default_rng(seed)
    n, d, k = rng.integers(8, 25), rng.integers(2, 7), rng.integers(2, 5)
    truth = rng.integers(0, k, n)
    task, worker = np.nonzero(rng.random((n, d)) < rng.choice([0.3, 0.7, 1.0]))
    right = rng.random(len(task)) < rng.choice([0, 0.5, 0.9])
    label = np.where(right, truth[task], rng.integers(0, k, len(task)))
    return pd.DataFrame({"task": task, "worker": worker, "label": label})


@pytest.mark.parametrize(
    "params", [{}, {"gauge": "free"}, {"penalty": None}, {"penalty": 0.5}], ids=str
)
def test_names_of_labels_where_many_votes_are_tied(params) -> None:
    """A tied vote must not count for the class whose name comes first when states get their names."""
    differ = []
    for seed in range(12 * SCALE):
        frame, order = tied(seed), np.random.default_rng(seed).permutation(4)
        one = fit(frame, **params).probas_.rename(columns=dict(enumerate(order)))
        other = fit(frame.assign(label=order[frame["label"]]), **params).probas_
        if not np.allclose(other.loc[one.index, one.columns], one, **CLOSE):
            differ.append(seed)
    assert differ == []


@runs(12)
@given(frames(), st.integers(0, 99))
def test_order_of_rows_columns_and_classes_of_a_soft_array(frame, seed) -> None:
    rng = np.random.default_rng(seed)
    n, d, k = (int(frame[c].max()) + 1 for c in ("task", "worker", "label"))
    soft = np.zeros((n, k, d))
    given = (frame["task"], slice(None), frame["worker"])
    soft[given] = 0.7 * np.eye(k)[frame["label"]] + 0.3 * rng.dirichlet(np.ones(k), len(frame))
    rows, columns, classes = rng.permutation(n), rng.permutation(d), rng.permutation(k)
    shuffled = soft[rows][:, classes][:, :, columns]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = DEEM().fit(soft).predict_proba(soft)
        other = DEEM().fit(shuffled).predict_proba(shuffled)
    np.testing.assert_allclose(other, one[rows][:, classes], **CLOSE)


@runs(6)  # known labels choose between readings, which takes many fits
@given(frames(fewest=16), st.integers(0, 99))
def test_order_of_rows_with_gold(frame, seed) -> None:
    first = frame.drop_duplicates("task").iloc[::2]
    gold = pd.Series(first["label"].to_numpy(), index=first["task"].to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = DEEMAggregator().fit(frame, gold)
        other = DEEMAggregator().fit(frame.sample(frac=1, random_state=seed), gold[::-1])
    check_same(one, other)
    assert (one.labels_.loc[gold.index] == gold).all()


def test_a_tie_within_rounding_goes_to_the_first_class() -> None:
    scores = torch.tensor([[0.5, 0.5 + 1e-12], [0.2, 0.8]], dtype=torch.float64)
    assert first_of_best(scores).tolist() == [0, 1]


def test_order_of_rows_where_states_agree_equally_with_several_classes() -> None:
    """One worker under a fixed penalty: rounding must not decide which state gets which name."""
    frame = pd.DataFrame({"task": range(7), "worker": 0, "label": [2, 1, 3, 2, 3, 0, 0]})
    one = fit(frame, penalty=0.5)
    for seed in range(30):
        check_same(one, fit(frame.sample(frac=1, random_state=seed), penalty=0.5))
