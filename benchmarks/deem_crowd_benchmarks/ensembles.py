"""Ensembles made on the spot: real classifiers, trained on data inside scikit-learn, answer held-out tasks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import datasets
from sklearn.base import BaseEstimator
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from deem_crowd.exceptions import ParameterError, first_few

_LOADERS: dict[str, Callable[[], Any]] = {
    "digits": datasets.load_digits,
    "breast-cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
}
DATASETS = tuple(_LOADERS)

HELD_OUT = 0.6
"""The share of a data set that becomes tasks; the rest is for training."""


@dataclass(frozen=True)
class _Recipe:
    """One classifier, and how much of the training part it gets to see."""

    name: str
    make: Callable[[int], BaseEstimator]
    """From a seed to an unfitted classifier."""
    rows: float = 1.0
    features: float = 1.0


# They differ in kind, in the rows and in the features they learn from, so that their errors differ too.
_RECIPES = (
    _Recipe("logistic", lambda seed: LogisticRegression(max_iter=2000), rows=0.5, features=0.5),
    _Recipe("logistic-few-rows", lambda seed: LogisticRegression(max_iter=2000), rows=0.08),
    _Recipe("svc-rbf", lambda seed: SVC(), rows=0.3),
    _Recipe("svc-few-features", lambda seed: SVC(), features=0.15),
    _Recipe("knn-1", lambda seed: KNeighborsClassifier(1), rows=0.1),
    _Recipe("knn-9", lambda seed: KNeighborsClassifier(9), features=0.3),
    _Recipe("naive-bayes", lambda seed: GaussianNB(), features=0.5),
    _Recipe("naive-bayes-few-rows", lambda seed: GaussianNB(), rows=0.1),
    _Recipe("tree-depth-2", lambda seed: DecisionTreeClassifier(max_depth=2, random_state=seed)),
    _Recipe("tree-depth-5", lambda seed: DecisionTreeClassifier(max_depth=5, random_state=seed)),
    _Recipe("lda", lambda seed: LinearDiscriminantAnalysis(), features=0.25),
    _Recipe(
        "forest",
        lambda seed: RandomForestClassifier(8, max_depth=3, random_state=seed),
        rows=0.3,
    ),
    _Recipe("nearest-centroid", lambda seed: NearestCentroid(), features=0.4),
    _Recipe("chance", lambda seed: DummyClassifier(strategy="stratified", random_state=seed)),
)


@dataclass(frozen=True)
class Ensemble:
    """What D classifiers said about N held-out tasks, and what is true.

    Attributes
    ----------
    name : str
        The data set.
    answers : DataFrame, R rows
        Long format: ``task`` (row number in the data set), ``worker`` (name of the classifier), ``label``.
    gold : Series, length N
        True labels, index ``task``, for the tasks that were answered.
    training : integers
        The rows of the data set that classifiers were trained on; none of them is a task.
    """

    name: str
    answers: pd.DataFrame
    gold: pd.Series
    training: npt.NDArray[np.integer]

    @property
    def accuracies(self) -> pd.Series:
        """Share of right answers of each classifier among those it gave, index ``worker``, shape (D,)."""
        right = self.answers["label"].to_numpy() == self.gold.loc[self.answers["task"]].to_numpy()
        return pd.Series(right).groupby(self.answers["worker"].to_numpy(), sort=False).mean()


def make_ensemble(name: str, seed: int = 0, answered: tuple[float, float] = (0.3, 0.7)) -> Ensemble:
    """Train the classifiers on one part of a data set and let each answer a random part of the rest.

    Parameters
    ----------
    name : 'digits', 'breast-cancer' or 'wine'
    seed : int
        The same seed gives the same ensemble. Global random states are neither read nor written.
    answered : (float, float)
        Each classifier's share of the tasks that it answers is drawn from this range.

    Raises
    ------
    ParameterError
        If there is no such data set, or the range is none within [0, 1].
    """
    if name not in _LOADERS:
        raise ParameterError(f"no data set is called {name!r}; there are: {first_few(DATASETS)}.")
    low, high = answered
    if not 0 <= low <= high <= 1:
        raise ParameterError(f"answered={answered!r} is no range within [0, 1].")
    rng = np.random.default_rng([seed, DATASETS.index(name)])
    data = _LOADERS[name]()
    features = np.asarray(data.data, dtype=np.float64)
    truth = np.asarray(data.target_names)[data.target]
    training, tasks = train_test_split(
        np.arange(len(truth)), test_size=HELD_OUT, stratify=truth, random_state=_seed(rng)
    )
    tasks = np.sort(tasks)
    parts = []
    for recipe in _RECIPES:
        rows = _stratified(training, truth, recipe.rows, rng)
        n_columns = max(2, round(recipe.features * features.shape[1]))
        columns = np.sort(rng.choice(features.shape[1], n_columns, replace=False))
        classifier = make_pipeline(StandardScaler(), recipe.make(_seed(rng)))
        with warnings.catch_warnings():  # of pixels that are always blank; they do no harm
            warnings.filterwarnings("ignore", message="self.within_class_std_dev_")
            classifier.fit(features[np.ix_(rows, columns)], truth[rows])
        n_answers = round(rng.uniform(low, high) * len(tasks))
        chosen = np.sort(rng.choice(tasks, n_answers, replace=False))
        if n_answers:
            said = classifier.predict(features[np.ix_(chosen, columns)])
            parts.append(pd.DataFrame({"task": chosen, "worker": recipe.name, "label": said}))
    if parts:
        answers = pd.concat(parts, ignore_index=True)
    else:
        answers = pd.DataFrame({"task": tasks[:0], "worker": [], "label": truth[:0]})
    seen = tasks[np.isin(tasks, answers["task"])]
    gold = pd.Series(truth[seen], index=pd.Index(seen, name="task"), name="label")
    return Ensemble(name, answers, gold, np.sort(training))


def _stratified(
    pool: npt.NDArray[np.integer], truth: npt.NDArray[Any], share: float, rng: np.random.Generator
) -> npt.NDArray[np.integer]:
    """Draw a share of ``pool``, class by class, three rows of each at least."""
    drawn = []
    for label in np.unique(truth[pool]):
        members = pool[truth[pool] == label]
        n_rows = min(len(members), max(3, round(share * len(members))))
        drawn.append(rng.choice(members, n_rows, replace=False))
    return np.sort(np.concatenate(drawn))


def _seed(rng: np.random.Generator) -> int:
    """Draw a seed for what takes no generator."""
    return int(rng.integers(2**31))
