"""Whether true labels can score anything: of tasks that have answers, and of classes that somebody gave."""

from __future__ import annotations

import pandas as pd

from deem_crowd.exceptions import DataError, DataWarning, counted, first_few
from deem_crowd.runtime.warning import warn


def scorable(gold: pd.Series, tasks: pd.Index, classes: pd.Index, called: str) -> pd.Series:
    """Return the true labels of tasks that have answers; a warning says which others there are.

    Parameters
    ----------
    gold : Series
        Index task; missing values mean unknown.
    tasks, classes : Index
        The tasks that have answers, and the labels that workers gave.
    called : str
        What messages call the true labels: their file, say.

    Raises
    ------
    DataError
        If none is of a task that has answers, or all are of classes that no worker gave.
    """
    known = gold[gold.notna().to_numpy()]
    here = known.index.isin(tasks)
    if len(known) and not here.any():
        raise DataError(
            f"{called}: no task of its {counted(len(known), 'true label')} has answers. It names "
            f"{first_few(known.index)}; the answers name {first_few(tasks)}. Write the ids of tasks alike in both."
        )
    if not here.all():
        elsewhere = known.index[~here]
        warn(
            f"{called}: {counted(len(elsewhere), 'task has', 'tasks have')} no answers ({first_few(elsewhere)}), and "
            "nothing is scored there.",
            DataWarning,
        )
    check_classes(known[here], classes, called)
    return gold[gold.index.isin(tasks)]


def check_classes(gold: pd.Series, classes: pd.Index, called: str) -> None:
    """Warn of true labels that no worker gave: no method can be right there.

    Raises
    ------
    DataError
        If there is no other: every method would score nothing, most likely for want of the same spelling.
    """
    known = gold[gold.notna().to_numpy()]
    strange = known[~known.isin(classes).to_numpy()]
    if strange.empty:
        return
    named = first_few(strange.unique())
    if len(strange) == len(known):
        raise DataError(
            f"{called}: no worker gave any of its true labels ({named}), so that every method would be wrong on all "
            f"{counted(len(known), 'task')}. Labels given: {first_few(classes, 10)}. Write labels alike in both."
        )
    warn(
        f"{called}: {len(strange):,} of {counted(len(known), 'true label')} "
        f"{'is' if len(strange) == 1 else 'are'} of a class that no worker gave ({named}), and every method is wrong "
        "there. If the answers spell it otherwise, write labels alike in both.",
        DataWarning,
    )
