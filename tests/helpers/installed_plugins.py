"""Packages that are really installed: a module and its metadata in a folder on sys.path."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from deem_crowd.plugins import registry

DENY = "DEEM_CROWD_PLUGINS_DENY"
STRICT = "DEEM_CROWD_PLUGINS_STRICT"


class Site:
    """A folder on sys.path into which a test installs plugins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, source: str, *, version: str = "1.0", target: str = "") -> None:
        """Install a distribution whose one entry point, of the same name, is a module with ``source``."""
        module = name.replace("-", "_")
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[deem_crowd]\n{name} = {target or module}\n")
        registry.reload()

    def uninstall(self, name: str) -> None:
        module = name.replace("-", "_")
        (self.folder / f"{module}.py").unlink()
        (info,) = self.folder.glob(f"{module}-*.dist-info")
        shutil.rmtree(info)
        sys.modules.pop(module, None)
        registry.reload()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty folder on sys.path, with the built-in plugins out of the way."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(DENY, "deem-crowd")
    monkeypatch.delenv(STRICT, raising=False)
    before = set(sys.modules)
    registry.reload()
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
    registry.reload()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Leave no catalogue of one test's environment variables to the next test."""
    yield
    registry.reload()


VOTE = """
    from deem_crowd import hookimpl

    class Vote:
        '''A vote.

        More about it.
        '''
        def __init__(self, n_iter=100, *, tol=1e-5):
            self.n_iter, self.tol = n_iter, tol

    def sample(energy):
        '''A sampler.'''

    @hookimpl
    def deem_crowd_aggregators():
        return {"vote": Vote}

    @hookimpl
    def deem_crowd_samplers():
        return {"walk": sample}

    @hookimpl
    def deem_crowd_adapters():
        return {"csvish": ("somewhere.else:read", "reads it")}
"""
