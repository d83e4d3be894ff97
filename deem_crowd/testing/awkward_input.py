"""What every aggregator has to do with input as people have it: other columns and dtypes, gaps, repeats, one task."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.exceptions import counted
from deem_crowd.runtime.cached import cached_property
from deem_crowd.testing.conformance import Checks, check


def _crowd() -> tuple[pd.DataFrame, pd.Series]:
    """60 tasks, seven workers who err now and then, two labels; and the truth."""
    rng = np.random.default_rng(7)
    truth = pd.Series(
        np.where(rng.random(60) < 0.5, "cat", "dog"), index=[f"t{n}" for n in range(60)]
    )
    other = {"cat": "dog", "dog": "cat"}
    rows = []
    for task, label in truth.items():
        for worker in rng.choice(7, size=5, replace=False):
            wrong = rng.random() < 0.06 + 0.03 * worker
            rows.append((task, f"w{worker}", other[str(label)] if wrong else label))
    return pd.DataFrame(rows, columns=["task", "worker", "label"]), truth


def differing(labels: pd.Series, expected: pd.Series) -> int:
    """Return how many tasks have other labels than expected; a task that is left open in both does not count."""
    tasks = expected.index.union(labels.index, sort=False)
    one, other = labels.reindex(tasks), expected.reindex(tasks)
    return int(((one != other) & ~(one.isna() & other.isna())).sum())


class _InputChecks:
    """Checks of an aggregator on awkward input."""

    def __init__(self, checks: Checks, factory: Callable[[], Any], accuracy: float) -> None:
        self.checks, self.factory, self.accuracy = checks, factory, accuracy
        self.data, self.truth = _crowd()

    def labelled(self, data: pd.DataFrame) -> pd.Series:
        labels = self.factory().fit_predict(data.copy())
        self.checks.require(
            isinstance(labels, pd.Series),
            f"fit_predict returned a {type(labels).__name__}.",
            "Return a Series of labels, indexed by task.",
        )
        return labels

    @cached_property
    def expected(self) -> pd.Series:
        """The labels of the easy crowd, which those of the same answers in another form are compared with."""
        return self.labelled(self.data)

    @cached_property
    def abstains(self) -> bool:
        """Whether it says that it leaves tasks open: absent from the labels, or with a missing label."""
        return bool(getattr(self.factory(), "abstains", False))

    def are_tasks(self, labels: pd.Series) -> bool:
        """Tell whether labels are of the tasks of the easy crowd, all of them unless it abstains."""
        found, tasks = set(labels.index), set(self.data["task"])
        return labels.index.is_unique and (found <= tasks if self.abstains else found == tasks)

    @cached_property
    def fitted(self) -> Any:
        """An aggregator fitted to the easy crowd, to be looked at."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.factory().fit(self.data.copy())

    @check("extra columns")
    def columns(self) -> None:
        more = self.data.assign(extra=1)[["label", "extra", "task", "worker"]]
        same = self.labelled(more).equals(self.expected)
        self.checks.require(same, "further columns change the labels.", "Use columns by name.")

    @check("index of the frame")
    def index(self) -> None:
        expected = self.expected
        one = self.data.set_axis(pd.Index([0] * len(self.data), name="task"), axis=0)
        same = self.labelled(one).equals(expected)
        self.checks.require(
            same, "the index of the frame changes the labels.", "Use columns; reset the index."
        )

    @check("input unchanged")
    def input(self) -> None:
        data = self.data.copy()
        self.factory().fit_predict(data)
        self.checks.require(data.equals(self.data), "the frame was changed.", "Work on a copy.")

    @check("other dtypes")
    def dtypes(self) -> None:
        numbers = self.data.assign(
            task=pd.factorize(self.data["task"])[0] * 10,
            worker=pd.factorize(self.data["worker"])[0] + 0.5,
            label=(self.data["label"] == "cat").astype("int64"),
        )
        labels = self.labelled(numbers)
        names = self.expected
        number = dict(zip(self.data["task"], numbers["task"], strict=True))
        expected = names.rename(number).map({"cat": 1, "dog": 0})
        wrong = differing(labels, expected)
        self.checks.require(
            wrong == 0,
            f"with numbers for ids and labels {counted(wrong, 'label differs', 'labels differ')}.",
            "Treat ids and labels as names, whatever their dtype.",
        )
        self.checks.require(
            # integers have no missing value for a task that is left open
            (labels.dtype == numbers["label"].dtype or bool(labels.isna().any()))
            and labels.index.dtype == numbers["task"].dtype,
            f"labels of {numbers['label'].dtype} came back as {labels.dtype}, tasks of {numbers['task'].dtype} as "
            f"{labels.index.dtype}.",
            "Give ids and labels back in the dtype they came in.",
        )

    @check("awkward labels")
    def awkward(self) -> None:
        names = self.expected
        for cat, dog in (("", "task"), ("label", "a\tb\n"), ("é", "agg_label")):
            other = {"cat": cat, "dog": dog}
            labels = self.labelled(self.data.assign(label=self.data["label"].map(other)))
            wrong = differing(labels, names.map(other))
            self.checks.require(
                wrong == 0,
                f"with labels {cat!r} and {dog!r} {counted(wrong, 'label differs', 'labels differ')}.",
                "Any text is a label; keep labels out of column names.",
            )

    @check("missing column")
    def missing_column(self) -> None:
        for column in ("task", "worker", "label"):
            raised: BaseException | None = None
            try:
                self.factory().fit_predict(self.data.drop(columns=column))
            except Exception as error:
                raised = error
            self.checks.require(
                isinstance(raised, KeyError | AttributeError),
                f"without column {column!r} it "
                + ("went on." if raised is None else f"raised {type(raised).__name__}."),
                "Raise a KeyError that names the column.",
            )

    @check("missing label")
    def missing_label(self) -> None:
        data = self.data.astype({"label": object})
        data.loc[3, "label"] = None
        try:
            labels = self.factory().fit_predict(data)
        except Exception:
            return  # refusing is right, whatever the words
        invented = set(labels.dropna()) - {"cat", "dog"}
        self.checks.require(
            not invented, f"a missing label became {invented}.", "Refuse it, or leave the row out."
        )

    @check("missing task or worker")
    def missing_id(self) -> None:
        for column in ("task", "worker"):
            data = self.data.astype({column: object})
            data.loc[3, column] = None
            try:
                labels = self.labelled(data)
            except Exception:
                continue  # refusing is right, whatever the words
            self.checks.require(
                self.are_tasks(labels),
                f"with a missing {column} the tasks labelled are others.",
                "Refuse it, or leave the row out.",
            )

    @check("repeated answers")
    def repeated(self) -> None:
        data = pd.concat([self.data, self.data.iloc[:9]], ignore_index=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it may well say so
                labels = self.labelled(data)
        except ValueError:
            return  # refusing is an answer
        self.checks.require(
            self.are_tasks(labels),
            "where a worker answered a task twice, tasks are lost or labelled twice.",
            "Count the answer once, or refuse it with a ValueError that names task and worker.",
        )

    @check("empty frame")
    def empty(self) -> None:
        labels = self.labelled(self.data.iloc[:0])
        self.checks.require(len(labels) == 0, "an empty frame got labels.", "Return none.")

    @check("one task")
    def one_task(self) -> None:
        data = pd.DataFrame(
            {"task": ["t"] * 3, "worker": ["a", "b", "c"], "label": ["yes", "yes", "no"]}
        )
        labels = self.labelled(data)
        self.checks.require(
            list(labels) == ["yes"] or (self.abstains and labels.dropna().empty),
            f"two answers 'yes' and one 'no' gave {list(labels)}.",
            "With nothing else to go by the majority is right.",
        )

    @check("one label")
    def one_label(self) -> None:
        labels = self.labelled(self.data.assign(label="yes"))
        self.checks.require(
            set(labels.dropna()) == {"yes"}
            and (self.abstains or int(labels.notna().sum()) == len(self.truth)),
            f"where every answer is 'yes' the labels are {sorted(map(repr, set(labels)))}.",
            "Where all agree they are right.",
        )

    @check("one answer a task")
    def one_answer(self) -> None:
        data = self.data.drop_duplicates("task")
        labels = self.labelled(data)
        given = labels.reindex(data["task"])
        other = given.to_numpy() != data["label"].to_numpy()
        wrong = int((other & ~(given.isna().to_numpy() & self.abstains)).sum())
        self.checks.require(
            wrong == 0,
            f"of tasks with one answer each {wrong} got another label than their answer.",
            "With nothing else to go by the answer is the label.",
        )

    @check("copy")
    def copies(self) -> None:
        made = self.factory()
        made.fit_predict(self.data)
        twin = copy.deepcopy(made)
        if hasattr(made, "labels_"):
            same = twin.labels_.equals(made.labels_)
            self.checks.require(same, "a deep copy has other labels.", "Keep state in attributes.")
        same = twin.fit_predict(self.data).equals(self.expected)
        self.checks.require(
            same, "a deep copy fits differently.", "Keep parameters and state in attributes."
        )
