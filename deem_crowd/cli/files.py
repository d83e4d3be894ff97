"""Files of a command: what it reads, and what it writes without destroying what it read."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import inspect
import os
import stat
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from deem_crowd.cli.shell import method_parameters, plugin_output
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    DeemCrowdError,
    MissingColumnError,
    ParameterError,
    PluginError,
    counted,
    first_few,
)

if TYPE_CHECKING:
    import pandas as pd

    from deem_crowd.data.answers import Answers

HOW_TO_READ = (
    "Columns of other names: --task, --worker, --label. A table with one row a task and one column a worker: "
    "--adapter wide --adapter-set task=COLUMN. `deem-crowd plugins` lists the adapters."
)


@dataclass(frozen=True)
class Reading:
    """What is read as answers, and how."""

    paths: Sequence[str]
    format: str | None = None
    adapter: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the adapter."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Our name of a column → the file's, where they differ."""
    missing: Any = "error"
    duplicates: Any = "last"

    @property
    def path(self) -> str | list[str]:
        """The only path, or the list of them."""
        return self.paths[0] if len(self.paths) == 1 else list(self.paths)


def reading(
    paths: Sequence[str],
    format: Any = None,
    adapter: str | None = None,
    adapter_set: Sequence[str] | None = None,
    columns: Mapping[str, str | None] | None = None,
    missing: Any = None,
    duplicates: Any = None,
) -> Reading:
    """Return how to read answers, from the options of a command.

    Raises
    ------
    typer.BadParameter
    """
    given = columns_of(**(columns or {}))
    if adapter is not None and given:
        message = (
            f"an adapter finds its columns itself; {first_few(given.values())} cannot be named beside it, except by "
            "--adapter-set"
        )
        raise typer.BadParameter(message, param_hint="--adapter")
    return Reading(
        list(paths),
        format.value if format else None,
        adapter,
        method_parameters(list(adapter_set or ()), ["adapter"], "--adapter-set")["adapter"],
        given,
        missing.value if missing else "error",
        duplicates.value if duplicates else "last",
    )


def _adapted(asked: Reading) -> Answers:
    """Return the answers that a registered adapter reads."""
    from deem_crowd import registry
    from deem_crowd.contract import described
    from deem_crowd.data.answers import Answers

    adapter = str(asked.adapter)
    try:
        read = registry.get_adapter(adapter)
    except ParameterError as error:
        raise typer.BadParameter(str(error), param_hint="--adapter") from error
    try:
        with plugin_output():
            answers = read(asked.path, **asked.options, **_taken(read, asked))
    except ParameterError as error:
        raise typer.BadParameter(str(error), param_hint="--adapter-set") from error
    except DeemCrowdError:
        raise
    except (Exception, SystemExit) as error:  # somebody else's code, which may fail in any way
        raise DataError(
            f"adapter {adapter!r} failed on {_name(asked.paths[0], 'input')}: {described(error)}"
        ) from error
    if not isinstance(answers, Answers):
        raise PluginError(
            f"adapter {adapter!r} returned a {type(answers).__name__}, not deem_crowd.Answers."
        )
    return answers


def _taken(read: Any, asked: Reading) -> dict[str, Any]:
    """Return what an adapter takes of --missing and --duplicates."""
    try:
        parameters = inspect.signature(read).parameters
    except (TypeError, ValueError):
        return {}
    given = {"missing": asked.missing, "duplicates": asked.duplicates}
    default = {"missing": "error", "duplicates": "last"}
    return {
        name: value
        for name, value in given.items()
        if value != default[name] and name in parameters and name not in asked.options
    }


def is_parquet(asked: Reading) -> bool:
    """Tell whether answers stand in parquet files, which are read in pieces."""
    if asked.format is not None or "-" in asked.paths:
        return asked.format == "parquet" and "-" not in asked.paths
    from deem_crowd_adapters.exports.several import expand

    return all(name.endswith((".parquet", ".pq")) for name in expand(asked.paths))


def columns_of(task: str | None, worker: str | None, label: str | None) -> dict[str, str]:
    """Return what is called otherwise than it is here: from our name to the file's."""
    given = {"task": task, "worker": worker, "label": label}
    return {part: name for part, name in given.items() if name is not None}


def settled_answers(asked: Reading) -> tuple[Answers, Any]:
    """Return the answers, each once, and their ids under ``task`` and ``label``.

    Parquet is read in pieces, unless columns are named.
    """
    from deem_crowd.data.answers import Answers

    how = {"missing": asked.missing, "duplicates": asked.duplicates}
    if asked.adapter is not None:
        answers = _adapted(asked)
    elif not asked.columns and not asked.options and is_parquet(asked):
        answers = Answers.from_parquet(asked.path, **how)
    else:
        from deem_crowd_adapters.reading import from_file

        columns = asked.columns or None
        try:
            answers = from_file(asked.path, asked.format, columns=columns, **how, **asked.options)
        except MissingColumnError as error:
            raise MissingColumnError(f"{error}\n{HOW_TO_READ}") from error
        except ParameterError as error:
            if not asked.options:
                raise
            raise typer.BadParameter(str(error), param_hint="--adapter-set") from error
    return answers, {"task": answers.tasks.to_series(), "label": answers.classes.to_series()}


def read_ids(
    path: str, format: str | None, needed: Sequence[str], like: Mapping[str, Any]
) -> pd.DataFrame:
    """Return the columns of a file that are needed; ids that are written like those of ``like`` become these."""
    from deem_crowd_adapters.files import read_table

    from deem_crowd.data.frames import require_columns

    frame = read_table(path, format_asked(path, format))
    try:
        require_columns(frame, needed)
    except MissingColumnError as error:
        raise MissingColumnError(f"{_name(path, 'input')}: {error}") from error
    return frame[list(needed)].assign(
        **{name: written_like(frame[name], like[name]) for name in needed if name in like}
    )


def check_gold_labels(gold: pd.Series, answers: Answers) -> None:
    """Refuse known labels that no worker gave: no method could learn what they look like."""
    strange = gold[~gold.isin(answers.classes)].unique()
    if len(strange):
        raise DataError(
            f"gold holds {counted(len(strange), 'label')} that no worker gave: {first_few(strange)}. "
            f"Labels given: {first_few(answers.classes, 10)}."
        )


def read_gold(
    path: str, format: str | None, answers: Any, columns: Mapping[str, str] | None = None
) -> pd.Series:
    """Return the known labels in a file: a Series, index task, of those tasks that are in ``answers["task"]``.

    Ids and labels that are written like those of ``answers`` become these, whatever their type in the file. Columns may
    be called as those of the answers are.
    """
    from deem_crowd.data.frames import require_columns

    frame = _gold_table(path, format_asked(path, format))
    for part, name in (columns or {}).items():
        if part not in frame and name in frame:
            frame = frame.rename(columns={name: part})
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
    gold = written_like(frame["label"], answers["label"]).set_axis(
        written_like(frame["task"], answers["task"]).rename("task")
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


def _gold_table(path: str, format: str | None) -> pd.DataFrame:
    """Return a table of known labels; of an export, those that it holds."""
    from deem_crowd_adapters.exports.read import attempt
    from deem_crowd_adapters.files import read_table

    document = format is None and path.endswith((".json", ".zip", ".xlsx", ".xml"))
    frame = None if document else read_table(path, format)
    if frame is not None and {"task", "label"} & set(frame.columns):
        return frame
    export = attempt(path) if format is None and path != "-" else None
    if export is None or export.gold.empty:
        return read_table(path, format) if frame is None else frame
    return export.gold.rename("label").rename_axis("task").reset_index()


def write(
    tables: Iterable[tuple[pd.DataFrame, str]], format: str | None, spreadsheet: bool = False
) -> None:
    """Write frames to files or standard output: all of them or none, each whole or not at all."""
    from deem_crowd_adapters.files import write_table

    from deem_crowd.atomic import all_or_none

    with all_or_none():
        for frame, path in tables:
            write_table(frame, path, format_asked(path, format), spreadsheet=spreadsheet)


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

    given = [path for path in inputs if path is not None]
    if given.count("-") > 1:
        raise typer.BadParameter(
            "standard input is already where ANSWERS come from", param_hint="--gold"
        )
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
        if path == "-":
            continue
        if os.path.isdir(place):
            raise IsADirectoryError(f"{path} is a folder, not a file to write to ({option})")
        if not os.path.isdir(os.path.dirname(place)):
            raise FileNotFoundError(f"there is no folder to write {path} into ({option})")


def refuse_destroying(option: str, path: str, inputs: Iterable[str | None]) -> None:
    """Refuse to write to ``path`` if that would destroy or change what is read, whatever its name.

    Raises
    ------
    typer.BadParameter
        Naming ``option``.
    """
    given = [each for each in inputs if each is not None]
    identity = _identity(path, sys.stdout)
    _refuse_destroying(option, path, _read_files(given).get(identity), given)


def _refuse_destroying(option: str, path: str, same: str | None, inputs: Sequence[str]) -> None:
    if reason := _destroys(path, same, inputs):
        raise typer.BadParameter(reason, param_hint=option)


def _read_files(inputs: Iterable[str]) -> dict[Any, str]:
    """Return device and inode of every file that is read → the input that names it."""
    return {identity: path for path in inputs for identity in _identities(path)}


def _destroys(path: str, same: str | None, inputs: Sequence[str]) -> str:
    """Say why writing to ``path`` would destroy or change what is read; empty if it does not.

    ``same`` is the input that is the very file, if one is.
    """
    if same is not None:
        return f"{_name(path, 'output')} would overwrite {_name(same, 'input')}, which is read. Choose another name."
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
    """Tell whether a folder is another one, or lies in it at any depth: the files of its folders may be read, too."""
    real = os.path.realpath(outer)
    return os.path.commonpath([os.path.realpath(folder), real]) == real


def _identities(source: str) -> list[tuple[int, int]]:
    """Return device and inode of every file that is read for a path, folder or pattern."""
    if source == "-":
        files = [source]
    elif os.path.isdir(source):
        files = [str(file) for file in Path(source).rglob("*")]
    else:
        files = [source] if os.path.exists(source) else glob.glob(source)
    return [identity for file in files if (identity := _identity(file, sys.stdin))]


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

    if path == "-":
        return format
    try:
        format_of(path)
    except ParameterError:
        return format
    return None


def written_like(values: pd.Series, model: pd.Series) -> pd.Series:
    """Return ``values`` with those that are written like one of ``model``'s replaced by it."""
    if values.dtype == model.dtype:
        return values
    written = {str(value): value for value in model.dropna().unique()}
    return values.map(lambda value: written.get(str(value), value))


def _name(path: str, stream: str) -> str:
    return f"standard {stream}" if path == "-" else path
