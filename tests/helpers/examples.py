"""How many examples are drawn where a test draws them: few in CI, many with ``make fuzz``."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

SCALE = int(os.environ.get("DEEM_CROWD_FUZZ", "1"))
"""How many times the usual number of examples; beyond 1 they are drawn anew at each run."""


def runs(n: int, **more: Any) -> settings:
    """Return the settings of a test with ``n`` examples in CI."""
    return settings(
        max_examples=n * SCALE,
        deadline=None,
        derandomize=SCALE == 1,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        **more,
    )
