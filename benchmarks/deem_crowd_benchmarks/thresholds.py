"""What each threshold of the default model would be without one of the label sets that it was chosen beside.

    python -m deem_crowd_benchmarks.thresholds DATA ...

DATA as for ``deem-crowd benchmark --data``. For every set in turn, the value with the best mean accuracy on all other
sets is taken (the one in use, where values tie), and the set that was left out is scored with it. Gold scores alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd.data.answers import Answers
from deem_crowd.selection.parts import Parts
from deem_crowd_benchmarks.ablations import probabilities
from deem_crowd_benchmarks.running import measures
from deem_crowd_benchmarks.sets.label_sets import loaded

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Threshold:
    """A constant of the default model.

    Attributes
    ----------
    what : str
        In words.
    module, name : str
        Where it is, below ``deem_crowd.selection``.
    others : tuple of float
        Values to compare with the one in use.
    """

    what: str
    module: str
    name: str
    others: tuple[float, ...]

    @property
    def used(self) -> float:
        """The value in use."""
        return float(self._constant())

    @property
    def values(self) -> list[float]:
        """The values in ascending order, the one in use among them."""
        return sorted({self.used, *self.others})

    @contextmanager
    def at(self, value: float) -> Iterator[None]:
        """Use another value for a while, in every module that has taken the constant."""
        used = self._constant()
        kept: Any = int(value) if isinstance(used, int) and value == int(value) else value
        with ExitStack() as changes:
            for name, module in list(sys.modules.items()):
                # another module may have a constant of its own with this name and value
                taken = vars(module).get(self.name) is used
                if name.startswith("deem_crowd.selection.") and taken:
                    changes.enter_context(mock.patch.object(module, self.name, kept))
            yield

    def _constant(self) -> Any:
        return getattr(sys.modules[f"deem_crowd.selection.{self.module}"], self.name)


THRESHOLDS = (
    Threshold("least weight of the votes", "opinion_pool", "FLOOR", (0.05, 0.2, 0.3)),
    Threshold("sharpness of the weights of voices", "opinion_pool", "SHARPNESS", (1.0, 2.0, 5.0)),
    Threshold("how much rarer a class may be", "opinion_pool", "RARER", (3.0, 5.0, 20.0)),
    Threshold("answers a class for shared errors", "select", "_ANSWERS_A_CLASS", (3, 30)),
    Threshold("eigenvalue between two noises", "without_tables", "_BETWEEN", (0.98, 2.01)),
    Threshold("eigenvalue where the bound says no", "without_tables", "_BELOW", (1.51, 3.1)),
    Threshold("agreement in total between two noises", "without_tables", "_TOTAL", (1.0, 3.0)),
    Threshold("a worker looks at the tasks", "null_model", "_LOOKS", (0.1, 0.9)),
    Threshold("skill of one-sided sources at least", "null_model", "USUAL_SKILL", (0.6, 0.8)),
    Threshold("tasks in common of a pair", "pairs", "MIN_COMMON", (10, 20, 50)),
    Threshold("partners of a source", "shared_errors.dependence", "MIN_PARTNERS", (2, 5)),
    Threshold(
        "agreement beyond chance, standard errors",
        "shared_errors.dependence",
        "_SIGNIFICANT",
        (1.5, 2.5, 3.0),
    ),
    Threshold(
        "agreement beyond skills, standard errors",
        "shared_errors.dependence",
        "EXCESS",
        (2.0, 2.5, 4.0),
    ),
    Threshold(
        "what sources are worth", "shared_errors.dependence", "_LEAST_POWER", (0.8, 0.85, 0.95)
    ),
    Threshold(
        "skills against pairs",
        "shared_errors.dependence",
        "_LEAST_CORRELATION",
        (-0.3, -0.15, 0.15, 0.3),
    ),
    Threshold("flattery of a family", "shared_errors.families", "_FLATTERED", (0.03, 0.05, 0.2)),
    Threshold(
        "distance of sources that cannot be told apart",
        "shared_errors.exchangeable",
        "_ALIKE",
        (1.5, 3.0),
    ),
    Threshold("gap between families of these", "shared_errors.exchangeable", "_GAP", (1.5, 3.0)),
    Threshold("odds against an accident", "shared_errors.exchangeable", "_ODDS", (5.0, 100.0)),
    Threshold("misfit of pairs across families", "shared_errors.families", "_MISFIT", (0.8, 1.5)),
    Threshold("one class of a source", "one_sided", "_ONE_SIDED", (0.9, 0.99)),
    Threshold("share of one-sided sources", "one_sided", "_MOST", (0.3, 0.7)),
    Threshold("chance of one class alone", "one_sided", "_LEVEL", (0.01, 0.2)),
    Threshold("level of the test of pairs", "presence", "_LEVEL", (0.01, 0.2)),
    Threshold("evidence for fields, nats", "shared_errors.fields", "EVIDENCE", (0.0, 2.0, 10.0)),
    Threshold(
        "agreement within a field, standard errors",
        "shared_errors.fields",
        "_JOINED",
        (1.0, 1.5, 3.0),
    ),
    Threshold(
        "errors of experts in their field", "shared_errors.fields", "_FEWER_ERRORS", (0.3, 0.7)
    ),
    Threshold("level at which pairs refuse tables", "shared_errors.fields", "_LEVEL", (0.01, 0.2)),
)


@dataclass(frozen=True)
class LeftOut:
    """What a threshold is when each set in turn is left out.

    Attributes
    ----------
    chosen : shape (S,)
        The value without each of the S sets.
    scored : float
        Mean accuracy of the sets, each with the value that was chosen without it.
    """

    chosen: FloatArray
    scored: float


def leave_one_out(accuracy: FloatArray, values: list[float], used: float) -> LeftOut:
    """Choose a value without each set in turn.

    Parameters
    ----------
    accuracy : shape (S, V)
        Of S sets with each of V values.
    values : list of V floats
    used : float
        The value in use, taken where others are not better.
    """
    n_sets = len(accuracy)
    if n_sets < 2:
        raise ValueError(f"{n_sets} label set: to leave one out, two are needed at least.")
    without = (accuracy.sum(0) - accuracy) / (n_sets - 1)
    in_use = values.index(used)
    best = np.where(without.max(1) > without[:, in_use] + 1e-12, without.argmax(1), in_use)
    return LeftOut(np.array(values)[best], float(accuracy[np.arange(n_sets), best].mean()))


def scores(threshold: Threshold, label_sets: list[tuple[Answers, pd.Series]]) -> FloatArray:
    """Return the accuracy of the default on S sets with each of V values, shape (S, V)."""
    columns = []
    for value in threshold.values:
        with threshold.at(value):
            columns.append(
                [measures.accuracy(probabilities(a, Parts()), gold) for a, gold in label_sets]
            )
    return np.array(columns).T


def main(
    data: list[str],
    only: Annotated[
        str, typer.Option(help="Thresholds whose name, or what it stands for, contains this.")
    ] = "",
) -> None:
    """Print the values of each threshold with one set left out, and what they score on it."""
    asked = [threshold for threshold in THRESHOLDS if only in f"{threshold.what} {threshold.name}"]
    if not asked:
        raise typer.BadParameter(f"no threshold is called {only!r}.", param_hint="--only")
    label_sets = [(answers, label_set.gold) for _, label_set, answers in loaded(data)]
    table = Table(box=None)
    headers = (
        "in use",
        "without one set: value (sets)",
        "accuracy %",
        "in use, accuracy %",
        "range, accuracy %",
    )
    table.add_column("threshold")
    for header in headers:
        table.add_column(header, justify="right")
    for threshold in asked:
        values, used = threshold.values, threshold.used
        accuracy = scores(threshold, label_sets)
        left_out = leave_one_out(accuracy, values, used)
        often = pd.Series(left_out.chosen).value_counts()
        means = 100 * accuracy.mean(0)
        table.add_row(
            f"{threshold.what} ({threshold.module}.{threshold.name})",
            f"{used:g}",
            ", ".join(f"{value:g} ({times})" for value, times in often.items()),
            f"{100 * left_out.scored:.2f}",
            f"{means[values.index(used)]:.2f}",
            f"{means.min():.2f} to {means.max():.2f} on {values[0]:g} to {values[-1]:g}",
        )
    Console(width=190).print(table)


if __name__ == "__main__":
    typer.run(main)
