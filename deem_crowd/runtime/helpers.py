"""Threads that stand by while a fit lasts, and take parts of its work.

Parts are worked on by whichever thread is free. What comes of a part must therefore not depend on the others: callers
write to places of their own, and add up in a fixed order. Then results do not depend on the number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_NOTHING = object()
_here = threading.local()


class Abandoned(BaseException):
    """Ends what a thread that helps is doing: nobody waits for it any more."""


def go_on() -> None:
    """Raise :class:`Abandoned` where this thread helps with work that has failed or been interrupted elsewhere."""
    job: _Job | None = getattr(_here, "job", None)
    if job is not None and job.error is not None:
        raise Abandoned


class Helpers:
    """Further threads, which start with the first work and end with :meth:`close`.

    Parameters
    ----------
    number : int
        Threads besides that of the caller, at most: fewer where the system starts no more.
    begin : callable
        Called in each of them first.
    """

    def __init__(self, number: int, begin: Callable[[], None]) -> None:
        self._number, self._begin = number, begin
        self._threads: list[threading.Thread] = []
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()

    def each(self, work: Callable[[T], object], parts: Sequence[T]) -> None:
        """Call ``work`` once for each part, in any order, several at a time; return when all are done.

        Whatever one of the calls raises is raised here, and parts that nobody has begun are left out.
        """
        job = _Job(work, iter(parts))
        self._start()
        for _ in self._threads[: len(parts) - 1]:
            self._jobs.put(job)
        job.lead()

    def close(self) -> None:
        """End the threads."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._threads = []

    def _start(self) -> None:
        while len(self._threads) < self._number:
            thread = threading.Thread(
                target=_wait, args=(self._jobs, self._begin), name="deem-crowd", daemon=True
            )
            self._threads.append(thread)  # first: an interrupt may come while it starts
            try:
                thread.start()
            except RuntimeError:  # the system has no more
                self._threads.pop()
                self._number = len(self._threads)


def _wait(jobs: SimpleQueue[_Job | None], begin: Callable[[], None]) -> None:
    """Help with one job after the other."""
    begin()
    while (job := jobs.get()) is not None:
        job.help()
        del job  # and what it holds


class _Job:
    """Parts of some work, for as many threads as are free."""

    def __init__(self, work: Callable[[Any], object], parts: Iterator[Any]) -> None:
        self._work, self._parts = work, parts
        self._lock = threading.Lock()
        self._n_helping, self._over = 0, False
        self.error: BaseException | None = None
        """The first that a part has raised."""
        self._ended = threading.Event()

    def lead(self) -> None:
        """Take parts until there are none, and wait for those that others have taken."""
        try:
            self._take()
        except BaseException as error:
            self.error = error
        finally:
            self._end()
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # it holds on to what stood on the stack

    def help(self) -> None:
        """Take parts until there are none, unless the work is done already."""
        with self._lock:
            if self._over:
                return
            self._n_helping += 1
        _here.job = self
        try:
            self._take()
        except BaseException as error:
            self.error = self.error or error
        _here.job = None
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._n_helping -= 1
            last = self._over and not self._n_helping
        if last:
            self._ended.set()

    def _end(self) -> None:
        """Wait for those that help, and let go of the work: the job may lie in the queue of threads that are busy."""
        with self._lock:
            self._over = True
            waiting = self._n_helping > 0
        if waiting:
            try:
                self._ended.wait()
            except BaseException as error:  # an interrupt
                self.error = error
                raise
        del self._work, self._parts

    def _take(self) -> None:
        while self.error is None:
            with self._lock:
                part = next(self._parts, _NOTHING)
            if part is _NOTHING:
                return
            self._work(part)
