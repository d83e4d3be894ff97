"""What a command reads: answers in whatever form, and columns of ids."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from deem_crowd.cli.as_read import by_value, text_of, whole_alike, with_text
from deem_crowd.cli.files import called, format_asked
from deem_crowd.cli.shell import plugin_output
from deem_crowd.cli.unread import warn_of_unread
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
from deem_crowd.runtime.warning import warn

if TYPE_CHECKING:
    import pandas as pd

    from deem_crowd.data.answers import Answers

HOW_TO_READ = (
    "Columns of other names: --task, --worker, --label. A table with one row a task and one column a worker: "
    "--adapter wide --task COLUMN, or --adapter scores --task COLUMN for numeric scores; one row a person and one "
    "column a task: --adapter form; one column of probabilities a class: --adapter soft-long; verdicts on pairs, shown "
    "in both orders: --adapter pairwise. `deem-crowd plugins` lists the adapters."
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
    gold_columns: Mapping[str, str] = field(default_factory=dict)
    """The same in a file of gold, where asked for; else its columns may be called as those of the answers are."""
    missing: Any = "error"
    duplicates: Any = "last"
    abstain: Sequence[str] = ()
    """Labels that stand for no answer."""
    ordered: bool = False
    """Whether a method is told that classes have an order."""

    @property
    def path(self) -> str | list[str]:
        """The only path, or the list of them."""
        return self.paths[0] if len(self.paths) == 1 else list(self.paths)


def _adapted(asked: Reading) -> tuple[Answers, pd.Series]:
    """Return the answers that a registered adapter reads, and the true labels that the adapter of a tool finds."""
    import pandas as pd

    from deem_crowd.data.answers import Answers
    from deem_crowd.plugins import registry
    from deem_crowd.plugins.contract import described

    adapter = str(asked.adapter)
    try:
        read = registry.get_adapter(adapter)
    except ParameterError as error:
        raise typer.BadParameter(str(error), param_hint="--adapter") from error
    options = _options_of(read, asked)
    _check_options(adapter, read, options, asked.columns)
    try:
        with plugin_output():
            taken = {**options, **_taken(read, asked)}
            own = pd.Series([], dtype=object)
            if (with_gold := getattr(read, "with_gold", None)) is not None:
                answers, own = with_gold(asked.path, **taken)
            else:
                answers = read(asked.path, **taken)
    except ParameterError as error:
        hint = "--adapter-set" if options else "--adapter"
        raise typer.BadParameter(str(error), param_hint=hint) from error
    except DeemCrowdError:
        raise
    except (Exception, SystemExit) as error:  # somebody else's code, which may fail in any way
        if isinstance(error, OSError) and error.filename in asked.paths:
            raise  # the file is not there, or not to be read: said as without an adapter
        raise DataError(
            f"adapter {adapter!r} failed on {called(asked.paths[0], 'input')}: {described(error)}"
        ) from error
    if not isinstance(answers, Answers):
        raise PluginError(
            f"adapter {adapter!r} returned a {type(answers).__name__}, not deem_crowd.Answers."
        )
    return answers, own


def _options_of(read: Any, asked: Reading) -> dict[str, Any]:
    """Return the parameters of an adapter; the column of --label is that of the scores where an adapter has these."""
    options = dict(asked.options)
    with contextlib.suppress(TypeError, ValueError):
        takes = inspect.signature(read).parameters
        if "label" in asked.columns and "label" not in takes and "score" in takes:
            options.setdefault("score", options.pop("label"))
    return options


def _check_options(
    adapter: str, read: Any, options: Mapping[str, Any], named: Mapping[str, str]
) -> None:
    """Refuse parameters that an adapter does not take; ``named`` are those that have options of their own."""
    try:
        parameters = list(inspect.signature(read).parameters.values())
    except (TypeError, ValueError):
        return
    known = [p.name for p in parameters[1:] if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    strange = [name for name in options if name not in known]
    if strange and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        takes = first_few(known, 20) or "none"
        message = f"adapter {adapter!r} has no parameter {first_few(strange)}; it takes {takes}"
        hint = f"--{strange[0]}" if strange[0] in named else "--adapter-set"
        raise typer.BadParameter(message, param_hint=hint)


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


class Settled(NamedTuple):
    """What was read."""

    answers: Answers
    """Each once."""
    ids: Any
    """The tasks and the classes, under ``task`` and ``label``."""
    known: pd.Series
    """True labels that an export of a tool holds, index task; empty where it holds none."""


def settled_answers(asked: Reading, gold: str | None = None) -> Settled:
    """Return the answers, their ids, and the true labels that an export of a tool holds.

    Answers whose label stands for none are left out; their tasks stay. Parquet is read in pieces, unless columns are
    named. Where no file of ``gold`` is given, a column of known labels among the answers is a warning, since it is not
    read.
    """
    from deem_crowd.data.doubts import abstaining, ordered_classes

    if gold is None and asked.gold_columns:
        part = next(iter(asked.gold_columns))
        message = "it names a column of known labels, and no file has them: add --gold FILE"
        raise typer.BadParameter(message, param_hint=f"--gold-{part}")
    with abstaining(asked.abstain), ordered_classes(asked.ordered):
        answers, own = _read(asked)
    answers = _without_abstentions(with_text(answers), asked)
    if asked.ordered:
        answers = by_value(answers)
    if asked.adapter is None:
        warn_of_unread(asked, answers, gold is None)
    if gold is not None:
        answers = _without_gold(answers, asked, gold)
    _say_one_class(answers)
    ids = {"task": answers.tasks.to_series(), "label": answers.classes.to_series()}
    return Settled(answers, ids, own)


def _say_one_class(answers: Answers) -> None:
    """Warn where all answers name one class: whatever a command finds then says nothing."""
    from deem_crowd.data.doubts import ONE_CLASS, names_one_class

    if names_one_class(answers):
        warn(ONE_CLASS, DataWarning)


def _read(asked: Reading) -> tuple[Answers, pd.Series]:
    """Return the answers as they were given, and the true labels that an export of a tool holds."""
    import pandas as pd

    from deem_crowd.data.answers import Answers

    how = {"missing": asked.missing, "duplicates": asked.duplicates}
    answers = None
    own = pd.Series([], dtype=object)
    if asked.adapter is not None:
        with _placed(asked):
            answers, own = _adapted(asked)
    elif not asked.columns and not asked.options and is_parquet(asked):
        try:
            with _placed(asked):
                answers = Answers.from_parquet(asked.path, **how)
        except MissingColumnError:
            if not all(map(os.path.isfile, asked.paths)):
                raise
    if answers is None:  # no parquet, or one that may be a wide table
        from deem_crowd_adapters.reading import with_gold

        columns = asked.columns or None
        try:
            with _placed(asked):
                answers, own = with_gold(
                    asked.path, asked.format, columns=columns, **how, **asked.options
                )
        except MissingColumnError as error:
            raise MissingColumnError(f"{error}\n{HOW_TO_READ}") from error
        except ParameterError as error:
            if not asked.options:
                raise
            raise typer.BadParameter(str(error), param_hint="--adapter-set") from error
    return answers, own


@contextlib.contextmanager
def _placed(asked: Reading) -> Iterator[None]:
    """Add the files to errors about a column, and give it the name that it has there."""
    try:
        yield
    except DataError as error:
        found = re.match(r"column '(\w+)'", str(error))
        if found is None:
            raise
        place = ", ".join(called(path, "input") for path in asked.paths[:3])
        name = asked.columns.get(found[1], found[1])
        raise DataError(f"{place}: column {name!r}{str(error)[found.end() :]}") from error


def _without_abstentions(answers: Answers, asked: Reading) -> Answers:
    """Leave out answers with a label that stands for none; a label that nobody gave is a warning."""
    if not asked.abstain:
        return answers
    import numpy as np

    from deem_crowd.data.no_answers import named

    if answers.is_soft:
        raise typer.BadParameter(
            "it names labels, and these answers are probabilities. Leave the column of that class out of the file.",
            param_hint="--abstain",
        )
    strange = [label for label in asked.abstain if not named(answers.classes, [label]).any()]
    if strange:
        warn(
            f"no answer has the {'label' if len(strange) == 1 else 'labels'} {first_few(strange)} of --abstain. Labels "
            f"given: {first_few(answers.classes, 10)}.",
            DataWarning,
        )
    kept = ~named(answers.classes, asked.abstain)
    numbers = np.where(kept, np.cumsum(kept) - 1, -1)
    return answers.select(classes=(numbers, answers.classes[kept]))


def _without_gold(answers: Answers, asked: Reading, gold: str) -> Answers:
    """Leave out a source that is the column of known labels, as of a wide table that holds them beside its sources."""
    import numpy as np

    column = asked.gold_columns.get("label")
    same = os.path.abspath(gold) in map(os.path.abspath, asked.paths)
    if column is None or not same or column not in answers.workers:
        return answers
    kept = answers.workers != column
    warn(
        f"{called(gold, 'input')}: column {column!r} holds known labels (--gold-label), and is no source.",
        DataWarning,
    )
    numbers = np.where(kept, np.cumsum(kept) - 1, -1)
    return answers.select(workers=(numbers, answers.workers[kept]))


def read_ids(
    path: str,
    asked: Reading,
    needed: Sequence[str],
    like: Mapping[str, Any],
    only_other: str | None = None,
) -> pd.DataFrame:
    """Return the columns of a file that are needed; ids that are written like those of ``like`` become these.

    Columns may be called as those of the answers are. The column ``only_other`` may have any name where it is the only
    one beside the others that are needed.
    """
    from deem_crowd_adapters.files import read_table

    from deem_crowd.data.frames import require_columns

    format = format_asked(path, asked.format)
    frame = only_table(path) if is_document(path, format) else read_table(path, format)
    if frame is None:
        keys = ", ".join(f'"{name}": …' for name in needed)
        raise DataError(
            f"{called(path, 'input')} holds no table. Give JSON records, [{{{keys}}}, …], or a table with "
            f"{'the column' if len(needed) == 1 else 'columns'} {', '.join(needed)}."
        )
    for part, column in asked.columns.items():
        if part in needed and part not in frame and column in frame:
            frame = frame.rename(columns={column: part})
    others = [name for name in frame.columns if name not in needed]
    if only_other is not None and only_other not in frame and len(others) == 1:
        frame = frame.rename(columns={others[0]: only_other})
    try:
        require_columns(frame, needed)
    except MissingColumnError as error:
        raise MissingColumnError(f"{called(path, 'input')}: {error}") from error
    for name in [name for name in needed if name in like]:
        refuse_gaps(frame[name], path)
    return frame[list(needed)].assign(
        **{name: written_like(frame[name], like[name]) for name in needed if name in like}
    )


def refuse_gaps(ids: pd.Series, path: str) -> None:
    """Refuse a column of a file in which ids are missing."""
    if ids.isna().any():
        raise DataError(
            f"{called(path, 'input')}: column {ids.name!r} is missing in "
            f"{counted(int(ids.isna().sum()), 'row')}. Drop or repair such rows."
        )


def is_document(path: str, format: str | None) -> bool:
    """Tell whether a file is to be opened as one document, by its name."""
    return format is None and path.endswith((".json", ".zip", ".xlsx", ".xml"))


def only_table(path: str) -> pd.DataFrame | None:
    """Return the records of a JSON document, or the only sheet of a workbook."""
    from deem_crowd_adapters.exports.content import open_content

    return open_content(path).frame


def written_like(values: pd.Series, model: pd.Series) -> pd.Series:
    """Return ``values`` with those that are written like one of ``model``'s replaced by it."""
    # Where text has no dtype of its own, as in pandas 2, bytes and text have the same dtype: object.
    has_bytes = values.dtype == object and any(isinstance(value, bytes) for value in values)
    if values.dtype != model.dtype or has_bytes:
        written = {text_of(value): value for value in model.dropna().unique()}
        values = values.map(lambda value: written.get(text_of(value), value))
    return whole_alike(values, model)
