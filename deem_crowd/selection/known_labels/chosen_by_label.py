r"""Whether the tasks with known labels were chosen at random or by their labels.

Somebody may know the labels of one class only, or give as many of a rare class as of the others. A task of class k is
then chosen at a rate r(k), and for the tasks with known labels the readings' odds have to be multiplied by it:

    p(k | x_n, chosen) ∝ r(k) p(k | x_n),        r(k) = q(k) / π(k),

with q the shares of the classes in gold, and π those among all tasks. A model that is trained on gold with r in it
holds for all other tasks without r (case-control sampling; Prentice and Pyke, *Biometrika* 66, 1979).
"""

from __future__ import annotations

import numpy as np
import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection.known_labels.known_tasks import Known, logs
from deem_crowd.selection.known_labels.regression import FloatArray

LEVEL = 0.05
"""Upper bound of the chance that tasks chosen at random are taken for tasks chosen otherwise."""
_TILTS = tuple(0.5 * 2.0**i for i in range(7))
"""λ of exp(λ · share), of either sign, over which Chernoff's bound is minimised."""


def answered_otherwise(design: DesignMatrix, gold: torch.Tensor) -> bool:
    """Tell whether tasks with known labels have other answers than tasks that are chosen at random.

    For each class, Chernoff's inequality bounds the chance that the mean share of its votes in n random tasks is as far
    from that in all tasks. It holds without replacement as well (Hoeffding, *JASA* 58, 1963) and for rare classes.

    Parameters
    ----------
    design : DesignMatrix
        N tasks.
    gold : LongTensor, shape (N,)
        Known classes, −1 where unknown.
    """
    votes = design.votes.cpu()
    total = votes.sum(1)
    answered, chosen = total > 0, (gold >= 0) & (total > 0)
    k, tilts = votes.shape[1], torch.tensor([*_TILTS, *(-tilt for tilt in _TILTS)])
    sums = torch.zeros((k, 2 + len(tilts)), dtype=torch.float64)
    for c in range(k):  # one class at a time, for memory
        share = votes[:, c].double() / total.clamp_min(1e-30)
        sums[c, 0], sums[c, 1] = share[answered].sum(), share[chosen].sum()
        for i, tilt in enumerate(tilts.tolist()):
            sums[c, 2 + i] = torch.exp(tilt * share[answered]).sum()
    counts = torch.stack([answered.sum(), chosen.sum()]).double()
    every = design.reduce(torch.cat([sums.ravel(), counts]))
    sums, (n_tasks, n) = every[:-2].reshape(k, -1), every[-2:].tolist()
    if not n:
        return False
    exponent = n * (tilts * (sums[:, 1:2] / n) - torch.log(sums[:, 2:] / n_tasks))
    return bool(exponent.max() > np.log(2 * k / LEVEL))


def by_label(
    gold: Known, told: FloatArray, prior: FloatArray, otherwise: bool
) -> FloatArray | None:
    """Return log r, shape (K,), if the tasks with known labels were chosen by these labels; else None.

    Labels of one class do not show what sets it apart from others, however they were chosen, so r is returned. Tasks of
    several classes count as chosen by label if they are answered otherwise than random ones, and if a reading finds
    their labels likelier with r than without: where hard tasks were chosen, for instance, their odds must not change.

    Parameters
    ----------
    gold : Known
    told : shape (N, K)
        Posterior of a reading of the answers, found as if a task's own label were unknown.
    prior : shape (K,)
        π.
    otherwise : bool
        What :func:`answered_otherwise` says.
    """
    counts = np.bincount(gold.label, minlength=len(prior))
    rate: FloatArray = np.log((counts + 0.5) / (counts + 0.5).sum()) - np.log(prior)
    if (counts > 0).sum() == 1:
        return rate
    if not otherwise:
        return None
    with_rate, without = (logs(gold.chances(told, of)).sum() for of in (rate, None))
    return rate if with_rate > without else None
