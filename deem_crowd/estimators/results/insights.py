"""What fitted objects show of their answers; the tables themselves are made in :mod:`deem_crowd.insight`."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.exceptions import (
    DataError,
    FindingsWarning,
    MissingAnswersError,
    ParameterError,
    counted,
)
from deem_crowd.runtime import threads
from deem_crowd.runtime.warning import warn
from deem_crowd.selection.pairs import Pairs

_MOST_SENTENCES = 3
"""Of what stands out, in one warning after a fit."""
_SILENT: ContextVar[bool] = ContextVar("deem_crowd_silent_after_fit", default=False)


@contextmanager
def silent_after_fit() -> Iterator[None]:
    """Have fits within this not look for what stands out: for callers who ask :meth:`Insights.findings` themselves."""
    before = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(before)


def _insight(module: str) -> Any:
    """Import a module of the room above when it is asked for: a fit needs none of it."""
    return importlib.import_module(f"deem_crowd.insight.{module}")


class Insights:
    """Tables, summary, report and short texts of a fitted object."""

    def _require_fit(self, name: str) -> None:
        if "_fitted" not in self.__dict__:
            raise AttributeError(f"{name} is available after fit")

    @property
    def tasks_(self) -> pd.DataFrame:
        """What is said of each task: label, confidence, second label …; see :func:`deem_crowd.insight.tables.tasks`."""
        self._require_fit("tasks_")
        table: pd.DataFrame = _insight("tables").tasks(self)
        return table

    @property
    def workers_(self) -> pd.DataFrame:
        """What is said of each worker: skill, interval, answers …; see :func:`deem_crowd.insight.tables.workers`."""
        self._require_fit("workers_")
        table: pd.DataFrame = _insight("tables").workers(self)
        return table

    @property
    def agreement_(self) -> pd.DataFrame:
        """How workers agree in pairs; see :func:`deem_crowd.insight.tables.pair_agreement`."""
        self._require_fit("agreement_")
        table: pd.DataFrame = _insight("tables").pair_agreement(self)
        return table

    @property
    def effective_sources_(self) -> float:
        """How many independent sources the panel is worth at most, by Kish's formula.

        See :func:`deem_crowd.insight.tables.effective_sources`.
        """
        self._require_fit("effective_sources_")
        return float(_insight("tables").effective_sources(self))

    @property
    def median_(self) -> pd.Series | None:
        """The middle of what is said of each task; None where classes have no order.

        See :func:`deem_crowd.insight.ordered.median_labels`.
        """
        return self._of_ratings("median_", "median_labels")

    @property
    def mean_(self) -> pd.Series | None:
        """The mean of what is said of each task; None where classes are neither numbers nor ordered.

        See :func:`deem_crowd.insight.ordered.mean_labels`.
        """
        return self._of_ratings("mean_", "mean_labels")

    def _of_ratings(self, name: str, function: str) -> pd.Series | None:
        self._require_fit(name)
        try:
            ratings: pd.Series = getattr(_insight("ordered"), function)(self)
        except MissingAnswersError:
            raise
        except DataError:
            return None
        return ratings

    @property
    def contested_(self) -> pd.Series:
        """Whether the label of each task needs another look, booleans; see :func:`deem_crowd.insight.contested`."""
        self._require_fit("contested_")
        marks: pd.Series = _insight("contested").contested(self)["contested"]
        return marks

    def _drops_contested(self, contested: str) -> bool:
        """Check the parameter of ``predict``; whether contested labels are to be left out."""
        if contested not in ("keep", "missing"):
            raise ParameterError(f"contested={contested!r} is not one of 'keep', 'missing'.")
        return contested == "missing"

    def _contested_of(self, *prediction: Any) -> npt.NDArray[np.bool_]:
        """Tell which of some predictions are contested, shape (N,)."""
        marks: npt.NDArray[np.bool_] = _insight("contested").predicted_contested(self, *prediction)
        return marks

    def findings(self, gold: Any = None) -> list[str]:
        """Return what stands out among the answers, as sentences with names.

        Workers that repeat one another, labels that somebody swaps, classes that nobody tells apart, known labels that
        contradict a skill; see :func:`deem_crowd.insight.findings.findings`.

        Raises
        ------
        NotFittedError, MissingAnswersError, DataError, FormError
        """
        sentences: list[str] = _insight("findings").findings(self, gold=gold)
        return sentences

    def _warn_of_findings(self, counts: Pairs | None, before: dict[str, Any]) -> None:
        """Warn of what stands out after a fit, which leaves the object as it was where the warning is an error.

        After a fit with sparse tables nothing is said.

        Parameters
        ----------
        counts : Pairs, optional
            How often workers agree in pairs, if the fit has counted that.
        before : dict
            The object's attributes before the fit.
        """
        fitted = self.__dict__["_fitted"]
        if _SILENT.get():
            return
        if isinstance(fitted[0] if isinstance(fitted, tuple) else fitted, SparseModel):
            return  # full tables, which this takes, are what such a model does without
        with threads.chosen(0):
            sentences = _insight("findings").of_fit(self, counts)
        if not sentences:
            return
        text = " ".join(sentences[:_MOST_SENTENCES])
        more = len(sentences) - _MOST_SENTENCES
        try:
            warn(text if more <= 0 else f"{text} findings() has {more} more.", FindingsWarning)
        except FindingsWarning:
            self.__dict__ = before
            raise

    def summary(self) -> str:
        """Return one screen of plain text about labels and workers, and what stands out.

        Raises
        ------
        NotFittedError, MissingAnswersError
        """
        return str(_insight("findings").summary(self))

    def report(
        self, path: str | os.PathLike[str], *, gold: Any = None, answers: Any = None
    ) -> None:
        """Write one HTML file about the answers; see :func:`deem_crowd.report.page.write_report`.

        Raises
        ------
        NotFittedError, MissingAnswersError, DataError, FormError, OSError
        """
        importlib.import_module("deem_crowd.report.page").write_report(
            self, path, gold=gold, answers=answers
        )

    def __repr__(self) -> str:
        changed = ", ".join(f"{name}={value!r}" for name, value in _changed(self).items())
        lines = [
            f"{type(self).__name__}({changed if len(changed) <= 120 else changed[:119] + '…'})"
        ]
        if "_fitted" not in self.__dict__:
            return lines[0]
        source = self.__dict__.get("_fitted_on")
        skills = np.asarray(self.skills_)  # type: ignore[attr-defined]
        if source is not None:
            data = source.answers
            lines.append(
                f"fitted to {counted(data.n_answers, 'answer')}: {counted(data.n_tasks, 'task')}, "
                f"{counted(data.n_workers, 'worker')}, {counted(data.n_classes, 'class', 'classes')}"
            )
        else:
            lines.append(f"fitted, without its answers at hand: {counted(len(skills), 'worker')}")
        if len(skills):
            lines.append(
                f"skills {skills.min():.2f} to {skills.max():.2f}, median {np.median(skills):.2f}"
            )
        else:
            lines.append("no workers")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from html import escape

        lines = repr(self).split("\n")
        style = "font-family: monospace; white-space: pre-wrap; overflow-wrap: anywhere"
        return f'<div style="{style}">{"<br>".join(escape(line) for line in lines)}</div>'

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def _changed(model: Any) -> dict[str, Any]:
    """Return the parameters that differ from the constructor's defaults."""
    defaults = inspect.signature(type(model).__init__).parameters
    return {
        name: value
        for name, value in model.get_params(deep=False).items()
        if not _same(value, defaults[name].default)
    }


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))
