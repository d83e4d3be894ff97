"""Threads are as many as pay, and what torch had is there again afterwards."""

import os
import threading
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deem_crowd import DEEMAggregator
from deem_crowd.runtime import blas, threads


@pytest.fixture(autouse=True)
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@given(
    st.integers(0, 10**10), st.integers(1, 64), st.floats(1, 64), st.floats(0, 200), st.integers(1, 64)
)  # fmt: skip
def test_never_more_than_is_allowed_and_never_none(work, most, cores, others, everywhere) -> None:
    number = threads.suited(work, most, cores, others, everywhere)
    assert 1 <= number <= min(most, max(1, int(cores)))
    assert threads.suited(work, most, cores, others + 1, everywhere) <= number
    assert threads.suited(work + threads.WORK_A_THREAD, most, cores, others, everywhere) >= number
    assert threads.suited(work, most, cores, everywhere, everywhere) == 1


def test_small_fits_use_one_and_leave_what_was_there(monkeypatch) -> None:
    seen = []
    set_ = torch.set_num_threads
    monkeypatch.setattr(torch, "set_num_threads", lambda n: (seen.append(n), set_(n)))
    frame = pd.DataFrame({"task": [0, 0, 1, 1], "worker": [0, 1, 0, 1], "label": [0, 0, 1, 1]})
    model = DEEMAggregator().fit(frame)
    model.predict(frame)
    assert seen == [1, 4, 1, 4]
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("others", "expected"), [(0.0, 4), (1.0, 3), (2.4, 2), (9.0, 1)])
def test_large_work_uses_the_cores_that_are_idle(monkeypatch, others, expected) -> None:
    monkeypatch.setattr(threads._Load, "of_others", lambda self: others)
    monkeypatch.setattr(threads, "allowed_cores", lambda: 8.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    with threads.chosen(10**9) as number:
        assert number == expected
        with threads.chosen(10) as within:
            assert within == expected
    assert torch.get_num_threads() == 4


def test_an_error_and_fits_at_once_leave_what_was_there() -> None:
    with pytest.raises(KeyboardInterrupt), threads.chosen(1):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 4
    inside, go = threading.Barrier(3), threading.Event()
    after = []

    def fit() -> None:
        with threads.chosen(1):
            inside.wait(5)
            go.wait(5)
        after.append(torch.get_num_threads())

    both = [threading.Thread(target=fit) for _ in range(2)]
    for one in both:
        one.start()
    inside.wait(5)
    go.set()
    for one in both:
        one.join()
    assert after == [4, 4]
    assert torch.get_num_threads() == 4


def test_fits_that_end_one_before_the_other_and_threads_that_are_new(monkeypatch) -> None:
    monkeypatch.setattr(threads, "_number", lambda work, most: work)
    seen, new = set(), []
    steps = [threading.Event() for _ in range(4)]

    def fit() -> None:
        new.append(torch.get_num_threads())  # what the fit that is on has told torch
        with threads.chosen(2):
            steps[0].set()
            steps[1].wait(5)
            met = threading.Barrier(2)
            threads.each(lambda _: (met.wait(5), seen.add(torch.get_num_threads())), range(2))
        with threads.chosen(1):
            steps[2].set()
            steps[3].wait(5)

    other = threading.Thread(target=fit)
    with threads.chosen(1):
        other.start()
        steps[0].wait(5)
    steps[1].set()
    steps[2].wait(5)
    with threads.chosen(1):
        pass
    assert (new, seen, torch.get_num_threads()) == ([1], {1}, 4)
    steps[3].set()
    other.join()


@pytest.mark.parametrize(("text", "expected"), [("150000 100000", 1.5), ("max 100000", None)])
def test_quota_of_the_container(tmp_path, text, expected) -> None:
    folder = tmp_path / "sys/fs/cgroup"
    folder.mkdir(parents=True)
    (folder / "cpu.max").write_text(text)
    free = threads.allowed_cores(str(tmp_path / "none"))
    assert threads.allowed_cores(str(tmp_path)) == min(free, expected or free)
    (folder / "cpu.max").unlink()
    (folder / "cpu").mkdir()
    (folder / "cpu/cpu.cfs_quota_us").write_text("100000")
    (folder / "cpu/cpu.cfs_period_us").write_text("100000")
    assert threads.allowed_cores(str(tmp_path)) == 1.0


def test_the_load_of_others_is_what_this_process_does_not_use(monkeypatch) -> None:
    samples = iter([(0.0, 0.0, 0.0), (1.0, 1.5, 1.0), (1.1, 9.0, 1.0), (3.0, 7.5, 1.0)])
    monkeypatch.setattr(threads._Load, "_now", staticmethod(lambda: next(samples)))
    monkeypatch.setattr(threads, "_waiting", lambda: 0.25)
    load = threads._Load()
    assert [load.of_others() for _ in range(3)] == pytest.approx([0.5, 0.5, 3.0])


@pytest.fixture
def idle(monkeypatch):
    """A machine of four cores that nobody else uses, and work that is always worth threads."""
    monkeypatch.setattr(threads._Load, "of_others", lambda self: 0.0)
    monkeypatch.setattr(threads, "allowed_cores", lambda: 4.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(threads, "WORK_A_THREAD", 1)


def test_every_part_is_taken_once_and_the_threads_end(idle) -> None:
    before, blas_before = threading.active_count(), blas.number()
    taken: list[int] = []
    with threads.chosen(100) as number:
        assert (number, torch.get_num_threads()) == (4, 1)
        assert blas.number() == min(blas_before, 1)
        for n in (0, 1, 2, 50):
            assert threads.gathered(lambda i: 2 * i, range(n)) == [2 * i for i in range(n)]
        threads.each(taken.append, range(200))
        assert threading.active_count() == before + 3
    assert sorted(taken) == list(range(200))
    assert (threading.active_count(), blas.number()) == (before, blas_before)


def test_networks_have_the_threads_of_torch(idle) -> None:
    with threads.chosen(100, in_torch=True) as number:
        assert number == torch.get_num_threads() == 4
        assert not threads.helped()


def test_the_first_error_is_raised_and_no_thread_is_left(idle) -> None:
    def work(i: int) -> None:
        if i % 3 == 2:
            raise ValueError(i)

    before = threading.active_count()
    with pytest.raises(ValueError, match="^2$"), threads.chosen(100):
        threads.gathered(work, range(30))
    with pytest.raises(ValueError, match=r"^\d+$"), threads.chosen(100):
        threads.each(work, range(30))
    assert threading.active_count() == before


def test_work_that_is_done_is_let_go_while_threads_are_busy(idle) -> None:
    busy, over, done = threading.Event(), threading.Event(), []

    def work(_: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            busy.set()
            over.wait(5)
            return
        busy.wait(5)

        def inner(_: int) -> None:
            pass

        done.append(weakref.ref(inner))
        threads.each(inner, range(4))
        del inner
        assert done[0]() is None
        over.set()

    with threads.chosen(2):
        threads.each(work, range(2))
    assert done


def test_an_interrupt_ends_what_other_threads_do(idle) -> None:
    begun, ended = threading.Event(), []

    def work(_: int) -> None:
        if threading.current_thread() is threading.main_thread():
            begun.wait(5)
            raise KeyboardInterrupt
        begun.set()
        try:
            while True:
                threads.each(lambda part: None, [0])
        finally:
            ended.append(True)

    with pytest.raises(KeyboardInterrupt), threads.chosen(2):
        threads.each(work, range(2))
    assert ended == [True]


def test_an_interrupt_while_a_thread_starts_leaves_none(idle, monkeypatch) -> None:
    before, start = set(threading.enumerate()), threading.Thread.start

    def interrupted(self) -> None:
        start(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), threads.chosen(100):
        threads.each(lambda part: None, range(8))
    assert set(threading.enumerate()) == before


def test_a_system_without_further_threads_does_with_one(idle, monkeypatch) -> None:
    def refuse(self) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with threads.chosen(100):
        assert threads.gathered(lambda i: i, range(5)) == list(range(5))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_fork_in_a_fit_goes_on_alone(idle) -> None:
    with threads.chosen(100):
        threads.each(lambda part: None, range(8))
        pid = os.fork()
        if not pid:
            found = threads.gathered(lambda i: i, range(5)) == list(range(5))
            os._exit(0 if found and not threads.helped() else 1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("automatic", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3, 4, 9])
def test_results_do_not_depend_on_the_number_of_threads(
    n_classes, automatic, idle, monkeypatch
) -> None:
    monkeypatch.setattr("deem_crowd.model.rows.CACHED", 2**9)
    monkeypatch.setattr("deem_crowd.model.sparse_rows._A_SHARE", 2**7)
    monkeypatch.setattr("deem_crowd.model.blocked_rows._CACHED", 2**9)
    monkeypatch.setattr("deem_crowd.training.digamma._MANY", 2**6)
    monkeypatch.setattr("deem_crowd.training.digamma._PIECE", 2**6)
    rng = np.random.default_rng(n_classes)
    truth = rng.integers(n_classes, size=300)
    task = np.repeat(np.arange(300), 4)
    label = np.where(rng.random(1200) < 0.7, truth[task], rng.integers(n_classes, size=1200))
    worker = (task * 7 + np.tile(np.arange(4), 300) * 3) % 20
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    found = []
    for number in (1, 4):
        torch.set_num_threads(number)
        model = DEEMAggregator(auto_hyperparameters=automatic, dtype="float32")
        found.append(model.fit(frame).probas_)
    pd.testing.assert_frame_equal(*found, check_exact=True)
