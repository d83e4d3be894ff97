"""What every adapter has to do: bring back what was put in, and leave missing what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.testing.conformance import Checks, name_of


def _frame(labels: str) -> pd.DataFrame:
    """Eleven of twenty possible answers of four workers to five tasks."""
    given = ["t1 a x", "t1 b y", "t2 a x", "t2 c x", "t2 d z", "t3 b z", "t4 a y", "t4 b y", "t4 c y",
             "t5 c x", "t5 d x"]  # fmt: skip
    frame = pd.DataFrame([row.split() for row in given], columns=["task", "worker", "label"])
    if labels == "integers":
        for column in frame:
            frame[column] = pd.factorize(frame[column])[0]
    return frame


def check_adapter(
    read: Callable[[Any], Answers],
    write: Callable[[pd.DataFrame], Any],
    *,
    ids: Literal["strings", "integers"] = "strings",
    skip: dict[str, str] | None = None,
) -> list[str]:
    """Check that an adapter reads what somebody else's format says, no more and no less.

    Parameters
    ----------
    read : callable
        The adapter: somebody else's data in, :class:`deem_crowd.Answers` out.
    write : callable
        Brings a frame (task, worker, label) into that format, for the test.
    ids : 'strings' or 'integers'
        What ids and labels the format can hold; integers are 0, 1, 2 …, in order of first appearance.
    skip : dict of str to str, optional
        Checks to leave out, each with the reason.

    Returns
    -------
    list of str
        The checks that passed.

    Raises
    ------
    ConformanceError
        Naming the check, what was seen and what to correct.
    """
    checks = Checks(name_of(read), skip)
    frame = _frame(ids)
    triples = set(frame.itertuples(index=False, name=None))

    def answers() -> Answers:
        coded = read(write(frame.copy()))
        checks.require(
            isinstance(coded, Answers),
            f"it returned a {type(coded).__name__}.",
            "Return deem_crowd.Answers: Answers.from_frame, from_dense or from_soft make them.",
        )
        return coded

    def round_trip() -> None:
        back = set(answers().to_frame().itertuples(index=False, name=None))
        lost, invented = triples - back, back - triples
        checks.require(
            not lost,
            f"{len(lost)} of {len(triples)} answers were lost, {sorted(lost, key=repr)[:3]} for example.",
            "Every answer has to come back with its own task, worker and label, in their own types.",
        )
        checks.require(
            not invented,
            f"{len(invented)} answers were invented, {sorted(invented, key=repr)[:3]} for example.",
            "A missing answer is no answer: leave it out, do not make it a label.",
        )

    def missing() -> None:
        coded = answers()
        checks.require(
            coded.n_answers == len(frame),
            f"{coded.n_answers} answers where {len(frame)} were given.",
            "Missing answers are not stored; neither is an answer stored twice.",
        )
        extra = set(coded.classes) - set(frame["label"])
        checks.require(
            not extra, f"there are labels nobody gave: {extra}.", "Missing is not a label."
        )

    def sizes() -> None:
        coded = answers()
        expected = tuple(frame[column].nunique() for column in ("task", "worker", "label"))
        checks.require(
            (coded.n_tasks, coded.n_workers, coded.n_classes) == expected,
            f"{coded!r} where there are {expected} tasks, workers and labels.",
            "Keep every id, and each once.",
        )

    def repeatable() -> None:
        first, second = answers().to_frame(), answers().to_frame()
        checks.require(first.equals(second), "a second reading differs.", "Keep no state.")

    def input_unchanged() -> None:
        data = write(frame.copy())
        read(data)
        again = set(read(data).to_frame().itertuples(index=False, name=None))
        checks.require(
            again == triples, "read twice, the same data give other answers.", "Work on a copy."
        )

    checks.run("round trip", round_trip)
    checks.run("missing stays missing", missing)
    checks.run("ids", sizes)
    checks.run("repeatable", repeatable)
    checks.run("input unchanged", input_unchanged)
    return checks.finish()
