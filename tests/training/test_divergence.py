"""Training by samples: its gradient against the exact one, where it ends, and what it notes on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from examples import SCALE
from models import batch_of, coded, copies, experts, tiny_network

import deem_crowd.training.contrastive as divergence_module
from deem_crowd import DEEM, Answers, DEEMAggregator, samplers
from deem_crowd.exceptions import ParameterError, UnsupportedError
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.network import Batches
from deem_crowd.samplers.base import one_hot

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def crowd(n: int = 400, d: int = 30, k: int = 3, per_task: int = 6, seed: int = 0):
    """A sparse matrix of answers of differing quality."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(k, size=n, p=[0.5] + [0.5 / (k - 1)] * (k - 1))
    skill = rng.beta(6, 3, size=d)
    data = np.full((n, d), -1)
    for task in range(n):
        chosen = rng.choice(d, size=per_task, replace=False)
        right = rng.random(per_task) < skill[chosen]
        wrong = (truth[task] + rng.integers(1, k, size=per_task)) % k
        data[task, chosen] = np.where(right, truth[task], wrong)
    return data, truth


@pytest.mark.parametrize("name", list(samplers.BUILT_IN))
@pytest.mark.parametrize("n_units", [1, 2])
def test_the_gradient_of_long_chains_approaches_the_exact_one(name, n_units) -> None:
    """∂ log Z / ∂θ = −E[∂F / ∂θ] under the model: by many chains, and by autograd of the exact log Z."""
    k, mask_row = 3, [True, True, False, True]
    network = tiny_network(k, 4, n_units, seed=2)
    n = 20_000
    mask = torch.tensor([mask_row]).expand(n, -1)
    batch = batch_of(mask, k)
    parameters = list(network.parameters())
    exact = torch.autograd.grad(network.bind(batch_of([mask_row], k)).log_partition(
        torch.tensor([mask_row])).sum(), parameters)  # fmt: skip
    with torch.no_grad():
        energy = network.bind(batch)
    steps = {"exact": 1, "gibbs": 30, "gwg": 80, "dlp": 40}[name]
    state = torch.where(mask, 0, -1)
    state = samplers.BUILT_IN[name]().sample(
        energy, state, mask, steps, torch.Generator().manual_seed(0)
    )
    drawn = network.bind(batch).free_energy(one_hot(state, k, torch.float64)).mean()
    sampled = torch.autograd.grad(drawn, parameters)
    a = torch.cat([g.flatten() for g in exact])
    b = -torch.cat([g.flatten() for g in sampled])
    assert float((a - b).norm() / a.norm()) < 0.03


@pytest.mark.parametrize(
    ("name", "gauge"),
    [
        ("exact", "normalised"), ("exact", "free"), ("gibbs", "normalised"), ("gibbs", "free"),
        ("gwg", "normalised"), ("dlp", "free"),
    ],
)  # fmt: skip
def test_training_by_samples_ends_where_exact_training_does(name, gauge) -> None:
    data, truth = crowd(n=250)
    exact = DEEM(gauge=gauge).fit(data)
    sampled = DEEM(gauge=gauge, sampler=name, epochs=130).fit(data)  # a fifth of the default
    best, found = (m.history_["log_likelihood"][-1] for m in (exact, sampled))
    assert found > best - 0.01 * abs(best)
    assert abs(sampled.score(data, truth) - exact.score(data, truth)) <= 0.01
    assert np.abs(sampled.skills_ - exact.skills_).mean() < 0.03
    assert sampled.model_.weight.shape == exact.model_.weight.shape


REAL = {
    "crowd/bluebird": (200, {"gibbs": 5, "gwg": 10, "dlp": 5}),
    "crowd/dog": (400, {"gibbs": 10}),
    "crowd/product": (250, {"gwg": 10}),
    "ensemble/tree3k": (60, {"gwg": 10, "dlp": 5}),
    "ensemble/condind": (100, {"gibbs": 5, "dlp": 5}),
}
"""Steps, and samplers with their own steps before each: each is tried on three sets, and on all by `make fuzz`."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "steps", "name", "cd_k"),
    [
        (place, steps, name, cd_k)
        for place, (steps, tried) in REAL.items()
        for name, cd_k in (tried if SCALE == 1 else {"gibbs": 10, "gwg": 10, "dlp": 10}).items()
    ],
)
def test_training_by_samples_on_real_sets(place, steps, name, cd_k, monkeypatch) -> None:
    """In fewer steps than it takes by default, on the first tasks of a set."""
    monkeypatch.setattr(divergence_module, "_STEPS", steps)
    monkeypatch.setattr(divergence_module, "_FEWEST_EPOCHS", 7)
    folder = DATA / place
    if not folder.is_dir():
        pytest.skip(f"the label set {place} is not at hand")
    frame = pd.read_csv(next(folder.glob("labels.csv*")))
    gold = pd.read_csv(next(folder.glob("truth.csv*"))).set_index("task")["label"]
    answers = Answers.from_frame(frame.drop_duplicates(["task", "worker"], keep="last"))
    answers = answers.select(tasks=slice(0, 2000))
    gold = gold[gold.index.isin(answers.tasks)]
    exact = DEEMAggregator().fit(answers)
    sampled = DEEMAggregator(sampler=name, cd_k=cd_k).fit(answers)
    best, found = (a.loss_history_[-1] for a in (exact, sampled))
    assert found > best - 0.01 * abs(best)
    right = [(a.labels_.reindex(gold.index) == gold).mean() for a in (exact, sampled)]
    assert abs(right[0] - right[1]) <= 0.01


# -------------------------------------------------------------------- its parts


@pytest.mark.parametrize("batch_size", [1, 7, 399, 400, 1000])
def test_batches_of_any_size(batch_size) -> None:
    data, _ = crowd(n=50 if batch_size == 1 else 400)
    model = DEEM(sampler="gibbs", batch_size=batch_size, epochs=2).fit(data)
    assert len(model.history_["loss"]) == 2
    assert np.isfinite(model.predict_proba(data)).all()


def test_what_is_noted() -> None:
    data, _ = crowd()
    model = DEEM(sampler="dlp", epochs=12).fit(data)
    for name in ("loss", "learning_rate", "acceptance", "step_size", "log_likelihood"):
        assert len(model.history_[name]) == 12
    assert all(0 <= a <= 1 for a in model.history_["acceptance"])
    assert model.history_["log_likelihood"][-1] > model.history_["log_likelihood"][0]
    agg = DEEMAggregator(sampler="gibbs", n_iter=5).fit(Answers.from_dense(data))
    assert len(agg.loss_history_) == 5


@pytest.mark.parametrize(
    ("schedule", "shape"),
    [("constant", [1, 1, 1, 1]), ("linear", [0.75, 0.5, 0.25, 0]), ("cosine", None)],
)
def test_learning_rate_schedules(schedule, shape) -> None:
    data, _ = crowd(n=40)
    options = {"sampler": "gibbs", "epochs": 4, "batch_size": 40, "learning_rate": 0.01}
    rates = DEEM(learning_rate_schedule=schedule, **options).fit(data).history_["learning_rate"]
    if shape is None:
        shape = [(1 + np.cos(np.pi * step / 4)) / 2 for step in (1, 2, 3, 4)]
    np.testing.assert_allclose(rates, 0.01 * np.array(shape), atol=1e-12)


def test_early_stopping_keeps_the_weights_of_the_smallest_gap(monkeypatch) -> None:
    data, _ = crowd(n=300)
    model = DEEM(sampler="gibbs", early_stopping=True, epochs=400, learning_rate=0.3).fit(data)
    gaps = model.history_["free_energy_gap"]
    assert len(gaps) < 400
    assert min(gaps) < gaps[-1]
    assert len(gaps) - 1 - int(np.argmin(gaps)) == divergence_module.DivergenceSettings.patience
    assert "free_energy_gap" not in DEEM(sampler="gibbs", epochs=2).fit(data).history_


def test_draws_of_the_hidden_units_end_near_their_expectation() -> None:
    data, truth = crowd(n=200)
    mean = DEEM(sampler="exact", epochs=80).fit(data)
    drawn = DEEM(sampler="exact", epochs=80, deterministic=False).fit(data)
    assert not np.array_equal(mean.skills_, drawn.skills_)
    assert drawn.score(data, truth) >= mean.score(data, truth) - 0.02


def test_layers_and_units_are_trained_together() -> None:
    data, truth = experts(1, n=300)
    options = {"use_preprocessing": True, "sampler": "gwg", "epochs": 20, "batch_size": 200}
    model = DEEM(**options).fit(data)
    network = model._fitted.network
    start = torch.eye(3, dtype=torch.float64)[:, :, None, None] * torch.eye(12, dtype=torch.float64)
    moved = network.layers.layers[0].weight - start
    assert float(moved.detach().abs().mean()) > 0.01
    assert model.score(data, truth) > 0.5


@pytest.mark.parametrize("options", [
    {"hidden_dim": 2, "sampler": "gwg"},
    {"use_preprocessing": True},
    {"use_preprocessing": True, "preprocessing_one_hot": True},
    {"preprocessing_layer_widths": [4, 3], "preprocessing_activation": "gelu"},
    {"sampler": samplers.DiscreteLangevin(step_size=0.5)},
    {"sampler": samplers.Gibbs},
    {"sampler": "gibbs", "deterministic": False, "random_state": 7},
], ids=lambda options: "-".join(options))  # fmt: skip
def test_fits_are_reproducible_and_leave_the_global_state_alone(options) -> None:
    data, _ = crowd(n=60, d=8)
    torch.manual_seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one = DEEM(epochs=3, **options).fit(data)
    first = one.predict_proba(data)
    again = one.fit(data).predict_proba(data)
    assert np.array_equal(first, again)
    assert np.array_equal(first, DEEM(epochs=3, **options).fit(data).predict_proba(data))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    other = DEEM(epochs=3, **{**options, "random_state": 11}).fit(data)
    assert not np.array_equal(first, other.predict_proba(data))


def test_a_sampler_given_as_an_object_stays_as_it_was() -> None:
    data, _ = crowd(n=60, d=8)
    sampler = samplers.DiscreteLangevin(step_size=0.5)
    DEEM(sampler=sampler, epochs=4).fit(data)
    assert sampler.step_size == 0.5
    assert sampler.acceptance is None


def test_an_interrupt_leaves_the_model_as_it_was(monkeypatch) -> None:
    data, _ = crowd(n=60, d=8)
    model = DEEM(sampler="gibbs", epochs=3).fit(data)
    before = model.predict_proba(data)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(divergence_module.Chains, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(data[::-1])
    monkeypatch.undo()
    assert np.array_equal(model.predict_proba(data), before)


def test_gold_clamps_the_label() -> None:
    data, truth = copies(0, n=300)
    gold = np.where(np.arange(300) < 100, truth, -1)
    taught, layers = (
        DEEM(**options).fit(data, y=truth, gold=gold)
        for options in (
            {"sampler": "gibbs", "epochs": 50},
            {"use_preprocessing": True, "epochs": 5},
        )
    )
    for model in (taught, layers):
        assert model.history_["accuracy"][0] >= 100 / 300
    plain = DEEM(sampler="gibbs", epochs=50).fit(data)
    assert taught.score(data, truth) >= plain.score(data, truth)


def test_samplers_that_do_not_fit_or_are_none() -> None:
    data, _ = crowd(n=30, d=6)
    with pytest.raises(UnsupportedError, match="Gibbs needs a BlockEnergy.*'dlp' or 'gwg'"):
        DEEM(use_preprocessing=True, sampler="gibbs").fit(data)
    with pytest.raises(ParameterError, match="no sampler is called 'gibs'"):
        DEEM(sampler="gibs").fit(data)
    with pytest.raises(ParameterError, match="sampler=3 is not allowed"):
        DEEM(sampler=3).fit(data)


def test_no_epochs_give_the_start() -> None:
    data, _ = crowd(n=60, d=8)
    start = DEEM(epochs=0).fit(data).predict(data)
    for options in ({"sampler": "gibbs"}, {"hidden_dim": 2}):
        assert (DEEM(epochs=0, **options).fit(data).predict(data) == start).mean() > 0.97


def test_nobody_answered() -> None:
    with pytest.warns(UserWarning, match="without answers"):
        model = DEEM(sampler="gibbs", n_classes=2).fit(np.full((3, 2), -1))
    assert (model.predict(np.full((3, 2), -1)) == -1).all()


# ---------------------------------------------------------------------- batches


@pytest.mark.parametrize("dense", [False, True])
def test_batches_hold_the_answers(dense) -> None:
    data, _ = crowd(n=20, d=7, per_task=3)
    data[4] = -1
    answers = Answers.from_dense(data, 3, warn_empty=())
    batches = Batches(answers, torch.device("cpu"), torch.float64, dense=dense)
    tasks = torch.tensor([3, 4, 11])
    batch = batches.get(tasks)
    labels = batches.first_labels(torch.Generator(), drawn=True)
    for row, task in enumerate(tasks.tolist()):
        places = torch.nonzero(batch.mask[row])[:, 0]
        who = places if batch.worker is None else batch.worker[row, places]
        seen = dict(zip(who.tolist(), batch.answers[row, places].argmax(-1).tolist(), strict=True))
        assert seen == {i: int(x) for i, x in enumerate(data[task]) if x >= 0}
        assert labels[batch.index[row, places]].tolist() == list(seen.values())
    assert not batch.answers[~batch.mask].any()


def test_first_labels_of_soft_answers() -> None:
    values = np.tile(np.array([0.2, 0.8])[None, :, None], (5000, 1, 2))
    answers = Answers.from_soft(values)
    batches = Batches(answers, torch.device("cpu"), torch.float64)
    drawn = batches.first_labels(torch.Generator().manual_seed(0), drawn=True)
    assert float(drawn.double().mean()) == pytest.approx(0.8, abs=0.02)
    assert (batches.first_labels(torch.Generator(), drawn=False) == 1).all()


def test_a_sparse_batch_has_the_energy_of_the_dense_one() -> None:
    data, _ = crowd(n=20, d=7, per_task=3)
    answers = Answers.from_dense(data, 3)
    network = tiny_network(3, 7, 2, seed=3)
    found = []
    for dense in (False, True):
        batch = Batches(answers, torch.device("cpu"), torch.float64, dense=dense).get(
            torch.arange(20)
        )
        energy = network.bind(batch)
        found.append((energy.free_energy(batch.answers), energy.log_partition(batch.mask)))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    from deem_crowd.training.joint import log_likelihood

    exact = -(found[0][0] + found[0][1]).sum()
    assert log_likelihood(network.units(), design) == pytest.approx(float(exact.detach()), abs=1e-8)
    assert coded(torch.tensor([[0, -1]]), 3).shape == (1, 2, 3)
