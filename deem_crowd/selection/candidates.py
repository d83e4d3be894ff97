"""What the default model is chosen among, and the table that says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deem_crowd.model.design import DesignMatrix
from deem_crowd.training.em import Member

ONE_COIN = "one accuracy a worker"
TABLES = "a table a worker"
HIERARCHY = "a table a worker, drawn around its own accuracy"
HABITS = "a table a worker, drawn around what it knows and its habit"
ORDERED = "a table a worker, drawn around its bias and noise on ordered classes"
IN_ORDER = (
    "a table a worker, drawn around its bias and noise on classes in the order that answers show"
)
SUBTYPES = "tables for easy and hard tasks"
COPIES = "a table a worker, sources that repeat others count less"
FIELDS = "tables for each field that some sources know better"
PRESENCE = "who answered, and for which class"
FACTOR = "one factor of soft answers"
WITHOUT_GOLD = "the fit without gold"
REGRESSION = "a regression on the answers, trained on gold"
CORRECTED = "the fit without gold, corrected by gold"
VOTES = "the votes"
COMMON = "one skill for all workers"
OWN = "one skill a worker, averaged over its prior"
AVERAGED = "one skill a worker, averaged over a learned prior"
AVERAGED_BY_CLASS = "a skill a worker and class, averaged over a learned prior"

SAYS_ORDER = "; order: "
"""What stands before the order of the classes in the reason given for ordered tables."""

GROUPED = "as the groups say that were given"
"""In the reason of a candidate, chosen or left out, where sources count less for that."""

_NAN = float("nan")


@dataclass(frozen=True)
class Candidate:
    """A model that was considered.

    Attributes
    ----------
    name : str
    score : float
        Lower bound of the log evidence, in nats per answer; NaN where it decides nothing.
    difference, standard_error : float
        Log-likelihood of a task's answers above that of tables, in nats: the mean over tasks and its standard error.
    agreement : float
        H: how far it agrees with the others of the pool; NaN for what is not in it.
    weight : float
        What it counts in the pool.
    why : str
    """

    name: str
    score: float
    difference: float
    standard_error: float
    agreement: float
    weight: float
    why: str


def without_likelihood(name: str, weight: float, why: str, agreement: float = _NAN) -> Candidate:
    """Return the row of a candidate that has no likelihood of its own."""
    return Candidate(name, _NAN, _NAN, _NAN, agreement, weight, why)


def fallen_back(
    candidates: Sequence[Candidate], common: float = 1.0, grouped: bool = False
) -> list[Candidate]:
    """Return the table of a choice that was overruled because the answers show no label.

    ``common`` is the weight of one skill for all; skills averaged over their prior have the rest. ``grouped`` says
    whether sources count less, as the groups say that were given.
    """
    why = "chosen: the answers are explained as well without a hidden label"
    if grouped:
        why += f"; sources count less, {GROUPED}"
    chosen = [without_likelihood(COMMON, common, why)]
    if common < 1:
        counts = "weighted against one skill for all by its evidence"
        chosen.append(without_likelihood(OWN, 1 - common, counts))
    return [*(replace(c, weight=0.0) for c in candidates), *chosen]


class Rater:
    """Describes candidates next to one table a worker."""

    def __init__(self, design: DesignMatrix, tables: Member) -> None:
        self._design = design
        self._reference = tables.task_log_likelihood
        self._in_pool: dict[int, tuple[float, float]] = {}

    def in_pool(self, member: Member, agreement: float, weight: float) -> None:
        """Note that a member is in the pool, how far it agrees with the others, and what it counts."""
        self._in_pool[id(member)] = (agreement, weight)

    def candidate(self, name: str, member: Member, why: str) -> Candidate:
        """Return a row of the table; ``member`` may have been left out of the pool."""
        agreement, weight = self._in_pool.get(id(member), (_NAN, 0.0))
        gap = (member.task_log_likelihood - self._reference).double()
        n, mean = self._design.n_tasks_in_all, self._design.mean(gap)
        squares = float(self._design.total((gap - mean).square()))
        return Candidate(
            name,
            member.bound / max(self._design.n_answers_in_all, 1),
            mean if n else _NAN,
            (squares / (n - 1) / n) ** 0.5 if n > 1 else _NAN,
            agreement,
            weight,
            why,
        )
