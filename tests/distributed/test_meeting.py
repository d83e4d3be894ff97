"""How processes find one another: all are told the same, whoever is absent, dies or is misplaced."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist
import typer

from deem_crowd.distributed import command, meeting
from deem_crowd.exceptions import ProcessLostError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")


def met(store: dist.Store, rank: int, size: int, seconds: float = 30) -> str:
    """Return what becomes of a meeting."""
    try:
        meeting.meet(store, rank, size, seconds)
    except ProcessLostError as error:
        return str(error)
    return "met"


@pytest.mark.parametrize("size", [1, 2, 5])
def test_processes_meet_in_any_order(size) -> None:
    store = dist.HashStore()
    with ThreadPoolExecutor(size) as pool:
        ranks = reversed(range(size))
        assert set(pool.map(lambda rank: met(store, rank, size), ranks)) == {"met"}


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_a_process_that_never_comes_is_named_to_all(absent) -> None:
    store = dist.HashStore()
    here = [rank for rank in range(3) if rank != absent]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda rank: met(store, rank, 3, seconds=0.5), here))
    assert absent == 0 or len(set(found)) == 1
    assert all(f" waited 0.5 s: process {absent} of 3 has not come. " in said for said in found)


def test_processes_are_told_not_to_wait_any_longer() -> None:
    store = dist.HashStore()
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(met, store, 1, 3)
        meeting.dismiss(store, "no more")
        assert found.result() == "no more"


@pytest.mark.parametrize("told", ["no more", "met"])
def test_what_is_said_first_stands(told) -> None:
    """Whoever dismisses processes while the first one finds all there: no two of them are told different things."""
    store = dist.HashStore()
    assert meeting.dismiss(store, told) == told
    assert meeting.dismiss(store, "something else") == told
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(lambda rank: met(store, rank, 2), range(2))) == {told}


def test_the_first_process_does_not_overrule_a_dismissal(monkeypatch) -> None:
    """It comes between the look at what is said and the word that all have met."""
    store = dist.HashStore()
    before = meeting._Signs.look

    def look(self: meeting._Signs) -> None:
        before(self)
        meeting.dismiss(store, "no more")

    monkeypatch.setattr(meeting._Signs, "look", look)
    assert met(store, 0, 1) == "no more"


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_while_others_are_awaited_ends_them(monkeypatch, victim) -> None:
    """Of three the last never comes; the store is a fourth process's, as with torchrun."""
    monkeypatch.setattr(meeting, "SILENCE", 0.5)
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    pid = os.fork()
    if not pid:
        met(dist.TCPStore("127.0.0.1", server.port, is_master=False), victim, 3, 60)
        os._exit(1)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(met, server, 1 - victim, 3, 60)
        while server.add(f"beat-{victim}", 0) < 3:
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert found.result(timeout=30) == f"process {victim} of 3 came and is gone."


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RANK", "2", "RANK=2 is out of range for WORLD_SIZE=2"),
        ("RANK", "-1", "RANK='-1' is not a whole number"),
        ("MASTER_PORT", "http", "MASTER_PORT='http' is not a whole number"),
    ],
)
def test_a_place_that_is_none_is_bad_usage(monkeypatch, name, value, words) -> None:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "WORLD_SIZE": "2", "RANK": "0"}
    for key, text in {**place, name: value}.items():
        monkeypatch.setenv(key, text)
    with pytest.raises(typer.BadParameter, match=words):
        command.main(["x.parquet"], "out")
