"""What is chosen where tables of workers show no label, and something else does: who answered, or soft answers."""

from __future__ import annotations

from math import nan

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.expectation import counts_of
from deem_crowd.model.tables import log_tables
from deem_crowd.selection import candidates as rows
from deem_crowd.selection import one_factor, one_sided
from deem_crowd.selection.candidates import Candidate
from deem_crowd.selection.one_factor import Factor
from deem_crowd.selection.opinion_pool import FLOOR, OpinionPool, counting
from deem_crowd.selection.presence import Presence
from deem_crowd.selection.selected import Selected
from deem_crowd.training.em import Member


def by_presence(
    design: DesignMatrix, tables: Member, considered: list[Candidate], spoken: Presence
) -> Selected:
    """Return what follows from who answered: the words of sources that speak for one class tell nothing more."""
    shares = tuple(spoken.shares.tolist())
    pool = OpinionPool((spoken.energy,), (1.0,), FLOOR, unanswered=shares)
    posterior = pool.posterior(design)
    why = "chosen: most sources speak for one class, and when they do is explained by a label"
    n_answers = max(design.n_answers_in_all, 1)
    candidates = [
        *considered,
        Candidate(rows.PRESENCE, spoken.gain / n_answers, nan, nan, nan, 1 - FLOOR, why),
        rows.without_likelihood(
            rows.VOTES, FLOOR, f"always a voice, and counts {FLOOR:g} at least"
        ),
    ]
    shown = read_off(design, posterior, tables)
    skills = one_sided.precision(design, posterior)
    return Selected(candidates, tables, pool, posterior, posterior, shown, skills=skills)


def by_factor(
    design: DesignMatrix,
    tables: Member,
    considered: list[Candidate],
    factor: Factor,
    power: npt.NDArray[np.float64] | None,
) -> Selected:
    """Return what follows from soft answers whose pairs are correlated as one label would make them."""
    pool = OpinionPool((factor.energy,), (1.0,), 0.0, one_factor.CORRELATION)
    why = "chosen: pairs of sources rank the tasks alike"
    sizes = sorted(np.bincount(factor.family[factor.family >= 0]).tolist(), reverse=True)
    if sizes:
        sized = ", ".join(map(str, sizes))
        why += f"; families of sources that share errors count less (sizes: {sized})"
    if power is not None:
        pool = counting(pool, torch.from_numpy(power))
        why += f"; sources count less, {rows.GROUPED}"
    posterior = pool.posterior(design)
    candidates = [*considered, rows.without_likelihood(rows.FACTOR, 1.0, why)]
    shown = read_off(design, posterior, tables)
    skills = torch.from_numpy(factor.skills)
    return Selected(candidates, tables, pool, posterior, posterior, shown, skills=skills)


def read_off(design: DesignMatrix, posterior: torch.Tensor, tables: Member) -> torch.Tensor:
    """Return the log-tables that follow from a posterior, shape (N, K): float64, shape (D, K, K)."""
    cells = counts_of(design, posterior) + tables.pseudo_answers
    return log_tables(cells)
