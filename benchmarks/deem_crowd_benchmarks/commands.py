"""The commands ``demo``, ``compare`` and ``benchmark``, which the benchmarks add to ``deem-crowd``."""

from __future__ import annotations

import warnings
from collections.abc import Container
from typing import TYPE_CHECKING, Annotated

import typer

from deem_crowd.cli import files, intake, shell
from deem_crowd.cli.known import known_labels
from deem_crowd.cli.options import SetOption, reads_answers
from deem_crowd.cli.results import answered
from deem_crowd.exceptions import DataError, OverwriteError, ParameterError, counted
from deem_crowd.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    import pandas as pd

    from deem_crowd.data.answers import Answers
    from deem_crowd_benchmarks.pages.comparison_table import Column
    from deem_crowd_benchmarks.pages.summary import Summary
    from deem_crowd_benchmarks.running.comparison import Result


@hookimpl
def deem_crowd_commands(cli: typer.Typer) -> None:
    """Add the commands; what they run is imported when they are called."""
    for command in (demo, compare, benchmark):
        cli.command()(command)


def demo(seed: Annotated[int, typer.Option(min=0, help="Draws another ensemble.")] = 0) -> None:
    """Real classifiers on real data: DEEM beside Dawid-Skene and majority vote."""
    from deem_crowd_benchmarks.demo import run
    from deem_crowd_benchmarks.pages.comparison_table import (
        ACCURACY,
        LOG_LOSS,
        SECONDS,
        comparison_table,
    )

    out = shell.console()
    out.print(
        "Classifiers are trained on one part of each data set of scikit-learn; each answers a random part of the rest."
    )
    for ensemble, results in shell.plugin_results(run(seed)):
        single = ensemble.accuracies
        title = (
            f"{ensemble.name}: {len(ensemble.gold):,} tasks, {len(single)} classifiers "
            f"({single.min():.0%} to {single.max():.0%} right), {len(ensemble.answers):,} answers, "
            f"{ensemble.gold.nunique()} classes"
        )
        out.print(f"\n[bold]{title}[/bold]", highlight=False)
        out.print(comparison_table(results, (ACCURACY, LOG_LOSS, SECONDS)))
        _warn(results)
    out.print(
        "* best in its column. Accuracy: ties settled by a fair draw. Log-loss: lower is better."
    )


@reads_answers
def compare(
    asked: intake.Reading,
    gold: Annotated[
        str | None,
        typer.Option(help="True labels to score by (no method sees them): columns task, label."),
    ] = None,
    methods: Annotated[
        str, typer.Option(help="Aggregators that `deem-crowd plugins` lists, with commas.")
    ] = "deem,ds,mv",
    parameters: SetOption = None,
) -> None:
    """Run several methods on the same answers, in a table: accuracy with gold, agreement without."""
    from deem_crowd_benchmarks.pages.comparison_table import (
        ACCURACY,
        LOG_LOSS,
        SECONDS,
        comparison_table,
    )
    from deem_crowd_benchmarks.running.comparison import each
    from deem_crowd_benchmarks.sets.scorable import check_classes

    named = [name.strip() for name in methods.split(",") if name.strip()]
    if not named:
        raise typer.BadParameter("name one method at least", param_hint="--methods")
    names = shell.checked_methods(named, "--methods")
    chosen = shell.method_parameters(parameters, names)
    files.refuse_second_use_of_input(asked.paths, gold=gold)
    read = intake.settled_answers(asked, gold)
    settled = read.answers
    known = known_labels(gold, asked, read, learn=False)
    if not settled.n_answers:
        raise DataError("there are no answers to compare methods on.")
    if known is not None:
        known = known[known.index.isin(answered(settled))]
    if known is not None and not len(known):
        raise DataError("gold has no label for any task that has answers.")
    if known is not None:
        check_classes(known, settled.classes, "--gold")
    rows = settled if settled.is_soft else settled.to_frame()
    results: list[Result] = []
    # Without gold the vote is the yardstick, asked for or not.
    wanted = names if gold is not None or "mv" in names else [*names, "mv"]
    with shell.progress("compare", "methods") as bar:
        bar.start(len(wanted))
        for name in wanted:
            with shell.plugin_output():
                results += each(rows, [name], known, chosen)
            bar.step(name, "ok", "")
    shown = [result for result in results if result.method in names]
    measured = _agreements(results) if known is None else [ACCURACY, LOG_LOSS]
    title = (
        f"{counted(settled.n_tasks, 'task')}, {counted(settled.n_workers, 'worker')}, "
        f"{counted(settled.n_answers, 'answer')}, {counted(settled.n_classes, 'class', 'classes')}"
    )
    if known is not None:
        title += f"; {counted(len(known), 'task')} with gold"
    out = shell.console()
    out.print(f"[bold]{title}[/bold]", highlight=False)
    out.print(comparison_table(shown, [*measured, SECONDS]))
    if known is None:
        out.print(_about_agreement(results, settled.n_tasks), highlight=False, style="dim")
    _warn(shown, _doubts(settled))


def benchmark(
    suite: Annotated[
        str | None,
        typer.Argument(
            help="quick (a minute; the default), crowd, ensemble, weak, judges, laws, clusterings, features, scaling, "
            "shapes, many-classes, samplers, labelling, suspects or coverage; not needed with --data."
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="What to compare on, as often as needed: a folder of folders with labels.csv[.gz] and truth.csv[.gz] "
            "(or .parquet); crowdkit:NAME; sklearn[:NAME]; sklearn-soft[:NAME]; law[:NAME]; features[:NAME]; "
            "features-new[:NAME] (some things without answers, to test classifiers); at-most:NUMBER:DATA (answers a "
            "task); "
            "clusterings[:NAME]; renamed: before any of them shuffles the names of each worker.",
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Aggregators that `deem-crowd plugins` lists, with commas; parameters in brackets: "
            "'ds, deem, two=deem(hidden_dim=2)'. Others are compared with the first. For samplers: their names; "
            "for labelling, suspects and coverage: strategies or methods, all if omitted."
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
    from deem_crowd_benchmarks import suites

    with shell.progress("benchmark", "runs") as bar:

        def begin(total: int) -> None:
            bar.start(total)

        try:
            with shell.plugin_output():
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
    _tell(summary, out)


def _tell(summary: Summary, out: str) -> None:
    """Print the tables of a benchmark, and say what was written."""
    from deem_crowd_benchmarks.pages import reports

    console = shell.console()
    for table in reports.tables_of(summary):
        for part in reports.rich_tables(table, console.width):
            console.print(part)
        if table.note:
            console.print(table.note, style="dim", highlight=False)
    if summary.warnings:
        shell.warn(
            f"runs gave {counted(len(summary.warnings), 'warning')} (see {reports.MARKDOWN}), such as: "
            f"{summary.warnings[0]}"
        )
    for name in (reports.HTML, reports.MARKDOWN, "results.jsonl"):
        files.say_written(f"{out}/{name}")


def _agreements(results: list[Result]) -> list[Column]:
    """Return the columns that say how often the labels of each method are those of the vote and of the first method."""
    from deem_crowd_benchmarks.pages.comparison_table import Column
    from deem_crowd_benchmarks.running.measures import agreement

    def column(heading: str, reference: pd.Series) -> Column:
        def share(result: Result) -> float | None:
            return None if result.labels is None else agreement(result.labels, reference)

        return Column(heading, share, ".4f")

    references = [result for result in results if result.method == "mv"]
    if results[0].method != "mv":
        references.append(results[0])
    return [column(f"agrees with {r.method}", r.labels) for r in references if r.labels is not None]


def _about_agreement(results: list[Result], n_tasks: int) -> str:
    """Return what a reader of the agreements has to know: what they compare, and what ties do to them."""
    from deem_crowd_benchmarks.running.measures import tied_tasks

    text = "Agrees: the share of tasks with the same label; a method agrees with itself to 1."
    vote = next((result for result in results if result.method == "mv"), None)
    if vote is None or vote.probas is None:
        return text
    tied = tied_tasks(vote.probas)
    if not tied:
        return f"{text} No votes are tied."
    return (
        f"{text} The votes of {tied:,} of {n_tasks:,} tasks are tied: mv takes one of the tied labels there, "
        f"so that up to {tied / n_tasks:.4f} of a difference from mv is due to ties."
    )


def _warn(results: list[Result], said: Container[str] = ()) -> None:
    """Show the warnings of methods, without those that were ``said`` when the answers were read."""
    for result in results:
        for message in result.warnings:
            if message not in said:
                shell.warn(f"{result.method}: {message}")


def _doubts(answers: Answers) -> list[str]:
    """Return what reading these answers warned of, which methods that read a frame say again."""
    if answers.is_soft:
        return []
    from deem_crowd.data.doubts import warn_of_doubts

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_doubts(answers, classes_given=False)
    return [str(one.message) for one in caught]
