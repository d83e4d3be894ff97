"""The examples in docstrings run, and show what they print."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import deem_crowd

ROOT = Path(__file__).parents[2]
ROOTS = [
    ROOT,
    *(ROOT / name for name in ("adapters", "benchmarks", "plugins")),
]
PACKAGES = ("deem_crowd", "deem_crowd_adapters", "deem_crowd_benchmarks", "deem_crowd_plugins")


def modules() -> list[str]:
    """Return the modules whose text holds an example."""
    found = []
    for root in ROOTS:
        for package in PACKAGES:
            for path in sorted((root / package).rglob("*.py")):
                if ">>> " in path.read_text(encoding="utf-8"):
                    parts = path.relative_to(root).with_suffix("").parts
                    found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


@pytest.mark.parametrize("module", modules())
def test_the_examples_of_a_module_run(module) -> None:
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testmod(importlib.import_module(module), optionflags=options, report=True)
    assert result.attempted > 0, "the examples are in no docstring of this module"
    assert result.failed == 0


@pytest.mark.parametrize("name", ["DEEM", "DEEMAggregator", "Answers", "agreement"])
def test_what_one_starts_with_has_an_example(name) -> None:
    assert ">>> " in (getattr(deem_crowd, name).__doc__ or "")
