"""Types as an editor sees them: pyright on a user's script, against the package."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("basedpyright") is None,
    reason="needs basedpyright, pyright as a Python package (the extra dev)",
)


USER = ROOT / "tests" / "typing" / "user.py"


@pytest.fixture(scope="module")
def diagnostics(tmp_path_factory) -> dict[str, list[str]]:
    """Return what pyright, in its standard mode, has against the user's script and one with mistakes, by file name."""
    folder = tmp_path_factory.mktemp("typing")
    (folder / "wrong.py").write_text(
        "from deem_crowd import DEEM, DEEMAggregator\n"
        "DEEMAggregator(hiden_dim=2)\n"
        "DEEM().predict([[0]]) + ''\n"
        "DEEM.load('model').fitt([[0]])\n",
        encoding="utf-8",
    )
    config = {
        "include": [str(USER), str(folder / "wrong.py")],
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
    assert report["summary"]["filesAnalyzed"] == 2, report
    found: dict[str, list[str]] = {USER.name: [], "wrong.py": []}
    for d in report["generalDiagnostics"]:
        if d["severity"] == "error":
            line = d["range"]["start"]["line"] + 1
            found[Path(d["file"]).name].append(f"line {line}: {d['message']}")
    return found


@pytest.mark.slow
def test_a_users_script_has_the_types_that_it_should(diagnostics) -> None:
    assert diagnostics[USER.name] == []


@pytest.mark.slow
def test_a_users_mistakes_are_found(diagnostics) -> None:
    found = diagnostics["wrong.py"]
    assert [line.split(":")[0] for line in found] == ["line 2", "line 3", "line 4"], found
