"""The process that collects the tests for all workers says when a module could not be imported."""

from __future__ import annotations

import os
from pathlib import Path

import processes
import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forks")
@pytest.mark.parametrize(
    ("content", "went_well"),
    [("def test_it(): pass", True), ("import no_such_module", False), ("def test_it(:", False)],
)
def test_a_module_that_cannot_be_imported_is_not_lost(tmp_path, content, went_well) -> None:
    (tmp_path / "test_one.py").write_text(content)
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1] / 'helpers')!r}); import workers; "
        "print(workers.collect(sys.argv[1:]))"
    )
    done = processes.python("-c", code, "-c", os.devnull, str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(went_well)
