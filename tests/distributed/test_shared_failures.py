"""deem_crowd.distributed.fit where one process fails, dies, hangs or is interrupted: all of them say so, or go on."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from typing import Any

import pandas as pd
import pytest
from process_groups import crowd, drawn, refused, split, together

from deem_crowd import DEEMAggregator, distributed
from deem_crowd.data import memory
from deem_crowd.distributed.group import ProcessGroup
from deem_crowd.distributed.shared import check_timeout
from deem_crowd.estimators import many_classes
from deem_crowd.exceptions import DataError, MemoryNeedError, ParameterError, ProcessLostError
from deem_crowd.model import design, named_classes
from deem_crowd.model.group import Loop

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo on POSIX")


def test_bad_parts_are_one_error_in_every_process(tmp_path) -> None:
    rows = crowd(60)
    part = split(rows, 0.5, 0.5)
    one, other = rows[part == 0], rows[part == 1]
    torn = pd.concat([other, one.iloc[:4]])
    for message in refused(tmp_path, [one, torn]):
        assert "answers to 1 task are in different processes (" in message
    text = {"label": "x" + other["label"].astype(str)}
    for message in refused(tmp_path, [one, other.assign(**text)]):
        assert (
            "column 'label' is not of one type in all partitions: integer in process 0, string in process 1"
            in message
        )
    for message in refused(tmp_path, [one, other.assign(task=other["task"].astype(str))]):
        assert "column 'task' is not of one type" in message
    for message in refused(tmp_path, [one, other.drop(columns="worker")]):
        assert message.startswith("process 1: ")
        assert "worker" in message
    for message in refused(tmp_path, [one, other], gold={int(rows["task"].iloc[0]): 99}):
        assert "no worker gave: 99" in message
    for message in refused(tmp_path, [one, other], subtypes=0):
        assert "process 0: " in message
        assert "process 1: " in message


@pytest.mark.parametrize("sparse", [False, True])
def test_memory_that_one_process_lacks_is_an_error_in_all(tmp_path, monkeypatch, sparse) -> None:
    rows = drawn(60, 60) if sparse else crowd(60)
    monkeypatch.setattr(many_classes, "_FEWEST_CELLS", 1 if sparse else 10**15)
    part = split(rows, 0.5, 0.5)

    def work(rank: int) -> Any:
        if rank == 1:
            for module in (design, named_classes):
                monkeypatch.setattr(
                    module, "require", lambda n, *why: memory.require(n + 2**60, *why)
                )
        return distributed.fit(rows[part == rank])

    for error in together(tmp_path, work):
        assert isinstance(error, MemoryNeedError)
        assert "process 1: " in str(error)
        assert "process 0" not in str(error)


def test_models_of_several_units_are_for_one_process(tmp_path) -> None:
    rows = crowd(60)
    for message in refused(tmp_path, [rows, rows[:0]], hidden_dim=2):
        assert "process 0: several processes share models of one hidden unit" in message


def test_a_dead_process_is_an_error_in_the_others_within_seconds(tmp_path) -> None:
    rows = crowd(100)
    part = split(rows, 0.4, 0.3, 0.3)

    def work(rank: int) -> Any:
        before, calls = ProcessGroup.reduce, []

        def reduce(self: ProcessGroup, value: Any) -> Any:
            calls.append(1)
            if rank == 1 and len(calls) == 30:
                os.kill(os.getpid(), signal.SIGKILL)
            return before(self, value)

        ProcessGroup.reduce = reduce  # type: ignore[method-assign]
        began = time.monotonic()
        try:
            return distributed.fit(rows[part == rank])
        except ProcessLostError as error:
            return str(error), time.monotonic() - began

    first, dead, third = together(tmp_path, work, 3)
    assert dead is None
    for rank, (message, seconds) in ((0, first), (2, third)):
        assert message.startswith(f"process {rank} lost touch with the others")
        assert seconds < 30


def test_a_process_that_hangs_is_an_error_in_the_others(tmp_path) -> None:
    rows = crowd(60)
    part = split(rows, 0.5, 0.5)

    def work(rank: int) -> Any:
        before, calls = ProcessGroup.reduce, []

        def reduce(self: ProcessGroup, value: Any) -> Any:
            calls.append(1)
            if rank == 1 and len(calls) == 20:
                time.sleep(3)
            return before(self, value)

        ProcessGroup.reduce = reduce  # type: ignore[method-assign]
        try:
            return distributed.fit(rows[part == rank], timeout=1.0 if rank == 0 else None)
        except ProcessLostError as error:
            return str(error)

    first, _ = together(tmp_path, work)
    assert first.startswith("process 0 waited in vain for the others: one of them hangs")
    assert "timeout= " in first
    for message in refused(tmp_path, [rows, rows[:0]], timeout=0):
        assert "timeout=0 is no number of seconds above 0" in message


@pytest.mark.parametrize("seconds", [0, -1.0, math.inf, math.nan])
def test_what_cannot_be_waited_is_refused(seconds) -> None:
    with pytest.raises(ParameterError, match="is no number of seconds above 0"):
        check_timeout(seconds)


@pytest.mark.parametrize("seconds", [None, 1, 0.5])
def test_what_can_be_waited_is_taken(seconds) -> None:
    check_timeout(seconds)


class Memory:
    """Notes in a dict; interrupts the fit after so many of them."""

    def __init__(self, limit: int | None = None) -> None:
        self.kept: dict[str, bytes] = {}
        self.limit, self.n_written = limit, 0

    def read(self, name: str) -> bytes:
        return self.kept.get(name, b"")

    def write(self, name: str, content: bytes) -> None:
        self.kept[name] = content
        self.n_written += 1
        if self.n_written == self.limit:
            raise InterruptedError


@pytest.mark.parametrize("parameters", [{}, {"ordered": True}, {"auto_hyperparameters": False}])
def test_an_interrupted_fit_goes_on_from_its_notes(tmp_path, parameters) -> None:
    rows = crowd(150)

    def work(rank: int) -> Any:
        from deem_crowd.distributed import shared

        answers = DEEMAggregator()._read(rows)
        how = shared.checked(parameters)
        passes: list[list[int]] = []
        whole_passes = Loop.passes

        def counted(self: Loop, most: int) -> Any:
            passes[-1].append(self.number)
            for number in whole_passes(self, most):
                passes[-1].append(number)
                yield number

        Loop.passes = counted  # type: ignore[method-assign]
        passes.append([])
        found = shared.fit_answers(answers, None, how)
        for limit in (3, 20):
            memory = Memory(limit)
            passes.append([])
            with pytest.raises(InterruptedError):
                shared.fit_answers(answers, None, how, memory, every=0)
            memory.limit = None
            passes.append([])
            again = shared.fit_answers(answers, None, how, memory, every=0)
            pd.testing.assert_frame_equal(again.labels, found.labels, rtol=1e-12)
            pd.testing.assert_frame_equal(again.workers, found.workers, rtol=1e-12)
        other = shared.checked({**parameters, "random_state": 1})
        passes.append([])
        shared.fit_answers(answers, None, other, memory, every=0)
        return passes

    (passes,) = together(tmp_path, work, 1)
    whole, _, after_3, _, after_20, of_another_fit = passes
    assert whole[0] == 0
    assert after_3[0] == 3  # it began where the notes end
    assert len(after_20) < len(after_3) < len(whole)
    assert of_another_fit[0] == 0  # notes of other parameters are no start


def test_parameters_that_are_none() -> None:
    with pytest.raises((ParameterError, TypeError, DataError)):
        distributed.shared.checked({"tolerance": 1})
