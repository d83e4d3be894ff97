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
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

import deem_crowd
from deem_crowd.cli import features as feature_files
from deem_crowd.cli import files, intake, results, shell
from deem_crowd.cli.known import known_labels, say_stated, with_stated_classes
from deem_crowd.cli.options import FeaturesOption, SetOption, SpreadsheetOption, reads_answers
from deem_crowd.cli.remedies import in_shell_words
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    DeemCrowdError,
    ParameterError,
    PluginWarning,
)
from deem_crowd.runtime.atomic import all_or_none

if TYPE_CHECKING:
    import pandas as pd

    from deem_crowd.data.answers import Answers

app = typer.Typer(
    cls=shell.Shell,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What is true, when several fallible sources label the same things.",
)


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


class Contested(str, Enum):
    """What becomes of labels that need another look."""

    keep = "keep"
    missing = "missing"


# Longer than 80 lines: its options are 50 of them, and typer takes them from the signature.
@app.command()
@reads_answers
def aggregate(
    asked: intake.Reading,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="Where the labels go: columns task, label; for ordered classes also median and mean.",
        ),
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
        typer.Option(
            help="Where skills go: columns worker, skill, low, high (a 95 % interval), answers (their number)."
        ),
    ] = None,
    errors: Annotated[
        str | None,
        typer.Option(
            help="Where confusion matrices go: columns worker, label (answered), and one for each true class."
        ),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Show a summary of the fit on standard error.")
    ] = False,
    gold: Annotated[
        str | None,
        typer.Option(help="Labels that are known, to learn from: columns task, label."),
    ] = None,
    contested: Annotated[
        Contested,
        typer.Option(help="Labels that need another look: keep them, or leave them missing."),
    ] = Contested.keep,
    features: FeaturesOption = None,
    save_classifier: Annotated[
        str | None,
        typer.Option(
            help="Where the classifier that was learned from --features goes: a file .skops, which is no pickle."
        ),
    ] = None,
    parameters: SetOption = None,
    spreadsheet: SpreadsheetOption = False,
) -> None:
    """Turn answers into one label for each task.

    Exports of labelling tools are recognised by their content; docs/your-data.md lists them. Parquet is read in pieces.
    """
    (method,) = shell.checked_methods([method], "--method")
    kind = asked.format
    outputs = {"--output": output, "--proba": proba, "--workers": workers, "--errors": errors}
    inputs = [*asked.paths, gold, features]
    files.refuse_second_use_of_input(asked.paths, gold=gold, features=features)
    files.check_outputs(outputs, inputs, kind)
    if save_classifier is not None and features is None:
        raise typer.BadParameter(
            "there is no classifier without --features", param_hint="--save-classifier"
        )
    feature_files.check_classifier_path(save_classifier, inputs, outputs.values())
    chosen = shell.method_parameters(parameters, [method])
    read = with_stated_classes(intake.settled_answers(asked, gold), asked, gold)
    settled, ids, _ = read
    if not settled.n_answers:
        shell.warn("there are no answers: nothing to learn from, and no label to give.")
    known = known_labels(gold, asked, read, say=False)
    table_of_features = feature_files.of_tasks(features, asked, ids)
    del ids, read
    aggregator, labels = _fit(
        method, settled, known, chosen[method], table_of_features, None if gold else asked
    )
    # All is worked out before anything is written.
    about = results.summary(aggregator, method) if summary else ""
    sentences = [] if summary else results.findings(aggregator, known)
    tables = _beside(aggregator, labels, settled, method, outputs)
    table = results.with_middles(results.labels(labels, settled), aggregator, settled)
    if contested is Contested.missing:
        table = results.without_contested(table, aggregator, method)
    tables.append((table, output))
    with all_or_none():
        if save_classifier is not None:
            feature_files.save_classifier(aggregator, save_classifier)
        files.write(tables, kind, spreadsheet)
    if about:
        typer.echo(in_shell_words(about), err=True)
    for sentence in sentences:
        shell.tell(sentence)
    for rows, path in tables:
        files.say_written(path, len(rows))
    if save_classifier is not None:
        files.say_written(save_classifier)


@app.command()
def plugins() -> None:
    """List the adapters, aggregators and samplers there are, and the plugins that could not be used."""
    from deem_crowd.cli.tables import entry_table, skipped_table
    from deem_crowd.plugins import discovery, registry

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)  # the second table says it
        with shell.plugin_output():
            listed = registry.plugins()
    out = shell.console()
    out.print(entry_table(listed))
    if skipped := [plugin for plugin in listed if plugin.problem or plugin.denied]:
        out.print(skipped_table(skipped, discovery.DENY))
    for message in registry.clashes():
        shell.warn(message)


def _beside(
    aggregator: Any,
    labels: pd.Series,
    answers: Answers,
    method: str,
    paths: dict[str, str | None],
) -> list[tuple[pd.DataFrame, str]]:
    """Return the tables that go beside the labels, and where they go."""
    tables: list[tuple[pd.DataFrame, str]] = []
    if (path := paths["--proba"]) is not None:
        tables.append((results.probabilities(aggregator, labels, answers, method), path))
    if (path := paths["--workers"]) is not None:
        tables.append((results.workers(aggregator, answers, method), path))
    if (path := paths["--errors"]) is not None:
        tables.append((results.errors(aggregator, answers, method), path))
    return tables


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
        _stopped(asked)
    except SystemExit as ended:
        if asked and ended.code != 128 + asked[0]:  # an error replaced the signal's status
            _stopped(asked)
        raise


def _stopped(asked: list[int]) -> NoReturn:
    """End, and say so, outside any command."""
    number = asked[0] if asked else signal.SIGINT
    sys.stderr.write(f"error: {'terminated' if number == signal.SIGTERM else 'interrupted'}\n")
    sys.exit(128 + number)


_NO_ANSWERS = r"[\d,]+ tasks? ha(s|ve) no answers: the label is missing"


def _fit(
    method: str,
    answers: Answers,
    gold: pd.Series | None,
    parameters: dict[str, Any],
    features: Any = None,
    stated: intake.Reading | None = None,
) -> tuple[Any, pd.Series]:
    """Return the fitted aggregator and its labels, index task.

    ``stated`` is what was read where it holds gold itself: a method that does not learn from gold does without.
    """
    import pandas as pd

    from deem_crowd.estimators.results.insights import silent_after_fit
    from deem_crowd.plugins import contract, registry

    try:
        aggregator = shell.asked(method, "an object", lambda: registry.create(method, **parameters))
    except ParameterError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    taken = shell.asked(
        method, "fit_predict", lambda: inspect.signature(aggregator.fit_predict).parameters
    )
    # crowd-kit's aggregators call it true_labels
    name = "gold" if "gold" in taken else "true_labels"
    truth = taken.get(name)
    if gold is not None and stated is not None:
        if truth is None:
            gold = None
        else:
            say_stated(stated, gold)
    if gold is not None and truth is None:
        message = f"method {method!r} does not learn from known labels"
        raise typer.BadParameter(message, param_hint="--gold")
    if gold is None and truth is not None and truth.default is truth.empty:
        raise typer.BadParameter(f"method {method!r} needs --gold", param_hint="--method")
    if features is not None and "features" not in taken:
        raise typer.BadParameter(
            f"method {method!r} does not learn from features", param_hint="--features"
        )
    if not answers.n_answers:
        return aggregator, pd.Series([], index=answers.tasks[:0], dtype=object)
    extra = {} if gold is None else {name: gold}
    if features is not None:
        extra["features"] = features
    try:
        rows = contract.rows_for(aggregator, answers)
        if stated is not None and gold is not None and rows is not answers:
            extra[name] = gold[gold.index.isin(results.answered(answers))]
        # The command says it.
        with shell.plugin_output(), silent_after_fit(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", _NO_ANSWERS, DataWarning)
            labels = aggregator.fit_predict(rows, **extra)
    except ParameterError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    except (DeemCrowdError, KeyboardInterrupt):
        raise
    except BaseException as error:  # somebody else's code, which may fail in any way
        if shell.is_of_memory(error):
            raise
        raise DataError(
            f"method {method!r} failed on these answers: {contract.described(error)}"
        ) from error
    results.require_labels(labels, aggregator, answers, method)
    return aggregator, labels
