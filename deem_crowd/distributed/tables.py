"""Labels of the tasks of one process, and the table of the workers of all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from deem_crowd.data import index as ids
from deem_crowd.data.answers import Answers
from deem_crowd.estimators.fitted import FittedModel, best_class
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.group import Group

FloatArray = npt.NDArray[np.float64]


def probability_columns(classes: pd.Index) -> list[str]:
    """Return what the columns of probabilities are called, one a class."""
    return [f"p_{name}" for name in classes]


def labels(
    answers: Answers, posterior: FloatArray, known: npt.NDArray[np.int64] | None
) -> pd.DataFrame:
    """Return ``task``, ``label``, ``confidence`` and a column of probabilities for each class, N rows.

    Parameters
    ----------
    answers : Answers
        N tasks, K classes.
    posterior : shape (N, K)
    known : integers, shape (N,), optional
        Labels that are known, −1 where unknown.
    """
    best = best_class(posterior, answers, known)
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
    model: FittedModel,
    answers: Answers,
    posterior: FloatArray,
    known: npt.NDArray[np.int64] | None,
    group: Group,
) -> pd.DataFrame:
    """Return the table of :attr:`DEEMAggregator.workers_` for the answers of all processes, D rows."""
    best = best_class(posterior, answers, known)
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64, group=group)
    k = answers.n_classes
    said = np.zeros((answers.n_tasks, k))
    said[np.flatnonzero(best >= 0), best[best >= 0]] = 1.0
    # [worker, label, answer]: how often each worker said what where the consensus is a label
    counts = design.expected_counts(torch.from_numpy(said)).numpy().transpose(0, 2, 1)
    number = counts.sum((1, 2))
    agreeing = np.einsum("ikk->i", counts)
    wrong = counts.copy()
    wrong[:, np.arange(k), np.arange(k)] = 0
    flat = wrong.reshape(len(wrong), k * k)
    most = flat.argmax(1) if k else np.zeros(len(flat), dtype=np.int64)
    times = flat.max(1, initial=0.0).astype(np.int64)
    place = np.where(times > 0, most, -1)
    intervals, full = model.skill_intervals(), model.full_confusion()
    return pd.DataFrame(
        {
            "skill": model.skills,
            "low": intervals[:, 0],
            "high": intervals[:, 1],
            "chance": (full @ model.priors) @ model.priors,
            "answers": number.astype(np.int64),
            "coverage": number / max(design.n_tasks_in_all, 1),
            "agreement": np.where(number > 0, agreeing / np.maximum(number, 1), np.nan),
            "confused_label": ids.take(answers.classes, _part(place // max(k, 1)), "label").array,
            "confused_answer": ids.take(
                answers.classes, _part(np.where(place < 0, -1, place % max(k, 1))), "label"
            ).array,
            "confusions": times,
        },
        index=answers.workers,
    )


def _part(place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.where(place < 0, -1, place).astype(np.int64)
