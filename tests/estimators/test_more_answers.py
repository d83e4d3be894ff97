"""A few answers more: an addition to the model is held against a fit of all answers."""

import copy
import itertools
import pickle
import threading
import warnings
from unittest import mock

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd import DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.estimators import aggregation
from deem_crowd.estimators.incremental import all_tasks
from deem_crowd.estimators.incremental import parts as parts_module
from deem_crowd.estimators.incremental.memory import Memory
from deem_crowd.exceptions import DataWarning, ParameterError
from deem_crowd.model.grown import GrownDesign

MODELS = pytest.mark.parametrize("automatic", [None, False], ids=["default", "plain"])
ALL = "all answers were fitted"


def crowd(n: int = 2000, d: int = 40, k: int = 3, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    worker = np.argsort(rng.random((n, d)), axis=1)[:, :5]
    skill = rng.beta(5, 2, d)[worker]
    label = np.where(rng.random((n, 5)) < skill, truth[:, None], rng.integers(0, k, (n, 5)))
    return pd.DataFrame(
        {
            "task": np.repeat(np.arange(n), 5),
            "worker": [f"w{i}" for i in worker.ravel()],
            "label": label.ravel(),
        }
    )


def grown(frame: pd.DataFrame, share: float, automatic: bool | None) -> DEEMAggregator:
    cut = round(len(frame) * (1 - share))
    model = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    return model.partial_fit(frame[:cut]).partial_fit(frame[cut:])


@MODELS
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("share", [0.002, 0.01])
def test_labels_are_those_of_a_fit(automatic, mixed, share) -> None:
    frame = crowd()
    if mixed:
        frame = frame.sample(frac=1, random_state=0)
    ours = grown(frame, share, automatic)
    assert "labels follow when they are read" in ours.update_
    whole = DEEMAggregator(auto_hyperparameters=automatic, progress=False).fit(frame)
    probas = whole.probas_.reindex(ours.probas_.index)
    assert (ours.labels_ == whole.labels_.reindex(ours.labels_.index)).mean() >= 0.997
    assert np.abs(ours.probas_ - probas).to_numpy().mean() < 0.003
    assert ours.probas_.to_numpy().sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert ours.skills_.reindex(whole.skills_.index).to_numpy() == pytest.approx(
        whole.skills_.to_numpy(), abs=0.02
    )
    # the tables speak of all tasks, however few answers came
    assert (ours.labels_ == ours.predict(frame)).all()
    np.testing.assert_allclose(ours.probas_, ours.predict_proba(frame), atol=1e-5)
    width = ours.skill_intervals_.diff(axis=1)["high"]
    theirs = whole.skill_intervals_.diff(axis=1)["high"].reindex(width.index)
    assert width.to_numpy() == pytest.approx(theirs.to_numpy(), rel=0.2)


@MODELS
def test_pickles_hold_answers_once_and_go_on(automatic) -> None:
    frame = crowd()
    model = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    model.partial_fit(frame[:-60]).partial_fit(frame[-60:-40])
    twin = pickle.loads(pickle.dumps(model))
    kept = twin.__dict__["_fitted"][0].growth.base.__dict__
    assert not {"by_task", "by_code", "votes"} & set(kept)
    for one in (model, twin):
        one.partial_fit(frame[-40:-20]).partial_fit(frame[-20:])
    pd.testing.assert_series_equal(twin.labels_, model.labels_)
    pd.testing.assert_frame_equal(twin.probas_, model.probas_)


@MODELS
def test_a_stream_ends_where_a_fit_does(automatic) -> None:
    frame = crowd(1000)
    model = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    model.partial_fit(frame[:4500])
    how = []
    for start in range(4500, 5000, 25):
        model.partial_fit(frame[start : start + 25])
        how.append(model.update_)
    assert 1 <= how.count(ALL) <= 4
    whole = DEEMAggregator(auto_hyperparameters=automatic, progress=False).fit(frame)
    assert (model.labels_ == whole.labels_).mean() >= 0.995
    assert len(model.tasks_) == 1000
    assert int(model.workers_["answers"].sum()) == 5000


@MODELS
def test_a_call_goes_through_its_tasks_alone_and_reading_through_all_of_them_once(
    automatic,
) -> None:
    frame = crowd()
    model = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    model.partial_fit(frame[:-100])
    rows = []
    passes = GrownDesign.states

    def counted(design, *tables):
        rows.append(design.n_tasks)
        return passes(design, *tables)

    with mock.patch.object(GrownDesign, "states", counted):
        for start in range(len(frame) - 100, len(frame), 20):
            model.partial_fit(frame[start : start + 20])
        assert not rows
        labels, probas = model.labels_, model.probas_
        n_members = len(model.__dict__["_fitted"][0].growth.parts)
        assert rows == [2000] * n_members
    assert (labels == probas.idxmax(axis=1)).all()
    assert model.labels_ is labels


@settings(max_examples=8, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 159), max_size=6, unique=True),
    reads=st.lists(st.booleans(), min_size=7, max_size=7),
    automatic=st.sampled_from([None, False]),
    mixed=st.booleans(),
)
def test_neither_cuts_nor_reading_change_where_a_stream_ends(cuts, reads, automatic, mixed) -> None:
    """However its answers are cut into calls; reading in between changes nothing at all."""
    frame = crowd(800)
    if mixed:
        frame = frame.sample(frac=1, random_state=0)
    start = len(frame) - 160
    bounds = [0, *sorted(cuts), 160]
    ends = []
    for read in (False, True):
        model = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
        model.partial_fit(frame[:start])
        for number, (begin, end) in enumerate(itertools.pairwise(bounds)):
            model.partial_fit(frame[start + begin : start + end])
            if read and reads[number]:
                assert len(model.labels_) == len(model.probas_)
        ends.append(model)
    quiet, noisy = ends
    pd.testing.assert_frame_equal(noisy.probas_, quiet.probas_, check_exact=True)
    pd.testing.assert_series_equal(noisy.labels_, quiet.labels_)
    once = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    once.partial_fit(frame[:start]).partial_fit(frame[start:])
    assert (quiet.labels_ == once.labels_).mean() >= 0.99
    assert np.abs(quiet.probas_ - once.probas_).to_numpy().mean() < 0.003
    assert quiet.skills_.to_numpy() == pytest.approx(once.skills_.to_numpy(), abs=0.02)


@MODELS
def test_reading_in_other_threads_while_answers_come_changes_nothing(automatic) -> None:
    frame = crowd(n=400, d=20)
    model = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    model.partial_fit(frame[:-80])
    quiet, ends, wrong = copy.deepcopy(model), threading.Event(), []

    def read() -> None:
        while not ends.wait(1e-4):  # without a pause they keep the calls from going on
            one = copy.copy(model)
            labels, probas = one.labels_, one.probas_
            told = probas.to_numpy()[range(len(labels)), probas.columns.get_indexer(labels)]
            if (told < probas.max(axis=1) - 1e-6).any() or one.labels_ is not labels:
                wrong.append(one)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for start in range(len(frame) - 80, len(frame), 10):
        model.partial_fit(frame[start : start + 10])
        quiet.partial_fit(frame[start : start + 10])
    ends.set()
    for reader in readers:
        reader.join()
    assert not wrong
    pd.testing.assert_frame_equal(model.probas_, quiet.probas_, check_exact=True)
    pd.testing.assert_series_equal(model.skills_, quiet.skills_, check_exact=True)


STEPS = ("plus", "grown", "posterior", "attributes", "_said")


@MODELS
@pytest.mark.parametrize("step", STEPS)
def test_a_call_that_fails_midway_leaves_the_model_as_it_was(automatic, step) -> None:
    frame = crowd(n=400, d=20)
    model = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    model.partial_fit(frame[:-40]).partial_fit(frame[-40:-20])
    twin = copy.deepcopy(model)
    places = {"plus": Memory, "attributes": aggregation, "_said": all_tasks}
    with (
        mock.patch.object(places.get(step, parts_module.Part), step, side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        model.partial_fit(frame[-20:]) if step != "_said" else model.labels_
    assert model.update_ == twin.update_
    for one in (model, twin):
        one.partial_fit(frame[-20:])
    pd.testing.assert_frame_equal(model.probas_, twin.probas_, check_exact=True)
    pd.testing.assert_series_equal(model.labels_, twin.labels_)
    pd.testing.assert_series_equal(model.skills_, twin.skills_)


@MODELS
@pytest.mark.parametrize("read", [False, True])
def test_a_file_made_amid_a_stream_says_what_the_model_says(automatic, read, tmp_path) -> None:
    frame = crowd(n=400, d=20)
    model = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    model.partial_fit(frame[:-40]).partial_fit(frame[-40:-20])
    if read:
        assert len(model.labels_) == len(model.probas_)
    model.save(tmp_path / "model")
    loaded = DEEMAggregator.load(tmp_path / "model")
    pd.testing.assert_series_equal(loaded.labels_, model.labels_)
    pd.testing.assert_frame_equal(loaded.probas_, model.probas_)
    with pytest.raises(ParameterError, match="partial_fit continues only from partial_fit"):
        loaded.partial_fit(frame[-20:])
    copied = pickle.loads(pickle.dumps(model))
    for one in (model, copied):
        one.partial_fit(frame[-20:])
    pd.testing.assert_frame_equal(copied.probas_, model.probas_)
    pd.testing.assert_series_equal(copied.labels_, model.labels_)


@MODELS
def test_a_model_whose_arrays_may_only_be_read_says_what_it_says_without_a_warning(
    automatic, tmp_path
) -> None:
    """As in the processes of joblib, which map large arrays."""
    frame = crowd(n=400, d=20)
    model = DEEMAggregator(auto_hyperparameters=automatic, dtype="float32", progress=False)
    model.partial_fit(frame[:-40]).partial_fit(frame[-40:-20])
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # else torch warns once in a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert mapped.labels_.equals(model.labels_)
            for one in (mapped, model):
                one.partial_fit(frame[-20:])
            assert mapped.probas_.equals(model.probas_)
    finally:
        torch.set_warn_always(always)


@MODELS
def test_new_workers_are_average_ones_until_they_answer(automatic) -> None:
    frame = crowd()
    more = frame.drop_duplicates("task")[-300:].assign(worker="stranger")
    more["label"] = (more["label"] + (more["task"] % 2)) % 3
    model = DEEMAggregator(auto_hyperparameters=automatic, progress=False).partial_fit(frame)
    average = model.skills_.mean()
    with pytest.warns(DataWarning, match="repeat"):
        model.partial_fit(pd.concat([more[:1], more[:1]]))
    assert model.update_ != ALL
    assert model.skills_["stranger"] == pytest.approx(average, abs=0.05)
    assert len(model.errors_) == 41 * 3
    model.partial_fit(more[1:])
    assert model.update_ != ALL
    whole = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    whole.fit(pd.concat([frame, more]))
    assert model.skills_["stranger"] == pytest.approx(whole.skills_["stranger"], abs=0.03)


def test_what_takes_a_fit_of_all_answers_says_so() -> None:
    frame = crowd()
    begun = DEEMAggregator(auto_hyperparameters=False, progress=False).partial_fit(frame)
    assert begun.update_ == ALL
    changed = frame[:10].assign(label=(frame["label"][:10] + 1) % 3)
    with pytest.warns(DataWarning, match="the last one counts"):
        assert copy.deepcopy(begun).partial_fit(changed).update_ == ALL
    new = pd.DataFrame({"task": [9000, 9001], "worker": ["w1", "w2"], "label": [2, 1]})
    assert copy.deepcopy(begun).partial_fit(new.assign(label=[7, 1])).update_ == ALL
    assert copy.deepcopy(begun).partial_fit(new, {9000: 1}).update_ == ALL
    assert copy.deepcopy(begun).set_params(tol=1e-7).partial_fit(new).update_ == ALL
    again = pickle.loads(pickle.dumps(begun)).partial_fit(new)
    assert again.update_ != ALL
    assert again.labels_[9000] == 2
    half = frame[:6000].assign(task=lambda f: f["task"] + 10_000)
    assert again.partial_fit(half).update_ == ALL
    fresh = again.fit(frame)
    assert not hasattr(fresh, "update_")


@MODELS
def test_what_partial_fit_keeps_can_be_pickled(automatic) -> None:
    frame = crowd(n=300, d=8)
    begun = DEEMAggregator(auto_hyperparameters=automatic, progress=False).partial_fit(frame)
    new = pd.DataFrame({"task": [9000, 9001], "worker": ["w1", "w2"], "label": [2, 1]})
    again = pickle.loads(pickle.dumps(begun)).partial_fit(new)
    begun.partial_fit(new)
    assert again.update_ == begun.update_ != ALL
    pd.testing.assert_frame_equal(again.probas_, begun.probas_)
    pickle.dumps(again)


@MODELS
@pytest.mark.parametrize("n_new", [3, 150])
def test_new_tasks_without_answers_have_no_label(automatic, n_new) -> None:
    begun = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    begun.partial_fit(crowd())
    more = crowd(n=n_new // 5 + 1, seed=1)[:n_new]
    numbers = pd.factorize(more["task"])[0]
    workers, classes = pd.Index(sorted(set(more["worker"]))), pd.RangeIndex(3)
    silent = [9998, 9999]
    tasks = pd.Index([*range(5000, 5001 + numbers.max()), *silent])
    codes = workers.get_indexer(more["worker"]), more["label"].to_numpy()
    new = Answers.from_codes(
        (numbers, tasks), (codes[0], workers), (codes[1], classes), classes=classes
    )
    begun.partial_fit(new)
    assert begun.update_ != ALL
    assert begun.labels_[silent].isna().all()
    assert begun.labels_.drop(silent).notna().all()
    late = pd.DataFrame({"task": silent, "worker": workers[:2], "label": [0, 1]})
    assert begun.partial_fit(late).labels_.notna().all()
    for part in begun.__dict__["_fitted"][
        0
    ].growth.parts:  # tasks that were there are not counted again
        assert float(part.expected.sum()) == pytest.approx(len(begun.tasks_), abs=0.1)


def test_an_addition_can_be_saved(tmp_path) -> None:
    model = grown(crowd(), 0.01, None)
    model.save(tmp_path / "model")
    loaded = DEEMAggregator.load(tmp_path / "model")
    pd.testing.assert_series_equal(loaded.labels_, model.labels_)
    pd.testing.assert_frame_equal(loaded.probas_, model.probas_)
    assert model.probas_.dtypes.unique().tolist() == [np.float64]
    frame = crowd()[:50]
    pd.testing.assert_frame_equal(loaded.predict_proba(frame), model.predict_proba(frame))


def test_many_more_answers_are_fitted_anew() -> None:
    """In rounds, from one answer a task on: where few answers end says nothing of where many do."""
    frame = crowd(n=100, d=10)
    frame = frame.iloc[np.argsort(np.arange(500) % 5, kind="stable")].reset_index(drop=True)
    model, begun = DEEMAggregator(progress=False), 0
    for end in (100, 130, 300):
        model.partial_fit(frame[begun:end])
        begun = end
        fitted = DEEMAggregator(progress=False).fit(frame[:end])
        pd.testing.assert_frame_equal(model.probas_, fitted.probas_)


def test_an_empty_frame_teaches_by_the_known_labels_beside_it_or_says_that_it_teaches_nothing() -> (
    None
):
    rows = [(t, w, "ab"[(t + (w == 2 and t % 3 == 0)) % 2]) for t in range(12) for w in range(3)]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    model = DEEMAggregator().partial_fit(frame)
    before = model.labels_
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        model.partial_fit(frame.iloc[:0], gold={1: "a"})
    assert (before[1], model.labels_[1]) == ("b", "a")
    with pytest.warns(DataWarning, match="holds no answers: no answer is learned from") as caught:
        model.partial_fit(frame.iloc[:0])
    assert len(caught) == 1
    assert model.labels_[1] == "a"
