"""partial_fit: it ends where a fit to everything would, and takes more of everything."""

from __future__ import annotations

import copy
import datetime

import numpy as np
import pandas as pd
import pytest
from crowd_of_five import FRAME, fitted

from deem_crowd import Answers, DEEMAggregator
from deem_crowd.exceptions import DataError, ParameterError

__all__ = ["fitted"]


@pytest.mark.parametrize("auto", [None, False])
def test_partial_fit_ends_where_a_full_fit_would(auto) -> None:
    from deem_crowd_benchmarks.sets.laws import heavy_tail

    rows = heavy_tail(1).answers
    grown = DEEMAggregator(auto_hyperparameters=auto)
    passes = []
    for part in (rows.iloc[:6000], rows.iloc[6000:8500], rows.iloc[8500:]):
        grown.partial_fit(part)
        passes.append(len(grown.loss_history_))
    whole = DEEMAggregator(auto_hyperparameters=auto).fit(rows)
    assert list(grown.labels_.index) == list(whole.labels_.index)
    gap = (grown.probas_ - whole.probas_).abs().to_numpy()
    assert gap.max() < 0.03
    assert gap.mean() < 1e-3
    if auto is False:  # the history of the default is that of the path it takes again
        assert passes[2] < len(whole.loss_history_)
    assert ((grown.skills_ - whole.skills_).abs() < 0.01).all()


@pytest.mark.parametrize("column", ["task", "worker", "label"])
def test_dates_in_a_column_of_objects_stay_objects(column: str) -> None:
    ids = [datetime.datetime(2024, 1, 1 + n) for n in range(12)]
    frame = pd.DataFrame(
        [(t, w, (t + (w == 3 and t % 3 == 0)) % 2) for t in range(12) for w in range(4)],
        columns=["task", "worker", "label"],
    )
    frame[column] = pd.Series([ids[n] for n in frame[column]], dtype=object)
    frame = frame.sort_values([column], kind="stable")
    model = DEEMAggregator().partial_fit(frame[:15]).partial_fit(frame[15:])
    found = {
        "task": model.labels_.index,
        "worker": model.skills_.index,
        "label": model.priors_.index,
    }
    assert found[column].dtype == object
    assert set(map(type, found[column])) == {datetime.datetime}


def test_partial_fit_with_more_of_everything() -> None:
    new = pd.DataFrame(
        {
            "task": ["t0", "new", "new"],
            "worker": ["nobody yet", 0, 40],
            "label": ["cat", "dog", "emu"],
        }
    )
    model = DEEMAggregator(auto_hyperparameters=False)
    model.partial_fit(FRAME)
    model.partial_fit(new)
    whole = DEEMAggregator(auto_hyperparameters=False).fit(
        pd.concat([FRAME, new], ignore_index=True)
    )
    assert list(model.probas_.columns) == list(whole.probas_.columns)
    pd.testing.assert_frame_equal(
        model.probas_, whole.probas_, atol=1e-6
    )  # a new class: fitted anew
    known = model.labels_.index[0]
    model.partial_fit(new.iloc[:0].reindex(columns=["task", "worker", "label"]), {known: "emu"})
    assert model.labels_[known] == "emu"
    model.partial_fit(FRAME.iloc[:5])  # the same again is no news
    assert model.labels_[known] == "emu"


@pytest.mark.parametrize("auto", [None, False])
def test_partial_fit_goes_on_from_where_it_stopped(auto, monkeypatch) -> None:
    """Members whose end does not depend on their start are not started again, and new workers are average ones."""
    from deem_crowd.estimators import fit as inference

    begun = []
    continued = inference.continued

    def watched(*args):
        begun.append(continued(*args))
        return begun[-1]

    monkeypatch.setattr(inference, "continued", watched)
    stranger = FRAME.iloc[:3].assign(worker="nobody yet")
    model = DEEMAggregator(auto_hyperparameters=auto).partial_fit(FRAME).partial_fit(stranger)
    assert not begun[0]
    assert begun[1]
    for stop in begun[1].values():
        assert stop.energy.n_workers == len(model.skills_)
        np.testing.assert_array_equal(stop.energy.weight[-1], stop.energy.population)
    whole = DEEMAggregator(auto_hyperparameters=auto).fit(pd.concat([FRAME, stranger]))
    np.testing.assert_allclose(model.probas_, whole.probas_, atol=0.02)
    assert (
        not DEEMAggregator().fit(FRAME)._fitted[0].warm_starts
    )  # who does not go on keeps nothing


def test_predict_on_a_stream_of_tasks_is_predict_at_once(fitted) -> None:
    whole = fitted.predict_proba(FRAME)
    parts = [fitted.predict_proba(rows) for _, rows in FRAME.groupby("task", sort=False)]
    np.testing.assert_allclose(pd.concat(parts).loc[whole.index], whole, atol=1e-12)


def test_partial_fit_needs_what_it_has_seen(fitted) -> None:
    with pytest.raises(ParameterError, match="partial_fit continues only from partial_fit"):
        copy.deepcopy(fitted).partial_fit(FRAME)
    model = DEEMAggregator().partial_fit(FRAME)
    before = dict(vars(model))
    with pytest.raises(KeyError, match="worker"):
        model.partial_fit(FRAME.drop(columns="worker"))
    assert all(vars(model)[key] is before[key] for key in before)
    model.fit(FRAME)
    with pytest.raises(ParameterError, match="keep no answers"):
        model.partial_fit(FRAME)


def numbered(first: int, last: int) -> pd.DataFrame:
    rng = np.random.default_rng(first)
    task, worker = np.repeat(np.arange(first, last), 3), np.tile(np.arange(3), last - first)
    label = np.where(rng.random(len(task)) < 0.8, task % 3, rng.integers(3, size=len(task)))
    return pd.DataFrame({"task": task, "worker": worker, "label": label})


NOTHING = numbered(0, 0)


def test_known_labels_are_corrected_and_taken_back_by_later_calls() -> None:
    first = numbered(0, 60)
    model = DEEMAggregator().partial_fit(first, gold={1: 2, 4: 0, 90: 1})
    with pytest.warns(match="without answers"):
        model.partial_fit(NOTHING, gold={1: 0, 7: None})
    assert model.labels_[[1, 4]].tolist() == [0, 0]
    same = DEEMAggregator().fit(first, gold={1: 0, 4: 0})
    pd.testing.assert_frame_equal(model.probas_, same.probas_, atol=1e-2)
    with pytest.warns(match="gold takes back the known label of 2 tasks: 4, 90"):
        model.partial_fit(NOTHING, gold=pd.Series({4: None, 90: None, 5: None}, dtype=object))
    assert model.labels_[1] == 0
    assert model.probas_.loc[4].max() < 1
    for label in (2, 1, 0):  # what is remembered does not grow with the calls
        model.partial_fit(NOTHING, gold={1: label})
    assert len(model.__dict__["_memory"].known) == 1


def test_known_labels_that_may_not_change_are_refused_by_name() -> None:
    model = DEEMAggregator(duplicates="error").partial_fit(numbered(0, 20), gold={1: 2})
    before = copy.copy(model.probas_)
    model.partial_fit(NOTHING, gold={1: 2, 3: 1})
    with pytest.raises(
        DataError, match="gold changes the known label of 1 task: 1. .*duplicates='last'"
    ):
        model.partial_fit(NOTHING, gold={1: 0, 5: 0})
    assert model.labels_[1] == 2
    assert before.loc[1].tolist() == model.probas_.loc[1].tolist()
    first = DEEMAggregator(duplicates="first").partial_fit(numbered(0, 20), gold={1: 2})
    assert first.partial_fit(NOTHING, gold={1: 0, 3: 1}).labels_[[1, 3]].tolist() == [2, 1]


def test_a_label_that_is_known_before_its_answers_counts_once_they_come() -> None:
    model = DEEMAggregator()
    with pytest.warns(match="1 task without answers here .900.: ignored until it has some"):
        model.partial_fit(numbered(0, 200), gold={900: 2})
    model.partial_fit(pd.DataFrame({"task": [900, 900], "worker": [0, 1], "label": [1, 1]}))
    assert model.labels_[900] == 2


def test_a_known_label_may_be_the_first_of_its_class_where_all_classes_are_named() -> None:
    """What the error says to do, in fit and in partial_fit."""
    frame, gold = numbered(0, 60), {1: 7}
    words = r"no worker gave: 7\. Labels given: 0, 1, 2\. .*Answers\.from_frame\(df, classes=\["
    whole = Answers.from_frame(frame, classes=[0, 1, 2, 7])
    for fit in ("fit", "partial_fit"):
        model = DEEMAggregator()
        with pytest.raises(DataError, match=words):
            getattr(model, fit)(frame, gold=gold)
        getattr(model, fit)(whole, gold=gold)
        assert model.labels_[1] == 7
        assert model.probas_.loc[1, 7] == 1
    later = DEEMAggregator().partial_fit(frame)
    with pytest.raises(DataError, match=words):
        later.partial_fit(NOTHING, gold=gold)
    assert later.labels_[1] != 7
    some = Answers.from_frame(numbered(60, 90), classes=[0, 1, 2, 7])
    assert later.partial_fit(some, gold=gold).labels_[1] == 7


def test_a_known_label_that_waits_for_its_task_may_wait_for_its_class() -> None:
    """Gold of a whole campaign comes with the first batch, which need not have answers of every class."""
    first, second = numbered(0, 60), numbered(60, 90)
    new = pd.DataFrame({"task": 90, "worker": second["worker"].unique()[:3], "label": 7})
    with pytest.warns(match="without answers here .90.: ignored until it has some"):
        model = DEEMAggregator().partial_fit(first, gold={90: 7, 1: 2})
    model.partial_fit(second)
    alone = DEEMAggregator().partial_fit(pd.concat([first, second]), gold={1: 2})
    assert model.probas_.to_numpy() == pytest.approx(alone.probas_.to_numpy(), abs=1e-6)
    strange = new.assign(label=0)
    with pytest.raises(DataError, match="1 label that no worker gave: 7"):
        model.partial_fit(strange)
    assert 90 not in model.labels_.index
    model.partial_fit(new)
    assert model.labels_[90] == 7
    assert model.probas_.loc[90, 7] == 1
    assert model.labels_[1] == 2
