"""Masked arrays: their masks get lost in what numpy, torch and scikit-learn make of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from deem_crowd.exceptions import FormError, counted


def refuse_masked(values: Any, what: str, remedy: str) -> None:
    """Raise :class:`FormError` if entries of an array are masked: what stands below the mask would count.

    ``what`` is a plural that the message begins with, and ``remedy`` a sentence.
    """
    if not (isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values)):
        return
    hidden = int(np.ma.getmaskarray(values).sum())
    raise FormError(
        f"{what} are a masked array with {counted(hidden, 'masked entry', 'masked entries')}, and a mask gets lost on "
        f"the way. {remedy}"
    )
