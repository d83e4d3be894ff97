"""The classifiers of features: those of scikit-learn, and our own regression and scaling against an optimizer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from featured_crowd import cancer, fitted
from scipy import optimize, sparse
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from deem_crowd import DataWarning, DEEMAggregator
from deem_crowd.features import logistic
from deem_crowd.features.learners import LogisticLearner, settled
from deem_crowd.features.neighbours import NeighbourLearner
from deem_crowd.features.scaling import Scaling
from deem_crowd.features.sklearn_learner import SklearnLearner

__all__ = ["cancer", "fitted"]

pytestmark = pytest.mark.usefixtures("few_fits_throughout")


@pytest.mark.parametrize(
    "classifier",
    [LogisticRegression(C=0.01, max_iter=20), KNeighborsClassifier(15)],
)
def test_any_classifier_of_scikit_learn(cancer, classifier):
    frame, features, truth = cancer
    x = (features - features.mean()) / features.std()
    found = DEEMAggregator(random_state=0, classifier=classifier).fit(frame, features=x.iloc[:300])
    assert type(found.classifier_) is type(classifier)
    assert not hasattr(classifier, "classes_")  # fits are made on copies
    assert set(found.classifier_.classes_) == {"no", "yes"}
    alone = DEEMAggregator(random_state=0).fit_predict(frame)
    told = truth[found.labels_.index]
    assert (found.labels_ == told).mean() > (alone == told).mean()


class OnlyNo(LogisticRegression):
    """Has never heard of the second class."""

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        self.classes_ = self.classes_[:1]
        return self

    def predict_proba(self, X):
        return np.ones((len(X), 1))


def test_a_classifier_that_misses_a_class_does_no_harm(cancer):
    frame, features, _ = cancer
    classifier = OnlyNo(max_iter=10)
    with pytest.warns(DataWarning, match="features are not used"):
        found = DEEMAggregator(random_state=0, classifier=classifier).fit(
            frame, features=features.iloc[:300, :3]
        )
    pd.testing.assert_series_equal(found.labels_, DEEMAggregator(random_state=0).fit_predict(frame))


def test_a_class_that_a_fold_lacks_has_a_share_all_the_same():
    """A fold's classifier that never saw a class gives it little, and not nothing."""
    rng = np.random.default_rng(0)
    targets = np.eye(3)[np.append(rng.integers(0, 2, 49), 2)]  # one row of the last class
    fold, weights = np.arange(50) % 5, np.ones(50)
    x = rng.normal(size=(50, 2)).astype(np.float32)
    for learner in (LogisticLearner(), SklearnLearner(LogisticRegression()), NeighbourLearner()):
        log_q = settled(learner, x, targets, weights, fold)
        assert np.isfinite(log_q).all()
        np.testing.assert_allclose(np.exp(log_q).sum(axis=1), 1, atol=1e-6)


def test_a_target_of_one_class_is_learned_by_any_classifier():
    targets = np.tile([0.0, 1.0], (12, 1))
    for classifier in (LogisticRegression(), KNeighborsClassifier(3)):
        told = (
            SklearnLearner(classifier).fit(np.eye(12), targets, np.ones(12)).log_proba(np.eye(12))
        )
        assert (np.exp(told)[:, 1] > 0.99).all()


def test_the_regression_is_at_its_minimum():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    targets = rng.dirichlet(np.ones(3), 60)
    ridge = 0.05

    def loss(flat):
        table = flat.reshape(5, 3)
        log_p = logistic.log_softmax(x @ table[:4] + table[4])
        return -(targets * log_p).sum(1).mean() + ridge / 2 * (table[:4] ** 2).sum()

    oracle = optimize.minimize(loss, np.zeros(15), method="BFGS", options={"gtol": 1e-8})
    found = logistic.fit_soft(x, targets, ridge)
    assert loss(np.append(found.weight.ravel(), found.intercept)) == pytest.approx(
        oracle.fun, abs=1e-5
    )
    sparse_one = logistic.fit_soft(sparse.csr_array(x), targets, ridge)
    np.testing.assert_allclose(sparse_one.weight, found.weight, atol=2e-3)


def test_the_scaling_is_at_its_maximum():
    rng = np.random.default_rng(1)
    log_q = logistic.log_softmax(rng.normal(size=(200, 3)))
    posterior = rng.dirichlet(np.ones(3), 200)
    found = Scaling.none(3).fitted(log_q, posterior, np.ones(200))

    def loss(at):
        return -(posterior * logistic.log_softmax(at[0] * log_q + at[1:])).sum(1).mean()

    oracle = optimize.minimize(loss, [1.0, 0, 0, 0]).fun
    assert loss(np.append(found.weight, found.offset)) == pytest.approx(oracle, abs=1e-5)


def test_the_public_regression_says_what_the_fit_says(cancer, fitted):
    _, features, _ = cancer
    state = fitted.__dict__["_features"]
    x = features.to_numpy()[300:].astype(np.float32)
    inner = np.exp(state.predictor.log_proba(x))
    assert (fitted.classifier_.predict_proba(x).argmax(1) == inner.argmax(1)).mean() > 0.97
    assert list(fitted.classifier_.classes_) == ["no", "yes"]
