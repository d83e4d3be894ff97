"""Which of crowd-kit's aggregators work with the scikit-learn that is here."""

from __future__ import annotations

import pandas as pd
import pytest
import sklearn

NEW_SKLEARN = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 8)
OLD_PANDAS = int(pd.__version__.split(".")[0]) < 3
BROKEN = {"wawa", "zbs", "gold-mv"} if NEW_SKLEARN else set()


def need(name: str) -> None:
    """Skip a test of a peer that scikit-learn 1.8 breaks: crowd-kit 1.4's class lacks its tags."""
    if name in BROKEN:
        pytest.skip(f"crowd-kit 1.4's class behind {name!r} breaks with scikit-learn 1.8 and later")
