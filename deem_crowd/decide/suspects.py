"""Which answers, and which labels, are likely wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import softmax

from deem_crowd.data import index
from deem_crowd.data.gold import in_pandas, refuse_other_kind
from deem_crowd.data.lookup import as_index, by_column
from deem_crowd.decide import checks
from deem_crowd.decide.consensus import Consensus
from deem_crowd.exceptions import DataError, DataWarning, FormError, counted, counted_of, first_few
from deem_crowd.runtime.warning import warn

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def suspect_answers(agg: Any, n: int | None = None, *, answers: Any = None) -> pd.DataFrame:
    """Return the n answers that are most likely wrong, the worst first; all of them if n is omitted.

    The table is empty, with a warning, where no answer is in doubt: all labels are known and all answers right, or
    there are no answers.

    An answer is wrong with the probability that its task has another label. By a model with one hidden unit it is
    scored with tasks of several levels of difficulty where the likelihood says that they differ: a lone answer against
    many is more suspect than one about a split task. The default model scores by the members of its pool, without the
    share of plain votes that the posterior keeps; where levels do not pay, with the m answers to a task counted as
    m / (1 + (m − 1) ρ) independent ones, which tells tasks with many answers from tasks with few. After a fit with
    features, which these readings leave out, and where one factor reads soft answers, the score is by the posterior.
    For other aggregators it is the mean of two posteriors: their own, and the one that the workers' tables give, p(h) ∝
    π_h Π_i t_i[a_i, h].

    Parameters
    ----------
    agg : fitted DEEMAggregator or DEEM, or aggregator with ``probas_`` and ``errors_``
        See :meth:`Consensus.of`.
    n : int, optional
    answers : DataFrame, Answers or array, optional
        What the model was fitted to; needed where it comes from a file, and for other aggregators.

    Returns
    -------
    DataFrame
        ``task``, ``worker``, ``label``, the answer; ``suggested``, the label of the task; ``score`` in [0, 1];
        ``expected_precision``, the share of this and all earlier rows that is expected to be wrong, by the model's
        posterior; ``reason``, what the others answered and the worker's record.

    Raises
    ------
    NotFittedError, ParameterError, DataError
    """
    consensus = Consensus.of(agg, answers)
    given = consensus.required_answers("suspect_answers")
    score, by_model = answer_scores(consensus)
    order = _worst(score, n, "answer")
    task, worker, label = given.task[order], given.worker[order], given.label[order]
    return pd.DataFrame(
        {
            "task": consensus.tasks.take(task),
            "worker": consensus.workers.take(worker),
            "label": label_values(consensus, label),
            "suggested": label_values(consensus, consensus.labels[task]),
            "score": score[order],
            "expected_precision": _running_mean(by_model[order]),
            "reason": _reasons(consensus, task, worker, label),
        }
    )


def suspect_labels(
    agg: Any, n: int | None = None, *, labels: Any = None, answers: Any = None
) -> pd.DataFrame:
    """Return the n tasks whose given label is most likely wrong, the worst first; all of them if n is omitted.

    The table is empty, with a warning, where no label is in doubt: all are known, or there are none.

    Parameters
    ----------
    agg : fitted DEEMAggregator or DEEM, aggregator with ``probas_``, or DataFrame
        See :meth:`Consensus.of`.
    n : int, optional
    labels : Series indexed by task, mapping from task to label, or DataFrame with columns task and label, optional
        Labels from elsewhere, of all tasks or some; missing ones are passed over. Omitted: the model's own.
    answers : DataFrame, Answers or array, optional
        With them the reason says how many answered what.

    Returns
    -------
    DataFrame
        ``task``, ``label``, ``suggested``, ``score``, ``expected_precision``, ``reason``; see :func:`suspect_answers`.
        The score is the posterior probability that the task has another label.

    Raises
    ------
    NotFittedError, ParameterError, DataError, FormError
    """
    consensus = Consensus.of(agg, answers)
    codes = consensus.labels if labels is None else label_codes(labels, consensus)
    tasks = np.flatnonzero(codes >= 0)
    score = np.clip(1.0 - consensus.posterior[tasks, codes[tasks]], 0.0, 1.0)
    order = _worst(score, n, "label")
    chosen = tasks[order]
    best = consensus.posterior[chosen].argmax(axis=1) if len(chosen) else chosen
    return pd.DataFrame(
        {
            "task": consensus.tasks.take(chosen),
            "label": label_values(consensus, codes[chosen]),
            "suggested": label_values(consensus, best),
            "score": score[order],
            "expected_precision": _running_mean(score[order]),
            "reason": _label_reasons(consensus, chosen, codes[chosen]),
        }
    )


# ------------------------------------------------------------------ helpers


def answer_scores(consensus: Consensus) -> tuple[FloatArray, FloatArray]:
    """Return how suspect each of R answers is, in [0, 1], and the chance by the model that it is wrong; shapes (R,)."""
    given = consensus.required_answers("suspect_answers")
    by_model = np.clip(1.0 - consensus.posterior[given.task, given.label], 0.0, 1.0)
    evidence = consensus.evidence
    if evidence is not None:
        return np.clip(1.0 - evidence[given.task, given.label], 0.0, 1.0), by_model
    if not consensus.knows_workers:
        return by_model, by_model
    score = (by_model + 1.0 - _by_tables(consensus)[given.task, given.label]) / 2
    return np.clip(score, 0.0, 1.0), by_model


def _by_tables(consensus: Consensus) -> FloatArray:
    """Return the posterior of independent answers by the workers' tables, shape (N, K).

    Tasks whose posterior is certain, such as those of known label, keep it.
    """
    given = consensus.required_answers("suspect_answers")
    tables = consensus.required_tables()
    logits = np.tile(np.log(np.clip(consensus.priors, 1e-12, None)), (consensus.n_tasks, 1))
    for k in range(logits.shape[1]):
        table = tables.cells(given.worker, given.label, np.full(len(given.label), k))
        logits[:, k] += np.bincount(
            given.task, np.log(np.clip(table, 1e-12, None)), minlength=consensus.n_tasks
        )
    posterior: FloatArray = softmax(logits, axis=1)
    certain = consensus.posterior.max(axis=1) >= 1.0
    posterior[certain] = consensus.posterior[certain]
    return posterior


def _worst(score: FloatArray, n: int | None, what: str) -> IntArray:
    """Return the places of the n highest scores, in order, ties in the order of the data; none if all are 0."""
    limit = len(score) if n is None else checks.count("n", n)
    if not score.any():
        why = "there is none"
        if len(score):
            why = "it is" if len(score) == 1 else f"all {len(score)} are"
            why += " certain to be right"
        warn(f"no {what} is in doubt: {why}.", DataWarning)
        return np.zeros(0, dtype=np.int64)
    if limit >= len(score):
        return np.argsort(-score, kind="stable")
    least = np.partition(score, len(score) - limit)[len(score) - limit]
    near = np.flatnonzero(score >= least)
    return near[np.argsort(-score[near], kind="stable")][:limit]


def _running_mean(values: FloatArray) -> FloatArray:
    return np.asarray(np.cumsum(values) / np.arange(1, len(values) + 1))


def label_values(consensus: Consensus, codes: IntArray) -> pd.Series:
    """Return labels of some codes in the caller's own dtype, missing where the code is −1."""
    return index.take(consensus.classes, codes, "label").reset_index(drop=True)


def label_codes(labels: Any, consensus: Consensus, name: str = "labels") -> IntArray:
    """Return given labels as codes, shape (N,), −1 where none is given; K where ``gold`` names no class of the model.

    Raises
    ------
    FormError, DataError
    """
    labels = in_pandas(labels)
    if isinstance(labels, pd.DataFrame) and {"task", "label"} <= set(labels.columns):
        labels = by_column(labels, "task")["label"]
    if isinstance(labels, Mapping):
        labels = pd.Series(dict(labels))
    if not isinstance(labels, pd.Series):
        raise FormError(
            f"{name} is a {type(labels).__name__}; pass a Series indexed by task, a dict task → label, or a DataFrame "
            "with columns 'task' and 'label'."
        )
    labels = labels[labels.notna()]
    place = consensus.tasks.get_indexer(labels.index)
    code = index.class_places(consensus.classes, as_index(labels))
    elsewhere, strange = np.flatnonzero(place < 0), np.flatnonzero(code < 0)
    if len(elsewhere):
        if len(elsewhere) == len(labels):
            refuse_other_kind(labels.index.to_numpy(), consensus.tasks, name)
        raise DataError(
            f"{name}: {counted(len(elsewhere), 'task')} that the model does not know: "
            f"{first_few(dict.fromkeys(labels.index.take(elsewhere)))}. Leave them out, or fit the model with them."
        )
    if len(strange):
        unknown = dict.fromkeys(labels.take(strange))
        text = (
            f"{name}: {counted(len(unknown), 'label')} that the model does not know: {first_few(unknown)}. "
            f"It knows {first_few(consensus.classes, 10)}."
        )
        if name != "gold":
            raise DataError(f"{text} Correct these labels, or leave those tasks out.")
        warn(f"{text} Labels of such tasks count as wrong.", DataWarning)
        code = np.where(code < 0, len(consensus.classes), code)
    codes = np.full(consensus.n_tasks, -1, dtype=np.int64)
    codes[place] = code
    torn = np.flatnonzero(codes[place] != code)
    if len(torn):
        twice = labels.index.take(torn).unique()
        raise DataError(
            f"{name} gives {counted(len(twice), 'task')} more than one label: {first_few(twice)}. Keep one of them."
        )
    return codes


def _reasons(
    consensus: Consensus, task: IntArray, worker: IntArray, label: IntArray
) -> npt.NDArray[np.object_]:
    """Say of each answer how many others gave it, and how far its worker can be relied on, shape (M,)."""
    given = consensus.required_answers("suspect_answers")
    counts, n_workers = _counts(consensus), len(consensus.workers)
    agrees = given.label == consensus.labels[given.task]
    agreed = np.bincount(given.worker[agrees], minlength=n_workers)
    total = np.bincount(given.worker, minlength=n_workers)
    record = [
        f"; the worker's answers agree with the labels in {a} of {n}"
        for a, n in zip(agreed.tolist(), total.tolist(), strict=True)
    ]
    own = consensus.labels[task]
    rival = np.where(own == label, -1, own)
    same, others = counts[task, label] - 1, counts[task].sum(axis=1) - 1
    other = np.where(rival < 0, 0, counts[task, rival])
    shape = (*(int(part.max(initial=0)) + 1 for part in (same, others, other)), counts.shape[1] + 1)
    case, distinct = pd.factorize(np.ravel_multi_index((same, others, other, rival + 1), shape))
    cases = zip(*(part.tolist() for part in np.unravel_index(distinct, shape)), strict=True)
    said = [_case(consensus, *numbers) for numbers in cases]
    words = np.array(said, dtype=object)[case] + np.array(record, dtype=object)[worker]
    return np.asarray(words, dtype=object)


def _case(consensus: Consensus, same: int, others: int, other: int, rival: int) -> str:
    """Say how many of the others gave the same answer, and how many gave class ``rival`` − 1, unless ``rival`` is 0."""
    if not others:
        return "nobody else answered"
    beside = f", {other} answered {consensus.classes[rival - 1]!s}" if rival else ""
    return f"{same} of {counted(others, 'other agrees', 'others agree')}{beside}"


def _label_reasons(consensus: Consensus, tasks: IntArray, codes: IntArray) -> list[str]:
    """Say of each given label how probable it is, and who answered it where the answers are known."""
    texts = [f"posterior {p:.3f}" for p in consensus.posterior[tasks, codes].tolist()]
    if consensus.answers is None:
        return texts
    counts = _counts(consensus)
    named, total = counts[tasks, codes].tolist(), counts[tasks].sum(axis=1).tolist()
    return [
        f"{text}; {counted_of(n, m, 'answer', 'gives', 'give')} it"
        for text, n, m in zip(texts, named, total, strict=True)
    ]


def _counts(consensus: Consensus) -> IntArray:
    """Return how many gave each class, shape (N, K)."""
    given, k = consensus.required_answers("suspect_answers"), len(consensus.classes)
    counts = np.bincount(given.task * k + given.label, minlength=consensus.n_tasks * k)
    return counts.reshape(consensus.n_tasks, k)
