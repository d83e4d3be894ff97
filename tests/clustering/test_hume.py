"""HUME: the inner gradient, orthonormal heads, sparsemax, and a labelling that both representations share."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

from deem_crowd.clustering import HUME, generalisation_score
from deem_crowd.clustering.deep import hume
from deem_crowd.clustering.deep.inner import LinearFit, largest_rate
from deem_crowd.exceptions import DataError, FormError, ParameterError

FAST = {"n_labelings": 3, "n_steps": 40, "inner_steps": 20, "cv": 3, "subset": 200}


def drawn(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def views(seed: int, n: int = 400, k: int = 3, decoy: bool = True):
    """Two linear views of one class with noise; the first one also shows another labelling, which the second lacks."""
    rng = np.random.default_rng(seed)
    shared, other = rng.integers(k, size=n), rng.integers(k, size=n)
    first = 3 * np.eye(k)[shared] @ rng.normal(size=(k, 6))
    if decoy:
        first = np.hstack([3 * np.eye(k)[shared], 3 * np.eye(k)[other]])
    second = 3 * np.eye(k)[shared] @ np.linalg.qr(rng.normal(size=(8, 8)))[0][:k]
    first = first + rng.normal(size=first.shape) * 0.5
    second = second + rng.normal(size=second.shape) * 0.5
    return first - first.mean(0), second, shared, other


# ---------------------------------------------------------------------------- inner problem


def test_the_fit_is_gradient_descent() -> None:
    phi, start = drawn(0, 30, 4), drawn(1, 2, 4, 3)
    tau = torch.softmax(drawn(2, 2, 30, 3), -1)
    found = LinearFit.apply(tau, phi, start, 0.5, 5)
    w = start.clone().requires_grad_()
    for _ in range(5):
        loss = -(tau * torch.log_softmax(phi @ w, -1)).sum(-1).mean(-1).sum()
        (gradient,) = torch.autograd.grad(loss, w)
        w = (w - 0.5 * gradient).detach().requires_grad_()
    torch.testing.assert_close(found, w.detach(), rtol=1e-10, atol=1e-12)


def test_the_gradient_goes_through_all_steps() -> None:
    """N = 30 rows, D = 5 steps: finite differences in 64 bits, by labels and by start."""
    phi, start = drawn(0, 30, 4), drawn(1, 2, 4, 3).requires_grad_()
    tau = torch.softmax(drawn(2, 2, 30, 3), -1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda t, s: LinearFit.apply(t, phi, s, 0.7, 5),
        (tau, start),
        eps=1e-6,
        atol=1e-8,
        rtol=1e-6,
    )


def test_the_objective_has_the_right_gradient() -> None:
    phi, first = drawn(0, 30, 4), drawn(3, 30, 5)
    start, free = drawn(1, 1, 4, 3), drawn(4, 1, 5, 3).requires_grad_()

    def objective(v):
        tau = torch.softmax(first @ hume.orthonormal(v).transpose(-1, -2) / 0.5, -1)
        return hume.outer_loss(tau, phi, 20, start, 0.5, 5, 2.0)

    assert torch.autograd.gradcheck(objective, (free,), eps=1e-6, atol=1e-8, rtol=1e-6)


def test_the_largest_rate_bounds_the_curvature() -> None:
    phi = drawn(0, 40, 5)
    w = drawn(1, 5 * 3).requires_grad_()
    tau = torch.softmax(drawn(2, 40, 3), -1)

    def loss(v):
        return -(tau * torch.log_softmax(phi @ v.view(5, 3), -1)).sum(-1).mean()

    for scale in (0.0, 0.1, 1.0):
        hessian = torch.autograd.functional.hessian(loss, (scale * w).detach())
        assert torch.linalg.eigvalsh(hessian).max() <= 1 / largest_rate(phi) + 1e-12


# -------------------------------------------------------------------------------- labelling


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_heads_have_orthonormal_rows(seed) -> None:
    w = hume.orthonormal(drawn(seed, 3, 7, 4).float())
    eye = torch.eye(4).expand(3, 4, 4)
    assert (w @ w.transpose(-1, -2) - eye).abs().max() < 1e-5


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_a_labelling_is_the_nearest_point_of_the_simplex(seed) -> None:
    w, phi = drawn(seed, 1, 3, 5), drawn(seed + 1, 1, 5)
    found = hume.labelling(w, phi, 0.5)[0, 0].numpy()
    wanted = (phi @ w[0].T / 0.5)[0].numpy()
    oracle = minimize(
        lambda p: ((p - wanted) ** 2).sum(),
        np.full(3, 1 / 3),
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 200},
    ).x
    np.testing.assert_allclose(found, oracle, atol=1e-5)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)


# ------------------------------------------------------------------------------------ score


def test_names_play_no_part_in_the_score_and_flips_lower_it() -> None:
    _, second, truth, _ = views(0)
    rng = np.random.default_rng(1)
    score = generalisation_score(truth, second, 5)
    assert generalisation_score(np.array([2, 0, 1])[truth], second, 5) == pytest.approx(
        score, abs=0.01
    )
    flipped = np.where(rng.random(len(truth)) < 0.1, rng.integers(3, size=len(truth)), truth)
    assert score > generalisation_score(flipped, second, 5) + 0.03
    chance = generalisation_score(rng.integers(3, size=len(truth)), second, 5)
    assert chance < 0.45
    assert generalisation_score(np.array(["a"] * 30), second[:30], 5) == 1


def test_what_cannot_be_scored() -> None:
    _, second, truth, _ = views(0, 20)
    with pytest.raises(DataError, match="cv=30 and only 20 rows"):
        generalisation_score(truth, second, 30)
    with pytest.raises(DataError, match=r"labels have shape \(19,\)"):
        generalisation_score(truth[:19], second)
    with pytest.raises(ParameterError, match="cv=1"):
        generalisation_score(truth, second, 1)


# ------------------------------------------------------------------------------------ whole


@pytest.mark.parametrize("seed", range(3))
def test_the_shared_labelling_is_found_and_the_decoy_is_not(seed) -> None:
    first, second, shared, other = views(seed)
    before = torch.random.get_rng_state()
    model = HUME(3, **FAST, random_state=seed).fit(first, second)
    assert torch.equal(before, torch.random.get_rng_state())
    assert adjusted_rand_score(shared, model.labels_) > 0.85
    assert abs(adjusted_rand_score(other, model.labels_)) < 0.1
    assert adjusted_rand_score(shared[model.reliable_], model.labels_[model.reliable_]) > 0.95


def test_what_a_fit_keeps() -> None:
    first, second, _, _ = views(0, 150)
    model = HUME(3, **{**FAST, "n_steps": 15}).fit(first, second)
    assert model.labelings_.shape == (150, 3)
    assert (model.scores_ <= 1).all()
    assert (model.entropies_ <= math.log(3) + 1e-9).all()
    shares = np.stack([(model.labelings_ == c).mean(1) for c in range(3)], 1)
    np.testing.assert_array_equal(model.labels_, shares.argmax(1))
    assert (shares.max(1)[model.reliable_] >= 0.9).all()
    np.testing.assert_array_equal(model.predict(first), model.labels_)
    again = clone(model)
    np.testing.assert_array_equal(again.fit_predict(first, second), model.labels_)


def test_labelings_in_turn_are_as_good_as_at_once(monkeypatch) -> None:
    first, second, shared, _ = views(0)
    monkeypatch.setattr(hume, "_CELLS", 1)
    assert adjusted_rand_score(shared, HUME(3, **FAST).fit_predict(first, second)) > 0.85


def test_bad_input_is_said() -> None:
    first, second, _, _ = views(0, 60)
    small = {**FAST, "n_steps": 2, "inner_steps": 2}
    fitted = HUME(3, **small).fit(first, second)
    labels = fitted.labels_
    broken = second.copy()
    broken[0, 0] = np.nan
    for one, two, text in [
        (first, broken, "phi2 has 1 missing or infinite value"),
        (first, second[:50], "phi1 has 60 rows and phi2 50"),
        (first[:2], second[:2], "only 2 rows in phi1"),
        (np.ones((60, 4)), second, "all 4 features of phi1 are constant"),
        (first, np.ones((60, 4)), "all 4 features of phi2 are constant"),
        (first[:, :2], second, "only 2 features of phi1 that vary"),
    ]:
        with pytest.raises(DataError, match=text):
            fitted.fit(one, two)
        assert fitted.labels_ is labels
    with pytest.raises(FormError, match="fit saw 6"):
        fitted.predict(first[:, :5])
    for bad in (
        {"n_clusters": 1},
        {"n_labelings": 0},
        {"temperature": 0},
        {"train_share": 2},
        {"cv": 1},
    ):
        with pytest.raises(ParameterError, match=next(iter(bad))):
            HUME(**{"n_clusters": 3, **small, **bad}).fit(first, second)
