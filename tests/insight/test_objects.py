"""Dates in columns of objects stay objects, without a warning: pandas 2 would give an Index of them another dtype."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from deem_crowd_adapters import from_wide, write_table
from deem_crowd_benchmarks import compare

from deem_crowd import DEEMAggregator, decide, judge_report
from deem_crowd.insight.contested import contested
from deem_crowd.insight.findings import summary
from deem_crowd.insight.tables import tasks, workers

N, D, K = 20, 6, 3


def ids(n: int) -> pd.Series:
    days = [pd.Timestamp("2024-02-27 00:00:00.000001") + pd.Timedelta(days=i) for i in range(n)]
    return pd.Series(days, dtype=object)


def crowd() -> pd.DataFrame:
    """Return answers of D workers about N tasks, whose ids and labels are dates in columns of objects."""
    rng = np.random.default_rng(0)
    truth = rng.integers(K, size=N)
    numbers = pd.DataFrame({"task": np.repeat(np.arange(N), D), "worker": np.tile(range(D), N)})
    right = rng.random(N * D) < 0.8
    numbers["label"] = np.where(right, truth[numbers["task"]], rng.integers(K, size=N * D))
    days = ids(N)
    return pd.DataFrame({name: days.take(numbers[name]).reset_index(drop=True) for name in numbers})


@pytest.fixture(scope="module")
def fitted() -> DEEMAggregator:
    return DEEMAggregator().fit(crowd())


def known(agg: DEEMAggregator) -> pd.DataFrame:
    labels = agg.labels_.iloc[:10]
    return pd.DataFrame({"task": list(labels.index), "label": list(labels)}, dtype=object)


def test_labels_are_found_among_the_classes(fitted: DEEMAggregator) -> None:
    frame, told = crowd(), known(fitted)
    assert set(frame.dtypes) == set(told.dtypes) == {np.dtype(object)}
    assert fitted.labels_.dtype == fitted.probas_.columns.dtype == object
    assert fitted.predict(frame, contested="missing").dropna().isin(ids(K)).all()
    report_ = judge_report(fitted, told)
    assert report_.confusion.index.dtype == report_.confusion.columns.dtype == object
    assert report_.confusion.to_numpy().trace() == len(told)
    assert len(tasks(fitted)) == len(contested(fitted)) == N
    assert len(workers(fitted)) == D
    assert f"{N} tasks" in summary(fitted)
    suspect = decide.suspect_labels(fitted, 3, labels=told)
    assert suspect["label"].isin(ids(K)).all()


def test_tasks_to_ask_next_are_spread_out_over_features_by_task(fitted: DEEMAggregator) -> None:
    features = pd.DataFrame({"task": ids(N)[::-1], "x": np.arange(N, dtype=float)})
    asked = decide.next_tasks(fitted, 3, features=features)
    assert asked["task"].isin(ids(N)).all()


def test_known_labels_are_remembered(fitted: DEEMAggregator) -> None:
    frame, told = crowd(), known(fitted)
    agg = DEEMAggregator().partial_fit(frame.iloc[:90], gold=told)
    agg.partial_fit(frame.iloc[90:95])
    agg.partial_fit(frame.iloc[95:], gold=told.iloc[:3])
    assert [agg.labels_[task] for task in told["task"]] == list(told["label"])


def test_features_name_their_tasks_in_a_column() -> None:
    features = pd.DataFrame({"task": ids(N)[::-1], "x": np.arange(N, dtype=float)})
    agg = DEEMAggregator().fit(crowd(), features=features)
    assert set(agg.labels_.index) == set(ids(N))


def test_a_wide_table_names_its_tasks_in_a_column() -> None:
    labels = pd.Series(np.arange(N) % 2).map({0: "a", 1: "b"})
    answers = from_wide(pd.DataFrame({"day": ids(N), "ann": labels, "bob": labels}), task="day")
    assert answers.tasks.dtype == object
    assert list(answers.tasks) == list(ids(N))


def test_tables_and_pages_are_written(fitted: DEEMAggregator, tmp_path) -> None:
    write_table(fitted.labels_, tmp_path / "labels.csv")
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 1 + N
    fitted.report(tmp_path / "report.html")
    assert "2024-02-27" in (tmp_path / "report.html").read_text()


def test_methods_are_compared(fitted: DEEMAggregator) -> None:
    (result,) = compare(crowd(), ["deem"], gold=fitted.labels_.iloc[:10])
    assert not result.error
    assert result.accuracy == 1
