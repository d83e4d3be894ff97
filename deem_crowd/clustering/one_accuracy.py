r"""One accuracy and one naming for each source: partitions for sources too sparse to tell a table of their own.

    p(x_ni | z_n = k) = p_i                 if the own name x_ni stands for k
                        (1 − p_i) / (K − 1)    otherwise,            p_i ~ Beta(a, b)

Each source's naming is the one-to-one map with the largest expected agreement. With few answers for each own name this
finds namings that tables miss; the default model judges between them.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaln, digamma, softmax

from deem_crowd.clustering.growing import RIGHT, WRONG
from deem_crowd.clustering.latent import Fit, source_sums
from deem_crowd.clustering.naming import bound_of, columns_of, naming_of
from deem_crowd.clustering.own_names import FloatArray, OwnNames

PASSES, _TOLERANCE = 100, 1e-3
_AT_LEAST = 10


def one_accuracy(own: OwnNames, start: FloatArray, name: str, passes: int = PASSES) -> Fit:
    """Fit accuracies and namings by variational EM.

    Parameters
    ----------
    own : OwnNames
        N tasks, C columns; no source has more than K names.
    start : shape (N, K), K from 2
    name : str
        Of the start.
    passes : int
        At most.

    Returns
    -------
    Fit
        Its ``bound`` has accuracies and class prior integrated out, and the namings at their best: it compares with
        bounds of this function for the same K, not with those of tables.
    """
    x, xt, by_source = own.indicator, own.indicator.T.tocsr(), source_sums(own)
    columns, k = columns_of(own), start.shape[1]
    given = by_source @ np.asarray(x.sum(0)).ravel()
    posterior = start

    def matched() -> tuple[FloatArray, FloatArray, FloatArray]:
        counts = np.asarray(xt @ posterior)
        naming = naming_of(counts, columns)
        return counts, naming, by_source @ (counts * naming).sum(1)

    for number in range(passes):
        _, naming, right = matched()
        wrong = digamma(WRONG + given - right) - np.log(k - 1)
        odds = (digamma(RIGHT + right) - wrong)[own.source]
        logits = np.asarray(x @ (odds[:, None] * naming)) + digamma(posterior.sum(0) + 1.0)
        updated = softmax(logits, axis=1)
        moved, posterior = float(np.abs(updated - posterior).max()), updated
        if number >= _AT_LEAST and moved < _TOLERANCE:
            break
    counts, _, right = matched()
    missed, sizes = given - right, posterior.sum(0)
    bound = (betaln(RIGHT + right, WRONG + missed) - betaln(RIGHT, WRONG)).sum()
    bound = bound_of(bound - missed.sum() * np.log(k - 1), posterior)
    return Fit(posterior, counts, (sizes + 1) / (sizes + 1).sum(), bound, name)
