"""How many threads a fit uses: no more than its size pays for, and than cores are idle.

They take pieces of its work (:mod:`deem_crowd.runtime.helpers`), and torch has one thread meanwhile: its own wait for
one another in every operation, by spinning, and beside a process that keeps the cores busy a fit takes many times
longer with them. numpy's products of matrices have one for the same reason. Networks, whose operations are large, have
torch's threads. There are never more threads than torch has been told (``torch.set_num_threads``,
``OMP_NUM_THREADS``), than the cores this process may use, and than those nobody else uses; what torch and numpy had is
restored when the fit ends.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import psutil
import torch

from deem_crowd.runtime import blas
from deem_crowd.runtime.fork import in_every_fork
from deem_crowd.runtime.helpers import Helpers, go_on

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

WORK_A_THREAD = 2**19
"""Answers × classes of a thread, at least."""
_LARGE = 2**62
_WINDOW = 0.2
"""Seconds over which the load is looked at, at least."""


class _Load:
    """How many cores other processes use, from what all and this one have used since the last look."""

    def __init__(self) -> None:
        self._before = self._now()
        self._last = 0.0

    @staticmethod
    def _now() -> tuple[float, float, float]:
        everywhere = psutil.cpu_times()
        away = everywhere.idle + getattr(everywhere, "iowait", 0.0)
        busy = sum(everywhere[: len(everywhere)]) - away
        for twice in ("guest", "guest_nice"):  # counted in user and nice, too
            busy -= getattr(everywhere, twice, 0.0)
        return time.monotonic(), busy, time.process_time()

    def of_others(self) -> float:
        """Return how many cores other processes use, or wait for just now where the system says so."""
        now = self._now()
        elapsed, busy, own = (a - b for a, b in zip(now, self._before, strict=True))
        if elapsed >= _WINDOW:
            self._last = max(0.0, (busy - own) / elapsed)
            self._before = now
        return max(self._last, _waiting())


def _waiting() -> float:
    """Return how many other threads run or wait for a core at this moment; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return max(0.0, float(Path("/proc/loadavg").read_text().split()[3].split("/")[0]) - 1)
    return 0.0


def allowed_cores(root: str = "/") -> float:
    """Return the cores that this process may use: its affinity, within the quota of its container.

    Parameters
    ----------
    root : str
        Where ``sys`` is mounted.
    """
    try:
        cores = float(len(os.sched_getaffinity(0)))
    except AttributeError:  # not on macOS and Windows
        cores = float(os.cpu_count() or 1)
    for quota, period in (_quota_v2(root), _quota_v1(root)):
        if quota > 0 and period > 0:
            cores = min(cores, max(1.0, quota / period))
    return cores


def _quota_v2(root: str) -> tuple[float, float]:
    with contextlib.suppress(OSError, ValueError):  # "max", or no such file
        quota, period = Path(root, "sys/fs/cgroup/cpu.max").read_text().split()
        return float(quota), float(period)
    return 0.0, 0.0


def _quota_v1(root: str) -> tuple[float, float]:
    folder = Path(root, "sys/fs/cgroup/cpu")
    with contextlib.suppress(OSError, ValueError):
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        quota, period = (float((folder / name).read_text()) for name in names)
        return quota, period
    return 0.0, 0.0


def suited(work: int, most: int, cores: float, others: float, all_cores: int) -> int:
    """Return how many threads to use.

    Parameters
    ----------
    work : int
        Answers × classes.
    most : int
        What torch has been told.
    cores : float
        Cores that this process may use.
    others : float
        Cores that other processes use or wait for.
    all_cores : int
        Cores that the machine has.
    """
    idle = max(1.0, all_cores - others)
    return max(1, min(most, work // WORK_A_THREAD, int(cores), int(idle + 0.5)))


class _Fits:
    """The fits that are on, and what torch and numpy had before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = 0
        self.before, self.of_blas = 0, 0
        self.load = _Load()
        self.here = threading.local()


_fits = _Fits()


@in_every_fork
def _afresh() -> None:
    """Forget, in a forked process, the fits of its parent."""
    global _fits
    _fits = _Fits()


@contextlib.contextmanager
def chosen(work: int, in_torch: bool = False) -> Iterator[int]:
    """Choose threads for work of so many answers × classes: those that help with :func:`each`, or torch's own.

    Within another such block of the same thread nothing changes. What torch and numpy had is restored.
    """
    fits, here = _fits, _fits.here
    if getattr(here, "within", False):
        yield here.number
        return
    with fits.lock:
        # a thread that is new has what torch has told the fits that are on
        before = max(torch.get_num_threads(), fits.before if fits.running else 0)
        fits.before = before
        if not fits.running:
            fits.of_blas = blas.number()
        fits.running += 1
    helpers: Helpers | None = None
    try:
        number = _number(work, before)
        if number > 1 and not in_torch:
            helpers = Helpers(number - 1, _within)
        here.within, here.number, here.helpers = True, number, helpers
        of_torch = number if in_torch else 1
        _let_torch_use(of_torch)
        with fits.lock:
            blas.use(min(of_torch, blas.number()))
        yield number
    finally:
        here.within, here.helpers = False, None
        if fits is _fits:  # a fork keeps its one thread
            try:
                if helpers is not None:
                    helpers.close()
            finally:
                with fits.lock:
                    fits.running -= 1
                    if not fits.running:
                        blas.use(fits.of_blas)
                    _let_torch_use(before)


def _number(work: int, most: int) -> int:
    if work < 2 * WORK_A_THREAD or most < 2:
        return 1
    others = _fits.load.of_others()
    return suited(work, most, allowed_cores(), others, os.cpu_count() or 1)


def _let_torch_use(number: int) -> None:
    """Let torch use so many threads in this thread, and in those that have not asked it for anything yet."""
    if number != torch.get_num_threads():
        torch.set_num_threads(number)


def _within() -> None:
    """Let a thread that helps choose no threads of its own."""
    here = _fits.here
    here.within, here.number, here.helpers = True, 1, None
    _let_torch_use(1)  # another fit may have ended, and restored what torch had


def each(work: Callable[[T], object], parts: Sequence[T]) -> None:
    """Call ``work`` once for each part: several at a time where threads help, and else one after the other."""
    helpers = getattr(_fits.here, "helpers", None)
    if helpers is None or len(parts) < 2:
        for part in parts:
            go_on()
            work(part)
    else:
        helpers.each(work, parts)


def helped() -> bool:
    """Tell whether other threads take parts of the work of this one."""
    return getattr(_fits.here, "helpers", None) is not None


def gathered(work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """Return what ``work`` returns for each part, in their order; calls as :func:`each` makes them.

    Of several errors the first part's is raised.
    """
    results: list[Any] = [None] * len(parts)
    errors: dict[int, Exception] = {}

    def keep(place: int) -> None:
        try:
            results[place] = work(parts[place])
        except Exception as error:
            errors[place] = error

    each(keep, range(len(parts)))
    if errors:
        raise errors[min(errors)]
    return results


def of_fit(
    answers: Any, recipe: Any, in_torch: bool = False
) -> contextlib.AbstractContextManager[int]:
    """Choose the threads of a fit, as :func:`chosen` does, with all that follows it; sampled training is large."""
    return of_answers(answers, not recipe.plain, in_torch)


def of_answers(
    answers: Any, large: bool, in_torch: bool = False
) -> contextlib.AbstractContextManager[int]:
    """Choose the threads of a pass over answers, as :func:`chosen` does; of a network it is large."""
    work = _LARGE if large else answers.n_answers * max(answers.n_classes, 1)
    return chosen(work, large or in_torch)


def as_many_threads_as_pay(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function of answers and a recipe use the threads that suit them."""

    @functools.wraps(function)
    def paced(*args: P.args, **kwargs: P.kwargs) -> T:
        with of_fit(args[0], args[1]):
            return function(*args, **kwargs)

    return paced
