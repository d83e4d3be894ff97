"""Standard output and standard error: what plugins may do to them, and what reaches a terminal."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

from deem_crowd.exceptions import DeemCrowdError, PluginError

T = TypeVar("T")

_OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode that a terminal obeys instead of showing."""


def printable(text: str) -> str:
    """Return text with all that a terminal obeys instead of showing replaced by its escape, line ends excepted.

    These are control characters, marks that change the direction of writing, and halves of surrogate pairs.
    """
    return "".join(
        c if c == "\n" or unicodedata.category(c) not in _OBEYED else ascii(c)[1:-1] for c in text
    )


@contextlib.contextmanager
def plugin_output() -> Iterator[None]:
    """Send what the block writes to standard output to standard error, from C as well.

    Standard output holds the result of a command and nothing else; plugins are imported and run within this. Within it
    ``os._exit`` raises SystemExit, but in other processes: what others have found is not lost. What the block closes or
    replaces of the two streams is at its end as it was.
    """
    leave, here = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != here:
            leave(status)
        raise SystemExit(status)

    _flush()
    stdout, stderr = sys.stdout, sys.stderr
    out, err = _duplicate(1), _duplicate(2)
    if out is not None and err is not None:
        os.dup2(err, 1)
    sys.stdout, os._exit = _Lent(stderr, printable), refuse
    sys.stderr = stderr and _Lent(stderr)
    try:
        yield
    finally:
        os._exit = leave
        _flush()
        for number, copy in ((1, out), (2, err)):
            if copy is not None:
                os.dup2(copy, number)
                os.close(copy)
        sys.stdout, sys.stderr = _opened(stdout, 1), _opened(stderr, 2)


def plugin_results(results: Iterator[T]) -> Iterator[T]:
    """Yield what ``results`` yields, with :func:`plugin_output` while it works and without it in between."""
    while True:
        with plugin_output():
            try:
                result = next(results)
            except StopIteration:
                return
        yield result


def asked(method: str, what: str, call: Callable[[], T]) -> T:
    """Return what somebody else's method says, with :func:`plugin_output`.

    Raises
    ------
    PluginError
        Naming the method and ``what`` it was asked for, however it fails.
    """
    try:
        with plugin_output():
            return call()
    except (DeemCrowdError, KeyboardInterrupt):
        raise
    except BaseException as error:  # somebody else's code
        from deem_crowd.plugins import contract

        raise PluginError(
            f"method {method!r} fails when it is asked for {what}: {contract.described(error)}"
        ) from error


def _duplicate(number: int) -> int | None:
    """Return a second number of an open file; None where it is closed, so that nothing can be written to it."""
    try:
        return os.dup(number)
    except OSError:
        return None


def _opened(stream: Any, number: int) -> Any:
    """Return a stream of the interpreter, or a new one in its place if somebody has closed it."""
    if stream is None or not getattr(stream, "closed", False):
        return stream
    try:
        return open(number, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)
    except OSError:  # there is no such file any more
        return None


class _Lent(io.TextIOBase):
    """Standard error for somebody who may close it without harm.

    Parameters
    ----------
    stream
        Standard error.
    shown : callable, optional
        What becomes of texts.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, stream: Any, shown: Callable[[str], str] | None = None) -> None:
        self._stream, self._shown = stream, shown

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._stream is not None:
            self._stream.write(text if self._shown is None else self._shown(text))
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()

    def close(self) -> None:
        """Stay open."""

    def isatty(self) -> bool:
        return self._stream is not None and bool(self._stream.isatty())

    def fileno(self) -> int:
        return 2

    @property
    def buffer(self) -> Any:
        return self._stream.buffer


def _flush() -> None:
    """Empty the buffers of Python and of C, so that what is in them goes where it was meant to go."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError, AttributeError):
            stream.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
