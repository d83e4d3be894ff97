"""Types as an editor sees them: pyright on a user's script, against the package."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("basedpyright") is None,
    reason="needs basedpyright, pyright as a Python package (the extra dev)",
)


def diagnostics(script: Path, folder: Path) -> list[str]:
    """Return what pyright, in its standard mode, has against a script."""
    config = {
        "include": [str(script)],
        "extraPaths": [str(ROOT / name) for name in (".", "adapters", "benchmarks", "plugins")],
        "typeCheckingMode": "standard",
        "reportMissingTypeStubs": False,
        "reportMissingModuleSource": False,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "basedpyright",
            "--outputjson",
            "--pythonpath",
            sys.executable,
            "--project",
            str(folder / "pyrightconfig.json"),
        ],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 1, report
    return [
        f"line {d['range']['start']['line'] + 1}: {d['message']}"
        for d in report["generalDiagnostics"]
        if d["severity"] == "error"
    ]


@pytest.mark.slow
def test_a_users_script_has_the_types_that_it_should(tmp_path) -> None:
    assert diagnostics(ROOT / "tests" / "typing" / "user.py", tmp_path) == []


@pytest.mark.slow
def test_a_users_mistakes_are_found(tmp_path) -> None:
    script = tmp_path / "wrong.py"
    script.write_text(
        "from deem_crowd import DEEM, DEEMAggregator\n"
        "DEEMAggregator(hiden_dim=2)\n"
        "DEEM().predict([[0]]) + ''\n"
        "DEEM.load('model').fitt([[0]])\n",
        encoding="utf-8",
    )
    found = diagnostics(script, tmp_path)
    assert [line.split(":")[0] for line in found] == ["line 2", "line 3", "line 4"], found
