"""Kingdra and its ladder networks: losses by hand and by torch's own layers, and what the whole does on easy data."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.datasets import load_iris, make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.tree import DecisionTreeClassifier
from torch.nn import functional as F

from deem_crowd import DEEM
from deem_crowd.clustering import AgreementClusters, Kingdra
from deem_crowd.clustering.deep import ladder
from deem_crowd.clustering.deep.features import matched_accuracy
from deem_crowd.exceptions import DataError, DataWarning, FormError, ParameterError


def blobs(n: int = 240, k: int = 3, seed: int = 0):
    X, truth = make_blobs(n, 6, centers=k, cluster_std=0.6, random_state=seed)
    return (X - X.min(0)) / np.ptp(X, axis=0), truth


def networks(n_models: int = 2, noise: float = 0.3, seed: int = 0) -> ladder.LadderNetworks:
    generator = torch.Generator().manual_seed(seed)
    return ladder.LadderNetworks((5, 7, 6, 3), n_models, noise, generator)


# ------------------------------------------------------------------------------ losses


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 20))
def test_information_lies_between_0_and_log_k(seed, k, n) -> None:
    p = torch.softmax(3 * torch.randn(n, k, generator=torch.Generator().manual_seed(seed)), -1)
    assert -1e-5 <= ladder.information(p) <= math.log(k) + 1e-5


def test_information_by_hand() -> None:
    balanced = torch.eye(4).repeat(3, 1)
    assert ladder.information(balanced).item() == pytest.approx(math.log(4), abs=1e-6)
    constant = torch.tensor([0.2, 0.5, 0.3]).repeat(7, 1)
    assert ladder.information(constant).item() == pytest.approx(0, abs=1e-6)
    assert ladder.information_loss(balanced, 1.0).item() == pytest.approx(-math.log(4), abs=1e-6)
    assert ladder.information_loss(balanced, 4.0).item() == pytest.approx(
        -4 * math.log(4), abs=1e-5
    )


def test_the_sign_that_is_printed_would_make_outputs_constant() -> None:
    """Minimising the information makes outputs forget the input; minimising the loss makes them tell rows apart."""
    X, _ = blobs()
    x = torch.as_tensor(X, dtype=torch.float32)
    reached = []
    for sign in (1.0, -1.0):
        weight = torch.nn.Parameter(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)))
        bias = torch.nn.Parameter(torch.zeros(3))
        optimiser = torch.optim.Adam([weight, bias], lr=0.1)
        for _ in range(200):
            p = torch.softmax(x @ weight + bias, -1)
            optimiser.zero_grad()
            (sign * ladder.information_loss(p, 1.0)).backward()
            optimiser.step()
        reached.append(ladder.information(torch.softmax(x @ weight + bias, -1)).item())
    assert reached[0] > 0.8 * math.log(3)
    assert reached[1] < 0.05


def test_dot_loss_by_hand() -> None:
    assert ladder.dot_loss(torch.eye(3)).item() == pytest.approx(0, abs=1e-6)
    alike = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert ladder.dot_loss(alike).item() == pytest.approx(0.5)  # two of four cells are 1 off


def test_consistency_is_a_divergence_and_leaves_the_clean_side_alone() -> None:
    clean = torch.randn(2, 8, 3, requires_grad=True)
    noisy = torch.randn(2, 8, 3, requires_grad=True)
    found = ladder.consistency_loss(clean, noisy)
    oracle = F.kl_div(torch.log_softmax(noisy, -1), torch.softmax(clean, -1), reduction="none").sum(
        -1
    )
    torch.testing.assert_close(found, oracle.mean(-1))
    found.sum().backward()
    assert clean.grad is None
    assert noisy.grad.abs().sum() > 0


def test_denoising_by_hand() -> None:
    first, last = torch.zeros(1, 2, 4), torch.zeros(1, 2, 3)
    clean = ladder.Pass([first, last])
    assert ladder.denoising_loss(clean, [first, last], (1000.0, 10.0)).item() == 0
    # both rows are off by 1 in one of 4 units, and by 2 in all 3: 1000/4 · 1 + 10/3 · 3 · 4
    off = first.clone()
    off[0, :, 0] = 1.0
    found = ladder.denoising_loss(clean, [off, last + 2], (1000.0, 10.0))
    assert found.item() == pytest.approx(250 + 40)


def test_the_combination_of_a_layer() -> None:
    rng = np.random.default_rng(0)
    z, u, a = rng.normal(size=4), rng.normal(size=4), rng.normal(size=10)

    def sigmoid(t):
        return 1 / (1 + np.exp(-t))

    mean = a[0] * sigmoid(a[1] * u + a[2]) + a[3] * u + a[4]
    factor = a[5] * sigmoid(a[6] * u + a[7]) + a[8] * u + a[9]
    found = ladder._combined(
        torch.tensor(z)[None, None],
        torch.tensor(u)[None, None],
        torch.tensor(a)[:, None, None, None],
    )
    np.testing.assert_allclose(found.numpy()[0, 0], (z - mean) * factor + mean)
    start = ladder._combination(1, 4, {"device": torch.device("cpu"), "dtype": torch.float32})
    assert start[[1, 6]].eq(1).all()
    assert start.sum() == 8


def test_the_encoder_is_batch_normalised_layers() -> None:
    nets = networks()
    with torch.no_grad():
        for shift in nets.shift:
            shift.normal_(generator=torch.Generator().manual_seed(3))
    x = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(2))
    clean = nets.encode(x, noisy=False)
    for m in range(2):
        h = x[m]
        for i in range(2):
            z = F.batch_norm(h @ nets.up[i][m], None, None, training=True)
            torch.testing.assert_close(clean.layers[i + 1][m], z, rtol=1e-4, atol=1e-5)
            h = torch.relu(z + nets.shift[i][m])
        torch.testing.assert_close(
            clean.logits[m], h @ nets.up[2][m] + nets.shift[2][m], rtol=1e-4, atol=1e-5
        )


def test_running_moments_come_to_those_of_a_batch() -> None:
    nets = networks()
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(2))
    for _ in range(400):
        clean = nets.encode(x.expand(2, 40, 5), noisy=False, remember=True)
    torch.testing.assert_close(
        nets.probabilities(x), torch.softmax(clean.logits, -1), rtol=1e-3, atol=1e-4
    )


def test_models_side_by_side_share_nothing() -> None:
    nets = networks(noise=0.0)
    x = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(2))
    clean = nets.encode(x, noisy=False)
    ladder.denoising_loss(clean, nets.decode(clean), (1.0,))[0].backward()
    for parameter in [*nets.up, *nets.down, *nets.combine]:
        side = 1 if parameter.ndim == 4 else 0
        mine, other = parameter.grad.select(side, 0), parameter.grad.select(side, 1)
        assert other.abs().sum() == 0
        assert mine.isfinite().all()


# -------------------------------------------------------------------------------- whole


@pytest.mark.parametrize("base", ["ladder-im", "ladder-dot"])
def test_blobs_are_found(base) -> None:
    X, truth = blobs()
    settings_ = {"layers": (32,), "epochs": 6, "noise": 0.2, "unsupervised": 1.0}
    before = torch.random.get_rng_state()
    model = Kingdra(3, n_models=3, n_iter=3, base=base, **settings_).fit(X, truth=truth)
    assert torch.equal(before, torch.random.get_rng_state())
    assert matched_accuracy(model.labels_, truth) > 0.95
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    np.testing.assert_allclose(model.predict_proba(X[:5]).sum(1), 1)
    history = model.history_
    assert history["round"].tolist() == [0, 1, 2, 3]
    assert history["coverage"].between(0, 1).all()
    assert history["accuracy"].iloc[-1] == pytest.approx(matched_accuracy(model.labels_, truth))
    inside = model.pseudo_labels_ >= 0
    assert inside.mean() == pytest.approx(history["coverage"].iloc[-1])
    again = clone(model).fit(X)
    np.testing.assert_array_equal(again.labels_, model.labels_)
    assert "purity" not in again.history_
    consensus = DEEM(n_classes=3).fit(model.sources_).predict(model.sources_)
    assert matched_accuracy(np.asarray(consensus), truth) > 0.95


@pytest.mark.parametrize(
    "base",
    [
        GaussianMixture(3, covariance_type="diag"),
        KMeans(3, n_init=1),
        AgglomerativeClustering(3),
        (KMeans(3, n_init=1), LogisticRegression(C=10)),
        (KMeans(3, n_init=1), DecisionTreeClassifier(max_depth=3)),
    ],
    ids=["mixture", "k-means", "agglomerative", "pair, logistic", "pair, tree"],
)
def test_estimators_as_base(base) -> None:
    X, truth = blobs()
    model = Kingdra(3, n_models=4, n_iter=2, base=base)
    assert matched_accuracy(model.fit_predict(X), truth) > 0.95
    assert model.predict(X[:7]).shape == (7,)
    assert clone(model).get_params()["n_models"] == 4


def test_one_model_agrees_with_itself_and_gains_nothing() -> None:
    X = load_iris().data
    pair = (KMeans(3, n_init=1), DecisionTreeClassifier())
    one = Kingdra(3, n_models=1, n_iter=0, base=pair).fit(X)
    iterated = Kingdra(3, n_models=1, n_iter=4, base=pair).fit(X)
    np.testing.assert_array_equal(iterated.labels_, one.labels_)
    assert (iterated.history_["coverage"] == 1).all()
    np.testing.assert_array_equal(iterated.pseudo_labels_, iterated.labels_)


def test_the_first_round_has_epochs_of_its_own() -> None:
    X, _ = blobs(60)
    kind = {"n_models": 2, "layers": (4,), "batch_size": 16}
    long = Kingdra(3, n_iter=0, epochs=3, **kind).fit(X).predict_proba(X)
    first = Kingdra(3, n_iter=0, epochs=1, first_epochs=3, **kind).fit(X).predict_proba(X)
    short = Kingdra(3, n_iter=0, epochs=1, **kind).fit(X).predict_proba(X)
    np.testing.assert_array_equal(first, long)
    assert (first != short).any()


def test_a_round_trains_on_what_the_graph_says() -> None:
    """The base is told exactly the clusters of the graph, each model under its own names."""

    class Recorder(KMeans):
        seen: ClassVar[list] = []

        def fit(self, X, y=None, sample_weight=None):
            Recorder.seen.append(None if y is None else np.asarray(y))
            return super().fit(X)

    X = load_iris().data
    Kingdra(3, n_models=3, n_iter=1, base=Recorder(3, n_init=1, init="random")).fit(X)
    first, later = Recorder.seen[:3], Recorder.seen[3:]
    assert first == [None] * 3
    answers = np.stack(
        [
            KMeans(3, n_init=1, init="random", random_state=int(s)).fit_predict(
                X.astype(np.float32)
            )
            for s in np.random.default_rng(0).integers(2**31 - 1, size=3)
        ],
        axis=1,
    )
    cluster = AgreementClusters(3, 1.0, 0.9).fit(answers).labels_.to_numpy()
    for m, told in enumerate(later):
        assert ((told >= 0) == (cluster >= 0)).all()
        assert (told[cluster >= 0] == answers[cluster >= 0, m]).all()  # all models agreed


def test_without_all_clusters_no_pseudo_labels_are_taken_and_that_is_said() -> None:
    """Two models that share one boundary of two cannot grow three clusters that differ in both."""

    class Fixed(KMeans):
        calls: ClassVar[int] = 0

        def fit(self, X, y=None, sample_weight=None):
            assert y is None
            Fixed.calls += 1
            cut = 0.4 if Fixed.calls % 2 else 0.6
            self.labels_ = (X[:, 0] > 0.2).astype(int) + (X[:, 0] > cut)
            return self

        def predict(self, X, sample_weight=None):
            return self.labels_

    X = np.column_stack([np.repeat([0.1, 0.3, 0.5], 10), np.random.default_rng(0).random(30)])
    with pytest.warns(DataWarning, match=r"no round grew 3 clusters \(at most 2\)"):
        model = Kingdra(3, n_models=2, n_iter=2, base=Fixed(3), negative=1.0).fit(X)
    assert model.history_["n_clusters"].tolist() == [2, 2, 2]
    assert (model.pseudo_labels_ >= 0).mean() == model.history_["coverage"].iloc[-1]


def test_unanimous_edges_are_the_same_with_and_without_the_short_way() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 3, (60, 4))
    fast = AgreementClusters(3, 1.0, 0.5).fit(matrix)
    slow = AgreementClusters(3, 0.99, 0.5).fit(matrix)  # 0.99 · 4 is 4 too, by the ceiling
    np.testing.assert_array_equal(fast.labels_, slow.labels_)


# ------------------------------------------------------------------------------ bad input


def test_what_cannot_be_clustered_is_said() -> None:
    X, truth = blobs(30)
    base = {"n_models": 2, "n_iter": 0, "base": KMeans(3, n_init=1)}
    missing = X.copy()
    missing[4, 2] = np.nan
    with pytest.raises(
        DataError, match=r"1 missing or infinite value, in 1 row \(4\) and 1 column \(2"
    ):
        Kingdra(3, **base).fit(missing)
    with pytest.raises(DataError, match=r"n_clusters=3 and only 2 rows"):
        Kingdra(3, **base).fit(X[:2])
    with pytest.raises(DataError, match=r"all 6 features of X are constant"):
        Kingdra(3, **base).fit(np.ones((9, 6)))
    with pytest.raises(DataError, match=r"n_clusters=3 and only 2 distinct rows"):
        Kingdra(3, **base).fit(np.repeat(X[:2], 10, axis=0))
    with pytest.raises(FormError, match=r"shape \(30,\)"):
        Kingdra(3, **base).fit(X[:, 0])
    with pytest.raises(FormError, match="matrix of numbers"):
        Kingdra(3, **base).fit([["a", "b"], ["c", "d"]])
    with pytest.raises(DataError, match=r"truth has shape \(29,\)"):
        Kingdra(3, **base).fit(X, truth=truth[:29])
    with pytest.raises(ParameterError, match="gives labels from 0 to 4"):
        Kingdra(3, **{**base, "base": KMeans(5, n_init=1)}).fit(X)
    fitted = Kingdra(3, **base).fit(X)
    labels = fitted.labels_
    with pytest.raises(DataError):
        fitted.fit(missing)
    assert fitted.labels_ is labels
    with pytest.raises(FormError, match="has 5 features, and fit saw 6"):
        fitted.predict(X[:, :5])


@pytest.mark.parametrize(
    "bad",
    [
        {"n_clusters": 0},
        {"n_models": 2.5},
        {"n_iter": -1},
        {"base": "ladder"},
        {"base": object()},
        {"layers": ()},
        {"epochs": 0},
        {"first_epochs": 0},
        {"batch_size": 1},
        {"noise": -1},
        {"learning_rate": math.nan},
        {"positive": 2.0},
        {"device": "nowhere"},
        {"random_state": -3},
    ],
    ids=lambda bad: next(iter(bad)),
)
def test_parameters(bad) -> None:
    with pytest.raises(ParameterError, match=next(iter(bad))):
        Kingdra(**{"n_clusters": 3, **bad}).fit(blobs(30)[0])


def test_a_constant_feature_does_no_harm() -> None:
    X, _ = blobs(60)
    wide = np.column_stack([X, np.full(len(X), 7.0)])
    model = Kingdra(3, n_models=3, n_iter=1, layers=(8,), epochs=2)
    labels = model.fit(X).labels_
    np.testing.assert_array_equal(model.fit(wide).labels_, labels)
    np.testing.assert_array_equal(model.predict(wide), labels)
