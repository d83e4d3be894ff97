"""What the choice of a model comes to."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from deem_crowd.selection import pairs
from deem_crowd.selection.candidates import Candidate
from deem_crowd.selection.opinion_pool import OpinionPool
from deem_crowd.selection.pairs import FloatArray
from deem_crowd.training.em import Member, WarmStart


@dataclass
class Selected:
    """The chosen pool and how it came about.

    Attributes
    ----------
    candidates : list of Candidate
    tables : Member
        The fit with one table a worker, whose path is the history of training.
    pool : OpinionPool, optional
        None where the answers are explained as well without a label; the rest is then missing, too.
    posterior : shape (N, K)
    mean : shape (N, K)
        The members' mean: what tables are read off.
    weight : float64, shape (D, K, K)
        Log-tables read off ``mean``.
    warm_starts : dict of str to WarmStart
        For a fit of more answers.
    members : tuple of Member
        Those of the pool, where more answers may be added to them one by one: the first of its energies.
    apart : tuple of Member
        The next ones, which known labels do not clamp.
    skills : float64, shape (D,), optional
        Where tables do not say how often a worker is right: sources that speak for one class are silent on others.
    pairs : Pairs, optional
        How often sources agree in pairs, where that was asked.
    power : float64, shape (D,), optional
        What an answer of each source counts, where sources repeat one another.
    """

    candidates: list[Candidate]
    tables: Member
    pool: OpinionPool | None = None
    posterior: torch.Tensor | None = None
    mean: torch.Tensor | None = None
    weight: torch.Tensor | None = None
    warm_starts: dict[str, WarmStart] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    apart: tuple[Member, ...] = ()
    skills: torch.Tensor | None = None
    pairs: pairs.Pairs | None = None
    power: FloatArray | None = None


def settle(posterior: torch.Tensor, gold: torch.Tensor | None) -> None:
    """Put known labels into a posterior, in place.

    Parameters
    ----------
    posterior : shape (N, K)
    gold : LongTensor, shape (N,), optional
        Known classes, −1 where unknown.
    """
    if gold is None:
        return
    known = gold >= 0
    labels = torch.nn.functional.one_hot(gold[known], posterior.shape[1])
    posterior[known.to(posterior.device)] = labels.to(posterior)
