r"""Sources that know different fields: good on some tasks, and no better than anybody on the rest.

Such sources depend on one another given the label: two of one field agree more often, two of different fields less.
Tables for each (class k, field g), π[k, g] = π_k ρ_g, tell fields apart without knowing which task belongs where. EM
finds them from a start that pairs of sources give:

1. *Groups.* What a pair agrees beyond chance is centred by an additive fit, r_ij ≈ a_i + a_j weighted by the inverse of
   its variance, so that pairs of one field are above it. Groups of sources are joined by the largest mean residual, as
   long as it is two standard errors above zero (average linkage).
2. *Start.* In the field of group g its members are right in 80 %, all others half-way between that and chance.

The model is used only where all of this holds:

- the pairs refuse a table a worker, and not this model: that is a two-sided test of each pair's number of agreements at
  5 % over all pairs (Bonferroni);
- each group consists of experts: in their own field they err at most half as often as elsewhere, and at most half as
  often as the other groups do there. Sources that follow one opinion, right or wrong, are no such group. Groups that
  are not are dissolved, which a few passes are enough to see in most cases, and the rest is fitted anew;
- the bound of the evidence is 5 nats above that of tables ("very strong" evidence to Kass and Raftery, *Journal of the
  American Statistical Association* 90, 1995), and at most 1 nat below that of easy and hard tasks.

It then takes the place of the pool, since the other readings are models that the pairs refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.expectation import counts_of
from deem_crowd.model.votes import diagonal
from deem_crowd.selection.pairs import MIN_COMMON, Pairs
from deem_crowd.selection.shared_errors import linkage
from deem_crowd.selection.shared_errors.dependence import MIN_PARTNERS, with_partners
from deem_crowd.training.em import Member

Positions = npt.NDArray[np.intp]

MOST_SOURCES, MOST_FIELDS = 100, 8
"""Of more sources those with most answers are grouped."""
EVIDENCE, TIE = 5.0, 1.0
"""Nats by which the bound has to exceed that of tables, and may fall short of that of easy and hard tasks."""
_MOST_CELLS, _MOST_PROBABILITIES = 10**7, 10**8
"""D · K · K·G and N · K·G: a default fit must not take memory that the size of the answers does not suggest."""
_JOINED = 2.0
_LEVEL = 0.05
_SKILL = 0.8
_FEWER_ERRORS = 0.5

Fit = Callable[[torch.Tensor, int, float | None], Member]


def find(
    design: DesignMatrix, counted: Pairs, tables: Member, rival: float, fit: Fit
) -> Member | None:
    """Return tables for each class and field where the answers speak for them, else None.

    Parameters
    ----------
    design : DesignMatrix
        N tasks, D workers, K classes.
    counted : Pairs
        Among n of the workers.
    tables : Member
        One table a worker.
    rival : float
        The largest bound of the evidence of models without fields, in nats.
    fit : callable
        From a start, shape (N, K·G), G, and a bound that has to be beaten, to tables with G states a class; without
        such a bound a few passes are enough.
    """
    k = design.n_classes
    if k < 2 or not misfits(counted, tables.energy):
        return None
    known = groups(counted)
    while 2 <= len(known) <= MOST_FIELDS and _affordable(design, len(known)):
        start = _start(design, known)
        experts = _experts(design, fit(start, len(known), None), known)
        if len(experts) == len(known):
            member = fit(start, len(known), rival + EVIDENCE)
            experts = _experts(design, member, known)
        if len(experts) == len(known):
            clear = member.bound > rival + EVIDENCE
            return member if clear and not misfits(counted, member.energy) else None
        known = experts
    return None


def _affordable(design: DesignMatrix, n_fields: int) -> bool:
    states = design.n_classes * n_fields
    n_cells = design.n_workers * design.n_classes * states
    return n_cells <= _MOST_CELLS and design.n_tasks_in_all * states <= _MOST_PROBABILITIES


def groups(counted: Pairs) -> list[Positions]:
    """Return groups of two sources or more that agree among themselves more than with others: positions of workers."""
    n_answers = np.diag(counted.common)
    chosen = n_answers >= MIN_COMMON
    chosen[np.argsort(-n_answers, kind="stable")[MOST_SOURCES:]] = False
    part = counted.among(chosen)
    asked = _asked(part)
    known = np.asarray(asked.any(1))
    if known.sum() <= MIN_PARTNERS:
        return []
    part, asked = part.among(known), asked[np.ix_(known, known)]
    weight = np.where(asked, 1 / part.standard_error() ** 2, 0.0)
    agreement = np.clip(part.beyond, -0.5, 0.999)
    return [
        part.sources[one]
        for one in linkage.joined(linkage.centred(agreement, weight), weight, _JOINED)
        if len(one) > 1
    ]


def misfits(counted: Pairs, energy: Energy) -> bool:
    """Tell whether a pair of sources agrees more or less often than the energy's tables say; no, if none can tell."""
    asked = np.triu(counted.common >= MIN_COMMON, 1)
    if not asked.any():
        return False
    from scipy.special import ndtri

    table = torch.log_softmax(energy.weight[torch.from_numpy(counted.sources)], 1).exp()
    share = torch.softmax(energy.bias, 0)
    agreed = ((table * share).flatten(1) @ table.flatten(1).T).numpy()[asked]
    spread = np.sqrt(np.maximum(agreed * (1 - agreed), 1e-4) / counted.common[asked])
    departure = np.abs(counted.agreed[asked] - agreed) / spread
    return bool(departure.max() > -ndtri(_LEVEL / 2 / asked.sum()))


def _asked(counted: Pairs) -> npt.NDArray[np.bool_]:
    asked = counted.common >= MIN_COMMON
    np.fill_diagonal(asked, False)
    return with_partners(asked)


def _start(design: DesignMatrix, known: Sequence[Positions]) -> torch.Tensor:
    """Return probabilities of (class, field) to begin with, shape (N, K·G)."""
    k, g = design.n_classes, len(known)
    skill = torch.full((design.n_workers, g), (_SKILL + 1 / k) / 2, dtype=torch.float64)
    for number, group in enumerate(known):
        skill[torch.from_numpy(group), number] = _SKILL
    right = diagonal(k, g)
    accuracy = skill.repeat(1, k)[:, None]
    weight = (right * accuracy + (1 - right) * (1 - accuracy) / (k - 1)).log()
    even = torch.zeros(k * g, dtype=torch.float64)
    return Energy(even, weight, weight.mean(0), g).state_posterior(design)


def _experts(design: DesignMatrix, member: Member, known: Sequence[Positions]) -> list[Positions]:
    """Return the groups that err at most half as often in their own field as elsewhere, and as the others do there."""
    k, g = design.n_classes, len(known)
    counts = counts_of(design, member.states).numpy()
    by_field = counts.reshape(len(counts), k, k, g)
    right, total = np.einsum("ikkg->ig", by_field), by_field.sum((1, 2))
    found = []
    for number, group in enumerate(known):
        own = np.arange(g) == number
        others = np.concatenate([one for one in known if one is not group])
        wrong = [
            ((total - right)[who][:, where].sum() + 1) / (total[who][:, where].sum() + 2)
            for who, where in ((group, own), (group, ~own), (others, own))
        ]
        if wrong[0] <= _FEWER_ERRORS * min(wrong[1:]):
            found.append(group)
    return found
