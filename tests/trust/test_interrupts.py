"""SIGINT and SIGTERM at random moments: objects are as before or fitted, files old or new, exit statuses right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import wild

TRIALS = {"objects": 72, "saves": 92, "commands": 32, "benchmarks": 4}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="trials are forks")
@pytest.mark.parametrize("kind", TRIALS)
def test_signals_at_random_moments(kind) -> None:
    trials = TRIALS[kind] * min(wild.SCALE, 10)
    seed = "0" if wild.SCALE == 1 else str(int.from_bytes(os.urandom(4)))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("interrupts.py")), kind, str(trials), seed],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["trials"] == trials
    assert found["n_wrong"] == 0, found["wrong"]
    assert found["hit"] >= trials // 8  # enough of them fell into the work
