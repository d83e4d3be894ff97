"""Tables of a fitted object, indexed by the caller's ids: tasks, workers, and workers in pairs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import index
from deem_crowd.data.lookup import written_shortly
from deem_crowd.insight.agreement import pair_index
from deem_crowd.insight.pairs import Panel, compare_workers
from deem_crowd.insight.results import AnswersLike, Model, Results, results_of
from deem_crowd.selection.candidates import FIELDS
from deem_crowd.selection.pairs import Pairs

__all__ = ["effective_sources", "pair_agreement", "tasks", "workers"]

IntArray = npt.NDArray[np.int64]


def tasks(model: Model, answers: AnswersLike = None) -> pd.DataFrame:
    """Return what is said of each task.

    Parameters
    ----------
    model : DEEMAggregator or DEEM, fitted
    answers : DataFrame, Answers or array, optional
        What the model was fitted to; only a model that comes from a file needs it.

    Returns
    -------
    DataFrame, N rows
        Index ``task``. ``label`` and ``confidence``, its posterior probability; ``second`` and
        ``second_probability``, the next likely class; ``answers``, their number; ``agreement``, the share of them that
        are the label (NaN without answers); ``entropy`` of the posterior, in nats.

    Raises
    ------
    NotFittedError, MissingAnswersError, DataError, FormError
    """
    return tasks_table(results_of(model, answers))


def tasks_table(results: Results) -> pd.DataFrame:
    """Return the table of :func:`tasks` for results at hand."""
    answers, posterior = results.answers, results.posterior
    n, k = posterior.shape
    others = posterior.copy()
    if k:
        others[np.arange(n), np.where(results.label >= 0, results.label, posterior.argmax(1))] = -1
    second = others.argmax(axis=1) if k > 1 else np.full(n, -1)
    number = results.n_answers_of_task
    agreeing = np.bincount(answers.task, weights=results.match, minlength=n)
    rated = (number > 0) & (results.label >= 0)
    logs = np.log(np.where(posterior > 0, posterior, 1.0))
    return pd.DataFrame(
        {
            "label": index.take(answers.classes, results.label, "label").array,
            "confidence": results.confidence,
            "second": index.take(answers.classes, second.astype(np.int64), "second").array,
            "second_probability": others.max(axis=1) if k > 1 else np.zeros(n),
            "answers": number,
            "agreement": np.where(rated, agreeing / np.maximum(number, 1), np.nan),
            "entropy": np.abs((posterior * logs).sum(axis=1)),
        },
        index=answers.tasks,
    )


def workers(model: Model, answers: AnswersLike = None) -> pd.DataFrame:
    """Return what is said of each worker.

    Returns
    -------
    DataFrame, D rows
        Index ``worker``. ``skill``, the chance of the right answer, with ``low`` and ``high``, its 95 % interval;
        ``chance``, the skill that somebody with the same label frequencies would have by chance; ``answers``, their
        number; ``coverage``, the share of tasks answered; ``agreement``, the share of answers that are the consensus
        label (NaN without answers). ``confused_label``, ``confused_answer`` and ``confusions``: the most frequent
        confusion, as the consensus label, what the worker said instead, and how often; missing where there is none.

    See :func:`tasks` for the parameters and errors.
    """
    return workers_table(results_of(model, answers))


def workers_table(results: Results) -> pd.DataFrame:
    """Return the table of :func:`workers` for results at hand."""
    answers = results.answers
    number = results.n_answers_of_worker
    rated = results.label[answers.task] >= 0
    n_rated = np.bincount(answers.worker[rated], minlength=answers.n_workers)
    agreeing = np.bincount(answers.worker, weights=results.match, minlength=answers.n_workers)
    label, said, times = _most_frequent_confusion(results)
    return pd.DataFrame(
        {
            "skill": results.skills,
            "low": results.intervals[:, 0],
            "high": results.intervals[:, 1],
            "chance": results.chance,
            "answers": number,
            "coverage": number / max(answers.n_tasks, 1),
            "agreement": np.where(n_rated > 0, agreeing / np.maximum(n_rated, 1), np.nan),
            "confused_label": index.take(answers.classes, label, "label").array,
            "confused_answer": index.take(answers.classes, said, "label").array,
            "confusions": times,
        },
        index=answers.workers,
    )


def classes_table(results: Results) -> pd.DataFrame:
    """Return how many tasks have each class, by their labels and by their probabilities, the most frequent first.

    Returns
    -------
    DataFrame
        K rows, index the classes; columns ``labels`` (a number), ``share`` (of the tasks that have a label) and
        ``expected`` (the sum of the probabilities of these tasks).
    """
    labelled = results.label >= 0
    labels = np.bincount(results.label[labelled], minlength=results.answers.n_classes)
    table = pd.DataFrame(
        {
            "labels": labels,
            "share": labels / max(int(labelled.sum()), 1),
            "expected": results.posterior[labelled].sum(axis=0),
        },
        index=written_shortly(results.answers.classes),
    )
    return table.sort_values(["labels", "expected"], ascending=False, kind="stable")


def confusion_counts(results: Results) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return how often each worker said one class where the consensus is another, where that occurs at all.

    Returns
    -------
    worker, label, said, times : integers, one entry for each combination that occurs
    """
    answers = results.answers
    label, said = results.label[answers.task], results.hard_answer
    wrong = (label >= 0) & (label != said)
    k = max(answers.n_classes, 1)
    code = (answers.worker[wrong].astype(np.int64) * k + label[wrong]) * k + said[wrong]
    kinds, times = np.unique(code, return_counts=True)
    return kinds // (k * k), kinds // k % k, kinds % k, times


def _most_frequent_confusion(results: Results) -> tuple[IntArray, IntArray, IntArray]:
    """Return, for each of D workers, the label, the answer and the number of the most frequent confusion."""
    worker, label, said, times = confusion_counts(results)
    n_workers = results.answers.n_workers
    order = np.lexsort((-times, worker))
    first = order[np.flatnonzero(np.diff(worker[order], prepend=-1))]
    best_label, best_said = np.full(n_workers, -1), np.full(n_workers, -1)
    best_times = np.zeros(n_workers, dtype=np.int64)
    best_label[worker[first]], best_said[worker[first]] = label[first], said[first]
    best_times[worker[first]] = times[first]
    return best_label, best_said, best_times


def pair_agreement(model: Model, answers: AnswersLike = None) -> pd.DataFrame:
    """Return how far workers agree in pairs, and how far beyond what their skills explain.

    Returns
    -------
    DataFrame, a row a pair that shares tasks
        Index (``worker``, ``other``). ``common``, the tasks that both answered; ``observed``, the share on which they
        agree; ``kappa``, chance-corrected (Cohen's); ``explained``, the chance-corrected agreement that their skills
        explain; ``excess``, (κ − explained) / (1 − explained), 1 for copies (both NaN with fewer than 10 common
        tasks); ``repeats``, whether the pair repeat one another: an excess of 0.3 or more on 20 common tasks or more,
        which chance does not give. The largest excess stands first. ``attrs['left_out']`` is the number of workers that
        are not compared, because 500 others have more answers.

    See :func:`tasks` for the parameters and errors.
    """
    results = results_of(model, answers)
    return pairs_table(results, compare(results))


def compare(results: Results, counts: Pairs | None = None) -> Panel:
    """Compare the workers of some results in pairs; ``counts`` is what is known of these already.

    Where the fit has found that workers know different fields, pairs agree as its tables of fields say, for which these
    were chosen: nobody repeats another.
    """
    panel = compare_workers(
        results.answers, results.tables, results.priors, counts=counts, group=results.named_groups
    )
    return panel.all_explained() if knows_fields(results) else panel


def knows_fields(results: Results) -> bool:
    """Tell whether labels come from tables for fields that some workers know better."""
    return any(one.name == FIELDS and one.weight > 0 for one in results.candidates)


def pairs_table(results: Results, panel: Panel) -> pd.DataFrame:
    """Return the table of :func:`pair_agreement` for results at hand."""
    counts, excess = panel.counts, panel.excess
    left, right = np.nonzero(np.triu(counts.common > 0, 1))
    above = excess.excess[left, right]
    order = np.argsort(-above, kind="stable")  # NaN last
    left, right = left[order], right[order]
    table = pd.DataFrame(
        {
            "common": counts.common[left, right].astype(np.int64),
            "observed": counts.agreed[left, right],
            "kappa": counts.kappa[left, right],
            "explained": excess.explained[left, right],
            "excess": excess.excess[left, right],
            "repeats": panel.repeats[left, right],
        },
        index=pair_index(results.answers.workers, counts.sources[left], counts.sources[right]),
    )
    table.attrs["left_out"] = panel.left_out
    return table


def effective_sources(model: Model, answers: AnswersLike = None) -> float:
    """Return how many independent sources the panel is worth, by Kish's formula.

    D² / Σ_ij e_ij, where e_ii = 1 and e_ij is what the pair agrees beyond what their skills explain, where that is
    significant. Errors that all workers share look like skill and cannot be seen without gold: it is an upper bound.
    Pairs with fewer than 10 common tasks count as independent.

    See :func:`tasks` for the parameters and errors.
    """
    return compare(results_of(model, answers)).effective_sources
