"""The same code on CUDA; skipped, with the reason, where there is no such device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from deem_crowd import DEEM
from deem_crowd.clustering import DEC, HUME, Kingdra
from deem_crowd.selection.candidates import IN_ORDER

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


@pytest.mark.parametrize("params", [{}, {"subtypes": 2}, {"gauge": "free"}], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fit_on_cuda_equals_one_on_the_cpu(params, dtype) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 3000)
    matrix = np.where(rng.random((3000, 8)) < 0.7, truth[:, None], rng.integers(0, 3, (3000, 8)))
    matrix[rng.random(matrix.shape) < 0.4] = -1
    matrix[(matrix < 0).all(axis=1), 0] = 0
    found = [
        DEEM(device=device, dtype=dtype, **params).fit(matrix).predict_proba(matrix)
        for device in ("cuda", "cpu")
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6 if dtype == "float64" else 1e-2)


def test_an_order_of_the_classes_is_found_on_cuda_too() -> None:
    rng = np.random.default_rng(0)
    truth, bias = rng.integers(5, size=400), rng.normal(0, 0.8, 6)
    noise = rng.uniform(0.6, 1.6, 6) * rng.normal(size=(400, 6))
    said = np.clip(np.rint(truth[:, None] + bias + noise), 0, 4).astype(int)
    cuda, cpu = (DEEM(device=device, dtype="float64").fit(said) for device in ("cuda", "cpu"))
    assert (cpu.selection_["candidate"] == IN_ORDER).any()
    np.testing.assert_allclose(cuda.predict_proba(said), cpu.predict_proba(said), atol=1e-6)


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
def test_deep_fits_on_cuda_are_as_good_as_on_the_cpu(params) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 2000)
    matrix = np.where(rng.random((2000, 8)) < 0.7, truth[:, None], rng.integers(0, 3, (2000, 8)))
    matrix[rng.random(matrix.shape) < 0.3] = -1
    matrix[(matrix < 0).all(axis=1), 0] = 0
    cuda, cpu = (DEEM(device=device, **params).fit(matrix) for device in ("cuda", "cpu"))
    assert abs(cuda.score(matrix, truth) - cpu.score(matrix, truth)) < 0.02
    assert np.array_equal(
        DEEM(device="cuda", **params).fit(matrix).predict(matrix), cuda.predict(matrix)
    )


def test_a_model_from_cuda_predicts_on_the_cpu(tmp_path) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 3, (200, 5))
    model = DEEM(device="cuda", use_preprocessing=True, epochs=2).fit(matrix)
    model.save(tmp_path / "model")
    other = DEEM.load(tmp_path / "model").set_params(device="cpu")
    np.testing.assert_allclose(other.predict_proba(matrix), model.predict_proba(matrix), atol=1e-4)


def test_ladder_networks_train_on_cuda() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=240)
    X = np.clip(rng.random((3, 6))[truth] + rng.normal(0, 0.05, (240, 6)), 0, 1)
    settings = {"layers": (32,), "epochs": 6, "noise": 0.2, "unsupervised": 1.0, "n_iter": 3}
    model = Kingdra(3, n_models=3, device="cuda", **settings).fit(X, truth=truth)
    assert model.history_["accuracy"].iloc[-1] > 0.9
    np.testing.assert_array_equal(model.predict(X), model.labels_)


def test_dec_and_hume_fit_on_cuda() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=300)
    first = 3 * np.eye(6)[truth] + rng.normal(0, 0.3, (300, 6))
    second = 3 * np.eye(3)[truth] @ rng.normal(size=(3, 5)) + rng.normal(0, 0.3, (300, 5))
    small = {"layers": (16, 4), "pretrain_epochs": 20, "update_interval": 5, "max_iter": 20}
    dec = DEC(3, device="cuda", **small).fit(first)
    np.testing.assert_array_equal(dec.predict(first), dec.labels_)
    fast = {"n_labelings": 3, "n_steps": 40, "inner_steps": 20, "cv": 3}
    hume = HUME(3, device="cuda", **fast).fit(first - first.mean(0), second)
    np.testing.assert_array_equal(hume.predict(first - first.mean(0)), hume.labels_)
    for labels in (dec.labels_, hume.labels_):
        assert adjusted_rand_score(truth, labels) > 0.8
