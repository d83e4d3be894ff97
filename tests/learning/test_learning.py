"""Losses, targets and the meta-estimator."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier

from deem_crowd import DEEM, Answers, DataError, DataWarning, DEEMAggregator, ParameterError
from deem_crowd.exceptions import FormError
from deem_crowd.learning import (
    BootstrapLoss,
    CrowdClassifier,
    CrowdLoss,
    sample_weights,
    soft_targets,
)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    t = torch.softmax(torch.randn(7, 4, generator=generator, dtype=torch.float64), 1)
    return z, t


def slope(loss, z, *rest):
    z = z.clone().requires_grad_()
    loss(z, *rest).backward()
    return z.grad


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_beta_one_is_cross_entropy(batch, kind):
    z, t = batch
    found = BootstrapLoss(kind, 1.0)(z, t)
    assert float(found) == pytest.approx(float(torch.nn.functional.cross_entropy(z, t)), abs=1e-14)
    classes = t.argmax(1)
    found = BootstrapLoss(kind, 1.0)(z, classes)
    assert float(found) == pytest.approx(
        float(torch.nn.functional.cross_entropy(z, classes)), abs=1e-14
    )


def test_beta_zero_is_entropy(batch):
    z, t = batch
    q = torch.softmax(z, 1)
    entropy = torch.distributions.Categorical(q).entropy()
    torch.testing.assert_close(BootstrapLoss("soft", 0.0, reduction="none")(z, t), entropy)
    certain = 1000 * torch.eye(4, dtype=torch.float64)
    assert float(BootstrapLoss("soft", 0.0)(certain, torch.arange(4))) == pytest.approx(
        0, abs=1e-12
    )


def test_gradients_by_formula(batch):
    z, t = batch
    beta, q = 0.7, torch.softmax(batch[0], 1)
    entropy = -(q * q.log()).sum(1, keepdim=True)
    soft = beta * (q - t) - (1 - beta) * q * (q.log() + entropy)
    torch.testing.assert_close(
        slope(BootstrapLoss("soft", beta, reduction="sum"), z, t), soft, atol=1e-10, rtol=0
    )
    own = torch.nn.functional.one_hot(q.argmax(1), 4).double()
    hard = q - (beta * t + (1 - beta) * own)
    torch.testing.assert_close(
        slope(BootstrapLoss("hard", beta, reduction="sum"), z, t), hard, atol=1e-10, rtol=0
    )


def test_a_stopped_gradient_would_be_plain_training(batch):
    z, t = batch
    beta = 0.6

    def stopped(logits, target):
        log_q = torch.log_softmax(logits, 1)
        return -((beta * target + (1 - beta) * log_q.exp().detach()) * log_q).sum()

    plain = beta * slope(torch.nn.CrossEntropyLoss(reduction="sum"), z, t)
    torch.testing.assert_close(slope(stopped, z, t), plain)
    ours = slope(BootstrapLoss("soft", beta, reduction="sum"), z, t)
    assert (ours - plain).abs().max() > 1e-3


def test_reconstruction_by_hand(batch):
    z, t = batch
    x = torch.arange(21, dtype=torch.float64).reshape(7, 3)
    loss = BootstrapLoss("reconstruction", 0.1, n_classes=4, n_features=3, reduction="sum").double()
    torch.nn.init.normal_(loss.decoder, generator=torch.Generator().manual_seed(1))
    table, q, total = torch.softmax(loss.noise, 0), torch.softmax(z, 1), 0.0
    for n in range(7):
        for k in range(4):
            total -= float(t[n, k]) * np.log(sum((table[k, j] * q[n, j]).item() for j in range(4)))
        total += 0.1 * float(((x[n] - loss.decoder @ q[n]) ** 2).sum().item())
    assert loss(z, t, x).item() == pytest.approx(total, rel=1e-9)
    assert {name for name, _ in loss.named_parameters()} == {"noise", "decoder"}


@pytest.fixture
def answered():
    rng = np.random.default_rng(0)
    tables = rng.dirichlet(np.ones(3), (4, 3)).transpose(0, 2, 1)
    answers = torch.from_numpy(rng.integers(-1, 3, (6, 4)))
    z = torch.from_numpy(rng.normal(size=(6, 3)))
    return tables.astype(np.float32), answers, z


def test_crowd_loss_by_enumeration(answered):
    tables, answers, z = answered
    q = torch.softmax(z, 1).numpy()
    joint, marginal = np.zeros(6), np.zeros(6)
    for n in range(6):
        total = 0.0
        for h in range(3):
            product = q[n, h]
            for i in range(4):
                if answers[n, i] >= 0:
                    product *= tables[i, answers[n, i], h]
            total += product
        joint[n] = -np.log(total)
        marginal[n] = -sum(
            np.log(sum(tables[i, answers[n, i], h] * q[n, h] for h in range(3)))
            for i in range(4)
            if answers[n, i] >= 0
        )
    for kind, expected in (("joint", joint), ("marginal", marginal)):
        found = CrowdLoss(tables, kind, reduction="none")(z, answers)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_both_crowd_losses_agree_on_one_answer(answered):
    tables, answers, z = answered
    one = torch.full_like(answers, -1)
    one[torch.arange(6), torch.arange(6) % 4] = answers[
        torch.arange(6), torch.arange(6) % 4
    ].clamp_min(0)
    torch.testing.assert_close(
        CrowdLoss(tables, "joint")(z, one), CrowdLoss(tables, "marginal")(z, one)
    )


def test_crowd_loss_pulls_towards_the_posterior(answered):
    tables, answers, z = answered
    loss = CrowdLoss(tables, reduction="sum")
    log_q = torch.log_softmax(z, 1)
    evidence = torch.zeros(6, 3, dtype=torch.float64)
    for n, i in itertools.product(range(6), range(4)):
        if answers[n, i] >= 0:
            evidence[n] += torch.from_numpy(tables[i, answers[n, i]]).double().log()
    posterior = torch.softmax(log_q + evidence, 1)
    torch.testing.assert_close(
        slope(loss, z, answers), log_q.exp() - posterior, atol=1e-6, rtol=1e-5
    )


def test_crowd_loss_is_the_likelihood_of_the_model():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 400)
    matrix = np.where(rng.random((400, 5)) < 0.7, truth[:, None], rng.integers(0, 3, (400, 5)))
    matrix[rng.random((400, 5)) < 0.3] = -1
    matrix[:, 0] = np.where(matrix.max(axis=1) < 0, 0, matrix[:, 0])
    model = DEEM(auto_hyperparameters=False, penalty=None, dtype="float64").fit(matrix)
    z = torch.from_numpy(np.log(model.priors_)).expand(400, 3)
    found = float(CrowdLoss(model)(z, torch.from_numpy(matrix)))
    assert -found == pytest.approx(model.history_["log_likelihood"][-1], abs=1e-4)


def test_learned_tables_are_parameters(answered):
    tables, answers, z = answered
    loss = CrowdLoss(tables, learn=True)
    before = loss(z, answers).item()
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.05)
    for _ in range(20):
        optimiser.zero_grad()
        value = loss(z, answers)
        value.backward()
        optimiser.step()
    assert loss(z, answers).item() < before
    np.testing.assert_allclose(loss.confusion.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: BootstrapLoss("firm"), ParameterError, "'soft', 'hard', 'reconstruction'"),
        (lambda: BootstrapLoss("soft", 1.5), ParameterError, "beta=1.5"),
        (lambda: BootstrapLoss("reconstruction"), ParameterError, "n_classes and n_features"),
        (lambda: BootstrapLoss(reduction="max"), ParameterError, "reduction"),
        (lambda: BootstrapLoss()(torch.zeros(3, 2), torch.zeros(4)), FormError, "target has shape"),
        (lambda: BootstrapLoss()(torch.zeros(3), torch.zeros(3)), FormError, "logits have shape"),
        (lambda: CrowdLoss(np.eye(3)), FormError, "shape"),
        (lambda: CrowdLoss(np.full((2, 2, 2), 0.9)), DataError, "do not sum to 1"),
        (
            lambda: CrowdLoss(np.eye(2)[None])(torch.zeros(3, 2), torch.zeros(3, 2).long()),
            FormError,
            "1 workers",
        ),
        (
            lambda: CrowdLoss(np.eye(2)[None])(torch.zeros(1, 2), torch.tensor([[2]])),
            DataError,
            "outside",
        ),
        (lambda: soft_targets([1, 2]), FormError, "a fitted aggregator"),
        (lambda: sample_weights(DEEMAggregator()), NotFittedError, "call fit first"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.fixture(scope="module")
def wine():
    x, y = load_wine(return_X_y=True)
    rng = np.random.default_rng(2)
    rows = [
        (n, i, y[n] if rng.random() < 0.75 else rng.integers(0, 3))
        for n, i in itertools.product(range(len(y)), range(3))
    ]
    return x, y, pd.DataFrame(rows, columns=["task", "worker", "label"])


def test_targets_and_weights(wine):
    _, _, frame = wine
    agg = DEEMAggregator().fit(frame)
    targets = soft_targets(agg)
    pd.testing.assert_frame_equal(targets, agg.probas_)
    targets.iloc[:] = 0  # a copy
    assert float(agg.probas_.to_numpy().sum()) == pytest.approx(178)
    weights = sample_weights(agg)
    assert weights.index.equals(agg.labels_.index)
    assert weights.between(0, 1).all()
    order = agg.probas_.max(axis=1).rank()
    assert weights.corr(order, method="spearman") > 0.8

    class Known:
        probas_ = np.array([[0.5, 0.5], [1.0, 0.0], [0.9, 0.1]])

    entropy = -(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1))
    np.testing.assert_allclose(sample_weights(Known()), [0, 1, 1 - entropy], atol=1e-12)

    class Flat:
        probas_ = np.full((3, 2), 0.5)

    with pytest.warns(DataWarning, match="nearly uniform.*features="):
        assert (soft_targets(Flat()) == 0.5).all()


@pytest.mark.usefixtures("few_fits")
def test_crowd_classifier(wine):
    x, y, frame = wine
    model = CrowdClassifier(random_state=0).fit(x, frame)
    assert (model.predict(x) == y).mean() > 0.9
    assert model.score(x, y) == pytest.approx((model.predict(x) == y).mean())
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1, rtol=1e-6)
    assert model.labels_.equals(DEEMAggregator(random_state=0).fit_predict(frame, features=x))
    again = clone(model)
    assert not hasattr(again, "classes_")


@pytest.mark.usefixtures("few_fits")
def test_crowd_classifier_goes_row_by_row_through_frames(wine):
    x, _, frame = wine
    matrix = frame.pivot(index="task", columns="worker", values="label").fillna(-1).astype(int)
    part = np.random.default_rng(0).permutation(len(x))[:60]  # as cross-validation draws it
    features, answers = pd.DataFrame(x).iloc[part], matrix.iloc[part]
    model = CrowdClassifier(KNeighborsClassifier(7)).fit(features, answers)
    by_arrays = CrowdClassifier(KNeighborsClassifier(7)).fit(x[part], answers.to_numpy())
    np.testing.assert_array_equal(model.predict_proba(x), by_arrays.predict_proba(x))
    gaps = answers.astype(float).where(answers >= 0)
    score = by_arrays.score(x[part], answers.to_numpy())
    assert model.score(features, gaps) == model.score(features, gaps.astype(object)) == score


def test_crowd_classifier_of_a_matrix(wine):
    x, _, frame = wine
    matrix = frame.pivot(index="task", columns="worker", values="label").to_numpy()
    model = CrowdClassifier(KNeighborsClassifier(7)).fit((x - x.mean(0)) / x.std(0), matrix)
    assert list(model.classes_) == [0, 1, 2]
    assert isinstance(model.estimator_, KNeighborsClassifier)
    some = (x - x.mean(0)) / x.std(0)
    tables, q = model.aggregator_.confusion_, model.predict_proba(some)
    matrix = np.nan_to_num(matrix, nan=-1).astype(int)
    for n, answers in enumerate(matrix):
        for i in np.flatnonzero(answers >= 0):
            q[n] *= tables[i, answers[i]]
    assert model.score(some, matrix) == pytest.approx(np.log(q.sum(axis=1)).mean(), abs=1e-4)
    with pytest.warns(DataWarning), pytest.raises(DataError, match="too little"):
        CrowdClassifier().fit(x[:5], matrix[:5])


@pytest.mark.usefixtures("few_fits")
@pytest.mark.parametrize("absent", [1, 2])
def test_a_class_may_be_missing_among_the_tasks_of_a_fold(absent) -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 3
    x = rng.normal(size=(60, 4)) + 3 * np.eye(3, 4)[truth]
    answers = np.where(rng.random((60, 5)) < 0.8, truth[:, None], rng.integers(3, size=(60, 5)))
    seen, rest = np.where(answers == absent, -1, answers)[:30], slice(30, 60)
    model = CrowdClassifier(n_classes=3).fit(x[:30], seen)
    assert model.classes_.tolist() == [k for k in range(3) if k != absent]
    assert np.isfinite(model.score(x[rest], answers[rest]))
    with pytest.raises(DataError, match="n_classes=3"):
        CrowdClassifier().fit(x[:30], seen).score(x[rest], answers[rest])


@pytest.mark.usefixtures("few_fits")
def test_what_does_not_fit_is_said() -> None:
    rng = np.random.default_rng(0)
    x, answers = rng.normal(size=(40, 3)), rng.integers(2, size=(40, 4))
    x[:, 0] += 3 * answers[:, 0]
    model = CrowdClassifier().fit(x, answers)
    with pytest.raises(FormError, match=r"sample_weight has shape \(3,\); needed is \(40,\)"):
        model.score(x, answers, sample_weight=np.ones(3))
    long = Answers.from_dense(answers, 2)
    with pytest.raises(ParameterError, match="n_classes is for answers as a matrix"):
        CrowdClassifier(n_classes=2).fit(x, long)
