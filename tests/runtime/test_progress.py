"""How far long work is: silence at first, then a bar where somebody watches and lines in the log."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM, DEEMAggregator, clustering
from deem_crowd.features import guard, partitions
from deem_crowd.runtime import progress

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watch(monkeypatch) -> SimpleNamespace:
    """Return a clock that the test sets, and make standard error a terminal."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "120")
    return now


def test_a_bar_comes_after_two_seconds_and_goes_with_the_work(monkeypatch) -> None:
    clock = watch(monkeypatch)
    with progress.watched("deem", "passes", total=40) as watched:
        clock.seconds = 1.9
        watched.update(9)
        assert sys.stderr.getvalue() == ""
        clock.seconds = 2.5
        watched.update(10, "log-likelihood per task -0.25000")
        shown = sys.stderr.getvalue()
        assert "deem:  25%" in shown
        assert "10/40" in shown
        assert re.search(r"\[00:02<00:0[678]", shown)  # 2.5 s for a quarter
        assert "log-likelihood per task -0.25000" in shown
    assert sys.stderr.getvalue().rsplit("\r", 2)[-2].strip() == ""


def test_what_a_stage_leaves_over_counts_as_done(monkeypatch) -> None:
    watch(monkeypatch)
    watched = progress.Progress("deem", "passes", total=20)
    first = watched.stage(10)
    first(3, -1.0)
    assert watched.done == 3
    second = watched.stage(10)
    second(1, -1.0)
    assert watched.done == 11
    assert progress.only_stage(None, 10) is None


def test_a_log_likelihood_is_due_where_it_would_be_read(monkeypatch) -> None:
    clock = watch(monkeypatch)
    watched = progress.Progress("deem", "passes", total=20)
    stage = watched.stage(10)
    assert not progress.due(stage)
    clock.seconds = 2.5
    assert progress.due(stage)
    stage(3, float("nan"))  # asked for too early to be known
    assert "log-likelihood" not in sys.stderr.getvalue()
    watched.close()
    assert progress.due(lambda n_passes, log_likelihood: None)


@pytest.mark.parametrize("shown", [True, False])
def test_there_is_no_bar_where_nobody_watches(monkeypatch, shown) -> None:
    clock = watch(monkeypatch)
    monkeypatch.setattr(sys, "stderr", Terminal() if not shown else io.StringIO())
    with progress.watched("deem", "passes", shown, 10) as watched:
        clock.seconds = 5
        watched.update(5)
        watched.say("a line")
    assert sys.stderr.getvalue() == "a line\n"
    monkeypatch.setattr(sys, "stderr", None)
    with progress.watched("deem", "passes", True, 10) as watched:
        clock.seconds = 15
        watched.update(5)
        watched.say("nowhere to go")


def test_the_log_has_lines_for_services(monkeypatch, caplog) -> None:
    clock = watch(monkeypatch)
    caplog.set_level(logging.INFO, "deem_crowd.progress")
    watched = progress.Progress("benchmark", "runs", False, 100)
    for second in range(25):
        clock.seconds = float(second)
        watched.update(2 * second)
    assert caplog.messages == [
        "benchmark: 4 of 100 runs, 2 s, 48 s left",
        "benchmark: 24 of 100 runs, 12 s, 38 s left",
        "benchmark: 44 of 100 runs, 22 s, 28 s left",
    ]


RNG = np.random.default_rng(0)
TRUTH = RNG.integers(3, size=60)
MATRIX = np.where(RNG.random((60, 6)) < 0.7, TRUTH[:, None], RNG.integers(3, size=(60, 6)))
COPIED = np.column_stack([MATRIX[:, :4], *[MATRIX[:, :1]] * 4])
MODELS = {
    "default": (MATRIX, {}),
    "copies": (COPIED, {}),
    "plain": (MATRIX, {"auto_hyperparameters": False}),
    "units": (MATRIX, {"hidden_dim": 2, "n_iter": 5}),
    "sampled": (MATRIX[:20], {"sampler": "gibbs", "n_iter": 3}),
    "layers": (MATRIX, {"use_preprocessing": True, "n_iter": 3}),
}


@pytest.mark.parametrize("model", MODELS)
def test_a_fit_goes_forward_and_stays_within_its_total(model, monkeypatch) -> None:
    steps = []
    monkeypatch.setattr(
        progress.Progress, "update", lambda self, done, _="": steps.append((done, self.total))
    )
    matrix, parameters = MODELS[model]
    frame = pd.DataFrame(matrix).stack().rename_axis(["task", "worker"]).rename("label")
    DEEMAggregator(**parameters).fit(frame.reset_index())
    done, total = np.array(steps).T
    assert len(steps) >= 3
    assert (np.diff(done) > 0).all()
    assert (done <= total).all()


def test_a_fit_shows_its_bar(monkeypatch) -> None:
    watch(monkeypatch)
    monkeypatch.setattr(progress, "AFTER", -1.0)
    DEEM().fit(MATRIX)
    assert re.search(r"\d+/240 \[.*log-likelihood per task -\d", sys.stderr.getvalue())
    sys.stderr.truncate(0)
    DEEM(progress=False).fit(MATRIX)
    assert sys.stderr.getvalue().strip("\0") == ""


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
@pytest.mark.usefixtures("few_fits")
def test_features_and_clusterings_go_forward_to_the_end(monkeypatch) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}
    monkeypatch.setattr(
        progress.Progress,
        "update",
        lambda self, done, _="": (
            setattr(self, "done", done),
            seen.setdefault(self.what, []).append((done, self.total)),
        ),
    )
    features = np.eye(3)[TRUTH] + RNG.normal(size=(60, 3)) / 2
    DEEM().fit(MATRIX, features=features)
    n_steps = 1 + guard.PARTS + (guard.PARTS + 1) * partitions.number_of_fits(len(features))
    done, totals = zip(*seen["features"], strict=True)
    assert set(totals) == {n_steps}
    assert list(done) == sorted(set(done))  # the question about settings may be given up early
    assert done[-1] == n_steps
    clustering.Kingdra(3, n_models=2, n_iter=1, epochs=1, layers=(8,)).fit(features)
    clustering.DEC(3, layers=(4, 2), pretrain_epochs=2, update_interval=2, max_iter=4).fit(features)
    assert seen["Kingdra"] == [(1, 2), (2, 2)]
    assert seen["autoencoder"] == [(1, 2), (2, 2)]
    assert seen["DEC"][:3] == [(0, 4), (1, 4), (2, 4)]


NOTEBOOK = """
import sys, types
class Shell:
    config = {"IPKernelApp": {}}
python = types.ModuleType("IPython")
python.get_ipython = Shell
sys.modules["IPython"] = python
sys.modules["ipykernel"] = sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel")
sys.modules["ipywidgets"] = None
"""


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a new interpreter, which has imported nothing."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_a_notebook_without_widgets_sees_no_warning_and_a_bar_of_text() -> None:
    plain = fresh(NOTEBOOK + "import tqdm.auto")
    assert "IProgress not found" in plain.stderr  # what is to be kept away
    done = fresh(
        NOTEBOOK + "import deem_crowd.estimators, tqdm.auto\n"
        "from deem_crowd.runtime import progress; progress.AFTER = 0\n"
        "progress.Progress('x', 'steps', True, 4).update(2)"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "2/4" in done.stdout
    done = fresh(NOTEBOOK + "import deem_crowd; deem_crowd.create('ds')")
    assert (done.returncode, done.stderr) == (0, "")


def test_short_work_imports_no_bar() -> None:
    code = (
        "import sys; from deem_crowd.runtime import progress\n"
        "with progress.watched('x', 'steps', True, 2) as p: p.update(2)\n"
        "assert 'tqdm' not in sys.modules"
    )
    assert fresh(code).returncode == 0
