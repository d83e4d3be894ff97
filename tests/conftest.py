"""Put what tests share (oracles, planted methods, processes) on the path of every test module."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_finish() -> None:
    """Let garbage collection pass over what all tests share: libraries and the tests themselves."""
    gc.collect()
    gc.freeze()
