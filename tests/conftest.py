"""Put what tests share (oracles, planted methods, processes) on the path of every test module."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
