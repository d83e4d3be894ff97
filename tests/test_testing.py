"""The checks for plugin authors: our own plugins pass them, and planted faults fail them with words that help."""

from __future__ import annotations

import importlib
import logging
import random
import sys
import warnings
from pathlib import Path

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import peers
import pytest
import torch

import deem_crowd
from deem_crowd import Answers
from deem_crowd.exceptions import ParameterError
from deem_crowd.samplers import BUILT_IN, DiscreteLangevin, Gibbs, GibbsWithGradients, base
from deem_crowd.samplers.base import Sampler
from deem_crowd.testing import ConformanceError, check_adapter, check_aggregator, check_sampler

# ---------------------------------------------------------------------- samplers


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_built_in_samplers(name) -> None:
    passed = check_sampler(deem_crowd.samplers()[name].load(), n_steps=50, n_chains=3000)
    assert "reaches the distribution" in passed
    assert len(passed) == 12


class Fills(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        return super().sample(energy, state, torch.ones_like(mask), n_steps, generator)


class OwnSeed(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        return super().sample(energy, state, mask, n_steps, torch.Generator().manual_seed(0))


class Global(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        seed = int(torch.randint(10**6, ()))
        return super().sample(energy, state, mask, n_steps, torch.Generator().manual_seed(seed))


class InPlace(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        state.copy_(super().sample(energy, state, mask, n_steps, generator))
        return state.clone()


class Moves(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        return super().sample(energy, state, mask, n_steps + 1, generator)


class Flat(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        return super().sample(energy, state, mask, n_steps, generator).flatten()


class OutOfRange(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        drawn = super().sample(energy, state, mask, n_steps, generator)
        return torch.where(mask, drawn + 1, drawn)


class Uniform(Sampler):
    def sample(self, energy, state, mask, n_steps, generator):
        if n_steps == 0:
            return state
        return torch.where(
            mask, torch.randint(energy.n_classes, state.shape, generator=generator), state
        )


class Stuck(Sampler):
    """Keeps the distribution, and never changes the first answer: it draws from the conditional on it."""

    def sample(self, energy, state, mask, n_steps, generator):
        moves = GibbsWithGradients()
        for _ in range(n_steps):
            proposed = moves.sample(energy, state, mask, 1, generator)
            state = torch.where(proposed[:, :1] == state[:, :1], proposed, state)
        return state


class Overcounts(Gibbs):
    @property
    def acceptance(self):
        return 2.0


class Remembers(GibbsWithGradients):
    def reset(self) -> None:
        pass


class NeverRefuses(Gibbs):
    def require(self, energy) -> None:
        pass

    def sample(self, energy, state, mask, n_steps, generator):
        served = self.serves(energy)
        return super().sample(energy, state, mask, n_steps, generator) if served else state


class Raises(Sampler):
    def sample(self, energy, state, mask, n_steps, generator):
        raise RuntimeError("not today")


@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        (Fills, "keeps the mask", "filled in answers that do not exist. Leave −1"),
        (OutOfRange, "keeps the mask", "returned labels .* Labels are 0"),
        (Flat, "keeps the mask", "of the shape and dtype of the state"),
        (
            OwnSeed,
            "draws from the generator alone",
            "different seeds gave the same draws. Hand the gen",
        ),
        (Global, "draws from the generator alone", "global random state of torch changed"),
        (InPlace, "leaves its input alone", "changed in place. Return a new tensor"),
        (Moves, "leaves its input alone", "n_steps=0 changed the state"),
        (
            Uniform,
            "keeps the distribution",
            "chains that start from the distribution have left it .*Check the acceptance",
        ),
        (
            Stuck,
            "reaches the distribution",
            "100 steps after a start .*every label of every answer",
        ),
        (Overcounts, "counts what it accepts", "its acceptance is 2.0. Call self._count"),
        (Remembers, "counts what it accepts", "reset.. does not forget"),
        (NeverRefuses, "says what it cannot serve", "Begin sample.. with self.require"),
        (Raises, "keeps the mask", "it raised RuntimeError: not today"),
        (lambda: 3, "is a sampler", "it makes a int. Derive from deem_crowd.samplers.Sampler"),
    ],
)
def test_broken_samplers(broken, check, words) -> None:
    with pytest.raises(ConformanceError, match=words) as caught:
        check_sampler(broken)
    assert caught.value.check == check


@pytest.mark.parametrize("kind", [GibbsWithGradients, DiscreteLangevin])
@pytest.mark.parametrize("fault", ["always", "inverted", "of another task", "of all tasks at once"])
def test_broken_acceptance(kind, fault, monkeypatch) -> None:
    honest = base.bernoulli
    faults = {
        "always": lambda ratio, generator: torch.ones_like(ratio, dtype=torch.bool),
        "inverted": lambda ratio, generator: honest(-ratio, generator),
        "of another task": lambda ratio, generator: honest(ratio.flip(0), generator),
        "of all tasks at once": lambda ratio, generator: honest(
            ratio.mean() + 0 * ratio, generator
        ),
    }
    monkeypatch.setattr(base, "bernoulli", faults[fault])
    with pytest.raises(ConformanceError, match="Check the acceptance") as caught:
        check_sampler(kind)
    assert caught.value.check == "keeps the distribution"


# ------------------------------------------------------------------- aggregators

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
    "ds": {"n_iter": 2},
    "onecoin-ds": {"n_iter": 2},
    "glad": {"n_iter": 1, "m_step_max_iter": 2},
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


class Vote:
    """A majority vote that keeps the contract; the broken ones below differ from it in one thing each."""

    def fit(self, data):
        data = data[["task", "worker", "label"]].dropna().reset_index(drop=True)
        votes = data.groupby(["task", "label"]).size().unstack(fill_value=0)
        self.probas_ = votes.div(votes.sum(axis=1), axis=0)
        self.labels_ = votes.idxmax(1) if len(votes) else pd.Series([], dtype=object)
        self.labels_ = self.labels_.rename("agg_label").rename_axis("task")
        return self

    def fit_predict(self, data):
        return self.fit(data).labels_


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
        (Contrary, "probabilities", "not the likeliest of their row"),
        (Silent, "labels", "raised AttributeError"),
        (Seeds, "repeatable", "global random state of random changed"),
        (Wanders, "fit and fit_predict agree|repeatable", "seeded by a parameter"),
        (Guesses, "fit and fit_predict agree", "values are different .* seeded by a parameter"),
        (ByRow, "ties", "tied votes [0-9]+ labels are others .* Break ties by label"),
        (ByIndex, "index of the frame", "the index of the frame changes the labels. Use columns"),
        (Texts, "other dtypes", "with numbers|came back as"),
        (Reserves, "awkward labels", "labels '' and 'task' [0-9]+ labels are others"),
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


AFTER = ("standard output", "standard error", "settings of the process")
"""The checks after the last."""


class Chatty(Vote):
    def fit_predict(self, data):
        print("fitting\n", len(data))
        return super().fit_predict(data)


class ChattySampler(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        print("sampling")
        return super().sample(energy, state, mask, n_steps, generator)


def chatty_adapter(frame: pd.DataFrame, **options) -> Answers:
    print("reading")
    return adapters.from_long(frame, **options)


def test_plugins_that_print_are_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    calls = {
        "fitting": lambda **how: check_aggregator(Chatty, **how),
        "sampling": lambda **how: check_sampler(ChattySampler, n_steps=50, **how),
        "reading": lambda **how: check_adapter(chatty_adapter, lambda frame: frame, **how),
    }
    for word, call in calls.items():
        said = f"wrote to standard output, '{word}' first. .* leave out print"
        with pytest.raises(ConformanceError, match=said) as caught:
            call()
        assert caught.value.check == "standard output"
        assert word in capsys.readouterr().out  # it is not swallowed
        assert "standard output" not in call(skip={"standard output": "a demonstration"})


class Loud(Vote):
    """Writes to standard error, by a warning and by a log as well, which are nobody's fault."""

    def fit_predict(self, data):
        warnings.warn("votes are few", UserWarning, stacklevel=2)
        logging.getLogger("loud").warning("votes are few")
        sys.stderr.write(f"fitting\n{len(data)}\n")
        return super().fit_predict(data)


class Cautious(Vote):
    """Warns and logs, and changes settings only for itself."""

    def fit_predict(self, data):
        warnings.warn("votes are few", UserWarning, stacklevel=2)
        logging.getLogger("warning").warning("votes are few")
        with (
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
            pd.option_context("display.width", 7),
        ):
            warnings.simplefilter("ignore")
            return super().fit_predict(data)


@pytest.mark.filterwarnings("always:votes are few")
def test_plugins_that_write_to_standard_error_are_told_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(
        ConformanceError, match=r"wrote to standard error, 'fitting' first\."
    ) as caught:
        check_aggregator(Loud)
    assert caught.value.check == "standard error"
    assert "fitting" in capsys.readouterr().err  # it is not swallowed
    with pytest.warns(UserWarning, match="votes are few"):
        assert {*AFTER} <= {*check_aggregator(Cautious)}


LIBRARIES = {
    "registers": "import pandas._config.config as c\nc.register_option('{name}.x', 1)",
    "filters": "import warnings\nwarnings.filterwarnings('ignore', message='{name}')",
    "logs": "import logging\nlog = logging.getLogger('{name}')\nlog.addHandler(logging.StreamHandler())",
}


@pytest.mark.parametrize("kind", list(LIBRARIES))
def test_imports_inside_a_fit_are_no_fault(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    often, seldom = f"often_{kind}", f"seldom_{kind}"
    for name in (often, seldom):
        (tmp_path / f"{name}.py").write_text(LIBRARIES[kind].format(name=name))
    monkeypatch.syspath_prepend(tmp_path)

    class Imports(Vote):
        def fit(self, data):
            importlib.import_module(often)
            if data["label"].nunique() == 1:
                importlib.import_module(seldom)
            logging.getLogger(often).warning("trial 1")
            return super().fit(data)

    assert {*AFTER} <= {*check_aggregator(Imports)}
    if kind == "logs":
        assert "trial 1" in capsys.readouterr().err
        logging.getLogger(often).warning("trial 2")
        assert capsys.readouterr().err == "trial 2\n"  # the handler writes on


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda: pd.set_option("display.max_rows", 7),
            r"options of pandas \(display.max_rows: \d+ to 7\)\. .*pd.option_context",
        ),
        (lambda: warnings.filterwarnings("ignore", "of a plugin"), "the filters of warnings"),
        (
            lambda: np.seterr(over="raise"),
            r"what numpy does about floating-point errors \(over: 'warn' to 'raise'\)",
        ),
        (lambda: torch.set_default_dtype(torch.float64), "the default dtype of torch"),
    ],
    ids=["pandas", "warnings", "numpy", "torch"],
)
def test_plugins_that_change_settings_of_the_process_are_told_so(change, words: str) -> None:
    class Meddling(Vote):
        def fit_predict(self, data):
            change()
            return super().fit_predict(data)

    class MeddlingSampler(Gibbs):
        def sample(self, energy, state, mask, n_steps, generator):
            change()
            return super().sample(energy, state, mask, n_steps, generator)

    def meddling(frame: pd.DataFrame, **options) -> Answers:
        change()
        return adapters.from_long(frame, **options)

    def settings() -> tuple[object, ...]:
        return (
            pd.get_option("display.max_rows"), list(warnings.filters), np.geterr(),
            torch.get_default_dtype(),
        )  # fmt: skip

    before = settings()
    calls = (
        lambda: check_aggregator(Meddling),
        lambda: check_sampler(MeddlingSampler, n_steps=50),
        lambda: check_adapter(meddling, lambda frame: frame),
    )
    for call in calls:
        with pytest.raises(ConformanceError, match=f"it changed {words}") as caught:
            call()
        assert caught.value.check == "settings of the process"
        assert settings() == before


def test_skipping_needs_known_names_and_reasons() -> None:
    with pytest.raises(ParameterError, match="skip needs a reason"):
        check_aggregator(Vote, skip={"empty frame": ""})
    with pytest.raises(ParameterError, match=r"checks that there are not: \['emty frame'\]"):
        check_aggregator(Vote, skip={"emty frame": "because"})


# ---------------------------------------------------------------------- adapters


def wide(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a task, one column a worker, in order of first appearance."""
    table = frame.pivot(index="task", columns="worker", values="label")
    return table.reindex(index=frame["task"].unique(), columns=frame["worker"].unique())


def matrix(frame: pd.DataFrame) -> np.ndarray:
    return wide(frame).fillna(-1).to_numpy().astype(int)


def soft(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.get_dummies(frame, columns=["label"], prefix="", prefix_sep="", dtype=float)


def hardened(data: pd.DataFrame) -> Answers:
    """The soft-long adapter, its certain answers read as labels."""
    answers = adapters.from_soft_long(data)
    frame = pd.DataFrame(
        {
            "task": answers.tasks.take(answers.task),
            "worker": answers.workers.take(answers.worker),
            "label": answers.classes.take(answers.soft.argmax(1)),
        }
    )
    return Answers.from_frame(frame)


def test_built_in_adapters_in_memory() -> None:
    import polars
    import pyarrow

    check_adapter(adapters.from_long, lambda frame: frame)
    check_adapter(adapters.from_wide, wide)
    check_adapter(adapters.from_dense, matrix, ids="integers")
    check_adapter(hardened, soft)
    check_adapter(adapters.from_polars, polars.from_pandas)
    check_adapter(adapters.from_arrow, pyarrow.Table.from_pandas)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_built_in_adapters_of_files(kind, tmp_path) -> None:
    def write(frame):
        path = tmp_path / f"answers.{kind}"
        adapters.write_table(frame, path)
        return path

    check_adapter(deem_crowd.adapters()[kind].load(), write)


def fills(data: np.ndarray) -> Answers:
    return Answers.from_dense(np.where(data < 0, 0, data))


def adds_class(data: pd.DataFrame) -> Answers:
    return Answers.from_frame(
        data.fillna("none").rename_axis("task").reset_index().melt("task", var_name="worker", value_name="label")
    )  # fmt: skip


def forgets(data: pd.DataFrame) -> Answers:
    return Answers.from_frame(data.iloc[:-1])


def renumbers(data: pd.DataFrame) -> Answers:
    return Answers.from_frame(data.assign(task=pd.factorize(data["task"])[0]))


def spoils(data: pd.DataFrame) -> Answers:
    answers = Answers.from_frame(data)
    data["label"] = "x"
    return answers


@pytest.mark.parametrize(
    ("read", "write", "ids", "words"),
    [
        (fills, matrix, "integers", "answers were invented, .*A missing answer is no answer"),
        (adds_class, wide, "strings", "answers were invented"),
        (forgets, lambda f: f, "strings", "1 of 11 answers were lost"),
        (renumbers, lambda f: f, "strings", "answers were lost"),
        (
            lambda data: data,
            lambda f: f,
            "strings",
            "returned a DataFrame. Return deem_crowd.Answers",
        ),
        (
            spoils,
            lambda f: f,
            "strings",
            "read twice, the same data give other answers. Work on a copy",
        ),
    ],
)
def test_broken_adapters(read, write, ids, words) -> None:
    with pytest.raises(ConformanceError, match=words):
        check_adapter(read, write, ids=ids)


# Skills, errors and priors


def spoilt(**changes):
    """Return a class of Dawid-Skene aggregators whose attributes are changed after the fit."""
    from crowdkit.aggregation import DawidSkene

    class Spoilt(DawidSkene):
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
        ("errors", {"errors_": lambda e: 1 - e}),
        ("errors", {"errors_": lambda e: e * 2}),
        ("errors", {"errors_": lambda e: e.iloc[2:]}),
        ("priors", {"priors_": lambda p: p * 3}),
        ("priors", {"priors_": lambda p: p.rename({"cat": "horse"})}),
    ],
)
def test_spoilt_skills_errors_and_priors_are_found(check, changes) -> None:
    others = {name: "not this one" for name in check_names() if name != check}
    assert check_aggregator(spoilt(), skip=others) == [check, *AFTER]
    with pytest.raises(ConformanceError) as error:
        check_aggregator(spoilt(**changes), skip=others)
    assert error.value.check == check


def check_names() -> list[str]:
    from deem_crowd.testing import aggregators

    owners = aggregators._AggregatorChecks.__mro__
    members = [member for owner in owners for member in vars(owner).values()]
    return [m.check_name for m in members if hasattr(m, "check_name")]
