r"""One accuracy and one naming for each source, and confusions of the classes that all sources share.

    p(x_ni | z_n = k) = a_i [m = k]  +  b_i C[k, m]  +  c_i / K,        m what the own name x_ni stands for
    (a_i, b_i, c_i) ~ Dirichlet,    C[k, ·] ~ Dirichlet over the other classes,    π ~ Dirichlet(e)

An answer is right, one of the errors that anybody makes, or a guess. Where few sources link two parts of the tasks, the
errors tell which name in one part goes with which in the other (:mod:`deem_crowd.clustering.relinking`).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import digamma, gammaln

from deem_crowd.clustering.latent import Fit, source_sums
from deem_crowd.clustering.naming import columns_of, naming_of
from deem_crowd.clustering.own_names import FloatArray, OwnNames

PASSES, _TOLERANCE = 150, 1e-6
_AT_LEAST, _NAMED = 10, 60
"""Passes before an end is looked for, and passes in which sources are renamed."""
_PARTS, ERRORS = np.array([2.0, 0.5, 0.5]), 0.3
"""Pseudo-answers that are right, errors of all and guesses; and those of each error."""
_EVENNESS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""e is one of these, chosen by the evidence of the class sizes."""
_NEVER = 1e-9


class SharedErrors:
    """The law for C columns of D sources and K classes: a naming, and Dirichlets of the parameters.

    Parameters
    ----------
    own : OwnNames
        No source has more than K names.
    counts : shape (C, K)
        Expected number of tasks of each class that were given each own name, to begin with.
    """

    def __init__(self, own: OwnNames, counts: FloatArray) -> None:
        self.own, self.k = own, counts.shape[1]
        self.columns, self.by_source = columns_of(own), source_sums(own)
        self._prior = np.full((self.k, self.k), ERRORS)
        np.fill_diagonal(self._prior, _NEVER)
        self.naming = naming_of(counts, self.columns).argmax(1)
        right = np.zeros_like(counts)
        place = np.arange(len(counts))
        right[place, self.naming] = counts[place, self.naming]
        wrong = (counts - right) / 2
        self._learned(np.stack([right, wrong, wrong]))

    def _learned(self, parts: FloatArray) -> None:
        """Take expected counts of right answers, errors of all and guesses, shape (3, C, K)."""
        self._shares = _PARTS + np.asarray(self.by_source @ parts.sum(2).T)
        self._errors = self._prior + self._by_class(parts[1])

    def _by_class(self, counts: FloatArray) -> FloatArray:
        """Add up counts (C, K) to true class × answered class."""
        table = np.zeros((self.k, self.k))
        np.add.at(table.T, self.naming, counts)
        return table

    def learns(self, counts: FloatArray) -> None:
        """Update the parameters from expected counts, shape (C, K), given the table last asked for."""
        self._learned(self._parts * counts)

    def table(self) -> FloatArray:
        """Return the expected log probability of each own name in each class, shape (C, K)."""
        shares, errors = _mean_log(self._shares)[self.own.source], _mean_log(self._errors)
        parts = np.full((3, len(shares), self.k), -np.inf)
        parts[0, np.arange(len(shares)), self.naming] = shares[:, 0]
        parts[1] = shares[:, 1, None] + errors.T[self.naming]
        parts[2] = shares[:, 2, None] - np.log(self.k)
        largest = parts.max(0)
        parts = np.exp(parts - largest)
        total = parts.sum(0)
        self._parts = parts / total
        return np.asarray(np.log(total) + largest)

    def renames(self, counts: FloatArray) -> None:
        """Give each source the naming under which its counts, shape (C, K), are likeliest."""
        shares, errors = np.exp(_mean_log(self._shares)), np.exp(_mean_log(self._errors))
        for place, (right, shared, guess) in zip(self.columns, shares, strict=True):
            if len(place):
                law = np.log(right * np.eye(self.k) + shared * errors + guess / self.k)
                rows, classes = linear_sum_assignment(counts[place] @ law, maximize=True)
                self.naming[place[rows]] = classes

    def settles(self, counts: FloatArray, rounds: int = 20) -> None:
        """Learn naming and parameters from counts, shape (C, K), that stay as they are."""
        for number in range(rounds):
            if number:
                self.renames(counts)
            self.table()
            self.learns(counts)

    def right_shares(self) -> FloatArray:
        """Return the expected share of right answers of each source, shape (D,)."""
        return np.asarray(self._shares[:, 0] / self._shares.sum(1))

    def errors_of(self, counts: FloatArray) -> FloatArray:
        """Return the errors of all among counts (C, K), true class × answered class."""
        return self._by_class(self._parts[1] * counts)

    def divergence(self) -> float:
        """Return that of the parameters from their priors, in nats."""
        shares = _divergence(self._shares, np.tile(_PARTS, (len(self._shares), 1)))
        return shares + _divergence(self._errors, self._prior)


def shared_errors(own: OwnNames, start: FloatArray, name: str, passes: int = PASSES) -> Fit:
    """Fit namings and the law by variational EM.

    Parameters
    ----------
    own : OwnNames
        N tasks, C columns; no source has more than K names.
    start : shape (N, K), K from 3
    name : str
        Of the start.
    passes : int
        At most.

    Returns
    -------
    Fit
        Its ``bound`` has the parameters and the class sizes integrated out, and the namings at their best, as those of
        the default model under a naming.
    """
    x, xt = own.indicator, own.indicator.T.tocsr()
    posterior, k, before = start, start.shape[1], -np.inf
    counts = np.asarray(xt @ posterior)
    law = SharedErrors(own, counts)
    for number in range(passes):
        if 0 < number <= _NAMED:
            law.renames(counts)
        sizes = posterior.sum(0)
        even = max(_EVENNESS, key=lambda e: float(_evidence_of(sizes, e)))
        logits = np.asarray(x @ law.table()) + _mean_log(sizes + even)
        largest = logits.max(1, keepdims=True)
        posterior = np.exp(logits - largest)
        total = posterior.sum(1, keepdims=True)
        posterior /= total
        counts = np.asarray(xt @ posterior)
        bound = float((np.log(total) + largest).sum()) - law.divergence()
        bound -= _divergence(sizes + even, np.full(k, even))
        ended = bound - before < _TOLERANCE * own.answers.n_answers
        if ended and number >= _AT_LEAST and number != _NAMED:
            break
        before = bound
        law.learns(counts)
    sizes = posterior.sum(0) + 1
    return Fit(posterior, counts, sizes / sizes.sum(), bound, name)


def evidence_of_sizes(sizes: FloatArray) -> FloatArray:
    """Return ln p(classes) for class sizes, shape (..., K), under the evenness that says most for them."""
    return np.asarray(np.max([_evidence_of(sizes, even) for even in _EVENNESS], axis=0))


def _evidence_of(sizes: FloatArray, even: float) -> FloatArray:
    k = sizes.shape[-1]
    total = gammaln(k * even) - gammaln(sizes.sum(-1) + k * even)
    return np.asarray(total + (gammaln(sizes + even) - gammaln(even)).sum(-1))


def _mean_log(a: FloatArray) -> FloatArray:
    """Return E ln p for p ~ Dirichlet(a), rows last."""
    return np.asarray(digamma(a) - digamma(a.sum(-1, keepdims=True)))


def _divergence(a: FloatArray, b: FloatArray) -> float:
    """Return Σ KL(Dirichlet(a) ‖ Dirichlet(b)) over rows."""
    sums = gammaln(a.sum(-1)) - gammaln(b.sum(-1)) - (gammaln(a) - gammaln(b)).sum(-1)
    return float((sums + ((a - b) * _mean_log(a)).sum(-1)).sum())
