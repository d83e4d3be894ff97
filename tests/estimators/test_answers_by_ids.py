"""Answers are matched with those of the fit by the ids of workers and classes, and not by position."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from six_workers import FRAME, X

from deem_crowd import DEEM, Answers
from deem_crowd.exceptions import DataError, DataWarning


def test_answers_go_by_ids_and_not_by_position() -> None:
    rng = np.random.default_rng(1)
    n, truth = 300, rng.integers(2, size=300)
    skill = np.array([0.95, 0.9, 0.9, 0.1, 0.15, 0.6])  # two say the contrary
    said = np.where(rng.random((n, 6)) < skill, truth[:, None], 1 - truth[:, None])
    frame = pd.DataFrame(
        {
            "task": np.repeat(np.arange(n), 6),
            "worker": np.tile(list("abcdef"), n),
            "label": said.ravel(),
        }
    )
    model = DEEM().fit(Answers.from_frame(frame))
    expected = model.predict(Answers.from_frame(frame))
    assert (expected == truth).mean() > 0.95
    turned = frame.sort_values(["task", "worker"], ascending=[True, False], ignore_index=True)
    other = Answers.from_frame(turned)
    assert list(other.workers) == list("fedcba")
    np.testing.assert_array_equal(model.predict(other), expected)
    few = Answers.from_frame(frame[frame["worker"].isin(["a", "d"])])
    assert model.predict(few).shape == (n,)
    named = frame.assign(label=np.where(frame["label"] == 1, "y", "n"))
    by_name = DEEM().fit(Answers.from_frame(named))
    just_yes = named[named["label"] == "y"]
    assert set(by_name.predict(Answers.from_frame(just_yes))) <= {0, 1}


def test_a_model_from_a_file_says_that_it_goes_by_position(tmp_path) -> None:
    answers = Answers.from_frame(FRAME)
    DEEM().fit(answers).save(tmp_path / "model")
    loaded = DEEM.load(tmp_path / "model")
    with pytest.warns(DataWarning, match="files of DEEM hold no ids"):
        loaded.predict(answers)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        loaded.predict(X)
        loaded.predict(Answers.from_dense(X))


def test_strangers_among_answers_are_said() -> None:
    model = DEEM().fit(Answers.from_frame(FRAME))
    new = FRAME.head(12).assign(worker=["a", "b", "c", "zoe", "e", "f"] * 2)
    with pytest.warns(DataWarning, match=r"1 worker was not there in fit \('zoe'\)"):
        model.predict(Answers.from_frame(new))
    with pytest.raises(DataError, match="none of the 1 ids in worker"):
        model.predict(Answers.from_frame(new.assign(worker="zoe")[::6]))
