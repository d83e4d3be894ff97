r"""Who answered is evidence: a model for sources that speak for one class and abstain otherwise.

A labelling function that only ever says "spam" says nothing by its word, given that it spoke; that it spoke is what it
says. Source i names class l on a task of class k with probability p_i[l, k], and is silent otherwise, independently of
the others given the class:

    log p(x_n | k) = Σ_{i∈O(n)} log p_i[x_ni, k] + Σ_{i∉O(n)} log(1 − e_i[k]),        e_i[k] = Σ_l p_i[l, k],

(the class-conditional propensities of Ratner et al., *Data Programming*, NeurIPS 2016). As an energy that is
W[i, l, k] = log p_i[l, k] − log(1 − e_i[k]) and b[k] = log π_k + Σ_i log(1 − e_i[k]). Each p_i[l, k] is shrunk towards
the rate at which the source names l at all, times a lift for l = k that all sources share; that counts as many tasks as
make two answers.

Answers in long format hold no task on which all sources are silent. Where there is none, the likelihood conditions on
some source speaking,

    log p(x_n | somebody speaks) = log p(x_n) − log(1 − p_0),        p_0 = Σ_k π_k Π_i (1 − e_i[k]),

and EM counts N p_0 / (1 − p_0) such tasks beside the N seen (Dempster, Laird and Rubin, *JRSS B* 39, 1977, on truncated
data): otherwise sources would seem to avoid one another's tasks.

Sources of a group that shares errors, where the caller names some, count 1 / (1 + c ρ) each, by word and by silence,
with c other members and ρ = 1/2.

The model is used only where four questions are answered with yes (:func:`find`): most sources speak for one class; the
likelihood gains more over sources that speak at a constant rate than Schwarz's penalty (*Annals of Statistics* 6, 1978)
for its numbers; no pair of sources speaks together more or less often than the model says (a Bonferroni test at 5 %
over at least 40 pairs, or 21 with many tasks in common); and all pairs together do not look as if the model had taken
sources that repeat one another for the label (:func:`leaves_a_label`). On real sets labelling functions share keywords,
and the third answer is no.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.selection import one_sided, pairs
from deem_crowd.training.em import Tables, climb

_PRIOR_ANSWERS = 2.0
_FIRST_LIFT = 3.0
_SMALLEST = 1e-6
_MOST_SILENT, _ROUNDS = 0.9, 100
"""The largest chance allowed for a task on which all are silent, and the number of passes to find it."""
SHARED = 0.5
"""Share of what sources of one group say that they share."""
_LEAST_EXPECTED, _LEVEL = 5.0, 0.05
"""In the test of pairs: how many common tasks a pair must be expected to have, and the chance of a false alarm."""
_ENOUGH = ((_LEAST_EXPECTED, 40), (25.0, 21))
"""Common tasks that each pair must be expected to have, and how many such pairs the test needs to tell anything."""
_LABEL_LEFT, _MISFIT, _NONE_LEFT = 1.25, 1.75, -1.0
"""Of the test of all pairs, in standard deviations: the sum that bears a label's signs from which a label is left, and
the sum of squares from which the pairs deviate, where the former is above the third number."""


@dataclass(frozen=True)
class Presence:
    """A fit.

    Attributes
    ----------
    energy : Energy
        Its prior given no answer is that of a task on which all were asked and were silent.
    shares : float64, shape (K,)
        π, the class shares.
    posterior : shape (N, K)
    gain : float
        Log-likelihood above that of sources that speak at a constant rate, in nats.
    speaks : float64, shape (D, K)
        e: how often each source speaks, by class.
    history : list of float
        Log-likelihood a task at each pass, in nats.
    unseen : float
        Expected number of tasks on which all were silent, where such tasks are left out of the data.
    """

    energy: Energy
    shares: torch.Tensor
    posterior: torch.Tensor
    gain: float
    speaks: torch.Tensor
    history: list[float]
    unseen: float = 0.0


def find(
    answers: Answers, design: DesignMatrix, group: npt.NDArray[np.int64] | None = None
) -> Presence | None:
    """Return the fit of a presence model where the answers speak for it, else None.

    Parameters
    ----------
    answers, design : the same data
        N tasks, D workers, K classes.
    group : shape (D,), optional
        Number of each worker's group of sources that share errors, −1 for none.
    """
    named = design.answers_named()
    given = named.sum(1)
    if (
        answers.is_soft
        or bool((given >= design.n_tasks_in_all).any())
        or not one_sided.are_most(named)
    ):
        return None
    presence = fit(design, named, _power(given.numpy(), group))
    n_numbers = int((given > 0).sum()) * (design.n_classes - 1)
    if presence.gain <= 0.5 * n_numbers * math.log(design.n_tasks_in_all):
        return None
    seen = _together(answers, design, presence, group)
    return presence if fits_pairs(seen) and not leaves_a_label(seen) else None


def _power(given: npt.NDArray[np.float64], group: npt.NDArray[np.int64] | None) -> torch.Tensor:
    """Return what the word and the silence of each source count, shape (D,): less in groups that share errors."""
    others = np.zeros(len(given))
    if group is not None:
        members = np.bincount(
            group[(group >= 0) & (given > 0)], minlength=group.max(initial=-1) + 1
        )
        others = np.where(group >= 0, np.append(members, 1)[group] - 1, 0).clip(min=0)
    return torch.from_numpy(1 / (1 + SHARED * others))


class _Speaking:
    """Tables of sources that speak or not; see :class:`deem_crowd.training.em.MStep`.

    Parameters
    ----------
    named : shape (D, K)
        How often each source named each class.
    n_tasks : int
        N.
    power : shape (D,)
        What the word and the silence of each source count.
    truncated : bool
        Whether tasks on which all are silent are left out.
    """

    n_subtypes, bounded = 1, False

    def __init__(
        self, named: torch.Tensor, n_tasks: int, power: torch.Tensor, truncated: bool
    ) -> None:
        self._power, self._n_tasks, self._truncated = power[:, None], n_tasks, truncated
        self._named, self._lift = named, _FIRST_LIFT
        self.unseen = torch.zeros(named.shape[1], dtype=torch.float64)
        self.missed: list[float] = []  # − log(1 − p_0) at each pass

    def update(self, counts: torch.Tensor, tasks: torch.Tensor, number: int) -> Tables:
        """See :class:`deem_crowd.training.em.MStep`."""
        eye = torch.eye(len(tasks), dtype=torch.float64)
        tasks = tasks + self.unseen
        shares = tasks / tasks.sum()
        if number > 1:
            own = float(torch.diagonal(counts, dim1=1, dim2=2).sum())
            self._lift = _lift(self._named, shares, own)
        lift = self._lift
        rate = self._named / (self._n_tasks + float(self.unseen.sum()))
        base = rate[:, :, None] * (1 + (lift - 1) * eye) / (1 + (lift - 1) * shares)[:, None]
        base = base.clamp(_SMALLEST, 1 - _SMALLEST)
        # as many tasks as make the prior's answers
        table = (counts + _PRIOR_ANSWERS) / (tasks + _PRIOR_ANSWERS / base)
        table = torch.where(self._named[:, :, None] > 0, table, torch.full_like(table, _SMALLEST))
        speaks = table.sum(1)
        table = table * (speaks.clamp_max(1 - _SMALLEST) / speaks)[:, None, :]
        silent = torch.log1p(-table.sum(1))
        log_shares = torch.log((tasks + 1) / (tasks.sum() + len(tasks)))
        odds = table.log() - silent[:, None, :]
        bias = log_shares + (silent * self._power).sum(0)
        if self._truncated:
            unheard = bias.exp()
            heard = (1 - unheard.sum()).clamp_min(1 - _MOST_SILENT)
            self.unseen = self._n_tasks * unheard / heard
            self.missed = [*self.missed, -math.log(heard)]
        return Tables(odds * self._power[:, None], bias)

    def log_evidence(self, counts: torch.Tensor, tasks: torch.Tensor) -> float:
        """Return NaN: the bound of this model is not asked for."""
        return math.nan

    @property
    def pseudo_answers(self) -> torch.Tensor:
        """See :class:`deem_crowd.training.em.MStep`."""
        return torch.tensor([_PRIOR_ANSWERS], dtype=torch.float64)

    @property
    def carried(self) -> Mapping[str, Any]:
        """See :class:`deem_crowd.training.em.MStep`."""
        return {"lift": self._lift, "unseen": self.unseen, "missed": self.missed}

    def resume(self, carried: Mapping[str, Any]) -> None:
        """See :class:`deem_crowd.training.em.MStep`."""
        self._lift, self.unseen, self.missed = (carried[n] for n in ("lift", "unseen", "missed"))


def fit(design: DesignMatrix, named: torch.Tensor, power: torch.Tensor | None = None) -> Presence:
    """Fit by EM; ``named``, shape (D, K), is how often a source named each class; they count ``power``, shape (D,)."""
    power = torch.ones(len(named), dtype=torch.float64) if power is None else power
    k, n = design.n_classes, design.n_tasks_in_all
    votes = design.votes
    answers = votes.sum(1, keepdim=True)
    truncated = float(design.total((answers == 0).to(votes.dtype))) == 0
    speaking = _Speaking(named, n, power, truncated)
    member = climb(design, (votes + 0.5 / k) / (answers + 0.5), speaking, noted=True)
    history = [a + b for a, b in zip_longest(member.log_likelihood, speaking.missed, fillvalue=0.0)]
    gain = history[-1] * n - _constant_rate(named, n, power, truncated)
    bias, odds = member.energy.bias, (member.energy.weight / power[:, None, None]).exp()
    speaks = odds.sum(1) / (1 + odds.sum(1))
    named_by_all = (odds * (1 - speaks)[:, None]).mean(0)
    energy = Energy(bias, member.energy.weight, (named_by_all / (1 - speaks.mean(0))).log())
    shares = (bias - (torch.log1p(-speaks) * power[:, None]).sum(0)).exp()
    unseen = float(speaking.unseen.sum())
    return Presence(energy, shares, member.states, gain, speaks, history, unseen)


def _lift(named: torch.Tensor, shares: torch.Tensor, own: float) -> float:
    """Return the lift under which sources name a task's own class as often as they were seen to, by bisection."""
    given = named.sum(0)
    low, high = 1.0, 1e4
    for _ in range(50):
        middle = math.sqrt(low * high)
        if float((given * shares * middle / (1 + (middle - 1) * shares)).sum()) < own:
            low = middle
        else:
            high = middle
    return low


def _constant_rate(
    named: torch.Tensor, n_tasks: int, power: torch.Tensor, truncated: bool
) -> float:
    """Return the log-likelihood of sources that name each class at a rate of their own, whatever the task, in nats."""
    given, n, missed = named.sum(1), float(n_tasks), 0.0
    for _ in range(_ROUNDS if truncated else 0):
        unheard = float((torch.log1p(-given / n) * power).sum().exp().clamp_max(_MOST_SILENT))
        missed = -n_tasks * math.log1p(-unheard)
        n = n_tasks / (1 - unheard)
    silent = torch.xlogy(n_tasks - given, 1 - given / n)
    spoken = torch.xlogy(named, named / n).sum(1)
    return float(power @ (spoken + silent)) + missed


@dataclass(frozen=True)
class Together:
    """How often pairs of n sources speak of the same task.

    Attributes
    ----------
    n_tasks : float
        Those expected beside the tasks seen among them.
    rate : shape (n,)
        Share of the tasks of which a source speaks.
    own : shape (n,)
        The class that a source speaks for, -1 where it speaks for several.
    common : shape (n, n)
        Tasks of which both speak.
    expected : shape (n, n)
        The same by the model.
    asked : bool, shape (n, n)
        Which pairs are asked, each once: those that are not of one group.
    less : bool
        Whether sources of a group that is named count less.
    """

    n_tasks: float
    rate: pairs.FloatArray
    own: npt.NDArray[np.int64]
    common: pairs.FloatArray
    expected: pairs.FloatArray
    asked: npt.NDArray[np.bool_]
    less: bool = False


def _together(
    answers: Answers,
    design: DesignMatrix,
    presence: Presence,
    group: npt.NDArray[np.int64] | None = None,
) -> Together:
    """Count the pairs of the most active sources; pairs of one group, shape (D,), are not asked."""
    n_answers = design.reduce_array(np.bincount(answers.worker, minlength=answers.n_workers))
    n_tasks = design.n_tasks_in_all + presence.unseen
    chosen = np.argsort(-n_answers, kind="stable")[: pairs.MAX_SOURCES]
    chosen = np.sort(chosen[n_answers[chosen] > 0])
    common = pairs.count(answers, chosen, design.reduce_array).common
    speaks: npt.NDArray[np.float64] = presence.speaks.numpy()[chosen]
    expected = (speaks * (presence.shares.numpy() * n_tasks)) @ speaks.T
    asked = np.triu(np.ones_like(expected, dtype=bool), 1)
    if group is not None:
        same = group[chosen]
        asked &= (same[:, None] != same) | (same < 0)
    own = one_sided.spoken_for(design.answers_named()).numpy()[chosen]
    less = bool(asked.sum() < len(chosen) * (len(chosen) - 1) // 2)
    return Together(n_tasks, n_answers[chosen] / n_tasks, own, common, expected, asked, less)


def fits_pairs(seen: Together) -> bool:
    """Tell whether each pair of sources speaks together as often as the model says; False if too few pairs can tell.

    Few pairs can tell as much as many if they have more tasks in common. With fewer than 21 pairs (those of seven
    sources), the model's parameters can adapt to sources that repeat one another.
    """
    if not any((seen.asked & (seen.expected > least)).sum() >= n for least, n in _ENOUGH):
        return False
    asked = seen.asked & (seen.expected > _LEAST_EXPECTED)
    expected = seen.expected[asked]
    spread = np.sqrt(expected * (1 - expected / seen.n_tasks))
    deviation = np.abs(seen.common[asked] - expected) / spread
    from scipy.special import ndtri

    return bool(deviation.max() < -ndtri(_LEVEL / 2 / asked.sum()))


def leaves_a_label(seen: Together) -> bool:
    r"""Tell whether the pairs look as if sources that repeat one another had been taken for the label.

    A label makes sources that speak for one class speak together, and keeps those apart that speak for different ones.
    Where the model has spent its states on sources that repeat one another, this is left over in all other pairs, in
    each of them less than its scatter. With z a pair's deviation in standard deviations, √(N p_i (1 − p_i) p_j
    (1 − p_j)), and s = 1 for sources of one class and −1 for others, over M pairs:

        T = Σ s z / √M,        X = (Σ z² − M) / √(2 M).

    The answer is yes where T is above 1.25; and where X is above 1.75, unless T is below −1. Of 140 draws in which no
    source repeats another, one in fifty has T above 1.21, and none with T above −1 has X above 1.54. Where the model
    overstates the label, as it does with sources that are hardly ever wrong, T is far below 0. Where sources of a group
    count less, the model understates the label, and only X is asked.
    """
    one = seen.own >= 0
    asked = seen.asked & one[:, None] & one
    n_pairs = int(asked.sum())
    if n_pairs == 0:
        return False
    variance = seen.rate * (1 - seen.rate)
    spread = np.sqrt(seen.n_tasks * np.outer(variance, variance))
    deviation = ((seen.common - seen.expected) / spread)[asked]
    sign = np.where(seen.own[:, None] == seen.own, 1.0, -1.0)[asked]
    left = float((sign * deviation).sum()) / math.sqrt(n_pairs)
    misfit = (float((deviation**2).sum()) - n_pairs) / math.sqrt(2 * n_pairs)
    shows_label = left > _LABEL_LEFT and not seen.less
    return shows_label or (misfit > _MISFIT and left > _NONE_LEFT)
