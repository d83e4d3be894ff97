"""Which tasks to have answered next, and by whom."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.decide import checks, criteria, diversity, ranking, shortlist
from deem_crowd.decide.consensus import Consensus
from deem_crowd.decide.costs import bought, costs_of, purse_of
from deem_crowd.exceptions import DataWarning, ParameterError, first_few
from deem_crowd.model.worker_tables import FullTables
from deem_crowd.runtime.warning import warn

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Strategy = (
    Literal[
        "least_confidence",
        "margin",
        "entropy",
        "fusion",
        "expected_error_reduction",
        "expected_information",
        "least_confidence_per_answer",
        "random",
    ]
    | Callable[[FloatArray], npt.ArrayLike]
)
STRATEGIES = (
    *criteria.UNCERTAINTY,
    "fusion",
    *criteria.VALUE,
    "least_confidence_per_answer",
    "random",
)
"""The names that ``strategy`` takes."""

# With features: a batch is chosen among this many times as many tasks as it shall hold.
_POOL = 5
# Pairs are looked for among this many of the tasks that a typical worker's answer would help most.
_PAIR_TASKS = 2_000
# So many pairs are weighed at most, so that it takes no longer than a fit of many answers.
_PAIRS = 500_000
# Workers are compared on so many of the tasks.
_SAMPLE = 50


def next_tasks(
    agg: Any,
    n: int,
    strategy: Strategy = "least_confidence",
    *,
    answers: Any = None,
    per_task_limit: int | None = None,
    costs: Any = None,
    budget: float | None = None,
    exclude: Iterable[Hashable] = (),
    unanswered: Iterable[Hashable] = (),
    worker: Hashable = None,
    settled: float = 0.0,
    features: Any = None,
    diversify: diversity.Diversity = "k-center",
    random_state: int | None = None,
) -> pd.DataFrame:
    """Return the n tasks whose next answer is worth most, best first.

    Parameters
    ----------
    agg : fitted DEEMAggregator or DEEM, aggregator with ``probas_``, or DataFrame
        See :meth:`Consensus.of`.
    n : int
        How many; fewer come, with a warning, if there are no more.
    strategy : str or callable
        'least_confidence', 'margin', 'entropy': how uncertain the label is. 'fusion': half of the batch by each of
        these three, united, and n of those at random (CEAL); filled up by least confidence where they are fewer.
        'expected_error_reduction': by how much one more answer raises the chance that the label is right, ties by
        'expected_information', which is in nats; both enumerate the answers that may come.
        'least_confidence_per_answer': least confidence over one plus the answers already paid.
        'random'. A callable takes the posterior, shape (N, K), and returns non-negative scores, shape (N,).
    answers : DataFrame, Answers or array, optional
        What the model was fitted to; ``per_task_limit`` and 'least_confidence_per_answer' count them.
    per_task_limit : int, optional
        Tasks with this many answers are left out.
    costs : number, Series or mapping from task to number, or DataFrame with columns task and cost, optional
        Cost of one answer, above 0; scores are divided by it. The second column may have another name. 1 if omitted.
    budget : float, optional
        What the answers may cost in total, at least 0: bought best first, skipping any that costs more than is left.
    exclude : task ids
        Tasks to leave out, such as those asked already; ids of no task are ignored.
    unanswered : task ids
        Tasks nobody has answered yet, beside those of the model; their posterior is the class prior.
    worker : optional
        Who will answer: the expected gain is then that of this worker's table, else of the typical worker's.
    settled : float
        Tasks whose posterior has at most this entropy, in nats, are left out; 0 leaves out tasks of known label.
    features : array of shape (N, P), or DataFrame indexed by task, optional
        The batch is then spread out over the best 5 n tasks. An array has the model's tasks in order, then those of
        ``unanswered``.
    diversify : 'k-center' or 'k-means++'
        How it is spread; see :func:`deem_crowd.decide.diversity.diverse`.
    random_state : int, optional
        Seed for ties and draws; None is 0.

    Returns
    -------
    DataFrame
        A row a task: ``task``; ``label``, the current one, missing where there is none; ``confidence``, its posterior;
        ``score``, higher is asked first; ``expected_gain``, by how much one answer is expected to raise the chance
        that the label is right (missing where no tables are known). Empty, with a warning, if no task is left.

    Raises
    ------
    NotFittedError, ParameterError, DataError, FormError
    """
    checks.count("n", n)
    _check_strategy(strategy)
    rng, exclude = checks.generator(random_state), checks.ids("exclude", exclude)
    consensus = Consensus.of(agg, answers).with_unanswered(unanswered)
    cost = _costs(costs, consensus, exclude)
    open_ = _open(consensus, exclude, per_task_limit, checks.non_negative("settled", settled))
    matrix = None if features is None else diversity.feature_matrix(features, consensus.tasks)
    purse, n_most = purse_of(budget, cost[open_], n)
    n_open, open_ = len(open_), open_[cost[open_] <= purse]
    posterior = consensus.posterior[open_]
    table = None
    if len(open_) and (strategy in criteria.VALUE or consensus.knows_workers):
        table = consensus.typical_table() if worker is None else consensus.table_of(worker)
    score, tie = _scores(strategy, consensus, open_, table, rng)
    score = score / cost[open_]
    most = n_most if matrix is None else _POOL * n_most
    every = most if budget is None else len(open_)
    if strategy == "fusion":
        chosen = _fusion(posterior, cost[open_], most, every, rng)
    else:
        chosen = ranking.first(ranking.keys_of(score, tie, rng), every)
    if matrix is not None:
        pool = chosen[:most]
        n_spread = n_most if budget is None else most  # what is skipped makes room for others
        spread = diversity.diverse(matrix[open_[pool]], score[pool], n_spread, diversify, rng)
        chosen = np.concatenate([pool[spread], chosen[most:]])
    if budget is not None:
        chosen = chosen[bought(cost[open_[chosen]], purse)[:n]]
    if len(chosen) == min(n, n_open):  # else the budget is spent
        _say_how_many(n, n_open, consensus.n_tasks, "tasks")
    gain = np.full(len(chosen), np.nan)
    if table is not None:
        gain = shortlist.of_table("expected_error_reduction", posterior[chosen], table)
    return pd.DataFrame(
        {
            "task": consensus.tasks.take(open_[chosen]),
            "label": labels_of(consensus, open_[chosen]),
            "confidence": consensus.confidence[open_[chosen]],
            "score": score[chosen],
            "expected_gain": gain,
        }
    )


def next_pairs(
    agg: Any,
    n: int,
    strategy: Literal["expected_error_reduction", "expected_information"] = "expected_information",
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
    random_state: int | None = None,
) -> pd.DataFrame:
    """Return the n pairs of a task and a worker whose answer is worth most per cost, best first, a task at most once.

    Pairs are enumerated over the 2,000 tasks that the typical worker's answer would tell most about (over 10 n tasks if
    these are more). Where that makes more than half a million pairs, over fewer of the best tasks, at least 2 n, and of
    the workers whose answers to these tell most.

    Parameters
    ----------
    agg, answers, per_task_limit, budget, exclude, unanswered, settled, random_state
        As in :func:`next_tasks`. With ``answers``, nobody is asked what they have answered already.
    n : int
        How many pairs.
    strategy : 'expected_information' or 'expected_error_reduction'
        What an answer by that worker is expected to tell about the label, in nats, or to add to the chance that the
        label is right.
    workers : worker ids, optional
        Who can be asked; all workers of the model if omitted.
    per_worker_limit : int, optional
        Most tasks for one worker.
    costs : number, Series or mapping from worker to number, or DataFrame with columns worker and cost, optional
        Cost of one answer of each worker.

    Returns
    -------
    DataFrame
        ``task``, ``worker``, ``label``, ``confidence``, ``score``, ``expected_gain``.

    Raises
    ------
    NotFittedError, ParameterError, DataError, FormError
    """
    checks.count("n", n)
    if strategy not in criteria.VALUE:
        raise ParameterError(
            f"strategy must be one of {first_few(criteria.VALUE)} for pairs, not {strategy!r}."
        )
    limit = n if per_worker_limit is None else checks.count("per_worker_limit", per_worker_limit)
    rng, exclude = checks.generator(random_state), checks.ids("exclude", exclude)
    consensus = Consensus.of(agg, answers).with_unanswered(unanswered)
    asked = consensus.workers
    if workers is not None:
        asked = pd.Index(checks.ids("workers", workers, "worker"), tupleize_cols=False).unique()
    k = len(consensus.classes)
    known = consensus.required_tables() if len(asked) else FullTables(np.zeros((0, k, k)))
    who_asked = consensus.places_of(asked)
    cost = costs_of(costs, asked, "worker")
    open_ = _open(consensus, exclude, per_task_limit, checks.non_negative("settled", settled))
    typical = np.zeros(len(open_))
    if len(open_):
        table = consensus.typical_table()
        typical = shortlist.of_table("expected_information", consensus.posterior[open_], table)
    purse, n_most = purse_of(budget, cost if len(open_) else cost[:0], n)
    most = max(2 * n_most, min(max(_PAIR_TASKS, 10 * n_most), _PAIRS // max(len(asked), 1)))
    tasks = open_[ranking.first(ranking.keys_of(typical, np.zeros(len(open_)), rng), most)]
    posterior = consensus.posterior[tasks]
    if len(asked) * len(tasks) > _PAIRS:
        needed = max(_PAIRS // len(tasks), 2 * -(-n_most // limit))
        sample = posterior[np.linspace(0, len(posterior) - 1, _SAMPLE).astype(np.int64)]
        worth = shortlist.of_workers(strategy, sample, known, who_asked).mean(axis=0) / cost
        some = np.sort(np.argsort(-worth, kind="stable")[:needed])  # in their own order
        asked, who_asked, cost = asked.take(some), who_asked[some], cost[some]
    value = shortlist.of_workers(strategy, posterior, known, who_asked) / cost
    value[_answered(consensus, tasks, asked)] = -1.0
    pairs = ranking.assigned(value, n_most, limit, rng, cost, purse)
    row, who = pairs[:, 0], pairs[:, 1]
    free = value > 0
    free[row] = False
    free[:, np.bincount(who, minlength=len(asked)) >= limit] = False
    if not free.any():  # else there are n, or the budget is spent
        _say_how_many(n, len(pairs), consensus.n_tasks, "pairs")
    gain = np.zeros(len(row))
    for one in np.unique(who):
        mine = who == one
        by_worker = shortlist.of_workers(
            "expected_error_reduction", posterior[row[mine]], known, who_asked[[one]]
        )
        gain[mine] = by_worker[:, 0]
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


def labels_of(consensus: Consensus, tasks: IntArray) -> pd.Series:
    """Return the labels of some tasks in the caller's own dtype, missing where there are none."""
    from deem_crowd.data import index

    return index.take(consensus.classes, consensus.labels[tasks], "label").reset_index(drop=True)


# ------------------------------------------------------------------ helpers


def _check_strategy(strategy: Any) -> None:
    if not callable(strategy) and strategy not in STRATEGIES:
        raise ParameterError(
            f"strategy {strategy!r} is not known; it is one of {first_few(STRATEGIES, len(STRATEGIES))}, or a callable."
        )


def _costs(costs: Any, consensus: Consensus, exclude: list[Hashable]) -> FloatArray:
    """Return the cost of each task, shape (N,); tasks that are excluded need none."""
    needed = ~consensus.tasks.isin(exclude)
    cost = np.ones(consensus.n_tasks)
    cost[needed] = costs_of(costs, consensus.tasks[needed], "task")
    return cost


def _open(
    consensus: Consensus, exclude: list[Hashable], per_task_limit: int | None, settled: float
) -> IntArray:
    """Return the tasks that may be asked about."""
    keep = ~checks.left_out(exclude, consensus.tasks)
    keep &= criteria.entropy(consensus.posterior) > settled
    if per_task_limit is not None:
        checks.count("per_task_limit", per_task_limit)
        consensus.required_answers("per_task_limit")
        assert consensus.n_answers is not None
        keep &= consensus.n_answers < per_task_limit
    return np.flatnonzero(keep)


def _scores(
    strategy: Strategy,
    consensus: Consensus,
    tasks: IntArray,
    table: FloatArray | None,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return the score of each of M tasks, and what settles ties among them; shapes (M,)."""
    posterior = consensus.posterior[tasks]
    level = np.zeros(len(tasks))
    if callable(strategy):
        return _of_callable(strategy(posterior), len(tasks)), level
    if strategy == "random":
        return rng.random(len(tasks)), level
    if strategy == "least_confidence_per_answer":
        consensus.required_answers("least_confidence_per_answer")
        assert consensus.n_answers is not None
        return criteria.least_confidence(posterior) / (1 + consensus.n_answers[tasks]), level
    if strategy == "fusion":
        return criteria.least_confidence(posterior), level
    if strategy in criteria.VALUE and table is not None:
        information = shortlist.of_table("expected_information", posterior, table)
        return shortlist.of_table(strategy, posterior, table), information
    if not len(tasks):
        return level, level
    return criteria.UNCERTAINTY[strategy](posterior), level


def _of_callable(returned: Any, n: int) -> FloatArray:
    """Return the scores of N tasks that a caller's strategy gives, shape (N,)."""
    try:
        score = np.asarray(returned, dtype=np.float64)
    except (TypeError, ValueError):
        score = np.zeros(0)
    if score.shape != (n,):
        got = f"an array of shape {np.shape(returned)}, dtype {np.asarray(returned).dtype}"
    elif not ((score >= 0) & np.isfinite(score)).all():
        wrong = np.flatnonzero(~((score >= 0) & np.isfinite(score)))
        got = f"{len(wrong)} of {n} scores that are negative, missing or infinite ({first_few(score[wrong])})"
    else:
        return score
    raise ParameterError(
        f"strategy returned {got}; it takes the posterior, shape (N, K), and returns N finite numbers of at least 0: "
        f"here ({n},)."
    )


def _fusion(
    posterior: FloatArray, cost: FloatArray, n: int, every: int, rng: np.random.Generator
) -> IntArray:
    """Return n tasks drawn from the best n/2 of each of the three criteria (CEAL_FUSION), all if they are fewer.

    Others follow, in the order of the first criterion, until there are ``every`` tasks (at least n).
    """
    half = -(-n // 2)
    none = np.zeros(len(posterior))
    rankings = [
        ranking.first(ranking.keys_of(criterion(posterior) / cost, none, rng), every)
        for criterion in criteria.UNCERTAINTY.values()
    ]
    union = np.unique(np.concatenate([best[:half] for best in rankings]))
    batch = rng.permutation(union)[:n]
    # where the three agree, fewer than n are united: go on down the list of the first criterion
    rest = rankings[0][~np.isin(rankings[0], batch)]
    return np.concatenate([batch, rest[: max(every - len(batch), 0)]])


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


def _say_how_many(wanted: int, n_there: int, n_tasks: int, what: str) -> None:
    if n_there == 0:
        why = "settled, excluded or at their limit"
        if what == "pairs":
            why = "settled, excluded, at their limit or answered by all who can be asked"
        warn(
            f"no {what} are left to ask: of {n_tasks} tasks all are {why}.",
            DataWarning,
        )
    elif n_there < wanted:
        warn(f"{wanted} {what} were asked for, {n_there} are left.", DataWarning)
