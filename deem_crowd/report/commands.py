"""The command ``deem-crowd report``."""

from __future__ import annotations

from typing import Annotated

import typer

from deem_crowd.hookspecs import hookimpl


@hookimpl
def deem_crowd_commands(cli: typer.Typer) -> None:
    """Add the command; what it runs is imported when it is called."""
    cli.command()(report)


def report(
    answers: Annotated[
        str,
        typer.Argument(
            metavar="ANSWERS",
            help="Answers in the long format: one row an answer, columns task, worker, label.",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="The HTML file to write: its name ends in .html.")
    ],
    gold: Annotated[
        str | None,
        typer.Option(
            help="True labels to compare with (the fit does not see them): columns task, label."
        ),
    ] = None,
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="An adapter to read ANSWERS with.")
    ] = None,
) -> None:
    """Write one HTML file about the answers: whom and what to trust, and where to look again."""
    from deem_crowd import extras
    from deem_crowd.cli import files
    from deem_crowd.data.answers import Answers
    from deem_crowd.estimators.aggregator import DEEMAggregator

    if not output.endswith((".html", ".htm")):  # so that no file of answers is overwritten
        raise typer.BadParameter(f"{output!r} does not end in .html", param_hint="--output")
    extras.require("report", "reports")  # before the fit
    frame = files.read_answers(answers, None, adapter)
    truth = None if gold is None else files.read_gold(gold, None, frame)
    aggregator = DEEMAggregator().fit(Answers.from_frame(frame))
    aggregator.report(output, gold=truth)
    typer.echo(f"Written: {output}", err=True)
