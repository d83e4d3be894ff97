"""The command ``deem-crowd report``."""

from __future__ import annotations

from typing import Annotated

import typer

from deem_crowd.cli import features as feature_files
from deem_crowd.cli import intake, model
from deem_crowd.cli.known import known_labels
from deem_crowd.cli.options import FeaturesOption, ModelOption, reads_answers
from deem_crowd.plugins.hookspecs import hookimpl


@hookimpl
def deem_crowd_commands(cli: typer.Typer) -> None:
    """Add the command; what it runs is imported when it is called."""
    cli.command()(report)


@reads_answers
def report(
    asked: intake.Reading,
    output: Annotated[
        str, typer.Option("--output", "-o", help="The HTML file to write: its name ends in .html.")
    ],
    gold: Annotated[
        str | None,
        typer.Option(
            help="True labels to compare with (the fit does not see them): columns task, label."
        ),
    ] = None,
    features: FeaturesOption = None,
    parameters: ModelOption = None,
) -> None:
    """Write one HTML file about the answers: whom and what to trust, and where to look again."""
    from deem_crowd.cli import files
    from deem_crowd.runtime import extras

    if not output.endswith((".html", ".htm")):
        raise typer.BadParameter(f"{output!r} does not end in .html", param_hint="--output")
    files.refuse_second_use_of_input(asked.paths, gold=gold, features=features)
    files.refuse_output("--output", output, [*asked.paths, gold, features])
    extras.require("report", "reports")  # before the fit
    read = intake.settled_answers(asked, gold)
    truth = known_labels(gold, asked, read, learn=False)
    told = feature_files.of_tasks(features, asked, read.ids)
    model.fitted(read.answers, None, parameters, told).report(output, gold=truth)
    files.say_written(output)
