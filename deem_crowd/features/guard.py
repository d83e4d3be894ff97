"""Whether labels that are learned with features predict answers: held-out answers tell, without any gold.

The likelihood that training climbs cannot: a classifier is trained on a posterior that it has shaped itself, and even
out of fold that posterior holds something of what it said. So labels and classifier are learned on a part of the tasks
alone, and asked about the answers to the rest. They must not do worse than the better of two models that ignore
features: tables and a class prior, and no label at all (answers that depend on who gave them alone). Whether features
say anything in the first place is the easier question, of votes alone (:mod:`deem_crowd.features.learned`).

Labels that are learned from few answers are often too sure of themselves, and then predict worse than nothing although
they point the right way. So features are refused only if no share of them would help, either: a mixture of the two
models, (1 − ε) p + ε p', predicts better than p for some ε > 0 exactly if the mean of p' / p is above 1, which is the
slope of its log-likelihood at ε = 0 (stacking; Wolpert, *Neural Networks* 5, 1992, with Rao's score test).

What these classifiers say of the tasks held out is also where EM begins, in place of what a classifier says that was
trained on votes: it has learned from labels, and no answer to the task has reached it, nor a posterior that such an
answer has shaped. Of classifiers that are trained anew in EM the latter is not true.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.features import joint, learners
from deem_crowd.features.joint import Joint, Problem
from deem_crowd.features.learners import Learner, Predictor
from deem_crowd.features.regions import by_region
from deem_crowd.features.rows import Rows
from deem_crowd.model.design import DesignMatrix
from deem_crowd.runtime.progress import Progress
from deem_crowd.training.hierarchical import STRENGTHS

FloatArray = npt.NDArray[np.float64]

PARTS = 5
"""The tasks are divided into so many parts, and each is held out once."""
MOST_TASKS = 5_000
"""With more tasks a random part of so many is asked."""
_ROUNDS = 3
STANDARD_ERRORS = 1.0
"""What is likelier by less is no reason to leave the simpler model."""
_STEADY = 2.4
"""Standard errors from which settings that votes chose are kept: by chance in one case of 120."""
_MOST_GAIN = 30.0
"""In nats, where it is taken as a ratio."""


@dataclass(frozen=True)
class HeldOut:
    """What held-out tasks tell of a learner.

    Attributes
    ----------
    gain, without : float64, shape (tasks asked,)
        By how much features make each held-out task's answers likelier, in nats, and their log-likelihood without
        features; tasks in their order.
    log_q : float64, shape (M, K), or None
        log p(label | x) of each row by the classifier that was learned without its task; None where some tasks with
        answers were not asked.
    learner : Learner
        That of the first training, which chose settings for the others.
    """

    gain: FloatArray
    without: FloatArray
    log_q: FloatArray | None
    learner: Learner


def held_out(
    answers: Answers,
    problem: Problem,
    learner: Learner,
    seed: Sequence[int],
    progress: Progress,
    settled: bool = False,
    before: HeldOut | None = None,
) -> HeldOut:
    """Learn labels and classifier without each part of the tasks in turn, and ask about that part.

    Parameters
    ----------
    answers : Answers
        Of the problem.
    problem : Problem
        Features of M tasks, K classes.
    learner : Learner
        A new one of the same kind is asked; the settings that it chooses on the first of the trainings hold for the
        others.
    seed : sequence of int
        Draws the parts.
    progress : Progress
        Goes on by a step for each part.
    settled : bool
        Whether the settings that ``learner`` has chosen hold from the first training on.
    before : HeldOut, optional
        What is told of another learner, with the same answers, problem and seed.
    """
    asking = learner.again() if settled else learner.anew()
    without = None if before is None else before.without
    found = _held_out(answers, problem, asking, seed, progress, without)
    assert found is not None
    return found


def steadied(
    answers: Answers, problem: Problem, held: HeldOut, seed: Sequence[int], progress: Progress
) -> HeldOut | None:
    """Ask whether a learner should keep the settings that votes chose.

    Labels choose others, mostly smaller penalties, because they are surer than votes. But the classifiers of earlier
    rounds have seen the answers to all tasks, so that no label is quite new to a fold: where features are many beside
    the answers, labels choose penalties so small that the classifier repeats its own errors.

    Parameters
    ----------
    held : HeldOut
        What is told of the learner that labels choose for, with the same answers, problem and seed.
    answers, problem, seed, progress
        As for :func:`held_out`; progress goes on by as many steps, asked or not.

    Returns
    -------
    HeldOut, or None
        None unless held-out answers are clearly likelier.
    """
    steady, end = held.learner.steady(), progress.done + PARTS
    other = None
    if steady is not None:
        other = _held_out(answers, problem, steady, seed, progress, held.without, held)
    if progress.done < end:
        progress.update(end)
    return None if other is None or not clear(other.gain - held.gain, _STEADY) else other


def _held_out(
    answers: Answers,
    problem: Problem,
    learner: Learner,
    seed: Sequence[int],
    progress: Progress,
    known: FloatArray | None = None,
    rival: HeldOut | None = None,
) -> HeldOut | None:
    """Return the same; None where answers to the first part are clearly less likely than with the ``rival``.

    ``known`` is :attr:`HeldOut.without`, where another learner was asked before.
    """
    asked = _asked(answers, seed)
    whole = len(asked) <= MOST_TASKS
    asked = asked[:MOST_TASKS]
    place = np.empty(answers.n_tasks, dtype=np.int64)
    place[np.sort(asked)] = np.arange(len(asked))
    log_q = np.empty((len(problem.rows.place), answers.n_classes)) if whole else None
    gain, without = np.empty((2, len(asked)))
    for number, (train, test, held, told) in enumerate(_divided(answers, problem, asked)):
        here = place[held]
        without[here] = _without(train, test) if known is None else known[here]
        fit, predictor = _together(train, learner.again() if number else learner)
        gain[here] = _with_features(fit, predictor, test) - without[here]
        if log_q is not None and len(told):
            log_q[told] = predictor.log_proba(problem.rows.x[told])
        progress.update(progress.done + 1)
        if rival is not None and number == 0 and clear(rival.gain[here] - gain[here]):
            return None
    return HeldOut(gain, without, log_q, learner)


def harmful(gains: FloatArray) -> bool:
    """Whether held-out answers refuse features.

    Parameters
    ----------
    gains : shape (divisions, tasks asked)
        :attr:`HeldOut.gain` of one learner in each division.
    """
    share = np.exp(np.minimum(gains, _MOST_GAIN)).mean(axis=0) - 1
    return clear(-gains.mean(axis=0)) and not clear(share)


def clear(gain: FloatArray, errors: float = STANDARD_ERRORS) -> bool:
    """Whether a gain, one number a task, lies more than so many standard errors above zero in the mean."""
    error = float(gain.std() / np.sqrt(max(len(gain), 1)))
    return float(gain.mean()) > errors * error


def _asked(answers: Answers, seed: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return the tasks that have answers, in random order."""
    asked = np.flatnonzero(np.diff(answers.task_ptr) > 0)
    np.random.default_rng(seed).shuffle(asked)
    return asked


def _divided(
    answers: Answers, problem: Problem, asked: npt.NDArray[np.int64]
) -> Iterator[tuple[Problem, Problem, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield, for each part of the tasks asked, the problem without it, the part, its tasks, and the rows new to others.

    Rows of tasks without answers are new to every part, and come with the first.
    """
    row = np.full(answers.n_tasks, -1, dtype=np.int64)
    row[problem.rows.place] = np.arange(len(problem.rows.place))
    unseen = np.setdiff1d(row[np.diff(answers.task_ptr) == 0], [-1])
    for number in range(PARTS):
        held = np.sort(asked[number::PARTS])
        others = np.sort(np.concatenate([asked[j::PARTS] for j in range(PARTS) if j != number]))
        train, test = (_part(answers, problem, row, tasks) for tasks in (others, held))
        told = row[held][row[held] >= 0]
        yield train, test, held, told if number else np.concatenate([told, unseen])


def _part(
    answers: Answers, problem: Problem, row: npt.NDArray[np.int64], tasks: npt.NDArray[np.int64]
) -> Problem:
    """Return the problem over some tasks; ``row`` is the row of features of each task, −1 for none."""
    whole = problem.design
    design = DesignMatrix(answers.select(tasks=tasks), whole.device, whole.dtype)
    place = np.flatnonzero(row[tasks] >= 0)
    picked = row[tasks[place]]
    rows = Rows(problem.rows.x[picked], place, len(tasks))
    gold = None if problem.gold is None else problem.gold[torch.from_numpy(tasks)]
    fold = np.empty(len(picked), dtype=np.int64)  # even folds, in the order of the whole
    fold[np.argsort(problem.fold[picked], kind="stable")] = (
        np.arange(len(picked)) * (int(problem.fold.max()) + 1) // max(len(picked), 1)
    )
    if problem.region is None:
        return Problem(design, rows, fold, gold)
    region = problem.region[tasks]
    return Problem(
        design, rows, fold, gold, region, _regional(answers.select(tasks=tasks), problem, region)
    )


def _regional(answers: Answers, whole: Problem, region: npt.NDArray[np.int64]) -> DesignMatrix:
    """Return the answers of a worker for each worker and region; all regions of ``whole`` have a place."""
    assert whole.regional is not None
    number = whole.regional.n_workers // max(whole.design.n_workers, 1)
    return DesignMatrix(by_region(answers, region, number), whole.design.device, whole.design.dtype)


def _together(train: Problem, learner: Learner) -> tuple[Joint, Predictor]:
    """Return labels that were learned with a classifier, and the classifier."""
    x, place, weights = train.rows.x, train.rows.place, train.taught()
    log_q = learners.levelled(learner, x, train.votes()[place], weights, train.fold)
    fit = joint.fit(train, learner, log_q, _ROUNDS, followed=False)
    return fit, learner.fit(x, fit.posterior[place], weights)


def _with_features(fit: Joint, predictor: Predictor, test: Problem) -> FloatArray:
    """Return the log-likelihood of each task's answers in ``test``, by what was learned without it."""
    word = (
        fit.scaling(predictor.log_proba(test.rows.x)) if len(test.rows.place) else np.zeros((0, 1))
    )
    log_prior = np.log(fit.prior) if not len(word) else test.rows.spread(word, np.log(fit.prior))
    design = test.design if test.regional is None else test.regional
    tables = fit.tables if fit.regional is None else fit.regional
    return _log_likelihood(design, tables, torch.from_numpy(log_prior))


def _without(train: Problem, test: Problem) -> FloatArray:
    """Return the same by the better of two models that ignore features."""
    fit = joint.fit(train, None, None, _ROUNDS, followed=False)
    likelihoods = [_log_likelihood(test.design, fit.tables, torch.from_numpy(np.log(fit.prior)))]
    ones = torch.ones(
        (train.design.n_tasks, 1), dtype=train.design.dtype, device=train.design.device
    )
    counts = train.design.expected_counts(ones).cpu()
    shares = counts.sum(0) + 0.5
    for strength in STRENGTHS:
        cells = counts + strength * shares / shares.sum()
        table = torch.log(cells / cells.sum(1, keepdim=True))
        likelihoods.append(_log_likelihood(test.design, table, torch.zeros(1, dtype=torch.float64)))
    return max(likelihoods, key=lambda values: float(values.mean()))


def _log_likelihood(
    design: DesignMatrix, tables: torch.Tensor, log_prior: torch.Tensor
) -> FloatArray:
    evidence = design.logits(tables.to(design.device))
    word = log_prior.to(design.device, design.dtype)
    likelihood: FloatArray = torch.logsumexp(evidence + word, 1).cpu().double().numpy()
    return likelihood
