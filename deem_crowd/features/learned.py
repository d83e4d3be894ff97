"""Which of the ways to use features is safe here, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataWarning, counted
from deem_crowd.features import (
    beside,
    choice,
    doubt,
    guard,
    joint,
    learners,
    neighbours,
    partitions,
    relevance,
)
from deem_crowd.features.beside import Kept
from deem_crowd.features.learners import Learner, Predictor
from deem_crowd.features.logistic import moments
from deem_crowd.features.regions import Regions, by_region
from deem_crowd.features.rows import Rows
from deem_crowd.features.scaling import Scaling
from deem_crowd.features.sklearn_learner import SklearnLearner
from deem_crowd.model.design import DesignMatrix
from deem_crowd.runtime.progress import Progress
from deem_crowd.runtime.warning import said_once, warn

FloatArray = npt.NDArray[np.float64]

ONE_SIDED = 0.5
"""The share of answers by sources that only ever name one class, from which tables say nothing."""
_CHANCE = 0.05
_ONE_THREAD_UP_TO = 10**8
"""Rows × columns × classes up to which threads cost more than they save."""

_SHARE_SAID = "{:.0%} of the answers come from sources that only ever name one class"

WITHOUT, PRODUCT, TOGETHER = "answers alone", "product", "joint"


@dataclass(frozen=True)
class Learned:
    """What features add.

    Attributes
    ----------
    reading : str
        'answers alone', 'product' (the posterior of the answers times the classifier) or 'joint'.
    why : str
    posterior : float64, shape (N, K)
        p(label | answers, features).
    together : Joint, optional
        Tables, where they were learned with the features.
    learner, predictor : Learner, Predictor
        The classifier, trained on the posterior of all tasks.
    scaling : Scaling
        What its word counts.
    """

    reading: str
    why: str
    posterior: FloatArray
    together: joint.Joint | None
    learner: Learner
    predictor: Predictor
    scaling: Scaling
    classifier: Callable[[npt.NDArray[Any]], Any]
    """From the names of the classes, shape (K,), to a fitted classifier of scikit-learn's."""
    regions: Regions | None = None
    """The clusters, where workers have tables in several."""
    correlation: float | None = None
    """ρ by which the model of the answers shrinks odds; None where its prior has to be taken as it is."""
    strength: float = 1.0
    """What the log-odds of the answers are multiplied by beside the classifier."""


def learn(
    answers: Answers,
    design: DesignMatrix,
    rows: Rows,
    alone: FloatArray,
    prior: FloatArray,
    classifier: Any = None,
    gold: torch.Tensor | None = None,
    random_state: int = 0,
    progress: Progress | None = None,
    regions: int = 1,
    one_sided: bool = False,
    kept: Kept | None = None,
    labels: Any = None,
) -> Learned | None:
    """Learn labels and a classifier together, where that is safe.

    Parameters
    ----------
    answers : Answers
        N tasks, K classes, each of them answered or known for some task.
    design : DesignMatrix
        The same.
    rows : Rows
        Features of M tasks.
    alone, prior : shapes (N, K) and (K,)
        Posterior and class prior by the answers alone.
    classifier : scikit-learn classifier or torch module, optional
        Chosen by :mod:`deem_crowd.features.choice` if omitted.
    gold : LongTensor, shape (N,), optional
    random_state : int
        Draws the folds.
    progress : Progress, optional
        What is told how many of the fits are done.
    regions : int
        In so many clusters of the features a worker has a table each; 1: one table a worker.
    one_sided : bool
        Whether most sources speak for one class; see :mod:`deem_crowd.selection.one_sided`.
    kept : Kept, optional
        Whether ``alone`` is kept fixed, and how it counts where it is.
    labels : array, shape (K,), optional
        What ``classifier`` calls the classes; 0..K-1 if omitted.

    Returns
    -------
    Learned, or None
        None, with a warning, where there is too little to learn from.

    Raises
    ------
    ParameterError
        If the classifier has no predict_proba.
    """
    seed = int(random_state or 0)

    given = None if classifier is None else _learner_of(classifier, seed, labels)
    lack = _lack(design, rows, gold)
    if lack is not None:
        warn(f"{lack}: the fit goes by the answers alone.", DataWarning)
        return None
    fold = partitions.folds(len(rows.place), seed)
    problem = joint.Problem(design, rows, fold, gold)
    parts = None if regions < 2 else Regions.of(rows.x, regions, seed)
    if parts is not None:
        region = parts.region(rows)
        split = DesignMatrix(by_region(answers, region, parts.number), design.device, design.dtype)
        problem = replace(problem, region=region, regional=split)
        if kept is not None and kept.unless_regional and not doubt.repeated(problem, alone):
            kept = replace(kept, why=None)
    small = rows.x.shape[0] * rows.x.shape[1] * design.n_classes < _ONE_THREAD_UP_TO
    once = said_once() if given is not None else nullcontext()
    with threadpool_limits(1 if small else None), neighbours.remembered(), once:
        learned = _chosen(
            answers,
            problem,
            given,
            alone,
            prior,
            seed,
            progress or Progress("", "", False),
            one_sided,
            kept or Kept(),
        )
    return replace(learned, regions=parts)


def _learner_of(classifier: Any, seed: int, labels: Any) -> Learner:
    """Return what trains copies of a caller's classifier.

    Raises
    ------
    ParameterError
        If it is none.
    """
    from deem_crowd.features.networks import NetworkLearner, is_network

    if is_network(classifier):
        return NetworkLearner(classifier, seed)
    return SklearnLearner(classifier, seed, labels)


def _chosen(
    answers: Answers,
    problem: joint.Problem,
    given: Learner | None,
    alone: FloatArray,
    prior: FloatArray,
    seed: int,
    progress: Progress,
    one_sided: bool,
    kept: Kept,
) -> Learned:
    """Choose among the ways to use features, by what answers say of them."""
    rows, fold, weights = problem.rows, problem.fold, problem.taught()
    votes, named = (problem.votes(), "votes") if kept.why is None else (alone, "labels")
    on_votes = (rows.x, votes[rows.place], weights, fold)
    candidates = choice.candidates(*on_votes, seed) if given is None else [given]
    learner = candidates[-1]
    n_fits = _number_of_fits(learner, len(rows.place))
    asking = guard.PARTS * len(candidates) + 1
    progress.expect((guard.PARTS + 1) * n_fits + asking)
    log_q = learners.settled(learner, *on_votes)
    divisions = partitions.divided(problem, learner, log_q, seed, n_fits)
    progress.update(1)
    told = np.mean([one.log_q for one in divisions], axis=0)
    z = choice.association(told, votes[rows.place], weights)
    share = one_sided_share(answers)
    unchecked = kept.why is not None or one_sided or share >= ONE_SIDED
    most = relevance.UNCHECKED if unchecked else relevance.CHECKED
    related, predicted = _related(z, named, problem, votes, seed, most)
    if not related:
        return _plain(problem, learner, alone, predicted)
    if kept.why is not None:
        return _beside(problem, candidates, alone, prior, kept, f"{kept.why}; {predicted}")
    if unchecked:
        who = "most sources speak for one class" if one_sided else _SHARE_SAID.format(share)
        posterior = beside.once(problem, learner, alone, prior)
        return _finished(problem, learner, PRODUCT, f"{who}; {predicted}", posterior, None)
    draw = [seed, guard.PARTS]
    first = held = guard.held_out(answers, problem, candidates[0], draw, progress)
    if len(candidates) > 1:
        held = guard.held_out(answers, problem, learner, draw, progress, before=first)
    if held is not first and not guard.clear(held.gain - first.gain):
        held, learner = first, candidates[0]
        log_q = learners.settled(learner, *on_votes)
        n_fits = _number_of_fits(learner, len(rows.place))
        progress.expect((guard.PARTS + 1) * n_fits + asking)
        divisions = partitions.divided(problem, learner, log_q, seed, n_fits)
    steady = guard.steadied(answers, problem, held, draw, progress)
    if steady is not None:
        held, learner = steady, learner.steady() or learner
    if held.log_q is None:
        divisions = divisions[:1]
    else:  # settings are those that were chosen with a part held out
        divisions[0].log_q, learner = held.log_q, held.learner.again(passed=1)
    others = partitions.begun(answers, divisions, held.learner, seed, progress)
    gains = np.array([held.gain, *others])
    gain = gains.mean(axis=0)
    if guard.harmful(gains):
        return _plain(problem, learner, alone, _said(gain, "less likely"))
    why = f"{predicted}; {_said(gain)}"
    if z < choice.ASSOCIATED and gain.mean() <= 0:
        return _plain(problem, learner, alone, f"{why}, and have to be")
    if kept.powers == beside.AS_IS and beside.several(problem) and not guard.clear(gain):
        # the answers show a label, and there is no sign that tables learned anew would find more
        return _beside(problem, candidates, alone, prior, kept, why, turns=1)
    together = partitions.fit(divisions, learner, progress)
    doubted = doubt.unexplained(problem, together, alone)
    if doubted is not None:  # each further training would follow what is not the label
        return _beside(problem, candidates, alone, prior, kept, f"{doubted}; {predicted}", turns=1)
    doubted = doubt.contradicted(problem, together)
    if doubted is not None:
        return _beside(problem, candidates, alone, prior, kept, f"{doubted}; {predicted}")
    return _finished(problem, learner, TOGETHER, why, together.posterior, together)


def _related(
    z: float, named: str, problem: joint.Problem, votes: FloatArray, seed: int, most: float
) -> tuple[bool, str]:
    """Tell whether votes have to do with features, and why: by predictions, or of few rows by shuffles.

    Parameters
    ----------
    z : float
        :func:`~deem_crowd.features.choice.association` of the predictions.
    most : float
        The most that :func:`~deem_crowd.features.relevance.chance` may be.
    """
    said = f"features predict {named} {abs(z):.1f} standard errors {'better' if z >= 0 else 'worse'} than chance"
    if z >= choice.ASSOCIATED:
        return True, said
    rows, weights = problem.rows, problem.taught()
    said = f"{said} ({choice.ASSOCIATED:g} better are needed)"
    if np.count_nonzero(weights) > relevance.MOST_ROWS:
        return False, said
    number = problem.design.votes.sum(1).cpu().double().numpy().round()
    if problem.gold is not None:
        number[problem.gold.numpy() >= 0] = np.inf
    at = rows.place
    chance = relevance.chance(rows.x, votes[at], weights, seed, number[at])
    match = f"match the features at least as well as the real {named}"
    if chance <= most:
        return True, f"{said}, but only {chance:.1%} of shuffled {named} {match}"
    return False, f"{said}, and {chance:.1%} of shuffled {named} {match} (at most {most:.1%} may)"


def _number_of_fits(learner: Learner, n_rows: int) -> int:
    """Return the number of divisions into folds: one where classifiers are slow, as trees or a caller's may be."""
    return 1 if isinstance(learner, SklearnLearner) else partitions.number_of_fits(n_rows)


def _lack(design: DesignMatrix, rows: Rows, gold: torch.Tensor | None) -> str | None:
    """Say what is missing for a classifier to be learned; None if nothing is."""
    told = int(joint.Problem(design, rows, np.zeros(0, dtype=np.int64), gold).taught().sum())
    if design.n_classes < 2:
        return "all answers name one class, so there is nothing for a classifier to tell apart"
    folds = partitions.FOLDS
    if told < 2 * folds:
        return (
            f"{counted(told, 'task has', 'tasks have')} both answers and features, and a classifier that predicts "
            f"out of {folds} folds needs {2 * folds}"
        )
    mean, variance = moments(rows.x)
    if not (np.sqrt(variance) > 1e-6 * np.abs(mean) + 1e-12).any():
        return f"the features are constant ({counted(rows.x.shape[1], 'column')})"
    return None


def one_sided_share(answers: Answers) -> float:
    """Return the share of answers by workers who only ever name one class, and not by chance (5 % over all workers)."""
    if answers.soft is not None or answers.n_answers == 0:
        return 0.0
    counts = np.zeros((answers.n_workers, answers.n_classes))
    np.add.at(counts, (answers.worker, answers.hard_label), 1.0)
    total, share = counts.sum(axis=1), counts.sum(axis=0) / counts.sum()
    named = counts.argmax(axis=1)
    chance = total * np.log(np.maximum(share[named], 1e-300))
    certain = (counts.max(axis=1) == total) & (total > 0) & (chance < np.log(_CHANCE / len(total)))
    return float(total[certain].sum() / total.sum())


def _said(gain: FloatArray, how: str | None = None) -> str:
    if how is None:
        how = "likelier" if guard.clear(gain) else "not clearly likelier"
    error = float(gain.std() / np.sqrt(max(len(gain), 1)))
    return f"held-out answers are {how} with them: {gain.mean():+.3f} nats a task, standard error {error:.3f}"


def _plain(problem: joint.Problem, learner: Learner, alone: FloatArray, why: str) -> Learned:
    return _finished(problem, learner, WITHOUT, why, alone, None)


def _beside(
    problem: joint.Problem,
    candidates: list[Learner],
    alone: FloatArray,
    prior: FloatArray,
    kept: Kept,
    why: str,
    turns: int = beside.TURNS,
) -> Learned:
    learner, found = beside.best(problem, candidates, alone, prior, kept, turns)
    learned = _finished(problem, learner, PRODUCT, why, found.posterior, None)
    return replace(learned, correlation=kept.correlation, strength=found.strength)


def _finished(
    problem: joint.Problem,
    learner: Learner,
    reading: str,
    why: str,
    posterior: FloatArray,
    together: joint.Joint | None,
) -> Learned:
    """Train the classifier on the posterior of all tasks, and scale its word out of fold."""
    rows, weights = problem.rows, problem.taught()
    targets = posterior[rows.place]
    if together is None or together.log_q is None:
        log_q = learners.levelled(learner, rows.x, targets, weights, problem.fold)
    else:
        log_q = together.log_q
    calibrated = scaling = Scaling.none(targets.shape[1]).fitted(log_q, targets, weights)
    if reading == WITHOUT:  # its word counts nothing beside answers
        scaling = Scaling(0.0, np.log(np.maximum(posterior.mean(axis=0), 1e-12)))
    predictor = learner.fit(rows.x, targets, weights)

    def classifier(labels: npt.NDArray[Any]) -> Any:
        return learner.public(predictor, calibrated, labels)

    learned = Learned(reading, why, posterior, together, learner, predictor, scaling, classifier)
    return learned if together is None else replace(learned, correlation=together.correlation)
