"""Every test of a GPU passes on a device that stands in for one, in a process of its own."""

from __future__ import annotations

import re
from pathlib import Path

import processes
import pytest

TESTS = Path(__file__).parents[1]
PROGRAM = """
import sys

import pytest

helpers, module = sys.argv[1:]
sys.path.insert(0, helpers)
plugins = ["-p", "simulated_device", "-p", "no:cacheprovider", "-p", "no:xdist"]
sys.exit(pytest.main(["-q", *plugins, module]))
"""


@pytest.mark.slow
def test_the_tests_of_a_gpu_pass_on_a_simulated_device() -> None:
    module = TESTS / "runtime" / "test_gpu.py"
    done = processes.python("-c", PROGRAM, str(TESTS / "helpers"), str(module))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    last = done.stdout.strip().splitlines()[-1]
    assert re.fullmatch(r"\d+ passed.* in .*", last), done.stdout
    assert "skipped" not in last
