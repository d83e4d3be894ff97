r"""Probabilities that stay honest where sources are right, or wrong, together.

Given the label, a model holds the answers to a task for independent. On real sets they are not: some tasks are hard for
everybody. With c_i(k) = p(worker i is right | class k) and s_i = [x_i = k] − c_i(k), the correlation between answers to
a task, under a posterior q,

    ρ = Σ_n Σ_k q_n(k) [(Σ_i s_i)² − Σ_i s_i²]  /  Σ_n Σ_k q_n(k) [(Σ_i σ_i)² − Σ_i σ_i²],      σ_i² = c_i (1 − c_i),

is zero in the mean where the model holds and q is its posterior. m answers with correlation ρ are worth
n_eff = m / (1 + (m − 1) ρ) independent ones (Kish, *Survey Sampling*, 1965). The log-probabilities of a task are
divided by the design effect of as many answers, 1 + (n_eff − 1) ρ, which lies between 1 and 2: odds shrink.

What all sources share may be wrong, and nothing in the answers would show it. Answers have correlation ρ where each of
them follows, with probability √ρ, what the task suggests to everybody. The model then speaks for the pairs of answers
in which neither does, (1 − √ρ)² of all; for the rest there are the votes. With few tasks N little is known of the
sources, which counts as if :data:`UNSEEN` more tasks had been left to the votes. So these get the share

    f = 1 − (1 − √ρ)² N / (N + 30),

but less where they name another class than the posterior does: labels stay as they are.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.expectation import counts_of, of_logits
from deem_crowd.model.rows import column_total, row_max, row_sum, softmax

Values = TypeVar("Values", torch.Tensor, npt.NDArray[np.float64])

UNSEEN = 30
"""Tasks: as many as two sources have to share to be compared."""
NEARLY = 0.75
"""How far votes may move a posterior towards the point where its label would change."""
TIE = 1e-6
APART = 4 * TIE
"""Leads up to this are left alone: they would become ties."""
MOST = 0.999
"""What votes count at most: where they tie, the posterior still names the label."""


def within_task_correlation(
    design: DesignMatrix,
    posterior: torch.Tensor,
    tables: torch.Tensor,
    group: npt.NDArray[np.int64] | None = None,
) -> float:
    """Return ρ; 0 where it is negative, or where nothing tells.

    Parameters
    ----------
    design : DesignMatrix
        N tasks, D workers, K classes.
    posterior : shape (N, K)
    tables : shape (D, K, K)
        p(answer | label) as [worker, answer, label].
    group : integers, shape (D,), optional
        Number of each worker's group, −1 for none: pairs inside groups do not count.
    """
    k = design.n_classes
    right = torch.diagonal(tables, dim1=1, dim2=2)
    surprise = torch.eye(k, dtype=torch.float64) - right[:, None, :]
    variance = (right * (1 - right)).clamp_min(0)[:, None, :].expand_as(surprise)

    def products(tasks: slice, by_task: torch.Tensor) -> torch.Tensor:
        some = posterior[tasks].to(by_task.dtype).T.contiguous()
        each = by_task.T.contiguous().square_().view(2, k, -1).mul_(some)
        return column_total(each.view(2 * k, -1).T).view(2, k).sum(1)

    both = torch.cat([surprise, variance.sqrt()], 2)
    # what a single answer adds, to be taken away again, is a sum over workers and labels
    counts = counts_of(design, posterior)
    alone = counts * surprise.square(), counts * variance

    def among(of: torch.Tensor, single: torch.Tensor) -> torch.Tensor:
        pairs = sum(of_logits(design, of, products), torch.zeros(2, dtype=torch.float64))
        return torch.as_tensor(design.reduce(pairs)) - single

    shared, possible = among(both, torch.stack([one.sum() for one in alone]))
    for number in range(0 if group is None else int(group.max(initial=-1)) + 1):
        inside = torch.from_numpy(group == number)
        single = torch.stack([one[inside].sum() for one in alone])
        less = among(both * inside[:, None, None], single)
        shared, possible = shared - less[0], possible - less[1]
    return min(max(float(shared / possible), 0.0), 1.0) if possible > 1e-9 else 0.0


def share_of_votes(correlation: float, n_tasks: int) -> float:
    """Return f, what the votes count where answers to a task have correlation ρ, and there are N tasks."""
    own = (1 - correlation**0.5) ** 2
    return 1 - own * n_tasks / (n_tasks + UNSEEN)


def with_votes(posterior: torch.Tensor, votes: torch.Tensor, share: float) -> torch.Tensor:
    """Mix shares of the votes into a posterior, shape (N, K) each, as far as no label changes."""
    if share <= 0 or posterior.shape[1] < 2:
        return posterior
    # What does not count is moved out of the range of shares: much faster than a choice where columns are contiguous.
    best = row_max(posterior)[:, None]
    # a tie of the posterior is left to the votes
    behind = (posterior < best - TIE).to(votes.dtype)
    named = row_max(votes.sub(behind, alpha=2))[:, None]
    against = (votes - named).clamp_min_(0)
    lead = best - posterior
    limit = (lead - APART).clamp_min_(0).div_(lead.add_(against).clamp_min_(TIE))
    limit.add_((against <= 0).to(limit.dtype), alpha=2)
    limit = row_max(limit.neg_()).mul_(-NEARLY).clamp_max_(min(share, MOST))
    return torch.lerp(posterior, votes, limit[:, None])


def design_effect(n_answers: Values, correlation: float) -> Values:
    """Return 1 + (n_eff − 1) ρ for tasks with so many answers: what their log-probabilities are divided by."""
    effective = n_answers / (1 + (n_answers - 1) * correlation)
    return 1 + (effective - 1) * correlation


def tempered(posterior: torch.Tensor, votes: torch.Tensor, correlation: float) -> torch.Tensor:
    """Return a posterior with the log-probabilities of each task divided by its design effect.

    It and how many answers each class got, ``votes``, have shape (N, K).
    """
    if correlation <= 0 or votes.shape[1] < 2:
        return posterior
    answers = row_sum(votes).clamp_min_(1).to(posterior.dtype)
    scaled = posterior.clamp_min(1e-30).log_()
    scaled /= design_effect(answers, correlation)[:, None]
    return softmax(scaled)[0]


def discounted(posterior: torch.Tensor, votes: torch.Tensor, correlation: float) -> torch.Tensor:
    """Return a posterior, shape (N, K), in which m answers to a task count as m / (1 + (m − 1) ρ) independent ones.

    The log-probabilities are divided by the whole design effect (Kish, 1965). That ranks tasks with many answers beside
    tasks with few; as probabilities, :func:`tempered` ones are nearer the truth. ``votes`` as there.
    """
    if correlation <= 0 or votes.shape[1] < 2:
        return posterior
    answers = row_sum(votes).clamp_min_(1).to(posterior.dtype)
    scaled = posterior.clamp_min(torch.finfo(posterior.dtype).tiny).log_()
    scaled /= (1 + (answers - 1) * correlation)[:, None]
    return softmax(scaled)[0]
