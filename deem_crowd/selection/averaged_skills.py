r"""Skills of workers who gave few answers each to tasks of two classes, averaged over what they may be.

Where workers gave few answers each, the likeliest tables and the likeliest prior of them can be far from the true ones:
nearly all tasks may then go to one class, though the votes say otherwise. Here skills are averaged. Worker i names
class k of a task of that class with probability θ_ik, which is drawn from Beta(s m_k, s (1 − m_k)), and a task is of
class 1 with probability π. There are two readings: θ_i0 and θ_i1 are drawn apart, or they are one and the same. Loopy
belief propagation (Liu, Peng and Ihler, *Variational inference for crowdsourcing*, NIPS 2012) passes two messages along
each answer x_ni: how probable class 1 is by all other answers to task n, q_ni, and what the worker's other answers say
of this one,

    p_ni(x | k) ∝ ∫ p(x | θ_ik) Beta(θ_i) Π_{m≠n} [q_mi p(x_mi | θ_i1) + (1 − q_mi) p(x_mi | θ_i0)] dθ_i.

m, s and π are climbed to in each pass: where messages are at rest the derivative of Bethe's approximation of the
log evidence is that of the terms in which they stand. π begins at one half and takes steps of EM, which are short where
the answers leave it in doubt; passes end without waiting for it, so that it stays near one half there. The
approximation then compares the readings with each other, and with the bounds of tables
(:mod:`deem_crowd.selection.select`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import betainc, expit, logit

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.runtime.threads import each
from deem_crowd.selection import candidates as rows
from deem_crowd.selection.worker_blocks import Block, in_blocks
from deem_crowd.training.em import Clamp, Member, expect, log_average_table

FloatArray = npt.NDArray[np.float64]

MOST_ANSWERS = 100
"""A worker, on average, up to which skills are averaged: with more the likeliest are near the mean."""
WORK = 2e7
"""Answers, and three times the workers, up to which they are; this many take about a minute and two gigabytes."""
LEAST_ANSWERS = 2
"""A worker, on average, from which they are: with fewer, most workers say nothing of their skill."""
_NODES = 8
"""Of the integral over each of two skills; over one skill there are twice as many."""
_PASSES = 30
_FEW = 2**21
"""Answers × nodes up to which messages are float64."""
_PIECE = 2**17
"""Answers × nodes that stay in the processor's cache."""
_LEAST_MASS = 1e-30
"""Of a node: far from what 32 bits can hold, so that something is left of a worker whom the prior does not expect."""
_FACTORS = 16
"""Likelihoods, each above 1/32, that are multiplied before a logarithm is taken."""
_SETTLED = 2e-2
"""Messages have settled when none moves by more log-odds than this."""
_STEP = 0.4
"""The first, and largest, step of logit m and log s."""
_AT_REST = 0.02
"""Steps of m and s below which the prior has settled."""
_MEAN, _STRENGTH, _SHARE = (0.3, 0.97), (1.5, 300.0), (0.02, 0.98)
"""What m, s and π may be."""
_APART = 1.1
"""m_0 + m_1 is at least this: from 1 downwards the classes would change their names."""


@dataclass(frozen=True)
class Prior:
    """What skills are drawn from.

    Attributes
    ----------
    place : float64, shape (3,) or (2,)
        logit m_0, logit m_1 and log s; with one skill logit m and log s.
    share : float
        π.
    """

    place: FloatArray
    share: float

    def at_a_limit(self) -> bool:
        """Tell whether a class is rarer, or skills are better, worse or less alike, than can be said here."""
        means, (least, most) = self.place[:-1], logit(np.array(_MEAN))
        inside = bool(((least < means) & (means < most)).all())
        weakest = self.place[-1] <= np.log(_STRENGTH[0])
        return not inside or weakest or not _SHARE[0] < self.share < _SHARE[1]


def find(answers: Answers, design: DesignMatrix) -> tuple[str, Member] | None:
    """Return the reading with the larger evidence, and its name; None where skills are not averaged.

    Its ``bound`` is Bethe's approximation of the log evidence, in nats. Skills are averaged where all answers are hard
    and name two classes, between :data:`LEAST_ANSWERS` and :data:`MOST_ANSWERS` a worker, and up to :data:`WORK`. A
    reading of which the prior ends at a limit is left out.
    """
    n_answers = design.n_answers_in_all
    of_worker = n_answers / max(int(design.answered.sum()), 1)
    if answers.is_soft or design.n_classes != 2 or not LEAST_ANSWERS <= of_worker <= MOST_ANSWERS:
        return None
    if n_answers + 3 * design.n_workers > WORK:
        return None
    found: list[tuple[str, Member]] = []
    for name, apart in ((rows.AVERAGED, False), (rows.AVERAGED_BY_CLASS, True)):
        messages = Messages(answers, design, apart)
        member = messages.settled()
        if not messages.prior.at_a_limit():
            found.append((name, member))
    return max(found, key=lambda one: one[1].bound, default=None)


class Messages:
    """The answers of N tasks by D workers, in blocks of workers, and the messages along each answer.

    There are R places for messages: those of the answers, and some that fill up the blocks and say nothing. The G nodes
    of the integral are pairs of skills (θ_i0, θ_i1) in the middle of cells of equal width.
    """

    def __init__(self, answers: Answers, design: DesignMatrix, apart: bool) -> None:
        self._design, self._apart = design, apart
        self._n_tasks, self._n_workers = answers.n_tasks, answers.n_workers
        self._answered = np.diff(answers.task_ptr) > 0
        self._edges = np.linspace(0, 1, (_NODES if apart else 2 * _NODES) + 1)
        middle = (self._edges[:-1] + self._edges[1:]) / 2
        self._zero = np.repeat(middle, _NODES) if apart else middle
        self._one = np.tile(middle, _NODES) if apart else middle
        few = design.n_answers_in_all * len(self._zero) <= _FEW  # the same in all processes
        self._dtype = np.float64 if few else np.float32
        self._basis = np.stack(
            [np.ones_like(self._one), self._zero, self._one], 1, dtype=self._dtype
        )
        self._blocks, place = in_blocks(answers.worker, _PIECE // len(self._zero))
        self._task = np.repeat(np.arange(answers.n_tasks), np.diff(answers.task_ptr))[place]
        self._named_one, self._spare = np.asarray(answers.hard_label)[place] == 1, place < 0
        # written anew in each pass: fresh memory of this size takes as long as what is written there
        self._said = np.empty((answers.n_workers, len(self._zero)), dtype=self._dtype)
        self._places = np.empty((len(place), 3), dtype=self._dtype)
        start = logit(0.7), np.log(6.0)
        self.prior = Prior(np.array([start[0], *start] if apart else start), 0.5)

    def masses(self, place: FloatArray) -> FloatArray:
        """Return the mass of each node under a prior, shape (G,)."""
        strength = np.exp(place[-1])
        of_skills = [
            np.diff(betainc(mean * strength, (1 - mean) * strength, self._edges))
            for mean in expit(place[:-1])
        ]
        both: FloatArray = np.outer(*of_skills).ravel() if self._apart else of_skills[0]
        return both.clip(_LEAST_MASS)

    def _of_workers(self, said: npt.NDArray[Any], places: FloatArray) -> FloatArray:
        """Return Σ_i log Σ_g said[i, g] · mass[g] for priors at P places, shape (P,); ``said`` has shape (D, G)."""
        masses = np.stack([self.masses(place) for place in places], 1)
        value: FloatArray = np.log(said @ masses.astype(said.dtype)).sum(0, dtype=float)
        allowed = expit(places[:, 0]) + expit(places[:, -2]) >= _APART
        return np.where(allowed, value, -np.inf)

    def settled(self, learned: bool = True) -> Member:
        """Pass messages until they settle, and return the reading: tables of mean skills, and their evidence.

        The prior is climbed to on the way if it is to be ``learned``.
        """
        mean_zero, mean_one = expit(self.prior.place[0]), expit(self.prior.place[-2])
        if_one = np.where(self._named_one, mean_one, 1 - mean_one)
        if_zero = np.where(self._named_one, 1 - mean_zero, mean_zero)
        if_one[self._spare] = if_zero[self._spare] = 1.0
        step = _STEP if learned else 0.0
        for number in range(1, _PASSES + 1):
            sent = np.log(if_one / if_zero)
            label, of_one = self._labels(sent)
            terms = self._terms(label)
            said, top = self._said_of_workers(terms)
            if learned and number > 1:
                place, step = _climbed(partial(self._of_workers, said), self.prior.place, step)
                self.prior = Prior(place, self._share(of_one))
            of_workers = float(self._of_workers(said, self.prior.place[None])[0]) + top
            weight = np.multiply(said, self.masses(self.prior.place).astype(self._dtype), out=said)
            weight /= weight.sum(axis=1, keepdims=True)
            if_zero, if_one = self._said_to_tasks(terms, weight)
            moved = bool((np.abs(np.log(if_one / if_zero) - sent) > _SETTLED).any())
            if number > 4 and step < _AT_REST and not self._design.anywhere(moved):
                break
        return self._member(weight, self._bethe(if_zero, if_one, label) + of_workers, number)

    def _share(self, of_one: FloatArray) -> float:
        """Return the mean probability of class 1, shape (N,), of the tasks with answers."""
        here = np.array([of_one[self._answered].sum(), self._answered.sum()])
        total, number = self._design.reduce_array(here)
        return float(np.clip(total / max(number, 1), *_SHARE))

    def _labels(self, odds: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return q, shape (R,), and how probable class 1 is by all answers to a task, shape (N,)."""
        logits = np.bincount(self._task, odds, self._n_tasks) + logit(self.prior.share)
        return expit((logits[self._task] - odds).clip(-25, 25)), expit(logits)

    def _terms(self, label: FloatArray) -> npt.NDArray[Any]:
        """Return a, b and c, shape (R, 3): q p(x | θ_1) + (1 − q) p(x | θ_0) is a + b θ_0 + c θ_1."""
        terms = self._places
        terms[:, 0] = np.where(self._named_one, 1 - label, label)
        terms[:, 1] = np.where(self._named_one, label - 1, 1 - label)
        terms[:, 2] = np.where(self._named_one, label, -label)
        terms[self._spare] = 1, 0, 0
        return terms

    def _said_of_workers(self, terms: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], float]:
        """Return the likelihood of each worker's answers at each node over its largest, shape (D, G).

        The second is the sum of the logarithms of the largest.
        """
        said = self._said
        said.fill(0)

        def fill(block: Block) -> None:
            likelihood = (terms[block.places] @ self._basis.T).reshape(*block.shape, -1)
            said[block.workers] = sum(
                np.log(np.multiply.reduce(likelihood[at : at + _FACTORS], axis=0))
                for at in range(0, len(likelihood), _FACTORS)
            )

        each(fill, self._blocks)
        said = self._design.reduce(torch.from_numpy(said)).numpy()
        top = said.max(axis=1, keepdims=True)
        said = np.exp(np.subtract(said, top, out=said), out=said)
        return said, float(top.sum(dtype=float))

    def _said_to_tasks(
        self, terms: npt.NDArray[Any], weight: npt.NDArray[Any]
    ) -> tuple[FloatArray, FloatArray]:
        """Return p(x | k) by the worker's other answers for both classes k, shape (R,) each.

        ``weight`` is the posterior of each worker's skills, shape (D, G).
        """
        if_zero, if_one = np.empty(len(terms)), np.empty(len(terms))

        def fill(block: Block) -> None:
            others = (terms[block.places] @ self._basis.T).reshape(*block.shape, -1)
            np.divide(weight[block.workers], others, out=others)
            norm, zero, one = (others.reshape(-1, len(self._zero)) @ self._basis).astype(float).T
            zero, one, named = zero / norm, one / norm, self._named_one[block.places]
            if_zero[block.places] = np.where(named, 1 - zero, zero)
            if_one[block.places] = np.where(named, one, 1 - one)

        each(fill, self._blocks)
        if_zero[self._spare] = if_one[self._spare] = 1.0
        return if_zero, if_one

    def _bethe(self, if_zero: FloatArray, if_one: FloatArray, label: FloatArray) -> float:
        """Return Bethe's approximation less what workers say: what tasks say, less what both say of the answers."""
        zero, one = (np.bincount(self._task, np.log(p), self._n_tasks) for p in (if_zero, if_one))
        share = self.prior.share
        of_tasks = np.logaddexp(np.log(share) + one, np.log1p(-share) + zero).sum()
        of_answers = np.log(label * if_one + (1 - label) * if_zero).sum()
        here = self._design.reduce_array(np.array([of_tasks - of_answers]))
        return float(here[0])

    def _member(self, weight: FloatArray, evidence: float, n_passes: int) -> Member:
        """Return the reading; ``weight`` is the posterior of each worker's skills, shape (D, G)."""
        zero, one = (
            torch.from_numpy((weight @ skill).clip(1e-4, 1 - 1e-4))
            for skill in (self._zero, self._one)
        )
        table = torch.stack([torch.stack([zero, 1 - one], 1), torch.stack([1 - zero, one], 1)], 1)
        weights, design = table.log(), self._design
        bias = torch.tensor([1 - self.prior.share, self.prior.share], dtype=torch.float64).log()
        found = expect(design, weights, bias, Clamp(design, None))
        return Member(
            Energy(bias, weights, log_average_table(weights, design), 1),
            self._pseudo_answers(), evidence, n_passes, found.states, found.task_log_likelihood, settled=True,
        )  # fmt: skip

    def _pseudo_answers(self) -> torch.Tensor:
        """Return those of a right and a wrong answer, shape (2,), or those of each class, shape (2, 2)."""
        m_zero, m_one = expit(self.prior.place[0]), expit(self.prior.place[-2])
        means = [[m_zero, 1 - m_one], [1 - m_zero, m_one]] if self._apart else [m_zero, 1 - m_zero]
        return float(np.exp(self.prior.place[-1])) * torch.tensor(means, dtype=torch.float64)


def _climbed(
    values: Callable[[FloatArray], FloatArray], place: FloatArray, step: float
) -> tuple[FloatArray, float]:
    """Return a better place, one step of Newton's method further, and how large the next may be.

    A step that gains nothing is halved until it is too short. ``values`` takes places, shape (P, ·), and returns what
    each is worth, shape (P,).
    """
    if not step:
        return place, step
    here, move = _newton(values, place, step)
    while np.abs(move).max() >= _AT_REST / 2:
        moved = _within(place + move)
        if values(moved[None])[0] > here:
            return moved, min(_STEP, 2 * float(np.abs(moved - place).max()))
        move /= 2
    return place, 0.0


def _newton(
    values: Callable[[FloatArray], FloatArray], place: FloatArray, step: float
) -> tuple[float, FloatArray]:
    """Return what a place is worth, and Newton's step from there, of which no coordinate is longer than ``step``.

    Coordinates move one by one where they have no maximum together. One stays where it is if a place next to it is not
    allowed.
    """
    width, size = 0.05, len(place)
    aside = width * np.eye(size)
    first, second = np.triu_indices(size, 1)
    aside = np.concatenate([aside, aside[first] + aside[second]])
    at = values(place + np.concatenate([0 * aside[:1], aside, -aside]))
    here, (above, below) = float(at[0]), at[1:].reshape(2, -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope, bend = (above - below)[:size] / (2 * width), (above + below - 2 * here) / width**2
        own, free = bend[:size], np.isfinite(bend[:size])
        curve = np.diag(own)
        curve[first, second] = curve[second, first] = (bend[size:] - own[first] - own[second]) / 2
        move = np.where(own < 0, -slope / own, np.sign(slope) * step)
    together = curve[np.ix_(free, free)]
    if np.isfinite(together).all() and (np.linalg.eigvalsh(together) < 0).all():
        move[free] = np.linalg.solve(together, -slope[free])
    move[~free] = 0.0
    return here, move.clip(-step, step)


def _within(place: FloatArray) -> FloatArray:
    """Return the nearest place of a prior that is allowed."""
    inside = place.clip(*logit(np.array(_MEAN)))
    inside[-1] = place[-1].clip(*np.log(_STRENGTH))
    return inside
