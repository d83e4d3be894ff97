"""Methods of a stranger that break what they touch: streams, descriptors, attributes, exceptions, their own results."""

from __future__ import annotations

import functools
from pathlib import Path

from cases import Case
from cases.strangers import called

METHODS = '''
import os, sys, threading, time, warnings
import numpy as np
import pandas as pd
from deem_crowd import hookimpl


class Vote:
    """A vote."""

    def fit_predict(self, data):
        counts = data.groupby(["task", "label"]).size().unstack(fill_value=0)
        return self.spoilt(counts.idxmax(axis=1))

    def spoilt(self, labels):
        return labels


def returns(change):
    return type("Method", (Vote,), {"spoilt": lambda self, labels: change(labels)})


def does(act):
    def spoilt(self, labels):
        act()
        return labels
    return type("Method", (Vote,), {"spoilt": spoilt})


def fails(error):
    def act():
        raise error
    return does(act)


def has(name, make):
    def fit_predict(self, data):
        labels = Vote.fit_predict(self, data)
        setattr(self, name, make(labels, data))
        return labels
    return type("Method", (Vote,), {"fit_predict": fit_predict})


def raising(name, error):
    def get(self):
        raise error
    return type("Method", (Vote,), {name: property(get)})


def halves(labels, columns=("a", "b"), value=0.5):
    return pd.DataFrame(value, index=labels.index, columns=columns)


class Silent:
    __slots__ = ()
    __hash__ = lambda self: 1
    def __repr__(self):
        raise RuntimeError("no words")


class Incomparable:
    __hash__ = lambda self: hash("a")
    def __eq__(self, other):
        raise RuntimeError("no comparison")


class Hidden(pd.Series):
    @property
    def index(self):
        raise RuntimeError("no index")


class Number(Exception):
    def __str__(self):
        return 5


def exit_now():
    import typer
    raise typer.Exit(0)


def recurse():
    return recurse()


METHODS = {
    "closes-stderr": does(lambda: sys.stderr.close()),
    "closes-streams": does(lambda: (sys.stdout.close(), sys.stderr.close())),
    "forgets-streams": does(lambda: (setattr(sys, "stdout", None), setattr(sys, "stderr", None))),
    "closes-1": does(lambda: os.close(1)),
    "closes-2": does(lambda: os.close(2)),
    "closes-1-2": does(lambda: (os.close(1), os.close(2))),
    "redirects-2": does(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2)),
    "writes-bytes": does(lambda: (sys.stdout.buffer.write(b"bytes"), sys.stdout.flush())),
    "unset-hook": does(lambda: setattr(warnings, "showwarning", None)),
    "daemon-thread": does(lambda: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()),
    "categories": returns(lambda x: x.astype("category")),
    "strings": returns(lambda x: x.astype("string")),
    "more-tasks": returns(lambda x: pd.concat([x, pd.Series(["a"], index=["none"])])),
    "named": returns(lambda x: x.rename("\\x1b[2J")),
    "array-of-probabilities": has("probas_", lambda x, d: np.full((len(x), 2), 0.5)),
    "no-probabilities": has("probas_", lambda x, d: None),
    "skills-of-text": has("skills_", lambda x, d: pd.Series("good", index=d["worker"].unique())),
    "recursion": does(recurse),
    "memory": fails(MemoryError("mine")),
    "exit": does(exit_now),
    "generator-exit": fails(GeneratorExit()),
    "stop": fails(StopIteration()),
    "pipe": fails(BrokenPipeError("mine")),
    "group": fails(getattr(__builtins__, "ExceptionGroup", ValueError)("several", [ValueError("one")])),
    "half-a-character": fails(ValueError("\\ud800")),
    "nul": fails(ValueError("a\\0b")),
    "no-text": fails(Number()),
    "no-words": returns(lambda x: x.map(lambda y: Silent())),
    "no-index": returns(Hidden),
    "no-comparison": returns(lambda x: x.map(lambda y: Incomparable())),
    "bytes": returns(lambda x: x.map(str.encode)),
    "upper": returns(lambda x: x.str.upper()),
    "spaces": returns(lambda x: x + " "),
    "numbers": returns(lambda x: x.map({"a": 0, "b": 1})),
    "levels": returns(lambda x: x.set_axis(pd.MultiIndex.from_tuples([(i, 1) for i in x.index]))),
    "tuples": returns(lambda x: x.set_axis(pd.Index([(i,) for i in x.index], tupleize_cols=False))),
    "empty": returns(lambda x: x[:0]),
    "all-missing": returns(lambda x: x.where(x.index == "")),
    "generator": returns(lambda x: (i for i in x)),
    "dict": returns(dict),
    "array": returns(lambda x: x.to_numpy()),
    "class": returns(lambda x: pd.Series),
    "itself": returns(lambda x: Vote()),
    "sets": returns(lambda x: x.map(lambda y: {y})),
    "raises-probas": raising("probas_", RuntimeError("no probabilities")),
    "exits-probas": raising("probas_", SystemExit(0)),
    "levels-of-columns": has("probas_", lambda x, d: halves(x, pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]))),
    "other-columns": has("probas_", lambda x, d: halves(x, ["c", "d"])),
    "text-as-probabilities": has("probas_", lambda x, d: halves(x, value="x")),
    "complex": has("probas_", lambda x, d: halves(x, value=0.5 + 1j)),
    "no-columns": has("probas_", lambda x, d: pd.DataFrame(index=x.index)),
    "negative": has("probas_", lambda x, d: pd.DataFrame({"a": 2.0, "b": -1.0}, index=x.index)),
    "infinite": has("probas_", lambda x, d: pd.DataFrame({"a": np.inf, "b": -np.inf}, index=x.index)),
    "rows-twice": has("probas_", lambda x, d: pd.concat([halves(x)] * 2)),
    "columns-twice": has("probas_", lambda x, d: halves(x, ["a", "a"])),
    "lists-as-ids": has("probas_", lambda x, d: halves(x).set_axis(pd.Index([[i] for i in x.index], dtype=object))),
    "raises-skills": raising("skills_", RuntimeError("no skills")),
    "exits-skills": raising("skill_intervals_", SystemExit(0)),
    "needs": type("Needs", (Vote,), {"__init__": lambda self, needed: None}),
    "not-one": type("NotOne", (), {}),
    "not-callable": type("NotCallable", (), {"fit_predict": 5}),
    "makes-nothing": lambda: None,
    "raises-when-made": type("Raises", (Vote,), {"__init__": lambda self: 1 / 0}),
    "exits-when-made": type("Exits", (Vote,), {"__init__": lambda self: sys.exit(0)}),
}


@hookimpl
def deem_crowd_aggregators():
    return {"good": Vote, **METHODS}
'''

WELL = (
    "closes-stderr", "closes-streams", "forgets-streams", "closes-1", "closes-2", "closes-1-2", "redirects-2",
    "writes-bytes", "unset-hook", "daemon-thread", "categories", "strings", "more-tasks", "named",
    "array-of-probabilities", "no-probabilities", "skills-of-text",
)  # fmt: skip
NO_LABELS, STRANGE = "none of 4 tasks has a label", "that no worker gave"
FAULTS = {
    "recursion": "RecursionError: maximum recursion depth",
    "memory": "MemoryError: mine",
    "exit": "Exit",
    "generator-exit": "GeneratorExit",
    "stop": "StopIteration",
    "pipe": "BrokenPipeError: mine",
    "group": "several",
    "half-a-character": "ValueError: \\ud800",
    "nul": "ValueError: a\\x00b",
    "no-text": "Number: (its message cannot be shown)",
    "no-words": "RuntimeError: no words",
    "no-index": "RuntimeError: no index",
    "no-comparison": STRANGE,
    **dict.fromkeys(("bytes", "upper", "spaces", "numbers"), STRANGE),
    **dict.fromkeys(("levels", "tuples", "empty", "all-missing"), NO_LABELS),
    "generator": "a generator, not a Series",
    "dict": "a dict, not a Series",
    "array": "a ndarray, not a Series",
    "class": "a type, not a Series",
    "itself": "a Vote, not a Series",
    "sets": "labels that are not hashable (set)",
    "needs": "needed",
    "not-one": "fit_predict",
    "not-callable": "callable",
    "makes-nothing": "fit_predict",
    "raises-when-made": "division by zero",
    "exits-when-made": "SystemExit: 0",
}
PROBABILITIES = {
    "raises-probas": "RuntimeError: no probabilities",
    "exits-probas": "SystemExit: 0",
    **dict.fromkeys(("levels-of-columns", "other-columns", "no-columns"), "2 of its labels have no column ('a', 'b')"),
    **dict.fromkeys(("text-as-probabilities", "complex"), "they are not real numbers"),
    **dict.fromkeys(("negative", "infinite"), "no distribution for 4 tasks"),
    **dict.fromkeys(("rows-twice", "columns-twice"), "hold one name twice"),
    "lists-as-ids": "not hashable (list)",
}  # fmt: skip
SKILLS = {
    "raises-skills": "RuntimeError: no skills",
    "exits-skills": "SystemExit: 0",
    "skills-of-text": "could not convert string to float: 'good'",
}


def aggregate(method: str, more: str, folder: Path) -> tuple[int, str]:
    line = f"aggregate a.csv --method {method} -o l.csv {more}"
    found = called(folder, *line.split(), source=METHODS)
    assert Path("l.csv").exists() == (found[0] == 0)
    assert "unexpected" not in found[1]
    return found


def compare(method: str, folder: Path) -> tuple[int, str]:
    line = f"compare a.csv --gold g.csv --methods {method},good"
    found = called(folder, *line.split(), source=METHODS)
    rows = {line.split()[0]: line for line in found[1].splitlines() if line.strip()}
    assert "1.0000" in rows["good"]
    assert ("1.0000" in rows[method]) == (method in WELL or method in SKILLS)
    return found


PLUGINS = "plugin results"
CASES = [
    *(Case(PLUGINS, f"aggregate, {name}", functools.partial(aggregate, name, ""), "status 0: Written: l.csv (4 rows)")
      for name in WELL),
    *(Case(PLUGINS, f"aggregate, {name}", functools.partial(aggregate, name, ""), f"status 1: {words}")
      for name, words in FAULTS.items() if name != "needs"),
    Case(PLUGINS, "aggregate, needs", functools.partial(aggregate, "needs", ""), "status 2: needed"),
    *(Case(PLUGINS, f"probabilities, {name}", functools.partial(aggregate, name, "--proba p.csv"), f"status 1: {words}")
      for name, words in PROBABILITIES.items()),
    *(Case(PLUGINS, f"skills, {name}", functools.partial(aggregate, name, "--workers w.csv"), f"status 1: {words}")
      for name, words in SKILLS.items()),
    *(Case(PLUGINS, f"compare, {name}", functools.partial(compare, name), f"status 0: {words}")
      for name, words in ({**dict.fromkeys(WELL, ""), **FAULTS, **PROBABILITIES}).items()),
]  # fmt: skip
