"""What a caller has set in torch for itself changes no result and breaks no fit."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import few_fits
import numpy as np
import pandas as pd
import pytest
import torch

from cases import Case
from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.clustering import DEC, HUME, AutoencoderKMeans, Kingdra
from deem_crowd.learning import CrowdClassifier

_RNG = np.random.default_rng(0)
_TRUTH = _RNG.integers(3, size=40)
MATRIX = np.where(_RNG.random((40, 5)) < 0.7, _TRUTH[:, None], _RNG.integers(3, size=(40, 5)))
MATRIX[_RNG.random(MATRIX.shape) < 0.2] = -1
SOFT = _RNG.dirichlet(np.ones(3), (40, 5)).transpose(0, 2, 1).copy()
_TASK, _WORKER = np.nonzero(MATRIX >= 0)
FRAME = pd.DataFrame({"task": _TASK, "worker": _WORKER, "label": MATRIX[_TASK, _WORKER]})
FEATURES = (_RNG.normal(size=(40, 4)) + _TRUTH[:, None]).astype(np.float32)

MODELS: dict[str, dict[str, Any]] = {
    "default": {},
    "plain": {"auto_hyperparameters": False},
    "free gauge": {"gauge": "free"},
    "two units": {"hidden_dim": 2},
    "two states a class": {"subtypes": 2},
    "noisy start": {"init_method": "mv_rand"},
    "low-rank start": {"init_method": "mv_lo"},
    "random start": {"init_method": "rand"},
    "fixed penalty": {"penalty": 0.5},
    "ordered": {"ordered": True},
    "single precision": {"dtype": "float32"},
    "gibbs": {"sampler": "gibbs", "n_iter": 1},
    "gradients": {"sampler": "gwg", "n_iter": 1},
    "langevin": {"sampler": "dlp", "n_iter": 1},
    "exact sampler": {"sampler": "exact", "n_iter": 1},
    "layers": {"preprocessing_layers": 1, "n_iter": 1},
}


ARRAYS = ("default", "two units", "random start", "gibbs", "layers")


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(before)


STATES: dict[str, Callable[[], Any]] = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "a default device": lambda: torch.device("meta"),
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "all of it": lambda: everything(),
}


@contextlib.contextmanager
def everything() -> Iterator[None]:
    with (
        default_dtype(torch.bfloat16),
        torch.device("meta"),
        torch.no_grad(),
        torch.inference_mode(),
    ):
        yield


def frames(name: str, folder: Path) -> list[Any]:
    model = DEEMAggregator(random_state=0, **MODELS[name]).fit(FRAME)
    return [model.probas_, model.skills_, model.skill_intervals_, model.predict_proba(FRAME)]


def arrays(name: str, folder: Path) -> list[Any]:
    params = dict(MODELS[name])
    if "n_iter" in params:
        params["epochs"] = params.pop("n_iter")
    model = DEEM(random_state=0, **params).fit(MATRIX)
    return [model.predict_proba(MATRIX), model.skills_]


def saved(name: str, folder: Path) -> list[Any]:
    model = DEEMAggregator(random_state=0, **MODELS[name]).fit(FRAME)
    model.save(folder / "m", overwrite=True)
    return [DEEMAggregator.load(folder / "m").predict_proba(FRAME)]


def more(folder: Path) -> list[Any]:
    model = DEEMAggregator().partial_fit(FRAME[:80]).partial_fit(FRAME[80:])
    return [model.probas_]


def tables(folder: Path) -> list[Any]:
    model = DEEMAggregator().fit(FRAME)
    return [
        model.agreement_.select_dtypes("number"),
        model.suspect_answers(5).select_dtypes("number"),
        model.next_tasks(5),
        model.selection_.select_dtypes("number"),
    ]


def tensors(folder: Path) -> list[Any]:
    device = torch.device("cpu")
    answers = torch.from_numpy(SOFT).to(device)
    features = torch.from_numpy(FEATURES).to(device)
    model = DEEM().fit(answers, features=features)
    return [model.predict_proba(answers, features=features)]


def shortly(action: Callable[[], Any], folder: Path) -> list[Any]:
    """Return what an action with features returns, with few fits: how many there are is not the question."""
    with pytest.MonkeyPatch.context() as patched:
        few_fits.shorten(patched)
        return [action()]


ACTIONS: dict[str, Callable[[Path], list[Any]]] = {
    **{f"DEEMAggregator, {name}": functools.partial(frames, name) for name in MODELS},
    **{f"DEEM, {name}": functools.partial(arrays, name) for name in ARRAYS},
    **{f"file, {name}": functools.partial(saved, name) for name in ("default", "two units", "layers")},
    "partial_fit": more,
    "tables": tables,
    "tensors": tensors,
    "known labels": lambda _: [DEEMAggregator().fit(FRAME, gold={0: 1, 1: 2}).probas_],
    "features": functools.partial(
        shortly, lambda: DEEMAggregator().fit(FRAME, features=FEATURES).probas_
    ),
    "CrowdClassifier": functools.partial(
        shortly, lambda: CrowdClassifier().fit(FEATURES, MATRIX).predict_proba(FEATURES)
    ),
    "Kingdra": lambda _: [Kingdra(3, 2, 1, layers=(8,), epochs=1).fit(FEATURES).predict_proba(FEATURES)],
    "HUME": lambda _: [HUME(3, n_labelings=2, n_steps=3).fit(FEATURES, FEATURES[:, :3]).predict_proba(FEATURES)],
    "DEC": lambda _: [DEC(3, layers=(8, 2), pretrain_epochs=2, max_iter=5).fit(FEATURES).predict_proba(FEATURES)],
    "AutoencoderKMeans": lambda _: [
        AutoencoderKMeans(3, layers=(8, 2), pretrain_epochs=2).fit(FEATURES).transform(FEATURES)
    ],
}  # fmt: skip


@functools.cache
def expected(action: str) -> list[Any]:
    import tempfile
    import warnings

    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        return [np.asarray(part) for part in ACTIONS[action](Path(folder))]


def same(action: str, state: str, folder: Path) -> None:
    before = expected(action)
    with STATES[state]():
        found = ACTIONS[action](folder)
    for part, other in zip(found, before, strict=True):
        np.testing.assert_array_equal(np.asarray(part), other)  # bit for bit


CASES = [
    Case(
        "ambient torch",
        f"{action} under {state}",
        functools.partial(same, action, state),
        in_ci=state == "all of it",
    )
    for action in ACTIONS
    for state in STATES
]
