"""A few answers and known labels more, added to a model with known labels, are held against a fit of all."""

import copy
import functools
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEMAggregator
from deem_crowd.exceptions import DataError, DataWarning

MODELS = pytest.mark.parametrize("automatic", [None, False], ids=["default", "plain"])
ALL = "all answers were fitted"
K = 3


def crowd(n: int = 1000, d: int = 20, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Return five answers a task, and the true labels by task."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K, n)
    worker = np.argsort(rng.random((n, d)), axis=1)[:, :5]
    right = rng.random((n, 5)) < rng.beta(5, 2, d)[worker]
    label = np.where(right, truth[:, None], rng.integers(0, K, (n, 5)))
    frame = pd.DataFrame(
        {"task": np.repeat(np.arange(n), 5), "worker": worker.ravel(), "label": label.ravel()}
    )
    return frame, pd.Series(truth)


@functools.cache
def first_call(automatic: bool | None, n_known: int) -> DEEMAggregator:
    frame, truth = crowd()
    model = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    return model.partial_fit(frame[:-50], gold=truth[:n_known])


def begun(automatic: bool | None, n_known: int = 100) -> tuple[DEEMAggregator, pd.DataFrame]:
    """Return a model of all answers but the last fifty, with as many known labels as given; and these answers."""
    return copy.deepcopy(first_call(automatic, n_known)), crowd()[0][-50:]


@MODELS
@pytest.mark.parametrize("rows", [10, 50])
@pytest.mark.parametrize("n_known", [0, 100])
def test_known_labels_of_ids_of_another_kind_are_refused_as_by_fit(
    automatic, rows: int, n_known: int
) -> None:
    model, more = begun(automatic, n_known)
    labels = model.labels_.copy()
    with pytest.raises(DataError) as by_fit:
        DEEMAggregator(auto_hyperparameters=False).fit(crowd()[0], gold={"990": 1})
    with pytest.raises(DataError) as later:
        model.partial_fit(more[:rows], gold={"990": 1})
    assert str(later.value) == str(by_fit.value)
    pd.testing.assert_series_equal(model.labels_, labels)


@MODELS
def test_labels_are_those_of_a_fit(automatic) -> None:
    frame, truth = crowd()
    model, more = begun(automatic)
    model.partial_fit(more, gold=truth[100:104])
    assert "new answers to, or known labels of, 14 tasks" in model.update_
    whole = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    whole.fit(frame, gold=truth[:104])
    assert (model.labels_ == whole.labels_).mean() >= 0.99
    assert np.abs(model.probas_ - whole.probas_).to_numpy().mean() < 0.01
    assert model.skills_.to_numpy() == pytest.approx(whole.skills_.to_numpy(), abs=0.03)
    assert (model.labels_[:104] == truth[:104]).all()
    assert (model.probas_.to_numpy()[np.arange(104), truth[:104]] == 1).all()
    assert model.probas_.to_numpy().sum(axis=1) == pytest.approx(1.0, abs=1e-6)


def test_a_known_label_moves_the_counts_of_its_answers_to_its_class() -> None:
    """Those of a plain model without new answers, as enumerated from what it said of the task before."""
    model, _ = begun(False)
    frame, truth = crowd()
    before = model.__dict__["_fitted"][0].growth.parts[0].counts.numpy()
    said = model.probas_.loc[200].to_numpy()
    expected = before.copy()
    answers = frame[frame["task"] == 200]
    for worker, label in answers[["worker", "label"]].to_numpy():
        expected[worker, label] += np.eye(K)[truth[200]] - said
    model.partial_fit(frame[:0], gold={200: truth[200]})
    assert "5 workers, for new answers to, or known labels of, 1 task;" in model.update_
    after = model.__dict__["_fitted"][0].growth.parts[0].counts.numpy()
    np.testing.assert_allclose(after, expected, atol=1e-4)
    assert model.labels_[200] == truth[200]
    assert model.probas_.loc[200, truth[200]] == 1


@MODELS
def test_known_labels_may_come_without_answers(automatic) -> None:
    model, _ = begun(automatic)
    frame, truth = crowd()
    model.partial_fit(frame[:0], gold=truth[100:104])
    assert "known labels of, 4 tasks" in model.update_
    whole = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    whole.fit(frame[:-50], gold=truth[:104])
    assert (model.labels_ == whole.labels_).mean() >= 0.99
    assert (model.probas_.to_numpy()[np.arange(104), truth[:104]] == 1).all()
    assert model.skills_.to_numpy() == pytest.approx(whole.skills_.to_numpy(), abs=0.03)


@MODELS
def test_answers_to_a_task_with_a_known_label_count_for_that_class(automatic) -> None:
    model, _ = begun(automatic)
    _, truth = crowd()
    skill = model.skills_[3]
    tasks = np.arange(100)
    wrong = pd.DataFrame({"task": tasks, "worker": 99, "label": (truth[:100] + 1) % K})
    model.partial_fit(wrong)
    assert model.update_ != ALL
    assert (model.labels_[:100] == truth[:100]).all()
    assert model.skills_[99] < 0.25
    assert model.skills_[3] == pytest.approx(skill, abs=0.02)


@MODELS
def test_a_label_may_be_known_before_its_task_has_answers(automatic) -> None:
    model, more = begun(automatic)
    with pytest.warns(
        DataWarning, match="1 task without answers here .5000.: ignored until it has"
    ):
        model.partial_fit(more[:25], gold={5000: 2})
    assert model.update_ != ALL
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        model.partial_fit(more[25:])
    model.partial_fit(pd.DataFrame({"task": [5000, 5000], "worker": [1, 2], "label": [0, 0]}))
    assert model.update_ != ALL
    assert model.labels_[5000] == 2


@MODELS
def test_copies_and_pickles_go_on_alike(automatic) -> None:
    model, more = begun(automatic)
    _, truth = crowd()
    model.partial_fit(more[:20], gold=truth[100:102])
    twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    model.partial_fit(more[20:], gold=truth[102:104])
    for twin in twins:
        twin.partial_fit(more[20:], gold=truth[102:104])
        assert twin.update_ == model.update_ != ALL
        pd.testing.assert_frame_equal(twin.probas_, model.probas_)
        pd.testing.assert_series_equal(twin.labels_, model.labels_)


@MODELS
def test_a_file_says_what_the_model_says(automatic, tmp_path) -> None:
    model, more = begun(automatic)
    _, truth = crowd()
    model.partial_fit(more, gold=truth[100:104])
    assert model.update_ != ALL
    model.save(tmp_path / "model")
    loaded = DEEMAggregator.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.probas_, model.probas_)
    frame, _ = crowd(50, seed=1)
    pd.testing.assert_frame_equal(loaded.predict_proba(frame), model.predict_proba(frame))


def test_what_takes_a_fit_of_all_answers_says_so() -> None:
    model, more = begun(False)
    _, truth = crowd()
    many = copy.deepcopy(model).partial_fit(more, gold=truth[100:106])
    assert many.update_ == ALL, "more than a twentieth of the known labels"
    corrected = copy.deepcopy(model).partial_fit(more, gold={3: (truth[3] + 1) % K})
    assert corrected.update_ == ALL
    assert corrected.labels_[3] == (truth[3] + 1) % K
    with pytest.warns(DataWarning, match="takes back the known label of 1 task: 3"):
        assert copy.deepcopy(model).partial_fit(more, gold={3: None}).update_ == ALL
    first = copy.deepcopy(begun(False, 0)[0]).partial_fit(more, gold={3: truth[3]})
    assert first.update_ == ALL, "no label was known before"
    again = copy.deepcopy(model).partial_fit(more, gold={3: truth[3]})
    assert again.update_ != ALL, "it was known before"


@pytest.mark.parametrize(
    ("gold", "message"),
    [
        ({300: 7}, "gold holds 1 label that no worker gave: 7"),
        (pd.DataFrame({"task": [300, 300], "label": [0, 1]}), "1 task more than one label: 300"),
    ],
)
def test_bad_known_labels_leave_the_model_as_it_was(gold, message) -> None:
    model, more = begun(False)
    twin = copy.deepcopy(model)
    with pytest.raises(DataError, match=message):
        model.partial_fit(more, gold=gold)
    for one in (model, twin):
        one.partial_fit(more)
    pd.testing.assert_frame_equal(model.probas_, twin.probas_, check_exact=True)


@MODELS
@pytest.mark.parametrize("mixed", [False, True])
def test_text_in_columns_of_objects_is_added_and_mixed_objects_are_not(automatic, mixed) -> None:
    """Before pandas 3 all text is objects."""
    frame, truth = crowd(400)
    text = {"task": "t" + frame["task"].astype(str), "label": "l" + frame["label"].astype(str)}
    frame = frame.assign(**text).astype({"task": object, "label": object})
    frame["worker"] = [w if mixed and w % 2 else f"w{w}" for w in frame["worker"]]
    frame["worker"] = frame["worker"].astype(object)
    gold = ("l" + truth.astype(str)).astype(object).set_axis("t" + truth.index.astype(str))
    model = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    model.partial_fit(frame[:-20], gold=gold[:40]).partial_fit(frame[-20:], gold=gold[40:42])
    assert (model.update_ == ALL) is mixed
    assert (model.labels_[:42] == gold[:42]).all()
