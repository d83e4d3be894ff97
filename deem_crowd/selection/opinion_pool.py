r"""Several energies that answer together: the posterior is a weighted mean of theirs and of the votes.

    p(k | x_n) = (1 − f) Σ_j v_j p_j(k | x_n)  +  f · (votes_n[k] + w u[k]) / (m_n + w)

with m_n the number of answers to task n. One answer more than there were smooths the votes: w = 1, but
:data:`LITTLE` of an answer if answers are probabilities, which are even where a source is in doubt. It names class k
with probability

    u[k] ∝ min(1/K, r π_k)

with r = :data:`RARER` and π the shares of the classes that the members find: even, but less for a rare class. Of a
class that one task in a thousand has, tasks on which all votes are for another one should not have as much as
1/(K (m + 1)). The weight of a voice comes from how far it agrees with the others beyond chance (Cohen's κ): with H_j
the mean over tasks of Σ_k p_j(k) p_{−j}(k), where p_{−j}, the weighted mean of all other voices, stands in for the
truth, and C_j what chance gives, the same sum for the means of p_j and p_{−j} over tasks,

    κ_j = (H_j − C_j) / (1 − C_j),      v_j ∝ (κ_j / (1 − κ_j))³

so that a voice that stands alone counts for little, whatever its likelihood. Where classes are ordered, two voices that
name classes k and l agree by 1 − (k − l)² / (K − 1)² (weighted kappa; Fleiss and Cohen, Educational and Psychological
Measurement 33, 1973), since among a hundred steps they seldom name the same one. The votes are one of the voices.
Members are overconfident where sources err together: the votes then count more, by how far answers to a task are right
or wrong together (:mod:`deem_crowd.model.calibration`), and :data:`FLOOR` at least where that is not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.calibration import discounted, tempered, with_votes
from deem_crowd.model.class_balance import log_odds, moved
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.difficulty import pays, with_levels
from deem_crowd.model.energy import Energy
from deem_crowd.model.rows import column_total, pieces, row_max, row_sum
from deem_crowd.runtime.threads import each
from deem_crowd.selection import null_model, one_sided, own_skills
from deem_crowd.selection.one_factor import between_classes
from deem_crowd.selection.pairs import MIN_COMMON, FloatArray

FLOOR = 0.1
"""What the votes count at least where the correlation of answers is not asked."""
LITTLE = 0.1
"""w where answers are probabilities."""
SHARPNESS = 3.0
RARER = 10.0
"""r: a class whose share is below 1/(K r) gets less than the others of the answer that smooths the votes."""
_ROUNDS = 5
_PIECE = 2**14


@dataclass(frozen=True)
class OpinionPool:
    """Members and what each counts.

    Attributes
    ----------
    energies : tuple of Energy
        Over the same workers and classes.
    weights : tuple of float
        v; they sum to 1.
    floor : float
        f: what the votes count.
    correlation : float
        ρ of the answers to a task given its label; see :mod:`deem_crowd.model.calibration`.
    unanswered : tuple of float, optional
        Class shares, K numbers: what a task without answers gets where who answered is evidence
        (:mod:`deem_crowd.selection.presence`), since it may not have been shown to anybody.
    caution : float
        What the votes count besides, as far as labels stay: f of :mod:`deem_crowd.model.calibration`.
    smoothed : float
        w: how many answers the votes are smoothed with.
    class_log_odds, class_shares : tuple of float, optional
        Where the shares of the classes are known, K numbers each: what is added to the logarithm of the mean of the
        members and the votes (:mod:`deem_crowd.model.class_balance`); and these shares, which are then u as well as
        what tasks without answers get.
    """

    energies: tuple[Energy, ...]
    weights: tuple[float, ...]
    floor: float
    correlation: float = 0.0
    unanswered: tuple[float, ...] | None = None
    caution: float = 0.0
    smoothed: float = 1.0
    class_log_odds: tuple[float, ...] | None = None
    class_shares: tuple[float, ...] | None = None

    def posterior(self, design: DesignMatrix) -> torch.Tensor:
        """Return p(label | x_n), shape (N, K); a task without answers gets the members' mean prior."""
        return self.pooled([energy.posterior(design) for energy in self.energies], design)

    def pooled(self, posteriors: Sequence[torch.Tensor], design: DesignMatrix) -> torch.Tensor:
        """Return :meth:`posterior` from the members' own, shape (N, K) each."""
        votes = design.votes
        named = self._named(votes)
        if votes.device.type != "cpu":
            return self._of_tasks(posteriors, votes, named)
        pooled = torch.empty_like(posteriors[0], dtype=votes.dtype)

        def work(tasks: slice) -> None:
            pooled[tasks] = self._of_tasks([one[tasks] for one in posteriors], votes[tasks], named)

        each(work, pieces(len(votes), max(votes.shape[1], 1)))
        return pooled

    def _named(self, votes: torch.Tensor) -> torch.Tensor:
        """Return u, shape (K,), in the dtype of the votes."""
        if self.class_shares is not None:
            return votes.new_tensor(self.class_shares)
        return smoothing(self.prior()).to(votes)

    def _of_tasks(
        self, posteriors: Sequence[torch.Tensor], votes: torch.Tensor, named: torch.Tensor
    ) -> torch.Tensor:
        """Return :meth:`pooled` of tasks from their numbers of votes, shape (n, K), and u."""
        mixed = self.balanced(
            with_floor(self.mean(posteriors), votes, self.floor, named, self.smoothed)
        )
        pooled = tempered(mixed, votes, self.correlation)
        if self.caution > 0:
            shares, answered = smoothed_votes(votes, named, self.smoothed)
            cautious = with_votes(pooled, shares, self.caution)
            pooled = cautious if bool(answered.all()) else torch.where(answered, cautious, pooled)
        apart = self.unanswered if self.class_shares is None else self.class_shares
        if apart is None:
            return pooled
        answered = votes.sum(1, keepdim=True) > 0
        return torch.where(answered, pooled, pooled.new_tensor(apart))

    def balanced(self, posterior: torch.Tensor) -> torch.Tensor:
        """Return a posterior, shape (N, K), moved towards the known shares of the classes, where there are any."""
        if self.class_log_odds is None:
            return posterior
        return moved(posterior, posterior.new_tensor(self.class_log_odds))

    def with_shares(
        self, shares: torch.Tensor, design: DesignMatrix, open_: torch.Tensor
    ) -> OpinionPool:
        """Return the pool where the shares of the classes, float64, shape (K,), are known.

        ``open_``, bool, shape (N,), says which tasks of ``design`` have answers and no known label.
        """
        known = replace(self, class_log_odds=None, class_shares=tuple(shares.tolist()))
        mean = self.mean([energy.posterior(design) for energy in self.energies])
        mixed = with_floor(
            mean, design.votes, self.floor, known._named(design.votes), self.smoothed
        )
        odds = log_odds(mixed[open_].cpu().double(), self.prior(), shares, design.group)
        return replace(known, class_log_odds=tuple(odds.tolist()))

    def evidence(self, design: DesignMatrix, some: DesignMatrix) -> torch.Tensor:
        """Return the members' mean without the votes, shape (N, K), for ranking.

        Where levels of difficulty pay for themselves by the members' log-likelihood, in its weighted mean
        (:mod:`deem_crowd.model.difficulty`), the members have them, and are tempered as the posterior is. Else each
        member is discounted for answers that err together (:func:`deem_crowd.model.calibration.discounted`). Levels are
        learned from ``some`` of the tasks. Where weights are no logarithms of probabilities, such as those of
        one factor of soft answers or of a regression on known labels, there are no levels, and the posterior ranks.
        """
        if any(float(energy.weight.max()) > 0 for energy in self.energies if energy.weight.numel()):
            return self.posterior(design)
        levels = [with_levels(energy, some) for energy in self.energies]
        gain = sum(v * level.gain for v, level in zip(self.weights, levels, strict=True))
        if pays(gain * design.n_tasks / max(some.n_tasks, 1), design):
            heard = (
                tempered(one.posterior(design), design.votes, self.correlation) for one in levels
            )
        else:
            heard = (
                discounted(energy.posterior(design), design.votes, self.correlation)
                for energy in self.energies
            )
        return self.balanced(self.mean(list(heard)))

    def prior(self) -> torch.Tensor:
        """Return the members' mean class prior, float64, shape (K,): what a task without answers gets."""
        known = self.unanswered if self.class_shares is None else self.class_shares
        if known is not None:
            return torch.tensor(known, dtype=torch.float64)
        priors = [energy.fold(torch.softmax(energy.bias, 0)) for energy in self.energies]
        return self.mean(priors)

    def mean_energy(self) -> Energy:
        """Return the energy whose tables are the members' weighted mean: what the pool says of workers."""
        first = self.energies[0]
        if len(self.energies) == 1:
            return first
        weight = self.mean([energy.weight.exp() for energy in self.energies]).log()
        population = self.mean([energy.population.exp() for energy in self.energies]).log()
        return replace(first, weight=weight, population=population)

    def mean(self, posteriors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the weighted mean of the members' posteriors, shape (N, K), without the floor."""
        mixed = torch.zeros_like(posteriors[0])
        for posterior, weight in zip(posteriors, self.weights, strict=True):
            mixed += weight * posterior
        return mixed


def smoothing(prior: torch.Tensor) -> torch.Tensor:
    """Return u, shape (K,), from the shares of the classes: even, but less for classes that are much rarer."""
    even = 1.0 / max(len(prior), 1)
    named = (RARER * prior).clamp_max(even)
    return named / named.sum().clamp_min(torch.finfo(prior.dtype).tiny)


def smoothed_votes(
    votes: torch.Tensor, named: torch.Tensor | None = None, weight: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (votes + w u) / (m + w), shape (N, K), and whether a task has answers, shape (N, 1).

    ``named`` is u, shape (K,), 1/K if omitted, and ``weight`` is w.
    """
    total = row_sum(votes)[:, None]
    more = 1.0 / max(votes.shape[1], 1) if named is None else named
    return (votes + weight * more).div_(total + weight), total > 0


def with_floor(
    posterior: torch.Tensor,
    votes: torch.Tensor,
    floor: float,
    named: torch.Tensor,
    weight: float = 1.0,
) -> torch.Tensor:
    """Mix a share of smoothed votes into a posterior, shape (N, K) each; tasks without answers stay as they are.

    ``named`` is u, shape (K,), and ``weight`` is w.
    """
    shares, answered = smoothed_votes(votes, named, weight)
    mixed = shares.mul_(floor).add_(posterior, alpha=1 - floor)
    return mixed if bool(answered.all()) else torch.where(answered, mixed, posterior)


def counting(pool: OpinionPool, power: torch.Tensor) -> OpinionPool:
    """Return a pool in which an answer of worker i counts ``power[i]`` times what it did, shape (D,)."""
    energies = tuple(
        replace(one, weight=one.weight * power[:, None, None].to(one.weight))
        for one in pool.energies
    )
    return replace(pool, energies=energies)


def without_label(
    answers: Answers, design: DesignMatrix, power: FloatArray | None = None
) -> OpinionPool:
    """Return what is left where the answers show no label: one skill for all, beside skills averaged over a prior.

    Skills cannot be learned there, but they can be averaged over a prior (:mod:`deem_crowd.selection.own_skills`).
    One skill for all is the last of the energies. How often pairs agree hardly tells a skill, since sources may agree
    on a task for other reasons than its label. So probabilities are the shares of the votes, as far as that leaves
    labels as they are, if these are less confident in the mean over tasks, and there are as many tasks as two sources
    have to share to be compared. Where most sources speak for one class, the shares of the votes say as little, since
    the others are silent on it: there is one skill, and probabilities are those of the usual one.

    Where answers are probabilities, these are taken as they are: the result is their mean.

    Where sources repeat others, as the user says, their answers count ``power``, shape (D,), instead of one each.
    Labels then follow from that also where probabilities are shares of the votes.
    """
    energy = null_model.common_skill(design, 1)
    if between_classes(answers, design):
        mean = OpinionPool((energy,), (1.0,), 1.0, smoothed=LITTLE)
        return mean if power is None else replace(_counting(mean, power), floor=0.0, caution=1.0)
    pool = _counting(OpinionPool((energy,), (1.0,), floor=0.0), power)
    if one_sided.are_most(design.answers_named()):
        return pool
    k, averaged = design.n_classes, own_skills.affordable(answers, design)
    if averaged:
        common = null_model.skill_from_agreement(*null_model.pair_agreement(design), k)
        usual = null_model.USUAL_SKILL
        found = own_skills.average(answers, design, common, usual, power)
        energies = [null_model.energy_of_skills(own, usual, k) for _, own in found[:-1]]
        pool = OpinionPool((*energies, energy), tuple(share for share, _ in found), floor=0.0)
        pool = _counting(pool, power)
    if design.n_tasks_in_all < MIN_COMMON:
        return pool
    shares = replace(pool, floor=1.0)
    by_skill, by_votes = (design.mean(row_max(p.posterior(design))) for p in (pool, shares))
    if by_skill <= by_votes:
        return pool
    return replace(pool, caution=1.0) if averaged or power is not None else shares


def _counting(pool: OpinionPool, power: FloatArray | None) -> OpinionPool:
    return pool if power is None else counting(pool, torch.from_numpy(power))


def agreement_weights(
    posteriors: Sequence[torch.Tensor], design: DesignMatrix, ordered: bool = False
) -> tuple[list[float], list[float]]:
    """Return the members' weights, and how far each agrees with the others, κ.

    Parameters
    ----------
    posteriors : list of Tensor, shape (N, K) each
    design : DesignMatrix
        Of the same N tasks.
    ordered : bool
        Whether classes are steps of a scale, so that voices agree the more, the nearer their classes are.
    """
    different = list({id(p): p for p in posteriors}.values())
    place = [next(i for i, p in enumerate(different) if p is voice) for voice in posteriors]
    products, by_chance = (_by_distance if ordered else _by_class)(different, design)
    return weights_from_products(
        products[place][:, place].tolist(), by_chance[place][:, place].tolist()
    )


def _by_class(
    voices: list[torch.Tensor], design: DesignMatrix
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the means over tasks of Σ_k p_i(k) p_j(k), and the same by chance, float64, shape (V, V) each."""
    n, k = voices[0].shape
    gram = torch.zeros((len(voices), len(voices)), dtype=torch.float64)
    rows = max(1, _PIECE // max(k, 1))
    wide = voices[0].stride(0) == 1  # columns are contiguous
    if wide:
        voices = [p.T for p in voices]
    shares = torch.stack([column_total(p.T if wide else p).double().cpu() for p in voices])
    for at in range(0, n, rows):
        some = (slice(None), slice(at, at + rows)) if wide else slice(at, at + rows)
        piece = torch.stack([p[some].flatten().to(design.dtype) for p in voices])
        gram += (piece @ piece.T).cpu()
    sums = design.reduce(torch.cat([gram, shares], 1)) / max(design.n_tasks_in_all, 1)
    gram, shares = sums[:, : len(voices)], sums[:, len(voices) :]
    return gram, shares @ shares.T


def _by_distance(
    voices: list[torch.Tensor], design: DesignMatrix
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the means over tasks of Σ_kl p_i(k) p_j(l) (1 − (k − l)²), and the same by chance.

    Classes k and l are put on a scale from 0 to 1. Both results are float64, shape (V, V), and follow from the first
    two moments of each voice.
    """
    k = voices[0].shape[1]
    level = torch.linspace(0, 1, k, dtype=torch.float64, device=voices[0].device)
    means = torch.stack([(p.double() @ level).cpu() for p in voices])
    squares = torch.stack([(p.double() @ level.square()).sum().cpu() for p in voices])
    sums = torch.cat([means @ means.T, means.sum(1, keepdim=True), squares[:, None]], 1)
    sums = design.reduce(sums) / max(design.n_tasks_in_all, 1)
    products, mean, square = sums[:, :-2], sums[:, -2], sums[:, -1]
    apart = square[:, None] + square
    return 1 - apart + 2 * products, 1 - apart + 2 * torch.outer(mean, mean)


def weights_from_products(
    products: Sequence[Sequence[float]], by_chance: Sequence[Sequence[float]] | None = None
) -> tuple[list[float], list[float]]:
    """Return weights and agreement from the means over tasks of Σ_k p_i(k) p_j(k) of all voices i, j.

    ``by_chance`` has the sums over classes of the products of the voices' means over tasks. Without it, agreement is
    not corrected for chance, which is negligible where classes are many.
    """
    n = len(products)
    weights = [1.0 / n] * n
    agreed = [1.0] * n
    for _ in range(_ROUNDS if n > 1 else 0):
        odds = []
        for j in range(n):
            rest = max(1 - weights[j], 1e-9)
            agreed[j] = sum(weights[i] * products[j][i] for i in range(n) if i != j) / rest
            if by_chance is not None:
                chance = sum(weights[i] * by_chance[j][i] for i in range(n) if i != j) / rest
                agreed[j] = (agreed[j] - chance) / max(1 - chance, 1e-9)
            bounded = min(max(agreed[j], 0.01), 0.999)
            odds.append((bounded / (1 - bounded)) ** SHARPNESS)
        weights = [o / sum(odds) for o in odds]
    return weights, agreed
