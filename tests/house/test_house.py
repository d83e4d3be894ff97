"""Files and functions that can be read in one sitting, and nothing in the repository that does not belong there."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for folder in ("deem_crowd", "adapters", "benchmarks", "plugins/deem_crowd_plugins", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
MOST_LINES, MOST_IN_A_FUNCTION = 400, 80
TOP_LEVEL = {".ci", "deem_crowd", "adapters", "plugins", "benchmarks", "tests", "docs"}


def too_long(source: str) -> list[str]:
    """Return the functions with too many lines beside their docstring, and no reason above them."""
    lines = source.splitlines()
    names = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        first = node.body[0]
        said = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
        start = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        if node.end_lineno - node.lineno + 1 - said > MOST_IN_A_FUNCTION:
            reason = lines[start - 2].strip() if start > 1 else ""
            if not reason.startswith("# Longer than"):
                names.append(node.name)
    return names


def test_what_is_too_long_is_seen() -> None:
    body = "    x = 1\n" * MOST_IN_A_FUNCTION
    assert too_long(f"def f():\n{body}") == ["f"]
    assert too_long(f'def f():\n    """One.\n\n    Two.\n    """\n{body[10:]}') == []
    assert too_long(f"# Longer than 80 lines: a table.\ndef f():\n{body}") == []


def test_no_file_and_no_function_is_too_long() -> None:
    assert len(FILES) > 200
    too_big = []
    for path in FILES:
        source = path.read_text(encoding="utf-8")
        if source.count("\n") > MOST_LINES:
            too_big.append(path.name)
        too_big += [f"{path.name}: {name}" for name in too_long(source)]
    assert not too_big


def test_only_known_folders_are_committed() -> None:
    """What `deem-crowd benchmark` and the like leave in a checkout was once committed with everything else."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of the repository")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip(f"git cannot list what is committed: {listed.stderr.strip()}")
    folders = {name.split("/")[0] for name in listed.stdout.splitlines() if "/" in name}
    assert folders == TOP_LEVEL
