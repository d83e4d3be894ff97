"""Features and answers in tables of polars and Arrow give what the same frames of pandas give."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.exceptions import DataError, FormError
from deem_crowd.learning import CrowdClassifier

pytestmark = pytest.mark.usefixtures("few_fits_throughout", "same_fits_once")

N = 90


@pytest.fixture(scope="module")
def data():
    """Return answers, features in the order of the tasks, and labels as text."""
    x, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(y))[:N]
    x, names = x[chosen], np.array(["setosa", "versicolor", "virginica"])[y[chosen]]
    rows = [
        (f"t{i}", f"w{w}", names[i] if rng.random() < 0.75 else rng.choice(names))
        for i in range(N)
        for w in range(3)
    ]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    return frame, pd.DataFrame(x, columns=list("abcd")), names


@pytest.fixture(scope="module")
def by_task(data) -> pd.DataFrame:
    """Features, with the task of each row."""
    return data[1].assign(task=[f"t{i}" for i in range(N)])


@pytest.fixture(scope="module")
def model_of_frames(data, by_task) -> DEEMAggregator:
    return DEEMAggregator().fit(data[0], features=by_task)


@pytest.fixture(scope="module")
def classifier_of_a_frame(data) -> CrowdClassifier:
    frame, x, _ = data
    return CrowdClassifier().fit(x.to_numpy(), frame)


def forms(table: pd.DataFrame):
    polars = pl.DataFrame(table.to_dict("list"))
    return {"polars": polars, "lazy": polars.lazy(), "arrow": polars.to_arrow()}


@pytest.mark.parametrize("form", ["polars", "lazy", "arrow"])
def test_features_with_tasks_and_without(data, by_task, model_of_frames, form) -> None:
    frame, x, _ = data
    for features in (by_task.sample(frac=1, random_state=0), x):
        model = DEEMAggregator().fit(frame, features=forms(features)[form])
        np.testing.assert_array_equal(model.probas_, model_of_frames.probas_)
        again = model.predict_proba(frame, features=forms(features)[form])
        np.testing.assert_allclose(again, model.predict_proba(frame, features=by_task), atol=1e-12)
        asked = model.next_tasks(5, features=forms(features)[form])
        assert asked["task"].tolist() == model.next_tasks(5, features=by_task)["task"].tolist()


def test_an_index_that_arrow_kept_names_the_tasks(data) -> None:
    frame, x, _ = data
    indexed = x.set_axis([f"t{i}" for i in range(N)]).sample(frac=1, random_state=0)
    model = DEEMAggregator().fit(frame, features=pa.Table.from_pandas(indexed))
    expected = DEEMAggregator().fit(frame, features=indexed)
    np.testing.assert_array_equal(model.probas_, expected.probas_)


def test_columns_of_a_table_go_by_their_names(data) -> None:
    frame, x, _ = data
    model = DEEMAggregator().fit(frame, features=forms(x)["polars"])
    turned = x[list("dcba")]
    expected = model.classifier_.predict(x)
    for table in (turned, *forms(turned).values()):
        np.testing.assert_array_equal(model.classifier_.predict(table), expected)


@pytest.mark.parametrize("form", ["polars", "lazy", "arrow", "rows", "path"])
def test_the_classifier_takes_answers_as_the_aggregator_does(
    data, classifier_of_a_frame, form, tmp_path
) -> None:
    frame, x, names = data
    path = tmp_path / "answers.csv"
    frame.to_csv(path, index=False)
    answers = {**forms(frame), "rows": frame.to_dict("records"), "path": path}[form]
    expected = classifier_of_a_frame
    found = CrowdClassifier().fit(x.to_numpy(), answers)
    assert list(found.classes_) == sorted(set(names))
    np.testing.assert_array_equal(found.predict(x.to_numpy()), expected.predict(x.to_numpy()))
    np.testing.assert_array_equal(found.probas_, expected.probas_)


def test_the_classifier_takes_features_of_polars_and_searches_over_them(data) -> None:
    frame, x, _ = data
    codes = frame.assign(label=frame["label"].astype("category").cat.codes.astype(int))
    wide = codes.pivot(index="task", columns="worker", values="label")
    wide = wide.loc[frame["task"].unique()].reset_index(drop=True)
    expected = CrowdClassifier().fit(x, wide)
    found = CrowdClassifier().fit(forms(x)["polars"], pl.DataFrame(wide.to_dict("list")))
    assert list(found.feature_names_in_) == list("abcd")
    for table in (x, *forms(x).values()):
        np.testing.assert_array_equal(found.predict(table), expected.predict(x))
    polars = pl.DataFrame(wide.to_dict("list"))
    assert found.score(forms(x)["polars"], polars) == pytest.approx(expected.score(x, wide))
    scores = cross_val_score(CrowdClassifier(), forms(x)["polars"], polars, cv=2)
    assert np.isfinite(scores).all()


def test_tables_that_are_no_features_are_refused_as_frames_are(data) -> None:
    frame, x, _ = data
    words = x.assign(task=[f"t{i}" for i in range(N)], kind="word")
    for table in forms(words).values():
        with pytest.raises(FormError, match="1 column without numbers: 'kind'"):
            DEEMAggregator().fit(frame, features=table)
    with pytest.raises(DataError, match="features have 5 rows, and there are 90 tasks"):
        DEEM().fit(np.zeros((N, 3), dtype=int), features=forms(x[:5])["polars"])


@pytest.mark.parametrize("form", ["polars", "arrow"])
def test_rows_of_a_table_belong_to_rows_of_a_matrix_in_their_order(form) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=N)
    wide = pd.DataFrame({w: np.where(rng.random(N) < 0.8, truth, 1 - truth) for w in "uvw"})
    wide.index = rng.permutation(N)  # numbers that are no places
    x = pd.DataFrame({"a": truth + rng.normal(size=N), "b": rng.normal(size=N)})
    expected = DEEM().fit(wide.to_numpy(), features=x.to_numpy())
    found = DEEM().fit(wide, features=forms(x)[form])
    np.testing.assert_array_equal(found.probas_, expected.probas_)
