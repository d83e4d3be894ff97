"""What a fitted DEEMAggregator shows of its model: tables under the caller's ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


class NamedTables:
    """Attributes that are made from the fitted model when they are asked for."""

    @property
    def errors_(self) -> pd.DataFrame:
        """Confusion matrices: index (``worker``, ``label`` answered), columns the true label, shape (D·K, K).

        Each worker's columns sum to 1.
        """
        model, workers, classes = self._named("errors_")
        full = model.full_confusion()
        d, k = len(workers), len(classes)
        index = pd.MultiIndex(
            levels=[workers, classes],
            codes=[np.repeat(np.arange(d), k).tolist(), np.tile(np.arange(k), d).tolist()],
            names=["worker", "label"],
        )
        columns = classes.rename(None)  # as crowd-kit has it, so that stack().reset_index() works
        return pd.DataFrame(full.reshape(d * k, k), index=index, columns=columns)

    @property
    def selection_(self) -> pd.DataFrame | None:
        """What the model was chosen among, a row a candidate; None where it was named.

        Columns ``candidate``; ``score``, a lower bound of the log evidence in nats per answer; ``difference`` and
        ``standard_error``, how much likelier it makes a task's answers than one table a worker does, in nats;
        ``agreement``, how far its labels are those of the others; ``weight``, what it counts; ``why``.
        """
        table: pd.DataFrame | None = self._named("selection_")[0].selection()
        return table

    @property
    def skill_intervals_(self) -> pd.DataFrame:
        """A 95 % interval of each worker's skill: index ``worker``, columns ``low``, ``high``, shape (D, 2).

        From the curvature of the likelihood, so that answers to tasks of unsure label say less.
        """
        model, workers, _ = self._named("skill_intervals_")
        return pd.DataFrame(model.skill_intervals(), index=workers, columns=["low", "high"])

    def _named(self, attribute: str) -> tuple[Any, Any, Any]:
        """Return the model, its workers and its classes; an AttributeError names what was asked for too early."""
        if "_fitted" not in self.__dict__:
            raise AttributeError(f"{attribute} is available after fit")
        named: tuple[Any, Any, Any] = self.__dict__["_fitted"]
        return named
