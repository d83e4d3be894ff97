"""The commands ``deem-crowd next``, ``suspects`` and ``keep``: what to do with the answers there are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deem_crowd.cli import features as feature_files
from deem_crowd.cli import files, intake, known, model
from deem_crowd.cli.options import (
    DiversifyOption,
    FeaturesOption,
    ModelOption,
    SpreadsheetOption,
    Strategy,
    reads_answers,
    spread_of,
)
from deem_crowd.exceptions import MissingColumnError, ParameterError, counted
from deem_crowd.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    import pandas as pd

    from deem_crowd.estimators.aggregator import DEEMAggregator


OutputOption = Annotated[
    str, typer.Option("--output", "-o", help="Where the table goes; - is standard output.")
]
KnownOption = Annotated[
    str | None,
    typer.Option("--gold", help="Labels that are known, to learn from: columns task, label."),
]

AtMostOption = Annotated[
    int | None,
    typer.Option(
        "--number",
        "-n",
        min=1,
        help="How many tasks at most; if omitted 100, or as many as --budget buys.",
    ),
]
BudgetOption = Annotated[
    float | None,
    typer.Option(
        metavar="AMOUNT",
        help="The most that the answers may cost in total; those with the highest score per cost are bought first.",
    ),
]


@hookimpl
def deem_crowd_commands(cli: typer.Typer) -> None:
    """Add the commands; what they run is imported when they are called."""
    cli.command("next")(next_)
    cli.command()(suspects)
    cli.command()(keep)


@reads_answers
def next_(
    asked: intake.Reading,
    number: AtMostOption = None,
    output: OutputOption = "-",
    strategy: Annotated[
        Strategy | None,
        typer.Option(
            help="How tasks are ranked; least_confidence if omitted. With --pairs: expected_information (if omitted), "
            "expected_error_reduction or least_confidence."
        ),
    ] = None,
    pairs: Annotated[
        bool,
        typer.Option("--pairs", help="Say as well which of the workers known so far to ask."),
    ] = False,
    per_task_limit: Annotated[
        int | None,
        typer.Option(min=1, help="Leave out tasks that have this many answers already."),
    ] = None,
    per_worker_limit: Annotated[
        int | None, typer.Option(min=1, help="With --pairs: the most tasks for one worker.")
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(help="With --pairs: who can be asked: column worker. All if omitted."),
    ] = None,
    costs: Annotated[
        str | None,
        typer.Option(
            help="What an answer costs: columns task, cost; with --pairs worker, cost. 1 each if omitted."
        ),
    ] = None,
    budget: BudgetOption = None,
    exclude: Annotated[str | None, typer.Option(help="Tasks to leave out: column task.")] = None,
    unanswered: Annotated[
        str | None,
        typer.Option(
            help="Tasks nobody has answered yet: column task. If omitted, those of --features without answers."
        ),
    ] = None,
    gold: KnownOption = None,
    features: FeaturesOption = None,
    diversify: DiversifyOption = None,
    parameters: ModelOption = None,
    spreadsheet: SpreadsheetOption = False,
) -> None:
    """Say which tasks to have answered next, the most useful answer first.

    Columns task, label (the present one), confidence, score, expected_gain (by how much one more answer raises the
    chance that the label is right); with --pairs also worker. With --features, tasks that nobody has answered yet may
    be among them, and where scores are about the same, tasks that are unlike one another are preferred (not with
    --pairs).
    """
    for option, given in (("--per-worker-limit", per_worker_limit), ("--workers", workers)):
        if given is not None and not pairs:
            raise typer.BadParameter("no worker is chosen without --pairs", param_hint=option)
    spread = spread_of(diversify, pairs, features)
    settings = _Settings(asked, output, gold, parameters, features)
    settings.check(costs=costs, exclude=exclude, unanswered=unanswered, workers=workers)
    aggregator = settings.fitted_for_more(unanswered, spread=spread is not None)
    options: dict[str, Any] = {
        "per_task_limit": per_task_limit,
        "exclude": settings.excluded(exclude),
        "unanswered": settings.unanswered,
        "features": settings.told,
    }
    what = "worker" if pairs else "task"
    with _usage("--costs"):
        options["costs"] = settings.costs(costs, what)
    if budget is not None:
        options["budget"] = budget
    if number is None:
        number = (
            100 if budget is None else max(len(aggregator.labels_) + len(options["unanswered"]), 1)
        )
    with _usage("--strategy"):
        if pairs:
            options["per_worker_limit"] = per_worker_limit
            if workers is not None:
                options["workers"] = settings.listed(workers, "worker")
            chosen = strategy or Strategy.expected_information
            table = aggregator.next_pairs(number, chosen.value, **options)
        else:
            chosen = strategy or Strategy.least_confidence
            table = aggregator.next_tasks(number, chosen.value, diversify=spread, **options)
    settings.write(table, spreadsheet)
    _say_cost(table[what], options["costs"], budget)


@reads_answers
def suspects(
    asked: intake.Reading,
    number: Annotated[
        int | None, typer.Option("--number", "-n", min=1, help="How many to list; all if omitted.")
    ] = None,
    output: OutputOption = "-",
    labels: Annotated[
        str | None,
        typer.Option(
            help="Labels to check instead of the answers, such as those in use: columns task, label."
        ),
    ] = None,
    gold: KnownOption = None,
    features: FeaturesOption = None,
    parameters: ModelOption = None,
    spreadsheet: SpreadsheetOption = False,
) -> None:
    """Say which answers are likely wrong, the worst first.

    Columns task, worker (not with --labels), label, suggested, score (0 to 1, which orders the rows: the higher, the
    more suspect), expected_precision (the share of this and all earlier rows that is expected to be wrong, by the
    probabilities of the labels), reason.
    """
    settings = _Settings(asked, output, gold, parameters, features)
    settings.check(labels=labels)
    aggregator = settings.fitted(labels=labels)
    if labels is None:
        table = aggregator.suspect_answers(number)
    else:
        table = aggregator.suspect_labels(number, labels=settings.labels(labels))
    settings.write(table, spreadsheet)


@reads_answers
def keep(
    asked: intake.Reading,
    precision: Annotated[
        float,
        typer.Option(help="The share of the labels kept that is to be right, between 0 and 1."),
    ] = 0.95,
    output: OutputOption = "-",
    confidence: Annotated[
        float,
        typer.Option(help="How sure the lower bound of the precision is to be, between 0 and 1."),
    ] = 0.95,
    gold: Annotated[
        str | None,
        typer.Option(
            help="True labels of a random sample of tasks, which the fit does not see: the bound then rests on them. "
            "Columns task, label."
        ),
    ] = None,
    features: FeaturesOption = None,
    parameters: ModelOption = None,
    spreadsheet: SpreadsheetOption = False,
) -> None:
    """Give the largest set of labels that has a given precision, the surest first.

    Columns task, label, confidence.
    """
    import pandas as pd

    settings = _Settings(asked, output, gold, parameters, features)
    settings.check()
    aggregator = settings.fitted(learn=False)
    with _usage():
        kept = aggregator.reliable(precision, confidence=confidence, gold=settings.known)
    table = pd.DataFrame(
        {"task": kept.labels.index, "label": kept.labels.array, "confidence": kept.confidence.array}
    )
    settings.write(table, spreadsheet)
    if table.empty:
        more = "true labels of a random sample with --gold" if gold is None else "more true labels"
        word = (
            f"No label is kept: no set of them is shown to have a precision of {precision:g}. Pass {more}, or a lower "
            "--precision."
        )
    else:
        there = int(aggregator.labels_.notna().sum())
        word = (
            f"{len(table):,} of {counted(there, 'label')} kept: expected precision "
            f"{kept.expected_precision:.3f}, at least {kept.lower_bound:.3f} with confidence {confidence:g}."
        )
    typer.echo(word, err=True)


class _Settings:
    """What the three commands have in common: the files, and the model fitted to the answers.

    Parameters
    ----------
    reading : Reading
        What is read, and how.
    output, gold : path
    parameters : list of str, optional
        Of the model, as NAME=VALUE.
    features : path, optional

    Attributes
    ----------
    known : Series, optional
        The known labels, index task.
    told : DataFrame or array, optional
        What the file of features holds.
    unanswered : list
        Tasks that nobody answered; none before :meth:`fitted_for_more`.
    """

    def __init__(
        self,
        reading: intake.Reading,
        output: str,
        gold: str | None,
        parameters: list[str] | None,
        features: str | None,
    ) -> None:
        self.reading, self.output, self.gold, self.features = reading, output, gold, features
        self.parameters = parameters
        self.kind = reading.format
        self.ids: Any = None
        self.known: pd.Series | None = None
        self.told: Any = None
        self.unanswered: list[Any] = []

    def check(self, **inputs: str | None) -> None:
        """Refuse an output that would destroy what is read, and standard input for two things."""
        inputs = {"gold": self.gold, "features": self.features, **inputs}
        files.refuse_second_use_of_input(self.reading.paths, **inputs)
        files.check_outputs(
            {"--output": self.output}, [*self.reading.paths, *inputs.values()], self.kind
        )

    def fitted(self, learn: bool = True, labels: str | None = None) -> DEEMAggregator:
        """Return the model of the answers; it learns from gold unless ``learn`` is false.

        ``labels`` is a file of labels to check, whose columns may be named as those of gold are.
        """
        read = self._read(learn, labels)
        if learn or self.gold is not None:
            self.known = known.known_labels(self.gold, self.reading, read, learn=learn)
        gold = self.known if learn else None
        return model.fitted(read.answers, gold, self.parameters, self.told)

    def fitted_for_more(self, unanswered: str | None, spread: bool) -> DEEMAggregator:
        """Return the model of the answers and gold, and find the tasks that nobody answered.

        They are those in the file ``unanswered``; without one those that the features are about. ``spread`` says
        whether tasks are to be spread out over the features.
        """
        import pandas as pd

        read = self._read(True)
        answers, told = read.answers, self.told
        if spread:
            feature_files.require_dense(told)
        if unanswered is not None:
            self.unanswered = list(dict.fromkeys(self.listed(unanswered)))
        elif isinstance(told, pd.DataFrame):
            self.unanswered = told.index[~told.index.isin(answers.tasks)].unique().tolist()
        if self.unanswered:
            more = pd.Index(self.unanswered, tupleize_cols=False)
            self.ids["task"] = answers.tasks.append(more).to_series()
        ids = {**read.ids, "task": self.ids["task"]}
        self.known = known.known_labels(self.gold, self.reading, read._replace(ids=ids))
        if told is not None:
            told = feature_files.for_answered(told, answers.tasks, self.unanswered)
        return model.fitted(answers, self.known, self.parameters, told)

    def _read(self, learn: bool, labels: str | None = None) -> intake.Settled:
        """Read answers and features."""
        read = intake.settled_answers(self.reading, self.gold or labels)
        if learn:
            read = known.with_stated_classes(read, self.reading, self.gold)
        settled = read.answers
        self.ids = {
            "task": settled.tasks.to_series(),
            "worker": settled.workers.to_series(),
            "label": settled.classes.to_series(),
        }
        self.told = feature_files.of_tasks(self.features, self.reading, self.ids)
        return read

    def excluded(self, path: str | None) -> list[Any]:
        """Return the tasks in a file to leave out, and those that nobody has to answer, since their label is known."""
        listed = self.listed(path)
        if self.known is not None:
            listed += [task for task in self.unanswered if task in self.known.index]
        return listed

    def listed(self, path: str | None, what: str = "task") -> list[Any]:
        """Return the ids in the column ``task``, or another, of a file; none of no file."""
        if path is None:
            return []
        return intake.read_ids(path, self.reading, [what], self.ids)[what].tolist()

    def labels(self, path: str) -> pd.Series:
        """Return the labels in a file, index task."""
        return known.read_gold(path, self.reading, self.ids, "--labels")

    def costs(self, path: str | None, what: str) -> pd.Series | None:
        """Return the costs in a file, by task or worker."""
        if path is None:
            return None
        try:
            table = intake.read_ids(path, self.reading, [what, "cost"], self.ids, "cost")
        except MissingColumnError as error:
            raise MissingColumnError(
                f"{error} Costs are by task; with --pairs by worker."
            ) from error
        return table.set_index(what)["cost"]

    def write(self, table: pd.DataFrame, spreadsheet: bool) -> None:
        """Write the table, whole or not at all."""
        files.write([(table, self.output)], self.kind, spreadsheet)
        files.say_written(self.output, len(table))


def _say_cost(asked: pd.Series, costs: pd.Series | None, budget: float | None) -> None:
    """Say on standard error what the answers on a list cost, where there are costs or a budget."""
    if costs is None and budget is None:
        return
    total = len(asked) if costs is None else float(costs.loc[asked].astype(float).sum())
    of = "" if budget is None else f" of a budget of {budget:,.10g}"
    number = counted(len(asked), "answer costs", "answers cost")
    typer.echo(f"{number} {total:,.10g}{of}.", err=True)


@contextlib.contextmanager
def _usage(option: str | None = None) -> Iterator[None]:
    """Report parameters that are wrong as bad usage, of the option that a message begins with, or of ``option``."""
    try:
        yield
    except ParameterError as error:
        name, must, rest = str(error).partition(" must be ")
        if must and name.isidentifier():
            raise typer.BadParameter(
                f"must be {rest}", param_hint=f"--{name.replace('_', '-')}"
            ) from error
        raise typer.BadParameter(str(error), param_hint=option) from error
