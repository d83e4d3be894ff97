"""Warnings point at the line of the caller, however deep they arise; errors keep their kind in other processes."""

from __future__ import annotations

import pickle
import threading
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from deem_crowd_adapters import from_scores, from_wide

from deem_crowd import DEEM, DEEMAggregator, exceptions
from deem_crowd.exceptions import DataWarning
from deem_crowd.runtime.warning import said_once

NOISE = pd.DataFrame(
    {"task": np.arange(80) // 2, "worker": list("ab") * 40, "label": [0, 1, 1, 0] * 20}
)
WIDE = pd.DataFrame({"task": [1, 2, 3], "ann": [0, 1, None], "bob": [0, 1, None]})
SCORES = pd.DataFrame({"task": [1, 2, 1, 2], "worker": list("xxyy"), "score": [1, 2, 3, 3]})


@pytest.mark.parametrize(
    "call",
    [
        lambda: DEEMAggregator().fit(NOISE),
        lambda: DEEMAggregator().fit_predict(NOISE),
        lambda: DEEMAggregator().fit_predict_proba(NOISE),
        lambda: DEEMAggregator().partial_fit(NOISE),
        lambda: DEEMAggregator(groups={"x": ["nobody"]}).fit(NOISE),
        lambda: DEEM().fit(np.array([[0, 1], [1, 0], [-1, -1]] * 20)),
        lambda: DEEM().fit_predict(np.array([[0, 1], [1, 0], [-1, -1]] * 20)),
        lambda: from_wide(WIDE),
        lambda: from_scores(SCORES),
    ],
)
def test_a_warning_is_about_the_callers_line(call) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call()
    ours = [one for one in said if issubclass(one.category, DataWarning)]
    assert ours
    assert {Path(one.filename).name for one in ours} == {"test_warning.py"}


@pytest.mark.parametrize(
    "kind",
    [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)],
)  # fmt: skip
def test_errors_travel_between_processes(kind: type[Exception]) -> None:
    """As pickles, and as the engines rebuild them: by ``__new__`` of the kind itself."""
    assert pickle.loads(pickle.dumps(kind("words"))).args == ("words",)
    assert isinstance(kind.__new__(kind, "words"), kind)


@said_once()
def hint_and_fail() -> None:
    for text in ("hint", "hint", "other"):
        warnings.warn(text, UserWarning, stacklevel=1)
    raise ZeroDivisionError


def test_a_repeated_warning_is_shown_once_even_where_an_error_follows() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(ZeroDivisionError):
            hint_and_fail()
        warnings.warn("hint", UserWarning, stacklevel=1)
    assert [str(one.message) for one in said] == ["hint", "other", "hint"]


def test_warnings_of_a_script_are_still_shown_by_its_name() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", module="__main__")
        with said_once():
            exec(
                "import warnings; warnings.warn('hint', DeprecationWarning)",
                {"__name__": "__main__"},
            )
    assert [str(one.message) for one in said] == ["hint"]


def test_fits_that_overlap_in_threads_leave_warnings_on() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        begun, ended = threading.Event(), threading.Event()

        def first() -> None:
            with said_once():
                begun.set()
                ended.wait(10)

        other = threading.Thread(target=first)
        other.start()
        begun.wait(10)
        with said_once(), warnings.catch_warnings():
            ended.set()
            other.join()
        for _ in range(2):
            warnings.warn("later", UserWarning, stacklevel=1)
    assert [str(one.message) for one in said] == ["later", "later"]
