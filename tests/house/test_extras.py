"""The optional packages: what needs one says which, and all else works without them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import processes
import pytest

from deem_crowd import DEEMAggregator, plots
from deem_crowd.exceptions import UnsupportedError
from deem_crowd.runtime import extras

PROJECT = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(2, size=40)
FRAME = pd.DataFrame(
    {
        "task": np.repeat(np.arange(40), 5),
        "worker": np.tile(list("abcde"), 40),
        "label": np.where(RNG.random((40, 5)) < 0.8, TRUTH[:, None], 1 - TRUTH[:, None]).ravel(),
    }
)
WITHOUT = """
import sys
for name in ("jinja2", "matplotlib", "openpyxl", "skops", "tqdm"):
    sys.modules[name] = None
"""


@pytest.mark.parametrize("extra", extras.PACKAGES)
def test_an_extra_installs_what_is_asked_of_it(extra) -> None:
    line = re.search(rf"^{extra} = \[(.*)\]$", PROJECT, re.M)
    assert line is not None
    assert tuple(re.findall(r'"(\w+)(?:\[\w+\])?[<>=]', line[1])) == extras.PACKAGES[extra]


def test_plots_reports_and_benchmarks_say_what_to_install(monkeypatch, tmp_path) -> None:
    from deem_crowd_benchmarks import benchmark

    agg = DEEMAggregator(progress=False).fit(FRAME)
    for name in ("jinja2", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnsupportedError, match=r"plots need matplotlib: .*deem-crowd\[plots\]"):
        plots.skills(agg)
    with pytest.raises(UnsupportedError, match=r"reports need jinja2 and matplotlib: .*\[report\]"):
        agg.report(tmp_path / "report.html")
    with pytest.raises(UnsupportedError, match=r"benchmarks need .*deem-crowd\[benchmarks\]"):
        benchmark("quick", out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_commands_of_a_bare_install_run_without_them(tmp_path) -> None:
    """``tqdm`` comes with other packages today; nothing here relies on that."""
    FRAME.to_csv(tmp_path / "answers.csv", index=False)
    for command in (
        ["aggregate", "answers.csv", "-o", "labels.csv"],
        ["compare", "answers.csv", "--methods", "deem,mv"],
        ["plugins"],
    ):
        code = f"{WITHOUT}\nsys.argv[1:] = {command}\nfrom deem_crowd.cli import main\nmain()"
        done = processes.python("-c", code, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "labels.csv").is_file()
    done = processes.python("-c", WITHOUT + "import deem_crowd_benchmarks.demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
