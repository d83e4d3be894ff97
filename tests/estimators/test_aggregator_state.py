"""An aggregator as an object: parameters, copies and pickles, failed and interrupted fits, threads."""

from __future__ import annotations

import copy
import pickle
import random

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from crowd_of_five import FRAME, crowd, fitted
from crowdkit.aggregation.utils import clone_aggregator
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from deem_crowd import DEEMAggregator
from deem_crowd.exceptions import ParameterError
from deem_crowd.model.design import DesignMatrix

__all__ = ["fitted"]


@pytest.mark.filterwarnings("ignore:training stopped")
def test_row_clones_keep_every_parameter(fitted) -> None:
    agg = DEEMAggregator(n_iter=9, subtypes=2, gauge="free", duplicates="first")
    other = clone_aggregator(agg.fit(FRAME))
    assert other.get_params() == agg.get_params()
    assert not hasattr(other, "labels_")
    assert clone(agg).get_params() == agg.get_params()


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "joblib"])
def test_row_pickle_deepcopy_joblib(fitted, way: str, tmp_path) -> None:
    if way == "pickle":
        other = pickle.loads(pickle.dumps(fitted))
    elif way == "deepcopy":
        other = copy.deepcopy(fitted)
    else:
        joblib.dump(fitted, tmp_path / "agg")
        other = joblib.load(tmp_path / "agg")
    pd.testing.assert_frame_equal(other.probas_, fitted.probas_)
    pd.testing.assert_frame_equal(other.predict_proba(FRAME), fitted.predict_proba(FRAME))
    pd.testing.assert_frame_equal(other.errors_, fitted.errors_)
    assert other.get_params() == fitted.get_params()


def test_row_failed_refit() -> None:
    agg = DEEMAggregator().fit(FRAME)
    before = dict(vars(agg))
    with pytest.raises(KeyError):
        agg.fit(FRAME.drop(columns="label"))
    assert vars(agg).keys() == before.keys()
    assert all(vars(agg)[key] is before[key] for key in before)


def test_row_ctrl_c_in_fit(monkeypatch) -> None:
    agg = DEEMAggregator().fit(FRAME)
    before = dict(vars(agg))
    calls = iter(range(100))
    counts = DesignMatrix.expected_counts

    def interrupted(self, posterior):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return counts(self, posterior)

    monkeypatch.setattr(DesignMatrix, "expected_counts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        agg.fit(crowd(1)[0])
    assert all(vars(agg)[key] is before[key] for key in before)


def test_row_fit_twice_and_random_state() -> None:
    agg = DEEMAggregator(init_method="mv_rand", random_state=3).fit(crowd(1)[0])
    numpys, draw = np.random.get_state, np.random.random
    random.random(), draw(), torch.rand(1)  # or a fit that seeds would go unseen the second time
    states = (random.getstate(), numpys()[1].tolist(), torch.get_rng_state())
    agg.fit(FRAME)
    assert random.getstate() == states[0]
    assert numpys()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    fresh = DEEMAggregator(init_method="mv_rand", random_state=3).fit(FRAME)
    pd.testing.assert_frame_equal(agg.probas_, fresh.probas_, atol=0, rtol=0)


def test_row_two_fits_in_two_threads() -> None:
    frames = [crowd(seed)[0] for seed in range(4)]
    alone = [DEEMAggregator().fit(f).probas_ for f in frames]
    together = joblib.Parallel(n_jobs=4, backend="threading")(
        joblib.delayed(lambda f: DEEMAggregator().fit(f).probas_)(f) for f in frames
    )
    for a, b in zip(alone, together, strict=True):
        pd.testing.assert_frame_equal(a, b, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"gauge": "fre"}, "gauge='fre' is not allowed.*Did you mean 'free'"),
        ({"n_iter": -1}, "n_iter=-1 is not allowed: n_iter is an integer >= 0"),
        ({"tol": float("nan")}, "tol=nan is not allowed"),
        ({"init_method": "nope"}, "init_method='nope' is not allowed: init_method is one of 'mv'"),
        ({"penalty": 0}, "penalty=0 is not allowed"),
        ({"subtypes": 1.5}, "subtypes=1.5 is not allowed"),
    ],
)
def test_row_bad_parameters_are_refused_by_fit(params, words) -> None:
    with pytest.raises(ParameterError, match=words):
        DEEMAggregator(**params).fit(FRAME)


def test_row_misspelt_parameter() -> None:
    with pytest.raises(ParameterError, match="no parameter 'n_itr'. Did you mean 'n_iter'"):
        DEEMAggregator(n_itr=3)
    with pytest.raises(ParameterError, match="Did you mean 'gauge'"):
        DEEMAggregator().set_params(guage="free")


def test_an_interrupted_first_fit_leaves_nothing_behind(monkeypatch) -> None:
    def interrupted(self, posterior):
        raise KeyboardInterrupt

    monkeypatch.setattr(DesignMatrix, "expected_counts", interrupted)
    agg = DEEMAggregator()
    with pytest.raises(KeyboardInterrupt):
        agg.fit(FRAME)
    assert not any(hasattr(agg, name) for name in ("labels_", "probas_", "skills_", "errors_"))
    with pytest.raises(NotFittedError):
        agg.predict(FRAME)
