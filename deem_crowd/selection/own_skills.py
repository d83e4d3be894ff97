r"""One skill a worker, averaged over what it may be, for answers that hardly show a label.

Where a label hardly shows, the likeliest skills may be far from the true ones, and labels that follow from them worse
than the votes. Skills that are averaged over a prior do better. Worker i is right with probability θ_i, a draw from a
Beta distribution, and errors are even over the other classes. Loopy belief propagation (Liu, Peng and Ihler,
*Variational inference for crowdsourcing*, NIPS 2012) passes two messages along each answer x_ni: to the worker, how
probable the label x_ni is by all other answers to task n,

    q_ni = p(y_n = x_ni | the other answers),

and to the task, how probable it is that the worker is right, by all other tasks of the worker,

    p_ni ∝ ∫ θ Beta(θ) Π_{m≠n} [θ q_mi + (1 − θ)(1 − q_mi)/(K − 1)] dθ.

The prior's mean is the usual skill, or the one that explains how often pairs of workers agree; its strength is three
or nine times that of the other members' prior, or infinite, which is one skill for all. Under weaker priors skills
fall below chance, and answers then speak against the class that they name. Each prior counts by its evidence, in
Bethe's approximation. Where sources repeat others, as the user says
(:mod:`deem_crowd.selection.shared_errors.groups`), what their answers say of a label is raised to the power w_i.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.special import betainc, logit, logsumexp, softmax

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.training.confusion import RIGHT, WRONG

FloatArray = npt.NDArray[np.float64]

STRENGTHS = 9 * (RIGHT + WRONG), 3 * (RIGHT + WRONG)
"""Of the priors on skills, in answers; the stronger comes first, as messages settle sooner under it."""
_LARGEST = 0.95
"""The mean of a prior is at most this."""
_NODES = 12
"""Of the integral over a skill."""
_PASSES = 10
WORK = 6e6
"""Answers × nodes × passes of one prior up to which messages are passed."""
_SETTLED = 1e-2
"""Messages have settled when none moves by more log-odds than this."""
_CERTAIN = 1e-9


@dataclass(frozen=True)
class Skills:
    """Skills under one prior.

    Attributes
    ----------
    mean : float64, shape (D,)
        Posterior means of the skills; the prior's for workers without answers.
    evidence : float
        Bethe's approximation of the log evidence, in nats.
    right : float64, shape (R,)
        The last messages to tasks.
    """

    mean: FloatArray
    evidence: float
    right: FloatArray


def affordable(answers: Answers, design: DesignMatrix) -> bool:
    """Tell whether messages are passed: for hard answers of two classes or more, up to :data:`WORK`."""
    some = design.n_answers_in_all > 0 and design.n_classes > 1
    return some and not answers.is_soft and design.n_answers_in_all * _NODES * _PASSES <= WORK


def average(
    answers: Answers,
    design: DesignMatrix,
    common: float,
    usual: float,
    power: FloatArray | None = None,
) -> list[tuple[float, torch.Tensor]]:
    """Return the posterior probability of each prior and the mean skills under it; one skill for all comes last.

    Parameters
    ----------
    answers, design : the same data
        N tasks, D workers, K classes; :func:`affordable`.
    common : float
        The skill that explains how often pairs agree: of all, where all have one.
    usual : float
        Of a worker of whom nothing is known.
    power : shape (D,), optional
        What an answer of each worker counts; 1 if omitted.
    """
    messages = Messages(answers, design, power)
    found: list[Skills] = []
    for mean in (usual, common):
        for strength in STRENGTHS:
            prior = nodes(min(mean, _LARGEST), strength)
            found.append(messages.pass_on(*prior, found[-1] if found else None))
    found.append(messages.pass_on(np.array([common]), np.zeros(1)))
    evidence = np.array([skills.evidence for skills in found])
    share = np.exp(evidence - logsumexp(evidence))
    return [
        (float(p), torch.from_numpy(skills.mean)) for p, skills in zip(share, found, strict=True)
    ]


def nodes(mean: float, strength: float) -> tuple[FloatArray, FloatArray]:
    """Return skills in the middle of what lies in cells of equal width under a Beta prior, and log masses of cells."""
    right, wrong = mean * strength, (1 - mean) * strength
    edges = np.linspace(0, 1, _NODES + 1)
    mass = np.diff(betainc(right, wrong, edges)).clip(1e-300)
    middle = (edges[:-1] + edges[1:]) / 2
    skill = mean * np.diff(betainc(right + 1, wrong, edges)) / mass
    far = mass < _CERTAIN * 1e-9  # nothing is left of the quotient's digits
    return np.where(far, middle, skill).clip(1e-4, 1 - 1e-4), np.log(mass / mass.sum())


class Messages:
    """The answers of N tasks by D workers, laid out for messages along each of the R answers.

    An answer of worker i counts ``power[i]``, 1 if omitted.
    """

    def __init__(
        self, answers: Answers, design: DesignMatrix, power: FloatArray | None = None
    ) -> None:
        self._design = design
        self._shape = answers.n_tasks, answers.n_classes
        self._task = np.repeat(np.arange(answers.n_tasks), np.diff(answers.task_ptr))
        self._code = self._task * answers.n_classes + answers.hard_label
        self._worker = np.asarray(answers.worker, dtype=np.int64)
        self._power = None if power is None else power[self._worker]
        r = len(self._worker)
        cells = np.ones(r), (self._worker, np.arange(r))
        self._of_worker = sparse.csr_array(cells, shape=(answers.n_workers, r))

    def pass_on(
        self, skill: FloatArray, log_prior: FloatArray, before: Skills | None = None
    ) -> Skills:
        """Pass messages until they settle, under a prior of G skills with log masses, shape (G,) each.

        They begin where those under another prior, ``before``, ended, or at the prior's mean.
        """
        mean = float(np.exp(log_prior) @ skill)
        right = np.full(len(self._task), mean) if before is None else before.right
        for _ in range(_PASSES):
            sent, label = right, self._labels(right)
            by_answer = np.outer(label, skill)
            by_answer += np.outer(self._wrongly(label), 1 - skill)
            by_worker = self._design.reduce_array(self._of_worker @ np.log(by_answer)) + log_prior
            share = softmax(by_worker, axis=1)
            others = np.divide(share[self._worker], by_answer, out=by_answer)
            right = others @ skill / others.sum(axis=1)
            moved = np.abs(logit(right) - logit(sent)) > _SETTLED
            if not self._design.anywhere(bool(moved.any())):
                break
        return Skills(share @ skill, self._evidence(right, label, by_worker), right)

    def _wrongly(self, probability: FloatArray) -> FloatArray:
        """Return the probability of one of the other classes, from that of all of them together."""
        return (1 - probability) / (self._shape[1] - 1)

    def _spoken(self, right: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what each answer says for the class that it names and for each other one, shape (R,)."""
        wrongly = self._wrongly(right)
        if self._power is None:
            return right, wrongly
        return np.asarray(right**self._power), np.asarray(wrongly**self._power)

    def _logits(self, right: FloatArray) -> FloatArray:
        """Return what all answers to a task say, shape (N, K)."""
        for_it, against = self._spoken(right)
        said = np.log(for_it / against)
        summed: FloatArray = np.bincount(self._code, said, math.prod(self._shape)).astype(
            np.float64
        )
        return summed.reshape(self._shape)

    def _labels(self, right: FloatArray) -> FloatArray:
        """Return q, shape (R,): the probability of the label that an answer names, by the others to its task."""
        logits = self._logits(right)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        named = odds.ravel()[self._code]
        for_it, against = self._spoken(right)
        without = named * against / for_it
        label = without / (odds.sum(axis=1)[self._task] - named + without)
        return label.clip(_CERTAIN, 1 - _CERTAIN)

    def _evidence(self, right: FloatArray, label: FloatArray, by_worker: FloatArray) -> float:
        """Return Bethe's approximation: what tasks and workers say, less what both say of the answers."""
        for_it, against = self._spoken(right)
        n, k = self._shape
        of_tasks = (
            logsumexp(self._logits(right), axis=1).sum() + np.log(against).sum() - n * math.log(k)
        )
        of_answers = np.log(label * for_it + (1 - label) * against).sum()
        here = self._design.reduce_array(np.array([of_tasks - of_answers]))
        return float(here[0] + logsumexp(by_worker, axis=1).sum())
