"""How well wrong answers are found, and how accuracy grows as labels are left out: DEEM beside others."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.decide import Consensus, reliable, suspect_answers
from deem_crowd.estimators.aggregator import DEEMAggregator
from deem_crowd_benchmarks.sets.label_set import LabelSet

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

PRECISION = 0.95
"""What ``reliable`` is asked for."""
_FIRST = 0.05
_DRAWS = 20


class Scored:
    """A label set with what several methods say of it, each worked out once.

    Parameters
    ----------
    label_set : LabelSet
    """

    def __init__(self, label_set: LabelSet) -> None:
        rows = label_set.answers.drop_duplicates(["task", "worker"], keep="last")
        self.rows = rows.reset_index(drop=True)[["task", "worker", "label"]]
        self.answers = Answers.from_frame(self.rows)
        self.gold = label_set.gold[label_set.gold.index.isin(self.answers.tasks)]
        self._models: dict[str, Any] = {}

    def model(self, name: str) -> Any:
        """Return a fitted aggregator: 'deem', 'plain' or 'ds'."""
        if name not in self._models:
            if name == "ds":
                from crowdkit.aggregation import DawidSkene

                fitted: Any = DawidSkene(n_iter=100).fit(self.rows)
            else:
                automatic = None if name == "deem" else False
                fitted = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
                fitted = fitted.fit(self.rows)
            self._models[name] = fitted
        return self._models[name]

    def posterior(self, name: str) -> pd.DataFrame:
        """Return p(label | answers) by an aggregator, or the shares of votes by 'vote'."""
        if name == "vote":
            counts = self.rows.groupby(["task", "label"]).size().unstack(fill_value=0)
            return counts.div(counts.sum(axis=1), axis=0)
        probas: pd.DataFrame = self.model(name).probas_
        return probas

    def quality(self) -> tuple[FloatArray, pd.DataFrame]:
        """Return cleanlab's quality of each answer, shape (R,), and of each task's consensus, with DEEM's posterior.

        Goh, Tkachenko and Mueller, CROWDLAB (2022).
        """
        if "quality" not in self._models:
            from cleanlab.multiannotator import get_label_quality_multiannotator

            data, probas = self.answers, self.posterior("deem")
            wide = np.full((data.n_tasks, data.n_workers), np.nan)
            wide[data.task, data.worker] = data.hard_label
            frame = pd.DataFrame(wide)
            predicted = probas.reindex(index=data.tasks, columns=data.classes).to_numpy()
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                quality = get_label_quality_multiannotator(frame, predicted, verbose=False)
            detailed = quality["detailed_label_quality"].to_numpy()
            place = pd.MultiIndex.from_arrays(
                [data.tasks.take(data.task), data.workers.take(data.worker)]
            ).get_indexer(pd.MultiIndex.from_frame(self.rows[["task", "worker"]]))
            consensus = quality["label_quality"]
            labels = data.classes.take(consensus["consensus_label"].astype(int))
            self._models["quality"] = (
                detailed[data.task, data.worker][place],
                pd.DataFrame(
                    {"label": labels, "sure": consensus["consensus_quality_score"].to_numpy()},
                    index=data.tasks,
                ),
            )
        found_: tuple[FloatArray, pd.DataFrame] = self._models["quality"]
        return found_

    def wrong(self) -> tuple[BoolArray, BoolArray]:
        """Return which answers are wrong, and of which it is known, shapes (R,)."""
        truth = self.gold.reindex(self.rows["task"]).to_numpy()
        known = ~pd.isna(truth)
        return (self.rows["label"].to_numpy() != truth) & known, known


def _chance(name: str) -> Callable[[Scored], FloatArray]:
    """Return a score: one minus the posterior of the answer."""

    def score(scored: Scored) -> FloatArray:
        posterior = scored.posterior(name)
        row = posterior.index.get_indexer(pd.Index(scored.rows["task"]))
        column = posterior.columns.get_indexer(pd.Index(scored.rows["label"]))
        return np.asarray(1.0 - posterior.to_numpy()[row, column])

    return score


def _suspect(scored: Scored) -> FloatArray:
    score = suspect_answers(scored.model("deem")).set_index(["task", "worker"])["score"]
    return score.reindex(pd.MultiIndex.from_frame(scored.rows[["task", "worker"]])).to_numpy()


SUSPECTS: dict[str, Callable[[Scored], FloatArray]] = {
    "suspect_answers": _suspect,
    "deem posterior": _chance("deem"),
    "plain": _chance("plain"),
    "ds": _chance("ds"),
    "disagreement": _chance("vote"),
    "cleanlab": lambda scored: 1.0 - scored.quality()[0],
}
"""How suspect each answer is, shape (R,): DEEM's score, posteriors, shares of votes, cleanlab's quality."""

COVERAGE = ("deem", "plain", "ds", "vote", "cleanlab")
"""Whose labels, the surest first."""


def there(name: str) -> bool:
    """Tell whether a method's package is installed."""
    return name != "cleanlab" or importlib.util.find_spec("cleanlab") is not None


def suspects(scored: Scored, name: str) -> dict[str, float]:
    """Return how well a score finds wrong answers, on tasks with gold.

    ``auc``, the area under the ROC curve; ``precision``, the share of wrong answers among the first twentieth;
    ``r_precision``, among as many as are wrong. Ties count by their expectation.
    """
    from sklearn.metrics import roc_auc_score

    wrong, known = scored.wrong()
    score, wrong = SUSPECTS[name](scored)[known], wrong[known]
    auc = float(roc_auc_score(wrong, score)) if 0 < wrong.sum() < len(wrong) else float("nan")
    return {
        "auc": auc,
        "precision": precision_at(score, wrong, max(1, round(_FIRST * len(score)))),
        "r_precision": precision_at(score, wrong, max(1, int(wrong.sum()))),
        "wrong": float(wrong.mean()),
    }


def precision_at(score: FloatArray, wrong: BoolArray, k: int) -> float:
    """Return the expected share of wrong ones among the k highest scores, ties drawn at random."""
    least = np.sort(score)[-k]
    above, tied = score > least, score == least
    share = wrong[tied].mean() * (k - above.sum())
    return float((wrong[above].sum() + share) / k)


def coverage(scored: Scored, name: str) -> dict[str, float]:
    """Return how accuracy grows as the least sure labels are left out, on tasks with gold.

    ``aurc``, the area under risk against coverage: the mean over all sizes of the share of wrong labels among the
    surest (Geifman and El-Yaniv, NeurIPS 2017); ``accuracy`` of all labels; what ``reliable(0.95)`` keeps without gold:
    ``kept``, ``kept_precision`` and ``kept_bound``; and with a random half of the gold: see :func:`checked`.
    """
    label, sure = _labels(scored, name)
    truth = scored.gold
    right = (label.reindex(truth.index) == truth).to_numpy()
    measured = {"aurc": aurc(sure.reindex(truth.index).to_numpy(), right), "accuracy": right.mean()}
    if name != "cleanlab":
        votes = name == "vote"
        fitted = Consensus.of(
            smoothed_votes(scored.posterior(name), scored) if votes else scored.model(name)
        )
        measured |= checked(fitted, label, truth)
        kept = reliable(fitted, PRECISION)
        rated = kept.labels[kept.labels.index.isin(truth.index)]
        measured |= {"kept": kept.coverage, "kept_rated": float(len(rated))}
        if len(rated):
            hits = (rated == truth.reindex(rated.index)).to_numpy()
            measured |= {"kept_precision": float(hits.mean()), "kept_bound": kept.lower_bound}
    return {key: float(value) for key, value in measured.items()}


def checked(fitted: Any, label: pd.Series, truth: pd.Series) -> dict[str, float]:
    """Return what ``reliable(0.95, gold=...)`` keeps with random halves of the gold tasks, in the mean over draws.

    ``checked``, the share of tasks that is kept; ``checked_held``, in how many draws nothing is kept, or the precision
    on all gold tasks among what is kept is 0.95 or more.
    """
    rng = np.random.default_rng(0)
    right = label.reindex(truth.index) == truth
    kept, held = [], []
    for _ in range(_DRAWS):
        sample = truth.iloc[rng.permutation(len(truth))[: len(truth) // 2]]
        chosen = reliable(fitted, PRECISION, gold=sample)
        kept.append(chosen.coverage)
        rated = right[right.index.isin(chosen.labels.index)]
        held.append(not len(rated) or rated.mean() >= PRECISION)
    return {"checked": float(np.mean(kept)), "checked_held": float(np.mean(held))}


def smoothed_votes(shares: pd.DataFrame, scored: Scored) -> pd.DataFrame:
    """Return (votes + 1/K) / (m + 1), index task: shares of many votes tell more than the same of few."""
    m = scored.rows.groupby("task").size().reindex(shares.index)
    return shares.mul(m, axis=0).add(1 / shares.shape[1]).div(m + 1, axis=0)


def aurc(sure: FloatArray, right: BoolArray) -> float:
    """Return the mean over m of the expected share of wrong ones among the m surest, ties drawn at random."""
    order = np.argsort(-sure, kind="stable")
    _, start, size = np.unique(-sure[order], return_index=True, return_counts=True)
    wrong = np.add.reduceat((~right[order]).astype(float), start)
    even = np.repeat(wrong / size, size)  # each of a tie counts as the mean of the tie
    return float((np.cumsum(even) / np.arange(1, len(sure) + 1)).mean())


def _labels(scored: Scored, name: str) -> tuple[pd.Series, pd.Series]:
    """Return the labels of a method and how sure they are, index task."""
    if name == "cleanlab":
        frame = scored.quality()[1]
        return frame["label"], frame["sure"]
    posterior = scored.posterior(name)
    return posterior.idxmax(axis=1), posterior.max(axis=1)
