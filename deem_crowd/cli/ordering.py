"""The order of classes that text files give as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deem_crowd.data.answers import Answers


def by_value(answers: Answers) -> Answers:
    """Put classes that are texts of numbers in the order of these; others are left as they are.

    Decimals in CSV are text, so that they come back as they were written.
    """
    import numpy as np
    import pandas as pd

    classes = answers.classes
    if isinstance(classes, pd.CategoricalIndex) or not all(isinstance(c, str) for c in classes):
        return answers
    values = pd.to_numeric(classes.to_series(), errors="coerce").to_numpy(np.float64)
    if not np.isfinite(values).all() or len(np.unique(values)) < len(values):
        return answers
    order = np.argsort(values)
    texts = pd.CategoricalIndex(classes[order], classes[order], ordered=True, name=classes.name)
    return answers.select(classes=(np.argsort(order), texts))
