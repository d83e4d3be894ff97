"""docs/api.md lists every public name, and nothing else."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `([\w.]+)`\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M))
PUBLIC = (
    "deem_crowd", "deem_crowd.clustering", "deem_crowd.decide", "deem_crowd.exceptions",
    "deem_crowd.insight.contested", "deem_crowd.insight.findings", "deem_crowd.insight.tables", "deem_crowd.learning",
    "deem_crowd.plots", "deem_crowd.samplers", "deem_crowd.samplers.base", "deem_crowd.testing",
    "deem_crowd_adapters", "deem_crowd_benchmarks",
)  # fmt: skip


def names(module: str) -> set[str]:
    """Return what a module says is public: its ``__all__``, else what it defines without an underscore."""
    found = importlib.import_module(module)
    return set(
        getattr(found, "__all__", None)
        or (
            name
            for name, value in vars(found).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module
        )
    )


def test_every_public_module_has_its_section() -> None:
    assert tuple(SECTIONS) == PUBLIC


@pytest.mark.parametrize("module", PUBLIC)
def test_the_reference_lists_what_is_public(module) -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", SECTIONS[module], re.M)) == names(module)
