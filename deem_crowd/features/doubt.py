"""Whether labels that were learned with features are what the answers, and known labels, are about.

Features may tell something else about the answers better than the label. One of the sources may be a model that was
trained on the same features, and its errors with it: "what that source says" then explains features and answers, and
the likelihood, of held-out answers too, prefers it to the truth. Two things show it:

- Given their right label, answers are independent. Labels that are not what workers agree about leave their agreement
  unexplained: the correlation of the answers to a task given its label is larger than with the labels that the answers
  show alone. Labels that features have made better leave it smaller.
- Where labels are known, those learned (from the task's answers and features, not from its label) are wrong more often
  than they say themselves.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.features.joint import Joint, Problem, posterior_of
from deem_crowd.model.calibration import within_task_correlation
from deem_crowd.model.design import DesignMatrix

FloatArray = npt.NDArray[np.float64]

_LEFT = 0.05
"""By how much ρ has to be larger: as much is left where features are only weak, or classes drift."""
_ERRORS = 2.0
"""And by how many standard errors besides."""
_WRONG = 3.0
"""Standard errors by which known labels are less likely than expected."""
_LEAST_KNOWN = 10
_OWN = 2.0
"""Answers by which tables of labels are drawn towards those of all workers."""


def unexplained(problem: Problem, together: Joint, alone: FloatArray) -> str | None:
    """Say how much agreement labels learned with features leave unexplained; None if no more than those of the answers.

    Parameters
    ----------
    problem : Problem
    together : Joint
    alone : shape (N, K)
        Posterior by the answers alone.
    """
    design = problem.design if problem.regional is None else problem.regional
    with_features, without = (
        left_over(design, posterior) for posterior in (together.posterior, alone)
    )
    if not _clear(with_features - without, problem):
        return None
    return (
        "given labels that are learned with features, answers to a task agree more than given those of the answers "
        f"alone (correlation {with_features:.2f}, {without:.2f})"
    )


def repeated(problem: Problem, alone: FloatArray) -> bool:
    """Tell whether a table for each worker and region leaves answers dependent, given the labels of the answers alone.

    Where sources are good in the same regions it does not; copies agree, and err, together in every region.

    Parameters
    ----------
    problem : Problem
        With regions.
    alone : shape (N, K)
        Posterior by the answers alone.
    """
    assert problem.regional is not None
    return _clear(left_over(problem.regional, alone), problem)


def _clear(correlation: float, problem: Problem) -> bool:
    """Tell whether a correlation of the answers to a task is more than weak features or chance leave."""
    answers = problem.design.votes.sum(1).double()
    pairs = float((answers * (answers - 1)).sum()) / 2
    return pairs > 0 and correlation > _LEFT + _ERRORS / float(np.sqrt(pairs))


def left_over(design: DesignMatrix, posterior: FloatArray) -> float:
    """Return ρ of the answers to a task given labels, shape (N, K), whatever tables these were found with."""
    states = torch.from_numpy(posterior).to(design.device, design.dtype)
    counts = design.expected_counts(states).cpu()
    everybody = counts.sum(0) + 1e-6
    cells = counts + _OWN * everybody / everybody.sum(0, keepdim=True)
    return within_task_correlation(design, states, cells / cells.sum(1, keepdim=True))


def contradicted(problem: Problem, together: Joint) -> str | None:
    """Say how much less likely known labels are than their posteriors expect; None if not clearly so."""
    if problem.gold is None:
        return None
    known = np.flatnonzero(problem.gold.numpy() >= 0)
    if len(known) < _LEAST_KNOWN:
        return None
    p = np.maximum(posterior_of(problem, together)[known], 1e-12)
    logs = np.log(p)
    expected = (p * logs).sum(axis=1)
    scatter = np.sqrt(np.maximum((p * logs**2).sum(axis=1) - expected**2, 0).sum() + 1e-12)
    lack = expected.sum() - logs[np.arange(len(known)), problem.gold.numpy()[known]].sum()
    if lack <= _WRONG * scatter:
        return None
    return (
        f"labels that are learned with features contradict the {len(known)} known ones (log-loss "
        f"{lack / len(known):.2f} above what they expect of themselves)"
    )
