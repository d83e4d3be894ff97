"""The options that several commands share, also for commands that plugins bring."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer


class Format(str, Enum):
    """File formats."""

    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    parquet = "parquet"


class Missing(str, Enum):
    """What becomes of answers without a label."""

    error = "error"
    drop = "drop"


class Duplicates(str, Enum):
    """Which answer counts where a worker answered a task twice."""

    last = "last"
    first = "first"
    error = "error"


AnswersArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="ANSWERS...",
        help="A table of answers (task, worker, label; CSV, TSV, JSON lines or parquet) or what a labelling tool "
        "exports. One file or several, a folder, or a pattern in quotes; - is standard input.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A parameter of the method, as often as needed; METHOD.NAME=VALUE where there are several methods. "
        "VALUE is read as JSON where it is such, else as text: --set hidden_dim=2 --set sampler=gibbs.",
    ),
]
AdapterOption = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        help="An adapter that `deem-crowd plugins` lists, to read ANSWERS with, instead of by --format.",
    ),
]
AdapterSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter-set",
        metavar="NAME=VALUE",
        help="A parameter of the adapter, as often as needed: --adapter-set question=sentiment.",
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="Format of ANSWERS, and of standard output and files whose names tell none.",
    ),
]
MissingOption = Annotated[
    Missing, typer.Option(help="Answers without a label: refuse them, or leave them out.")
]
DuplicatesOption = Annotated[
    Duplicates,
    typer.Option(help="Where a worker answered a task twice: the answer that counts."),
]
TaskOption = Annotated[
    str | None, typer.Option("--task", metavar="COLUMN", help="The column that holds the task.")
]
WorkerOption = Annotated[
    str | None, typer.Option("--worker", metavar="COLUMN", help="The column that holds the worker.")
]
LabelOption = Annotated[
    str | None, typer.Option("--label", metavar="COLUMN", help="The column that holds the label.")
]
GoldTaskOption = Annotated[
    str | None,
    typer.Option("--gold-task", metavar="COLUMN", help="The column of --gold that holds the task."),
]
GoldLabelOption = Annotated[
    str | None,
    typer.Option(
        "--gold-label", metavar="COLUMN", help="The column of --gold that holds the label."
    ),
]
SpreadsheetOption = Annotated[
    bool,
    typer.Option(
        "--spreadsheet",
        help="CSV and TSV for a spreadsheet: texts that it would take for formulas get an apostrophe before them.",
    ),
]
