"""The dense tensor for people who bring their own model, and their model's output back."""

from __future__ import annotations

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest
import torch

from deem_crowd.exceptions import DataError, FormError, MemoryNeedError, ParameterError

FRAME = pd.DataFrame(
    {"task": ["t2", "t1", "t2"], "worker": [5, 5, 6], "label": ["dog", "cat", "cat"]}
)


def test_the_indexes_read_the_tensor() -> None:
    predictions, tasks, workers, classes = adapters.to_dense(FRAME)
    read = {
        (tasks[n], workers[i], classes[int(predictions[n, i])])
        for n, i in zip(*np.nonzero(predictions.numpy() >= 0), strict=True)
    }
    assert read == set(FRAME.itertuples(index=False, name=None))
    assert int((predictions == -1).sum()) == 1  # missing is absent, no class of its own
    assert len(classes) == 2


def test_soft_tensors_have_zeros_exactly_where_nobody_answered() -> None:
    soft = adapters.to_dense(FRAME, soft=True, dtype=torch.float64).predictions
    assert soft.dtype == torch.float64
    assert torch.equal(soft.sum(1), (adapters.to_dense(FRAME).predictions >= 0).double())


def test_class_numbers_come_back_as_labels_and_minus_one_as_missing() -> None:
    dense = adapters.to_dense(FRAME)
    labels = dense.labels(torch.tensor([1, -1]))
    assert labels.name == "agg_label"
    assert labels.index.equals(dense.tasks)
    assert labels.iloc[0] == "dog"
    assert labels.isna().tolist() == [False, True]
    probas = dense.probas(np.array([[0.25, 0.75], [1, 0]]))
    assert probas.loc["t2", "dog"] == 0.75
    assert probas.columns.name == "label"


def test_output_of_the_wrong_shape_or_range_is_refused() -> None:
    dense = adapters.to_dense(FRAME)
    with pytest.raises(DataError, match=r"1 of 2 class numbers is not in −1\.\.1: 2"):
        dense.labels([0, 2])
    with pytest.raises(FormError, match=r"shape \(2,\).*\.probas"):
        dense.labels([[0.5, 0.5], [1, 0]])
    with pytest.raises(FormError, match=r"expected shape \(2, 2\), tasks × classes"):
        dense.probas([[1.0], [1.0]])


def test_soft_answers_need_the_soft_tensor() -> None:
    with pytest.raises(FormError, match=r"soft=True"):
        adapters.to_dense(np.full((2, 2, 1), 0.5))


def test_row_50000_workers_refused_with_the_bytes_before_anything_is_allocated(monkeypatch) -> None:
    monkeypatch.setattr("deem_crowd.data.memory.available_bytes", lambda: 2**30)
    frame = pd.DataFrame({"task": np.arange(50_000), "worker": np.arange(50_000), "label": 0})
    with pytest.raises(
        MemoryNeedError, match=r"50,000 tasks × 50,000 workers would need 18\.6 GiB"
    ):
        adapters.to_dense(frame)


def test_options_reach_the_adapter() -> None:
    wide = pd.DataFrame({"v": ["x", "y"], "w": ["x", None]}, index=["t", "u"])
    assert adapters.to_dense(wide, format="wide").predictions.tolist() == [[0, 0], [1, -1]]
    with pytest.raises(
        ParameterError, match=r"mising.*It takes 'task', 'worker', 'label', 'columns', 'missing'"
    ):
        adapters.to_dense(FRAME, mising="drop")
