"""Which tasks to have answered next, and by whom."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.decide import checks, criteria, ranking, shortlist
from deem_crowd.decide.answer_shares import in_line_with_answers
from deem_crowd.decide.consensus import Consensus
from deem_crowd.decide.costs import costs_of, purse_of
from deem_crowd.decide.to_ask import labels_of, open_tasks, say_how_many
from deem_crowd.decide.together import another_answer
from deem_crowd.exceptions import ParameterError, first_few
from deem_crowd.model.worker_tables import FullTables, WorkerTables

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Pairs are looked for among this many of the tasks that a typical worker's answer would help most.
_PAIR_TASKS = 2_000
# So many pairs are weighed at most, so that it takes no longer than a fit of many answers.
_PAIRS = 500_000
# Workers are compared on so many of the tasks.
_SAMPLE = 50

STRATEGIES = (*criteria.VALUE, "least_confidence")
"""The names that ``strategy`` takes."""


def next_pairs(
    agg: Any,
    n: int,
    strategy: Literal[
        "expected_error_reduction", "expected_information", "least_confidence"
    ] = "expected_information",
    *,
    answers: Any = None,
    workers: Collection[Hashable] | None = None,
    per_task_limit: int | None = None,
    per_worker_limit: int | None = None,
    costs: Any = None,
    budget: float | None = None,
    exclude: Iterable[Hashable] = (),
    unanswered: Iterable[Hashable] = (),
    settled: float = 0.0,
    features: Any = None,
    random_state: int | None = None,
) -> pd.DataFrame:
    """Return the n pairs of a task and a worker whose answer is worth most per cost, best first, a task at most once.

    Pairs are enumerated over the 2,000 tasks that the typical worker's answer would tell most about, or the least
    confident ones (over 10 n tasks if these are more). Where that makes more than half a million pairs, over fewer of
    the best tasks, at least 2 n, and of the workers whose answers to these tell most.

    Parameters
    ----------
    agg, answers, per_task_limit, budget, exclude, unanswered, settled, random_state
        As in :func:`next_tasks`. With ``answers``, nobody is asked what they have answered already.
    n : int
        How many pairs.
    strategy : 'expected_information', 'expected_error_reduction' or 'least_confidence'
        What an answer by that worker is expected to tell about the label, in nats, or to add to the chance that the
        label is right. The latter is 0 where it takes two answers to change the label; ties go by the former.
        'least_confidence' takes the least certain tasks, and for each the worker whose answer is expected to tell most.
    workers : worker ids, optional
        Who can be asked; all workers of the model if omitted.
    per_worker_limit : int, optional
        Most tasks for one worker.
    costs : number, Series or mapping from worker to number, or DataFrame with columns worker and cost, optional
        Cost of one answer of each worker.
    features : array or DataFrame, optional
        What ``unanswered`` tasks are likely to be, after a fit with features; otherwise as in :func:`next_tasks`, but
        they do not choose among tasks.

    Returns
    -------
    DataFrame
        ``task``, ``worker``, ``label``, ``confidence``, ``score``, ``expected_gain``; see :func:`next_tasks`.

    Raises
    ------
    NotFittedError, ParameterError, DataError, FormError
    """
    checks.count("n", n)
    if strategy not in STRATEGIES:
        raise ParameterError(
            f"strategy must be one of {first_few(STRATEGIES)} for pairs, not {strategy!r}."
        )
    limit = n if per_worker_limit is None else checks.count("per_worker_limit", per_worker_limit)
    rng, exclude = checks.generator(random_state), checks.ids("exclude", exclude)
    consensus = Consensus.of(agg, answers).with_unanswered(unanswered, features)
    asked = consensus.workers
    if workers is not None:
        asked = pd.Index(checks.ids("workers", workers, "worker"), tupleize_cols=False).unique()
    k = len(consensus.classes)
    known = consensus.required_tables() if len(asked) else FullTables(np.zeros((0, k, k)))
    who_asked = consensus.places_of(asked)
    known = in_line_with_answers(consensus, known, who_asked)
    cost = costs_of(costs, asked, "worker")
    open_ = open_tasks(consensus, exclude, per_task_limit, checks.non_negative("settled", settled))
    typical = np.zeros(len(open_))
    if len(open_):
        table = consensus.typical_table()
        typical = shortlist.of_table("expected_information", consensus.posterior[open_], table)
    if strategy == "least_confidence":
        typical = criteria.least_confidence(consensus.posterior[open_])
    purse, n_most = purse_of(budget, cost if len(open_) else cost[:0], n)
    most = max(2 * n_most, min(max(_PAIR_TASKS, 10 * n_most), _PAIRS // max(len(asked), 1)))
    tasks = open_[ranking.first(ranking.keys_of(typical, np.zeros(len(open_)), rng), most)]
    posterior = consensus.posterior[tasks]
    if len(asked) * len(tasks) > _PAIRS:
        needed = max(_PAIRS // len(tasks), 2 * -(-n_most // limit))
        sample = posterior[np.linspace(0, len(posterior) - 1, _SAMPLE).astype(np.int64)]
        worth, told = (
            each.mean(axis=0) for each in _worth(strategy, sample, known, who_asked, cost)
        )
        some = np.sort(np.lexsort((-told, -worth))[:needed])  # in their own order
        asked, who_asked, cost = asked.take(some), who_asked[some], cost[some]
    value, tie = _worth(strategy, posterior, known, who_asked, cost)
    tie[_answered(consensus, tasks, asked)] = -1.0
    pairs = ranking.assigned(value, tie, n_most, limit, rng, cost, purse)
    row, who = pairs[:, 0], pairs[:, 1]
    free = tie > 0
    free[row] = False
    free[:, np.bincount(who, minlength=len(asked)) >= limit] = False
    if not free.any():  # else there are n, or the budget is spent
        full = len(pairs) == limit * len(asked)
        whoever = "the only worker" if len(asked) == 1 else f"each of {len(asked):,} workers"
        why = f": {whoever} takes {limit:,} at most" if full else ""
        say_how_many(n, len(pairs), consensus, "pairs", why)
    gain = _gains(posterior[row], known, who_asked[who])
    if len(row):
        gain *= another_answer(consensus)[tasks[row]]
    return pd.DataFrame(
        {
            "task": consensus.tasks.take(tasks[row]),
            "worker": asked.take(who),
            "label": labels_of(consensus, tasks[row]),
            "confidence": consensus.confidence[tasks[row]],
            "score": value[row, who],
            "expected_gain": gain,
        }
    )


def _worth(
    strategy: str, posterior: FloatArray, known: WorkerTables, workers: IntArray, cost: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return what an answer by each of some workers is worth, and what settles ties, per cost; shapes (N, workers).

    Ties are settled by the information in nats, which is 0 only where an answer tells nothing.
    """
    told = shortlist.of_workers("expected_information", posterior, known, workers) / cost
    if strategy == "expected_information":
        return told, told
    if strategy == "least_confidence":
        return criteria.least_confidence(posterior)[:, None] / cost, told
    return shortlist.of_workers(strategy, posterior, known, workers) / cost, told


def _gains(posterior: FloatArray, known: WorkerTables, workers: IntArray) -> FloatArray:
    """Return the expected error reduction of one answer to each of n tasks, by a worker given for each, shape (n,)."""
    gain = np.zeros(len(posterior))
    for one in np.unique(workers):
        mine = workers == one
        reduction = shortlist.of_workers(
            "expected_error_reduction", posterior[mine], known, np.array([one])
        )
        gain[mine] = reduction[:, 0]
    return gain


def _answered(consensus: Consensus, tasks: IntArray, workers: pd.Index) -> npt.NDArray[np.bool_]:
    """Return which of some workers answered which of some tasks, shape (tasks, workers)."""
    done = np.zeros((len(tasks), len(workers)), dtype=bool)
    if consensus.answers is None:
        return done
    row = np.full(consensus.n_tasks, -1)
    row[tasks] = np.arange(len(tasks))
    column = workers.get_indexer(consensus.workers)
    given = consensus.answers
    both = (row[given.task] >= 0) & (column[given.worker] >= 0)
    done[row[given.task[both]], column[given.worker[both]]] = True
    return done
