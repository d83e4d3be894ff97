"""Checks for authors of aggregators: our own and crowd-kit's pass them, and each planted fault fails its own."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import peers
import pytest
from conforming import AFTER, Absent, Unsure, Vote

import deem_crowd
from deem_crowd.exceptions import ParameterError
from deem_crowd.testing import ConformanceError, check_aggregator

# What crowd-kit 1.4 does otherwise, each known and left as it is.
INDEX = {"index of the frame": "crowd-kit takes a column for ambiguous that is an index level, too"}
EMPTY = {"empty frame": "crowd-kit divides by the number of answers"}
UNLABELLED = {"fit and fit_predict agree": "crowd-kit's fit alone sets no labels_"}
SINGLE = {"one task": "crowd-kit's class needs more than one task"}
NAMES = {"awkward labels": "crowd-kit's frames have a column for each label beside their own"}
TIES = {"ties": "crowd-kit resolves ties by the order of rows"}
SAME = {"one label": "crowd-kit's class needs more than one label"}
BINARY = {
    "ties": "KOS is for two labels",
    "one answer a task": "crowd-kit's class needs both labels from every worker",
}
KNOWN = {
    "deem": {},
    "mv": {**INDEX, **TIES},
    "ds": {**INDEX, **NAMES},
    "onecoin-ds": {**INDEX, **NAMES},
    "glad": {**EMPTY, **NAMES},
    "mace": {**INDEX, **EMPTY, "ties": "crowd-kit's class mixes up rows and counts"},
    "mmsr": {**INDEX, **EMPTY, **UNLABELLED, **SINGLE, **SAME},
    "kos": {
        "repeatable": "crowd-kit's class seeds numpy's global generator",
        **INDEX,
        **BINARY,
        **SINGLE,
        **SAME,
    },
    "wawa": {**INDEX, **UNLABELLED, **TIES},
    "zbs": {**INDEX, **UNLABELLED},
}
CHEAP = {
    "ds": {"n_iter": 1},
    "onecoin-ds": {"n_iter": 1},
    "glad": {"n_iter": 1, "m_step_max_iter": 1},
    "kos": {"n_iter": 2},
    "mace": {"n_restarts": 1, "n_iter": 2},
    "zbs": {"n_iter": 2},
}


@pytest.mark.parametrize("name", list(KNOWN))
def test_built_in_aggregators(name) -> None:
    peers.need(name)

    def make():
        return deem_crowd.create(name, **CHEAP.get(name, {}))

    known = KNOWN[name]
    if name == "zbs" and peers.OLD_PANDAS:
        known = {**known, **EMPTY}
    assert "order of rows" in check_aggregator(make, skip=known)


class ByNumber(Vote):
    def fit(self, data):
        super().fit(data)
        self.labels_ = self.labels_.reset_index(drop=True)
        return self


class Nameless(Vote):
    def fit(self, data):
        super().fit(data)
        self.labels_ = self.labels_.rename(None)
        return self


class FirstRow(Vote):
    def fit(self, data):
        super().fit(data)
        self.labels_ = data.groupby("task")["label"].first().rename("agg_label")
        return self


class Unnormalised(Vote):
    def fit(self, data):
        super().fit(data)
        self.probas_ = self.probas_ * 2
        return self


class Contrary(Vote):
    def fit(self, data):
        super().fit(data)
        self.probas_ = 1 - self.probas_
        return self


class ArrayOfProbas(Vote):
    def fit(self, data):
        super().fit(data)
        self.probas_ = self.probas_.to_numpy()
        return self


class UnsaidAbsent(Absent):
    abstains = False

    def fit(self, data):
        super().fit(data)
        self.labels_ = self.labels_.iloc[1:]
        return self


class UnsureAgainstProbas(Unsure):
    def fit(self, data):
        super().fit(data)
        self.probas_ = 1 - self.probas_
        return self


@pytest.mark.parametrize("kind", [Unsure, Absent])
def test_a_method_that_leaves_tasks_open_can_keep_the_contract(kind) -> None:
    assert "ties" in check_aggregator(kind, accuracy=0.7)


class Spoils(Vote):
    def fit(self, data):
        super().fit(data)
        data["seen"] = True
        return self


class Seeds(Vote):
    def fit(self, data):
        random.seed(0)
        return super().fit(data)


class Invents(Vote):
    def fit(self, data):
        super().fit(data)
        self.labels_ = self.labels_.replace("cat", "lynx")
        return self


class Silent(Vote):
    def fit(self, data):
        super().fit(data)


class Forgives(Vote):
    def fit(self, data):
        return super().fit(data.assign(worker=0))


class Half(Vote):
    def fit(self, data):
        super().fit(data)
        self.labels_ = self.labels_.iloc[::2]
        return self


class ByRow(Vote):
    """Of tied labels the one that was given first."""

    def fit(self, data):
        super().fit(data)
        given = data.dropna().drop_duplicates(["task", "label"])
        given = given.set_index(["task", "label"]).index
        votes = self.probas_.stack().reindex(given).rename("share").reset_index()
        best = votes.sort_values("share", ascending=False, kind="stable").drop_duplicates("task")
        self.labels_ = best.set_index("task")["label"].rename("agg_label")
        return self


class ByIndex(Vote):
    def fit(self, data):
        return super().fit(data.loc[~data.index.duplicated()])


class Texts(Vote):
    def fit(self, data):
        return super().fit(data.astype({"label": str}))


class Reserves(Vote):
    """Keeps one name among the columns for itself."""

    def fit(self, data):
        super().fit(data)
        mine = self.probas_.columns != "task"
        self.labels_ = self.probas_.loc[:, mine].idxmax(1).rename("agg_label")
        return self


class NamesNobody(Vote):
    def fit(self, data):
        return super().fit(data.assign(task=data["task"].fillna("nobody")))


class Doubles(Vote):
    """Reports a task as often as the most diligent worker answered it."""

    def fit(self, data):
        super().fit(data)
        if data.duplicated(["task", "worker"]).any():
            self.labels_ = pd.concat([self.labels_, self.labels_.iloc[:1]])
        return self


class NeedsTwo(Vote):
    def fit(self, data):
        super().fit(data)
        if data["label"].nunique() == 1:
            self.labels_ = self.labels_.replace("yes", "no")
        return self


class Shy(Vote):
    """Gives a task with one answer the label that is most frequent."""

    def fit(self, data):
        super().fit(data)
        lonely = data["task"].value_counts().reindex(self.labels_.index) == 1
        common = self.labels_.mode()
        self.labels_ = self.labels_.mask(lonely, common.iloc[0] if len(common) else "")
        return self


class Forgets(Vote):
    def __deepcopy__(self, memo):
        twin = type(self)()
        twin.labels_ = self.labels_.iloc[:0]
        return twin


class Wanders(Vote):
    calls = 0

    def fit(self, data):
        Wanders.calls += 1
        super().fit(data)
        self.probas_ = None
        if Wanders.calls % 2:
            self.labels_.iloc[0] = sorted(set(data["label"]) - {self.labels_.iloc[0]})[0]
        return self


class Guesses(Vote):
    """Draws some labels, and does not seed anew what it draws from."""

    rng = np.random.default_rng(0)  # goes on from fit to fit, so that no two of them draw the same

    def fit(self, data):
        super().fit(data)
        self.probas_ = None
        drawn = np.zeros(len(self.labels_), dtype=bool)
        drawn[self.rng.choice(len(drawn), 3, replace=False)] = True  # of 60: right enough
        names = sorted(set(data["label"]))
        swap = dict(zip(names, names[1:] + names[:1], strict=True))
        self.labels_ = self.labels_.where(~drawn, self.labels_.map(swap))
        return self


def test_the_vote_keeps_the_contract() -> None:
    assert len(check_aggregator(Vote)) == 27


@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        (ByNumber, "labels", "Label every task once, under its own id"),
        (Half, "labels", "Label every task once"),
        (Nameless, "labels", "Name the Series 'agg_label'"),
        (Invents, "labels", "labels nobody gave: .*lynx"),
        (Unnormalised, "probabilities", "away from 1. Normalise"),
        (Contrary, "probabilities", "not the likeliest class in their row"),
        (UnsureAgainstProbas, "probabilities", "labels are not the likeliest class in their row"),
        (
            UnsaidAbsent,
            "labels",
            "59 of them tasks.* a method that leaves tasks open says abstains",
        ),
        (ArrayOfProbas, "probabilities", "probas_ is a ndarray, not a DataFrame. Index it by task"),
        (Silent, "labels", "raised AttributeError"),
        (Seeds, "repeatable", "global random state of random changed"),
        (Wanders, "fit and fit_predict agree|repeatable", "seeded by a parameter"),
        (Guesses, "fit and fit_predict agree", "values are different .* seeded by a parameter"),
        (ByRow, "ties", "tied votes [0-9]+ labels differ .* Break ties by label"),
        (ByIndex, "index of the frame", "the index of the frame changes the labels. Use columns"),
        (Texts, "other dtypes", "with numbers|came back as"),
        (Reserves, "awkward labels", "labels '' and 'task' [0-9]+ labels differ"),
        (NamesNobody, "missing task or worker", "with a missing task .* leave the row out"),
        (Doubles, "repeated answers", "labelled twice. Count the answer once"),
        (NeedsTwo, "one label", "every answer is 'yes'"),
        (Shy, "one answer a task", "with one answer each [0-9]+ got another label"),
        (Forgets, "copy", "a deep copy has other labels"),
        (Spoils, "input unchanged", "the frame was changed. Work on a copy"),
        (Forgives, "missing column", "without column 'worker' it went on. Raise a KeyError"),
    ],
)
def test_broken_aggregators(broken, check, words) -> None:
    with pytest.raises(ConformanceError, match=words) as caught:
        check_aggregator(broken)
    assert caught.value.check in check.split("|")


def test_an_aggregator_that_depends_on_the_order_of_rows() -> None:
    with pytest.raises(ConformanceError, match="rows in another order .* Let nothing depend"):
        check_aggregator(FirstRow, accuracy=0.5, skip={"probabilities": "not under test"})


def test_an_aggregator_that_is_mostly_wrong() -> None:
    with pytest.raises(
        ConformanceError, match="of the labels of an easy crowd are right"
    ) as caught:
        check_aggregator(FirstRow, accuracy=0.999)
    assert caught.value.check == "accuracy"


def test_skipping_needs_known_names_and_reasons() -> None:
    with pytest.raises(ParameterError, match="skip needs a reason"):
        check_aggregator(Vote, skip={"empty frame": ""})
    with pytest.raises(ParameterError, match=r"checks that there are not: \['emty frame'\]"):
        check_aggregator(Vote, skip={"emty frame": "because"})


# Skills, errors and priors


def spoilt(**changes):
    """Return a class of Dawid-Skene aggregators whose attributes are changed after the fit."""
    from crowdkit.aggregation import DawidSkene

    class Spoilt(DawidSkene):
        def __init__(self) -> None:
            super().__init__(n_iter=3)

        def fit(self, data, *args, **kwargs):
            super().fit(data, *args, **kwargs)
            right = data["label"].to_numpy() == self.labels_.reindex(data["task"]).to_numpy()
            self.skills_ = pd.Series(right).groupby(data["worker"].to_numpy()).mean()
            for name, change in changes.items():
                setattr(self, name, change(getattr(self, name)))
            return self

    return Spoilt


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("skills", {"skills_": lambda s: -s}),
        ("skills", {"skills_": lambda s: 1 / s * float("nan")}),
        ("skills", {"skills_": lambda s: s[1:]}),
        ("skills", {"skills_": lambda s: s.to_frame()}),
        ("skills", {"skills_": lambda s: s.map("skill {}".format)}),
        ("errors", {"errors_": lambda e: e.to_numpy()}),
        ("errors", {"errors_": lambda e: e.astype(object).map("{}".format).map("p {}".format)}),
        ("errors", {"errors_": lambda e: 1 - e}),
        ("errors", {"errors_": lambda e: e * 2}),
        ("errors", {"errors_": lambda e: e.iloc[2:]}),
        ("priors", {"priors_": lambda p: p * 3}),
        ("priors", {"priors_": lambda p: p.rename({"cat": "horse"})}),
    ],
)
def test_spoilt_skills_errors_and_priors_are_found(check, changes) -> None:
    with pytest.raises(ConformanceError) as error:
        check_aggregator(spoilt(**changes), skip=others(check))
    assert error.value.check == check
    assert "it raised" not in str(error.value)  # a fault is named, not stumbled over


@pytest.mark.parametrize("check", ["skills", "errors", "priors"])
def test_skills_errors_and_priors_that_are_not_spoilt_pass(check) -> None:
    assert check_aggregator(spoilt(), skip=others(check)) == [check, *AFTER]


def others(check: str) -> dict[str, str]:
    return {name: "not this one" for name in check_names() if name != check}


def check_names() -> list[str]:
    from deem_crowd.testing import aggregators

    owners = aggregators._AggregatorChecks.__mro__
    members = [member for owner in owners for member in vars(owner).values()]
    return [m.check_name for m in members if hasattr(m, "check_name")]
