"""Tiny models and generated ensembles for the tests of samplers, units and layers."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from deem_crowd.model import layers
from deem_crowd.model.network import Batch, Network
from deem_crowd.model.units import Units


def tiny_network(
    k: int, n_workers: int, n_units: int = 1, seed: int = 0, strength: float = 1.0, **layered
) -> Network:
    """A network with random weights; keyword arguments of layers.build put layers in front."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return strength * torch.randn(shape, generator=generator, dtype=torch.float64)

    stack, n_seen = None, n_workers
    if layered:
        arguments = {"init": "identity", "jitter": 0.3, "activation_name": "sparsemax", **layered}
        stack = layers.build(k, n_workers, generator=generator, **arguments)
        n_seen = stack.n_outputs
    units = Units(
        normal(n_units, k), normal(k, n_units * k + 1) / 2, normal(n_seen, k, n_units * k + 1)
    )
    return Network(units, stack)


def batch_of(mask, k: int) -> Batch:
    """Tasks that have these answers, all of class 0 for a start; place t is worker t."""
    mask = torch.as_tensor(mask, dtype=torch.bool)
    state = torch.where(mask, 0, -1)
    index = torch.arange(mask.numel()).view(mask.shape)
    return Batch(torch.arange(len(mask)), None, coded(state, k), mask, index)


def coded(state, k: int):
    """One-hot answers of a state, zero where it is −1."""
    exists = (state >= 0)[..., None]
    return (torch.nn.functional.one_hot(state.clamp_min(0), k) * exists).double()


def configurations(mask_row, k: int):
    """All states of one task, shape (C, T)."""
    ranges = [range(k) if exists else (-1,) for exists in mask_row]
    return torch.tensor(list(itertools.product(*ranges)))


def probabilities(network: Network, mask_row, k: int) -> np.ndarray:
    """p(x_O) of all states of one task by enumeration, shape (C,)."""
    states = configurations(mask_row, k)
    energy = network.bind(batch_of([mask_row], k))
    with torch.no_grad():
        free = energy.free_energy(coded(states, k)[:, None])[:, 0]
    return torch.softmax(-free, 0).numpy()


def number_of(states, k: int):
    """The place of each state among :func:`configurations`: the answers that exist, read as digits."""
    number = torch.zeros(states.shape[:-1], dtype=torch.int64)
    for t in range(states.shape[-1]):
        column = states[..., t]
        number = torch.where(column >= 0, number * k + column, number)
    return number


# ------------------------------------------------------------------- ensembles


def noisy(rng, truth, accuracy: float, k: int):
    """Right with probability ``accuracy``, else any other class alike."""
    wrong = (truth + rng.integers(1, k, size=len(truth))) % k
    return np.where(rng.random(len(truth)) < accuracy, truth, wrong)


def copies(seed: int, n: int = 3000, k: int = 3, n_copies: int = 4, n_others: int = 5):
    """Near-copies of one classifier of accuracy 0.5, repeated with probability 0.95, and others of 0.65."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    base = noisy(rng, truth, 0.5, k)
    columns = [
        np.where(rng.random(n) < 0.95, base, noisy(rng, truth, 0.5, k)) for _ in range(n_copies)
    ]
    columns += [noisy(rng, truth, 0.65, k) for _ in range(n_others)]
    return np.array(columns).T, truth


def confused(rng, truth, accuracy: float, k: int, concentration: float = 2.0):
    """Answers by a confusion matrix: ``accuracy`` on the diagonal, a Dirichlet draw of the rest beside it."""
    table = np.zeros((k, k))
    for c in range(k):
        others = [j for j in range(k) if j != c]
        table[c, others] = (1 - accuracy) * rng.dirichlet(np.full(k - 1, concentration))
        table[c, c] = accuracy
    return (rng.random(len(truth))[:, None] > table.cumsum(1)[truth]).sum(1)


def groups(seed: int, n: int = 3000, k: int = 3):
    """A tree: the truth, four opinions of it, and 6, 3, 2 and 2 workers who each follow one opinion."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    columns = []
    for accuracy, size in ((0.55, 6), (0.75, 3), (0.8, 2), (0.7, 2)):
        opinion = confused(rng, truth, accuracy, k)
        columns += [confused(rng, opinion, rng.uniform(0.75, 0.95), k) for _ in range(size)]
    return np.array(columns).T, truth


def experts(seed: int, n: int = 4000, k: int = 3, n_domains: int = 3, n_workers: int = 12):
    """A mixture of experts: each worker knows one domain, and in the others errs as all who do not know it."""
    rng = np.random.default_rng(seed)
    truth, domain = rng.integers(k, size=n), rng.integers(n_domains, size=n)
    poor = [np.eye(k) for _ in range(n_domains)]
    for d in range(n_domains):
        for c in range(k):
            others = [j for j in range(k) if j != c]
            poor[d][c, others] = 0.6 * rng.dirichlet(np.full(k - 1, 0.3))
            poor[d][c, c] = 0.4
    columns = []
    for i in range(n_workers):
        answers = np.empty(n, dtype=int)
        for d in range(n_domains):
            here = domain == d
            if d == i % n_domains:
                answers[here] = confused(rng, truth[here], 0.9, k)
            else:
                cut = rng.random(int(here.sum()))[:, None] > poor[d].cumsum(1)[truth[here]]
                answers[here] = cut.sum(1)
        columns.append(answers)
    return np.array(columns).T, truth
