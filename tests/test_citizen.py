"""DEEM among scikit-learn's estimators, and by the examples of the published package."""

from __future__ import annotations

import copy
import inspect
import pickle
import pydoc
import re
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay
from sklearn.model_selection import cross_val_predict, cross_val_score
from sklearn.tree import DecisionTreeClassifier

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    MissingAnswersError,
    ParameterError,
    ParameterWarning,
)

RNG = np.random.default_rng(0)
Y = RNG.integers(2, size=200)
X = np.where(RNG.random((200, 6)) < 0.8, Y[:, None], 1 - Y[:, None])
FRAME = pd.DataFrame(
    {
        "task": np.repeat(np.arange(200), 6),
        "worker": np.tile(list("abcdef"), 200),
        "label": np.where(X.ravel() == 1, "yes", "no"),
    }
)


# ----------------------------------------------------------------------- scikit-learn


def test_it_is_a_classifier() -> None:
    model = DEEM().fit(X)
    assert is_classifier(model)
    assert model.classes_.tolist() == [0, 1]
    assert model.n_features_in_ == 6
    assert is_classifier(clone(model))


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", "roc_auc"])
def test_scores_of_cross_validation(scoring) -> None:
    scores = cross_val_score(DEEM(), X, Y, scoring=scoring, cv=3)
    assert np.isfinite(scores).all()
    assert scores.mean() > (-0.35 if scoring == "neg_log_loss" else 0.85)


def test_meta_estimators_and_displays() -> None:
    import matplotlib as mpl

    mpl.use("agg")
    assert cross_val_predict(DEEM(), X, Y, cv=3, method="predict_proba").shape == (200, 2)
    calibrated = CalibratedClassifierCV(DEEM(), cv=3).fit(X, Y)
    assert (calibrated.predict(X) == Y).mean() > 0.85
    stack = StackingClassifier(
        [("deem", DEEM()), ("tree", DecisionTreeClassifier(max_depth=2))], LogisticRegression()
    )
    assert (stack.fit(X, Y).predict(X) == Y).mean() > 0.85
    model = DEEM().fit(X)
    assert RocCurveDisplay.from_estimator(model, X, Y).roc_auc > 0.9
    matrix = ConfusionMatrixDisplay.from_estimator(model, X, Y).confusion_matrix
    assert matrix.sum() == 200


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


# -------------------------------------------------------------------- answers by their ids


def test_answers_go_by_ids_and_not_by_position() -> None:
    rng = np.random.default_rng(1)
    n, truth = 300, rng.integers(2, size=300)
    skill = np.array([0.95, 0.9, 0.9, 0.1, 0.15, 0.6])  # two say the contrary
    said = np.where(rng.random((n, 6)) < skill, truth[:, None], 1 - truth[:, None])
    frame = pd.DataFrame(
        {
            "task": np.repeat(np.arange(n), 6),
            "worker": np.tile(list("abcdef"), n),
            "label": said.ravel(),
        }
    )
    model = DEEM().fit(Answers.from_frame(frame))
    expected = model.predict(Answers.from_frame(frame))
    assert (expected == truth).mean() > 0.95
    turned = frame.sort_values(["task", "worker"], ascending=[True, False], ignore_index=True)
    other = Answers.from_frame(turned)
    assert list(other.workers) == list("fedcba")
    np.testing.assert_array_equal(model.predict(other), expected)
    few = Answers.from_frame(frame[frame["worker"].isin(["a", "d"])])
    assert model.predict(few).shape == (n,)
    named = frame.assign(label=np.where(frame["label"] == 1, "y", "n"))
    by_name = DEEM().fit(Answers.from_frame(named))
    just_yes = named[named["label"] == "y"]
    assert set(by_name.predict(Answers.from_frame(just_yes))) <= {0, 1}


def test_a_model_from_a_file_says_that_it_goes_by_position(tmp_path) -> None:
    answers = Answers.from_frame(FRAME)
    DEEM().fit(answers).save(tmp_path / "model")
    loaded = DEEM.load(tmp_path / "model")
    with pytest.warns(DataWarning, match="files of DEEM hold no ids"):
        loaded.predict(answers)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        loaded.predict(X)
        loaded.predict(Answers.from_dense(X))


def test_strangers_among_answers_are_said() -> None:
    model = DEEM().fit(Answers.from_frame(FRAME))
    new = FRAME.head(12).assign(worker=["a", "b", "c", "zoe", "e", "f"] * 2)
    with pytest.warns(DataWarning, match=r"1 worker was not there in fit \('zoe'\)"):
        model.predict(Answers.from_frame(new))
    with pytest.raises(DataError, match="none of the 1 ids in worker"):
        model.predict(Answers.from_frame(new.assign(worker="zoe")[::6]))


# ------------------------------------------------------------ the published package's README


def test_align_to_answers_about_other_tasks() -> None:
    """``predict(test, align_to=train)``: the classes get the names that the votes of the other tasks give them."""
    gold = np.where(np.arange(200) < 60, 1 - Y, -1)  # classes are named the other way round
    model = DEEM().fit(X, gold=gold)
    assert (model.predict(X[100:]) == 1 - Y[100:]).mean() > 0.9
    aligned = model.predict(X[150:], align_to=X[:150])
    np.testing.assert_array_equal(aligned, 1 - model.predict(X[150:]))
    np.testing.assert_array_equal(model.predict(X[150:]), DEEM().fit(X, gold=gold).predict(X[150:]))


def test_what_is_called_otherwise_here_is_said() -> None:
    with pytest.raises(ParameterError, match=r"no parameter 'verbose': progress=True"):
        DEEM().fit(X, verbose=True)
    with pytest.raises(ParameterError, match=r"no parameter 'val_predictions': early_stopping"):
        DEEM().fit(X, val_predictions=X)


@pytest.mark.parametrize("chosen", [True, False])
def test_parameters_without_a_part_in_the_fit_are_named(chosen) -> None:
    with pytest.warns(
        ParameterWarning, match=r"cd_k=3, learning_rate=0.1, batch_size=7 have no part"
    ):
        DEEM(auto_hyperparameters=chosen, batch_size=7, learning_rate=0.1, cd_k=3).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ParameterWarning)
        DEEM(auto_hyperparameters=chosen).fit(X)
        DEEM(sampler="gibbs", hidden_dim=2, cd_k=2, epochs=1).fit(X)


def test_parameters_without_a_part_are_named_once_and_by_fit_alone() -> None:
    model = DEEMAggregator(cd_k=3, progress=False)
    with pytest.warns(ParameterWarning, match="cd_k=3 have no part") as given:
        model.fit(FRAME)
    assert len([one for one in given if issubclass(one.category, ParameterWarning)]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", ParameterWarning)
        model.predict(FRAME)


# ------------------------------------------------------------------------------ the rest


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


# ------------------------------------------------------------------------ one word for gold


def test_former_names_of_gold_and_y_work_with_a_warning() -> None:
    known = {0: "yes", 1: "no", 2: "yes"}
    expected = DEEMAggregator(progress=False).fit(FRAME, gold=known).probas_
    for call in (
        lambda: DEEMAggregator(progress=False).fit(FRAME, true_labels=known).probas_,
        lambda: DEEMAggregator(progress=False).partial_fit(FRAME, true_labels=known).probas_,
        lambda: DEEMAggregator(progress=False).fit_predict_proba(FRAME, true_labels=known),
    ):
        with pytest.warns(FutureWarning, match="true_labels= is called gold= now") as caught:
            pd.testing.assert_frame_equal(call(), expected)
        assert caught[0].filename == __file__
    with pytest.raises(ParameterError, match="true_labels is the former name of gold"):
        DEEMAggregator(progress=False).fit(FRAME, known, true_labels=known)
    with pytest.warns(FutureWarning, match="labels= is called y= now"):
        watched = DEEM().fit(X, labels=Y)
    assert watched.history_["accuracy"] == [watched.score(X, Y)]
    with pytest.warns(FutureWarning, match="true_labels= is called y= now"):
        assert watched.score(X, true_labels=Y) == watched.score(X, Y)


def test_y_is_never_learned_from_and_gold_is() -> None:
    wrong = np.where(np.arange(200) < 40, 1 - Y, -1)
    plain = DEEM().fit(X)
    np.testing.assert_array_equal(DEEM().fit(X, wrong).probas_, plain.probas_)
    np.testing.assert_array_equal(DEEM().partial_fit(X, wrong).labels_, plain.labels_)
    assert (DEEM().fit(X, gold=wrong).labels_[:40] == wrong[:40]).all()


# ------------------------------------------------------------------------------ wide frames

NAMES = ["ann", "bob", "cid", "dan", "eve", "fay"]
SHEET = pd.DataFrame(X, columns=NAMES)
GAPS = np.where(RNG.random(X.shape) < 0.2, -1, X)


def test_a_frame_is_read_as_its_matrix_and_keeps_its_column_names(tmp_path) -> None:
    array = DEEM().fit(GAPS)
    sheet = pd.DataFrame(GAPS, columns=NAMES).astype("Int64").replace(-1, pd.NA)
    floats = pd.DataFrame(GAPS, columns=NAMES).replace(-1, np.nan)
    for frame in (pd.DataFrame(GAPS, columns=NAMES), sheet, floats):
        model = DEEM().fit(frame)
        assert model.feature_names_in_.tolist() == NAMES
        np.testing.assert_array_equal(model.probas_, array.probas_)
        np.testing.assert_array_equal(model.predict_proba(frame), array.predict_proba(GAPS))
    assert model.workers_.index.tolist() == NAMES
    model.save(tmp_path / "model")
    loaded = DEEM.load(tmp_path / "model")
    assert loaded.feature_names_in_.tolist() == NAMES
    np.testing.assert_array_equal(loaded.predict(sheet[NAMES[::-1]]), array.predict(GAPS))
    model.fit(GAPS)
    assert not hasattr(model, "feature_names_in_")


def test_permuted_columns_are_put_in_order_and_others_refused() -> None:
    model = DEEM().fit(SHEET)
    rng = np.random.default_rng(3)
    for _ in range(5):
        np.testing.assert_array_equal(
            model.predict_proba(SHEET[rng.permutation(NAMES)]), model.predict_proba(SHEET)
        )
    numbered = DEEM().fit(SHEET.set_axis([7, 3, 5, 1, 9, 2], axis=1))
    assert not hasattr(numbered, "feature_names_in_")  # scikit-learn's are text
    np.testing.assert_array_equal(
        numbered.predict(SHEET.set_axis([7, 3, 5, 1, 9, 2], axis=1)[[1, 2, 3, 5, 7, 9]]),
        numbered.labels_,
    )
    with pytest.raises(DataError, match=r"lacks 1 column \('bob'\) and has besides 1 column \('z"):
        model.predict(SHEET.rename(columns={"bob": "zoe"}))
    with pytest.raises(DataError, match=r"lacks 1 column \('ann'\)"):
        model.predict(SHEET.drop(columns="ann"))
    grown = DEEM().partial_fit(SHEET[:100]).partial_fit(SHEET[NAMES[::-1]][100:])
    np.testing.assert_array_equal(grown.labels_, model.labels_)
    assert grown.feature_names_in_.tolist() == NAMES
    with pytest.warns(DataWarning, match="X does not have valid feature names, but DEEM was"):
        model.predict(X)
    with pytest.warns(DataWarning, match="DEEM was fitted without feature names"):
        DEEM().fit(X).predict(SHEET)


def test_frames_of_polars_are_read_the_same_way() -> None:
    polars = pytest.importorskip("polars")
    gaps = {
        name: [None if x < 0 else int(x) for x in column]
        for name, column in zip(NAMES, GAPS.T, strict=True)
    }
    frame = polars.DataFrame(gaps)
    model = DEEM().fit(frame)
    np.testing.assert_array_equal(model.probas_, DEEM().fit(GAPS).probas_)
    assert model.feature_names_in_.tolist() == NAMES
    np.testing.assert_array_equal(model.predict(frame.lazy().select(NAMES[::-1])), model.labels_)


def test_frames_that_hold_other_things_are_refused() -> None:
    numbered = SHEET.assign(item_id=np.arange(200))
    with pytest.raises(DataError, match=r"looks like no worker: 'item_id'.*df.drop\(columns"):
        DEEM().fit(numbered)
    with pytest.raises(FormError, match=r"columns 'ann' of the frame hold no numbers.*from_wide"):
        DEEM().fit(SHEET.assign(ann="yes"))
    with pytest.raises(DataError, match="occur more than once: 'ann'"):
        DEEM().fit(SHEET.set_axis(["ann", "ann", *NAMES[2:]], axis=1))


def test_frames_go_through_scikit_learn() -> None:
    scores = cross_val_score(DEEM(), SHEET, Y, cv=3)
    np.testing.assert_array_equal(scores, cross_val_score(DEEM(), X, Y, cv=3))


# -------------------------------------------------------------- scikit-learn's own checks

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


# --------------------------------------------------------------------- each parameter once


@pytest.mark.parametrize("cls", [DEEM, DEEMAggregator])
def test_help_documents_every_parameter_with_its_default(cls) -> None:
    text = pydoc.plain(pydoc.render_doc(cls))
    section = text[text.index("Parameters\n |  ----------") :]
    for name, parameter in inspect.signature(cls).parameters.items():
        entry = re.search(rf"^ \|  {name} : .*, default (.*)\n \|      \S", section, re.M)
        assert entry is not None, name
        assert entry[1] == repr(parameter.default)


def test_both_classes_share_what_they_both_have() -> None:
    ours, theirs = (inspect.signature(cls).parameters for cls in (DEEM, DEEMAggregator))
    shared = set(ours) & set(theirs)
    assert set(ours) - shared == {"n_classes", "epochs", "model_dir", "label_names"}
    assert set(theirs) - shared == {"n_iter", "missing", "duplicates", "unknown_workers"}
    for name in shared:
        assert ours[name].default == theirs[name].default
        assert ours[name].annotation == theirs[name].annotation
