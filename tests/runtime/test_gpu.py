"""The same code on a GPU, or on a device that stands in for one; skipped, with the reason, where there is neither.

``test_simulated_gpu.py`` runs all of this on the stand-in, ``tests/helpers/simulated_device.py``.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from few_fits import shorten
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.clustering import DEC, HUME, Kingdra
from deem_crowd.decide import next_pairs, suspect_answers
from deem_crowd.estimators import fit
from deem_crowd.estimators.settings import recipe
from deem_crowd.learning import BootstrapLoss, CrowdLoss
from deem_crowd.model.design import OffloadedDesign
from deem_crowd.selection.candidates import IN_ORDER

SIMULATED = "simulated_device" in sys.modules
SHORT: dict[str, Any] = {"epochs": 5} if SIMULATED else {}
SHORT_AGGREGATOR: dict[str, Any] = {"n_iter": 5} if SIMULATED else {}
"""Each operation on the stand-in is one of Python, and a fit does the same ones in all its iterations."""
GPU = "sim" if SIMULATED else "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (SIMULATED or torch.cuda.is_available()), reason="no CUDA device on this machine"
    ),
]


def answers(n_tasks: int, n_classes: int = 3, missing: float = 0.4) -> tuple[Any, Any]:
    """Draw the labels of tasks and what eight workers say, of whom each is right in at least 70 %."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, n_classes, n_tasks)
    guesses = rng.integers(0, n_classes, (n_tasks, 8))
    matrix = np.where(rng.random((n_tasks, 8)) < 0.7, truth[:, None], guesses)
    matrix[rng.random(matrix.shape) < missing] = -1
    matrix[(matrix < 0).all(axis=1), 0] = 0
    return truth, matrix


def frame(matrix: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return the answers in long form."""
    task, worker = np.nonzero(matrix >= 0)
    return pd.DataFrame({"task": task, "worker": worker, "label": matrix[task, worker]})


def test_tensors_of_two_devices_do_not_mix() -> None:
    there, here = torch.ones(3, device=GPU), torch.ones(3)
    with pytest.raises(RuntimeError, match="same device"):
        there + here
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(3, generator=torch.Generator(device=GPU))
    assert (there + here.to(GPU)).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("params", [{}, {"subtypes": 2}, {"gauge": "free"}], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fit_equals_one_on_the_cpu(params, dtype) -> None:
    _, matrix = answers(200 if SIMULATED else 3000)
    gpu, cpu = (
        DEEM(device=device, dtype=dtype, **SHORT, **params).fit(matrix).predict_proba(matrix)
        for device in (GPU, "cpu")
    )
    np.testing.assert_allclose(gpu, cpu, atol=1e-6 if dtype == "float64" else 1e-2)


def test_an_order_of_the_classes_is_found() -> None:
    rng = np.random.default_rng(0)
    truth, bias = rng.integers(5, size=400), rng.normal(0, 0.8, 6)
    noise = rng.uniform(0.6, 1.6, 6) * rng.normal(size=(400, 6))
    said = np.clip(np.rint(truth[:, None] + bias + noise), 0, 4).astype(int)
    gpu, cpu = (DEEM(device=device, dtype="float64", **SHORT).fit(said) for device in (GPU, "cpu"))
    assert (cpu.selection_["candidate"] == IN_ORDER).any()
    np.testing.assert_allclose(gpu.predict_proba(said), cpu.predict_proba(said), atol=1e-6)


def test_probabilities_known_labels_and_shares_of_classes_are_fitted() -> None:
    truth, matrix = answers(150)
    soft = np.where(matrix[:, None] >= 0, np.eye(3)[matrix.clip(0)].transpose(0, 2, 1), np.nan)
    soft = 0.8 * soft + 0.2 / 3
    gold = np.where(np.arange(150) < 40, truth, -1)
    for given, settings, known in (
        (soft, {"auto_hyperparameters": False}, None),
        (matrix, {}, gold),
        (matrix, {"class_balance": [0.2, 0.3, 0.5], "auto_hyperparameters": False}, None),
        (matrix, {"groups": {"family": [0, 1, 2]}}, None),
    ):
        gpu, cpu = (
            DEEM(device=device, dtype="float64", **SHORT, **settings).fit(given, gold=known)
            for device in (GPU, "cpu")
        )
        np.testing.assert_allclose(gpu.probas_, cpu.probas_, atol=1e-6)


def test_more_answers_and_known_labels_are_fitted() -> None:
    truth, matrix = answers(400)
    df = frame(matrix)
    more = df["task"] >= 395
    agg = DEEMAggregator(device=GPU, dtype="float64", auto_hyperparameters=False)
    agg.partial_fit(df[~more]).partial_fit(df[more])
    agg.partial_fit(df[:0], gold={0: truth[0], 1: truth[1]})
    cpu = clone(agg).set_params(device="cpu").fit(df, gold={0: truth[0], 1: truth[1]})
    np.testing.assert_allclose(agg.probas_, cpu.probas_, atol=1e-2)  # it goes on from where it was


def test_answers_are_sent_in_batches(monkeypatch) -> None:
    given = Answers.from_dense(answers(60)[1], 3)
    plan = recipe.recipe(DEEMAggregator(device=GPU, **SHORT_AGGREGATOR).get_params(), 60, None)
    _, whole = fit.fit_answers(given, plan)
    made = []

    def make(answers: Answers, *_: object, **__: object) -> OffloadedDesign:
        made.append(OffloadedDesign(answers, torch.device(GPU), torch.float64, batch=100))
        return made[-1]

    monkeypatch.setattr(fit, "make_design", make)
    _, parts = fit.fit_answers(given, plan)
    assert made
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_features_lists_of_what_is_next_and_losses_are_computed(monkeypatch) -> None:
    if SIMULATED:
        shorten(monkeypatch)
    truth, matrix = answers(120, missing=0.7)
    df = frame(matrix)
    x = np.eye(3)[truth] + np.random.default_rng(1).normal(0, 0.5, (120, 3))
    settings = {"dtype": "float64", "auto_hyperparameters": False, **SHORT_AGGREGATOR}
    settings["classifier"] = LogisticRegression()
    gpu, cpu = (
        DEEMAggregator(device=device, **settings).fit(df, features=x) for device in (GPU, "cpu")
    )
    np.testing.assert_allclose(gpu.probas_, cpu.probas_, atol=1e-6)
    pd.testing.assert_frame_equal(next_pairs(gpu, 10), next_pairs(cpu, 10), atol=1e-6)
    pd.testing.assert_frame_equal(suspect_answers(gpu, 10), suspect_answers(cpu, 10), atol=1e-6)
    logits = torch.tensor(x, dtype=torch.float32)
    confusion = torch.tensor(np.stack([0.7 * np.eye(3) + 0.1] * 8), dtype=torch.float32)
    target = torch.tensor(matrix)
    for loss, wanted in ((CrowdLoss, target), (BootstrapLoss, torch.tensor(truth))):
        given = (confusion,) if loss is CrowdLoss else ()
        there = loss(*(value.to(GPU) for value in given)).to(GPU)(logits.to(GPU), wanted.to(GPU))
        assert float(there) == pytest.approx(float(loss(*given)(logits, wanted)), abs=1e-5)


@pytest.mark.parametrize(
    "params",
    [
        {"hidden_dim": 2},
        {"sampler": "exact"},
        {"sampler": "gibbs"},
        {"sampler": "gwg", "sampler_steps": 30},
        {"sampler": "dlp"},
        {"hidden_dim": 2, "sampler": "gibbs"},
        {"use_preprocessing": True, "epochs": 10},
        {"preprocessing_layer_widths": [3], "preprocessing_init": "units"},
    ],
    ids=lambda params: "-".join(map(str, params.values())),
)
def test_deep_fits_are_as_good_as_on_the_cpu(params) -> None:
    truth, matrix = answers(40 if SIMULATED else 2000, missing=0.3)
    if SIMULATED:  # it draws what the CPU draws
        descends = "sampler" in params or "use_preprocessing" in params
        params = {**params, **({"epochs": 2} if descends else {"tol": 0.1})}
    gpu, cpu = (DEEM(device=place, **params).fit(matrix) for place in (GPU, "cpu"))
    if SIMULATED:
        np.testing.assert_allclose(gpu.probas_, cpu.probas_, atol=1e-6)
        return
    assert abs(gpu.score(matrix, truth) - cpu.score(matrix, truth)) < 0.02
    again = DEEM(device=GPU, **params).fit(matrix)
    assert np.array_equal(again.predict(matrix), gpu.predict(matrix))


def test_a_model_is_read_on_the_cpu(tmp_path) -> None:
    _, matrix = answers(100)
    model = DEEM(device=GPU, use_preprocessing=True, epochs=2).fit(matrix)
    model.save(tmp_path / "model")
    other = DEEM.load(tmp_path / "model").set_params(device="cpu")
    np.testing.assert_allclose(other.predict_proba(matrix), model.predict_proba(matrix), atol=1e-4)


def test_ladder_networks_train() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=240)
    X = np.clip(rng.random((3, 6))[truth] + rng.normal(0, 0.05, (240, 6)), 0, 1)
    settings = {"n_models": 3, "layers": (32,), "epochs": 6, "noise": 0.2, "unsupervised": 1.0}
    settings["n_iter"] = 3
    if SIMULATED:
        settings |= {"n_models": 2, "n_iter": 1, "epochs": 2, "negative": 0.5}
    gpu, cpu = (
        Kingdra(3, device=device, **settings).fit(X, truth=truth) for device in (GPU, "cpu")
    )
    assert (
        gpu.history_["n_clusters"].iloc[:-1].max() == 3
    )  # so that it is trained on pseudo-labels, too
    if SIMULATED:
        np.testing.assert_array_equal(gpu.labels_, cpu.labels_)
    else:
        assert gpu.history_["accuracy"].iloc[-1] > 0.9
    np.testing.assert_array_equal(gpu.predict(X), gpu.labels_)


def test_dec_and_hume_are_fitted() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=300)
    first = 3 * np.eye(6)[truth] + rng.normal(0, 0.3, (300, 6))
    second = 3 * np.eye(3)[truth] @ rng.normal(size=(3, 5)) + rng.normal(0, 0.3, (300, 5))
    small = {"layers": (16, 4), "pretrain_epochs": 20, "update_interval": 5, "max_iter": 20}
    fast = {"n_labelings": 3, "n_steps": 40, "inner_steps": 20, "cv": 3}
    if SIMULATED:
        small |= {"pretrain_epochs": 2, "update_interval": 1, "max_iter": 2}
        fast |= {"n_labelings": 2, "n_steps": 2, "inner_steps": 2}
    dec, on_cpu = (DEC(3, device=device, **small).fit(first) for device in (GPU, "cpu"))
    np.testing.assert_array_equal(dec.predict(first), dec.labels_)
    centred = first - first.mean(0)
    hume, as_well = (HUME(3, device=device, **fast).fit(centred, second) for device in (GPU, "cpu"))
    np.testing.assert_array_equal(hume.predict(centred), hume.labels_)
    for gpu, cpu in ((dec, on_cpu), (hume, as_well)):
        if SIMULATED:
            np.testing.assert_array_equal(gpu.labels_, cpu.labels_)
        else:
            assert adjusted_rand_score(truth, gpu.labels_) > 0.8
