"""deem_crowd.distributed.fit in a process group of its own: the fit of one process, whatever holds which tasks."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch.distributed as dist
from deem_crowd_benchmarks import kinds, laws

from deem_crowd import Answers, DEEMAggregator, distributed
from deem_crowd.data import memory
from deem_crowd.distributed import parts
from deem_crowd.distributed.group import ProcessGroup
from deem_crowd.distributed.shared import check_timeout
from deem_crowd.estimators import many_classes
from deem_crowd.exceptions import (
    DataError,
    DeemCrowdError,
    MemoryNeedError,
    ParameterError,
    ProcessLostError,
)
from deem_crowd.model import design, named_classes
from deem_crowd.model.group import Loop
from deem_crowd.selection.candidates import OWN

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo on POSIX")

Work = Callable[[int], Any]


def _process(rank: int, size: int, store: str, work: Work, answer: Any) -> None:
    warnings.simplefilter("ignore")
    try:
        dist.init_process_group(
            "gloo", store=dist.FileStore(store, size), rank=rank, world_size=size
        )
        answer.send(work(rank))
    except DeemCrowdError as error:
        answer.send(error)
    except BaseException:
        traceback.print_exc()
        answer.send(None)
    finally:
        dist.destroy_process_group()


def together(folder: Path, work: Work, size: int = 2) -> list[Any]:
    """Return what the work returns, or raises, in each of some processes; None from one that died."""
    context = multiprocessing.get_context("fork")
    store = str(folder / f"store-{time.monotonic_ns()}")
    running = []
    for rank in range(size):
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_process, args=(rank, size, store, work, sending))
        process.start()
        sending.close()
        running.append((process, receiving))
    found = []
    for process, receiving in running:
        try:
            found.append(receiving.recv() if receiving.poll(60) else "nothing within a minute")
        except EOFError:
            found.append(None)
        process.join(10)
        assert not process.is_alive()
    return found


def crowd(n_tasks: int = 400) -> pd.DataFrame:
    rows = laws.heavy_tail(0, n_tasks).answers
    return rows.assign(worker="w" + rows["worker"].astype(str))


def split(rows: pd.DataFrame, *shares: float) -> np.ndarray:
    """Return a process for each row, by task, in these shares."""
    code = pd.factorize(rows["task"])[0]
    rng = np.random.default_rng(0)
    return rng.choice(len(shares), size=code.max() + 1, p=shares)[code]


@pytest.mark.parametrize(
    ("parameters", "shares"),
    [
        ({}, (0.8, 0.2)),
        ({}, (0.3, 0.0, 0.7)),
        ({"ordered": True}, (0.5, 0.5)),
        ({"class_balance": {0: 0.2, 1: 0.3, 2: 0.4, 3: 0.1}}, (0.6, 0.4)),
        ({"auto_hyperparameters": False}, (0.9, 0.1)),
        ({"auto_hyperparameters": False, "subtypes": 2, "init_method": "mv_rand"}, (0.0, 1.0)),
        ({"auto_hyperparameters": False, "gauge": "free", "n_iter": 15}, (0.5, 0.5)),
    ],
)
def test_the_result_is_that_of_one_process(tmp_path, parameters, shares) -> None:
    alike(tmp_path, crowd(), *shares, **parameters)


@pytest.mark.parametrize("law", ["copies", "clique", "spammers"])
def test_what_the_default_looks_for_is_found_together(tmp_path, law) -> None:
    rows = laws.LAWS[law](0, 700).answers
    known = rows.drop_duplicates("task").set_index("task")["label"].iloc[:7]
    part = split(rows, 0.6, 0.4)
    groups = {"one": list(rows["worker"].unique()[:3])}

    def work(rank: int) -> Any:
        mine = rows[part == rank]
        return [
            distributed.fit(mine, **how).labels for how in ({}, {"gold": known}, {"groups": groups})
        ]

    results = together(tmp_path, work)
    for i, whole in enumerate(
        [
            DEEMAggregator(progress=False).fit(rows),
            DEEMAggregator(progress=False).fit(rows, gold=known),
            DEEMAggregator(progress=False, groups=groups).fit(rows),
        ]
    ):
        labels = pd.concat([r[i] for r in results]).set_index("task").loc[whole.labels_.index]
        np.testing.assert_allclose(labels.filter(like="p_"), whole.probas_, atol=1e-5)


def test_families_are_found_together(tmp_path) -> None:
    found = alike(tmp_path, kinds.variants(4).answers, 0.7, 0.3)
    assert found.selection_["why"].str.contains("one family").any()


def test_skills_where_no_label_shows_are_averaged_together(tmp_path) -> None:
    rng = np.random.default_rng(0)
    task, worker = np.divmod(np.arange(600), 6)
    rows = pd.DataFrame({"task": task, "worker": worker, "label": rng.integers(2, size=600)})
    found = alike(tmp_path, rows, 0.3, 0.7)
    assert found.selection_["candidate"].iloc[-1] == OWN


def alike(tmp_path: Path, rows: pd.DataFrame, *shares: float, **parameters: Any) -> DEEMAggregator:
    """Check that processes with some shares of the tasks say what one says that has all; return this one."""
    part = split(rows, *shares)
    gold = parameters.pop("gold", None)

    def work(rank: int) -> Any:
        found = distributed.fit(rows[part == rank], gold=gold, **parameters)
        return found.labels, found.workers, found.model.selection_, found.model.predict_proba(rows)

    results = together(tmp_path, work, len(shares))
    assert not any(isinstance(one, Exception) for one in results), results
    whole = DEEMAggregator(progress=False, **parameters).fit(rows, gold=gold)
    labels = pd.concat([r[0] for r in results]).set_index("task").loc[whole.labels_.index]
    shown = labels[[f"p_{name}" for name in whole.probas_.columns]]
    np.testing.assert_allclose(shown, whole.probas_, atol=1e-5)
    assert (labels["label"].to_numpy() == whole.labels_.to_numpy()).all()
    np.testing.assert_allclose(labels["confidence"], whole.tasks_["confidence"], atol=1e-5)
    for _, workers, selection, predicted in results:
        pd.testing.assert_frame_equal(
            workers.loc[whole.workers_.index], whole.workers_, check_dtype=False, atol=1e-5
        )
        np.testing.assert_allclose(predicted, whole.predict_proba(rows), atol=1e-5)
        if selection is not None:
            pd.testing.assert_frame_equal(selection, whole.selection_, atol=1e-5)
    return whole


def many(n_tasks: int, k: int, n_workers: int = 40) -> pd.DataFrame:
    """Return answers of K classes, of which a worker with a skill of 0.7 names the right one."""
    rng = np.random.default_rng(0)
    task = np.repeat(np.arange(n_tasks), 4)
    worker = np.concatenate([rng.choice(n_workers, 4, replace=False) for _ in range(n_tasks)])
    right = rng.random(len(task)) < 0.7
    label = np.where(right, task % k, rng.integers(0, k, len(task)))
    return pd.DataFrame({"task": task, "worker": worker, "label": label})


@pytest.mark.parametrize("how", ["default", "plain", "gold", "few classes"])
def test_sparse_tables_are_those_of_one_process(tmp_path, monkeypatch, how) -> None:
    """With many classes, and with few where workers are many, both of which take full tables otherwise."""
    monkeypatch.setattr(many_classes, "_FEWEST_CELLS", 1)
    rows = many(150, 6, 80) if how == "few classes" else many(150, 120)
    parameters: dict[str, Any] = {"auto_hyperparameters": how != "plain"}
    if how == "gold":
        parameters["gold"] = {task: task % 120 for task in range(0, 150, 11)}
    whole = alike(tmp_path, rows, 0.5, 0.0, 0.5, **parameters)
    assert isinstance(whole.__dict__["_fitted"][0], many_classes.SparseModel)


@pytest.mark.parametrize(
    ("law", "shares"), [("clique", (0.7, 0.3)), ("heavy-tail", (0.7, 0.3, 0.0))]
)
def test_held_out_gold_weighs_readings_together(tmp_path, law, shares) -> None:
    """Known labels weigh readings, in whatever process they are; one process has neither answers nor gold."""
    found = laws.LAWS[law](1)
    tasks = found.answers["task"].unique()[:40]
    rows = found.answers[found.answers["task"].isin(tasks)]
    gold = found.gold.loc[tasks[::4]]
    whole = alike(tmp_path, rows, *shares, gold=gold, n_iter=10)
    assert whole.selection_["why"].str.contains("weighed by held-out gold").any()


@pytest.mark.parametrize("text", [False, True])
def test_many_ids_are_each_sent_once(tmp_path, monkeypatch, text) -> None:
    """As a few are in all other tests: with the same ids, in the same order, in every process."""
    rows = crowd(80) if text else crowd(80).assign(worker=lambda d: d["worker"].str[1:].astype(int))
    part = split(rows, 0.6, 0.0, 0.4)

    def work(rank: int) -> Any:
        answers = Answers.from_frame(rows[part == rank])
        found = [parts.united(answers)]
        monkeypatch.setattr(parts, "_MANY_IDS", 0)
        found.append(parts.united(answers))
        return [
            (list(a.workers), list(a.classes), a.worker.tolist(), a.label.tolist()) for a in found
        ]

    results = together(tmp_path, work, 3)
    for few, many in results:
        assert few == many
        assert few[:2] == results[0][0][:2]


def test_nothing_but_empty_parts(tmp_path) -> None:
    rows = crowd().iloc[:0]
    found = together(tmp_path, lambda rank: distributed.fit(rows).labels)
    assert [len(part) for part in found] == [0, 0]
    assert list(found[0].columns) == ["task", "label", "confidence"]


def refused(tmp_path: Path, parts: list[Any], **parameters: Any) -> list[str]:
    """Return the error of each process; each has to have one of the same kind."""
    found = together(tmp_path, lambda rank: distributed.fit(parts[rank], **parameters), len(parts))
    assert all(isinstance(error, DeemCrowdError) for error in found), found
    assert len({type(error) for error in found}) == 1
    return [str(error) for error in found]


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
    rows = many(60, 60) if sparse else crowd(60)
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
