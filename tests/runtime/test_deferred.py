"""Packages of others whose ``__init__`` waits until it is asked for a name."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deem_crowd
from deem_crowd.runtime.deferred import defer, uncollected

_INIT = """
from . import part
from .heavy import weight

runs = part.count()
__all__ = ["weight"]
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package ``above.inner`` with two modules, one of which its ``__init__`` alone imports."""
    name = f"above_{tmp_path.name.replace('-', '_')}"
    inner = tmp_path / name / "inner"
    inner.mkdir(parents=True)
    (tmp_path / name / "__init__.py").touch()
    (inner / "__init__.py").write_text(_INIT)
    (inner / "part.py").write_text(
        "from .other import one\nn = 0\ndef count():\n    global n\n    n += 1\n    return n\n"
    )
    (inner / "other.py").write_text("from . import part\none = 1\n")
    (inner / "heavy.py").write_text("weight = 9\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield f"{name}.inner"
    for module in set(sys.modules) - before:
        if module.startswith(name):
            del sys.modules[module]


def test_a_module_of_a_deferred_package_loads_without_the_package(package) -> None:
    defer(package)
    part = importlib.import_module(f"{package}.part")
    assert part.n == 0
    assert f"{package}.heavy" not in sys.modules
    assert getattr(sys.modules[package], "__wrapped__", None) is None
    assert f"{package}.heavy" not in sys.modules


def test_the_package_is_complete_once_it_is_asked(package) -> None:
    defer(package)
    part = importlib.import_module(f"{package}.part")
    above = importlib.import_module(package.split(".")[0])
    assert above.inner.weight == 9
    assert above.inner.part is part
    assert (above.inner.runs, part.n) == (1, 1)
    assert above.inner.__all__ == ["weight"]
    with pytest.raises(AttributeError, match="nothing"):
        _ = above.inner.nothing
    assert part.n == 1


def test_names_are_imported_from_a_deferred_package(package) -> None:
    defer(package)
    scope: dict[str, object] = {}
    exec(f"from {package} import *", scope)
    assert scope["weight"] == 9


def test_a_package_that_is_loaded_stays_as_it_is(package) -> None:
    loaded = importlib.import_module(package)
    defer(package)
    assert sys.modules[package] is loaded
    assert loaded.runs == 1


def test_an_error_of_the_package_is_raised_to_whoever_asks(package, tmp_path) -> None:
    (tmp_path / package.replace(".", "/") / "heavy.py").write_text("1 / 0\n")
    defer(package)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            _ = sys.modules[package].weight


def test_what_is_not_there_is_not_deferred() -> None:
    defer("crowdkit.no_such_package")
    assert "crowdkit.no_such_package" not in sys.modules


def test_the_collector_goes_on_where_it_was_on() -> None:
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), uncollected():
        _ = 1 / 0
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_names_of_the_package_are_there_or_said_to_be_missing() -> None:
    assert deem_crowd.DEEMAggregator.__name__ == "DEEMAggregator"
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = deem_crowd.no_such_name
    assert gc.isenabled()
