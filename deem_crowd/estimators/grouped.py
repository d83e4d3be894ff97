"""Groups of workers as the user names them, by the ids of workers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.exceptions import DataWarning, ParameterError, counted, first_few
from deem_crowd.runtime.warning import warn

Groups = Mapping[str, Sequence[Hashable]]


def numbers(groups: Groups | None, workers: pd.Index) -> npt.NDArray[np.int64] | None:
    """Return the number of each worker's group, shape (D,), −1 for none; None without groups.

    Parameters
    ----------
    groups : mapping of str to list of hashable, optional
        Ids of workers that share errors, by the name of their group.
    workers : Index, length D

    Raises
    ------
    ParameterError
        If ``groups`` is no such mapping, or a worker is in two groups.

    Warns
    -----
    DataWarning
        Of ids that no worker has.
    """
    if groups is None:
        return None
    group_of = np.full(len(workers), -1, dtype=np.int64)
    strangers: list[Hashable] = []
    twice: list[Hashable] = []
    for number, members in enumerate(_lists(groups)):
        place = workers.get_indexer(pd.Index(members, dtype=object, tupleize_cols=False))
        strangers += [member for member, at in zip(members, place, strict=True) if at < 0]
        there = np.unique(place[place >= 0])
        twice += [workers[at] for at in there[group_of[there] >= 0]]
        group_of[there] = number
    if twice:
        raise ParameterError(
            f"groups: {counted(len(twice), 'worker is', 'workers are')} in more than one group: "
            f"{first_few(pd.Index(twice, dtype=object))}. "
            "Leave each in one; groups that share members are one group."
        )
    if strangers:
        warn(
            f"groups: {counted(len(strangers), 'worker is', 'workers are')} not among the {len(workers)} of the "
            "answers: "
            f"{first_few(pd.Index(strangers, dtype=object))}. Those that are: {first_few(workers)}.",
            DataWarning,
        )
    return group_of


def check(groups: Groups | None) -> None:
    """Check that ``groups`` is a mapping of lists of ids, or None.

    Raises
    ------
    ParameterError
    """
    if groups is not None:
        _lists(groups)


def _lists(groups: Groups) -> list[list[Hashable]]:
    if not isinstance(groups, Mapping):
        raise ParameterError(
            f"groups={groups!r} is not allowed: it is a dict of lists of workers, such as "
            "{'llama': ['llama-8b', 'llama-70b']}, or None."
        )
    for name, members in groups.items():
        if isinstance(members, str) or not isinstance(members, Sequence | pd.Index | np.ndarray):
            raise ParameterError(
                f"groups: the members of {name!r} are {members!r}; give a list of workers, such as ['llama-8b']."
            )
        strange = [member for member in members if not isinstance(member, Hashable)]
        if strange:
            raise ParameterError(
                f"groups: {len(strange)} members of {name!r} are no ids of workers: {first_few(strange)}. Give a flat "
                "list, such as ['llama-8b', 'llama-70b']."
            )
    return [list(members) for members in groups.values()]
