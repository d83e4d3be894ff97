"""What must not change a result does not: order of rows, names, dtypes, empty workers, unused classes."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd import DEEM, DEEMAggregator

CLOSE = {"rtol": 0, "atol": 1e-6}
MANY = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def frames(draw) -> pd.DataFrame:
    seed = draw(st.integers(0, 10**6))
    n, d, k = draw(st.integers(1, 25)), draw(st.integers(1, 7)), draw(st.integers(1, 4))
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
    other = fit(frame.astype(dtype))
    np.testing.assert_allclose(other.probas_.to_numpy(), fit(frame).probas_.to_numpy(), **CLOSE)
    assert other.labels_.dtype == frame["label"].astype(dtype).dtype
    assert other.labels_.astype(str).map(float).tolist() == fit(frame).labels_.map(float).tolist()


@MANY
@given(frames(), st.integers(0, 40))
def test_splitting_the_frame_and_putting_it_together(frame, at) -> None:
    parts = pd.concat([frame.iloc[at:], frame.iloc[:at]])
    check_same(fit(frame), fit(parts))


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
