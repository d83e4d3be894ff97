"""A fitted model of many classes, or of many workers with few answers each, and what is read off its sparse tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.estimators.settings.recipe import Recipe
from deem_crowd.exceptions import DataWarning, counted
from deem_crowd.model.group import ALONE, Group
from deem_crowd.model.named_classes import (
    FloatArray,
    IntArray,
    NamedClasses,
    NamedPosterior,
    summed,
)
from deem_crowd.model.worker_tables import SpreadTables, WorkerTables
from deem_crowd.runtime.progress import Progress
from deem_crowd.runtime.warning import warn
from deem_crowd.selection import many_classes
from deem_crowd.selection.candidates import Candidate
from deem_crowd.selection.many_classes import SparsePool
from deem_crowd.training.sparse_tables import SparseTables

FEWEST = 50
"""Classes from which a task's label is taken to be one that its answers name, or one of the rest."""
_CELLS_AN_ANSWER, _FEWEST_CELLS = 2, 2**20


def suits(answers: Answers, recipe: Recipe, group: Group = ALONE) -> bool:
    """Whether tables of K² numbers a worker would outweigh the answers, and the model is one that can do without.

    Parameters
    ----------
    answers : Answers
        Over the classes that are named.
    recipe : Recipe
        The default model, or one unit in the normalised gauge with learned pseudo-answers.
    group : Group
        The processes that hold further tasks of the same workers and classes.
    """
    k = answers.n_classes
    cells = answers.n_workers * k * k
    n_answers = float(group.reduce(torch.tensor(answers.n_answers, dtype=torch.float64)))
    if cells < max(_FEWEST_CELLS, _CELLS_AN_ANSWER * n_answers):
        return False
    settings = recipe.settings
    named = (
        recipe.plain
        and (settings.n_subtypes, settings.gauge, settings.penalty) == (1, "normalised", "learned")
        and settings.optimizer != "lbfgs"
        and recipe.init_method == "mv"
    )
    return (
        not answers.is_soft
        and n_answers > 0
        and settings.n_iter > 0
        and not recipe.ordered
        and recipe.groups is None
        and recipe.class_balance is None
        and (recipe.automatic or named)
    )


@dataclass(frozen=True, eq=False)
class SparseModel:
    """What :class:`deem_crowd.estimators.fitted.FittedModel` is for few classes.

    Attributes
    ----------
    tables : SparseTables
        What skills and confusion matrices are read off, over the K' classes that were answered.
    pool : SparsePool
        What predicts.
    used : integers, shape (K',)
        Which of the K classes those are.
    n_classes : int
        K.
    priors : shape (K,)
    skills, information : shape (D,)
    candidates : tuple of Candidate
    history : dict of lists
    """

    tables: SparseTables
    pool: SparsePool
    used: IntArray
    n_classes: int
    priors: FloatArray
    skills: FloatArray
    information: FloatArray
    candidates: tuple[Candidate, ...] = ()
    history: dict[str, list[float]] = field(default_factory=dict)

    label_unit = 0
    readings = ()

    @property
    def class_map(self) -> IntArray:
        """Hidden states are named after the votes that they start from: the identity, shape (K',)."""
        return np.arange(len(self.used))

    @property
    def warm_starts(self) -> Mapping[str, Any]:
        """None: a fit of more answers starts anew."""
        return {}

    def log_likelihood(self) -> list[float]:
        """Return what training climbed, per task, in nats."""
        return list(self.history.get("log_likelihood", []))

    def selection(self) -> pd.DataFrame | None:
        """Return what the model was chosen among, a row a candidate; None if it was not chosen."""
        if not self.candidates:
            return None
        return pd.DataFrame([vars(c) for c in self.candidates]).rename(
            columns={"name": "candidate"}
        )

    def skill_intervals(self) -> FloatArray:
        """Return a 95 % interval of each worker's skill, shape (D, 2)."""
        from deem_crowd.estimators.fitted import beta_intervals

        return beta_intervals(self.skills, self.information)

    def full_confusion(self) -> FloatArray:
        """Return p(answer | label) over all K classes, shape (D, K, K) as [worker, answer, label].

        Raises
        ------
        MemoryNeedError
        """
        return self.worker_tables().of(np.arange(len(self.skills)))

    def worker_tables(self) -> WorkerTables:
        """Return p(answer | label) of all workers, to be read in parts."""
        return SpreadTables(self.tables, self.used, self.n_classes)

    def posterior(self, answers: Answers, workers: IntArray, classes: IntArray) -> NamedPosterior:
        """Return p(label | answers) for tasks old or new; see :meth:`FittedModel.posterior`."""
        layout = self._layout(answers, workers, classes)
        return self._spread(layout, *self.pool.posterior(layout))

    def evidence(self, answers: Answers, workers: IntArray, classes: IntArray) -> FloatArray | None:
        """Return what the members of the pool say, for ranking, shape (N, K); of a named model its posterior."""
        layout = self._layout(answers, workers, classes)
        told = self.pool.evidence if self.candidates else self.pool.posterior
        return self._spread(layout, *told(layout)).dense()

    def _spread(self, layout: NamedClasses, share: FloatArray, rest: FloatArray) -> NamedPosterior:
        posterior = layout.posterior(share, rest, self.pool.prior())
        return posterior.spread(self.used, self.n_classes)

    def _layout(self, answers: Answers, workers: IntArray, classes: IntArray) -> NamedClasses:
        d = len(self.skills)
        position = np.full(self.n_classes, -1, dtype=np.int64)
        position[self.used] = np.arange(len(self.used))
        recoded = answers.select(
            workers=(np.where(workers < 0, d, workers), pd.RangeIndex(d + 1)),
            classes=(position[classes], pd.RangeIndex(len(self.used))),
        )
        left_out = answers.n_answers - recoded.n_answers
        if left_out:
            warn(
                f"{counted(left_out, 'answer gives', 'answers give')} a class that nobody gave when the model was "
                "fitted: left out.",
                DataWarning,
            )
        return NamedClasses(recoded, every=_every(recoded))


def _every(answers: Answers) -> bool:
    """Whether the classes are few enough for each to have a probability of its own in every task."""
    return answers.n_classes < FEWEST


def fit(
    answers: Answers,
    used: IntArray,
    n_classes: int,
    recipe: Recipe,
    gold: IntArray | None,
    progress: Progress | None,
    group: Group = ALONE,
) -> tuple[SparseModel, NamedPosterior, bool, bool]:
    """Fit a model of many classes.

    Parameters
    ----------
    answers : Answers
        N tasks, D workers, over the K' classes ``used`` of ``n_classes``.
    recipe : Recipe
    gold : integers, shape (N,), optional
        Known classes, 0..K'-1, −1 where unknown.
    progress : Progress, optional
    group : Group
        The processes that hold further tasks of the same workers and classes, and fit with these.

    Returns
    -------
    SparseModel
    NamedPosterior
        Over all classes.
    uninformed, converged : bool
        Whether the answers say nothing about a label, and whether passes sufficed.
    """
    layout = NamedClasses(answers, gold, _every(answers), group)
    choose = many_classes.select if recipe.automatic else many_classes.plain
    chosen = choose(layout, recipe.settings.n_iter, progress)
    priors = np.zeros(n_classes)
    priors[used] = chosen.pool.prior()
    model = SparseModel(
        tables=chosen.tables,
        pool=chosen.pool,
        used=used,
        n_classes=n_classes,
        priors=priors,
        skills=_skills(chosen.tables, chosen.pool.prior()),
        information=_information(layout, chosen.share),
        candidates=chosen.candidates,
        history={"log_likelihood": chosen.log_likelihood},
    )
    posterior = model._spread(layout, chosen.share, chosen.rest)
    return model, posterior, chosen.uninformed, chosen.converged


def _skills(tables: SparseTables, prior: FloatArray) -> FloatArray:
    """Return Σ_k π[k] · T_i[k, k], shape (D,)."""
    worker, label = np.divmod(tables.column_key, max(tables.n_classes, 1))
    d = len(tables.accuracy)
    seen = summed(worker, prior[label], d)
    right = tables.probability(worker, label, label)
    return (1 - seen) * tables.accuracy + summed(worker, prior[label] * right, d)


def _information(layout: NamedClasses, share: FloatArray) -> FloatArray:
    """Return what each worker's answers are worth; see :meth:`FittedModel.skill_intervals`."""
    worker, p = layout.worker[layout.right], share[layout.pair[layout.right]]
    n = layout.answers_of_worker.astype(np.float64)
    right, squared = (layout.reduce(summed(worker, v, layout.n_workers)) for v in (p, p * p))
    mean = right / np.maximum(n, 1)
    spread = np.maximum(squared - n * mean**2, 0)
    return np.minimum(spread / np.maximum(mean * (1 - mean), 1e-9), n)
