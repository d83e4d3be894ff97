"""Classifiers of the caller's: under the names of the labels, with errors and warnings that say what to do."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from featured_crowd import crowd
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.exceptions import ParameterError
from deem_crowd.features.neighbours import NeighbourLearner
from deem_crowd.features.scaling import Scaling
from deem_crowd.features.sklearn_learner import SklearnLearner

pytestmark = pytest.mark.usefixtures("few_fits_throughout")


def drawn(names, n=40):
    """Return answers about three classes, called by these names, and two features that tell them apart."""
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=n)
    frame = crowd(truth, 2, 1)
    frame["label"] = np.asarray(names)[frame["label"].to_numpy()]
    return frame, rng.normal(size=(n, 2)) + 3 * np.eye(3)[truth][:, :2]


def test_weights_of_classes_go_by_the_names_of_the_labels():
    frame, x = drawn(["cat", "dog", "fox"])
    weights = {"cat": 1.0, "dog": 2.0, "fox": 1.0}
    model = DEEMAggregator(classifier=LogisticRegression(class_weight=weights))
    model.fit(frame, features=x)
    assert list(model.classifier_.classes_) == ["cat", "dog", "fox"]
    assert model.classifier_.class_weight == weights


@pytest.mark.parametrize("names", [[0.5, 1.0, 1.5], ["a", 2, "c"]])
@pytest.mark.parametrize(
    "learner", [NeighbourLearner(), SklearnLearner(HistGradientBoostingClassifier(max_iter=2))]
)
def test_classifiers_that_the_answers_choose_take_labels_that_scikit_learn_does_not(names, learner):
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=90)
    x = (rng.normal(size=(90, 2)) + 5 * np.eye(3)[truth][:, :2]).astype(np.float32)
    targets, weights = np.eye(3)[truth], np.ones(90)
    learner.settle(x, targets, weights, np.arange(90) % 5)
    labels = np.array(names, dtype=object)
    trained = learner.fit(x, targets, weights)
    public = learner.public(trained, Scaling.none(3), labels)
    assert list(public.classes_) == names
    assert (public.predict(x) == labels[truth]).mean() > 0.9


def test_an_error_of_a_classifier_says_whose_it_is_and_what_helps():
    frame, x = drawn(["cat", "dog", "fox"])
    model = DEEMAggregator(classifier=GaussianNB())
    with pytest.raises(ParameterError, match=r"classifier=GaussianNB failed .*\(N, 2\).*toarray"):
        model.fit(frame, features=sparse.csr_array(x))
    odd = LogisticRegression(class_weight={"cat": 1, "wolf": 2})
    with pytest.raises(ParameterError, match="classifier=LogisticRegression failed .*class_weight"):
        DEEMAggregator(classifier=odd).fit(frame, features=x)


@pytest.mark.parametrize("names", [[0.5, 1.0, 1.5], np.array(["a", 2, "c"], dtype=object)])
def test_labels_that_scikit_learn_refuses_may_be_text(names):
    frame, x = drawn(names)
    remedy = r"classifier=GaussianNB failed .* Give labels as text: df\['label'\].astype\(str\)"
    with pytest.raises(ParameterError, match=remedy):
        DEEMAggregator(classifier=GaussianNB()).fit(frame, features=x)


def test_a_pipeline_that_fails_is_not_called_by_its_last_step():
    frame, x = drawn(["cat", "dog", "fox"])
    model = DEEMAggregator(classifier=make_pipeline(StandardScaler(), GaussianNB()))
    with pytest.raises(ParameterError, match=r"classifier=Pipeline failed on sparse .*with_mean"):
        model.fit(frame, features=sparse.csr_array(x))


class Numbered(GaussianNB):
    """Calls classes 0, 1, 2, whatever they are called."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, np.unique(y, return_inverse=True)[1], sample_weight)


class Flat(GaussianNB):
    """Gives one number a row."""

    def predict_proba(self, X):
        return super().predict_proba(X)[:, 0]


@pytest.mark.parametrize(
    ("classifier", "said"),
    [
        (
            Numbered(),
            r"none of the labels it was trained on: 0, 1, 2.* The labels are 'cat', 'dog'",
        ),
        (Flat(), r"probabilities of shape \(\d+,\) .* needed is \(\d+, 3\)"),
    ],
)
def test_probabilities_of_nobody_knows_what_are_refused(classifier, said):
    frame, x = drawn(["cat", "dog", "fox"])
    with pytest.raises(ParameterError, match=f"classifier={type(classifier).__name__} .*{said}"):
        DEEMAggregator(classifier=classifier).fit(frame, features=x)


class Rounded(GaussianNB):
    """Misses 0 by a rounding error, as differences from 1 do."""

    def predict_proba(self, X):
        proba = super().predict_proba(X)
        return np.where(proba < 1e-3, -1e-9, proba)


def test_probabilities_may_miss_zero_by_a_rounding_error():
    frame, x = drawn(["cat", "dog", "fox"])
    assert DEEMAggregator(classifier=Rounded()).fit(frame, features=x).classifier_ is not None


class Lost(GaussianNB):
    """Knows nothing of some rows."""

    def predict_proba(self, X):
        proba = super().predict_proba(X)
        proba[::3] = np.nan
        return proba


def test_probabilities_that_are_none_are_refused():
    frame, x = drawn(["cat", "dog", "fox"])
    with pytest.raises(
        ParameterError,
        match=r"classifier=Lost .* for 7 of 20 tasks \(the first: nan, nan, nan\)\. ",
    ):
        DEEMAggregator(classifier=Lost()).fit(frame, features=x)


def test_a_warning_of_a_classifier_is_shown_once():
    frame, x = drawn(["cat", "dog", "fox"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        DEEMAggregator(classifier=LogisticRegression(max_iter=1)).fit(frame, features=x)
    said = [str(one.message) for one in caught if one.category is ConvergenceWarning]
    assert len(said) == len(set(said)) > 0


def test_a_classifier_that_names_classes_comes_back_from_a_file(tmp_path):
    pytest.importorskip("skops")
    frame, x = drawn(["cat", "dog", "fox"])
    model = DEEMAggregator(classifier=GaussianNB()).fit(frame, features=x)
    model.save(tmp_path / "model")
    again = DEEMAggregator.load(tmp_path / "model")
    np.testing.assert_array_equal(again.classifier_.predict(x), model.classifier_.predict(x))
    np.testing.assert_allclose(
        again.predict_proba(frame, features=x), model.predict_proba(frame, features=x), atol=1e-6
    )


def test_a_classifier_of_numbers_keeps_numbers():
    frame, x = drawn([0, 1, 2])
    answers = np.full((40, 12), -1)
    answers[frame["task"], frame["worker"]] = frame["label"]
    model = DEEM(classifier=GaussianNB()).fit(answers, features=x)
    assert model.classifier_.classes_.dtype.kind == "i"
