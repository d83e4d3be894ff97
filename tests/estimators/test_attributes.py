"""What a fit leaves behind: labels, classes, confusion matrices and every other public attribute."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from six_workers import FRAME, X, Y

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.exceptions import MissingAnswersError


def test_labels_of_the_fit_honour_gold() -> None:
    gold = np.full(200, -1)
    gold[:10] = 1 - Y[:10]
    model = DEEM()
    labels = model.fit_predict(X, gold=gold)
    assert (labels[:10] == gold[:10]).all()
    assert model.probas_[:10].max(axis=1).min() == 1
    np.testing.assert_array_equal(model.labels_, labels)
    labels[:] = 7  # the caller's own
    assert model.labels_.max() == 1
    plain = DEEM().fit(X)
    np.testing.assert_array_equal(plain.labels_, plain.predict(X))
    np.testing.assert_allclose(plain.probas_, plain.predict_proba(X), atol=1e-12)


def test_labels_follow_a_reset_mapping() -> None:
    shifted = (X + 1) % 2
    model = DEEM(init_method="rand", random_state=3).fit(shifted)
    model.reset_class_mapping()
    np.testing.assert_array_equal(model.labels_, model.predict(shifted))


OF_THE_ANSWERS = {
    "tasks_", "workers_", "agreement_", "effective_sources_", "contested_", "median_", "mean_",
}  # fmt: skip
"""What a model that was read from a file cannot show, since files hold no answers."""


@pytest.mark.parametrize(
    "make", [DEEM, lambda: DEEM(hidden_dim=2), lambda: DEEMAggregator(progress=False)]
)
def test_every_public_attribute_can_be_read(make, tmp_path) -> None:
    """After fit, partial_fit, save and load, copy and pickle; an attribute that shadows a method breaks this."""
    whole, parts = (
        (X, (X[:100], X[100:])) if isinstance(make(), DEEM) else (FRAME, (FRAME[:600], FRAME[600:]))
    )
    fitted = make().fit(whole)
    fitted.save(tmp_path / "model")
    grown = make().partial_fit(parts[0]).partial_fit(parts[1])
    stages = [fitted, grown, copy.deepcopy(grown), pickle.loads(pickle.dumps(grown))]
    for model in stages:
        names = [n for n in dir(model) if n.endswith("_") and not n.startswith("_")]
        assert {"selection_", "skill_intervals_", "skills_", "labels_", "probas_"} <= set(names)
        for name in names:
            getattr(model, name)
    loaded = type(fitted).load(tmp_path / "model")
    for name in {
        n for n in dir(loaded) if n.endswith("_") and not n.startswith("_")
    } - OF_THE_ANSWERS:
        getattr(loaded, name)
    for name in OF_THE_ANSWERS:
        with pytest.raises(MissingAnswersError):
            getattr(loaded, name)


def test_align_to_answers_about_other_tasks() -> None:
    """``predict(test, align_to=train)``: the classes get the names that the votes of the other tasks give them."""
    gold = np.where(np.arange(200) < 60, 1 - Y, -1)  # classes are named the other way round
    model = DEEM().fit(X, gold=gold)
    assert (model.predict(X[100:]) == 1 - Y[100:]).mean() > 0.9
    aligned = model.predict(X[150:], align_to=X[:150])
    np.testing.assert_array_equal(aligned, 1 - model.predict(X[150:]))
    np.testing.assert_array_equal(model.predict(X[150:]), DEEM().fit(X, gold=gold).predict(X[150:]))


def test_confusion_matrices_stack_as_crowd_kits_do() -> None:
    rows = DEEMAggregator(progress=False).fit(FRAME).errors_.stack().reset_index()
    assert len(rows) == 6 * 4
    assert list(rows.columns[:2]) == ["worker", "label"]


def test_threads_lose_no_answers() -> None:
    agg = DEEMAggregator(progress=False)
    parts = [FRAME[FRAME["task"] % 6 == i] for i in range(6)]
    threads = [threading.Thread(target=agg.partial_fit, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(agg.labels_) == 200


def test_y_is_never_learned_from_and_gold_is() -> None:
    wrong = np.where(np.arange(200) < 40, 1 - Y, -1)
    plain = DEEM().fit(X)
    np.testing.assert_array_equal(DEEM().fit(X, wrong).probas_, plain.probas_)
    np.testing.assert_array_equal(DEEM().partial_fit(X, wrong).labels_, plain.labels_)
    assert (DEEM().fit(X, gold=wrong).labels_[:40] == wrong[:40]).all()
