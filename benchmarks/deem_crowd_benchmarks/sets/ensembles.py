"""Ensembles made on the spot: real classifiers answer tasks from scikit-learn's data that they were not trained on.

:func:`make_ensemble` trains on one part and lets each classifier answer some of the rest, as a crowd would;
:func:`out_of_fold` has each of them answer every row, out of fold.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from deem_crowd.exceptions import ParameterError, first_few
from deem_crowd_benchmarks.sets.label_set import LabelSet, numbered
from deem_crowd_benchmarks.sets.things import LOADERS

DATASETS = tuple(LOADERS)

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
    features, truth = _data(name)
    low, high = answered
    if not 0 <= low <= high <= 1:
        raise ParameterError(f"answered={answered!r} is no range within [0, 1].")
    rng = np.random.default_rng([seed, DATASETS.index(name)])
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
        _train(classifier, features[np.ix_(rows, columns)], truth[rows])
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


def out_of_fold(name: str, seed: int = 0, *, soft: bool = False, n_folds: int = 5) -> LabelSet:
    """Let every classifier answer every row of a data set, out of fold.

    The rows are cut into folds of like classes; what a classifier says of a fold comes from a copy of it that was
    trained on the others, on its own share of their rows and features (the same features in all folds).

    Parameters
    ----------
    name : 'digits', 'breast-cancer' or 'wine'
    seed : int
        The same seed gives the same answers. Global random states are neither read nor written.
    soft : bool
        Whether the label set holds probabilities, too; then only classifiers that give some take part.
    n_folds : int

    Raises
    ------
    ParameterError
        If there is no such data set.
    """
    features, truth = _data(name)
    rng = np.random.default_rng([seed, DATASETS.index(name), n_folds])
    classes = np.unique(truth)
    folds = list(
        StratifiedKFold(n_folds, shuffle=True, random_state=_seed(rng)).split(features, truth)
    )
    said: dict[str, npt.NDArray[np.float64]] = {}
    for recipe in _RECIPES:
        n_columns = max(2, round(recipe.features * features.shape[1]))
        columns = np.sort(rng.choice(features.shape[1], n_columns, replace=False))
        model_seed = _seed(rng)
        table = np.zeros((len(truth), len(classes)))
        for training, tasks in folds:
            rows = _stratified(training, truth, recipe.rows, rng)
            classifier = make_pipeline(StandardScaler(), recipe.make(model_seed))
            if soft and not hasattr(classifier, "predict_proba"):
                break
            _train(classifier, features[np.ix_(rows, columns)], truth[rows])
            here = features[np.ix_(tasks, columns)]
            if soft:
                table[tasks] = classifier.predict_proba(here)
            else:
                table[tasks] = classifier.predict(here)[:, None] == classes
        else:
            said[recipe.name] = table
    whole = np.stack(list(said.values()), axis=1)  # (N, D, K)
    n_tasks, n_workers, _ = whole.shape
    answers = pd.DataFrame(
        {
            "task": np.repeat(np.arange(n_tasks), n_workers),
            "worker": np.tile(np.array(list(said), dtype=object), n_tasks),
            "label": classes[whole.argmax(-1)].ravel(),
        }
    )
    gold = numbered(truth)
    if not soft:
        return LabelSet(name, answers, gold, "classifiers")
    values = whole.reshape(-1, len(classes))
    values = values / values.sum(1, keepdims=True)
    columns_ = pd.DataFrame(values, columns=list(classes))
    probabilities = pd.concat([answers[["task", "worker"]], columns_], axis=1)
    return LabelSet(f"{name}, soft", answers, gold, "classifiers", probabilities)


def _data(name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    if name not in LOADERS:
        raise ParameterError(f"no data set is called {name!r}; there are: {first_few(DATASETS)}.")
    data = LOADERS[name]()
    return np.asarray(data.data, dtype=np.float64), np.asarray(data.target_names)[data.target]


def _train(classifier: Any, features: npt.NDArray[np.float64], truth: npt.NDArray[Any]) -> None:
    with warnings.catch_warnings():  # of pixels that are always blank; they do no harm
        warnings.filterwarnings("ignore", message="self.within_class_std_dev_")
        classifier.fit(features, truth)


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
