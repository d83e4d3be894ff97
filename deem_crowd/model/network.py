"""The model as a torch module over mini-batches of tasks: hidden units, behind layers or not.

This is the differentiable twin of :mod:`deem_crowd.model.energy`, for training by samples. :meth:`Network.bind` gives
what a sampler may know of it (:mod:`deem_crowd.samplers.base`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from deem_crowd.data.answers import Answers
from deem_crowd.model.layers import Layers
from deem_crowd.model.units import Units, joint_map, joint_states
from deem_crowd.samplers.base import BlockEnergy, TaskEnergy, TractableEnergy, draw

# Where at least this share of all (task, worker) pairs is answered, place t is simply worker t.
_DENSE_FROM = 0.5


@dataclass(frozen=True)
class Batch:
    """B tasks.

    Attributes
    ----------
    tasks : LongTensor, shape (B,)
    worker : LongTensor, shape (B, T), or None
        Who stands in each place; None if place t is worker t throughout.
    answers : Tensor, shape (B, T, K)
        One-hot, or distributions; zero where no answer exists.
    mask : BoolTensor, shape (B, T)
        Which answers exist.
    index : LongTensor, shape (B, T)
        The number of each answer among all R; 0 where there is none.
    """

    tasks: Tensor
    worker: Tensor | None
    answers: Tensor
    mask: Tensor
    index: Tensor

    def labels(self, every: Tensor) -> Tensor:
        """Return ``every`` answer's label, shape (..., R), as a state, shape (..., B, T), −1 where none exists."""
        return torch.where(self.mask, every[..., self.index], -1)


class Batches:
    """Cuts answers into batches of any size.

    Parameters
    ----------
    answers : Answers
    device : torch.device
    dtype : torch.dtype
    dense : bool, optional
        Whether place t is worker t; decided by how many pairs are answered if omitted.
    """

    def __init__(
        self,
        answers: Answers,
        device: torch.device,
        dtype: torch.dtype,
        dense: bool | None = None,
    ) -> None:
        self.n_tasks, self.n_workers = answers.n_tasks, answers.n_workers
        self.n_classes, self.n_answers = answers.n_classes, answers.n_answers
        self.device, self.dtype = device, dtype
        if dense is None:
            dense = answers.n_answers >= _DENSE_FROM * answers.n_tasks * answers.n_workers
        self.dense, self.soft = dense, answers.is_soft
        self._start = torch.from_numpy(answers.task_ptr.astype(np.int64)).to(device)
        self._worker = torch.from_numpy(answers.worker.astype(np.int64)).to(device)
        self._soft = (
            None if answers.soft is None else torch.from_numpy(answers.soft).to(device, dtype)
        )
        self._label = (
            None
            if answers.label is None
            else torch.from_numpy(answers.label.astype(np.int64)).to(device)
        )

    def first_labels(self, generator: torch.Generator, drawn: bool) -> Tensor:
        """Return a label for every answer, shape (R,): as given; of soft ones, drawn from them or the likeliest."""
        if self._label is not None:
            return self._label.clone()
        assert self._soft is not None
        if not drawn or len(self._soft) == 0:
            return self._soft.argmax(-1)
        return torch.multinomial(self._soft.double(), 1, generator=generator).squeeze(-1)

    def get(self, tasks: Tensor) -> Batch:
        """Return the batch of ``tasks``, shape (B,)."""
        start, size = self._start[tasks], self._start[tasks + 1] - self._start[tasks]
        width = int(size.max()) if len(tasks) else 0
        place = torch.arange(width, device=self.device)
        mask = place < size[:, None]
        index = torch.where(mask, start[:, None] + place, 0)
        worker = self._worker[index] if self.n_answers else index.new_zeros((len(tasks), width))
        if self.dense:
            mask, index = self._by_worker(mask, index, worker)
        shown = None if self.dense else worker
        return Batch(tasks, shown, self._answers(mask, index), mask, index)

    def _by_worker(self, mask: Tensor, index: Tensor, worker: Tensor) -> tuple[Tensor, Tensor]:
        """Move every answer to the place of its worker; one more place takes what does not exist."""
        shape = (len(mask), self.n_workers + 1)
        place = torch.where(mask, worker, self.n_workers)
        wide_mask = torch.zeros(shape, dtype=torch.bool, device=self.device).scatter(1, place, mask)
        wide_index = torch.zeros(shape, dtype=torch.int64, device=self.device)
        wide_index = wide_index.scatter(1, place, index)
        return wide_mask[:, :-1], wide_index[:, :-1]

    def _answers(self, mask: Tensor, index: Tensor) -> Tensor:
        if self.n_answers == 0:
            return torch.zeros((*mask.shape, self.n_classes), device=self.device, dtype=self.dtype)
        if self._soft is not None:
            coded = self._soft[index]
        else:
            assert self._label is not None
            coded = torch.nn.functional.one_hot(self._label[index], self.n_classes).to(self.dtype)
        return coded * mask[..., None]


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

    def _behind_layers(self, answers: Tensor) -> tuple[UnitTasks, Tensor]:
        layers = self.network.layers
        assert layers is not None
        mask = self.mask.expand(answers.shape[:-1])
        outputs, present = layers(answers, mask, self.generator)
        return UnitTasks(self.network.weight(), self.network.bias, present), outputs

    def unit_logits(self, answers: Tensor) -> Tensor:
        """Return the logits of p(h_u | x), shape (..., B, H, S)."""
        units, outputs = self._behind_layers(answers)
        return units.unit_logits(outputs)

    def free_energy(self, answers: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return F, shape (..., B); ``allowed``, shape (B, S), bars states of the first unit by −∞."""
        units, outputs = self._behind_layers(answers)
        return units.free_energy(outputs, allowed)

    def energy(self, answers: Tensor, hidden: Tensor) -> Tensor:
        """Return E(x, h), shape (..., B), for hidden states of shape (..., B, H)."""
        units, outputs = self._behind_layers(answers)
        return units.energy(outputs, hidden)

    def draw_hidden(self, answers: Tensor, generator: torch.Generator) -> Tensor:
        """Draw every unit given the answers, shape (..., B, H)."""
        return draw(self.unit_logits(answers), generator)


def _by_task(rows: Tensor, table: Tensor) -> Tensor:
    """Return rows of shape (..., B, P) times the table of each task, (B, P, Q), or times one for all, (P, Q)."""
    return rows @ table if table.ndim == 2 else (rows.unsqueeze(-2) @ table).squeeze(-2)
