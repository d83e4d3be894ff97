"""DEEM among scikit-learn's estimators: scores, meta-estimators, displays, and scikit-learn's own checks."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from six_workers import X, Y
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay
from sklearn.model_selection import cross_val_predict, cross_val_score, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from deem_crowd import DEEM
from deem_crowd.exceptions import DataError, FormError


@pytest.fixture(scope="module")
def model() -> DEEM:
    """Return a model that no test changes."""
    return DEEM().fit(X)


def test_it_is_a_classifier(model) -> None:
    assert is_classifier(model)
    assert model.classes_.tolist() == [0, 1]
    assert model.n_features_in_ == 6
    assert is_classifier(clone(model))


def test_scores_of_cross_validation() -> None:
    least = {"accuracy": 0.85, "neg_log_loss": -0.35, "roc_auc": 0.85}
    scores = cross_validate(DEEM(), X, Y, scoring=list(least), cv=3)
    for name, score in least.items():
        assert np.isfinite(scores[f"test_{name}"]).all()
        assert scores[f"test_{name}"].mean() > score


def test_meta_estimators_and_displays(model) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    assert cross_val_predict(DEEM(), X, Y, cv=3, method="predict_proba").shape == (200, 2)
    calibrated = CalibratedClassifierCV(DEEM(), cv=3).fit(X, Y)
    assert (calibrated.predict(X) == Y).mean() > 0.85
    stack = StackingClassifier(
        [("deem", DEEM()), ("tree", DecisionTreeClassifier(max_depth=2))], LogisticRegression()
    )
    assert (stack.fit(X, Y).predict(X) == Y).mean() > 0.85
    assert RocCurveDisplay.from_estimator(model, X, Y).roc_auc > 0.9
    matrix = ConfusionMatrixDisplay.from_estimator(model, X, Y).confusion_matrix
    assert matrix.sum() == 200


def test_logarithms_of_probabilities(model) -> None:
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))
    log_proba = cross_val_predict(DEEM(), X, Y, cv=3, method="predict_log_proba")
    np.testing.assert_allclose(np.exp(log_proba).sum(axis=1), 1)


def test_the_score_weighs_tasks(model) -> None:
    right = model.predict(X) == Y
    weight = np.arange(200.0)
    assert model.score(X, Y, weight) == pytest.approx(weight @ right / weight.sum())
    assert model.score(X, np.where(right, -1, Y), sample_weight=weight) == 0
    with pytest.raises(FormError, match=r"shape \(3,\); needed is \(200,\)"):
        model.score(X, Y, np.ones(3))
    with pytest.raises(DataError, match="sample_weight is 0 for all"):
        model.score(X, Y, np.zeros(200))
    for wrong in (-1.0, np.nan, np.inf, "much", None):
        with pytest.raises(DataError, match="sample_weight .* numbers, 0 or more"):
            model.score(X, Y, [wrong, *[1.0] * 199])


def test_the_score_of_a_pipeline_with_metadata_routing(model) -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(FunctionTransformer(), DEEM()).fit(X)
        assert pipeline.score(X, Y) == model.score(X, Y)
        assert np.isfinite(cross_val_score(pipeline, X, Y, cv=3)).all()


def test_the_score_takes_features() -> None:
    rng = np.random.default_rng(0)
    features = np.stack([Y + rng.normal(size=200) / 4, rng.normal(size=200)], axis=1)
    few = np.where(rng.random(X.shape) < 0.25, X, -1)
    few[:, 0] = X[:, 0]
    model = DEEM(classifier=GaussianNB()).fit(few, features=features)
    right = (model.predict(few, features=features) == Y).mean()
    assert model.score(few, Y, features=features) == pytest.approx(right)
    assert right > model.score(few, Y)


def test_stacked_probabilities_are_told_how_to_become_labels() -> None:
    stack = StackingClassifier(
        [("tree", DecisionTreeClassifier(min_samples_leaf=20))], DEEM(), cv=3
    )
    with pytest.raises(DataError, match="StackingClassifier stack_method='predict'"):
        stack.fit(X, Y)


OTHER_Y = "y there is unrelated to X; here y are the true classes of the tasks that X answers"
EXPECTED_FAILURES = {
    "check_classifiers_classes": OTHER_Y,
    "check_classifiers_one_label": "nothing is learned of y, so that one class in y is not what is predicted",
    "check_classifiers_train": OTHER_Y,
    "check_fit_score_takes_y": OTHER_Y,
    "check_supervised_y_2d": OTHER_Y,
    "check_dtype_object": "objects are refused: from_wide reads labels of any kind",
    "check_estimators_empty_data_messages": "no tasks, or no sources, are data as well: there is nothing to label",
    "check_estimators_partial_fit_n_features": "partial_fit takes no classes=: the first call or n_classes has them",
    "check_n_features_in_after_fitting": "the error names sources instead of features",
    "check_positive_only_tag_during_fit": "−1 is a missing answer, and what is below it no class",
}


@pytest.mark.skipif(
    not sklearn.__version__.startswith("1.7."), reason="the checks are those of scikit-learn 1.7"
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks() -> None:
    """All but those above pass; those fail, each for its reason, or the list is out of date."""
    from sklearn.utils.estimator_checks import check_estimator

    results = check_estimator(
        DEEM(), expected_failed_checks=EXPECTED_FAILURES, on_skip=None, on_fail=None
    )
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(EXPECTED_FAILURES)
    assert sum(r["status"] == "passed" for r in results) > 40
