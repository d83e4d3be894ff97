"""The report of a fitted object: one HTML file that opens with what a person asks."""

from __future__ import annotations

import importlib.resources
import os
import re
from pathlib import Path
from typing import Any

from deem_crowd.exceptions import DataError, ParameterError
from deem_crowd.insight.findings import warnings_of
from deem_crowd.insight.results import AnswersLike, Model, Results, results_of
from deem_crowd.insight.tables import compare
from deem_crowd.report import questions
from deem_crowd.report.details import details
from deem_crowd.report.next_steps import next_steps
from deem_crowd.runtime import extras
from deem_crowd.runtime.atomic import atomic_write

TITLE = "What the answers say"

_LETTER = "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
_RIGHT_TO_LEFT = re.compile(f"{_LETTER}+(?: {_LETTER}+)*")


def write_report(
    model: Model,
    path: str | os.PathLike[str],
    *,
    gold: Any = None,
    answers: AnswersLike = None,
) -> None:
    """Write one HTML file about a fitted object, whole or not at all; it fetches nothing and runs nothing.

    It opens with what a person asks: how many labels can be trusted, who is unreliable, who repeats whom, which classes
    are confused, which tasks need another look, whom to retrain or to drop; then which labels to keep, which answers to
    doubt and which tasks to have answered next.

    Parameters
    ----------
    model : DEEMAggregator or DEEM, fitted
    path : path
    gold : Series, dict, DataFrame or array, optional
        Known labels, as fit takes them: the report compares with them.
    answers : DataFrame, Answers or array, optional
        What the model was fitted to; only a model that comes from a file needs it.

    Raises
    ------
    UnsupportedError
        If jinja2 or matplotlib is not installed.
    ParameterError
        If the name of the file does not end in .html.
    NotFittedError, MissingAnswersError, DataError, FormError, OSError
    """
    extras.require("report", "reports")
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise ParameterError(
            f"path={os.fspath(path)!r}: a report is a file whose name ends in .html."
        )
    text = html(results_of(model, answers), gold)
    with atomic_write(Path(path)) as file:
        file.write(text.encode("utf-8", errors="replace"))


def html(results: Results, gold: Any = None) -> str:
    """Return the report as text.

    Raises
    ------
    DataError
        If there are no answers to report on, or no task with gold.
    """
    import jinja2

    data = results.answers
    if not data.n_answers:
        raise DataError("there are no answers to report on.")
    truth = results.gold(gold)
    if truth is not None and not (truth >= 0).any():
        raise DataError("gold names none of the tasks: there is nothing to compare with.")
    panel = compare(results)
    source = importlib.resources.files("deem_crowd.report") / "page.html.j2"
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["isolated"] = isolated
    return environment.from_string(source.read_text(encoding="utf-8")).render(
        title=TITLE,
        facts=questions.facts(results, truth),
        warnings=warnings_of(results, panel, truth),
        sections=[*questions.sections(results, panel, truth), *next_steps(results, truth)],
        details=details(results, panel, truth),
    )


def isolated(text: str) -> Any:
    """Return text as HTML in which words written from right to left do not reorder what stands beside them."""
    import markupsafe

    safe = str(markupsafe.escape(text))
    return markupsafe.Markup(_RIGHT_TO_LEFT.sub(r"<bdi>\g<0></bdi>", safe))
