"""The default model, chosen from the answers alone: members that are fitted quickly, and what each counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix, softmax
from deem_crowd.model.energy import Energy
from deem_crowd.selection import dependence
from deem_crowd.selection.opinion_pool import (
    FLOOR,
    OpinionPool,
    agreement_weights,
    smoothed_votes,
    with_floor,
)
from deem_crowd.training import em
from deem_crowd.training.em import Clamp, Member, WarmStart

WORK = 6e7
"""Answers × classes that a member may go through, pass by pass."""
LEAST_PASSES = 15

COIN = "one accuracy a worker"
TABLES = "a table a worker"
SUBTYPES = "tables for easy and hard tasks"
VOTES = "the votes"
COMMON = "one skill for all workers"
COPIES = "a table a worker, sources that repeat others count less"


@dataclass(frozen=True)
class Candidate:
    """A model that was considered.

    Attributes
    ----------
    name : str
    score : float
        Lower bound of the log evidence, in nats per answer; NaN where it decides nothing.
    difference, standard_error : float
        Log-likelihood of a task's answers above that of tables, in nats: the mean over tasks and its standard error.
    agreement : float
        H: how far it agrees with the others of the pool; NaN for what is not in it.
    weight : float
        What it counts in the pool.
    why : str
    """

    name: str
    score: float
    difference: float
    standard_error: float
    agreement: float
    weight: float
    why: str


@dataclass
class Selected:
    """The chosen pool and how it came about.

    Attributes
    ----------
    pool : Pool
    candidates : list of Candidate
    tables : Member
        The fit with one table a worker, whose path is the history of training.
    posterior : shape (N, K)
    mean : shape (N, K)
        The same without the floor of votes: what tables are read off.
    warm_starts : dict of str to WarmStart
        For a fit of more answers.
    """

    pool: OpinionPool
    candidates: list[Candidate]
    tables: Member
    posterior: torch.Tensor
    mean: torch.Tensor
    warm_starts: dict[str, WarmStart]


def fallen_back(candidates: list[Candidate]) -> list[Candidate]:
    """Return the table of a choice that was overruled: the answers speak for no label, and one skill stands for all."""
    nan = float("nan")
    why = "chosen: the answers are explained as well without a hidden label"
    return [
        *(replace(c, weight=0.0) for c in candidates),
        Candidate(COMMON, nan, nan, nan, nan, 1.0, why),
    ]


def select(
    answers: Answers,
    design: DesignMatrix,
    gold: torch.Tensor | None = None,
    start: torch.Tensor | None = None,
    n_iter: int = em.PASSES,
    progress: Callable[[int, float], None] | None = None,
    warm_starts: Mapping[str, WarmStart] | None = None,
) -> Selected:
    """Fit the candidates and pool them.

    One accuracy a worker, one table a worker and the votes are always voices of the pool. The fourth is whichever of
    one table and easy / hard tables has the larger bound of the evidence. Where sources repeat one another and the
    model has taken that for skill (:mod:`deem_crowd.selection.dependence`), they count less, and easy / hard tables,
    which would take them for skilled again, stay out. With many answers members get fewer passes: EM then needs fewer.

    Parameters
    ----------
    answers, passes : the same data
        N tasks, D workers, K classes.
    gold : LongTensor, shape (N,), optional
        Known classes, −1 where unknown.
    start : shape (N, K), optional
        Probabilities to begin with instead of the votes.
    n_iter : int
        Most passes of a member.
    progress : callable, optional
        As in :func:`deem_crowd.training.em.fit_tables`.
    warm_starts : mapping of str to WarmStart, optional
        Where the members stopped whose end does not depend on their start, in a fit of some of these answers.
    """
    warm_starts = {} if warm_starts is None else warm_starts
    affordable = int(WORK / max(design.n_answers * design.n_classes, 1))
    most = min(em.PASSES, max(LEAST_PASSES, affordable), n_iter)
    begin = em.vote_start(design) if start is None else start
    power: torch.Tensor | None = None
    tables = em.fit_confusion(design, begin, 1, None, gold, most, progress)
    plain = tables
    between = dependence.measure(answers)
    copied = between.contradicts(em.chance_corrected_skills(design, tables))
    if copied:
        power = torch.from_numpy(between.power)
        tables = em.fit_confusion(design, begin, 1, power, gold, most, progress)
    coin = em.fit_one_coin(design, begin, power, gold, most, warm_starts.get(COIN))
    chosen = tables
    subtypes: Member | None = None
    if not copied:
        split = em.margin_start(design, begin)
        subtypes = em.fit_confusion(
            design,
            split,
            2,
            None,
            gold,
            most,
            beat=tables.bound,
            warm_start=warm_starts.get(SUBTYPES),
        )
        if subtypes.bound > tables.bound:
            chosen = subtypes
    part = [coin, tables] if chosen is tables else [coin, tables, chosen]
    read = [_posterior(design, m.energy, gold) for m in part]
    # the chosen one is a voice of its own beside the two that are always there
    voices = [coin, tables, chosen]
    place = [next(i for i, m in enumerate(part) if m is voice) for voice in voices]
    votes = smoothed_votes(design)[0]
    weights, agreed = agreement_weights([*(read[i] for i in place), votes])
    by_votes = weights.pop()
    shares, agreements = [0.0] * len(part), [0.0] * len(part)
    for i, weight, agreement in zip(place, weights, agreed, strict=False):
        shares[i] += weight / (1 - by_votes)
        agreements[i] = agreement
    floor = FLOOR + (1 - FLOOR) * by_votes
    pool = OpinionPool(tuple(m.energy for m in part), tuple(shares), floor)
    mean = pool.mean(read)
    posterior = with_floor(mean, design, pool.floor)
    if gold is not None:
        known = (gold >= 0).to(posterior.device)
        settled = torch.nn.functional.one_hot(gold[gold >= 0], design.n_classes)
        posterior[known] = settled.to(posterior.device, posterior.dtype)
        mean[known] = posterior[known]
    rater = _Rater(design, tables, part, agreements, [(1 - floor) * share for share in shares])
    candidates = [rater.candidate(COIN, coin, "always a member")]
    if copied:
        correlation = between.correlation(em.chance_corrected_skills(design, plain))
        why = (
            f"left out: sources repeat others (an answer counts {between.mean_power:.2f} on average), and its skills "
            f"contradict what pairs of sources say (correlation {correlation:.2f})"
        )
        candidates.append(rater.candidate(TABLES, plain, why))
        why = "chosen: pairs of sources agree more than their skills explain"
        candidates.append(rater.candidate(COPIES, tables, why))
    else:
        candidates.append(rater.candidate(TABLES, tables, "always a member"))
    if subtypes is not None:
        verdict = "chosen: the larger" if chosen is subtypes else "left out: the smaller"
        why = f"{verdict} bound of the evidence"
        candidates.append(rater.candidate(SUBTYPES, subtypes, why))
    nan, why = float("nan"), f"always a voice, and counts {FLOOR:g} at least"
    candidates.append(Candidate(VOTES, nan, nan, nan, agreed[-1], floor, why))
    ends = {COIN: coin, SUBTYPES: subtypes}
    return Selected(
        pool,
        candidates,
        tables,
        posterior,
        mean,
        {name: m.warm_start() for name, m in ends.items() if m is not None},
    )


class _Rater:
    """Says of each candidate what speaks for it, next to one table a worker."""

    def __init__(
        self,
        design: DesignMatrix,
        tables: Member,
        part: list[Member],
        agreements: list[float],
        shares: list[float],
    ) -> None:
        self._n_answers = max(design.n_answers, 1)
        self._reference = tables.task_log_likelihood
        named = zip(part, agreements, shares, strict=True)
        self._in_pool = {id(member): (agreement, share) for member, agreement, share in named}

    def candidate(self, name: str, member: Member, why: str) -> Candidate:
        """Return a row of the table; ``member`` may have been left out of the pool."""
        agreement, share = self._in_pool.get(id(member), (float("nan"), 0.0))
        gap = (member.task_log_likelihood - self._reference).double()
        return Candidate(
            name,
            member.bound / self._n_answers,
            float(gap.mean()) if len(gap) else float("nan"),
            float(gap.std()) / len(gap) ** 0.5 if len(gap) > 1 else float("nan"),
            agreement,
            share,
            why,
        )


def _posterior(design: DesignMatrix, energy: Energy, gold: torch.Tensor | None) -> torch.Tensor:
    """Return p(label | x_n, gold), shape (N, K)."""
    clamp = Clamp(design, gold, energy.n_subtypes)
    return energy.fold(softmax(clamp(energy.state_logits(design)))[0])
