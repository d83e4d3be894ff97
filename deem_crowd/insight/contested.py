"""Tasks whose label should not be used without another look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import ParameterError
from deem_crowd.insight.pairs import Panel
from deem_crowd.insight.results import AnswersLike, Model, Results, coded_classes, results_of
from deem_crowd.insight.tables import compare
from deem_crowd.model.worker_tables import FullTables

__all__ = ["contested"]

BELOW = 0.8
"""The confidence under which a label is contested."""
_TIE = 1e-6


def contested(model: Model, answers: AnswersLike = None, *, below: float = BELOW) -> pd.DataFrame:
    """Say of each task whether its label is contested, and why.

    Parameters
    ----------
    model : DEEMAggregator or DEEM, fitted
    answers : DataFrame, Answers or array, optional
        What the model was fitted to; only a model that comes from a file needs it.
    below : float
        A label of less confidence is contested.

    Returns
    -------
    DataFrame of booleans, N rows
        Index ``task``. ``contested``, whether any of the following holds: ``unanswered``, no answers and no known
        label; ``tied``, two classes are equally likely; ``uncertain``, confidence under ``below``; ``repeated``, the
        label leads the votes only because workers that repeat one another are counted as several. Tasks whose label
        was known in fit are not contested.

    Raises
    ------
    ParameterError
        If ``below`` is no probability.
    NotFittedError, MissingAnswersError, DataError, FormError
    """
    if not 0 <= below <= 1:
        raise ParameterError(f"below={below!r} is no probability: it is between 0 and 1.")
    results = results_of(model, answers)
    return contested_table(results, compare(results), below)


def contested_table(results: Results, panel: Panel, below: float = BELOW) -> pd.DataFrame:
    """Return the table of :func:`contested` for results at hand."""
    n, k = results.posterior.shape
    unanswered = results.label < 0
    if k > 1:
        top = np.sort(results.posterior, axis=1)[:, -2:]
        tied = top[:, 1] - top[:, 0] <= _TIE
    else:
        tied = np.zeros(n, dtype=bool)
    table = pd.DataFrame(
        {
            "unanswered": unanswered,
            "tied": tied & ~unanswered,
            "uncertain": (results.confidence < below) & ~unanswered,
            "repeated": rests_on_repetition(results, panel) & ~unanswered,
        },
        index=results.answers.tasks,
    )
    if results.known is not None:
        table[results.known >= 0] = False
    table.insert(0, "contested", table.any(axis=1))
    return table


def predicted_contested(
    model: Model,
    answers: Answers,
    label: npt.NDArray[np.int64],
    posterior: npt.NDArray[np.float64],
    classes: pd.Index | None = None,
) -> npt.NDArray[np.bool_]:
    """Tell which predictions are contested, shape (N,), for :meth:`predict` with ``contested='missing'``.

    Which workers repeat one another is known from the answers that the model was fitted to; a model from a file has
    none, and there the other reasons decide.

    Parameters
    ----------
    model : DEEMAggregator or DEEM, fitted
    answers : Answers
        About N tasks that may be new.
    label : integers, shape (N,)
        The class predicted, −1 for none.
    posterior : shape (N, K)
    classes : Index, optional
        What the K classes are, where the answers may know fewer.
    """
    skills = model.skills_
    if isinstance(skills, pd.Series):  # DEEM has an array, and goes by position
        workers = skills.index
        place = workers.get_indexer(answers.workers)
    else:
        workers, place = answers.workers, np.arange(answers.n_workers)
    strangers = pd.RangeIndex(len(workers) + 1)  # one more: workers that the model does not know
    coded = replace(
        answers,
        worker=np.where(place < 0, len(workers), place).astype(np.int32)[answers.worker],
        workers=strangers,
    )
    if classes is not None:
        coded = coded_classes(coded, classes)
    fitted_on = model.__dict__.get("_fitted_on")
    none = np.zeros((len(workers) + 1, 0))
    tables = FullTables(none[:, :, None])
    results = Results(model, coded, label, posterior, none[0], none.sum(1), tables, [], None)
    panel = Panel.without_pairs() if fitted_on is None else compare(results_of(model))
    return contested_table(results, panel)["contested"].to_numpy()


def rests_on_repetition(results: Results, panel: Panel) -> np.ndarray:
    """Tell of each task whether its label leads the votes, but not once repeated answers count once, shape (N,).

    An answer of worker i then counts 1 / (1 + Σ_j e_ij), over the workers j that i repeats.
    """
    answers = results.answers
    if not panel.groups:
        return np.zeros(answers.n_tasks, dtype=bool)
    shared = np.where(panel.repeats, panel.excess.shared, 0.0)
    power = np.ones(answers.n_workers)
    power[panel.counts.sources] = 1 / (1 + shared.sum(axis=1))
    plain = _lead(results, np.ones(answers.n_workers))
    return (plain > 1e-9) & (_lead(results, power) <= 1e-9)


def _lead(results: Results, weight: np.ndarray) -> np.ndarray:
    """Return by how much the label of each task leads the next class in weighted votes, shape (N,)."""
    answers = results.answers
    votes = sparse.csr_array(
        (weight[answers.worker], (answers.task, results.hard_answer)),
        shape=(answers.n_tasks, max(answers.n_classes, 1)),
    )
    votes.sum_duplicates()
    row = np.repeat(np.arange(answers.n_tasks), np.diff(votes.indptr))
    own = votes.indices == results.label[row]
    label_votes = np.bincount(row[own], weights=votes.data[own], minlength=answers.n_tasks)
    others = np.zeros(answers.n_tasks)
    np.maximum.at(others, row[~own], votes.data[~own])
    return label_votes - others
