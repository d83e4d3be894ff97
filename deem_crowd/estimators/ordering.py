"""Whether the classes of a fit are ordered, and a warning if there are many of them."""

from __future__ import annotations

import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.data.index import require_order
from deem_crowd.exceptions import DataWarning
from deem_crowd.runtime.warning import warn

_MOST_STEPS = 200
"""Number of ordered classes above which tables become large."""


def classes_in_order(answers: Answers, asked: bool | None) -> bool:
    """Whether the classes are to be taken as ordered; two classes have nothing between them.

    Raises
    ------
    DataError
        If that is asked for, and nothing says in which order they are.
    """
    classes = answers.classes
    known = bool(classes.ordered) if isinstance(classes, pd.CategoricalIndex) else False
    if asked:
        require_order(classes)
    return (known if asked is None else asked) and len(classes) > 2


def warn_of_many_steps(n_classes: int) -> None:
    """Warn if there are so many ordered classes that tables become large."""
    if n_classes <= _MOST_STEPS:
        return
    message = (
        f"labels are ordered and have {n_classes} different values; each worker's table has as many rows "
        f"and columns. Round them to {_MOST_STEPS} steps or fewer: labels are as good, in less time and memory."
    )
    warn(message, DataWarning)
