"""How many answers a strategy saves against buying at random, from curves of accuracy against answers.

The measure is the data utilisation of active learning (Melville and Mooney, *Diverse ensembles for active learning*,
ICML 2004): the answers that a strategy takes to the accuracy with which random buying ends, over those that random
buying takes. The target is the mean of the last fifth of random's curve. Curves are means over seeds, made monotone by
isotonic regression, since one seed's curve goes up and down by more than strategies differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd_benchmarks.running.runs import Row

FloatArray = npt.NDArray[np.float64]

REFERENCE = "random"
_GRID = 101
_END = 0.2
"""The last part of random's curve, of which the target is the mean."""
_LEAST_GAIN = 0.01
"""Sets on which random buying gains less say nothing of what could be saved."""


@dataclass(frozen=True)
class Curve:
    """The mean over seeds of accuracy against answers.

    Attributes
    ----------
    answers : shape (T,)
        A task.
    accuracy : shape (T,)
        Monotone.
    """

    answers: FloatArray
    accuracy: FloatArray

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Curve:
        """Return the mean of curves that have the same tasks and budget in each row."""
        from sklearn.isotonic import IsotonicRegression

        share = np.linspace(0, 1, _GRID)
        answers, accuracy = [], []
        for row in rows:
            bought = np.array(row["answers"], dtype=float)
            at = bought[0] + share * (bought[-1] - bought[0])
            answers.append(at / row["n_tasks"])
            accuracy.append(np.interp(at, bought, row["accuracy"]))
        mean = np.mean(accuracy, axis=0)
        return cls(
            np.mean(answers, axis=0), np.asarray(IsotonicRegression().fit_transform(share, mean))
        )

    @property
    def target(self) -> float:
        """The mean accuracy of the curve's last fifth."""
        return float(self.accuracy[-round(_END * (_GRID - 1)) :].mean())

    @property
    def gain(self) -> float:
        """How far the accuracy rises."""
        return float(self.accuracy[-1] - self.accuracy[0])

    def needed(self, accuracy: float) -> float:
        """Return the answers a task that first reach an accuracy; the last if none do."""
        above = np.flatnonzero(self.accuracy >= accuracy - 1e-12)
        if not len(above):
            return float(self.answers[-1])
        j = int(above[0])
        if j == 0:
            return float(self.answers[0])
        return float(np.interp(accuracy, self.accuracy[j - 1 : j + 1], self.answers[j - 1 : j + 1]))


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return what each strategy needs on each set, beside random buying.

    Parameters
    ----------
    rows : list of dict
        ``set``, ``seed``, ``strategy``, ``n_tasks``, ``answers``, ``accuracy``.

    Returns
    -------
    DataFrame
        ``strategy``, ``set``; ``random`` and ``needed``, answers a task that reach the target; ``saved`` of all
        answers; ``saved_bought``, of those after the first answer to each task, which all strategies have alike. Seeds
        that a strategy lacks are left out of random's mean; sets on which random gains less than a point are left out.
    """
    by_run = {(row["set"], row["strategy"], row["seed"]): row for row in rows}
    lines = []
    for name, strategy in dict.fromkeys((row["set"], row["strategy"]) for row in rows):
        seeds = [
            seed
            for set_, other, seed in by_run
            if (set_, other) == (name, strategy) and (name, REFERENCE, seed) in by_run
        ]
        if strategy == REFERENCE or not seeds:
            continue
        base = Curve.of([by_run[name, REFERENCE, seed] for seed in seeds])
        mine = Curve.of([by_run[name, strategy, seed] for seed in seeds])
        if base.gain < _LEAST_GAIN:
            continue
        plain, needed, first = base.needed(base.target), mine.needed(base.target), base.answers[0]
        lines.append(
            {
                "strategy": strategy,
                "set": name,
                "random": plain,
                "needed": needed,
                "saved": 1 - needed / plain,
                "saved_bought": 1 - (needed - first) / (plain - first),
            }
        )
    names = ["strategy", "set", "random", "needed", "saved", "saved_bought"]
    return pd.DataFrame(lines, columns=names)
