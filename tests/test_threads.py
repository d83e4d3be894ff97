"""Threads are as many as pay, and what torch had is there again afterwards."""

import os
import threading

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deem_crowd import DEEMAggregator
from deem_crowd.runtime import threads


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
        assert number == torch.get_num_threads() == expected
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
