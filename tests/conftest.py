"""Put what tests share (oracles, planted methods, processes) on the path of every test module."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from examples import SCALE
from hypothesis import settings

# In CI examples are the same at each run; `make fuzz` draws them anew.
settings.register_profile("deem-crowd", derandomize=SCALE == 1)
settings.load_profile("deem-crowd")


def pytest_collection_finish() -> None:
    """Let garbage collection pass over what all tests share: libraries and the tests themselves."""
    gc.collect()
    gc.freeze()
