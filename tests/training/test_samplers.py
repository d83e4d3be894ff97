"""Samplers against enumeration: long-run frequencies, exact detailed balance, and planted faults that must show."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models import batch_of, coded, configurations, number_of, probabilities, tiny_network
from scipy import stats

import deem_crowd
from deem_crowd.exceptions import ParameterError, PluginError, UnsupportedError
from deem_crowd.samplers import (
    BUILT_IN,
    DiscreteLangevin,
    Exact,
    Gibbs,
    GibbsWithGradients,
    base,
    gwg,
    langevin,
)
from deem_crowd.samplers.base import Sampler
from deem_crowd.training.chains import Chains

# The level of the chi-square tests; seeds are fixed, so that nothing here is a matter of luck.
LEVEL = 1e-4
CHAINS = 10_000

PLAIN = {
    "K=2": (2, [1, 1, 1, 1, 1], {}),
    "K=3, missing": (3, [1, 0, 1, 1, 0, 1], {}),
    "K=4, two units, missing": (4, [1, 1, 0, 1], {"n_units": 2}),
    "one answer": (2, [0, 1, 0], {}),
}
LAYERED = {
    "sparsemax, K=3, missing": (3, [1, 0, 1, 1], {"widths": [4]}),
    "softmax to 2, K=2": (2, [1, 1, 1], {"widths": [2], "activation_name": "softmax"}),
    "two layers of entmax": (2, [1, 1, 0, 1], {"widths": [4, 3], "activation_name": "entmax"}),
}
STEPS = {"exact": 1, "gibbs": 40, "gwg": 70, "dlp": 40}


def frequencies(
    sampler, network, mask_row, k: int, n_steps: int, start: int = 0, n_chains: int = CHAINS
):
    """How often each state is found at the end of many independent chains."""
    mask = torch.tensor([mask_row], dtype=torch.bool).expand(n_chains, -1)
    batch = batch_of(mask, k)
    state = torch.where(mask, start % k, -1)
    with torch.no_grad():
        energy = network.bind(batch)
    generator = torch.Generator().manual_seed(start)
    drawn = sampler.sample(energy, state, mask, n_steps, generator)
    assert torch.equal(drawn >= 0, mask)
    n_states = k ** int(mask[0].sum())
    return np.bincount(number_of(drawn, k).numpy(), minlength=n_states)


def misfit(counts, expected) -> float:
    """The p-value of a chi-square test; states expected less than five times are pooled."""
    expected = expected * counts.sum()
    rare = expected < 5
    seen = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    if wanted[-1] == 0:
        seen, wanted = seen[:-1], wanted[:-1]
    return float(stats.chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue)


@pytest.mark.parametrize("name", list(BUILT_IN))
@pytest.mark.parametrize("model", list(PLAIN))
def test_draws_follow_the_enumerated_distribution(model, name) -> None:
    """Chains that start from one label, chains that start from another, and both together."""
    k, mask, options = PLAIN[model]
    network = tiny_network(k, len(mask), seed=3, **options)
    expected = probabilities(network, mask, k)
    counts = [
        frequencies(BUILT_IN[name](), network, mask, k, STEPS[name], start, CHAINS // 2)
        for start in (0, 1)
    ]
    assert min(misfit(some, expected) for some in (*counts, sum(counts))) > LEVEL
    assert np.abs(sum(counts) / CHAINS - expected).sum() / 2 < 0.04


@pytest.mark.parametrize("name", ["gwg", "dlp"])
@pytest.mark.parametrize("model", list(LAYERED))
def test_draws_follow_the_enumerated_distribution_behind_layers(model, name) -> None:
    k, mask, options = LAYERED[model]
    network = tiny_network(k, len(mask), seed=5, **options)
    counts = frequencies(BUILT_IN[name](), network, mask, k, STEPS[name], n_chains=CHAINS // 2)
    expected = probabilities(network, mask, k)
    assert misfit(counts, expected) > LEVEL
    assert np.abs(counts / counts.sum() - expected).sum() / 2 < 0.04


def test_a_task_without_answers_stays_without() -> None:
    network = tiny_network(3, 4)
    mask = torch.tensor([[0, 0, 0, 0], [1, 0, 1, 1]], dtype=torch.bool)
    state = torch.where(mask, 1, -1)
    for kind in BUILT_IN.values():
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            drawn = kind().sample(network.bind(batch_of(mask, 3)), state, mask, 5, generator)
        assert torch.equal(drawn >= 0, mask)


# ------------------------------------------------------------- detailed balance


def transition_matrix(monkeypatch, sampler, module, network, mask_row, k: int, place) -> np.ndarray:
    """The exact matrix of one step, from the proposals the code makes and the ratios it accepts by.

    Every proposal is forced in turn; what the code would have drawn it from, and the ratio it hands to the acceptance
    test, give its exact probability.
    """
    states = configurations(mask_row, k)
    mask = torch.tensor([mask_row], dtype=torch.bool).expand(len(states), -1)
    with torch.no_grad():
        energy = network.bind(batch_of(mask, k))
    matrix = np.zeros((len(states), len(states)))
    for choice in place(states, mask, k):
        noted = {}

        def forced(logits, generator, choice=choice, noted=noted):
            noted["log_q"] = torch.log_softmax(logits, -1)
            return choice

        def refuse(log_ratio, generator, noted=noted):
            noted["log_ratio"] = log_ratio
            return torch.ones_like(log_ratio, dtype=torch.bool)

        monkeypatch.setattr(module, "draw", forced)
        monkeypatch.setattr(base, "bernoulli", refuse)
        there = sampler.sample(energy, states, mask, 1, torch.Generator())
        picked = noted["log_q"].gather(-1, choice.clamp_min(0)[..., None]).squeeze(-1)
        log_q = picked if picked.ndim == 1 else (picked * mask).sum(-1)
        chance = (log_q + noted["log_ratio"].clamp_max(0)).exp()
        probability = torch.where(log_q.isneginf(), 0.0, chance).numpy()  # never proposed
        np.add.at(matrix, (np.arange(len(states)), number_of(there, k).numpy()), probability)
    return matrix


def single_changes(states, mask, k):
    """Every (place, label) of gwg's proposal, staying last, the same for all states."""
    n_choices = states.shape[1] * k
    for choice in range(n_choices + 1):
        where = torch.full((len(states),), choice)
        place = choice // k
        if choice == n_choices or bool(mask[0, place]):
            yield where


def whole_states(states, mask, k):
    """Every state as dlp's proposal."""
    for target in configurations(mask[0].tolist(), k):
        yield target.expand(len(states), -1)


@pytest.mark.parametrize("layered", [{}, {"widths": [3]}], ids=["plain", "layers"])
@pytest.mark.parametrize(
    ("sampler", "module", "place"),
    [(GibbsWithGradients(), gwg, single_changes), (DiscreteLangevin(0.7), langevin, whole_states)],
    ids=["gwg", "dlp"],
)
def test_detailed_balance_is_exact(monkeypatch, sampler, module, place, layered) -> None:
    k, mask = 3, [1, 0, 1]
    network = tiny_network(k, 3, seed=1, strength=1.5, **layered)
    matrix = transition_matrix(monkeypatch, sampler, module, network, mask, k, place)
    flow = probabilities(network, mask, k)[:, None] * matrix
    off = ~np.eye(len(flow), dtype=bool)
    assert matrix[off].min() >= 0
    assert (
        matrix.sum(1) <= 1 + 1e-9
    ).all()  # what is missing is the probability of being turned down
    np.testing.assert_allclose(flow[off], flow.T[off], atol=1e-12)
    assert (flow[off] > 1e-9).mean() > 0.2


# --------------------------------------------------------------- planted faults


class FillsGaps(Gibbs):
    """Answers where there are none."""

    def sample(self, energy, state, mask, n_steps, generator):
        return super().sample(energy, state, torch.ones_like(mask), n_steps, generator)


@pytest.mark.parametrize("name", ["gwg", "dlp"])
@pytest.mark.parametrize("fault", ["accepts all", "ratio inverted"])
def test_planted_faults_of_acceptance_show(monkeypatch, name, fault) -> None:
    honest = base.bernoulli
    faults = {
        "accepts all": lambda ratio, generator: torch.ones_like(ratio, dtype=torch.bool),
        "ratio inverted": lambda ratio, generator: honest(-ratio, generator),
    }
    k, mask, _ = PLAIN["K=3, missing"]
    network = tiny_network(k, len(mask), seed=3)
    expected = probabilities(network, mask, k)
    monkeypatch.setattr(base, "bernoulli", faults[fault])
    counts = frequencies(BUILT_IN[name](), network, mask, k, STEPS[name])
    assert misfit(counts, expected) < LEVEL
    assert np.abs(counts / CHAINS - expected).sum() / 2 > 0.04


def test_a_sampler_that_fills_gaps_shows() -> None:
    k, mask, _ = PLAIN["K=3, missing"]
    with pytest.raises(AssertionError):
        frequencies(FillsGaps(), tiny_network(k, len(mask)), mask, k, 3)


# ------------------------------------------------------------------ the contract


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_the_generator_is_the_only_source_of_randomness(name) -> None:
    network = tiny_network(3, 5)
    mask = torch.ones((50, 5), dtype=torch.bool)
    state = torch.zeros((50, 5), dtype=torch.int64)
    with torch.no_grad():
        energy = network.bind(batch_of(mask, 3))
    torch.manual_seed(1)
    before = torch.get_rng_state()

    def drawn(seed):
        return BUILT_IN[name]().sample(energy, state, mask, 4, torch.Generator().manual_seed(seed))

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(state, torch.zeros_like(state))
    assert torch.equal(BUILT_IN[name]().sample(energy, state, mask, 0, torch.Generator()), state)


@pytest.mark.parametrize("kind", [Exact, Gibbs])
def test_a_sampler_that_cannot_serve_a_model_says_which_can(kind) -> None:
    network = tiny_network(2, 3, widths=[3])
    mask = torch.ones((1, 3), dtype=torch.bool)
    state = torch.zeros((1, 3), dtype=torch.int64)
    with pytest.raises(UnsupportedError, match="sampler='dlp' or 'gwg'"):
        kind().sample(network.bind(batch_of(mask, 2)), state, mask, 1, torch.Generator())


def test_langevin_steps_adapt_towards_the_acceptance_asked_for() -> None:
    network = tiny_network(4, 8, strength=2.0, seed=2)
    mask = torch.ones((400, 8), dtype=torch.bool)
    state = torch.zeros((400, 8), dtype=torch.int64)
    with torch.no_grad():
        energy = network.bind(batch_of(mask, 4))
    for target in (0.4, 0.7):
        sampler = DiscreteLangevin(step_size=5.0, target_acceptance=target)
        generator = torch.Generator().manual_seed(0)
        for _ in range(60):
            sampler.reset()
            state = sampler.sample(energy, state, mask, 5, generator)
            found = sampler.acceptance
            sampler.adapt()
        assert found == pytest.approx(target, abs=0.05)


def test_bad_parameters_of_langevin() -> None:
    with pytest.raises(ParameterError, match="step_size=0"):
        DiscreteLangevin(step_size=0)
    with pytest.raises(ParameterError, match="target_acceptance=1"):
        DiscreteLangevin(target_acceptance=1)


def test_acceptance_is_counted() -> None:
    network = tiny_network(2, 3)
    mask = torch.ones((10, 3), dtype=torch.bool)
    state = torch.zeros((10, 3), dtype=torch.int64)
    energy = network.bind(batch_of(mask, 2))
    sampler = GibbsWithGradients()
    assert sampler.acceptance is None
    sampler.sample(energy, state, mask, 7, torch.Generator().manual_seed(0))
    assert 0 < sampler.acceptance <= 1
    sampler.reset()
    assert sampler.acceptance is None
    assert Gibbs().acceptance is None


def test_the_registry_holds_the_built_in_samplers() -> None:
    assert set(BUILT_IN) <= set(deem_crowd.samplers())
    for name, kind in BUILT_IN.items():
        assert deem_crowd.samplers()[name].load() is kind


# ------------------------------------------------------------------------ chains


FIVE = SimpleNamespace(n_classes=5)
"""All that chains themselves ask of an energy."""


class Counter(Sampler):
    """Adds one to every answer, modulo 5."""

    def sample(self, energy, state, mask, n_steps, generator):
        return torch.where(mask, (state + n_steps) % 5, state)


class Pair(Counter):
    """The same with two replicas, of which the second stands still."""

    n_replicas = 2

    def sample(self, energy, state, mask, n_steps, generator):
        assert state.shape == (2, *mask.shape)
        moved = super().sample(energy, state, mask, n_steps, generator)
        return torch.stack([moved[0], state[1]])


@pytest.mark.parametrize("sampler", [Counter(), Pair()])
def test_chains_persist_by_task_and_keep_the_mask(sampler) -> None:
    labels = torch.tensor([0, 1, 2, 3])
    chains = Chains(labels, sampler, 0.0, torch.Generator().manual_seed(0))
    mask = torch.tensor([[True, True, False], [True, False, True]])
    index = torch.tensor([[0, 1, 0], [2, 0, 3]])
    first = chains.advance(FIVE, index, mask, 1)
    assert first.tolist() == [[1, 2, -1], [3, -1, 4]]
    again = chains.advance(FIVE, index[1:], mask[1:], 1)
    assert again.tolist() == [[4, -1, 0]]
    assert chains.advance(FIVE, index, mask, 1).tolist() == [[2, 3, -1], [0, -1, 1]]


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda state: None, "a NoneType"),
        (lambda state: state[:, :1], r"shape \(2, 1\) and torch.int64 for .* shape \(2, 3\)"),
        (lambda state: state.double(), "torch.float64 for a state"),
        (lambda state: torch.where(state >= 0, 5, state), r"other numbers than labels 0\.\.4"),
        (lambda state: state.clamp_min(0), "−1 where no answer exists"),
    ],
    ids=["nothing", "another shape", "another dtype", "no such label", "filled in"],
)
def test_what_a_sampler_returns_is_looked_at(returned, words) -> None:
    class Odd(Counter):
        def sample(self, energy, state, mask, n_steps, generator):
            return returned(state)

    chains = Chains(torch.arange(4), Odd(), 0.0, torch.Generator().manual_seed(0))
    mask = torch.tensor([[True, True, False], [True, False, True]])
    with pytest.raises(PluginError, match=f"sampler Odd returned.*{words}.*check_sampler"):
        chains.advance(FIVE, torch.tensor([[0, 1, 0], [2, 0, 3]]), mask, 1)


def test_an_error_of_a_sampler_names_it() -> None:
    class Explodes(Counter):
        def sample(self, energy, state, mask, n_steps, generator):
            raise self.error

    sampler = Explodes()
    chains = Chains(torch.arange(4), sampler, 0.0, torch.Generator().manual_seed(0))
    call = FIVE, torch.arange(4)[:, None], torch.ones((4, 1), dtype=torch.bool), 1
    sampler.error = ZeroDivisionError("my chain exploded")
    words = (
        r"sampler Explodes raised ZeroDivisionError: my chain exploded\. .*check_sampler\(Explodes"
    )
    with pytest.raises(PluginError, match=words) as caught:
        chains.advance(*call)
    assert caught.value.__cause__ is sampler.error
    for error in (UnsupportedError("not this model"), MemoryError(), KeyboardInterrupt()):
        sampler.error = error
        with pytest.raises(type(error)) as caught:
            chains.advance(*call)
        assert caught.value is error


def test_chains_restart_from_the_data() -> None:
    labels = torch.arange(4) % 4
    mask = torch.ones((4, 1), dtype=torch.bool)
    index = torch.arange(4)[:, None]
    always = Chains(labels, Counter(), 1.0, torch.Generator().manual_seed(0))
    for _ in range(3):
        assert always.advance(FIVE, index, mask, 1)[:, 0].tolist() == [1, 2, 3, 4]
    many = Chains(
        torch.zeros(10_000, dtype=torch.int64), Counter(), 0.3, torch.Generator().manual_seed(0)
    )
    ones = torch.ones((10_000, 1), dtype=torch.bool)
    rows = torch.arange(10_000)[:, None]
    many.advance(FIVE, rows, ones, 1)
    share = float((many.advance(FIVE, rows, ones, 1) == 1).double().mean())
    assert share == pytest.approx(0.3, abs=0.02)


def test_enumeration_helpers_agree() -> None:
    states = configurations([1, 0, 1], 3)
    assert number_of(states, 3).tolist() == list(range(9))
    assert coded(states, 3).sum((1, 2)).tolist() == [2.0] * 9
