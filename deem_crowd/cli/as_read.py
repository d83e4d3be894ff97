"""What the shell makes of ids and classes in files: bytes become text, and numbers in text get their order."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from deem_crowd.data.answers import Answers


def text_of(value: Any) -> str:
    """Return an id or a label as text."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


_WHOLE = re.compile(r"(-?\d+)\.0+")
"""A whole number as programs write a column of them in which some are missing: pandas writes 1.0 for 1."""


def whole_alike(values: pd.Series, model: pd.Series) -> pd.Series:
    """Return ``values`` with 1.0 as 1, or 1 as 1.0, where ``model`` has only the other."""
    import pandas as pd

    lost = (values.notna() & ~values.isin(model)).to_numpy()
    known = {_as_whole(value): value for value in model.dropna().unique()} if lost.any() else {}
    found = {
        place: known.get(_as_whole(values.iloc[place])) for place in lost.nonzero()[0].tolist()
    }
    met = [place for place, value in found.items() if value is not None]
    if not met:
        return values  # in their own dtype
    alike = values.astype(object)
    alike.iloc[met] = pd.Series([found[place] for place in met], dtype=object).to_numpy()
    return alike.infer_objects()


def _as_whole(value: Any) -> str:
    text = text_of(value)
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def with_text(answers: Answers) -> Answers:
    """Return answers whose ids and classes are text where files hold them as bytes, as many parquet files do."""
    return dataclasses.replace(
        answers,
        tasks=_decoded(answers.tasks),
        workers=_decoded(answers.workers),
        classes=_decoded(answers.classes),
    )


def _decoded(ids: pd.Index) -> pd.Index:
    import pandas as pd

    if isinstance(ids, pd.CategoricalIndex):
        texts = _decoded(ids.categories)
        return ids if texts is ids.categories else ids.rename_categories(texts.tolist())
    if ids.dtype != object or not len(ids) or not all(isinstance(one, bytes) for one in ids):
        return ids
    try:
        return pd.Index([one.decode() for one in ids], name=ids.name)
    except UnicodeDecodeError:
        return ids


def by_value(answers: Answers) -> Answers:
    """Order classes that are numbers written as text by their values; leave others as they are.

    Decimals in CSV are text, so that they come back as they were written. Where two texts are the same number, a
    warning says so, and classes are left as they are: a method that needs an order then refuses them.
    """
    import numpy as np
    import pandas as pd

    from deem_crowd.data.index import numbers_in_text
    from deem_crowd.exceptions import DataWarning, first_few
    from deem_crowd.runtime.warning import warn

    classes = answers.classes
    values = None if isinstance(classes, pd.CategoricalIndex) else numbers_in_text(classes)
    if values is None:
        return answers
    again = values[pd.Index(values).duplicated()]
    if len(again):
        warn(
            f"labels {first_few(classes[values == again[0]])} are one number written in several ways, so classes have "
            "no order. Write each number in one way in the file.",
            DataWarning,
        )
        return answers
    order = np.argsort(values)
    texts = pd.CategoricalIndex(classes[order], classes[order], ordered=True, name=classes.name)
    return answers.select(classes=(np.argsort(order), texts))
