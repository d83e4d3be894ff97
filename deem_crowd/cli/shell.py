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
    DataError,
    DataWarning,
    DeemCrowdError,
    MissingColumnError,
    ParameterError,
    PluginError,
    PluginWarning,
    first_few,
)

if TYPE_CHECKING:
    import pandas as pd
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

LONG_ONLY = (
    "The shell reads the long format only: one row an answer, columns task, worker, label. For wide tables (tasks × "
    "workers) and for probabilities there are deem_crowd_adapters.from_wide and from_soft_long in Python."
)


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


def _adapted(path: str, adapter: str) -> pd.DataFrame:
    """Return the answers that a registered adapter reads, as a long frame."""
    from deem_crowd import registry
    from deem_crowd.data.answers import Answers

    try:
        read = registry.get_adapter(adapter)
    except ParameterError as error:
        raise typer.BadParameter(str(error), param_hint="--adapter") from error
    try:
        answers = read(path)
    except DeemCrowdError:
        raise
    except Exception as error:  # somebody else's code, which may fail in any way
        raise DataError(
            f"adapter {adapter!r} failed on {_name(path, 'input')}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(answers, Answers):
        raise PluginError(
            f"adapter {adapter!r} returned a {type(answers).__name__}, not deem_crowd.Answers."
        )
    return answers.to_frame()


def is_parquet(path: str, format: str | None) -> bool:
    """Tell whether answers stand in parquet files, which are read in pieces."""
    from deem_crowd.data.parquet import is_pattern

    return path != "-" and (path.endswith(".parquet") or format == "parquet" or is_pattern(path))


def read_answers(path: str, format: str | None, adapter: str | None = None) -> pd.DataFrame:
    """Return the answers in a file as a long frame of R rows."""
    if adapter is not None:
        return _adapted(path, adapter)
    from deem_crowd_adapters.files import read_long

    try:
        return read_long(path, format)
    except MissingColumnError as error:
        raise MissingColumnError(f"{error}\n{LONG_ONLY}") from error


def read_gold(path: str, format: str | None, answers: Any) -> pd.Series:
    """Return the known labels in a file: a Series, index task, of those tasks that are in ``answers["task"]``.

    Ids and labels that are written like those of ``answers`` become these, whatever their type in the file.
    """
    from deem_crowd_adapters.files import read_table

    from deem_crowd.data.answers import require_columns

    frame = read_table(path, _format(path, format))
    try:
        require_columns(frame, ("task", "label"))
    except MissingColumnError as error:
        raise MissingColumnError(
            f"{_name(path, 'input')}: {error}\nGold has one row a task: columns task, label."
        ) from error
    frame = frame[["task", "label"]].dropna(subset=["label"])
    if frame["task"].isna().any():
        raise DataError(
            f"{_name(path, 'input')}: column 'task' is missing in {int(frame['task'].isna().sum())} rows."
        )
    frame = frame.drop_duplicates()
    twice = frame["task"][frame["task"].duplicated()].unique()
    if len(twice):
        raise DataError(
            f"{_name(path, 'input')}: {len(twice)} tasks have two gold labels ({first_few(twice)}). Keep one for each."
        )
    gold = _like(frame["label"], answers["label"]).set_axis(
        _like(frame["task"], answers["task"]).rename("task")
    )
    here = gold.index.isin(answers["task"])
    if not here.all():
        elsewhere = gold.index[~here]
        warnings.warn(
            f"gold names {len(elsewhere)} tasks that have no answers ({first_few(elsewhere)}): they are ignored.",
            DataWarning,
            stacklevel=2,
        )
    return gold[here]


def write(frame: pd.DataFrame, path: str, format: str | None, spreadsheet: bool = False) -> None:
    """Write a frame to a file, whole or not at all, or to standard output."""
    from deem_crowd_adapters.files import write_table

    write_table(frame, path, _format(path, format), spreadsheet=spreadsheet)


def check_outputs(outputs: dict[str, str | None], format: str | None) -> None:
    """Refuse, before any work, outputs (option → path) that could not be written or overwrite one another."""
    from deem_crowd_adapters.files import format_of

    taken: dict[str, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        place = path if path == "-" else os.path.realpath(path)
        if place in taken:
            message = f"{path!r} is already where {taken[place]} goes"
            raise typer.BadParameter(message, param_hint=option)
        taken[place] = option
        try:
            format_of(path, _format(path, format))
        except ParameterError as error:
            raise typer.BadParameter(str(error), param_hint=option) from error
        if path == "-":
            continue
        if os.path.isdir(place):
            raise IsADirectoryError(f"{path} is a folder, not a file to write to ({option})")
        if not os.path.isdir(os.path.dirname(place)):
            raise FileNotFoundError(f"there is no folder to write {path} into ({option})")


def _format(path: str, format: str | None) -> str | None:
    """Return the format asked for where the name of a file does not tell one."""
    from deem_crowd_adapters.files import format_of

    if path == "-":
        return format
    try:
        format_of(path)
    except ParameterError:
        return format
    return None


def _like(values: pd.Series, model: pd.Series) -> pd.Series:
    """Return ``values`` with those that are written like one of ``model``'s replaced by it."""
    if values.dtype == model.dtype:
        return values
    written = {str(value): value for value in model.dropna().unique()}
    return values.map(lambda value: written.get(str(value), value))


def _name(path: str, stream: str) -> str:
    return f"standard {stream}" if path == "-" else path


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
