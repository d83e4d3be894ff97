"""Files of a labelling tool or an evaluation → answers, gold, and a word about what is no answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import pandas as pd

from deem_crowd.data import index as ids
from deem_crowd.data import nested
from deem_crowd.data.answers import Answers, Duplicates, Missing
from deem_crowd.data.doubts import warn_of_doubts
from deem_crowd.data.frames import COLUMNS, synonyms
from deem_crowd.data.lookup import as_index
from deem_crowd.exceptions import DataError, ParameterError, first_few
from deem_crowd_adapters import regions
from deem_crowd_adapters.exports import known, long_files, several, workbook
from deem_crowd_adapters.exports.collected import Collected, Multiple, frame_of, gold_of, tasks_of
from deem_crowd_adapters.exports.content import Content, open_content
from deem_crowd_adapters.source import Source
from deem_crowd_adapters.text import JoinedFilesError


class Export(NamedTuple):
    """What an export holds."""

    answers: pd.DataFrame
    """One row an answer: columns ``task``, ``worker``, ``label``, R rows."""
    gold: pd.Series
    """True labels that the export holds, index ``task``; empty where it holds none."""
    format: str
    """The tool and the version of its format, e.g. ``'Label Studio JSON'``."""
    left_out: dict[str, int]
    """What is no answer, and how often: skipped tasks, rejected assignments, predictions of models …"""
    tasks: pd.Index
    """All tasks in their order where the export says which there are, answered or not; empty where it does not."""


def read_export(
    data: Any,
    tool: str | None = None,
    *,
    question: str | None = None,
    multiple: Multiple = "error",
    **options: Any,
) -> Export:
    """Read what labelling tools, crowd platforms and evaluation harnesses export.

    The format is recognised by the content. What is no answer (a skipped task, a rejected assignment, a prediction of a
    model) is left out and counted in one warning.

    Parameters
    ----------
    data : path, folder, pattern, sequence of paths, open file, or a DataFrame of such a table
        Several files become one: docs/your-data.md says when ids in two files mean the same.
    tool : str, optional
        The adapter's name, e.g. ``'label-studio'``, where the content does not tell.
    question : str, optional
        The question (control, field, column) to read, where the export holds several.
    multiple : 'error', 'drop' or 'lists'
        What becomes of answers that hold several labels at once; with 'lists' every label is a list, as crowd-kit's
        BinaryRelevance takes it.
    options
        Further options of the format, e.g. ``abstain=0`` for label matrices.

    Returns
    -------
    Export
        ``answers``, ``gold``, ``format``, ``left_out``.

    Raises
    ------
    DataError
        If the format is not known, the files cannot be read, or a choice is open; the message names the choice and the
        option that settles it.
    ParameterError, OSError
    """
    if multiple not in ("error", "drop", "lists"):
        raise ParameterError(f"multiple={multiple!r} is not one of 'error', 'drop', 'lists'.")
    contents = _opened(data, options.get("sheet"))
    export = _export(contents, tool, question, multiple, options)
    if export is None:
        content = contents[0]
        if content.kind in ("records", "object") and not content.value:
            raise DataError(
                f"{content.name} is empty: JSON without a record. Export the answers again."
            )
        if said := regions.named(content.kind, content.keys, content.value):
            raise DataError(f"{content.name} is of no format that is read. {said}")
        columns = synonyms(content.keys, COLUMNS) if content.kind in ("records", "table") else {}
        named = ", ".join(f"{part}={name!r}" for name, part in columns.items() if name != part)
        meant = f" If these are the answers, name their columns: {named}." if named else ""
        if content.kind == "records" and all(isinstance(each, dict) for each in content.value):
            lines = ", lines=True" if content.name.lower().endswith((".jsonl", ".ndjson")) else ""
            lists = nested.advice(
                pd.DataFrame(content.value[: nested.LOOK_AT]),
                columns,
                f"pd.read_json(PATH, dtype=False{lines})",
            )
            meant = f" {lists}" if lists else meant
        raise DataError(
            f"{content.name} is of no format that is known: {_looks(content)}.{meant} Known: "
            f"{first_few(dict.fromkeys(f.name for f in known.formats(tool)), 40)}. Or turn it into a table "
            "with columns task, worker, label."
        )
    return export


def attempt(data: Any) -> Export | None:
    """Return what :func:`read_export` returns, None if the format is not known or the file is no export at all."""
    try:
        contents = _opened(data, None)
    except JoinedFilesError:
        raise
    except DataError:
        return None
    return _export(contents, None, None, "error", {})


def from_export(
    data: Any,
    tool: str | None = None,
    *,
    question: str | None = None,
    multiple: Multiple = "error",
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    classes: Sequence[Hashable] | pd.Index | None = None,
    **options: Any,
) -> Answers:
    """Read an export as :func:`read_export` does, as Answers.

    Parameters
    ----------
    data, tool, question, multiple, options
        As in :func:`read_export`.
    missing, duplicates, classes
        As in :meth:`deem_crowd.Answers.from_frame`.

    Returns
    -------
    Answers
        R answers by N tasks and D workers, K classes.

    Raises
    ------
    DataError, ParameterError, OSError
    """
    refuse_lists(multiple)
    export = read_export(data, tool, question=question, multiple=multiple, **options)
    return answers_of(export, missing, duplicates, classes)


def with_gold(
    data: Any,
    tool: str | None = None,
    *,
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    classes: Sequence[Hashable] | pd.Index | None = None,
    **options: Any,
) -> tuple[Answers, pd.Series]:
    """Return what :func:`from_export` does, and the true labels that the tool holds beside the answers, by task."""
    refuse_lists(options.get("multiple"))
    export = read_export(data, tool, **options)
    return answers_of(export, missing, duplicates, classes), stated(export)


def stated(export: Export) -> pd.Series:
    """Return the true labels of an export if its tool keeps them for use beside the answers; else none.

    Label matrices and files of judges hold them for evaluation, and sheets in a column that may be anything.
    """
    return export.gold if export.format.startswith(_STATES_GOLD) else export.gold.iloc[:0]


_STATES_GOLD = ("Label Studio", "Labelbox", "Toloka", "Figure Eight", "Zooniverse")


def refuse_lists(multiple: Any) -> None:
    """Raise :class:`ParameterError` where lists of labels are asked for and classes are needed."""
    if multiple == "lists":
        raise ParameterError(
            "multiple='lists' gives lists of labels, which are no classes: call read_export."
        )


def answers_of(
    export: Export,
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    classes: Sequence[Hashable] | pd.Index | None = None,
) -> Answers:
    """Return the answers of an export; tasks that nobody answered stay, where it names them.

    Raises
    ------
    DataError, ParameterError
    """
    frame = export.answers
    if not len(export.tasks):
        return Answers.from_frame(frame, missing=missing, duplicates=duplicates, classes=classes)
    answers = Answers.from_codes(
        (export.tasks.get_indexer(as_index(frame["task"])), export.tasks),
        ids.factorize(frame["worker"], "worker"),
        ids.factorize(frame["label"], "label"),
        missing=missing,
        duplicates=duplicates,
        classes=classes,
    )
    warn_of_doubts(answers, classes_given=classes is not None)
    return answers


def for_tool(tool: str) -> Callable[..., Answers]:
    """Return :func:`from_export` for the files of one tool; the adapters of that name."""

    def read(data: Any, **options: Any) -> Answers:
        return from_export(data, tool, **options)

    read.__name__ = f"from_{tool.replace('-', '_')}"
    read.__doc__ = from_export.__doc__
    read.__dict__["with_gold"] = functools.partial(with_gold, tool=tool)
    return read


def _opened(data: Any, sheet: Any) -> list[Content]:
    if isinstance(data, pd.DataFrame):
        return [Content("the frame", "table", data)]
    if hasattr(data, "read") or isinstance(data, Source):
        return [open_content(data, sheet)]
    return [open_content(path, sheet) for path in several.expand(cast("several.Paths", data))]


def _flat(contents: Sequence[Content]) -> list[Content]:
    """Return the files, with those of archives in their place unless the archive as a whole is a format."""
    flat: list[Content] = []
    for content in contents:
        if content.kind == "archive" and known.recognised(content) is None:
            flat += _flat(content.value)
        else:
            flat.append(content)
    return flat


def _format_of(content: Content, tool: str | None, n_files: int) -> known.Format | None:
    """Return the format of a file; a table without workers names one only as one of several files."""
    tables = {"wide": ("records", "table"), "form": ("records", "table", "sheets")}
    if tool is not None and content.kind in tables.get(tool, ()) and content.frame is not None:
        return known.formats(tool)[0]
    format = known.recognised(content, tool)
    return None if format is not None and format.name == "files" and n_files == 1 else format


def _export(
    contents: Sequence[Content],
    tool: str | None,
    question: str | None,
    multiple: Multiple,
    options: dict[str, Any],
) -> Export | None:
    pieces: list[Collected] = []
    taken: set[str] = set()
    flat = workbook.by_file(_flat(contents), tool)
    found = [_format_of(content, tool, len(flat)) for content in flat]
    if found == [None]:
        return None
    for content, format in zip(flat, found, strict=True):
        if format is None:
            raise DataError(
                f"{content.name} is of no format that is known ({_looks(content)}), {_beside(content, found)}"
            )
        if format.name == "files" and all(map(long_files.is_gold, flat)):
            # All hold answers, of experts for example: known labels need answers beside them.
            format = replace(format, read=long_files.read_any_annotators)
        taken |= set(format.options)
        pieces.append(known.read_one(content, format, options))
    strange = [name for name in options if name not in taken and options[name] is not None]
    if strange:
        raise ParameterError(
            f"{pieces[0].tool} has no options {first_few(strange)}; it takes "
            f"{first_few(['question', 'multiple', *sorted(taken)], 10)}."
        )
    whole = several.join(pieces)
    chosen = whole.chosen(question, multiple)
    whole.warn()
    chosen.put_in_order_of_time()
    answers, gold = frame_of(chosen, whole.file, multiple == "lists"), gold_of(chosen, whole.file)
    tasks = tasks_of(whole, answers, chosen if whole.tool.startswith(_STATES_GOLD) else None)
    return Export(answers, gold, whole.tool, dict(whole.left_out), tasks)


def _beside(content: Content, found: Sequence[known.Format | None]) -> str:
    """Say what to do about a file of no known format among several, of which ``found`` are the formats."""
    alike = synonyms(content.keys, COLUMNS).items()
    if not any(found):
        columns = {part: name for name, part in alike if name != part}
        remedy = (
            f"If these are meant, pass columns={columns!r}."
            if len(alike) == len(COLUMNS)
            else "If they have columns of tasks, workers and labels, name these: task=…, worker=…, label=…."
        )
        return f"and neither is any other of the {len(found)} files. {remedy}"
    renamed = ", ".join(f"{name!r} to {part!r}" for name, part in alike if name != part)
    remedy = f"Rename its columns ({renamed}), or leave it out." if renamed else "Leave it out."
    return f"beside files that are. {remedy}"


def _looks(content: Content) -> str:
    """Describe a file for somebody who wonders why it is not read."""
    kinds = {
        "records": "JSON records with keys",
        "object": "a JSON object with keys",
        "table": "a table with columns",
        "arrays": "arrays",
        "sheets": "a workbook with sheets",
        "xml": "XML",
        "archive": "an archive of files",
    }
    keys = sorted(content.keys)
    return f"{kinds[content.kind]} {first_few(keys, 12)}" if keys else kinds[content.kind]
