"""deem-crowd, the shell command. Standard output holds the result and nothing else.

Exit status 0; 1 for data that cannot be used; 2 for bad usage; 130 when interrupted, 143 when terminated.
"""

from __future__ import annotations

import inspect
import io
import signal
import sys
import warnings
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

import deem_crowd
from deem_crowd.cli import files, shell
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    DeemCrowdError,
    OverwriteError,
    ParameterError,
    PluginError,
    PluginWarning,
    first_few,
)

if TYPE_CHECKING:
    import pandas as pd
    from deem_crowd_benchmarks.comparison import Result

    from deem_crowd.cli.tables import Column
    from deem_crowd.data.answers import Answers

app = typer.Typer(
    cls=shell.Shell,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What is true, when several fallible sources label the same things.",
)


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
    str,
    typer.Argument(
        metavar="ANSWERS",
        help="Answers in the long format: one row an answer, columns task, worker, label. CSV, TSV, JSON lines or "
        "parquet; - is standard input.",
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


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"deem-crowd {deem_crowd.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error comes from, and every warning.")
    ] = False,
) -> None:
    """Take the options that stand before the command; see :class:`deem_crowd.cli.shell.Shell`."""


@app.command()
def demo(seed: Annotated[int, typer.Option(min=0, help="Draws another ensemble.")] = 0) -> None:
    """Real classifiers on real data: DEEM beside Dawid-Skene and majority vote."""
    from deem_crowd_benchmarks.demo import run

    from deem_crowd.cli.tables import ACCURACY, LOG_LOSS, SECONDS, comparison_table

    out = shell.console()
    out.print(
        "Classifiers are trained on one part of each data set of scikit-learn; each answers a random part of the rest."
    )
    for ensemble, results in run(seed):
        single = ensemble.accuracies
        title = (
            f"{ensemble.name}: {len(ensemble.gold):,} tasks, {len(single)} classifiers "
            f"({single.min():.0%} to {single.max():.0%} right), {len(ensemble.answers):,} answers, "
            f"{ensemble.gold.nunique()} classes"
        )
        out.print(f"\n[bold]{title}[/bold]", highlight=False)
        out.print(comparison_table(results, (ACCURACY, LOG_LOSS, SECONDS)))
        _say_warnings(results)
    out.print(
        "* best in its column. Accuracy: ties settled by a fair draw. Log-loss: lower is better."
    )


@app.command()
def aggregate(
    answers: AnswersArgument,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where the labels go: columns task, label.")
    ] = "-",
    method: Annotated[
        str, typer.Option(help="An aggregator that `deem-crowd plugins` lists.")
    ] = "deem",
    proba: Annotated[
        str | None,
        typer.Option(help="Where probabilities go: task, and a column for each class."),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(help="Where skills go: columns worker, skill, answers (their number)."),
    ] = None,
    gold: Annotated[
        str | None,
        typer.Option(help="Labels that are known, to learn from: columns task, label."),
    ] = None,
    parameters: SetOption = None,
    adapter: AdapterOption = None,
    missing: MissingOption = Missing.error,
    duplicates: DuplicatesOption = Duplicates.last,
    format: FormatOption = None,
    spreadsheet: Annotated[
        bool,
        typer.Option(
            "--spreadsheet",
            help="CSV and TSV for a spreadsheet: texts that it would take for formulas get an apostrophe before them.",
        ),
    ] = False,
) -> None:
    """Turn answers into one label for each task.

    Takes the long format only (task, worker, label); tables tasks × workers and probabilities are for Python. Parquet
    is read in pieces: a folder, or a pattern in quotes such as 'answers-*.parquet', names many files.
    """
    from deem_crowd.data.answers import Answers

    (method,) = shell.checked_methods([method], "--method")
    kind = format.value if format else None
    outputs = {"--output": output, "--proba": proba, "--workers": workers}
    files.check_outputs(outputs, [answers, gold], kind)
    chosen = shell.method_parameters(parameters, [method])
    if adapter is None and files.is_parquet(answers, kind):
        settled = Answers.from_parquet(answers, missing=missing.value, duplicates=duplicates.value)
        ids: Any = {"task": settled.tasks.to_series(), "label": settled.classes.to_series()}
    else:
        ids = frame = files.read_answers(answers, kind, adapter)
        settled = Answers.from_frame(frame, missing=missing.value, duplicates=duplicates.value)
        del frame
    known = None if gold is None else files.read_gold(gold, kind, ids)
    del ids
    if known is not None:
        _check_gold_labels(known, settled)
    aggregator, labels = _fit(method, settled, known, chosen[method])
    # All is worked out before anything is written.
    tables: list[tuple[pd.DataFrame, str]] = []
    if proba is not None:
        tables.append((_probabilities(aggregator, settled, method), proba))
    if workers is not None:
        tables.append((_workers(aggregator, settled, method), workers))
    tables.append((_labels(labels, settled), output))
    files.write(tables, kind, spreadsheet)


@app.command()
def compare(
    answers: AnswersArgument,
    gold: Annotated[
        str | None,
        typer.Option(help="True labels to score by (no method sees them): columns task, label."),
    ] = None,
    methods: Annotated[
        str, typer.Option(help="Aggregators that `deem-crowd plugins` lists, with commas.")
    ] = "deem,ds,mv",
    parameters: SetOption = None,
    adapter: AdapterOption = None,
    missing: MissingOption = Missing.error,
    duplicates: DuplicatesOption = Duplicates.last,
    format: FormatOption = None,
) -> None:
    """Run several methods on the same answers, in a table: accuracy with gold, agreement without."""
    from deem_crowd_benchmarks.comparison import each

    from deem_crowd.cli.tables import ACCURACY, LOG_LOSS, SECONDS, comparison_table
    from deem_crowd.data.answers import Answers

    named = [name.strip() for name in methods.split(",") if name.strip()]
    if not named:
        raise typer.BadParameter("name one method at least", param_hint="--methods")
    names = shell.checked_methods(named, "--methods")
    chosen = shell.method_parameters(parameters, names)
    kind = format.value if format else None
    frame = files.read_answers(answers, kind, adapter)
    known = None if gold is None else files.read_gold(gold, kind, frame)
    settled = Answers.from_frame(frame, missing=missing.value, duplicates=duplicates.value)
    if not settled.n_answers:
        raise DataError("there are no answers to compare methods on.")
    if known is not None and not len(known):
        raise DataError("gold has no label for any task that has answers.")
    rows = settled.to_frame()
    results: list[Result] = []
    with shell.console(err=True).status("") as status:
        # Without gold the vote is the yardstick, asked for or not.
        wanted = names if gold is not None or "mv" in names else [*names, "mv"]
        for name in wanted:
            status.update(f"{name} …")
            results += each(rows, [name], known, chosen)
    shown = [result for result in results if result.method in names]
    measured = _agreements(results) if known is None else [ACCURACY, LOG_LOSS]
    title = (
        f"{settled.n_tasks:,} tasks, {settled.n_workers:,} workers, {settled.n_answers:,} answers, "
        f"{settled.n_classes:,} classes"
    )
    if known is not None:
        title += f"; {len(known):,} tasks with gold"
    out = shell.console()
    out.print(f"[bold]{title}[/bold]", highlight=False)
    out.print(comparison_table(shown, [*measured, SECONDS]))
    _say_warnings(shown)


@app.command()
def benchmark(
    suite: Annotated[
        str | None,
        typer.Argument(
            help="quick (a minute; the default), crowd, ensemble, laws, scaling or samplers; not needed with --data."
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="What to compare on, as often as needed: a folder of folders with labels.csv[.gz] and truth.csv[.gz] "
            "(or .parquet); crowdkit:NAME; sklearn[:NAME]; sklearn-soft[:NAME]; law[:NAME].",
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Aggregators that `deem-crowd plugins` lists, with commas; parameters in brackets: "
            "'ds, deem, two=deem(hidden_dim=2)'. Others are compared with the first. For samplers: their names."
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="How many seeds, for data that are drawn and methods that draw."),
    ] = None,
    out: Annotated[
        str, typer.Option(help="Folder of the results; a run that was stopped goes on from there.")
    ] = "benchmark",
    limit_seconds: Annotated[
        float, typer.Option(min=0, help="Time limit of each run; 0 is none.")
    ] = 600,
    limit_gb: Annotated[
        float, typer.Option(min=0, help="Memory limit of each run, in 10⁹ bytes; 0 is none.")
    ] = 8,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of each run; by default cores / jobs.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Do again what failed before.")] = False,
) -> None:
    """Compare aggregators on many label sets: a table here, results.jsonl, report.md and report.html in --out."""
    from deem_crowd_benchmarks import reports, suites

    with shell.progress() as bar:

        def begin(total: int) -> None:
            bar.start(total)

        try:
            summary = suites.benchmark(
                suite,
                data=data or None,
                methods=methods,
                seeds=seeds,
                out=out,
                limit_seconds=limit_seconds or None,
                limit_gb=limit_gb or None,
                jobs=jobs,
                threads=threads,
                retry=retry,
                begin=begin,
                report=lambda name, row: bar.step(name, row["status"], row["reason"]),
            )
        except (ParameterError, OverwriteError) as error:
            raise typer.BadParameter(str(error)) from error
    console = shell.console()
    for table in reports.tables_of(summary):
        console.print(reports.rich_table(table))
        if table.note:
            console.print(table.note, style="dim", highlight=False)
    console.print(
        f"\nWritten: {out}/{reports.HTML}, {out}/{reports.MARKDOWN}, {out}/results.jsonl",
        highlight=False,
    )


@app.command()
def plugins() -> None:
    """List the adapters, aggregators and samplers there are, and the plugins that could not be used."""
    from deem_crowd import discovery, registry
    from deem_crowd.cli.tables import entry_table, skipped_table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)  # the second table says it
        found = registry.plugins()
    out = shell.console()
    out.print(entry_table(found))
    if skipped := [plugin for plugin in found if plugin.problem or plugin.denied]:
        out.print(skipped_table(skipped, discovery.DENY))
    for question in (registry.adapters, registry.aggregators, registry.samplers):
        try:
            question()
        except PluginError as error:  # two plugins claim one name
            shell.warn(str(error))


def main() -> None:
    """Run the command; the entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a table must not fail for want of a dash
    asked: list[int] = []  # by which signals to end

    def stop(number: int, _: Any) -> None:
        asked.append(number)
        raise shell.Terminated if number == signal.SIGTERM else KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.signal(signal.SIGALRM, lambda *_: stop(asked[-1] if asked else signal.SIGINT, None))

        def swallowed(fault: sys.UnraisableHookArgs) -> None:
            """Raise again, in a moment, what came up within a finalizer and was lost there."""
            if asked and isinstance(fault.exc_value, KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 0.01)
            else:
                sys.__unraisablehook__(fault)

        sys.unraisablehook = swallowed
    try:
        app(prog_name="deem-crowd")
    except KeyboardInterrupt:  # outside any command
        sys.exit(128 + asked[0] if asked else shell.INTERRUPTED)
    except SystemExit:
        if asked:  # whatever became of it on the way
            sys.exit(128 + asked[0])
        raise


def _fit(
    method: str, answers: Answers, gold: pd.Series | None, parameters: dict[str, Any]
) -> tuple[Any, pd.Series]:
    """Return the fitted aggregator and its labels, index task."""
    import pandas as pd

    from deem_crowd import registry

    try:
        aggregator = registry.create(method, **parameters)
    except ParameterError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    taken = inspect.signature(aggregator.fit_predict).parameters
    truth = taken.get("true_labels")
    if gold is not None and truth is None:
        message = f"method {method!r} does not learn from known labels"
        raise typer.BadParameter(message, param_hint="--gold")
    if gold is None and truth is not None and truth.default is truth.empty:
        raise typer.BadParameter(f"method {method!r} needs --gold", param_hint="--method")
    if not answers.n_answers:
        return aggregator, pd.Series([], index=answers.tasks[:0], dtype=object)
    extra = {} if gold is None else {"true_labels": gold}
    try:
        # ours reads Answers; others get a frame
        rows = answers if getattr(aggregator, "takes_soft", False) else answers.to_frame()
        labels = aggregator.fit_predict(rows, **extra)
    except ParameterError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    except DeemCrowdError:
        raise
    except Exception as error:  # somebody else's code, which may fail in any way
        raise DataError(
            f"method {method!r} failed on these answers: {type(error).__name__}: {error}"
        ) from error
    return aggregator, labels


def _labels(labels: pd.Series, answers: Answers) -> pd.DataFrame:
    """Return columns task, label, shape (N, 2), tasks by first appearance, no label where there are no answers."""
    import pandas as pd

    unanswered = answers.tasks[~answers.tasks.isin(labels.index)]
    if len(unanswered):
        warnings.warn(
            f"{len(unanswered)} tasks have no answers: their label is missing ({first_few(unanswered)}).",
            DataWarning,
            stacklevel=2,
        )
        labels = labels.astype(object).reindex(answers.tasks)
    else:
        labels = labels.loc[answers.tasks]
    return pd.DataFrame({"task": answers.tasks, "label": labels.array})


def _probabilities(aggregator: Any, answers: Answers, method: str) -> pd.DataFrame:
    """Return task and one column a class, shape (N, 1 + K); the prior where a task has no answers."""
    import pandas as pd
    from deem_crowd_benchmarks.comparison import probabilities

    probas = probabilities(aggregator)
    if probas is None:
        if answers.n_answers:
            raise DataError(f"method {method!r} gives no probabilities: leave out --proba.")
        probas = pd.DataFrame(index=answers.tasks[:0])
    whole = probas.reindex(answers.tasks)
    priors = getattr(aggregator, "priors_", None)
    unanswered = ~answers.tasks.isin(probas.index)
    if unanswered.any() and isinstance(priors, pd.Series):
        whole.loc[unanswered] = priors.reindex(whole.columns).to_numpy()
    names = [str(name) for name in whole.columns]
    if "task" in names or len(set(names)) < len(names):
        raise DataError(
            "the classes cannot be names of columns beside 'task': "
            f"{first_few(whole.columns, 10)}. Rename them, or leave out --proba."
        )
    table = whole.set_axis(names, axis=1).reset_index(drop=True)
    table.insert(0, "task", answers.tasks)
    return table


def _workers(aggregator: Any, answers: Answers, method: str) -> pd.DataFrame:
    """Return columns worker, skill, answers, shape (D, 3), workers by first appearance."""
    import numpy as np
    import pandas as pd

    skills = getattr(aggregator, "skills_", None)
    if not isinstance(skills, pd.Series):
        warnings.warn(
            f"method {method!r} gives no skills: that column is empty.", DataWarning, stacklevel=2
        )
        skills = pd.Series(dtype=np.float64)
    return pd.DataFrame(
        {
            "worker": answers.workers,
            "skill": skills.reindex(answers.workers).to_numpy(dtype=np.float64),
            "answers": np.bincount(answers.worker, minlength=answers.n_workers),
        }
    )


def _check_gold_labels(gold: pd.Series, answers: Answers) -> None:
    """Refuse known labels that no worker gave: no method could learn what they look like."""
    strange = gold[~gold.isin(answers.classes)].unique()
    if len(strange):
        raise DataError(
            f"gold holds {len(strange)} labels that no worker gave: {first_few(strange)}. "
            f"Labels given: {first_few(answers.classes, 10)}."
        )


def _agreements(results: list[Result]) -> list[Column]:
    """Return the columns that say how often each method agrees with majority vote and with the first method."""
    from deem_crowd_benchmarks.measures import agreement

    from deem_crowd.cli.tables import Column

    def column(heading: str, reference: pd.Series | pd.DataFrame) -> Column:
        def share(result: Result) -> float | None:
            return None if result.labels is None else agreement(result.labels, reference)

        return Column(heading, share, ".4f")

    columns = []
    vote = next((result for result in results if result.method == "mv"), None)
    if vote is not None and vote.probas is not None:
        columns.append(column("agrees with mv", vote.probas))
    first = results[0]
    if first.method != "mv" and first.labels is not None:
        columns.append(column(f"agrees with {first.method}", first.labels))
    return columns


def _say_warnings(results: list[Result]) -> None:
    for result in results:
        for message in result.warnings:
            shell.warn(f"{result.method}: {message}")
