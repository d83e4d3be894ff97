"""Which tasks may be asked about, their labels, and a warning where they are too few."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import index
from deem_crowd.decide import checks, criteria
from deem_crowd.decide.consensus import Consensus
from deem_crowd.exceptions import DataWarning
from deem_crowd.runtime.warning import warn

IntArray = npt.NDArray[np.int64]


def open_tasks(
    consensus: Consensus, exclude: list[Hashable], per_task_limit: int | None, settled: float
) -> IntArray:
    """Return the tasks that may be asked about, in order."""
    keep = ~checks.left_out(exclude, consensus.tasks)
    keep &= criteria.entropy(consensus.posterior) > settled
    if per_task_limit is not None:
        checks.count("per_task_limit", per_task_limit)
        consensus.required_answers("per_task_limit")
        assert consensus.n_answers is not None
        keep &= consensus.n_answers < per_task_limit
    return np.flatnonzero(keep)


def labels_of(consensus: Consensus, tasks: IntArray) -> pd.Series:
    """Return the labels of some tasks in the caller's own dtype, missing where there are none."""
    return index.take(consensus.classes, consensus.labels[tasks], "label").reset_index(drop=True)


def say_how_many(
    wanted: int, n_there: int, consensus: Consensus, what: str, limit: str = ""
) -> None:
    """Warn if fewer are left than were asked for, and say which limit leaves no more."""
    n_tasks = consensus.n_tasks
    if not len(consensus.classes):
        warn(
            "there are no answers yet to rank tasks by. Have some tasks answered first, picked at random.",
            DataWarning,
        )
    elif n_there == 0:
        why = "settled, excluded or at their limit"
        if what == "pairs":
            why = "settled, excluded, at their limit or answered by all who can be asked"
        whole = "the only task is" if n_tasks == 1 else f"of {n_tasks} tasks all are"
        warn(
            f"no {what} are left to ask: {whole} {why}.",
            DataWarning,
        )
    elif n_there < wanted:
        warn(
            f"{wanted} {what} were asked for, {n_there} {'is' if n_there == 1 else 'are'} left{limit}.",
            DataWarning,
        )
