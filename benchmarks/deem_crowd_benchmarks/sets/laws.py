"""Label sets of known law: what is true is drawn first, then what each worker says of it.

Each function draws one label set from a seed; ``LAWS`` names them all. Tasks, workers and classes are integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd_benchmarks.sets.label_set import LabelSet, numbered

Labels = npt.NDArray[np.int64]
Table = npt.NDArray[np.float64]


def independent(seed: int, n_tasks: int = 3000) -> LabelSet:
    """Nine workers, K = 3, all answers; given the class they are independent.

    Worker i has a confusion matrix of its own: accuracy U(0.4, 0.8), errors in proportions from a Dirichlet(2) draw.
    The law of Dawid and Skene, Applied Statistics 28 (1979).
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n_tasks)
    columns = [_answer(rng, truth, _table(rng, rng.uniform(0.4, 0.8), 2.0)) for _ in range(9)]
    return _dense("independent", columns, truth)


def tree(seed: int, n_tasks: int = 3000) -> LabelSet:
    """Thirteen workers, K = 3, all answers; groups of workers follow opinions that stand between them and the class.

    Four opinions have accuracy 0.55, 0.75, 0.8 and 0.7; 6, 3, 2 and 2 workers follow them, each with accuracy
    U(0.75, 0.95) about the opinion. The trees of Parisi et al., PNAS 111 (2014), and Shaham et al., ICML 2016.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n_tasks)
    columns = []
    for accuracy, size in ((0.55, 6), (0.75, 3), (0.8, 2), (0.7, 2)):
        opinion = _answer(rng, truth, _table(rng, accuracy, 2.0))
        columns += [
            _answer(rng, opinion, _table(rng, rng.uniform(0.75, 0.95), 2.0)) for _ in range(size)
        ]
    return _dense("tree", columns, truth)


def copies(seed: int, n_tasks: int = 3000) -> LabelSet:
    """Nine workers, K = 3, all answers: four near-copies of one worker, and five who are independent.

    The original has accuracy 0.5; each copy repeats it with probability 0.95, else answers anew with accuracy 0.5.
    The five have accuracy 0.65; errors are even. Duplicated classifiers as in Jaffe et al., AISTATS 2016.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n_tasks)
    original = _answer(rng, truth, _even(3, 0.5))
    columns = [
        np.where(rng.random(n_tasks) < 0.95, original, _answer(rng, truth, _even(3, 0.5)))
        for _ in range(4)
    ]
    columns += [_answer(rng, truth, _even(3, 0.65)) for _ in range(5)]
    return _dense("copies", columns, truth)


def clique(seed: int, n_tasks: int = 3000) -> LabelSet:
    """Eleven workers, K = 3, all answers: four follow one opinion, loosely, and seven are independent.

    The opinion has accuracy 0.45 and a Dirichlet(0.5) draw of errors; its followers repeat it with probability
    U(0.85, 0.95), else answer at random. The seven have confusion matrices of accuracy U(0.5, 0.75). A group that
    confers, as in the dependence between sources of Dong et al., VLDB 2009.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n_tasks)
    opinion = _answer(rng, truth, _table(rng, 0.45, 0.5))
    columns = []
    for _ in range(4):
        follows = rng.random(n_tasks) < rng.uniform(0.85, 0.95)
        columns.append(np.where(follows, opinion, rng.integers(3, size=n_tasks)))
    columns += [_answer(rng, truth, _table(rng, rng.uniform(0.5, 0.75), 2.0)) for _ in range(7)]
    return _dense("clique", columns, truth)


def blind_spots(seed: int, n_tasks: int = 3000) -> LabelSet:
    """Eleven workers, K = 4, all answers: five go wrong together on a part of the tasks, six are independent.

    In the spot (a random 40 % of the tasks) the five give one and the same wrong class with probability 0.9; elsewhere
    they are right with probability 0.8. The six are right with probability U(0.55, 0.7) everywhere. A feature that
    several models read wrongly, as in Ratner et al., NeurIPS 2016.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=n_tasks)
    spot = rng.random(n_tasks) < 0.4
    mirage = (truth + rng.integers(1, 4, n_tasks)) % 4
    columns = []
    for _ in range(5):
        seen = _answer(rng, truth, _even(4, 0.8))
        columns.append(np.where(spot & (rng.random(n_tasks) < 0.9), mirage, seen))
    columns += [_answer(rng, truth, _even(4, rng.uniform(0.55, 0.7))) for _ in range(6)]
    return _dense("blind-spots", columns, truth)


def experts(seed: int, n_tasks: int = 4000) -> LabelSet:
    """Twelve workers, K = 3, all answers: three domains of tasks, each worker an expert in one of them.

    Experts have accuracy 0.9; all others share the confusion matrix of the domain's laymen: accuracy 0.4, errors by a
    Dirichlet(0.3) draw. A mixture of experts, Jacobs et al., Neural Computation 3 (1991).
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n_tasks)
    domain = rng.integers(3, size=n_tasks)
    laymen = [_table(rng, 0.4, 0.3) for _ in range(3)]
    columns = []
    for i in range(12):
        said = np.empty(n_tasks, dtype=np.int64)
        for d in range(3):
            here = domain == d
            table = _table(rng, 0.9, 2.0) if d == i % 3 else laymen[d]
            said[here] = _answer(rng, truth[here], table)
        columns.append(said)
    return _dense("experts", columns, truth)


def clusterings(seed: int, n_tasks: int = 1500) -> LabelSet:
    """Eight clusterings into K = 3 without common class names: each has a random permutation of the names.

    Accuracy U(0.6, 0.85) before the renaming. Cluster ensembles, Strehl and Ghosh, JMLR 3 (2002); score by the measures
    that do not look at names.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n_tasks)
    columns = [
        rng.permutation(3)[_answer(rng, truth, _even(3, rng.uniform(0.6, 0.85)))] for _ in range(8)
    ]
    return _dense("clusterings", columns, truth)


def heavy_tail(seed: int, n_tasks: int = 2000) -> LabelSet:
    """A sparse crowd, K = 4, five answers a task, 300 workers whose activity has a heavy tail.

    Worker i is asked with probability proportional to a Pareto(1.1) draw; skills Beta(4, 2), even errors. Platforms'
    activity is like that: Ipeirotis, Crossroads 17 (2010).
    """
    rng = np.random.default_rng(seed)
    activity = 1 + rng.pareto(1.1, 300)
    return _sparse("heavy-tail", rng, n_tasks, 4, 5, rng.beta(4, 2, 300), activity=activity)


def spammers(seed: int, n_tasks: int = 1000) -> LabelSet:
    """A sparse crowd, K = 2, six answers a task, 30 workers of whom about half answer by a coin.

    The rest have accuracy 0.85. The spammers and hammers of Karger, Oh and Shah, NeurIPS 2011.
    """
    rng = np.random.default_rng(seed)
    skills = np.where(rng.random(30) < 0.5, 0.5, 0.85)
    return _sparse("spammers", rng, n_tasks, 2, 6, skills)


def adversaries(seed: int, n_tasks: int = 1000) -> LabelSet:
    """A sparse crowd, K = 2, six answers a task, 30 workers of whom about 35 % answer the contrary.

    Accuracy 0.15 for these, 0.85 for the others. Adversaries as in Raykar and Yu, JMLR 13 (2012).
    """
    rng = np.random.default_rng(seed)
    skills = np.where(rng.random(30) < 0.35, 0.15, 0.85)
    return _sparse("adversaries", rng, n_tasks, 2, 6, skills)


def difficulty(seed: int, n_tasks: int = 1500) -> LabelSet:
    """A sparse crowd, K = 3, seven answers a task, 50 workers; tasks differ in difficulty.

    P(right) = σ(a_i b_n) with ability a_i ~ N(1, 1) and easiness b_n = exp(N(0, 1)); even errors. The law of GLAD,
    Whitehill et al., NeurIPS 2009.
    """
    rng = np.random.default_rng(seed)
    ability, easiness = rng.normal(1.0, 1.0, 50), np.exp(rng.normal(0.0, 1.0, n_tasks))

    def right(task: Labels, worker: Labels) -> npt.NDArray[np.float64]:
        return np.asarray(1 / (1 + np.exp(-ability[worker] * easiness[task])))

    return _sparse("difficulty", rng, n_tasks, 3, 7, np.zeros(50), right=right)


def imbalance(seed: int, n_tasks: int = 2000) -> LabelSet:
    """A sparse crowd, K = 3 with prior 0.94, 0.04, 0.02, five answers a task, 30 workers, skills Beta(4, 2)."""
    rng = np.random.default_rng(seed)
    prior = (0.94, 0.04, 0.02)
    return _sparse("imbalance", rng, n_tasks, 3, 5, rng.beta(4, 2, 30), prior=prior)


def two_answers(seed: int, n_tasks: int = 2000) -> LabelSet:
    """A sparse crowd, K = 4, two answers a task, 60 workers, skills Beta(4, 2)."""
    rng = np.random.default_rng(seed)
    return _sparse("two-answers", rng, n_tasks, 4, 2, rng.beta(4, 2, 60))


def ten_classes(seed: int, n_tasks: int = 3000) -> LabelSet:
    """A sparse crowd, K = 10, four answers a task, 60 workers, skills Beta(3, 2)."""
    rng = np.random.default_rng(seed)
    return _sparse("ten-classes", rng, n_tasks, 10, 4, rng.beta(3, 2, 60))


def few_tasks(seed: int, n_tasks: int = 100) -> LabelSet:
    """A small crowd, K = 2, four answers to each of 100 tasks, 8 workers, skills Beta(4, 2)."""
    rng = np.random.default_rng(seed)
    return _sparse("few-tasks", rng, n_tasks, 2, 4, rng.beta(4, 2, 8))


def many_workers(seed: int, n_tasks: int = 1500) -> LabelSet:
    """A sparse crowd, K = 4, five answers a task, 2,000 workers with about four answers each, skills Beta(4, 2)."""
    rng = np.random.default_rng(seed)
    return _sparse("many-workers", rng, n_tasks, 4, 5, rng.beta(4, 2, 2000))


def crowd_of(n_answers: int, seed: int, n_classes: int = 4, heavy_tail: bool = False) -> LabelSet:
    """Return a crowd to measure time and memory on: 5 answers a task, 500 a worker, skills Beta(4, 2).

    With a heavy tail workers' activities are Pareto(1.1) draws, and 500 is their mean.
    """
    rng = np.random.default_rng(seed)
    n_tasks, n_workers = max(n_answers // 5, 1), max(n_answers // 500, 6)
    name = f"{n_answers:,} answers"
    skills = rng.beta(4, 2, n_workers)
    activity = 1 + rng.pareto(1.1, n_workers) if heavy_tail else None
    return _sparse(name, rng, n_tasks, n_classes, 5, skills, activity=activity)


Law = Callable[..., LabelSet]
"""From a seed, and perhaps ``n_tasks``, to a label set."""


def by_name(*laws: Law) -> dict[str, Law]:
    """Return laws by name: ``few-tasks`` is :func:`few_tasks`."""
    return {law.__name__.replace("_", "-"): law for law in laws}


LAWS = by_name(
    independent,
    tree,
    copies,
    clique,
    blind_spots,
    experts,
    clusterings,
    heavy_tail,
    spammers,
    adversaries,
    difficulty,
    imbalance,
    two_answers,
    ten_classes,
    few_tasks,
    many_workers,
)


def _even(n_classes: int, accuracy: float) -> Table:
    """Return a confusion matrix [class, answer] of one accuracy and even errors."""
    wrong = (1 - accuracy) / (n_classes - 1)
    return np.full((n_classes, n_classes), wrong) + (accuracy - wrong) * np.eye(n_classes)


def _table(
    rng: np.random.Generator, accuracy: float, concentration: float, n_classes: int = 3
) -> Table:
    """Return a confusion matrix [class, answer] of one accuracy; a Dirichlet draw divides the errors."""
    table = np.full((n_classes, n_classes), accuracy)
    for c in range(n_classes):
        others = np.arange(n_classes) != c
        table[c, others] = (1 - accuracy) * rng.dirichlet(np.full(n_classes - 1, concentration))
    return table


def _answer(rng: np.random.Generator, asked: Labels, table: Table) -> Labels:
    """Draw an answer for each class asked about, by the rows of ``table``."""
    bounds = table.cumsum(1)[asked]
    said = (rng.random(len(asked))[:, None] > bounds).sum(1)
    return np.minimum(said, table.shape[1] - 1).astype(np.int64)  # sums may end short of one


def _dense(name: str, columns: list[Any], truth: Labels) -> LabelSet:
    table = np.stack(columns, axis=1)
    n_tasks, n_workers = table.shape
    frame = pd.DataFrame(
        {
            "task": np.repeat(np.arange(n_tasks), n_workers),
            "worker": np.tile(np.arange(n_workers), n_tasks),
            "label": table.ravel(),
        }
    )
    return LabelSet(name, frame, numbered(truth), "law")


def _sparse(
    name: str,
    rng: np.random.Generator,
    n_tasks: int,
    n_classes: int,
    per_task: int,
    skills: npt.NDArray[np.float64],
    *,
    prior: tuple[float, ...] | None = None,
    activity: npt.NDArray[np.float64] | None = None,
    right: Callable[[Labels, Labels], npt.NDArray[np.float64]] | None = None,
) -> LabelSet:
    """Draw a crowd in which a worker drawn twice for a task answers it once, and errors are even."""
    truth = rng.choice(n_classes, n_tasks, p=prior)
    task = np.repeat(np.arange(n_tasks), per_task)
    share = None if activity is None else activity / activity.sum()
    size, n_workers = len(task), len(skills)
    worker = (
        rng.integers(0, n_workers, size) if share is None else rng.choice(n_workers, size, p=share)
    )
    chance = skills[worker] if right is None else right(task, worker)
    correct = rng.random(len(task)) < chance
    wrong = (truth[task] + rng.integers(1, n_classes, len(task))) % n_classes
    frame = pd.DataFrame(
        {"task": task, "worker": worker, "label": np.where(correct, truth[task], wrong)}
    )
    frame = frame.drop_duplicates(["task", "worker"], ignore_index=True)
    return LabelSet(name, frame, numbered(truth), "law")
