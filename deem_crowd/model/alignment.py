"""Hidden states have no names: the Hungarian algorithm gives them those of the classes they agree with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment


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

    Notes
    -----
    Kuhn, Naval Research Logistics 2 (1955), in scipy's implementation.
    """
    k = len(agreement)
    total = float(agreement.sum())
    # No permutation must win by rounding alone, which depends on the order of the rows: neither against one that
    # keeps every number nor against any other.
    share = np.round(agreement / total, 9) if total > 0 else agreement
    kept = share + np.eye(k) * (1e-9 / max(k, 1))
    states, classes = linear_sum_assignment(kept, maximize=True)
    mapping = np.empty(k, dtype=np.int64)
    mapping[states] = classes
    return mapping


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
