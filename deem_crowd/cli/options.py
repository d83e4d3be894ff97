"""The options that several commands share, also for commands that plugins bring."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Literal

import typer

from deem_crowd.cli.intake import Reading
from deem_crowd.cli.shell import method_parameters

_ORDERED = re.compile(r"([\w-]+\.)?ordered\s*=\s*true\s*")
"""What --set says where classes have an order."""


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


class Strategy(str, Enum):
    """How tasks are ranked; see :func:`deem_crowd.decide.next_tasks`."""

    least_confidence = "least_confidence"
    margin = "margin"
    entropy = "entropy"
    fusion = "fusion"
    expected_error_reduction = "expected_error_reduction"
    expected_information = "expected_information"
    least_confidence_per_answer = "least_confidence_per_answer"
    random = "random"


class Spread(str, Enum):
    """How tasks are spread over their features; see :mod:`deem_crowd.decide.diversity`."""

    k_center = "k-center"
    k_means = "k-means++"
    none = "none"


def spread_of(
    asked: Spread | None, pairs: bool, features: str | None
) -> Literal["k-center", "k-means++"] | None:
    """Return how tasks are spread over their features, as :func:`deem_crowd.decide.next_tasks` takes it.

    Raises
    ------
    typer.BadParameter
        If it is asked for of pairs, or without features.
    """
    if asked is not None and (pairs or features is None):
        why = "pairs go by score alone" if pairs else "tasks are spread over --features"
        raise typer.BadParameter(why, param_hint="--diversify")
    if pairs or asked is Spread.none:
        return None
    return "k-center" if asked is None else asked.value


DiversifyOption = Annotated[
    Spread | None,
    typer.Option(
        help="With --features, how tasks with about the same score are spread: k-center (if omitted), k-means++, or "
        "none for the scores alone, which takes sparse features as well."
    ),
]
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
        "VALUE is read as JSON if it is valid JSON, else as text: --set hidden_dim=2 --set sampler=gibbs.",
    ),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A parameter of the model (DEEMAggregator), as often as needed. VALUE is read as JSON if it is valid JSON,"
        """ else as text: --set 'class_balance={"spam": 0.1, "ham": 0.9}'.""",
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
        help="Format of ANSWERS, of standard output, and of files whose names do not tell one.",
    ),
]
MissingOption = Annotated[
    Missing, typer.Option(help="Answers without a label: refuse them, or leave them out.")
]
AbstainOption = Annotated[
    list[str] | None,
    typer.Option(
        "--abstain",
        metavar="LABEL",
        help="A label that stands for no answer, such as unsure or escalate; as often as needed.",
    ),
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
FeaturesOption = Annotated[
    str | None,
    typer.Option(
        "--features",
        help="Features of the tasks, to learn from as well: a table or .npz with a column (array) called task. A .npy "
        "file, or a table without that column, has one row for each task, in the order of ANSWERS.",
    ),
]
SpreadsheetOption = Annotated[
    bool,
    typer.Option(
        "--spreadsheet",
        help="CSV and TSV for a spreadsheet: texts that it would take for formulas get an apostrophe before them.",
    ),
]


def reads_answers(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ANSWERS and the options that say how they are read.

    Parameters
    ----------
    command : callable
        Takes ``asked``, a :class:`deem_crowd.cli.intake.Reading`, in place of them, and options of its own.

    Returns
    -------
    callable
        What typer can take for a command.
    """

    @functools.wraps(command)
    def run(**given: Any) -> None:
        how = {name: given.pop(name) for name in shared}
        ordered = any(map(_ORDERED.fullmatch, given.get("parameters") or ()))
        command(asked=dataclasses.replace(_reading(**how), ordered=ordered), **given)

    shared = inspect.signature(_reading, eval_str=True).parameters
    own = dict(inspect.signature(command, eval_str=True).parameters)
    del own["asked"]
    answers, *options = shared.values()
    signature = inspect.Signature([answers, *own.values(), *options])
    run.__dict__["__signature__"] = signature
    run.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    return run


def _reading(
    answers: AnswersArgument,
    task: TaskOption = None,
    worker: WorkerOption = None,
    label: LabelOption = None,
    gold_task: GoldTaskOption = None,
    gold_label: GoldLabelOption = None,
    adapter: AdapterOption = None,
    adapter_set: AdapterSetOption = None,
    missing: MissingOption = Missing.error,
    abstain: AbstainOption = None,
    duplicates: DuplicatesOption = Duplicates.last,
    format: FormatOption = None,
) -> Reading:
    """Return what is read, and how."""
    columns = _given(task=task, worker=worker, label=label)
    options = method_parameters(list(adapter_set or ()), ["adapter"], "--adapter-set")["adapter"]
    if adapter is not None:
        for part in columns.keys() & options.keys():
            message = f"{part!r} is named twice, by --{part} and by --adapter-set"
            raise typer.BadParameter(message, param_hint="--adapter-set")
        options = {**columns, **options}
    return Reading(
        answers,
        format.value if format else None,
        adapter,
        options,
        columns,
        _given(task=gold_task, label=gold_label),
        missing.value,
        duplicates.value,
        tuple(abstain or ()),
    )


def _given(**columns: str | None) -> dict[str, str]:
    """Return the columns that are named: our name of each → the file's."""
    return {part: name for part, name in columns.items() if name is not None}
