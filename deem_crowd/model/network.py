"""The model as a torch module: hidden units, behind layers or not, seen from batches of tasks.

This is the differentiable twin of :mod:`deem_crowd.model.energy`, for training by samples. :meth:`Network.bind` gives
what a sampler may know of it (:mod:`deem_crowd.samplers.base`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deem_crowd.model.batches import Batch
from deem_crowd.model.layers import Layers
from deem_crowd.model.units import Units, joint_map, joint_states
from deem_crowd.samplers.base import BlockEnergy, TaskEnergy, TractableEnergy, draw


class Network(nn.Module):
    """Hidden units with trainable weights.

    Parameters
    ----------
    units : Units
        The start; over the D workers, or over the D' outputs of the layers.
    layers : Layers, optional
    normalised : bool
        Whether the weights are logits of tables that sum to 1; for one unit without layers.
    """

    def __init__(
        self, units: Units, layers: Layers | None = None, normalised: bool = False
    ) -> None:
        super().__init__()
        self.n_units, self.n_states = units.n_units, units.n_states
        self.n_subtypes = units.n_subtypes
        self.n_classes = int(units.population.shape[0])
        self.normalised, self.tractable = normalised, units.tractable
        self.bias = nn.Parameter(units.bias.clone())
        self.population = nn.Parameter(units.population.clone())
        self.own = nn.Parameter(units.own.clone())
        self.layers = layers

    def units(self) -> Units:
        """Return the weights as they are now, in float64 on the CPU."""
        bias, population, own = (
            p.detach().to("cpu", torch.float64).clone()
            for p in (self.bias, self.population, self.own)
        )
        if self.normalised:
            table = torch.log_softmax(population + own, 1)
            population = torch.log_softmax(population, 0)
            own = table - population
        return Units(bias, population, own, self.n_subtypes)

    def weight(self, worker: Tensor | None = None) -> Tensor:
        """Return the weights, shape (D, K, H·S + 1), or of the workers asked for, (..., K, H·S + 1)."""
        own = self.own if worker is None else self.own[worker]
        weight = self.population + own
        if not self.normalised:
            return weight
        return torch.cat([torch.log_softmax(weight[..., :-1], -2), weight[..., -1:] * 0.0], -1)

    def bind(self, batch: Batch, generator: torch.Generator | None = None) -> TaskEnergy:
        """Return the energy of the tasks of a batch.

        Parameters
        ----------
        batch : Batch
        generator : torch.Generator, optional
            For layers with one-hot output: draws them, anew at each call of the energy. Not for samplers.
        """
        if self.layers is not None:
            return LayeredTasks(self, batch.mask, generator)
        weight = self.weight(batch.worker)
        kind = TractableTasks if self.tractable else UnitTasks
        return kind(weight, self.bias, batch.mask)

    def posterior(self, batch: Batch, unit: int = 0) -> Tensor:
        """Return p(class | x) of one unit for the tasks of a batch, shape (B, K)."""
        with torch.no_grad():
            energy = self.bind(batch)
            assert isinstance(energy, UnitTasks | LayeredTasks)
            states = torch.softmax(energy.unit_logits(batch.answers)[..., unit, :], -1)
        return states.unflatten(-1, (-1, self.n_subtypes)).sum(-1)


class UnitTasks(BlockEnergy):
    """H units over B tasks; the places hold workers, or the outputs of layers.

    Parameters
    ----------
    weight : shape (B, T, K, H·S + 1), or (T, K, H·S + 1) if the same workers stand in the same places of all tasks
    bias : shape (H, S)
    mask : BoolTensor, shape (..., B, T)
    """

    def __init__(self, weight: Tensor, bias: Tensor, mask: Tensor) -> None:
        self.n_classes, self.dtype = int(weight.shape[-2]), weight.dtype
        self.weight, self.bias, self.mask = weight, bias, mask

    def _scores(self, answers: Tensor) -> Tensor:
        """Return Σ_t W[t, x_t, :], shape (..., B, H·S + 1)."""
        return _by_task(answers.flatten(-2), self.weight.flatten(-3, -2))

    def unit_logits(self, answers: Tensor) -> Tensor:
        """Return the logits of p(h_u | x), shape (..., B, H, S)."""
        return self._scores(answers)[..., :-1].unflatten(-1, self.bias.shape) + self.bias

    def free_energy(self, answers: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return F, shape (..., B); ``allowed``, shape (B, S), bars states of the first unit by −∞."""
        scores = self._scores(answers)
        logits = scores[..., :-1].unflatten(-1, self.bias.shape) + self.bias
        if allowed is not None:
            logits = torch.cat([logits[..., :1, :] + allowed[:, None], logits[..., 1:, :]], -2)
        return -scores[..., -1] - torch.logsumexp(logits, -1).sum(-1)

    def energy(self, answers: Tensor, hidden: Tensor) -> Tensor:
        """Return E(x, h), shape (..., B), for hidden states of shape (..., B, H)."""
        scores = self._scores(answers)
        logits = scores[..., :-1].unflatten(-1, self.bias.shape) + self.bias
        return -scores[..., -1] - logits.gather(-1, hidden[..., None]).squeeze(-1).sum(-1)

    def draw_hidden(self, answers: Tensor, generator: torch.Generator) -> Tensor:
        """Draw every unit given the answers, shape (..., B, H)."""
        return draw(self.unit_logits(answers), generator)

    def draw_answers(self, hidden: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a label for every place given the units, shape (..., B, T)."""
        coded = nn.functional.one_hot(hidden, self.bias.shape[1]).to(self.dtype).flatten(-2)
        coded = torch.cat([coded, coded.new_ones((*coded.shape[:-1], 1))], -1)
        table = self.weight.flatten(-3, -2).transpose(-1, -2)
        logits = _by_task(coded, table)
        return draw(logits.unflatten(-1, self.weight.shape[-3:-1]), generator)


class TractableTasks(UnitTasks, TractableEnergy):
    """Units whose joint states are few enough to be enumerated."""

    def joint_logits(self, mask: Tensor) -> Tensor:
        """Return log p(h, Z) of the joint states given which answers exist, shape (..., B, S^H)."""
        joint = joint_map(*self.bias.shape).to(self.weight)
        table = self.weight[..., :-1] @ joint + self.weight[..., -1:]
        partition = torch.logsumexp(table, -2)
        exists = mask.to(self.dtype)
        logits = _by_task(exists, partition)
        return logits + self.bias.reshape(-1) @ joint

    def log_partition(self, mask: Tensor) -> Tensor:
        """Return log Z_O, shape (..., B)."""
        return torch.logsumexp(self.joint_logits(mask), -1)

    def draw_hidden_prior(self, mask: Tensor, generator: torch.Generator) -> Tensor:
        """Draw every unit from its marginal, shape (..., B, H)."""
        states = joint_states(*self.bias.shape).to(mask.device)
        return states[draw(self.joint_logits(mask), generator)]


class LayeredTasks(TaskEnergy):
    """Units behind multinomial layers: F of the answers is that of what the layers make of them.

    Parameters
    ----------
    network : Network
    mask : BoolTensor, shape (B, D)
    generator : torch.Generator, optional
    """

    def __init__(
        self, network: Network, mask: Tensor, generator: torch.Generator | None = None
    ) -> None:
        self.network, self.mask, self.generator = network, mask, generator
        self.n_classes, self.dtype = network.n_classes, network.bias.dtype

    def _seen(self, answers: Tensor) -> tuple[UnitTasks, Tensor]:
        layers = self.network.layers
        assert layers is not None
        mask = self.mask.expand(answers.shape[:-1])
        outputs, present = layers(answers, mask, self.generator)
        return UnitTasks(self.network.weight(), self.network.bias, present), outputs

    def unit_logits(self, answers: Tensor) -> Tensor:
        """Return the logits of p(h_u | x), shape (..., B, H, S)."""
        units, outputs = self._seen(answers)
        return units.unit_logits(outputs)

    def free_energy(self, answers: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return F, shape (..., B); ``allowed``, shape (B, S), bars states of the first unit by −∞."""
        units, outputs = self._seen(answers)
        return units.free_energy(outputs, allowed)

    def energy(self, answers: Tensor, hidden: Tensor) -> Tensor:
        """Return E(x, h), shape (..., B), for hidden states of shape (..., B, H)."""
        units, outputs = self._seen(answers)
        return units.energy(outputs, hidden)

    def draw_hidden(self, answers: Tensor, generator: torch.Generator) -> Tensor:
        """Draw every unit given the answers, shape (..., B, H)."""
        return draw(self.unit_logits(answers), generator)


def _by_task(rows: Tensor, table: Tensor) -> Tensor:
    """Return rows of shape (..., B, P) times the table of each task, (B, P, Q), or times one for all, (P, Q)."""
    return rows @ table if table.ndim == 2 else (rows.unsqueeze(-2) @ table).squeeze(-2)
