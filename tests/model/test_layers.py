"""Multinomial layers: gradients, starts, missing answers, one-hot output."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from models import batch_of, coded, groups, tiny_network

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.exceptions import DataWarning, ParameterError, UnsupportedError
from deem_crowd.model.layers import ACTIVATIONS, Layers, MultinomialLayer, activation, build, gain
from deem_crowd.model.network import Network
from deem_crowd.model.units import Units, start


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def answers_of(n: int, d: int, k: int, seed: int = 0, missing: float = 0.3):
    rng = np.random.default_rng(seed)
    state = np.where(rng.random((n, d)) < missing, -1, rng.integers(k, size=(n, d)))
    return torch.from_numpy(state)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_against_differences(name) -> None:
    layer = MultinomialLayer(3, 4, 2, name)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator(1)))
    state = answers_of(5, 4, 3)
    inputs = coded(state, 3).transpose(-1, -2).requires_grad_(True)
    mask = state >= 0

    def outputs(values, weight, offset):
        replaced = {"weight": weight, "offset": offset}
        return torch.func.functional_call(layer, replaced, (values, mask))[0]

    assert torch.autograd.gradcheck(outputs, (inputs, layer.weight, layer.offset), atol=1e-6)


def test_the_free_energy_behind_layers_is_differentiable() -> None:
    network = tiny_network(3, 4, widths=[4, 2], seed=2, n_units=2, activation_name="entmax")
    state = answers_of(6, 4, 3)
    energy = network.bind(batch_of(state >= 0, 3))
    answers = coded(state, 3).requires_grad_(True)
    assert torch.autograd.gradcheck(energy.free_energy, (answers,), atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("n_layers", [1, 2])
def test_the_identity_start_without_jitter_changes_nothing(name, n_layers) -> None:
    k, d = 3, 5
    state = answers_of(40, d, k)
    state[7] = -1
    inputs, mask = coded(state, k), state >= 0
    layers = build(k, d, [d] * n_layers, name, "identity", 0.0, generator(), use_softmax=False)
    outputs, present = layers(inputs, mask)
    torch.testing.assert_close(outputs, inputs, atol=1e-6, rtol=0)
    assert torch.equal(present, mask)
    plain = tiny_network(k, d, 1, seed=4)
    layered = Network(plain.units(), layers)
    batch = batch_of(mask, k)
    torch.testing.assert_close(
        layered.bind(batch).free_energy(inputs),
        plain.bind(batch).free_energy(inputs),
        atol=1e-6,
        rtol=0,
    )


@pytest.mark.parametrize("soft", [False, True])
def test_an_estimator_with_untrained_identity_layers_says_what_it_says_without(soft) -> None:
    state = answers_of(80, 6, 3, seed=3).numpy()
    state[0] = 0
    data = state
    if soft:  # sparsemax returns a distribution as it is
        rng = np.random.default_rng(0)
        values = rng.dirichlet(np.ones(3), size=(80, 6)).transpose(0, 2, 1)
        data = np.where((state >= 0)[:, None, :], values, 0.0)
    options = {"epochs": 0, "gauge": "free", "n_classes": 3}
    plain = DEEM(**options).fit(data)
    layered = DEEM(use_preprocessing=True, preprocessing_jitter=0.0, **options).fit(data)
    np.testing.assert_allclose(layered.predict_proba(data), plain.predict_proba(data), atol=1e-6)


def test_missing_answers_contribute_nothing_and_stay_missing() -> None:
    layers = build(2, 4, [4], "softmax", "rand", 0.0, generator())
    state = answers_of(30, 4, 2)
    inputs, mask = coded(state, 2), state >= 0
    noise = torch.rand(inputs.shape, generator=generator(5), dtype=torch.float64)
    outputs, present = layers(inputs, mask)
    disturbed, _ = layers(torch.where(mask[..., None], inputs, noise), mask)
    torch.testing.assert_close(disturbed, outputs)
    assert torch.equal(present, mask)
    assert torch.equal(outputs.sum(-1) > 0, mask)


def test_outputs_that_are_no_workers_are_missing_only_without_any_answer() -> None:
    layers = build(2, 4, [2], "softmax", "rand", 0.0, generator())
    state = answers_of(30, 4, 2, missing=0.8)
    state[3] = -1
    outputs, present = layers(coded(state, 2), state >= 0)
    assert present.shape == (30, 2)
    assert torch.equal(present[:, 0], (state >= 0).any(1))
    assert not outputs[3].any()


def test_starts() -> None:
    k, d = 3, 6
    state = answers_of(50, d, k, missing=0.0)
    inputs, mask = coded(state, k), state >= 0
    vote, _ = build(k, d, [2], "relu", "mv", 0.0, generator(), use_softmax=False)(inputs, mask)
    torch.testing.assert_close(vote[:, 0], inputs.mean(1))
    torch.testing.assert_close(vote[:, 1], inputs.mean(1))
    wide, _ = build(k, d, [2 * d], "relu", "identity", 0.0, generator(), use_softmax=False)(
        inputs, mask
    )
    torch.testing.assert_close(wide, torch.cat([inputs, inputs], 1))
    for init in ("rand", "default"):
        layer = build(k, 50, [50], "relu", init, 0.0, generator()).layers[0]
        spread = float(layer.weight.detach().std()) * (k * 50) ** 0.5
        assert spread == pytest.approx(1.0 if init == "rand" else 3**-0.5, rel=0.05)
    one = build(k, d, [d], "relu", "identity", 0.1, generator(0)).layers[0].weight
    two = build(k, d, [d], "relu", "identity", 0.1, generator(0)).layers[0].weight
    other = build(k, d, [d], "relu", "identity", 0.1, generator(1)).layers[0].weight
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_one_hot_output_and_its_gradient() -> None:
    layers = build(3, 4, [4], "softmax", "rand", 0.0, generator(), one_hot=True)
    smooth = Layers(list(layers.layers), one_hot=False)
    state = answers_of(20, 4, 3)
    inputs, mask = coded(state, 3), state >= 0
    hard, _ = layers(inputs, mask)
    soft, _ = smooth(inputs, mask)
    assert set(hard.unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(hard.sum(-1), mask.double())
    assert torch.equal(hard.argmax(-1)[mask], soft.argmax(-1)[mask])
    weight = torch.randn(hard.shape, generator=generator(2), dtype=torch.float64)
    parameters = list(layers.parameters())
    through = torch.autograd.grad((hard * weight).sum(), parameters)
    straight = torch.autograd.grad((soft * weight).sum(), parameters)
    for a, b in zip(through, straight, strict=True):
        torch.testing.assert_close(a, b)


def test_one_hot_draws_follow_the_distribution() -> None:
    layers = build(3, 1, [1], "softmax", "rand", 0.0, generator(3), one_hot=True)
    smooth = Layers(list(layers.layers), one_hot=False)
    inputs = coded(torch.zeros((20_000, 1), dtype=torch.int64), 3)
    mask = torch.ones((20_000, 1), dtype=torch.bool)
    drawn = layers(inputs, mask, generator(0))[0].mean((0, 1))
    torch.testing.assert_close(drawn, smooth(inputs, mask)[0][0, 0], atol=0.02, rtol=0)


def test_plain_activations_end_on_the_simplex_if_asked() -> None:
    state = answers_of(10, 4, 3)
    layers = build(3, 4, [4], "gelu", "rand", 0.0, generator(), use_softmax=True)
    outputs, present = layers(coded(state, 3), state >= 0)
    torch.testing.assert_close(outputs.sum(-1), present.double())


def test_names_and_sizes_are_checked() -> None:
    with pytest.raises(ParameterError, match="no activation is called 'tanh'"):
        activation("tanh")
    with pytest.raises(UnsupportedError, match="100,000,000 weights, and 50,000,000 are the limit"):
        build(10, 1000, [1000], "relu", "identity", 0.0, generator())
    assert gain("softmax", 3) > gain("sparsemax", 3) == 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preprocessing_layer_widths": [0]}, "list of integers >= 1"),
        ({"preprocessing_layer_widths": "5"}, "list of integers >= 1"),
        ({"preprocessing_layer_widths": 5}, "list of integers >= 1"),
        ({"preprocessing_layer_widths": [3], "preprocessing_layers": 2}, "do not go together"),
        ({"preprocessing_activation": "sparsmax"}, "Did you mean 'sparsemax'"),
        ({"preprocessing_init": "identiti"}, "Did you mean 'identity'"),
    ],
)
def test_bad_parameters_of_layers(options, words) -> None:
    model = DEEM(**{"use_preprocessing": True, **options})
    with pytest.raises(ParameterError, match=words):
        model.fit(answers_of(20, 4, 2, missing=0).numpy())
    assert not model.is_fitted_


def test_layers_need_weights_of_their_own() -> None:
    with pytest.raises(UnsupportedError, match="gauge='normalised' is for one hidden unit"):
        DEEM(use_preprocessing=True, gauge="normalised").fit([[0, 1], [1, 1]])


def test_workers_the_layers_do_not_know_are_left_out() -> None:
    frame = Answers.from_dense(answers_of(60, 5, 2, missing=0.2).numpy()).to_frame()
    agg = DEEMAggregator(preprocessing_layers=1, n_iter=3).fit(frame)
    stranger = frame.assign(worker="nobody").drop_duplicates("task")
    both = pd.concat([frame.astype({"worker": object}), stranger])
    with pytest.warns(DataWarning) as noted:
        mixed = agg.predict_proba(both)
    assert any("do not know" in str(w.message) for w in noted)
    np.testing.assert_allclose(mixed.to_numpy(), agg.predict_proba(frame).to_numpy())


def test_units_as_layers_return_the_posteriors_of_the_units() -> None:
    """One layer of two units, read by hand: softmax over the units' own logits."""
    data, _ = groups(0, n=400)
    model = DEEM(
        preprocessing_layer_widths=[2],
        preprocessing_init="units",
        preprocessing_activation="softmax",
    ).fit(data)
    stack = model._fitted.network.layers
    inputs = Answers.from_dense(data).one_hot(torch.float64).transpose(1, 2)
    outputs, _ = stack(inputs, torch.ones(inputs.shape[:2], dtype=torch.bool))
    weight, offset = stack.layers[0].weight, stack.layers[0].offset
    for unit in range(2):
        logits = torch.einsum("ndk,ksd->ns", inputs, weight[..., unit]) + offset[:, unit]
        torch.testing.assert_close(outputs[:, unit], torch.softmax(logits, -1))
    top = model.model_
    seen = torch.einsum("njk,jks->ns", outputs, top.weight) + top.bias
    np.testing.assert_allclose(
        model.predict_proba(data)[:, model.class_map_],
        torch.softmax(seen, -1).detach().numpy(),
        atol=1e-9,
    )


def test_workers_in_groups_are_seen_through_by_layers_of_units() -> None:
    """Four opinions behind 13 workers: without layers the largest group is taken for the truth."""
    layered, plain = [], []
    for seed in range(2):
        data, truth = groups(seed, n=400)
        options = {"preprocessing_layer_widths": [4], "preprocessing_init": "units"}
        layered.append(DEEM(**options).fit(data).score(data, truth))
        plain.append(DEEM(auto_hyperparameters=False).fit(data).score(data, truth))
    assert np.mean(layered) > np.mean(plain) + 0.15


def test_too_many_joint_states_for_layers_of_units() -> None:
    with pytest.raises(UnsupportedError, match="preprocessing_init='units'.* 4,096 joint states"):
        DEEM(preprocessing_layer_widths=[6], preprocessing_init="units").fit(
            answers_of(30, 8, 4, missing=0).numpy()
        )


def test_units_start_from_one_unit() -> None:
    plain = tiny_network(3, 4).units().unit_energy(0)
    many = start(plain, 3, generator())
    assert isinstance(many, Units)
    torch.testing.assert_close(many.unit_energy(0).weight, plain.weight)
    assert float(many.unit_energy(2).weight.abs().max()) < 0.1


def soft_crowd(n: int = 200, d: int = 8) -> tuple[Answers, np.ndarray]:
    """Five of d workers spread their belief over three classes, with more on the true one."""
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=n)
    values = rng.dirichlet(np.full(3, 0.5), size=(n, d))
    values[np.arange(n), :, truth] += 0.8
    values /= values.sum(-1, keepdims=True)
    for task in range(n):
        values[task, rng.choice(d, size=d - 5, replace=False)] = np.nan
    return Answers.from_soft(values.transpose(0, 2, 1)), truth


@pytest.mark.parametrize("draws", [None, True])
def test_layers_learn_from_soft_answers(draws) -> None:
    answers, truth = soft_crowd()
    votes = np.zeros((answers.n_tasks, 3))
    np.add.at(votes, np.repeat(np.arange(200), np.diff(answers.task_ptr)), answers.soft)
    model = DEEM(n_classes=3, preprocessing_layers=1, epochs=20, sampler_oh_mode=draws)
    model.fit(answers)
    vote = (votes.argmax(1) == truth).mean()
    assert model.score(answers, truth) > vote - 0.1 > 0.75


def test_a_layer_of_two_units_loses_nothing_where_workers_are_independent() -> None:
    answers, truth = soft_crowd()
    model = DEEM(n_classes=3, preprocessing_layer_widths=[2], preprocessing_init="units")
    assert model.fit(answers).score(answers, truth) > 0.95
