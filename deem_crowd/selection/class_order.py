r"""Whether the classes are steps of a scale though nobody said so: whether the answers put them in an order.

Where they are, answers to the same task tend to name neighbouring classes. Let M[k, l] say how often two answers to the
same task name k and l, each task counting as many pairs as it has answers. Correspondence analysis (Hirschfeld,
*Proceedings of the Cambridge Philosophical Society* 31, 1935; Hill, *Applied Statistics* 23, 1974) gives each class the
number that correlates most over these pairs: the second eigenvector of D^(−1/2) M D^(−1/2), divided by √D, with D the
sums of M. These numbers give the order; an order and its reverse are the same model.

Along it each worker may have a bias and a noise (:mod:`deem_crowd.training.ordered_centre`), as with ``ordered=True``.
That model is preferred to tables drawn around accuracies where its bound is larger by more than log(K!/2) nats: before
the answers are seen, each of the K!/2 orders is as probable as any other.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch

from deem_crowd.exceptions import first_few
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.rows import column_total, row_sum
from deem_crowd.selection.fitting import Training
from deem_crowd.training.dirichlet import log_marginal
from deem_crowd.training.hierarchical import Hierarchical, learned_strength
from deem_crowd.training.ordered_centre import OrderedCentre

_LEAST, _MOST = 3, 11
"""Two classes have only one order; on longer scales few pairs of classes are named together."""
_SAME = 1e-5
"""Numbers nearer to each other than this may differ by rounding alone; the order would then depend on the names."""
_WORKERS = 256
"""The evidence of at most so many workers tells whether the fit may be worth its time."""
_BEHIND, _BEHIND_AN_ANSWER = 50.0, 0.01
"""How far the evidence may be behind, under the other model's labels, for the fit to be worth its time: nats in all,
and nats an answer, which are added up.

EM then moves the labels. On real sets of 160 to 2,700 tasks it has made up for as much as 130 nats.
"""


def along_scale(training: Training, around_accuracies: Hierarchical) -> Hierarchical | None:
    """Return tables drawn around biases and noises along the order that answers show; None if others explain more.

    Parameters
    ----------
    training : Training
        N tasks, D workers, K classes; answers are hard.
    around_accuracies : Hierarchical
        The fit to compare with.
    """
    design = training.design
    if training.ordered or not _LEAST <= design.n_classes <= _MOST:
        return None
    place = places(design)
    if place is None or not _may_win(design, around_accuracies, place):
        return None
    found = training.in_order(place)
    orders = math.factorial(design.n_classes) / 2
    return found if found.bound - math.log(orders) > around_accuracies.bound else None


def named(found: Hierarchical, classes: pd.Index) -> str:
    """Name the classes in the order of a fit: of the two ways round, the one whose ends stand as in ``classes``."""
    assert isinstance(found.centre, OrderedCentre)
    assert found.centre.place is not None
    order = found.centre.place.argsort().tolist()
    if order[0] > order[-1]:
        order.reverse()
    return first_few((classes[one] for one in order), _MOST)


def places(design: DesignMatrix) -> torch.Tensor | None:
    """Return the place of each class in the order that answers show, integers, shape (K,); None if they show none."""
    votes = design.votes
    number = row_sum(votes)
    shares = votes * torch.where(number > 1, 1 / (number - 1), 0.0)[:, None]
    together = (votes.T @ shares).cpu().double() - torch.diag(column_total(shares))
    pairs = design.reduce(together).numpy()
    total = pairs.sum(1)
    if not (total > _SAME).all():
        return None
    root = np.sqrt(total)
    values, vectors = np.linalg.eigh(pairs / np.outer(root, root))
    number_of = vectors[:, -2] / root
    rising = np.sort(number_of)
    if values[-2] - values[-3] < _SAME or np.diff(rising).min() < _SAME * (rising[-1] - rising[0]):
        return None
    return torch.from_numpy(np.searchsorted(rising, number_of))


def _may_win(design: DesignMatrix, rival: Hierarchical, place: torch.Tensor) -> bool:
    """Whether the evidence of biases and noises, under the labels of the rival, is near enough to its own.

    Of many workers only every second is taken, or every third, and so on. They stand in the order of how many answers
    they gave and, of these, of their evidence, so that neither their names nor the order of rows matters.
    """
    counts = design.expected_counts(rival.states).cpu() if rival.counts is None else rival.counts
    some = some_workers(design, rival)
    counts = counts[some]
    centre = OrderedCentre(design.n_classes, place)
    middle = centre.update(counts, rival.strength)
    strength = learned_strength(counts, middle, rival.strength)
    middle = centre.update(counts, strength)
    ours = float(log_marginal(counts, strength * middle).sum()) + centre.log_evidence()
    asked = float(counts.sum()) / max(design.n_answers_in_all, 1)
    theirs = float(rival.by_worker[some].sum()) + asked * rival.centre.log_evidence()
    return theirs - ours < asked * (_BEHIND + _BEHIND_AN_ANSWER * design.n_answers_in_all)


def some_workers(design: DesignMatrix, fitted: Hierarchical) -> torch.Tensor | slice:
    """Return which workers to look at first: all, or 256 at most by how many answers they gave."""
    n_workers = len(fitted.by_worker)
    if n_workers <= _WORKERS:
        return slice(None)
    by_size = np.lexsort((fitted.by_worker.numpy(), design.n_given.cpu().numpy()))
    return torch.from_numpy(by_size[:: -(-n_workers // _WORKERS)])
