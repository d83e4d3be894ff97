"""A fitted model: an energy, and how to read labels, priors, skills and confusion matrices off it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.estimators.information import InformationToCome
from deem_crowd.exceptions import DataWarning, counted
from deem_crowd.model import votes as initialization
from deem_crowd.model.class_balance import moved
from deem_crowd.model.design import DesignMatrix, make_design, resolve_device
from deem_crowd.model.difficulty import pays, some_tasks, with_levels
from deem_crowd.model.energy import Energy
from deem_crowd.model.named_classes import NamedPosterior
from deem_crowd.model.network import Batches, Network
from deem_crowd.model.units import UnitReading, Units
from deem_crowd.model.worker_tables import FullTables, SpreadTables, WorkerTables
from deem_crowd.runtime import threads
from deem_crowd.runtime.ambient import undisturbed
from deem_crowd.runtime.warning import warn
from deem_crowd.selection.candidates import Candidate
from deem_crowd.selection.opinion_pool import OpinionPool
from deem_crowd.selection.pairs import Pairs
from deem_crowd.training.em import WarmStart

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Tasks that go through a network at a time.
_AT_ONCE = 4096


@dataclass(frozen=True)
class FittedModel:
    """A trained energy and how to read it.

    Attributes
    ----------
    energy : Energy
        Over the classes that were answered.
    used : integers, shape (K',)
        Which of the K classes those are.
    class_map : integers, shape (K',)
        ``class_map[j]`` is the position in ``used`` of the class that hidden state group j stands for.
    n_classes : int
        K.
    priors : shape (K,)
    confusion, skills : shapes (D, K', K') as [worker, answer, label], and (D,)
    history : dict of lists
        What training noted, pass by pass or epoch by epoch.
    device, dtype
        What the passes of predictions run on.
    network : Network, optional
        Where there are layers: the answers go through it.
    units : Units, optional
        All units, where there are several; ``energy`` is that of ``label_unit``.
    label_unit : int
    readings : tuple of UnitReading
        What speaks for each unit being the label.
    pool : Pool, optional
        Where the model was chosen from the answers: what predicts; ``energy`` then shows the tables that follow.
    candidates : tuple of Candidate
        What was chosen among.
    information : shape (D,)
        How many answers to tasks with known labels would say as much about each worker's skill.
    warm_starts : mapping of str to WarmStart
        Where training of each part stopped, for a fit of more answers to go on from; files do not hold it.
    growth : Growth, optional
        What a few more answers need (:mod:`deem_crowd.estimators.incremental.growth`); files do not hold it.
    class_log_odds : shape (K,), optional
        Where the shares of the classes are known, and there is no pool, which holds its own: what is added to
        log p(label | answers), see :mod:`deem_crowd.model.class_balance`. ``priors`` then holds these shares.
    pairs : Pairs, optional
        How often workers agreed in pairs, for what is said after a fit; neither public objects nor files hold it.
    """

    energy: Energy
    used: IntArray
    class_map: IntArray
    n_classes: int
    priors: FloatArray
    confusion: FloatArray
    skills: FloatArray
    history: dict[str, list[float]] = field(default_factory=dict)
    device: str | torch.device = "auto"
    dtype: str = "auto"
    network: Network | None = None
    units: Units | None = None
    label_unit: int = 0
    readings: tuple[UnitReading, ...] = ()
    pool: OpinionPool | None = None
    candidates: tuple[Candidate, ...] = ()
    information: FloatArray | InformationToCome = field(default_factory=lambda: np.zeros(0))
    warm_starts: Mapping[str, WarmStart] = field(default_factory=dict)
    growth: Any = None
    class_log_odds: FloatArray | None = None
    pairs: Pairs | None = None

    def log_likelihood(self) -> list[float]:
        """Return what training climbed, per task: the log-likelihood in nats, or, out of reach, minus the loss."""
        followed = self.history.get("log_likelihood")
        return (
            [-loss for loss in self.history.get("loss", [])] if followed is None else list(followed)
        )

    def with_class_map(self, class_map: IntArray) -> FittedModel:
        """Return the same model read with another mapping of states to classes; all readings carry it."""
        undo = np.argsort(self.class_map)
        shift = class_map[undo]  # where each class reported so far goes
        priors = self.priors.copy()
        priors[self.used[shift]] = self.priors[self.used]
        confusion = self.confusion.copy()
        confusion[:, :, shift] = self.confusion
        right = np.diagonal(confusion, axis1=1, axis2=2)
        information = self.information
        if isinstance(information, InformationToCome):
            information = information.renamed(np.argsort(shift))
        odds = None
        if self.class_log_odds is not None:
            odds = self.class_log_odds.copy()
            odds[self.used[shift]] = self.class_log_odds[self.used]
        return replace(
            self,
            information=information,
            class_map=class_map,
            class_log_odds=odds,
            priors=priors,
            confusion=confusion,
            skills=(right * priors[self.used]).sum(axis=1),
        )

    def selection(self) -> pd.DataFrame | None:
        """Return what the model was chosen among, a row a candidate; None if it was not chosen."""
        if not self.candidates:
            return None
        names = {"name": "candidate"}
        rows = [vars(candidate) for candidate in self.candidates]
        return pd.DataFrame(rows).rename(columns=names)

    def skill_intervals(self) -> FloatArray:
        """Return a 95 % interval of each worker's skill, shape (D, 2).

        Quantiles of a Beta distribution with mean the skill and as many observations as the answers are worth, and two
        more. With r_n the posterior chance that the worker's answer to task n is right, n answers are worth
        Σ_n (r_n − r̄)² / (r̄ (1 − r̄)) ones to tasks of known label: the observed information of the worker's accuracy
        over the complete one (Louis, JRSS B 44, 1982), all else held fixed.
        """
        return beta_intervals(self.skills, self.information)

    def spread(self, states: torch.Tensor) -> FloatArray:
        """Bring a posterior over K' state groups, shape (N, K'), to the K classes, shape (N, K)."""
        posterior = np.zeros((len(states), self.n_classes))
        posterior[:, self.used[self.class_map]] = states.to("cpu", torch.float64).numpy()
        return posterior

    def full_confusion(self) -> FloatArray:
        """Return p(answer | label) over all K classes, shape (D, K, K) as [worker, answer, label].

        Raises
        ------
        MemoryNeedError
        """
        return self.worker_tables().of(np.arange(len(self.confusion)))

    def worker_tables(self) -> WorkerTables:
        """Return p(answer | label) of all workers, to be read in parts."""
        return SpreadTables(FullTables(self.confusion), self.used, self.n_classes)

    @undisturbed
    def posterior(self, answers: Answers, workers: IntArray, classes: IntArray) -> FloatArray:
        """Return p(label | answers) for tasks old or new, shape (N, K).

        Parameters
        ----------
        answers : Answers
            About N tasks.
        workers : integers, shape (number of workers in ``answers``,)
            The number each has in this model, −1 for workers it does not know: they count as average.
        classes : integers, shape (number of classes in ``answers``,)
            The class, 0..K-1, that each stands for.
        """
        recoded = self._recoded(answers, workers, classes)
        if self.network is not None:
            known = self._of_known_workers(recoded)
            return self.balanced(self.spread(self._through_layers(known)), known)
        with threads.chosen(answers.n_answers * max(self.n_classes, 1)):
            return self.balanced(self._of_answers(recoded), recoded)

    def balanced(self, posterior: FloatArray, answers: Answers) -> FloatArray:
        """Return a posterior, shape (N, K), moved towards the known shares of the classes, where there are any.

        Tasks without answers have these shares.
        """
        if self.class_log_odds is None:
            return posterior
        odds = torch.from_numpy(self.class_log_odds)
        result: FloatArray = moved(torch.from_numpy(posterior), odds).numpy()
        result[np.diff(answers.task_ptr) == 0] = self.priors
        return result

    def _of_answers(self, recoded: Answers) -> FloatArray:
        if self.pool is not None:
            pool, design = self._pool_of(self.pool, recoded)
            return self.spread(pool.posterior(design))
        energy = _with_stranger(self.energy)
        design = make_design(recoded, self.device, self.dtype, energy.n_states)
        return self.spread(energy.posterior(design))

    @undisturbed
    def evidence(self, answers: Answers, workers: IntArray, classes: IntArray) -> FloatArray | None:
        """Return what the model says of tasks, for ranking, shape (N, K); None where there are layers.

        Of a pool that is what its members say (:meth:`OpinionPool.evidence`); of one unit its posterior, with levels of
        difficulty where these pay. Parameters are those of :meth:`posterior`.
        """
        if self.network is not None:
            return None
        recoded = self._recoded(answers, workers, classes)
        with threads.chosen(answers.n_answers * max(self.n_classes, 1)):
            found = self.spread(self._evidence_of(recoded, some_tasks(recoded)))
        return self.balanced(found, recoded)

    def _evidence_of(self, answers: Answers, some: Answers) -> torch.Tensor:
        if self.pool is not None:
            pool, design = self._pool_of(self.pool, answers)
            few = design if some is answers else self._pool_of(self.pool, some)[1]
            return pool.evidence(design, few)
        energy = _with_stranger(self.energy)
        design = make_design(answers, self.device, self.dtype, energy.n_states)
        few = design
        if some is not answers:
            few = make_design(some, self.device, self.dtype, energy.n_states)
        levels = with_levels(energy, few)
        if pays(levels.gain * design.n_tasks / max(few.n_tasks, 1), design):
            return levels.posterior(design)
        return energy.posterior(design)

    def _recoded(self, answers: Answers, workers: IntArray, classes: IntArray) -> Answers:
        position = np.full(self.n_classes, -1, dtype=np.int64)
        position[self.used] = np.arange(len(self.used))
        return _recode(answers, workers, position[classes], len(self.skills), len(self.used))

    def _pool_of(self, pool: OpinionPool, answers: Answers) -> tuple[OpinionPool, DesignMatrix]:
        """Return the pool with a place for workers it does not know, and the answers laid out for it."""
        pool = replace(pool, energies=tuple(map(_with_stranger, pool.energies)))
        states = max((energy.n_states for energy in pool.energies), default=0)
        return pool, make_design(answers, self.device, self.dtype, states)

    def _of_known_workers(self, answers: Answers) -> Answers:
        """Leave out the answers of workers that the layers have no place for."""
        known = answers.worker < len(self.skills)
        if not known.all():
            warn(
                f"{counted(int((~known).sum()), 'answer')} of workers that the layers do not know: left out.",
                DataWarning,
            )
        places = np.append(np.arange(len(self.skills)), -1)
        return answers.select(workers=(places, answers.workers[:-1]))

    def _through_layers(self, answers: Answers) -> torch.Tensor:
        """Return p(state group | x), shape (N, K')."""
        assert self.network is not None
        device = resolve_device(self.device)
        network = self.network if device.type == "cpu" else copy.deepcopy(self.network).to(device)
        batches = Batches(answers, device, network.bias.dtype, dense=True)
        return network_posterior(network, batches, self.label_unit)


def beta_intervals(skills: FloatArray, information: FloatArray | InformationToCome) -> FloatArray:
    """Return 95 % intervals of skills, shape (D, 2); see :meth:`FittedModel.skill_intervals`."""
    from scipy.special import betaincinv

    strength = np.asarray(information) + 2.0
    mean = np.clip(skills, 1e-6, 1 - 1e-6)
    bounds = betaincinv(mean * strength, (1 - mean) * strength, [[0.025], [0.975]])
    low, high = (
        np.minimum(bounds[0], skills),
        np.maximum(bounds[1], skills),
    )  # next to 0 and 1 the mean is beyond
    return np.column_stack([low, high])


def _with_stranger(energy: Energy) -> Energy:
    """Return an energy with one worker more, the average one, for answers of workers it does not know."""
    return replace(energy, weight=torch.cat([energy.weight, energy.population[None]]))


@undisturbed
def best_class(
    posterior: FloatArray | NamedPosterior, answers: Answers, gold: IntArray | None = None
) -> IntArray:
    """Return the most probable class of each task, shape (N,); −1 for tasks with neither answers nor gold.

    Ties, within 1e-6, go to the class that the task's answers name most often, then to the first one, so that they do
    not depend on the order of the rows.
    """
    if isinstance(posterior, NamedPosterior):
        return posterior.best(initialization.TIE)
    if posterior.shape[1] == 0:
        return np.full(len(posterior), -1, dtype=np.int64)
    values = torch.from_numpy(posterior)
    found, rows, ties = initialization.best_and_ties(values)
    best: IntArray = found.numpy()
    unanswered = np.diff(answers.task_ptr) == 0
    answered = ~unanswered[rows.numpy()]
    open_ = rows.numpy()[answered]
    if len(open_):
        votes = np.where(ties.numpy()[answered], _votes(answers, open_), -1.0)
        best[open_] = initialization.first_of_best(torch.from_numpy(votes)).numpy()
    if gold is not None:
        unanswered &= gold < 0
    best[unanswered] = -1
    return best


def _votes(answers: Answers, tasks: npt.NDArray[np.intp]) -> FloatArray:
    """Return how often each class is named in the answers to some tasks, shape (len(tasks), K)."""
    number = np.diff(answers.task_ptr)[tasks]
    row = np.repeat(np.arange(len(tasks)), number)
    before = np.concatenate([[0], np.cumsum(number)[:-1]]) if len(tasks) else number
    there = np.repeat(answers.task_ptr[tasks] - before, number) + np.arange(len(row))
    votes = np.zeros((len(tasks), answers.n_classes))
    if answers.soft is None:
        np.add.at(votes, (row, answers.hard_label[there]), 1.0)
    else:
        np.add.at(votes, row, answers.soft[there])
    return votes


def network_posterior(network: Network, batches: Batches, unit: int) -> torch.Tensor:
    """Return p(class | x) of one unit for all tasks, float64, shape (N, K)."""
    tasks = torch.arange(batches.n_tasks, device=batches.device)
    parts = [network.posterior(batches.get(some), unit) for some in tasks.split(_AT_ONCE)]
    if not parts:
        return torch.zeros((0, network.n_classes), dtype=torch.float64)
    return torch.cat(parts).to("cpu", torch.float64)


def _recode(
    answers: Answers, workers: IntArray, classes: IntArray, n_workers: int, n_classes: int
) -> Answers:
    """Number workers and classes as the model does; unknown workers become number ``n_workers``.

    Answers with a class of which the model knows nothing say nothing and are left out, with a warning.
    """
    recoded = answers.select(
        workers=(np.where(workers < 0, n_workers, workers), pd.RangeIndex(n_workers + 1)),
        classes=(classes, pd.RangeIndex(n_classes)),
    )
    n_unknown = answers.n_answers - recoded.n_answers
    if n_unknown:
        warn(
            f"{counted(n_unknown, 'answer')} with a class that nobody gave when the model was fitted: left out.",
            DataWarning,
        )
    return recoded
