"""CEAL: questions where the classifier is unsure, its own predictions as labels where it is sure.

Wang, Zhang, Li, Zhang and Lin, Cost-effective active learning for deep image classification, IEEE TCSVT 27 (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.decide import checks, criteria
from deem_crowd.decide.consensus import Consensus
from deem_crowd.decide.oracles import Oracle, OracleError, by_row
from deem_crowd.decide.suspects import label_values
from deem_crowd.decide.tasks import next_tasks
from deem_crowd.exceptions import DataWarning, FormError, ParameterError, counted, first_few
from deem_crowd.runtime.constructor import ConstructorParameters
from deem_crowd.runtime.warning import warn

Schedule = Literal["quadratic", "linear"] | Callable[[int], float]
STRATEGIES = (*criteria.UNCERTAINTY, "fusion", "random")


def thresholds(
    delta0: float, decay: float, rounds: int, schedule: Schedule = "quadratic"
) -> npt.NDArray[np.float64]:
    """Return δ_0 … δ_(rounds − 1), in nats, shape (rounds,).

    The paper's δ_t = δ_(t−1) − r t is quadratic: δ_0 − r t (t + 1) / 2. 'linear' is δ_0 − r t. They may be negative,
    which is as good as 0: no prediction is that sure.

    Parameters
    ----------
    delta0, decay : float
        δ_0 and r.
    rounds : int
        How many.
    schedule : 'quadratic', 'linear', or callable from t to δ_t

    Raises
    ------
    ParameterError
    """
    t = np.arange(rounds)
    if callable(schedule):
        values = [schedule(int(step)) for step in t]
        if not all(isinstance(value, (int, float, np.number)) for value in values):
            raise ParameterError(
                f"schedule returned {first_few(values)}; it takes t and returns a number."
            )
        return np.array(values, dtype=np.float64)
    if schedule == "quadratic":
        return np.asarray(delta0 - decay * t * (t + 1) / 2)
    if schedule == "linear":
        return np.asarray(delta0 - decay * t)
    raise ParameterError(f"schedule must be 'quadratic', 'linear' or a callable, not {schedule!r}.")


def pseudo_labels(
    agg: Any,
    threshold: float = 0.05,
    decay: float = 0.0033,
    round: int = 0,
    *,
    schedule: Schedule = "quadratic",
    exclude: Iterable[Any] = (),
    answers: Any = None,
) -> pd.Series:
    """Return the labels of tasks whose posterior has less entropy than δ_round, to be used as if they were known.

    Parameters
    ----------
    agg : fitted DEEMAggregator or DEEM, aggregator with ``probas_``, or DataFrame
        See :meth:`Consensus.of`.
    threshold, decay, schedule
        δ_0 in nats, r, and how the threshold falls; see :func:`thresholds`.
    round : int
        t, from 0.
    exclude : task ids
        Tasks to leave out, such as those of known label.
    answers : DataFrame, Answers or array, optional
        Of a DEEM, what it was fitted to.

    Returns
    -------
    Series
        ``agg_label``, index ``task``, in the order of the tasks.

    Raises
    ------
    NotFittedError, ParameterError, DataError, FormError
    """
    checks.non_negative("threshold", threshold)
    checks.non_negative("decay", decay)
    checks.count("round", round, 0)
    consensus = Consensus.of(agg, answers)
    delta = thresholds(threshold, decay, round + 1, schedule)[-1]
    sure = criteria.entropy(consensus.posterior) < delta
    sure &= ~checks.left_out(exclude, consensus.tasks) & (consensus.labels >= 0)
    chosen = np.flatnonzero(sure)
    labels = label_values(consensus, consensus.labels[chosen]).rename("agg_label")
    labels.index = consensus.tasks.take(chosen)
    return labels


@dataclass(eq=False, repr=False)
class CEAL(ConstructorParameters):
    """Active learning of a classifier, with pseudo-labels from its confident majority.

    Parameters
    ----------
    estimator : scikit-learn classifier with ``predict_proba``
        It is cloned and fitted anew in each round. In rounds where it is certain of every row, as a fully grown
        decision tree is, it gets no pseudo-labels, since no row is surer than another; a warning says so.
    strategy : 'least_confidence', 'margin', 'entropy', 'fusion' or 'random'
        See :func:`deem_crowd.decide.next_tasks`.
    delta0, decay : float
        δ_0, in nats, and r. With ``delta0=0`` there are no pseudo-labels, and this is plain active learning.
    schedule : 'quadratic', 'linear' or callable
        See :func:`thresholds`.
    per_round : int
        Questions a round.
    n_initial : int
        Random questions before the first round.
    rounds : int
        Most rounds; fewer if no example is left.
    random_state : int, optional
        None is 0.

    Attributes
    ----------
    estimator_ : classifier
        Fitted to all that was labelled at the end, and to the last pseudo-labels.
    classes_ : shape (K,)
    labels_ : Series
        What the oracle said, index is the row of X, in the order of asking.
    history_ : DataFrame
        A row a training: ``round``, 0 is the start; ``threshold``; ``asked``, in this round; ``labelled``, so far;
        ``pseudo_labelled``; where given, ``pseudo_accuracy`` (missing if there are none) and ``test_accuracy``.
    """

    estimator: Any
    strategy: str = "margin"
    delta0: float = 0.05
    decay: float = 0.0033
    schedule: Schedule = "quadratic"
    per_round: int = 20
    n_initial: int = 30
    rounds: int = 20
    random_state: int | None = None

    def fit(
        self,
        X: npt.ArrayLike,
        oracle: Any,
        *,
        truth: npt.ArrayLike | None = None,
        test: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
        record: dict[Any, Any] | None = None,
    ) -> CEAL:
        """Run the whole loop.

        Parameters
        ----------
        X : array or sparse matrix, shape (N, P)
        oracle : callable, Series, mapping, or array of shape (N,)
            Gives the label of a row of X; None where it cannot say. It is called once for a row.
        truth : shape (N,), optional
            True labels, with which ``history_`` rates the pseudo-labels; nothing is learned from them.
        test : (X, y), optional
            With which ``history_`` rates the classifier.
        record : dict, optional
            Answers by row given before; new ones are written into it at once.

        Raises
        ------
        OracleError
            If the oracle fails; its ``record`` holds what was said before. The object stays as it was.
        ParameterError, FormError
        """
        self._check()
        features = checks.matrix(X)
        if features.ndim != 2:
            raise FormError(f"X has shape {features.shape}; needed is (N, number of features).")
        n = features.shape[0]
        rated = _checked(n, truth, test)
        asker = Oracle(by_row(oracle, n), record=record, tasks=range(n))
        rng = checks.generator(self.random_state)
        deltas = thresholds(self.delta0, self.decay, self.rounds + 1, self.schedule)
        asked = rng.permutation(n)[: self.n_initial].tolist()
        said = asker.ask(asked)
        model = self._trained(features, said, {})
        rows = [self._row(0, deltas[0], len(said), said, {}, model, *rated)]
        warned = False
        for step in range(1, self.rounds + 1):
            pool = np.setdiff1d(np.arange(n), asked)
            if not len(pool):
                break
            posterior = pd.DataFrame(model.predict_proba(features[pool]), index=pool)
            batch = self._questions(posterior, rng)
            asked.extend(batch)
            said |= asker.ask(batch)
            rest = posterior.drop(index=batch)
            sure = criteria.entropy(rest.to_numpy()) < deltas[step - 1]
            if not self._is_graded(model, features):
                sure[:] = False
                warned = warned or self._warn_certain(model)
            best = model.classes_[rest.to_numpy()[sure].argmax(axis=1)]
            pseudo = dict(zip(rest.index[sure], best, strict=True))
            model = self._trained(features, said, pseudo)
            rows.append(self._row(step, deltas[step - 1], len(batch), said, pseudo, model, *rated))
        given = {row: label for row, label in said.items() if label is not None}
        self.estimator_ = model
        self.classes_ = model.classes_
        self.labels_ = pd.Series(given, name="label")
        self.history_ = pd.DataFrame(rows)
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the classifier's labels, shape (n,)."""
        return np.asarray(self._fitted_estimator().predict(X))

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the classifier's probabilities, shape (n, K), columns as ``classes_``."""
        return np.asarray(self._fitted_estimator().predict_proba(X))

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike) -> float:
        """Return the accuracy of :meth:`predict`."""
        return float((self.predict(X) == np.asarray(y)).mean())

    # ---------------------------------------------------------------- helpers

    def _check(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ParameterError(f"strategy must be one of {STRATEGIES}, not {self.strategy!r}.")
        for name in ("per_round", "n_initial"):
            checks.count(name, getattr(self, name))
        checks.classifier("estimator", self.estimator, "predict_proba")
        checks.count("rounds", self.rounds, 0)
        checks.non_negative("delta0", self.delta0)
        checks.non_negative("decay", self.decay)

    def _fitted_estimator(self) -> Any:
        if "estimator_" not in self.__dict__:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this CEAL is not fitted yet: call fit(X, oracle) first.")
        return self.estimator_

    def _questions(self, posterior: pd.DataFrame, rng: np.random.Generator) -> list[int]:
        """Return the rows to ask about in this round; ties fall by the generator."""
        n = min(self.per_round, len(posterior))
        seed = int(rng.integers(1, 2**31))
        open_ = criteria.entropy(posterior.to_numpy()) > 0
        if open_.sum() < n:  # rows that the classifier is certain of come last
            surest = rng.permutation(posterior.index[~open_])[: n - open_.sum()]
            return [*posterior.index[open_].tolist(), *surest.tolist()]
        rows = next_tasks(posterior, n, self.strategy, random_state=seed)  # type: ignore[arg-type]
        return [int(row) for row in rows["task"]]

    def _is_graded(self, model: Any, X: npt.NDArray[Any]) -> bool:
        """Tell whether a classifier is surer of some rows than of others, if that matters."""
        needless = self.strategy == "random" and self.delta0 == 0
        return needless or bool((criteria.entropy(np.asarray(model.predict_proba(X))) > 0).any())

    def _warn_certain(self, model: Any) -> bool:
        """Warn of a classifier that is certain of every row, unless it has seen a single class so far."""
        if len(model.classes_) < 2:
            return False
        name = type(self.estimator).__name__
        warn(
            f"{name} is certain of every row: in rounds where it is, questions are drawn at random and there are no "
            f"pseudo-labels, since no row is surer than another. Pass a classifier whose probabilities lie between 0 "
            f"and 1, such as CalibratedClassifierCV({name}()).",
            DataWarning,
        )
        return True

    def _trained(self, X: npt.NDArray[Any], said: dict[Any, Any], pseudo: dict[Any, Any]) -> Any:
        from sklearn.base import clone

        labels = {row: label for row, label in said.items() if label is not None} | pseudo
        try:
            return clone(self.estimator).fit(X[list(labels)], np.array(list(labels.values())))
        except ValueError as error:
            known = dict.fromkeys(labels.values())
            if len(known) > 1:
                raise
            raise OracleError(
                f"of {counted(len(said), 'row')} the oracle named {counted(len(known), 'label')}"
                f"{': ' if known else ''}{first_few(known)}, and the classifier cannot learn from fewer than two. "
                "Raise n_initial; the error's record holds what the oracle said.",
                said,
            ) from error

    def _row(
        self,
        step: int,
        delta: float,
        asked: int,
        said: dict[Any, Any],
        pseudo: dict[Any, Any],
        model: Any,
        truth: npt.NDArray[Any] | None,
        test: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None,
    ) -> dict[str, Any]:
        row: dict[str, Any] = {
            "round": step,
            "threshold": max(float(delta), 0.0),
            "asked": asked,
            "labelled": sum(label is not None for label in said.values()),
            "pseudo_labelled": len(pseudo),
        }
        if truth is not None:
            right = [truth[n] == label for n, label in pseudo.items()]
            row["pseudo_accuracy"] = float(np.mean(right)) if right else np.nan
        if test is not None:
            row["test_accuracy"] = float(np.mean(model.predict(test[0]) == test[1]))
        return row


def _checked(n: int, truth: Any, test: Any) -> tuple[Any, Any]:
    """Return what the history is rated with, as arrays; refused before the oracle is asked anything."""
    if truth is not None:
        truth = np.asarray(truth)
        if truth.shape != (n,):
            raise FormError(
                f"truth has shape {truth.shape}; needed is one label a row of X: ({n},)."
            )
    if test is not None:
        pair = isinstance(test, (tuple, list)) and len(test) == 2
        test = (checks.matrix(test[0]), np.asarray(test[1])) if pair else None
        if test is None or test[0].shape[:1] != test[1].shape[:1]:
            raise FormError("test must be a pair (X, y) with one label a row of X.")
    return truth, test
