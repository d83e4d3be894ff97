"""SIGINT and SIGTERM at random moments: objects are as before or fitted, files old or new, exit statuses right."""

from __future__ import annotations

import json
import os
from pathlib import Path

import processes
import pytest
import wild

TRIALS = {"objects": 16, "saves": 32, "commands": 20, "benchmarks": 2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="trials are forks")
@pytest.mark.parametrize("kind", TRIALS)
def test_signals_at_random_moments(kind) -> None:
    trials = TRIALS[kind] * min(wild.SCALE, 20)
    seed = "0" if wild.SCALE == 1 else str(int.from_bytes(os.urandom(4)))
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import interrupts; interrupts.main()"
    done = processes.python("-c", code, kind, str(trials), seed)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["trials"] == trials
    assert found["n_wrong"] == 0, found["wrong"]
    assert found["hit"] >= trials // 8  # enough of them fell into the work
