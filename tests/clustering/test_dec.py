"""Autoencoder with k-means, and DEC: sizes, closed forms, and what has to hold of every fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from deem_crowd.clustering import DEC, AutoencoderKMeans
from deem_crowd.clustering.deep.autoencoder import Autoencoder, trained
from deem_crowd.clustering.deep.dec import divergence, soft_assignment, target_distribution
from deem_crowd.exceptions import DataError, FormError, ParameterError

SMALL = {"layers": (24, 5), "pretrain_epochs": 15, "batch_size": 64}


def drawn(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def blobs(n: int = 240):
    X, truth = make_blobs(n, 6, centers=3, cluster_std=0.6, random_state=0)
    return (X - X.min(0)) / np.ptp(X, axis=0), truth


def test_the_sizes_that_were_published() -> None:
    """784-500-500-2000-10: 3,330,794 weights, 1,665,010 of them in the encoder."""
    network = Autoencoder((784, 500, 500, 2000, 10), torch.Generator())
    assert sum(p.numel() for p in network.parameters()) == 3_330_794
    assert sum(p.numel() for p in network.encoder.parameters()) == 1_665_010
    for layer in network.encoder:
        if isinstance(layer, torch.nn.Linear):
            assert layer.weight.abs().max() <= layer.in_features**-0.5
            assert not layer.bias.any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 10))
def test_rows_sum_to_one_and_divergence_is_not_negative(seed, alpha) -> None:
    q = soft_assignment(drawn(seed, 12, 3), drawn(seed + 1, 4, 3), alpha)
    p = target_distribution(q)
    torch.testing.assert_close(q.sum(1), torch.ones(12, dtype=q.dtype))
    torch.testing.assert_close(p.sum(1), torch.ones(12, dtype=q.dtype))
    assert (divergence(p, q) >= -1e-12).all()


def test_fixed_points_of_the_target() -> None:
    one_hot = torch.eye(3, dtype=torch.float64).repeat(4, 1)
    torch.testing.assert_close(target_distribution(one_hot), one_hot)
    uniform = torch.full((5, 4), 0.25, dtype=torch.float64)
    torch.testing.assert_close(target_distribution(uniform), uniform)
    assert divergence(one_hot, one_hot).abs().max() == 0


def test_many_degrees_of_freedom_are_a_softmax() -> None:
    z, centres = drawn(0, 9, 3), drawn(1, 4, 3)
    gaussian = torch.softmax(-torch.cdist(z, centres).square() / 2, 1)
    torch.testing.assert_close(soft_assignment(z, centres, 1e7), gaussian, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_gradients_are_those_of_the_paper(alpha) -> None:
    z, centres = drawn(0, 8, 3).requires_grad_(), drawn(1, 4, 3).requires_grad_()
    q = soft_assignment(z, centres, alpha)
    p = target_distribution(q).detach()
    divergence(p, q).sum().backward()
    gap = z.detach()[:, None] - centres.detach()[None]
    pull = (p - q.detach()) / (1 + gap.square().sum(2) / alpha)
    by_row = (alpha + 1) / alpha * pull[..., None] * gap
    torch.testing.assert_close(z.grad, by_row.sum(1), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(centres.grad, -by_row.sum(0), rtol=1e-10, atol=1e-12)


def test_permuted_centres_permute_columns_alone() -> None:
    z, centres, order = drawn(0, 8, 3), drawn(1, 4, 3), [2, 0, 3, 1]
    q = soft_assignment(z, centres)
    torch.testing.assert_close(soft_assignment(z, centres[order]), q[:, order])
    torch.testing.assert_close(target_distribution(q[:, order]), target_distribution(q)[:, order])


def test_training_lowers_the_reconstruction_error() -> None:
    x = torch.as_tensor(blobs()[0], dtype=torch.float32)
    _, errors = trained(
        (6, 16, 3), x, epochs=25, batch_size=32, learning_rate=0.01,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    variance = float((x - x.mean(0)).square().mean())
    assert errors[-1] < 0.3 * variance


@pytest.mark.parametrize("kind", [AutoencoderKMeans, DEC])
def test_what_every_fit_keeps(kind) -> None:
    X, truth = blobs()
    before = torch.random.get_rng_state()
    more = {} if kind is AutoencoderKMeans else {"update_interval": 8, "max_iter": 40}
    model = kind(3, **SMALL, **more)
    labels = model.fit_predict(X)
    assert torch.equal(before, torch.random.get_rng_state())
    assert adjusted_rand_score(truth, labels) > 0.9
    np.testing.assert_array_equal(model.predict(X), labels)
    assert model.transform(X).shape == (240, 5)
    assert model.cluster_centers_.shape == (3, 5)
    assert len(model.reconstruction_) == 15
    np.testing.assert_array_equal(clone(model).fit(X).labels_, labels)
    wide = np.column_stack([X, np.full(240, 3.0)])
    np.testing.assert_array_equal(clone(model).fit(wide).labels_, labels)


def test_dec_starts_where_the_autoencoder_with_k_means_ends() -> None:
    X, _ = blobs()
    start = AutoencoderKMeans(3, **SMALL).fit(X)
    model = DEC(3, **SMALL, update_interval=8, max_iter=40, tol=0).fit(X)
    np.testing.assert_array_equal(model.initial_labels_, start.labels_)
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)
    history = model.history_
    assert history["step"].tolist() == [0, 8, 16, 24, 32, 40]
    assert np.isnan(history["changed"][0])
    unmoved = DEC(3, **SMALL, max_iter=0).fit(X)
    np.testing.assert_array_equal(unmoved.labels_, start.labels_)
    assert not np.allclose(model.cluster_centers_, unmoved.cluster_centers_)


def test_dec_stops_where_labels_rest() -> None:
    X, _ = blobs()
    history = DEC(3, **SMALL, update_interval=5, tol=1.0, max_iter=500).fit(X).history_
    assert history["step"].tolist() == [0, 5]  # never at the first update


@pytest.mark.parametrize("kind", [AutoencoderKMeans, DEC])
def test_bad_input_is_said(kind) -> None:
    X, _ = blobs(30)
    fitted = kind(3, **SMALL).fit(X)
    labels = fitted.labels_
    broken = X.copy()
    broken[3, 1] = np.inf
    for data, error, text in [
        (broken, DataError, r"1 missing or infinite value"),
        (X[:2], DataError, "only 2 rows"),
        (np.ones((8, 2)), DataError, "all 2 features of X are constant"),
        (np.tile(X[:2], (9, 1)), DataError, "only 2 distinct rows"),
        (X[0], FormError, "number of features"),
    ]:
        with pytest.raises(error, match=text):
            fitted.fit(data)
        assert fitted.labels_ is labels
    with pytest.raises(FormError, match="has 4 features, and fit saw 6"):
        fitted.predict(X[:, :4])
    for bad in ({"n_clusters": 0}, {"layers": [0]}, {"pretrain_epochs": 0}, {"n_init": 0}):
        with pytest.raises(ParameterError, match=next(iter(bad))):
            kind(**{**SMALL, **bad}).fit(X)
    for bad in ({"alpha": 0}, {"update_interval": 0}, {"tol": -1}, {"max_iter": -1}):
        if kind is DEC:
            with pytest.raises(ParameterError, match=next(iter(bad))):
                DEC(3, **SMALL, **bad).fit(X)
