"""Files that a command writes, without destroying what it read."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import typer

from deem_crowd.cli import shell
from deem_crowd.exceptions import ParameterError, counted

if TYPE_CHECKING:
    import pandas as pd


def write(
    tables: Iterable[tuple[pd.DataFrame, str]], format: str | None, spreadsheet: bool = False
) -> None:
    """Write frames to files or standard output: all of them or none, each whole or not at all."""
    from deem_crowd_adapters.files import write_table

    from deem_crowd.runtime.atomic import all_or_none

    with all_or_none():
        for frame, path in tables:
            write_table(frame, path, format_asked(path, format), spreadsheet=spreadsheet)


def say_written(path: str, n_rows: int | None = None) -> None:
    """Say on standard error that a file is there; nothing of standard output, which shows what it holds."""
    if path != "-":
        rows = "" if n_rows is None else f" ({counted(n_rows, 'row')})"
        typer.echo(shell.printable(f"Written: {path}{rows}"), err=True)


def refuse_second_use_of_input(answers: Sequence[str], **others: str | None) -> None:
    """Refuse standard input for more than one thing, since it can be read only once.

    Parameters
    ----------
    answers : list of path
    others : path
        By the name of the option.
    """
    if answers.count("-") > 1:
        raise typer.BadParameter("standard input is given twice", param_hint="ANSWERS")
    taken = "ANSWERS" if "-" in answers else ""
    for name, path in others.items():
        if path != "-":
            continue
        if taken:
            message = f"{taken} already reads standard input: name a file"
            raise typer.BadParameter(message, param_hint=f"--{name}")
        taken = f"--{name}"


def check_outputs(
    outputs: dict[str, str | None], inputs: Sequence[str | None], format: str | None
) -> None:
    """Refuse outputs that cannot be written, or that would overwrite an input or one another.

    Nothing is read for that: files are compared by device and inode, so that no link hides one.

    Parameters
    ----------
    outputs : dict of option to path
    inputs : list of path
        Files, folders and patterns that will be read; ``-`` is standard input.
    format : str, optional
        Of files whose names tell none.
    """
    from deem_crowd_adapters.files import format_of

    given = _local(inputs)
    if "-" in given and sys.stdin is None:
        raise typer.BadParameter("standard input is closed: name a file of answers")
    if "-" in outputs.values() and sys.stdout is None:
        raise typer.BadParameter("standard output is closed: name a file with --output")
    read = _read_files(given)
    taken: dict[Any, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        place = path if path == "-" else os.path.realpath(path)
        identity = _identity(path, sys.stdout) or place
        for key in {identity, place}:
            if key in taken:
                message = f"{path!r} is already where {taken[key]} goes"
                raise typer.BadParameter(message, param_hint=option)
            taken[key] = option
        try:
            format_of(path, format_asked(path, format))
        except ParameterError as error:
            raise typer.BadParameter(str(error), param_hint=option) from error
        _refuse_destroying(option, path, read.get(identity), given)
        if path != "-":
            _require_place(option, path)


def _require_place(option: str, path: str) -> None:
    place = os.path.realpath(path)
    if os.path.isdir(place):
        raise IsADirectoryError(f"{path} is a folder, not a file to write to ({option})")
    if not os.path.isdir(os.path.dirname(place)):
        raise FileNotFoundError(f"there is no folder to write {path} into ({option})")


def refuse_output(option: str, path: str, inputs: Iterable[str | None]) -> None:
    """Refuse to write to ``path`` if that would destroy or change what is read, or no file can be there.

    Raises
    ------
    typer.BadParameter, FileNotFoundError, IsADirectoryError
        Naming ``option``.
    """
    given = _local(inputs)
    identity = _identity(path, sys.stdout)
    _refuse_destroying(option, path, _read_files(given).get(identity), given)
    _require_place(option, path)


def _refuse_destroying(option: str, path: str, same: str | None, inputs: Sequence[str]) -> None:
    if reason := _destroys(path, same, inputs):
        raise typer.BadParameter(reason, param_hint=option)


def _local(inputs: Iterable[str | None]) -> list[str]:
    """Return the inputs there are, those of this machine that are named by a URI as paths."""
    local = []
    for path in inputs:
        uri = re.search(r"(?:^|::)(?:file|local)://(?:localhost)?(/[^?]*)", path or "")
        if path is not None:
            local.append(unquote(uri[1]) if uri else path)
    return local


def _read_files(inputs: Iterable[str]) -> dict[Any, str]:
    """Return device and inode of every file that is read → the input that names it."""
    return {identity: path for path in inputs for identity in _identities(path)}


def _destroys(path: str, same: str | None, inputs: Sequence[str]) -> str:
    """Say why writing to ``path`` would destroy or change what is read; empty if it does not.

    ``same`` is the input that is the very file, if one is.
    """
    if same is not None:
        return f"{called(path, 'output')} would overwrite {called(same, 'input')}, which is read. Choose another name."
    if path == "-":
        return ""
    folder, name = os.path.split(os.path.realpath(path))
    for source in inputs:
        if os.path.isdir(source) and _is_within(folder, source):
            return f"{path} lies in the folder {source}, which is read. Choose another folder."
        if not os.path.exists(source) and glob.has_magic(source):
            pattern = os.path.join(
                os.path.realpath(os.path.dirname(source)), os.path.basename(source)
            )
            if fnmatch.fnmatch(os.path.join(folder, name), pattern):
                return f"{path} matches the pattern {source}, which is read. Choose another name or folder."
    return ""


def _is_within(folder: str, outer: str) -> bool:
    """Tell whether a folder is another one, lies in it at any depth, or is linked there: its files may be read, too."""
    real = os.path.realpath(outer)
    if os.path.commonpath([os.path.realpath(folder), real]) == real:
        return True
    with contextlib.suppress(OSError):
        return any(os.path.samefile(folder, inner) for inner, _ in _walked(outer))
    return False


def _identities(source: str) -> list[tuple[int, int]]:
    """Return device and inode of every file that is read for a path, folder or pattern."""
    if source == "-":
        files = [source]
    elif os.path.isdir(source):
        files = [os.path.join(inner, file) for inner, names in _walked(source) for file in names]
    else:
        files = [source] if os.path.exists(source) else glob.glob(source)
    return [identity for file in files if (identity := _identity(file, sys.stdin))]


def _walked(folder: str) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and those it holds or links to, each once, with the names of its files."""
    seen = set()
    for inner, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(inner)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        yield inner, files


def _identity(path: str, stream: Any) -> tuple[int, int] | None:
    """Return device and inode of a regular file; None of what is not there, and of a device, pipe or folder."""
    with contextlib.suppress(
        OSError, ValueError
    ):  # nothing there; a closed stream or one in memory
        status = os.stat(stream.fileno() if path == "-" else path)
        if stat.S_ISREG(status.st_mode):
            return status.st_dev, status.st_ino
    return None


def format_asked(path: str, format: str | None) -> str | None:
    """Return the format asked for where the name of a file does not tell one."""
    from deem_crowd_adapters.files import format_of
    from deem_crowd_adapters.formats import is_stream

    if is_stream(path):
        return format
    try:
        format_of(path)
    except ParameterError:
        return format
    return None


def called(path: str, stream: str) -> str:
    """Return how messages call a path; ``stream`` is what ``-`` stands for, input or output."""
    return f"standard {stream}" if path == "-" else path
