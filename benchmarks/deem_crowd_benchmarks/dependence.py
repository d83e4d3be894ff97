"""Sources that depend on each other given the class: several units, layers and subtypes beside one unit.

Run ``python -m deem_crowd_benchmarks.dependence [SEEDS]``. The laws:

- *copies*: four near-copies of one classifier of accuracy 0.5 (each repeats it with probability 0.95, else answers
  anew) and five independent ones of 0.65.
- *tree*: the class, four opinions of it (accuracy 0.55, 0.75, 0.8, 0.7; errors by a Dirichlet draw), and 6, 3, 2 and 2
  workers who each follow one opinion with probability 0.75 to 0.95 (Parisi et al., PNAS 2014, and Shaham et al., ICML
  2016, for trees of classifiers).
- *experts*: three domains; each of twelve workers is right with probability 0.9 in one of them, and in the others has
  the confusion of all who do not know it, accuracy 0.4 (Jacobs et al., Neural Computation 3, 1991, for mixtures
  of experts).
- *independent*: nine workers with confusion matrices of their own, accuracy 0.4 to 0.8.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.table import Table

from deem_crowd import DEEM, Answers

Ensemble = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
N_CLASSES = 3


def _table(rng: np.random.Generator, accuracy: float, concentration: float) -> npt.NDArray[Any]:
    """Return a confusion matrix [class, answer]: ``accuracy`` and a Dirichlet draw of the rest."""
    table = np.full((N_CLASSES, N_CLASSES), accuracy)
    for c in range(N_CLASSES):
        others = np.arange(N_CLASSES) != c
        table[c, others] = (1 - accuracy) * rng.dirichlet(np.full(N_CLASSES - 1, concentration))
    return table


def _answer(
    rng: np.random.Generator, asked: npt.NDArray[np.int64], table: npt.NDArray[Any]
) -> npt.NDArray[np.int64]:
    bounds = table.cumsum(1)[asked]
    return np.asarray((rng.random(len(asked))[:, None] > bounds).sum(1), dtype=np.int64)


def _even(accuracy: float) -> npt.NDArray[Any]:
    wrong = (1 - accuracy) / (N_CLASSES - 1)
    return np.full((N_CLASSES, N_CLASSES), wrong) + (accuracy - wrong) * np.eye(N_CLASSES)


def copies(seed: int, n_tasks: int = 3000) -> Ensemble:
    """Return answers, shape (N, 9), and classes, shape (N,), of the first law."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(N_CLASSES, size=n_tasks)
    weak = _even(0.5)
    base = _answer(rng, truth, weak)
    columns = [
        np.where(rng.random(n_tasks) < 0.95, base, _answer(rng, truth, weak)) for _ in range(4)
    ]
    columns += [_answer(rng, truth, _even(0.65)) for _ in range(5)]
    return np.stack(columns, axis=1), truth


def tree(seed: int, n_tasks: int = 3000) -> Ensemble:
    """Return answers, shape (N, 13), and classes, shape (N,), of the second law."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(N_CLASSES, size=n_tasks)
    columns = []
    for accuracy, size in ((0.55, 6), (0.75, 3), (0.8, 2), (0.7, 2)):
        opinion = _answer(rng, truth, _table(rng, accuracy, 2.0))
        columns += [
            _answer(rng, opinion, _table(rng, rng.uniform(0.75, 0.95), 2.0)) for _ in range(size)
        ]
    return np.stack(columns, axis=1), truth


def experts(seed: int, n_tasks: int = 4000) -> Ensemble:
    """Return answers, shape (N, 12), and classes, shape (N,), of the third law."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(N_CLASSES, size=n_tasks)
    domain = rng.integers(3, size=n_tasks)
    poor = [_table(rng, 0.4, 0.3) for _ in range(3)]
    columns = []
    for i in range(12):
        answers = np.empty(n_tasks, dtype=np.int64)
        for d in range(3):
            here = domain == d
            table = _table(rng, 0.9, 2.0) if d == i % 3 else poor[d]
            answers[here] = _answer(rng, truth[here], table)
        columns.append(answers)
    return np.stack(columns, axis=1), truth


def independent(seed: int, n_tasks: int = 3000) -> Ensemble:
    """Return answers, shape (N, 9), and classes, shape (N,), of the fourth law."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(N_CLASSES, size=n_tasks)
    columns = [_answer(rng, truth, _table(rng, rng.uniform(0.4, 0.8), 2.0)) for _ in range(9)]
    return np.stack(columns, axis=1), truth


LAWS: dict[str, Callable[[int], Ensemble]] = {
    "copies": copies,
    "tree": tree,
    "experts": experts,
    "independent": independent,
}
MODELS: dict[str, dict[str, Any]] = {
    "one unit": {},
    "hidden_dim=2": {"hidden_dim": 2},
    "hidden_dim=3": {"hidden_dim": 3},
    "subtypes=3": {"subtypes": 3},
    "hidden_dim=2, subtypes=2": {"hidden_dim": 2, "subtypes": 2},
    "layer of 4 units": {"preprocessing_layer_widths": [4], "preprocessing_init": "units"},
    "identity layer, gwg": {"use_preprocessing": True, "sampler": "gwg"},
}


def _crowdkit(name: str, data: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> float:
    from crowdkit.aggregation import DawidSkene, MajorityVote

    method = DawidSkene(n_iter=100) if name == "ds" else MajorityVote()
    labels = method.fit_predict(Answers.from_dense(data).to_frame())
    return float((labels.reindex(pd.RangeIndex(len(truth))).to_numpy() == truth).mean())


class Row(NamedTuple):
    """Accuracy of one model on the ensembles of one law."""

    law: str
    model: str
    accuracy: float
    lowest: float
    seconds: float | None


def compare(seeds: int = 5) -> list[Row]:
    """Return accuracy, mean and lowest over the seeds, and seconds a fit, of every model under every law."""
    rows = []
    for law, make in LAWS.items():
        ensembles = [make(seed) for seed in range(seeds)]
        for peer in ("mv", "ds"):
            found = [_crowdkit(peer, data, truth) for data, truth in ensembles]
            rows.append(Row(law, peer, float(np.mean(found)), min(found), None))
        for name, parameters in MODELS.items():
            begin = time.perf_counter()
            found = [DEEM(**parameters).fit(d).score(d, t) for d, t in ensembles]
            seconds = (time.perf_counter() - begin) / seeds
            rows.append(Row(law, name, float(np.mean(found)), min(found), seconds))
    return rows


def main(seeds: int = 5) -> None:
    """Print the comparison as a table."""
    table = Table("law", "model", "accuracy %", "lowest", "seconds", title=f"{seeds} seeds")
    for row in compare(seeds):
        seconds = "" if row.seconds is None else f"{row.seconds:.2f}"
        shares = (f"{100 * row.accuracy:.1f}", f"{100 * row.lowest:.1f}")
        table.add_row(row.law, row.model, *shares, seconds)
    Console(width=100).print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
