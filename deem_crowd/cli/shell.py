"""What surrounds every command: one-line errors, warnings on standard error, exit statuses, tables in and out."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperGroup

from deem_crowd.exceptions import (
    DataWarning,
    DeemCrowdError,
    PluginWarning,
)

if TYPE_CHECKING:
    from rich.console import Console

BAD_DATA = 1
INTERRUPTED, TERMINATED = 130, 143
_WIDE = 150
"""Columns of a table where there is no terminal that says how many it has."""

# Not Exception: bad usage is typer's to report.
_BUGS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip

_NO_MEMORY = "can't allocate memory"  # torch's own allocator
_SHORT = "there is not enough memory"
_LESS = "Use a machine with more, or fewer answers; parquet is read in pieces."


class Terminated(KeyboardInterrupt):
    """SIGTERM: what is half done is undone, as at Ctrl-C."""


class Shell(TyperGroup):
    """The group of commands: turns what they raise into messages and exit statuses."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that ``ctx`` holds."""
        debug = bool(ctx.params.get("debug"))
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _shown(debug)
            try:
                result = super().invoke(ctx)
                sys.stdout.flush()
                return result
            except (typer.Exit, typer.Abort):
                raise
            except BrokenPipeError:  # `deem-crowd … | head`: the reader has what he wanted
                _abandon_stdout()
                raise typer.Exit(BAD_DATA) from None
            except Terminated:
                _fail("terminated", TERMINATED, debug)
            except KeyboardInterrupt:
                _fail("interrupted", INTERRUPTED, debug)
            except (DeemCrowdError, OSError) as error:
                _fail(_described(error), BAD_DATA, debug)
            except _BUGS as error:
                if isinstance(error, MemoryError) or _NO_MEMORY in str(error):
                    _fail(f"{_SHORT} ({_one_line(error)}). {_LESS}", BAD_DATA, debug)
                message = (
                    f"unexpected {type(error).__name__}: {error} (deem-crowd --debug … shows where)"
                )
                _fail(message, BAD_DATA, debug)


def console(*, err: bool = False) -> Console:
    """Return a console that does not squeeze tables where they are piped into something."""
    from rich.console import Console

    plain = Console(stderr=err)
    if plain.is_terminal or "COLUMNS" in os.environ:
        return plain
    return Console(stderr=err, width=_WIDE)


class Bar:
    """How far a long command is, on standard error; silent but for failures where that is no terminal."""

    def __init__(self, progress: Any) -> None:
        self._progress, self._task = progress, None

    def start(self, total: int) -> None:
        """Begin with ``total`` steps ahead."""
        self._task = self._progress.add_task("", total=total)

    def step(self, name: str, status: str, reason: str) -> None:
        """Go on by a step; one that failed says why."""
        from rich.markup import escape

        if status != "ok":
            self._progress.console.print(
                f"[yellow]{escape(name)}: {status}: {escape(reason)}[/yellow]", highlight=False
            )
        self._progress.update(self._task, advance=1, description=escape(name))


@contextlib.contextmanager
def progress() -> Iterator[Bar]:
    """Show a bar while the block runs."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    err = console(err=True)
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        yield Bar(bar)


def warn(message: str) -> None:
    """Say ``message`` on standard error as a warning."""
    typer.echo(f"warning: {_in_shell_words(message)}", err=True)


def checked_methods(names: Sequence[str], option: str) -> list[str]:
    """Return the names of aggregators, each once, or refuse as bad usage those that there are not."""
    from deem_crowd import registry
    from deem_crowd.discovery import hint

    known = registry.aggregators()
    for name in names:
        if name not in known:
            listed = ", ".join(known) or "none"
            message = f"no method is called {name!r}{hint(name, known)}; there are: {listed}"
            raise typer.BadParameter(message, param_hint=option)
    return list(dict.fromkeys(names))


def method_parameters(given: list[str] | None, methods: list[str]) -> dict[str, dict[str, Any]]:
    """Return the parameters of each method from NAME=VALUE, or METHOD.NAME=VALUE, as given to --set.

    Raises
    ------
    typer.BadParameter
    """
    found: dict[str, dict[str, Any]] = {method: {} for method in methods}
    for item in given or []:
        left, equals, text = item.partition("=")
        method, dot, name = left.strip().rpartition(".")
        if not dot and len(methods) == 1:
            method = methods[0]
        if not equals or not name or method not in found:
            example = "NAME=VALUE" if len(methods) == 1 else f"{methods[0]}.NAME=VALUE"
            raise typer.BadParameter(
                f"{item!r} is no {example} of {', '.join(methods)}", param_hint="--set"
            )
        try:
            found[method][name] = json.loads(text)
        except ValueError:
            found[method][name] = text
    return found


def _shown(debug: bool) -> Callable[..., None]:
    """Return what shows a warning: those about the data and the fit, and all of them if ``debug``."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        # By name, or the question alone would import scikit-learn.
        ours = issubclass(category, DataWarning | PluginWarning)
        if ours or category.__name__ == "ConvergenceWarning":
            warn(str(message))
        elif debug:
            warn(f"{category.__name__}: {message}")

    return show


def _described(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"{place}{error.strerror}"
    return str(error) or type(error).__name__


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(": ")


def _abandon_stdout() -> None:
    """Send what is still in the buffer nowhere, or Python complains about the pipe when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# What messages of the library advise to call, and what does the same in the shell.
_REMEDIES = (
    (r": df\.dropna\([^)]*\)", ""),
    (r", e\.g\. df(\['\w+'\])?\.astype\(str\)", ""),
    (r"Rename the columns: df\.rename\([^)]*\)", "Rename the column in the file"),
    (
        r"If a column has another name, say so: columns=\{[^}]*\}",
        "If a column has another name, rename it in the file",
    ),
    (
        r"If the file has no header row, name its columns in their order: columns=\[[^]]*\]",
        "If the file has no header row, put one on top",
    ),
    (
        r"Did you mean columns=\{([^}]*)\}\?",
        r"Columns are called differently in the file (\1): rename them",
    ),
    (r"pass duplicates='last' or 'first'", "pass --duplicates last or --duplicates first"),
    (r"\b(missing|duplicates|format)='(\w+)'", r"--\1 \2"),
)


def _in_shell_words(message: str) -> str:
    """Say what helps in the shell where a message of the library says what helps in Python."""
    for pattern, words in _REMEDIES:
        message = re.sub(pattern, words, message)
    return message


def _fail(message: str, status: int, debug: bool) -> NoReturn:
    if debug:
        typer.echo(traceback.format_exc().rstrip(), err=True)
    typer.echo(f"error: {_in_shell_words(message)}", err=True)
    raise typer.Exit(status)
