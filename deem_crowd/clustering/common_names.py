"""Which common class each own name stands for: what ``DEEM(label_names="own")`` asks before it fits."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from deem_crowd.clustering.consensus import ClusteringAggregator
from deem_crowd.clustering.naming import columns_of
from deem_crowd.clustering.own_names import FloatArray, IntArray, OwnNames
from deem_crowd.data.answers import Answers


def common_names(
    answers: Answers, n_classes: int | None, random_state: int
) -> tuple[IntArray, FloatArray, IntArray, int]:
    """Find the consensus of the sources, and match each source's names to it.

    Names are matched one to one (Hungarian algorithm); of a source with more names than there are classes, each name
    left over goes to the class that it meets most often.

    Parameters
    ----------
    answers : Answers
        N tasks, D sources, L own names of any of them.
    n_classes : int, optional
        K; None: chosen by the bound of the evidence.
    random_state : int

    Returns
    -------
    common : shape (D, L), −1 where a source never gave a name
    probability : shape (D, L), p(that class | own name)
    n_tasks : shape (D, L)
    n_classes : K

    Raises
    ------
    DataError, FormError, ParameterError
        As :meth:`ClusteringAggregator.fit`.
    """
    consensus = ClusteringAggregator(n_classes, random_state=random_state).fit(answers)
    own = OwnNames.of(answers)
    counts = np.asarray(own.indicator.T @ consensus.probas_.to_numpy())
    common = counts.argmax(1)
    for place in columns_of(own):
        rows, classes = linear_sum_assignment(counts[place], maximize=True)
        common[place[rows]] = classes
    total = counts.sum(1)
    shape = (answers.n_workers, answers.n_classes)
    table = np.full(shape, -1, dtype=np.int64)
    table[own.source, own.label] = common
    probability = np.zeros(shape)
    probability[own.source, own.label] = counts[np.arange(len(common)), common] / total
    n_tasks = np.zeros(shape, dtype=np.int64)
    n_tasks[own.source, own.label] = total.round()
    return table, probability, n_tasks, consensus.n_classes_
