"""Which tasks to have answered next."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.lookup import are_among
from deem_crowd.decide import checks, criteria, diversity, ranking, shortlist
from deem_crowd.decide.consensus import Consensus
from deem_crowd.decide.costs import bought, costs_of, purse_of
from deem_crowd.decide.to_ask import labels_of, open_tasks, say_how_many
from deem_crowd.decide.together import another_answer
from deem_crowd.exceptions import ParameterError, counted_of, first_few

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

# With features: a batch is chosen among this many times as many tasks as it shall hold, at most.
_POOL = 5


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
    diversify: diversity.Diversity | None = "k-center",
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
        Tasks nobody has answered yet, beside those of the model; their posterior is the class prior, or what
        ``features`` say.
    worker : optional
        Who will answer: the expected gain is then that of this worker's table, else of the typical worker's.
    settled : float
        Tasks whose posterior has at most this entropy, in nats, are left out; 0 leaves out tasks of known label.
    features : array of shape (N, P), or DataFrame indexed by task, optional
        Among tasks that score about as much as the n-th (4/5 to 5/4 of it), the batch then takes those that lie far
        apart; at most the best 5 n are considered. Tasks that may be asked need a row, unless ``diversify`` is None. An
        array has the model's tasks in order, then those of ``unanswered``. After a fit with features these are theirs:
        they also say which label ``unanswered`` tasks are likely to have.
    diversify : 'k-center', 'k-means++' or None
        How the batch is spread; see :mod:`deem_crowd.decide.diversity`. None goes by score alone.
    random_state : int, optional
        Seed for ties and draws; None is 0.

    Returns
    -------
    DataFrame
        A row a task: ``task``; ``label``, the current one, missing where there is none; ``confidence``, its posterior;
        ``score``, higher is asked first; ``expected_gain``, by how much one answer is expected to raise the chance
        that the label is right (missing where no tables are known), less than an independent answer would add
        where answers to a task are right or wrong together (:mod:`deem_crowd.decide.together`). It is 0 where no single
        answer can change the label, though two may. Empty, with a warning, if no task is left.

    Raises
    ------
    NotFittedError, ParameterError, DataError, FormError
    """
    checks.count("n", n)
    _check_strategy(strategy)
    rng, exclude = checks.generator(random_state), checks.ids("exclude", exclude)
    consensus = Consensus.of(agg, answers).with_unanswered(unanswered, features)
    cost = _costs(costs, consensus, exclude)
    open_ = open_tasks(consensus, exclude, per_task_limit, checks.non_negative("settled", settled))
    purse, n_most = purse_of(budget, cost[open_], n)
    n_open, open_ = len(open_), open_[cost[open_] <= purse]
    matrix = None
    if features is not None and diversify is not None:
        matrix = diversity.feature_matrix(features, consensus.tasks, open_)
    posterior = consensus.posterior[open_]
    table = None
    if len(open_) and (strategy in criteria.VALUE or consensus.knows_workers):
        table = consensus.typical_table() if worker is None else consensus.table_of(worker)
    score, tie = _scores(strategy, consensus, open_, table, rng)
    score, tie = score / cost[open_], tie / cost[open_]
    most = n_most if matrix is None else _POOL * n_most
    every = most if budget is None else len(open_)
    if strategy == "fusion":
        chosen = _fusion(posterior, cost[open_], most, every, rng)
    else:
        chosen = ranking.first(ranking.keys_of(score, tie, rng), every)
    if matrix is not None and diversify is not None:
        pool, others = chosen[:most], chosen[:0]
        in_order = n_most if budget is None else len(bought(cost[open_[chosen]], purse)[:n])
        spread = diversity.batch(matrix[pool], score[pool], tie[pool], in_order, diversify, rng)
        if budget is not None:  # what is skipped makes room for others
            others = chosen[~np.isin(chosen, pool[spread])]
        chosen = np.concatenate([pool[spread], others])
    if budget is not None:
        chosen = chosen[bought(cost[open_[chosen]], purse)[:n]]
    if len(chosen) == min(n, n_open):  # else the budget is spent
        say_how_many(n, n_open, consensus, "tasks")
    gain = np.full(len(chosen), np.nan)
    if table is not None:
        gain = shortlist.of_table("expected_error_reduction", posterior[chosen], table)
        gain = gain * another_answer(consensus)[open_[chosen]]
    return pd.DataFrame(
        {
            "task": consensus.tasks.take(open_[chosen]),
            "label": labels_of(consensus, open_[chosen]),
            "confidence": consensus.confidence[open_[chosen]],
            "score": score[chosen],
            "expected_gain": gain,
        }
    )


# ------------------------------------------------------------------ helpers


def _check_strategy(strategy: Any) -> None:
    if not callable(strategy) and strategy not in STRATEGIES:
        raise ParameterError(
            f"strategy {strategy!r} is not known; it is one of {first_few(STRATEGIES, len(STRATEGIES))}, or a callable."
        )


def _costs(costs: Any, consensus: Consensus, exclude: list[Hashable]) -> FloatArray:
    """Return the cost of each task, shape (N,); tasks that are excluded need none."""
    needed = ~are_among(consensus.tasks, pd.Index(exclude, tupleize_cols=False).unique())
    cost = np.ones(consensus.n_tasks)
    cost[needed] = costs_of(costs, consensus.tasks[needed], "task")
    return cost


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
        got = (
            f"{counted_of(len(wrong), n, 'score', 'that is', 'that are')} negative, missing or infinite "
            f"({first_few(score[wrong])})"
        )
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
