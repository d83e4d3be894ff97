"""Model files hold what was learned from features."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.naive_bayes import GaussianNB

from deem_crowd import DEEM, DataWarning, DEEMAggregator
from deem_crowd.exceptions import FormError, UnsupportedError

pytestmark = pytest.mark.usefixtures("few_fits_throughout", "same_fits_once")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3)).astype(np.float32)
TRUTH = (X[:, 0] + X[:, 1] > 0).astype(int)
MATRIX = np.full((90, 5), -1)
for n in range(90):
    for worker in RNG.choice(5, 2, replace=False):
        MATRIX[n, worker] = TRUTH[n] if RNG.random() < 0.85 else 1 - TRUTH[n]
task, worker = np.nonzero(MATRIX >= 0)
ANSWERS = pd.DataFrame(
    {"task": task, "worker": worker, "label": np.array(["no", "yes"])[MATRIX[task, worker]]}
)


class Odd(GaussianNB):
    """No type that a file may bring."""


def fitted(classifier=None):
    return DEEMAggregator(classifier=classifier, random_state=0, progress=False).fit(
        ANSWERS, features=X
    )


@pytest.mark.parametrize(
    "classifier",
    [None, GaussianNB(), HistGradientBoostingClassifier(max_iter=3)],
    ids=["regression", "bayes", "trees"],
)
def test_a_file_keeps_the_classifier(classifier, tmp_path) -> None:
    if classifier is not None:
        pytest.importorskip("skops")
    model = fitted(classifier)
    model.save(tmp_path / "model")
    again = DEEMAggregator.load(tmp_path / "model")
    assert again.features_use_ == model.features_use_
    assert type(again.classifier_) is type(model.classifier_)
    assert list(again.classifier_.classes_) == ["no", "yes"]
    np.testing.assert_array_equal(
        again.classifier_.predict_proba(X), model.classifier_.predict_proba(X)
    )
    pd.testing.assert_frame_equal(
        again.predict_proba(ANSWERS, features=X), model.predict_proba(ANSWERS, features=X)
    )


def test_neighbours_and_arrays(tmp_path, monkeypatch) -> None:
    pytest.importorskip("skops")
    from deem_crowd.features import choice
    from deem_crowd.features.neighbours import NeighbourLearner

    monkeypatch.setattr(choice, "candidates", lambda *args: [NeighbourLearner()])
    model = DEEM(random_state=0, progress=False).fit(MATRIX, features=X)
    model.save(tmp_path / "model")
    again = DEEM.load(tmp_path / "model")
    np.testing.assert_array_equal(
        again.predict_proba(MATRIX, features=X), model.predict_proba(MATRIX, features=X)
    )
    np.testing.assert_array_equal(again.classifier_.predict(X), model.classifier_.predict(X))


def test_types_of_strangers_stay_out(tmp_path) -> None:
    pytest.importorskip("skops")
    model = fitted(Odd())
    with pytest.warns(DataWarning, match=r"holds no classifier of features: .*Odd.*A pickle"):
        model.save(tmp_path / "model")
    again = DEEMAggregator.load(tmp_path / "model")
    assert again.classifier_ is None
    pd.testing.assert_frame_equal(again.predict_proba(ANSWERS), model.predict_proba(ANSWERS))
    with pytest.raises(UnsupportedError, match="its file holds none"):
        again.predict(ANSWERS, features=X)


def test_a_file_that_brings_strangers_is_refused(tmp_path, monkeypatch) -> None:
    pytest.importorskip("skops")
    from deem_crowd.estimators.files import feature_files

    model = fitted(Odd())
    with monkeypatch.context() as patched:
        patched.setattr(feature_files, "_TRUSTED", ("",))
        model.save(tmp_path / "model")
    with pytest.raises(FormError, match=r"would run code of strangers: .*Odd"):
        DEEMAggregator.load(tmp_path / "model")


def test_without_skops_the_regression_is_kept_and_others_say_so(tmp_path, monkeypatch) -> None:
    model, other = fitted(), fitted(GaussianNB())
    monkeypatch.setitem(sys.modules, "skops", None)
    model.save(tmp_path / "model")
    assert DEEMAggregator.load(tmp_path / "model").classifier_ is not None
    with pytest.warns(DataWarning, match=r"need skops: pip install"):
        other.save(tmp_path / "other")
