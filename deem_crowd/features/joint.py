r"""Labels and a classifier learned together: EM in which p(label | features) takes the place of the class prior.

    p(x_n, h | f_n) = q(h | f_n) Π_{i∈O(n)} T_i[x_ni, h]

(Raykar et al., JMLR 11, 2010, with a classifier of any kind.) EM alternates between the workers' tables and the
classifier, which is trained on the posterior and predicts out of fold, so that it cannot confirm itself.

- The start is the votes: the classifier learns from them first. With one answer a task the posterior of the tables says
  nothing, and would teach it nothing.
- The weight of its word, and an offset for each class, are part of the likelihood and out of fold. They are found first
  with one accuracy that all workers share (:mod:`deem_crowd.features.coin`), so that classes keep their names, and
  again after each training. Accuracy and correlation stay what the first classifier told, which saw votes of other
  tasks alone: a posterior hands on what its classifiers learned from all tasks, so that later ones are no more quite
  out of fold, agree with the answers too often and make them look better than they are.
- Tables are drawn around each worker's own accuracy (:mod:`deem_crowd.training.hierarchical`).
- Where workers err together (the same ρ), the odds of a task's answers shrink by its design effect; they do not where
  answers are independent given the label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.features import coin, learners
from deem_crowd.features.coin import Coin
from deem_crowd.features.learners import Learner
from deem_crowd.features.rows import Rows
from deem_crowd.features.scaling import Scaling
from deem_crowd.model.calibration import design_effect, within_task_correlation
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.rows import column_total
from deem_crowd.training import em
from deem_crowd.training.em import Clamp
from deem_crowd.training.hierarchical import AccuracyCentre, learned_strength

FloatArray = npt.NDArray[np.float64]

ROUNDS = 8
"""The classifier is trained anew at most so often."""
_PASSES, _LATER_PASSES = 20, 6
"""Of tables and posterior, before the classifier is trained anew: at first, and later."""
_RESTED = 5e-4
"""Passes end where the posterior of a task changes by less, in the mean of the largest change: the next classifier
changes it by more."""
_SLOW_PASSES, _SLOW_LATER_PASSES, _SLOW_RESTED = 30, 10, 1e-4
"""The same where most tasks have one answer: tables and labels then move each other in small steps, and far."""
_SETTLED = 2e-3
"""Stop where the posterior of a task changes by less from round to round, in the mean of the largest change."""
_SETTLE_ROUNDS = 2
"""Rounds in which the classifier's settings are chosen anew."""
_STRENGTH_LEARNED_AT = frozenset((2, 5, 10))
_CENTRED_UP_TO, _CENTRED_EVERY = 3, 4
"""The centre of the tables is found anew in the first passes, and then in every so many."""
_FIRST_STRENGTH = 8.0
_MOST_SCALED = 20_000
"""Tasks that the weight of the classifier's word is found from."""


@dataclass(frozen=True)
class Problem:
    """What is learned from.

    Attributes
    ----------
    design : DesignMatrix
        The answers: N tasks, D workers, K classes.
    rows : Rows
        Features of M tasks.
    fold : integers, shape (M,)
    gold : LongTensor, shape (N,), optional
        Known classes, −1 where unknown.
    region : integers, shape (N,), optional
        Where a worker has a table for each of R regions: the one of each task, and
    regional : DesignMatrix, optional
        the answers of D · R workers; see :mod:`deem_crowd.features.regions`.
    """

    design: DesignMatrix
    rows: Rows
    fold: npt.NDArray[np.int64]
    gold: torch.Tensor | None = None
    region: npt.NDArray[np.int64] | None = None
    regional: DesignMatrix | None = None

    def taught(self) -> FloatArray:
        """Return the weight of each row in training, shape (M,): 1 where its task has answers, or a known label."""
        told = self.design.votes.sum(1).cpu().numpy() > 0
        if self.gold is not None:
            told |= (self.gold >= 0).numpy()
        return told[self.rows.place].astype(np.float64)

    def votes(self) -> FloatArray:
        """Return shares of votes, known labels in their place, shape (N, K)."""
        shares = em.vote_start(self.design).cpu().double().numpy().copy()
        if self.gold is not None:
            known = np.flatnonzero(self.gold.numpy() >= 0)
            shares[known] = np.eye(shares.shape[1])[self.gold.numpy()[known]]
        return shares


@dataclass
class Joint:
    """What a fit found.

    Attributes
    ----------
    posterior : float64, shape (N, K)
        p(label | answers, features).
    tables : float64 Tensor, shape (D, K, K)
        Logarithms of p(answer | label).
    prior : float64, shape (K,)
        Shares of the classes.
    correlation : float
        ρ of the answers to a task given its label.
    history : list of float
        Log-likelihood of a task's answers at each pass, in nats; empty where it was not followed.
    log_q : float64, shape (M, K), or None
        What the classifier says of the rows, out of fold, and
    scaling : Scaling
        what that counts.
    regional : float64 Tensor, shape (D · R, K, K), or None
        As ``tables``, for each worker and region.
    """

    posterior: FloatArray
    tables: torch.Tensor
    prior: FloatArray
    correlation: float
    history: list[float]
    log_q: FloatArray | None
    scaling: Scaling
    regional: torch.Tensor | None = None


def fit(
    problem: Problem,
    learner: Learner | None,
    log_q: FloatArray | None,
    rounds: int = ROUNDS,
    followed: bool = True,
) -> Joint:
    """Fit tables and classifier.

    Parameters
    ----------
    problem : Problem
    learner : Learner, optional
        None: without the features, for comparison.
    log_q : shape (M, K), optional
        What the learner says of the rows after training on the votes, out of fold.
    rounds : int
        The classifier is trained anew at most so often.
    followed : bool
        Whether the likelihood of each pass is taken down.
    """
    design, rows = problem.design, problem.rows
    k = design.n_classes
    first = None if learner is None or log_q is None else _coin(problem, log_q)
    if first is None or log_q is None:
        states = torch.from_numpy(problem.votes()).to(design.device, design.dtype)
        em_ = _EM(problem, Scaling.none(k, 0.0), 0.0, followed)
    else:
        states = _with_one_accuracy(problem, log_q, first)
        em_ = _EM(problem, first.scaling, first.correlation, followed)
    weights, before = problem.taught(), None
    for number in range(rounds):
        states = em_.passes(states, log_q, first=number == 0)
        if first is None:
            em_.correlation = within_task_correlation(design, states, em_.tables.exp())
        if before is not None and float((states - before).abs().amax(1).mean()) < _SETTLED:
            break
        before = states
        if learner is None:
            continue
        targets = states.cpu().double().numpy()[rows.place]
        choose = number < _SETTLE_ROUNDS
        log_q = learners.levelled(learner, rows.x, targets, weights, problem.fold, choose)
        em_.scaling = _coin(problem, log_q, first, em_.scaling).scaling
    return Joint(
        posterior=states.cpu().double().numpy(),
        tables=em_.tables,
        prior=np.exp(em.class_log_prior(column_total(states), k, 1).numpy()),
        correlation=em_.correlation,
        history=em_.history,
        log_q=log_q,
        scaling=em_.scaling,
        regional=em_.regional,
    )


def posterior_of(problem: Problem, found: Joint) -> FloatArray:
    """Return p(label | answers, features) of a fit, shape (N, K), without the tasks' known labels."""
    design, tables = problem.design, found.tables
    if problem.regional is not None and found.regional is not None:
        design, tables = problem.regional, found.regional
    log_prior = np.log(np.maximum(found.prior, 1e-300))
    word = np.tile(log_prior, (problem.design.n_tasks, 1))
    if found.log_q is not None:
        word = problem.rows.spread(found.scaling(found.log_q), log_prior)
    answers = problem.design.votes.double().sum(1, keepdim=True).clamp_min(1)
    power = 1 / design_effect(answers, found.correlation)
    evidence = design.logits(tables.to(design.device)).double() * power
    posterior: FloatArray = torch.softmax(evidence.cpu() + torch.from_numpy(word), 1).numpy()
    return posterior


def _coin(
    problem: Problem, log_q: FloatArray, held: Coin | None = None, near: Scaling | None = None
) -> Coin:
    """Return the fit of one accuracy for all workers, a correlation (those of ``held`` if given) and a scaling.

    Steps begin at ``near``, if given.
    """
    some, rows = sample(problem), problem.rows
    task = rows.place[some]
    counts = problem.design.votes.cpu().double().numpy()[task]
    known = None if problem.gold is None else problem.gold.numpy()[task]
    return coin.fit(counts, log_q[some], known, held, near)


def _with_one_accuracy(problem: Problem, log_q: FloatArray, coin: Coin) -> torch.Tensor:
    """Return the posterior if all workers had one accuracy, shape (N, K)."""
    design, k = problem.design, problem.design.n_classes
    votes = design.votes.cpu().double().numpy()
    log_prior = problem.rows.spread(coin.scaling(log_q), np.full(k, -np.log(k)))
    logits = torch.from_numpy(log_prior + coin.log_likelihood(votes))
    clamp = Clamp(design, problem.gold)
    return torch.softmax(clamp(logits.to(design.device, design.dtype)), 1)


def sample(problem: Problem) -> slice:
    """Return the rows from which scalings are found: all, or one in so many of them."""
    return slice(None, None, max(1, -(-len(problem.rows.place) // _MOST_SCALED)))


class _EM:
    """The passes between tables and posterior, the classifier's word given."""

    def __init__(
        self, problem: Problem, scaling: Scaling, correlation: float, followed: bool
    ) -> None:
        self.problem, self.design, self.scaling = problem, problem.design, scaling
        self.correlation, self.history, self._followed = correlation, list[float](), followed
        self.tables = torch.zeros(())
        self._clamp, self._sample = Clamp(problem.design, problem.gold), sample(problem)
        self._weights = problem.taught()
        self._centre, self._strength = AccuracyCentre(), _FIRST_STRENGTH
        self.regional: torch.Tensor | None = None
        self._regional_strength = _FIRST_STRENGTH
        self._log_prior = torch.zeros(())
        answers = problem.design.votes.sum(1)
        self._slow = float((answers > 1).sum()) < 0.5 * float((answers > 0).sum())
        self._passes, self._later_passes, self._rested = (
            (_SLOW_PASSES, _SLOW_LATER_PASSES, _SLOW_RESTED)
            if self._slow
            else (_PASSES, _LATER_PASSES, _RESTED)
        )

    def passes(self, states: torch.Tensor, log_q: FloatArray | None, first: bool) -> torch.Tensor:
        """Return the posterior when tables and scaling have come to rest, shape (N, K)."""
        design = self.design
        answers = design.votes.double().sum(1, keepdim=True).clamp_min(1)
        power = (1 / design_effect(answers, self.correlation)).to(design.dtype)
        if not first:  # the word of a new classifier counts before tables and scaling follow it
            states = self._expected(self._word(states, log_q), power, followed=False)
        for number in range(self._passes if first else self._later_passes):
            counts = design.expected_counts(states).cpu()
            learned = number in _STRENGTH_LEARNED_AT or (number == 0 and not first)
            if self._slow or learned or number < _CENTRED_UP_TO or number % _CENTRED_EVERY == 0:
                middle = self._centre.update(counts, self._strength)
            if learned and design.n_classes > 1:
                self._strength = learned_strength(counts, middle, self._strength)
            cells = counts + self._strength * middle
            self.tables = torch.log(cells / cells.sum(1, keepdim=True))
            self._learn_regions(states, learned)
            self._rescale(states, log_q)
            self._log_prior = self._word(states, log_q)
            moved = self._expected(self._log_prior, power, self._followed)
            change = float((moved - states).abs().amax(1).mean())
            states = moved
            if change < self._rested:
                break
        return states

    def _expected(
        self, log_prior: torch.Tensor, power: torch.Tensor, followed: bool
    ) -> torch.Tensor:
        """Return the posterior, shape (N, K); take down the log-likelihood of a task's answers where it is followed."""
        regional = self.problem.regional
        design = self.design if regional is None else regional
        tables = self.tables if self.regional is None else self.regional
        evidence = design.logits(tables.to(design.device))
        if followed:
            likelihood = float(self.design.total(torch.logsumexp(evidence + log_prior, 1)))
            self.history.append(likelihood / max(self.design.n_tasks, 1))
        return torch.softmax(self._clamp(evidence * power + log_prior), 1)

    def _learn_regions(self, states: torch.Tensor, learned: bool) -> None:
        """Draw the tables of each region around the worker's own, as those are drawn around the worker's accuracy."""
        if self.problem.regional is None:
            return
        counts = self.problem.regional.expected_counts(states).cpu()
        own = self.tables.exp().repeat_interleave(len(counts) // len(self.tables), dim=0)
        if learned and self.design.n_classes > 1:
            self._regional_strength = learned_strength(counts, own, self._regional_strength)
        cells = counts + self._regional_strength * own
        self.regional = torch.log(cells / cells.sum(1, keepdim=True))

    def _rescale(self, states: torch.Tensor, log_q: FloatArray | None) -> None:
        """Bring what the classifier's word counts nearer to what fits the posterior."""
        if log_q is None:
            return
        some = self._sample
        p = states.cpu().double().numpy()[self.problem.rows.place[some]]
        self.scaling = self.scaling.fitted(
            log_q[some], p, self._weights[some], steps=8 if self._slow else 1
        )

    def _word(self, states: torch.Tensor, log_q: FloatArray | None) -> torch.Tensor:
        """Return log p(label) of each task before its answers, shape (N, K)."""
        design = self.design
        prior = em.class_log_prior(design.total(states), design.n_classes, 1)
        if log_q is None:
            return prior.expand(len(states), -1).to(design.device, design.dtype)
        word = self.problem.rows.spread(self.scaling(log_q), prior.numpy())
        return torch.from_numpy(word).to(design.device, design.dtype)
