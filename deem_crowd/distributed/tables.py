"""Labels of the tasks of one process, and the table of the workers of all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from deem_crowd.data import index as ids
from deem_crowd.data.answers import Answers
from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.model.group import Group

FloatArray = npt.NDArray[np.float64]
_MOST_CELLS = 10**8
"""Counts by worker, label and answer that are added up; of more only those that occur are sent, to every process."""


def probability_columns(classes: pd.Index) -> list[str]:
    """Return what the columns of probabilities are called, one a class."""
    return [f"p_{name}" for name in classes]


def labels(answers: Answers, posterior: FloatArray, best: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return ``task``, ``label``, ``confidence`` and a column of probabilities for each class, N rows.

    Parameters
    ----------
    answers : Answers
        N tasks, K classes.
    posterior : shape (N, K)
    best : integers, shape (N,)
        The class of each task, −1 for none.
    """
    rows = np.arange(len(best))
    confidence = posterior[rows, np.maximum(best, 0)] if posterior.size else np.zeros(len(best))
    table = {
        "task": answers.tasks.array,
        "label": ids.take(answers.classes, best, "label").array,
        "confidence": np.where(best >= 0, confidence, posterior.max(1, initial=0.0)),
    }
    columns = probability_columns(answers.classes)
    return pd.DataFrame(table | dict(zip(columns, posterior.T, strict=True)))


def workers(
    model: FittedModel | SparseModel,
    answers: Answers,
    best: npt.NDArray[np.int64],
    group: Group,
) -> pd.DataFrame:
    """Return the table of :attr:`DEEMAggregator.workers_` for the answers of all processes, D rows.

    Parameters
    ----------
    model : FittedModel or SparseModel
        By D workers, over K classes.
    answers : Answers
        About the N tasks of this process.
    best : shape (N,)
        The class of each task, −1 for none.
    group : Group
    """
    d = answers.n_workers
    n_tasks = int(group.reduce(torch.tensor(float(answers.n_tasks), dtype=torch.float64)))
    number = group.reduce(torch.from_numpy(ids.tally(answers.worker, d)).double()).numpy()
    worker, label, said, times = _counted(answers, best, group)
    rated = np.bincount(worker, times, d)
    agreeing = np.bincount(worker, times * (label == said), d)
    wrong = label != said
    worker, label, said, times = worker[wrong], label[wrong], said[wrong], times[wrong]
    order = np.lexsort((-times, worker))
    first = order[np.flatnonzero(np.diff(worker[order], prepend=-1))]
    most = np.full((3, d), -1, dtype=np.int64)
    most[2] = 0
    most[:, worker[first]] = label[first], said[first], times[first]
    intervals = model.skill_intervals()
    return pd.DataFrame(
        {
            "skill": model.skills,
            "low": intervals[:, 0],
            "high": intervals[:, 1],
            "chance": model.worker_tables().chance(model.priors),
            "answers": number.astype(np.int64),
            "coverage": number / max(n_tasks, 1),
            "agreement": np.where(rated > 0, agreeing / np.maximum(rated, 1), np.nan),
            "confused_label": ids.take(answers.classes, most[0], "label").array,
            "confused_answer": ids.take(answers.classes, most[1], "label").array,
            "confusions": most[2],
        },
        index=answers.workers,
    )


def _counted(
    answers: Answers, best: npt.NDArray[np.int64], group: Group
) -> tuple[npt.NDArray[np.int64], ...]:
    """Return worker, consensus label, answer and number of all combinations that occur in any process."""
    k = max(answers.n_classes, 1)
    label = best[answers.task]
    code = (answers.worker.astype(np.int64) * k + label) * k + answers.hard_label
    kinds, times = np.unique(code[label >= 0], return_counts=True)
    if answers.n_workers * k * k <= _MOST_CELLS:  # sums are less to send than what occurs where
        cells = np.zeros(answers.n_workers * k * k)
        cells[kinds] = times
        cells = group.reduce(torch.from_numpy(cells)).numpy()
        kinds = np.flatnonzero(cells)
        times = cells[kinds].astype(np.int64)
    else:
        every, _ = group.gathered(torch.from_numpy(np.stack([kinds, times], 1)))
        kinds, place = np.unique(every[:, 0].numpy(), return_inverse=True)
        times = np.bincount(place, every[:, 1].numpy(), len(kinds)).astype(np.int64)
    return kinds // (k * k), kinds // k % k, kinds % k, times
