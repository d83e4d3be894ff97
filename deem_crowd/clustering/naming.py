r"""One name of each source for each class: tables drawn around a naming, and labels under the common names.

    T_i[·, k] ~ Dirichlet(a + b · [own name that stands for k])

Each source's naming is the one-to-one map with the largest expected agreement. The prior tells a source with few
answers what the others show: that sources are right more often than not. Where answers are sparse, that finds
partitions that free tables miss.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.special import digamma, gammaln, softmax, xlogy

from deem_crowd.clustering.latent import Fit, source_sums
from deem_crowd.clustering.own_names import FloatArray, IntArray, OwnNames
from deem_crowd.estimators.fit import fit_answers
from deem_crowd.estimators.settings.recipe import Recipe
from deem_crowd.exceptions import DataWarning

PASSES, _TOLERANCE = 150, 1e-6
_FLOORS, _EXCESSES = (0.1, 0.3, 1.0), (0.0, 1.0, 3.0, 10.0, 30.0)
"""a and b are among these, chosen by the bound."""
_CHOSEN_AT = (4, 15, 40, 80)


def columns_of(own: OwnNames) -> list[IntArray]:
    """Return the columns of each source."""
    return [np.flatnonzero(own.source == i) for i in range(own.answers.n_workers)]


def centred(own: OwnNames, start: FloatArray, name: str, passes: int = PASSES) -> Fit:
    """Fit tables around a naming by variational EM.

    Parameters
    ----------
    own : OwnNames
        N tasks, C columns.
    start : shape (N, K)
    name : str
        Of the start.
    passes : int
        At most.
    """
    x, xt, by_source = own.indicator, own.indicator.T.tocsr(), source_sums(own)
    columns, k = columns_of(own), start.shape[1]
    seen = np.asarray(by_source.sum(1)).ravel() > 0
    posterior, floor, excess, before = start, 1.0, 3.0, -np.inf
    naming = np.zeros((len(own.source), k))

    def evidence(counts: FloatArray, a: float, b: float) -> float:
        prior = a + b * naming
        cells = (gammaln(counts + prior) - gammaln(prior)).sum()
        sums = (by_source @ prior)[seen]
        totals = (by_source @ counts)[seen]
        return float(cells - (gammaln(totals + sums) - gammaln(sums)).sum())

    counts = np.asarray(xt @ posterior)
    for number in range(passes):
        if number < 20 or number % 5 == 0:
            naming = naming_of(counts, columns)
        if number in _CHOSEN_AT:
            pairs = [(a, b) for a in _FLOORS for b in _EXCESSES]
            floor, excess = max(pairs, key=lambda pair: evidence(counts, *pair))
        total = counts + floor + excess * naming
        shares = posterior.sum(0) + 1.0
        table = digamma(total) - digamma(by_source @ total)[own.source]
        logits = np.asarray(x @ table) + digamma(shares) - digamma(shares.sum())
        posterior = softmax(logits, axis=1)
        counts = np.asarray(xt @ posterior)
        if number <= _CHOSEN_AT[-1] and number < passes - 1:
            continue
        bound = bound_of(evidence(counts, floor, excess), posterior)
        if bound - before < _TOLERANCE * own.answers.n_answers:
            break
        before = bound
    shares = posterior.sum(0) + 1.0
    return Fit(posterior, counts, shares / shares.sum(), bound, name)


def bound_of(evidence: float, posterior: FloatArray) -> float:
    """Return the evidence of tables and of the class prior, and the entropy of the posterior, in nats."""
    k, sizes = posterior.shape[1], posterior.sum(0)
    prior = gammaln(k) + gammaln(sizes + 1).sum() - gammaln(sizes.sum() + k)
    return float(evidence + prior - xlogy(posterior, posterior).sum())


def naming_of(counts: FloatArray, columns: Sequence[IntArray]) -> FloatArray:
    """Return 1 where an own name stands for a class, one to one in each source, shape (C, K)."""
    naming = np.zeros_like(counts)
    for place in columns:
        if len(place):
            rows, classes = linear_sum_assignment(counts[place], maximize=True)
            naming[place[rows], classes] = 1.0
    return naming


def relabelled(own: OwnNames, posterior: FloatArray) -> tuple[FloatArray, float]:
    """Rename every source's names one to one, and let the default model label.

    Returns
    -------
    probabilities, shape (N, K), and the bound of the evidence in nats per answer
    """
    answers, k = own.answers, posterior.shape[1]
    naming = naming_of(np.asarray(own.indicator.T @ posterior), columns_of(own))
    renamed = np.full((answers.n_workers, answers.n_classes), -1, dtype=np.int32)
    renamed[own.source, own.label] = naming.argmax(1)
    label = renamed[answers.worker, answers.hard_label]
    common = replace(answers, label=label, classes=pd.RangeIndex(k))
    with warnings.catch_warnings():
        # of tasks and sources without answers: said by the caller's data
        warnings.simplefilter("ignore", DataWarning)
        model, probabilities = fit_answers(common, Recipe(automatic=True))
    scores = [row.score for row in model.candidates if not np.isnan(row.score)]
    return probabilities, max(scores, default=-np.inf)
