"""EBCC with crowd-kit's contract: a frame of answers in, a Series of labels out."""

from __future__ import annotations

from typing import Any

import attr
import numpy as np
import pandas as pd
from crowdkit.aggregation.base import BaseClassificationAggregator

from deem_crowd import Answers, ParameterError
from deem_crowd_ebcc.inference import Counts, Prior, run, start


@attr.s
class EBCC(BaseClassificationAggregator):
    """Enhanced Bayesian classifier combination (Li, Rubinstein, Cohn, ICML 2019).

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame(
    ...     [["t1", "ann", "cat"], ["t1", "bob", "cat"], ["t1", "cid", "dog"],
    ...      ["t2", "ann", "dog"], ["t2", "bob", "dog"], ["t2", "cid", "dog"]],
    ...     columns=["task", "worker", "label"],
    ... )
    >>> EBCC().fit_predict(df).to_dict()
    {'t1': 'cat', 't2': 'dog'}
    """

    n_subtypes: int = attr.ib(default=10)
    """M."""
    n_seeds: int = attr.ib(default=5)
    """Random starts, of which the one with the highest bound is kept."""
    n_iter: int = attr.ib(default=500)
    """Most sweeps of a start."""
    tol: float = attr.ib(default=1e-6)
    """A start ends when a sweep raises the bound by less than this, in nats an answer."""
    subtype_prior: float = attr.ib(default=0.1)
    """a_π, of each subtype."""
    right_prior: float = attr.ib(default=4.0)
    """a_v: pseudo-answers with the class itself."""
    wrong_prior: float = attr.ib(default=1.0)
    """b_v: pseudo-answers with each other class."""
    empirical_prior: bool = attr.ib(default=True)
    """Whether α are the votes for each class, added up over tasks; else 1."""
    random_state: int = attr.ib(default=0)
    """Seed of the starts."""

    probas_: pd.DataFrame = attr.ib(init=False)
    """p(class | answers), index ``task``, columns the labels, shape (N, K)."""
    bounds_: list[float] = attr.ib(init=False)
    """The bound, in nats, sweep by sweep, of the start that was kept."""

    def fit(self, data: pd.DataFrame) -> EBCC:
        """Fit to a frame with columns ``task``, ``worker``, ``label``.

        Raises
        ------
        KeyError
            If a column is missing.
        deem_crowd.DataError, deem_crowd.ParameterError
        """
        self._check()
        answers = Answers.from_frame(data)
        n, d, k = answers.n_tasks, answers.n_workers, answers.n_classes
        # draws belong to tasks, not to rows: the same whatever the order of the rows
        order = _canonical(answers.tasks)
        place = np.empty(n, dtype=np.int64)
        place[order] = np.arange(n)
        counts = Counts(place[answers.task], answers.worker, answers.hard_label, n, d, k)
        votes = counts.votes()
        alpha = votes.sum(0) / max(votes.sum(), 1) * n if self.empirical_prior else np.ones(k)
        prior = Prior(
            np.maximum(alpha, 1e-3), self.subtype_prior, self.right_prior, self.wrong_prior
        )
        best: tuple[np.ndarray, list[float]] | None = None
        for rng in np.random.default_rng(self.random_state).spawn(self.n_seeds):
            if n == 0:
                break
            found = run(counts, start(counts, self.n_subtypes, rng), prior, self.n_iter, self.tol)
            if best is None or found[1][-1] > best[1][-1]:
                best = found
        rho, bounds = (np.zeros((n, k, 1)), []) if best is None else best
        posterior = rho.sum(2)[place]
        labels = answers.classes.take(_first_of_best(posterior))
        self.__dict__.update(
            labels_=pd.Series(labels, index=answers.tasks, name="agg_label"),
            probas_=pd.DataFrame(posterior, index=answers.tasks, columns=answers.classes),
            bounds_=bounds,
        )
        return self

    def fit_predict(self, data: pd.DataFrame) -> pd.Series:
        """Fit and return the labels: a Series ``agg_label``, index ``task``, in order of first appearance."""
        self.fit(data)
        return self.__dict__["labels_"]

    def fit_predict_proba(self, data: pd.DataFrame) -> pd.DataFrame:
        """Fit and return ``probas_``."""
        return self.fit(data).probas_

    def _check(self) -> None:
        for name in ("n_subtypes", "n_seeds", "n_iter"):
            value: Any = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ParameterError(f"{name}={value!r} is not allowed: it is an integer >= 1.")
        for name in ("subtype_prior", "right_prior", "wrong_prior"):
            if not getattr(self, name) > 0:
                raise ParameterError(f"{name}={getattr(self, name)!r} is not allowed: it is > 0.")
        if not self.tol >= 0:
            raise ParameterError(f"tol={self.tol!r} is not allowed: it is a number >= 0.")


def _canonical(tasks: pd.Index) -> np.ndarray:
    """Return an order of the tasks that does not depend on where they stand."""
    try:
        return np.asarray(tasks.argsort())
    except TypeError:  # ids that cannot be compared
        return np.argsort([f"{type(task).__name__} {task!r}" for task in tasks], kind="stable")


def _first_of_best(posterior: np.ndarray, tolerance: float = 1e-6) -> np.ndarray:
    """Return the likeliest class; of ties the first, so that no rounding decides."""
    if posterior.size == 0:
        return np.zeros(len(posterior), dtype=np.int64)
    return (posterior >= posterior.max(1, keepdims=True) - tolerance).argmax(1)
