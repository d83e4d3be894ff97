"""A process forked while other threads of its parent are at work waits for none of them."""

from __future__ import annotations

import copy
import os
import threading
import time
import traceback
import warnings

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEMAggregator
from deem_crowd.estimators.incremental.memory import exclusive
from deem_crowd.model import design
from deem_crowd.model.grown import GrownDesign
from deem_crowd.plugins import registry
from deem_crowd.runtime.cached import cached_property

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def in_a_fork(work) -> bool:
    """Tell whether a forked process did some work within half a minute."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of fork beside threads
        child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    for _ in range(3000):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


class Held:
    """A thread that stays where it is while the block lasts."""

    def __init__(self, stay) -> None:
        self.reached, self.end = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=stay, args=(self,))

    def here(self) -> None:
        self.reached.set()
        assert self.end.wait(60)

    def __enter__(self) -> Held:
        self.thread.start()
        assert self.reached.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        self.thread.join()


@pytest.fixture
def answers() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [(t, w, int(rng.random() < 0.1) ^ (t % 2)) for t in range(40) for w in range(3)]
    return pd.DataFrame(rows, columns=["task", "worker", "label"])


def test_values_that_another_thread_works_out(answers, monkeypatch) -> None:
    """A fit in a fork, while a thread of the parent is in the middle of one with the same classes."""
    model = DEEMAggregator(auto_hyperparameters=False).fit(answers)
    counts = vars(design.DesignMatrix)["by_task"]
    assert isinstance(counts, cached_property)
    inner, main = counts.function, threading.current_thread()
    beside: list[Held] = []

    def slow(matrix):
        if threading.current_thread() is not main:
            beside[0].here()
        return inner(matrix)

    monkeypatch.setattr(counts, "function", slow)
    beside.append(Held(lambda _: DEEMAggregator(auto_hyperparameters=False).fit(answers)))
    with beside[0]:
        assert in_a_fork(lambda: model.fit(answers))


def test_locks_of_other_threads(answers) -> None:
    model = DEEMAggregator(auto_hyperparameters=False).partial_fit(answers[6:])

    def stay(held) -> None:
        with exclusive(model), registry._lock:
            held.here()

    with Held(stay):
        assert in_a_fork(lambda: model.partial_fit(answers[:6]))
        assert in_a_fork(registry.reload)


@pytest.mark.parametrize("automatic", [None, False], ids=["default", "plain"])
def test_labels_that_another_thread_works_out(automatic, monkeypatch) -> None:
    """Labels after a few answers more are worked out when they are read: in a fork as in its parent."""
    rows = [(t, w, (t + (w == t % 9)) % 2) for t in range(200) for w in range(4)]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    model = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
    model.partial_fit(frame[:-8]).partial_fit(frame[-8:-4])
    expected = copy.deepcopy(model).probas_
    inner, main = GrownDesign.states, threading.current_thread()
    beside: list[Held] = []

    def slow(matrix, *tables):
        if threading.current_thread() is not main:
            beside[0].here()
        return inner(matrix, *tables)

    def read() -> None:
        pd.testing.assert_frame_equal(model.probas_, expected)
        assert len(model.partial_fit(frame[-4:]).labels_) == 200

    monkeypatch.setattr(GrownDesign, "states", slow)
    beside.append(Held(lambda _: model.labels_))
    with beside[0]:
        assert in_a_fork(read)
    pd.testing.assert_frame_equal(model.probas_, expected)
