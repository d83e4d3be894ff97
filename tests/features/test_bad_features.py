"""Features and classifiers that do not fit are refused, and the object stays as it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from featured_crowd import cancer, fitted
from sklearn.linear_model import LogisticRegression, Perceptron

from deem_crowd import DEEM, DataError, DataWarning, DEEMAggregator, ParameterError
from deem_crowd.exceptions import FormError, UnsupportedError
from deem_crowd.features import rows

__all__ = ["cancer", "fitted"]

pytestmark = pytest.mark.usefixtures("few_fits_throughout")


@pytest.fixture(scope="module")
def alone(cancer) -> DEEMAggregator:
    """A fit without features, which has to stay as it is."""
    return DEEMAggregator(random_state=0).fit(cancer[0])


def bad(x):
    holed = x.copy()
    holed.iloc[[3, 5], 0] = np.nan
    texts = x.assign(kind="red")
    return {
        "strangers": (
            x.set_axis([f"u{i}" for i in range(len(x))]),
            DataError,
            "none of the 300 rows",
        ),
        "missing": (holed, DataError, r"in 1 column, \d+, for 2 tasks: 't3', 't5'"),
        "infinite": (x.replace(x.iloc[0, 0], np.inf), DataError, "missing or infinite"),
        "huge": (x * 1e38, DataError, "missing or infinite"),
        "twice": (pd.concat([x, x.iloc[:1]]), DataError, "more than one row: 't0'"),
        "texts": (texts, FormError, "1 column without numbers: 'kind'"),
        "lists": (
            pd.DataFrame({"task": x.index, "vector": list(x.to_numpy())}),
            FormError,
            r"without numbers: 'vector'.*np.stack\(features\['vector'\]\), features.task",
        ),
        "ids": (
            x.rename_axis("item_id").reset_index(),
            DataError,
            r"column 'item_id' of the features holds tasks.*set_index\('item_id'\)",
        ),
        "path": ("x.parquet", FormError, "the text 'x.parquet'; read the file first"),
        "rows": (x.to_numpy()[:7], DataError, "7 rows, and there are 300 tasks"),
        "vector": (np.zeros(300), FormError, r"shape \(300,\).*reshape\(-1, 1\)"),
        "images": (np.zeros((300, 2, 2)), FormError, r"\(300, 2, 2\).*reshape\(300, -1\)"),
        "words": (["some text"] * 300, FormError, "Encode text, e.g. by TfidfVectorizer"),
        "objects": (x.to_numpy().astype(object), FormError, r"np.asarray\(features, dtype=float\)"),
        "kinds": (np.full((300, 2), "red"), FormError, "OneHotEncoder"),
        "masked": (
            np.ma.masked_array(x.to_numpy(), np.eye(300, x.shape[1])),
            FormError,
            rf"features are a masked array with {x.shape[1]} masked entries.* Fill them in",
        ),
        "no column": (x[[]], FormError, "no column. Give at least one, or leave out features="),
    }


@pytest.mark.parametrize(
    "name",
    [
        "strangers",
        "missing",
        "infinite",
        "huge",
        "twice",
        "texts",
        "lists",
        "ids",
        "path",
        "rows",
        "vector",
        "images",
        "words",
        "objects",
        "kinds",
        "masked",
        "no column",
    ],
)
def test_bad_features_leave_the_object_as_it_was(cancer, alone, name):
    frame, features, _ = cancer
    given, error, message = bad(features.iloc[:300])[name]
    before = dict(alone.__dict__)
    with pytest.raises(error, match=message):
        alone.fit(frame, features=given)
    assert alone.__dict__.keys() == before.keys()
    assert all(alone.__dict__[key] is value for key, value in before.items())


def test_ids_of_features_that_lost_their_zeros_are_said_to_be_those_of_features() -> None:
    said = (
        r"features name tasks as 1, 2, and the answers as '01', '02': .*'01' \(str\) and 1 \(int\)"
    )
    with pytest.raises(DataError, match=said):
        rows.read(pd.DataFrame({"x": [0.0, 1.0]}, index=[1, 2]), pd.Index(["01", "02"]))


def test_a_classifier_without_probabilities_is_refused(cancer):
    frame, features, _ = cancer
    model = DEEMAggregator(classifier=Perceptron())
    with pytest.raises(ParameterError, match="Perceptron has no predict_proba"):
        model.fit(frame, features=features.iloc[:300])
    assert "labels_" not in model.__dict__
    with pytest.raises(ParameterError, match=r"is a class: .* such as LogisticRegression\(\)"):
        DEEMAggregator(classifier=LogisticRegression).fit(frame, features=features.iloc[:300])


class Broken(LogisticRegression):
    """Fails in the middle."""

    def predict_proba(self, X):
        raise RuntimeError("out of order")


@pytest.mark.parametrize("kind", [DEEM, DEEMAggregator])
def test_a_classifier_that_fails_leaves_the_object_as_it_was(cancer, kind):
    frame, features, _ = cancer
    answers = frame.head(120)
    x = features.loc[answers["task"].unique()].iloc[:, :2]
    if kind is DEEM:
        answers = np.random.default_rng(0).integers(0, 2, (60, 3))
        x = np.random.default_rng(1).normal(size=(60, 2))
    model = kind(random_state=0).fit(answers)
    before = dict(model.__dict__)
    model.set_params(classifier=Broken(max_iter=5))
    before["classifier"] = model.classifier
    with pytest.raises(RuntimeError, match="out of order"):
        model.fit(answers, features=x)
    assert model.__dict__.keys() == before.keys()
    assert all(model.__dict__[key] is value for key, value in before.items())


def test_features_that_the_model_does_not_know(cancer, alone, fitted):
    frame, features, _ = cancer
    with pytest.raises(UnsupportedError, match="knows no features"):
        alone.predict(frame, features=features.iloc[:300])
    with pytest.raises(DataError, match="2 columns, and the model was fitted with 30"):
        fitted.predict(frame, features=features.iloc[:300, :2].to_numpy())


def test_numbers_and_ids_of_another_dtype():
    tasks = pd.Index([7, 8])
    frame = pd.DataFrame({"a": [1, 2.5]}, index=["7", "8"], dtype=object)
    with pytest.raises(DataError, match="features name tasks as '7', '8' .*astype"):
        rows.read(frame, tasks)
    found = rows.read(frame.set_axis([8, 7]), tasks)
    np.testing.assert_array_equal(found.x, [[2.5], [1]])


@pytest.mark.parametrize("given", [[0.0, 1.0], ["0", "1"]])
def test_ids_of_another_kind_are_named_where_they_stand(given):
    frame = pd.DataFrame({"a": [1.0, 2.0]}, index=given)
    with pytest.raises(DataError, match=r"and the answers as 0, 1 .*set_axis\(features.index.asty"):
        rows.read(frame, pd.Index([0, 1]))
    with pytest.raises(DataError, match=r"features.assign\(task=features\['task'\].astype"):
        rows.read(frame.rename_axis("task").reset_index(), pd.Index([0, 1]))


def test_ids_that_are_no_whole_numbers_are_not_to_be_rounded():
    frame = pd.DataFrame({"a": [1.0, 2.0]}, index=[0.5, 1.5])
    with pytest.raises(DataError, match=r"none of the 2 rows of features \(0.5, 1.5\)"):
        rows.read(frame, pd.Index([0, 1]))


def test_the_remedy_for_ids_with_gaps_does_not_fail():
    frame = pd.DataFrame({"task": [0.0, np.nan, 1.0], "a": [1.0, 2.0, 3.0]})
    df = pd.DataFrame({"task": [0, 1]})
    for features in (frame, frame.set_index("task")):
        with pytest.raises(DataError, match="give both one dtype, e.g.") as caught:
            rows.read(features, pd.Index(df["task"]))
        remedy = str(caught.value).partition("e.g. ")[2].rstrip(".")
        found = rows.read(eval(remedy, {"features": features, "df": df}), pd.Index(df["task"]))
        np.testing.assert_array_equal(found.x, [[1], [3]])


def test_things_without_answers_go_to_the_classifier(cancer, fitted):
    frame, features, _ = cancer
    with pytest.raises(DataError, match="classifier_.predict labels things by their features"):
        fitted.predict(frame.iloc[:0], features=features.iloc[300:305])


def test_after_features_that_tell_nothing_the_reason_is_not_another(cancer):
    frame, features, _ = cancer
    with pytest.warns(DataWarning, match="constant"):
        model = DEEMAggregator().fit(frame, features=features.iloc[:300] * 0)
    with pytest.raises(UnsupportedError, match="no classifier could be learned"):
        model.predict(frame, features=features.iloc[:300] * 0)
