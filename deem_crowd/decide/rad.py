"""RAD: learning from a stream of batches whose labels are of unknown quality.

Zhao, Cerf, Birke, Robu, Bouchenak, Ben Mokhtar and Chen, Robust anomaly detection on unreliable data (DSN 2019), with
the extensions by voting and by active learning (2021).
"""

from __future__ import annotations

import copy
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.decide import checks
from deem_crowd.decide.oracles import Oracle, by_row
from deem_crowd.exceptions import DataWarning, FormError, ParameterError, counted, first_few
from deem_crowd.runtime.constructor import ConstructorParameters
from deem_crowd.runtime.warning import warn

Variant = Literal["base", "voting", "active", "slim"]
VARIANTS = ("base", "voting", "active", "slim")

KEEP, RELABEL, DROP, ASK = 0, 1, 2, 3
"""What becomes of an example."""


def verdicts(
    given: npt.NDArray[Any],
    quality: npt.NDArray[Any] | None,
    classifier: npt.NDArray[Any],
    variant: Variant,
) -> npt.NDArray[np.int64]:
    """Return what becomes of each example of a batch, shape (n,): KEEP, RELABEL, DROP or ASK.

    ======================  ======  ========  ========  ======
    given, quality, class.  base    voting    active    slim
    ======================  ======  ========  ========  ======
    a, a, a                 keep    keep      keep      keep
    a, a, b                 keep    keep      keep      ask
    a, b, a                 drop    keep      keep      keep
    a, b, b                 drop    relabel   relabel   ask
    a, b, c                 drop    drop      ask       ask
    ======================  ======  ========  ========  ======

    Parameters
    ----------
    given, quality, classifier : labels, shape (n,)
        What the batch says, and what the two classifiers predict; 'slim' has no ``quality``.
    variant : str
    """
    if variant == "slim":
        return np.where(classifier == given, KEEP, ASK)
    assert quality is not None
    clean = quality == given
    if variant == "base":
        return np.where(clean, KEEP, DROP)
    disputed = DROP if variant == "voting" else ASK
    rest = np.where(classifier == quality, RELABEL, disputed)
    return np.where(clean | (classifier == given), KEEP, rest)


class RAD(ConstructorParameters):
    """A classifier that decides, batch by batch, which labels to learn from.

    Two classifiers learn from what was accepted so far: ``quality`` judges labels, which are clean where it predicts
    them, and ``classifier`` is the one that is wanted. What happens to a label is told by :func:`verdicts`.

    Parameters
    ----------
    quality, classifier : scikit-learn classifiers
        They are cloned. The variant 'slim' needs no ``quality``, which may be None.
    variant : 'base', 'voting', 'active' or 'slim'
    oracle : callable, Series, mapping, or array of labels, optional
        Takes the position of an example, counted over all batches from 0 at the first example of the first call of
        :meth:`partial_fit`, and returns its true label; None where it cannot say. 'active' and 'slim' need it.
    budget : int, optional
        Most questions a batch; what is left in dispute is dropped.
    random_state : int, optional
        Which of the disputed examples are asked about where the budget does not suffice for all; None is 0.

    Attributes
    ----------
    classes_ : shape (K,)
    classifier_, quality_ : fitted classifiers
    report_ : DataFrame
        A row a batch: ``batch``, ``size``, ``kept``, ``relabelled``, ``dropped``, ``asked`` (these four add up to
        ``size``), ``accepted``; where the truth is given, ``noise``, the share of wrong labels that came, and
        ``precision`` and ``recall`` of taking a given label for clean.
    classes_report_ : DataFrame
        A row a batch, a column a class: how many examples were accepted with that label.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> stream = RAD(KNeighborsClassifier(5), LogisticRegression(max_iter=200))
    >>> stream = stream.fit(X[:200], y[:200]).partial_fit(X[200:300], y[200:300])
    >>> int(stream.report_["size"].sum())
    100
    """

    classes_: npt.NDArray[Any]
    classifier_: Any
    quality_: Any
    _accepted: tuple[npt.NDArray[Any], npt.NDArray[Any]]
    _seen: int
    _rows: list[dict[str, float]]
    _by_class: list[pd.Series]
    _rng: np.random.Generator

    def __init__(
        self,
        quality: Any,
        classifier: Any,
        variant: Variant = "base",
        oracle: Any = None,
        budget: int | None = None,
        random_state: int | None = None,
    ) -> None:
        self.quality = quality
        self.classifier = classifier
        self.variant = variant
        self.oracle = oracle
        self.budget = budget
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> RAD:
        """Start from a batch of labels that are taken to be clean; all earlier batches are forgotten.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, P)
        y : shape (n,)

        Raises
        ------
        ParameterError, FormError
        """
        self._check()
        features, labels = _pair(X, y)
        rng = copy.deepcopy(checks.generator(self.random_state))
        fitted = self._trained(features, labels)
        self.__dict__.update(
            fitted,
            _accepted=(features, labels),
            _seen=0,
            _rows=[],
            _by_class=[],
            _rng=rng,
        )
        return self

    def partial_fit(
        self, X: npt.ArrayLike, y: npt.ArrayLike, truth: npt.ArrayLike | None = None
    ) -> RAD:
        """Take a batch: decide with the classifiers as they are, then train them on all that was accepted.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, P)
        y : shape (n,)
            The labels as they came.
        truth : shape (n,), optional
            True labels, for the report alone.

        Returns
        -------
        RAD
            self. If the call fails, the object is as it was.

        Raises
        ------
        OracleError
            If the oracle fails; ``record`` holds what it said before, by position.
        NotFittedError, ParameterError, FormError
        """
        self._check()
        self._require_fitted()
        features, given = _pair(X, y)
        known = None if truth is None else _pair(X, truth)[1]
        rng = copy.deepcopy(self._rng)
        classified = np.asarray(self.classifier_.predict(features))
        judged = None if self.variant == "slim" else np.asarray(self.quality_.predict(features))
        verdict = verdicts(given, judged, classified, self.variant)
        labels = np.where(verdict == RELABEL, classified, given)
        asked = self._to_ask(verdict, rng)
        said: dict[Any, Any] = {}
        if self.variant in ("active", "slim"):
            said = Oracle(by_row(self.oracle), self.classes_).ask(self._seen + asked)
        else:
            _warn_of_new_classes(given, self.classes_)
        answered = np.array([p for p in asked if said.get(self._seen + p) is not None], dtype=int)
        for place in answered:
            labels[place] = said[self._seen + place]
        accepted = (verdict == KEEP) | (verdict == RELABEL)
        accepted[answered] = True
        before, old = self._accepted
        together = (
            _stacked(before, features[accepted]),
            np.concatenate([old, labels[accepted]]),
        )
        row = {
            "batch": len(self._rows),
            "size": len(given),
            "kept": int((verdict == KEEP).sum()),
            "relabelled": int((verdict == RELABEL).sum()),
            "dropped": int(len(given) - (verdict <= RELABEL).sum() - len(asked)),
            "asked": len(asked),
            "accepted": int(accepted.sum()),
            **_against_truth(given, verdict, known),
        }
        counts = pd.Series(labels[accepted]).value_counts().reindex(self.classes_, fill_value=0)
        self.__dict__.update(
            self._trained(*together),
            _accepted=together,
            _seen=self._seen + len(given),
            _rows=[*self._rows, row],
            _by_class=[*self._by_class, counts],
            _rng=rng,
        )
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the labels that the classifier predicts, shape (n,)."""
        self._require_fitted()
        return np.asarray(self.classifier_.predict(X))

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the classifier's probabilities, shape (n, K), columns as ``classes_``."""
        self._require_fitted()
        return np.asarray(self.classifier_.predict_proba(X))

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike) -> float:
        """Return the accuracy of :meth:`predict`."""
        return float((self.predict(X) == np.asarray(y)).mean())

    @property
    def report_(self) -> pd.DataFrame:
        """What became of each batch; see the class."""
        if "_rows" not in self.__dict__:
            raise AttributeError("report_ is available after fit")
        names = ["batch", "size", "kept", "relabelled", "dropped", "asked", "accepted"]
        return pd.DataFrame(self._rows, columns=None if self._rows else names)

    @property
    def classes_report_(self) -> pd.DataFrame:
        """How many examples of each class each batch brought; see the class."""
        if "_by_class" not in self.__dict__:
            raise AttributeError("classes_report_ is available after fit")
        return pd.DataFrame(self._by_class, columns=self.classes_).reset_index(drop=True)

    # ---------------------------------------------------------------- helpers

    def _check(self) -> None:
        if self.variant not in VARIANTS:
            raise ParameterError(f"variant must be one of {VARIANTS}, not {self.variant!r}.")
        if self.variant in ("active", "slim") and self.oracle is None:
            raise ParameterError(f"variant={self.variant!r} asks for true labels: pass oracle=.")
        if self.variant != "slim" and self.quality is None:
            raise ParameterError(
                f"variant={self.variant!r} needs a classifier that judges labels: quality."
            )
        checks.classifier("classifier", self.classifier, "predict")
        if self.variant != "slim":
            checks.classifier("quality", self.quality, "predict")
        if self.budget is not None:
            checks.count("budget", self.budget, 0)

    def _require_fitted(self) -> None:
        if "_accepted" not in self.__dict__:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this RAD is not fitted yet: call fit with a first batch.")

    def _trained(self, X: npt.NDArray[Any], y: npt.NDArray[Any]) -> dict[str, Any]:
        from sklearn.base import clone

        classifier = clone(self.classifier).fit(X, y)
        quality = None if self.variant == "slim" else clone(self.quality).fit(X, y)
        return {"classifier_": classifier, "quality_": quality, "classes_": np.unique(y)}

    def _to_ask(
        self, verdict: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Return the examples to ask about, in order, at most ``budget`` of them."""
        disputed = np.flatnonzero(verdict == ASK)
        if self.budget is None or len(disputed) <= self.budget:
            return disputed
        return np.sort(rng.choice(disputed, self.budget, replace=False))


def _warn_of_new_classes(given: npt.NDArray[Any], classes: npt.NDArray[Any]) -> None:
    """Say which labels of a batch no classifier knows: without an oracle examples with them are never kept."""
    there = pd.Series(given).dropna()
    new = there[~there.isin(classes.tolist())]
    if len(new):
        warn(
            f"{len(new)} of {counted(len(given), 'label')} of the batch {'is' if len(new) == 1 else 'are'} none of "
            f"the classes so far: {first_few(dict.fromkeys(new))} beside {first_few(classes, 10)}. Classes are those "
            "of fit: such examples are dropped.",
            DataWarning,
        )


def _against_truth(
    given: npt.NDArray[Any], verdict: npt.NDArray[np.int64], truth: npt.NDArray[Any] | None
) -> dict[str, float]:
    if truth is None:
        return {}
    clean, taken = given == truth, verdict == KEEP
    both = (clean & taken).sum()
    return {
        "noise": float(1 - clean.mean()),
        "precision": float(both / taken.sum()) if taken.any() else np.nan,
        "recall": float(both / clean.sum()) if clean.any() else np.nan,
    }


def _stacked(before: Any, features: Any) -> Any:
    """Return rows above others, as CSR if any are sparse."""
    if not (hasattr(before, "tocsr") or hasattr(features, "tocsr")):
        return np.concatenate([before, features])
    from scipy import sparse

    return sparse.vstack([before, features], format="csr")


def _pair(X: Any, y: npt.ArrayLike) -> tuple[Any, npt.NDArray[Any]]:
    features, labels = checks.matrix(X), np.asarray(y)
    if features.ndim != 2 or labels.ndim != 1 or features.shape[0] != len(labels):
        raise FormError(
            f"X has shape {features.shape} and y {labels.shape}; needed are (n, number of features) and (n,)."
        )
    if not len(labels):
        raise FormError("the batch is empty: X and y have no rows. Leave it out.")
    return features, labels
