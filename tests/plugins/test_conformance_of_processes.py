"""Plugins of any kind that print, write to standard error or change settings of the process are told so."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from pathlib import Path

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest
import torch
from conforming import AFTER, Vote

from deem_crowd import Answers
from deem_crowd.samplers import Gibbs
from deem_crowd.testing import ConformanceError, check_adapter, check_aggregator, check_sampler


class Chatty(Vote):
    def fit_predict(self, data):
        print("fitting\n", len(data))
        return super().fit_predict(data)


class ChattySampler(Gibbs):
    def sample(self, energy, state, mask, n_steps, generator):
        print("sampling")
        return super().sample(energy, state, mask, n_steps, generator)


def chatty_adapter(frame: pd.DataFrame, **options) -> Answers:
    print("reading")
    return adapters.from_long(frame, **options)


def test_plugins_that_print_are_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    calls = {
        "fitting": lambda **how: check_aggregator(Chatty, **how),
        "sampling": lambda **how: check_sampler(ChattySampler, n_steps=50, **how),
        "reading": lambda **how: check_adapter(chatty_adapter, lambda frame: frame, **how),
    }
    for word, call in calls.items():
        said = f"wrote to standard output, '{word}' first. .* leave out print"
        with pytest.raises(ConformanceError, match=said) as caught:
            call()
        assert caught.value.check == "standard output"
        assert word in capsys.readouterr().out  # it is not swallowed
        assert "standard output" not in call(skip={"standard output": "a demonstration"})


class Loud(Vote):
    """Writes to standard error, by a warning and by a log as well, which are nobody's fault."""

    def fit_predict(self, data):
        warnings.warn("votes are few", UserWarning, stacklevel=2)
        logging.getLogger("loud").warning("votes are few")
        sys.stderr.write(f"fitting\n{len(data)}\n")
        return super().fit_predict(data)


class Cautious(Vote):
    """Warns and logs, and changes settings only for itself."""

    def fit_predict(self, data):
        warnings.warn("votes are few", UserWarning, stacklevel=2)
        logging.getLogger("warning").warning("votes are few")
        with (
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
            pd.option_context("display.width", 7),
        ):
            warnings.simplefilter("ignore")
            return super().fit_predict(data)


@pytest.mark.filterwarnings("always:votes are few")
def test_plugins_that_write_to_standard_error_are_told_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(
        ConformanceError, match=r"wrote to standard error, 'fitting' first\."
    ) as caught:
        check_aggregator(Loud)
    assert caught.value.check == "standard error"
    assert "fitting" in capsys.readouterr().err  # it is not swallowed
    with pytest.warns(UserWarning, match="votes are few"):
        assert {*AFTER} <= {*check_aggregator(Cautious)}


LIBRARIES = {
    "registers": "import pandas._config.config as c\nc.register_option('{name}.x', 1)",
    "filters": "import warnings\nwarnings.filterwarnings('ignore', message='{name}')",
    "logs": "import logging\nlog = logging.getLogger('{name}')\nlog.addHandler(logging.StreamHandler())",
}


@pytest.mark.parametrize("kind", list(LIBRARIES))
def test_imports_inside_a_fit_are_no_fault(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    often, seldom = f"often_{kind}", f"seldom_{kind}"
    for name in (often, seldom):
        (tmp_path / f"{name}.py").write_text(LIBRARIES[kind].format(name=name))
    monkeypatch.syspath_prepend(tmp_path)

    class Imports(Vote):
        def fit(self, data):
            importlib.import_module(often)
            if data["label"].nunique() == 1:
                importlib.import_module(seldom)
            logging.getLogger(often).warning("trial 1")
            return super().fit(data)

    assert {*AFTER} <= {*check_aggregator(Imports)}
    if kind == "logs":
        assert "trial 1" in capsys.readouterr().err
        logging.getLogger(often).warning("trial 2")
        assert capsys.readouterr().err == "trial 2\n"  # the handler writes on


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda: pd.set_option("display.max_rows", 7),
            r"options of pandas \(display.max_rows: \d+ to 7\)\. .*pd.option_context",
        ),
        (lambda: warnings.filterwarnings("ignore", "of a plugin"), "the filters of warnings"),
        (
            lambda: np.seterr(over="raise"),
            r"what numpy does about floating-point errors \(over: 'warn' to 'raise'\)",
        ),
        (lambda: torch.set_default_dtype(torch.float64), "the default dtype of torch"),
    ],
    ids=["pandas", "warnings", "numpy", "torch"],
)
def test_plugins_that_change_settings_of_the_process_are_told_so(change, words: str) -> None:
    class Meddling(Vote):
        def fit_predict(self, data):
            change()
            return super().fit_predict(data)

    class MeddlingSampler(Gibbs):
        def sample(self, energy, state, mask, n_steps, generator):
            change()
            return super().sample(energy, state, mask, n_steps, generator)

    def meddling(frame: pd.DataFrame, **options) -> Answers:
        change()
        return adapters.from_long(frame, **options)

    def settings() -> tuple[object, ...]:
        return (
            pd.get_option("display.max_rows"), list(warnings.filters), np.geterr(),
            torch.get_default_dtype(),
        )  # fmt: skip

    before = settings()
    calls = (
        lambda: check_aggregator(Meddling),
        lambda: check_sampler(MeddlingSampler, n_steps=50),
        lambda: check_adapter(meddling, lambda frame: frame),
    )
    for call in calls:
        with pytest.raises(ConformanceError, match=f"it changed {words}") as caught:
            call()
        assert caught.value.check == "settings of the process"
        assert settings() == before
