"""Fits that a module of tests asks for again, most of them by commands, made once: by what they are made of."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def same_fits_once() -> Iterator[None]:
    """Make a fit of other parameters or data anew; one that was made before is copied, with what it warned of."""
    import joblib  # here, since every process that hands out tests loads this file

    from deem_crowd import DEEMAggregator

    fit, made = DEEMAggregator.fit, {}

    def once(model: DEEMAggregator, *args: Any, **named: Any) -> DEEMAggregator:
        key = joblib.hash((model.get_params(), args, named))
        if key not in made:
            fresh = copy.copy(model)
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                fit(fresh, *args, **named)
            made[key] = vars(fresh), said
        state, said = made[key]
        vars(model).update(copy.deepcopy(state))
        for one in said:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        return model

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DEEMAggregator, "fit", once)
        yield
