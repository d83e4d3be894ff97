"""Agreement of a panel in one call, from the answers alone."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from deem_crowd.data.answers import Answers
from deem_crowd.data.index import numbers_in_text, require_order
from deem_crowd.exceptions import DataError, ParameterError, counted
from deem_crowd.insight import pairs
from deem_crowd.insight.coefficients import Interval, panel_coefficients, vote_counts, vote_patterns
from deem_crowd.insight.results import coded_classes
from deem_crowd.plugins.registry import get_adapter
from deem_crowd.selection.pairs import Pairs

_RESAMPLES = 500


@dataclass(frozen=True, repr=False)
class Agreement:
    """How far the workers of a panel agree.

    Attributes
    ----------
    alpha_nominal, alpha_ordinal, alpha_interval, fleiss_kappa : Interval
        ``(value, low, high)``: the coefficient and its bootstrap interval over tasks. ``alpha_ordinal`` is NaN where
        the classes have no order, ``alpha_interval`` where they are no finite numbers.
    pairs : DataFrame
        Index (``worker``, ``other``), columns ``common`` (tasks that both answered), ``observed`` (share on which they
        agree), ``kappa`` (Cohen's), ``low``, ``high``; the pair that agrees least stands first. Where classes have an
        order, ``weighted_kappa`` as well: Cohen's κ with squared distances between classes as weights.
    disputed : DataFrame
        Index ``task``, columns ``answers``, ``disagreement`` (share of the pairs of answers that differ), ``label``
        (the most frequent one) and ``votes`` (its share); tasks on which somebody disagrees, worst first.
    n_tasks : int
        Tasks with two answers or more; the coefficients rest on them.
    left_out : int
        Workers that the pairs leave out, because others have more answers.
    level : float
        Of the intervals.
    """

    alpha_nominal: Interval
    alpha_ordinal: Interval
    alpha_interval: Interval
    fleiss_kappa: Interval
    pairs: pd.DataFrame
    disputed: pd.DataFrame
    n_tasks: int
    left_out: int
    level: float

    def __repr__(self) -> str:
        names = {
            "Krippendorff's alpha, nominal": self.alpha_nominal,
            "Krippendorff's alpha, ordinal": self.alpha_ordinal,
            "Krippendorff's alpha, interval": self.alpha_interval,
            "Fleiss' kappa": self.fleiss_kappa,
        }
        lines = [
            f"{name:<30} {value.value:6.3f}  [{value.low:.3f}, {value.high:.3f}]"
            for name, value in names.items()
            if np.isfinite(value.value)
        ] or ["all answers are the same, so that no coefficient is defined"]
        lines += [
            f"{counted(len(self.pairs), 'pair')} of workers; Cohen's kappa in .pairs",
            f"disputed: {len(self.disputed):,} of {counted(self.n_tasks, 'task')} with two answers or more; see "
            ".disputed",
        ]
        return "\n".join(lines)


def agreement(
    data: Any,
    *,
    task: Hashable | None = None,
    worker: Hashable | None = None,
    label: Hashable | None = None,
    ordered: bool | None = None,
    n_resamples: int = _RESAMPLES,
    level: float = 0.95,
    max_workers: int = pairs.MAX_WORKERS,
    random_state: int | None = None,
) -> Agreement:
    """Measure how far workers agree: Krippendorff's α, Fleiss' κ, Cohen's κ of each pair, and the tasks in dispute.

    Parameters
    ----------
    data : DataFrame, Answers, or whatever ``deem_crowd_adapters.to_answers`` reads
        One row an answer: columns ``task``, ``worker``, ``label``. Also files, other tables and matrices (N, D).
    task, worker, label : hashable, optional
        The names of these columns, if they have others.
    ordered : bool, optional
        Whether classes have an order, which ordinal and interval α need. If omitted, numbers (as text, too) and ordered
        categories have one; False takes numbers for names.
    n_resamples : int
        Bootstrap resamples of the tasks for α and Fleiss' κ; 0 leaves their intervals NaN. Pairs have intervals by
        their standard error, clipped to [−1, 1].
    level : float
        Of the intervals, between 0 and 1.
    max_workers : int
        Of more workers than this, those with most answers are compared in pairs.
    random_state : int, optional
        Seed of the bootstrap; None is 0.

    Returns
    -------
    Agreement

    Raises
    ------
    MissingColumnError, DataError
        Also if no task has two answers, or with ``ordered=True`` labels that are names.
    FormError
        For soft answers.
    ParameterError

    Examples
    --------
    >>> import pandas as pd
    >>> from deem_crowd import agreement
    >>> rows = [["t1", "ann", "cat"], ["t1", "bob", "cat"], ["t2", "ann", "dog"],
    ...         ["t2", "bob", "dog"], ["t3", "ann", "cat"], ["t3", "bob", "dog"]]
    >>> found = agreement(pd.DataFrame(rows, columns=["task", "worker", "label"]), n_resamples=0)
    >>> print(f"{found.alpha_nominal.value:.2f}")
    0.44
    >>> found.disputed.index.tolist()
    ['t3']
    """
    if not 0 < level < 1:
        raise ParameterError(f"level={level!r} is not between 0 and 1, such as 0.95.")
    if n_resamples < 0:
        raise ParameterError(f"n_resamples={n_resamples!r} is negative; 0 leaves intervals out.")
    if max_workers < 2:
        raise ParameterError(f"max_workers={max_workers!r} makes no pair: it is 2 at least.")
    answers, numbers = by_value(_read(data, {"task": task, "worker": worker, "label": label}))
    patterns = vote_patterns(answers)
    if patterns.n_tasks == 0:
        raise DataError(
            f"none of the {answers.n_tasks:,} tasks has two answers, so there is no agreement to measure. Ask a second "
            "worker for some of the tasks."
        )
    if ordered and numbers is None:
        require_order(answers.classes)
    if ordered is None:
        ordered = numbers is not None or has_order(answers.classes)
    numbers = numbers if ordered else None
    generator = np.random.default_rng(0 if random_state is None else random_state)
    counts = pairs.count_pairs(answers, max_workers)
    n_active = len(np.unique(answers.worker))
    return Agreement(
        **panel_coefficients(patterns, ordered, n_resamples, level, generator, numbers),
        pairs=_pair_table(answers, counts, level, ordered),
        disputed=disputed_tasks(answers),
        n_tasks=patterns.n_tasks,
        left_out=n_active - len(counts.sources),
        level=level,
    )


def _read(data: Any, names: dict[str, Hashable | None]) -> Answers:
    """Return answers in whatever form they come; ``names`` has the columns' other names, or None."""
    given = {part: name for part, name in names.items() if name is not None}
    if isinstance(data, pd.DataFrame) and data.columns.name != "worker":
        return Answers.from_frame(data, **given)  # type: ignore[arg-type]
    answers: Answers = get_adapter("any")(data, **given)
    return answers


def by_value(answers: Answers) -> tuple[Answers, npt.NDArray[np.float64] | None]:
    """Return answers with classes sorted by value, if they are numbers or texts of numbers, and these, shape (K,).

    Classes stay as they are, with None for the numbers, where they are names, categories, the same number twice, or
    not all finite.
    """
    classes = answers.classes
    numbers: npt.NDArray[np.float64] | None
    if isinstance(classes, pd.CategoricalIndex):
        return answers, None
    if has_order(classes):
        numbers = classes.to_numpy(np.float64)
        return answers, numbers if np.isfinite(numbers).all() else None
    numbers = numbers_in_text(classes)
    if numbers is None or not np.isfinite(numbers).all() or len(set(numbers)) < len(numbers):
        return answers, None
    order = np.argsort(numbers)
    return coded_classes(answers, classes.take(order)), numbers[order]


def has_order(classes: pd.Index) -> bool:
    """Tell whether classes have an order of their own: numbers, or ordered categories."""
    if isinstance(classes, pd.CategoricalIndex):
        return bool(classes.ordered)
    classes = classes.infer_objects()  # a column of objects may hold nothing but numbers
    return pd.api.types.is_numeric_dtype(classes) and not pd.api.types.is_bool_dtype(classes)


def disputed_tasks(answers: Answers) -> pd.DataFrame:
    """Return the tasks whose answers differ, worst first; see :class:`Agreement`."""
    votes = vote_counts(answers)
    votes.sum_duplicates()
    sizes = np.diff(answers.task_ptr).astype(np.float64)
    squares = np.asarray(votes.power(2).sum(axis=1)).ravel()
    pairs_of_answers = np.maximum(sizes * (sizes - 1), 1)
    disagreement = np.where(sizes > 1, 1 - (squares - sizes) / pairs_of_answers, 0.0)
    open_ = np.flatnonzero(disagreement > 1e-12)
    order = open_[np.lexsort((-sizes[open_], -disagreement[open_]))]
    part = votes[order]
    most = np.asarray(part.max(axis=1).todense()).ravel() if len(order) else np.zeros(0)
    label = part.argmax(axis=1) if len(order) else np.zeros(0, dtype=np.int64)
    return pd.DataFrame(
        {
            "answers": sizes[order].astype(np.int64),
            "disagreement": disagreement[order],
            "label": answers.classes.take(np.asarray(label).ravel()),
            "votes": most / np.maximum(sizes[order], 1),
        },
        index=answers.tasks.take(order),
    )


def weighted_kappa(answers: Answers, sources: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return Cohen's κ of n sources in pairs, with squared distances between classes as weights, shape (n, n).

    κ = 1 − E[(x − y)²] / E[(x − y')²], where x and y are the places of the two answers to a task among the ordered
    classes, and y' is y of another task (Cohen, Psychological Bulletin 70, 1968). NaN where two sources share no task
    or say one and the same label only.

    Parameters
    ----------
    answers : Answers
        Hard ones.
    sources : shape (n,)
        Positions among the workers.
    """
    task = np.repeat(np.arange(answers.n_tasks), np.diff(answers.task_ptr))
    place = np.full(answers.n_workers, -1)
    place[sources] = np.arange(len(sources))
    row, step = place[answers.worker], answers.hard_label.astype(np.float64)
    at, shape = (row[row >= 0], task[row >= 0]), (len(sources), answers.n_tasks)
    there = sparse.csr_array((np.ones(len(at[0])), at), shape=shape)
    said = sparse.csr_array((step[row >= 0], at), shape=shape)
    common = (there @ there.T).toarray()
    shared = np.maximum(common, 1)
    # mean[i, j] is over what source i says on the tasks that it shares with source j
    mean = (said @ there.T).toarray() / shared
    square = (said.power(2) @ there.T).toarray() / shared
    squares = square + square.T
    distance = squares - 2 * (said @ said.T).toarray() / shared
    by_chance = squares - 2 * mean * mean.T
    defined = (common > 0) & (by_chance > 1e-12)
    return np.where(defined, 1 - distance / np.where(defined, by_chance, 1), np.nan)


def _pair_table(answers: Answers, counts: Pairs, level: float, ordered: bool) -> pd.DataFrame:
    from scipy import special

    kappa = counts.kappa
    left, right = np.nonzero(np.triu(counts.common > 0, 1))
    values = kappa[left, right]
    order = np.argsort(values, kind="stable")  # NaN last
    left, right, values = left[order], right[order], values[order]
    reach = special.ndtri((1 + level) / 2) * counts.standard_error()[left, right]
    table = pd.DataFrame(
        {
            "common": counts.common[left, right].astype(np.int64),
            "observed": counts.agreed[left, right],
            "kappa": values,
            "low": np.clip(values - reach, -1, 1),
            "high": np.clip(values + reach, -1, 1),
        },
        index=pair_index(answers.workers, counts.sources[left], counts.sources[right]),
    )
    if ordered:
        table["weighted_kappa"] = weighted_kappa(answers, counts.sources)[left, right]
    return table


def pair_index(workers: pd.Index, left: npt.NDArray[Any], right: npt.NDArray[Any]) -> pd.MultiIndex:
    """Return an index (``worker``, ``other``) of pairs of workers, given by their positions."""
    levels: list[Any] = [workers, workers]
    return pd.MultiIndex(
        levels=levels, codes=[left.tolist(), right.tolist()], names=["worker", "other"]
    )
