r"""The number of classes that the spectrum of tasks × own names shows, for sources that share mistakes.

The normalised bipartite graph of tasks and own names has a singular value of 1, and one for each way in which sources
agree on how to divide the tasks further. K classes leave K large ones, and a gap after them: K maximises
σ²_K / σ²_{K+1}. Clusterings of rows that form no groups have gaps as well, anywhere, after which σ² is about a fourth
lower: a fall by less than a third shows no number. Values no larger than those of labels shuffled within each source
count as noise; so does the link between parts of the tasks that went to different sources, which shuffled labels have
too.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from deem_crowd.clustering.own_names import FloatArray, OwnNames

_FALL = 1 / 3
"""Share by which squared singular values fall at a gap, at least."""


def normalised(indicator: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the normalised bipartite graph of tasks and own names, shape (N, C)."""
    scale = [np.maximum(np.asarray(indicator.sum(a)).ravel(), 1e-12) ** -0.5 for a in (1, 0)]
    return (sparse.diags(scale[0]) @ indicator @ sparse.diags(scale[1])).tocsr()


def typical_names(own: OwnNames) -> int:
    """Return the number of names of a typical source: half of the answers come from sources with as many or more.

    Sources with one name say nothing about the number of classes, and are left out; 1 where there is no other.
    """
    names = np.bincount(own.source, minlength=own.answers.n_workers)
    of_answer = np.sort(names[own.answers.worker])
    of_answer = of_answer[of_answer > 1]
    return int(of_answer[len(of_answer) // 2]) if len(of_answer) else 1


def gap(own: OwnNames, most: int, rng: np.random.Generator) -> int | None:
    """Return the number of classes after which singular values fall most, or None where there is no gap.

    Parameters
    ----------
    own : OwnNames
    most : int
        The largest number that is considered.
    rng : Generator
        Shuffles labels within each source.
    """
    graph = normalised(own.indicator)
    rank = min(most + 1, min(graph.shape) - 1)
    if rank < 3:
        return None
    noise = _squared(normalised(_shuffled(own, rng)), 2)[1]
    values = np.maximum(_squared(graph, rank), noise)
    left = values[2:] / values[1:-1]
    return 2 + int(left.argmin()) if left.min() <= 1 - _FALL else None


def _squared(graph: sparse.csr_matrix, rank: int) -> FloatArray:
    """Return the largest squared singular values, falling, shape (rank,)."""
    values = svds(graph, k=rank, v0=np.ones(min(graph.shape)), return_singular_vectors=False)
    return np.asarray(np.sort(values**2)[::-1])


def _shuffled(own: OwnNames, rng: np.random.Generator) -> sparse.csr_matrix:
    """Return the indicator with each source's labels shuffled over the tasks that it answered."""
    pairs = own.indicator.tocoo()
    source = own.source[pairs.col]
    order = np.argsort(source, kind="stable")
    shuffled = np.lexsort((rng.random(len(source)), source))
    column = np.empty_like(pairs.col)
    column[order] = pairs.col[shuffled]
    return sparse.csr_matrix((pairs.data, (pairs.row, column)), shape=pairs.shape)
