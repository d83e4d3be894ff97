"""Put what tests share (oracles, planted methods, processes, tables) on the path of every test module."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "helpers"))

import workers
from examples import SCALE
from few_fits import few_fits, few_fits_throughout  # noqa: F401 (fixtures for all tests)
from hypothesis import settings
from no_figures import figures_left_out  # noqa: F401 (a fixture)
from same_fits import same_fits_once  # noqa: F401 (a fixture)

FOLDERS = ("helpers", "adapters/exports", "decide", "trust")

# In CI examples are the same at each run, however busy the machine; `make fuzz` draws them anew.
settings.register_profile("deem-crowd", derandomize=SCALE == 1, deadline=None)
settings.load_profile("deem-crowd")


def pytest_configure(config: pytest.Config) -> None:
    """Set up a process that runs tests; a fork has imported this file before, and got another path since."""
    for folder in FOLDERS:
        path = str(Path(__file__).parent / folder)
        if path not in sys.path:
            sys.path.insert(0, path)
    # What only hands tests out to others need not import scikit-learn.
    if not config.getoption("numprocesses", None):
        # tests that stop a fit early to be short
        config.addinivalue_line("filterwarnings", "default::sklearn.exceptions.ConvergenceWarning")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    """Fork the processes that run tests from one that has collected them."""
    workers.fork_workers(config, specs)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with tests that share what is slow to start: of what a process has last, others take a part over."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def pytest_collection() -> None:
    """Collect no garbage while libraries and tests are loaded: all of them stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Let garbage collection pass over what all tests share: libraries and the tests themselves."""
    gc.enable()
    gc.collect()
    gc.freeze()
