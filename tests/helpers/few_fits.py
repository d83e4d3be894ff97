"""Fits with features that are short: few parts, folds and divisions, where how many there are is not the question."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

FEW = {"guard.PARTS": 2, "guard._ROUNDS": 1, "partitions.FOLDS": 2, "partitions.MOST_FITS": 2}


def shorten(patched: pytest.MonkeyPatch) -> None:
    for name, value in FEW.items():
        patched.setattr(f"deem_crowd.features.{name}", value)


@pytest.fixture
def few_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one test."""
    shorten(monkeypatch)


@pytest.fixture(scope="module")
def few_fits_throughout() -> Iterator[None]:
    """For the tests of a module, and for what they share."""
    with pytest.MonkeyPatch.context() as patched:
        shorten(patched)
        yield
