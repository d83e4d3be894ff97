"""Whether true labels can score anything: they are of tasks that have answers, and of classes that workers gave."""

from __future__ import annotations

import pandas as pd

from deem_crowd.exceptions import DataError, DataWarning, counted, first_few
from deem_crowd.runtime.warning import warn


def scorable(gold: pd.Series, tasks: pd.Index, classes: pd.Index, called: str) -> pd.Series:
    """Return the true labels of tasks that have answers; a warning says which tasks have none.

    Parameters
    ----------
    gold : Series
        Index task; missing values mean unknown.
    tasks, classes : Index
        The tasks that have answers, and the labels that workers gave.
    called : str
        What messages call the true labels, such as the name of their file.

    Raises
    ------
    DataError
        If no task of theirs has answers, or all of them are of classes that no worker gave.
    """
    known = gold[gold.notna().to_numpy()]
    here = known.index.isin(tasks)
    if len(known) and not here.any():
        raise DataError(
            f"{called}: {counted(len(known), 'true label')}, but no answers to the same tasks. True labels name "
            f"{first_few(known.index)}; answers name {first_few(tasks)}. Write the ids of tasks alike in both."
        )
    if not here.all():
        elsewhere = known.index[~here]
        warn(
            f"{called}: {counted(len(elsewhere), 'task has', 'tasks have')} no answers ({first_few(elsewhere)}) and "
            f"{'is' if len(elsewhere) == 1 else 'are'} not scored.",
            DataWarning,
        )
    check_classes(known[here], classes, called)
    return gold[gold.index.isin(tasks)]


def check_classes(gold: pd.Series, classes: pd.Index, called: str) -> None:
    """Warn of true labels that no worker gave: on their tasks no method can be right.

    Raises
    ------
    DataError
        If there are no others: every method would score 0, most likely because labels are spelled differently.
    """
    known = gold[gold.notna().to_numpy()]
    strange = known[~known.isin(classes).to_numpy()]
    if strange.empty:
        return
    named = first_few(strange.unique())
    if len(strange) == len(known):
        raise DataError(
            f"{called}: no worker gave any of its true labels ({named}), so every method would be wrong on every task "
            f"({len(known):,}). Labels given: {first_few(classes, 10)}. Write labels alike in both."
        )
    warn(
        f"{called}: {len(strange):,} of {counted(len(known), 'true label')} "
        f"{'is' if len(strange) == 1 else 'are'} of a class that no worker gave ({named}), so every method is wrong "
        "there. If the answers spell it differently, write labels alike in both.",
        DataWarning,
    )
