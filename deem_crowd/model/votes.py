"""Votes: shares of them, the rule for ties, agreement with the others, names for hidden states, and the start."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data import index
from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.matching import best_matching
from deem_crowd.model.rows import CACHED, FEW_COLUMNS, row_max, row_sum
from deem_crowd.runtime.threads import gathered

InitMethod = Literal["mv", "mv_rand", "mv_lo", "rand"]
STRENGTH = 2.0
NOISE = 0.01
_FAINT = 0.05
_PIECE = 2**14
_A_FEW = 1024
"""Tasks that are looked at together rather than class by class."""
_TOLERANCE = 1e-6


def vote_shares(design: DesignMatrix) -> torch.Tensor:
    """Return each task's majority vote, shape (N, K), in the matrix's dtype; zeros without answers.

    A tied vote is shared out evenly, which keeps the order of the classes, that is their names, out of what is
    computed from it.
    """
    return _shared_out(design.votes)


def _shared_out(votes: torch.Tensor) -> torch.Tensor:
    if votes.shape[1] == 0:
        return votes.to(torch.float64)
    if votes.shape[1] > FEW_COLUMNS or votes.device.type != "cpu":
        best = votes >= (row_max(votes) - _TOLERANCE).unsqueeze(1)
        best &= (row_sum(votes) > 0).unsqueeze(1)
        shares = best.to(votes.dtype)
        return shares.div_(row_sum(shares).clamp_min_(1).unsqueeze(1))
    columns = votes.T.contiguous()
    shares = (columns >= columns.amax(0).sub_(_TOLERANCE).clamp_min_(_TOLERANCE)).to(votes.dtype)
    return shares.div_(shares.sum(0).clamp_min_(1)).T


def agreement_with_votes(posterior: torch.Tensor, design: DesignMatrix) -> torch.Tensor:
    """Return ``[state, class]``, float64, shape (K, K): posterior mass on tasks by their majority vote.

    ``posterior`` has shape (N, K). Sums are of pieces, in the matrix's dtype, and added up in float64.
    """
    votes = design.votes
    table = torch.zeros((posterior.shape[1], votes.shape[1]), dtype=torch.float64)

    def found(piece: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        said = _shared_out(piece[1])
        # a product with rows on the right takes half of that with columns
        return (said.T @ piece[0].to(said.device, said.dtype)).T.to("cpu", torch.float64)

    both = zip(posterior.split(_PIECE), votes.split(_PIECE), strict=True)
    return design.reduce(sum(gathered(found, list(both)), table))


TIE = 1e-6
"""Scores this near to each other are tied."""


def first_of_best(scores: torch.Tensor, tolerance: float = TIE) -> torch.Tensor:
    """Return the argmax over the last axis, shape (N,); the first of those within ``tolerance`` of the best.

    The tolerance makes ties break by the order of the classes, not by the last bit of a sum that depends on the
    order of the rows.
    """
    return best_and_ties(scores, tolerance)[0]


def best_and_ties(
    scores: torch.Tensor, tolerance: float = TIE
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return :func:`first_of_best` of scores, shape (N, K), K > 0, and the ties.

    Returns
    -------
    best : LongTensor, shape (N,)
    rows : LongTensor, shape (m,)
        Those with several best classes.
    tied : booleans, shape (m, K)
        Which these are.
    """
    if scores.shape[1] > FEW_COLUMNS or scores.device.type != "cpu" or len(scores) <= _A_FEW:
        least = row_max(scores) - tolerance
        near = scores >= least.unsqueeze(1)
        rows = torch.nonzero(near.sum(1) > 1).squeeze(1)
        return near.to(torch.uint8).argmax(1), rows, near[rows]
    step = 2 * CACHED // scores.shape[1]
    if len(scores) <= step:
        return _best_of_few(scores, tolerance)
    starts = range(0, len(scores), step)
    found = gathered(lambda i: _best_of_few(scores[i : i + step], tolerance), starts)
    return (
        torch.cat([best for best, _, _ in found]),
        torch.cat([rows + start for (_, rows, _), start in zip(found, starts, strict=True)]),
        torch.cat([tied for _, _, tied in found]),
    )


def _best_of_few(
    scores: torch.Tensor, tolerance: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return :func:`best_and_ties` of few classes, in loops over tasks."""
    least = row_max(scores) - tolerance
    marks = [column >= least for column in scores.unbind(1)]
    number = torch.stack(marks).view(torch.uint8).sum(0, dtype=torch.uint8)
    place = torch.zeros(len(scores), dtype=torch.uint8)
    for mark in marks[-2::-1]:
        place.add_(1).mul_(mark.logical_not().view(torch.uint8))
    place.mul_((number > 0).view(torch.uint8))  # none is best where some are no numbers
    rows = torch.nonzero(number > 1).squeeze(1)
    return place.to(torch.int64), rows, torch.stack([mark[rows] for mark in marks], 1)


def vote_agreement(design: DesignMatrix, answers_per_task: npt.NDArray[np.integer]) -> torch.Tensor:
    """Return each worker's mean agreement with the other answers to their tasks, float64, shape (D,).

    An answer to a task with m answers agrees to the share ``(votes for it − 1) / (m − 1)``; tasks with a single
    answer say nothing. Workers of whom nothing is known get the mean of all.
    """
    sizes = torch.from_numpy(np.asarray(answers_per_task)).to(design.device, design.dtype)
    shared = sizes > 1
    others = torch.where(shared, sizes - 1, torch.ones_like(sizes))
    share = (design.votes - 1).mul_((shared / others)[:, None])  # of others, for who gave the label
    k = design.n_classes
    counts = design.expected_counts(share)
    agreed = torch.diagonal(counts, dim1=1, dim2=2).sum(1)
    if design.anywhere(not bool(shared.all())):
        answered = design.expected_counts(shared.to(design.dtype)[:, None]).sum((1, 2))
    else:
        answered = design.n_given.to(agreed.device)
    total = answered.sum()
    mean = agreed.sum() / total if total > 0 else agreed.new_tensor(1.0 / max(k, 1))
    return torch.where(answered > 0, agreed / answered.clamp_min(1), mean).clamp(0, 1)


def match(agreement: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the class of each state that maximises total agreement.

    Parameters
    ----------
    agreement : shape (K, K)
        ``[state, class]``: how much of the data speaks for calling this state by that class.

    Returns
    -------
    integers, shape (K,)
        A permutation; where several are best, the one with most states keeping their number.
    """
    k = len(agreement)
    total = float(agreement.sum())
    # No permutation must win by rounding alone, which depends on the order of the rows: neither against one that
    # keeps every number nor against any other.
    share = np.round(agreement / total, 9) if total > 0 else agreement
    kept = share + np.eye(k) * (1e-9 / max(k, 1))
    if (kept.argmax(1) == np.arange(k)).all():  # each state's best is its own: as in most fits
        return np.arange(k)
    return best_matching(kept)


def agreement(
    posterior: npt.NDArray[np.float64], reference: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Return ``[state, class]``, shape (K, K): posterior mass of each state on tasks of each reference class.

    Parameters
    ----------
    posterior : shape (N, K)
    reference : integers, shape (N,)
        −1 where there is none.
    """
    k = posterior.shape[1]
    table = np.zeros((k, k))
    for c in range(k):
        table[:, c] = posterior[reference == c].sum(axis=0)
    return table


def start(
    answers: Answers,
    design: DesignMatrix,
    n_subtypes: int,
    method: InitMethod,
    weighted: bool,
    generator: torch.Generator,
    calibrated: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the start of the skill of each worker and of their own weights.

    Parameters
    ----------
    answers, design : the same data
    n_subtypes : int
        M. Subtype m of a class starts with strength ``2^(1 − m)`` of the first: easy and hard tasks.
    method : {'mv', 'mv_rand', 'mv_lo', 'rand'}
        Majority vote with c = 2; with N(0, 0.01²) added; with a product of two such normals added; noise alone.
    weighted : bool
        Scale c by the worker's agreement with the others, relative to the mean agreement.
    generator : torch.Generator
        The only source of randomness.
    calibrated : bool
        Where c is scaled, :func:`log_odds` takes its place.

    Returns
    -------
    skill : float64, shape (D,)
        The diagonal's strength.
    own : float64, shape (D, K, S)
        What is added to it.
    """
    d, k = design.n_workers, design.n_classes
    shape = (d, k, k * n_subtypes)
    skill = torch.full((d,), 0.0 if method == "rand" else STRENGTH, dtype=torch.float64)
    if weighted and method != "rand" and d and k:
        agreement = vote_agreement(design, np.diff(answers.task_ptr)).to("cpu", torch.float64)
        of_active = agreement[design.answered]
        mean = (of_active if len(of_active) else agreement).mean().clamp_min(1e-3)
        skill = skill * agreement / mean
        if calibrated and k > 1:
            skill = log_odds(agreement, design.n_given.cpu(), k)
    own = torch.zeros(shape, dtype=torch.float64)
    if method in ("mv_rand", "rand"):
        own += NOISE * worker_noise(shape, answers, generator, design.answered)
    elif method == "mv_lo":
        left = worker_noise((d, k, 1), answers, generator, design.answered)
        right = worker_noise((d, 1, shape[2]), answers, generator, design.answered)
        own += (NOISE * left) * (NOISE * right)
    if n_subtypes > 1:
        fade = own.new_tensor([0.5 ** (m % n_subtypes) - 1.0 for m in range(shape[2])])
        own += skill[:, None, None] * fade * diagonal(k, n_subtypes)
    return skill, own


def log_odds(agreement: torch.Tensor, number: torch.Tensor, k: int) -> torch.Tensor:
    """Return the log-odds, in nats, of an answer's class against each other class, shape (D,), from agreement alone.

    Where worker i knows the label with chance s_i, and else names any of the K classes, two workers agree beyond chance
    with s_i s_j, so that s_i is agreement with the others over the root of its mean. Each s_i is shrunk to the mean as
    by four further answers, and kept between 0.05 and 0.95.

    Parameters
    ----------
    agreement : float64, shape (D,)
        Share of the others' answers that a worker agrees with.
    number : float64, shape (D,)
        Answers of each worker.
    k : int
        K, more than 1.
    """
    beyond = (k * agreement - 1) / (k - 1)
    mean = ((beyond * number).sum() / number.sum().clamp_min(1)).clamp_min(_FAINT**2).sqrt()
    knows = (beyond / mean * number + 4 * mean) / (number + 4)
    knows.clamp_(_FAINT, 1 - _FAINT)
    return torch.log((1 + (k - 1) * knows) / (1 - knows))


def worker_noise(
    shape: tuple[int, ...],
    answers: Answers,
    generator: torch.Generator,
    answered: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return normal noise, float64, of a shape whose first axis is that of the workers, D.

    It is drawn in the order of the workers' ids, and zero for those without answers (``answered`` is False, shape
    (D,)): neither the order of the rows nor workers who say nothing change what falls to whom.
    """
    order = index.sorted_order(answers.workers)
    if answered is None:
        answered = torch.from_numpy(np.bincount(answers.worker, minlength=answers.n_workers) > 0)
    active = order[answered.numpy()[order]]
    noise = torch.zeros(shape, dtype=torch.float64)
    drawn = torch.randn((len(active), *shape[1:]), generator=generator, dtype=torch.float64)
    noise[torch.from_numpy(active.astype(np.int64))] = drawn
    return noise


def diagonal(n_classes: int, n_subtypes: int) -> torch.Tensor:
    """Return [l = label(s)], float64, shape (K, S)."""
    return torch.eye(n_classes, dtype=torch.float64).repeat_interleave(n_subtypes, dim=1)
