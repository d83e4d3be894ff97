"""Whether labels learned with features are those that the answers and the known labels are about.

Features may predict something else about the answers better than the label. One of the sources may be a model that was
trained on the same features, errors included. "What that source says" then explains features and answers, and the
likelihood prefers it to the true label, even on held-out answers. Two things reveal this:

- Given the right label, the answers to a task are independent. Labels that are not what workers agree about leave this
  agreement unexplained: given them, the answers to a task are more correlated than given the labels that the answers
  show alone. Labels that features have improved leave less correlation.
- Where labels are known, the learned ones (from the task's answers and features, not from its known label) are wrong
  more often than their probabilities say.
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
"""By how much ρ has to be larger; weak features or drifting classes alone can leave as much."""
_ERRORS = 2.0
"""How many standard errors are added to that."""
_WRONG = 3.0
"""By how many standard errors known labels have to be less likely than expected."""
_LEAST_KNOWN = 10
_OWN = 2.0
"""Answers by which tables of labels are drawn towards those of all workers."""


def unexplained(problem: Problem, together: Joint, alone: FloatArray) -> str | None:
    """Say how much more agreement labels learned with features leave unexplained than those of the answers; or None.

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
        "given labels learned with features, the answers to a task are more correlated than given those of the answers "
        f"alone (correlation {with_features:.2f} instead of {without:.2f})"
    )


def repeated(problem: Problem, alone: FloatArray) -> bool:
    """Tell whether a table for each worker and region leaves answers dependent, given the labels of the answers alone.

    It does not where sources are only good in the same regions; copies agree, and err, together in every region.

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
    """Tell whether a correlation of the answers to a task is larger than weak features or chance would leave."""
    answers = problem.design.votes.sum(1).double()
    pairs = float((answers * (answers - 1)).sum()) / 2
    return pairs > 0 and correlation > _LEFT + _ERRORS / float(np.sqrt(pairs))


def left_over(design: DesignMatrix, posterior: FloatArray) -> float:
    """Return ρ of the answers to a task given p(label), shape (N, K), whatever tables it was found with."""
    states = torch.from_numpy(posterior).to(design.device, design.dtype)
    counts = design.expected_counts(states).cpu()
    everybody = counts.sum(0) + 1e-6
    cells = counts + _OWN * everybody / everybody.sum(0, keepdim=True)
    return within_task_correlation(design, states, cells / cells.sum(1, keepdim=True))


def contradicted(problem: Problem, together: Joint) -> str | None:
    """Say how much less likely known labels are than the posterior expects; None if not clearly so."""
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
        f"labels learned with features contradict the {len(known)} known ones (log-loss "
        f"{lack / len(known):.2f} above what their probabilities imply)"
    )
