r"""Training by contrastive divergence with persistent chains, for models whose partition function is out of reach.

The gradient of the log-likelihood is that of ``mean F(chains) − mean F(data)``: the model's own draws stand in
for its expectation (Hinton, Neural Computation 14, 2002; persistent chains: Tieleman, ICML 2008). Everything else is as
in exact training: the same penalties, gold, and missing answers left out.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from deem_crowd.exceptions import UnsupportedError
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.network import Batch, Batches, LayeredTasks, Network, UnitTasks
from deem_crowd.runtime.descent import Adam
from deem_crowd.samplers.base import BlockEnergy, Sampler, one_hot
from deem_crowd.training import joint
from deem_crowd.training.chains import Chains, named
from deem_crowd.training.likelihood import Likelihood, Settings

Schedule = Literal["cosine", "linear", "constant"]

# Steps of the optimiser that a fit makes where epochs are not given, and bounds on the epochs this comes to.
_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS = 600, 20, 600
_BATCH = 512
# The exact log-likelihood is followed along training where one evaluation touches no more numbers than this.
_WORTH_FOLLOWING = 2e7


@dataclass(frozen=True)
class DivergenceSettings:
    """How to train by samples.

    Attributes
    ----------
    n_steps : int
        Of the sampler, before each step of the optimiser.
    expectation : bool
        Whether hidden units enter the gradient by their expectation; else by a draw.
    learning_rate : float
        Of Adam, in nats: the largest change of a weight in one step.
    momentum : float
        Adam's decay of the mean gradient.
    schedule : 'cosine', 'linear' or 'constant'
        How the learning rate falls to zero.
    epochs : int, optional
        Passes over the tasks; as many as make 600 steps, within 20 and 600, if omitted.
    batch_size : int, optional
        B; 512 if omitted.
    restart : float
        Share of the chains that start from the data again at each step.
    hard_start : bool
        Over soft answers, chains start from the likeliest labels, and layers learn from the distributions; else chains
        start from labels drawn from the answers, and layers learn from such draws.
    early_stopping : bool
        Hold out a share of the tasks, and stop when their free energy rises against that of the others.
    validation_fraction : float
        The share held out.
    patience : int
        Epochs without a smaller gap before stopping; the weights of the smallest gap are kept.
    """

    n_steps: int = 10
    expectation: bool = True
    learning_rate: float = 0.03
    momentum: float = 0.9
    schedule: Schedule = "cosine"
    epochs: int | None = None
    batch_size: int | None = None
    restart: float = 0.25
    hard_start: bool = False
    early_stopping: bool = False
    validation_fraction: float = 0.1
    patience: int = 10

    def size(self, n_tasks: int) -> int:
        """Return B for N tasks."""
        return max(1, min(n_tasks, self.batch_size or _BATCH))

    def n_epochs(self, n_tasks: int) -> int:
        """Return the number of epochs for N tasks."""
        if self.epochs is not None:
            return self.epochs
        per_epoch = max(1, math.ceil(n_tasks / self.size(n_tasks)))
        return min(max(_STEPS // per_epoch, _FEWEST_EPOCHS), _MOST_EPOCHS)


@dataclass
class DivergenceFit:
    """The outcome of training by samples.

    Attributes
    ----------
    network : Network
    history : dict of lists, one value an epoch
        ``loss``: mean F(data) − mean F(chains), nats a task; ``learning_rate``; ``acceptance`` of the sampler's
        proposals; ``step_size`` where it has one; ``log_likelihood`` a task where it is tractable;
        ``free_energy_gap``, nats an answer, where tasks are held out.
    n_epochs : int
    pseudo_answers : Tensor
        α of a one-unit model.
    """

    network: Network
    history: dict[str, list[float]] = field(default_factory=dict)
    n_epochs: int = 0
    pseudo_answers: Tensor = field(default_factory=lambda: torch.zeros(0))


def train_by_samples(
    batches: Batches,
    design: DesignMatrix,
    network: Network,
    sampler: Sampler,
    settings: Settings,
    how: DivergenceSettings,
    generator: torch.Generator,
    gold: Tensor | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> DivergenceFit:
    """Fit a network by persistent contrastive divergence.

    Parameters
    ----------
    batches, passes
        The same answers, laid out for batches and for passes over all of them.
    network : Network
        The start; it is trained in place.
    sampler : Sampler
    settings : Settings
        Penalties and gauge.
    how : DivergenceSettings
    generator : torch.Generator
        The only source of randomness, on the device of the batches.
    gold : LongTensor, shape (N,), optional
        Known classes, −1 where unknown: they clamp the first unit.
    progress : callable, optional
        Called with (epochs so far, log-likelihood or minus loss, per task) after each epoch.

    Raises
    ------
    UnsupportedError
        If the sampler cannot serve the model.
    """
    return _Trainer(batches, design, network, sampler, settings, how, generator, gold).run(progress)


class _Trainer:
    def __init__(
        self,
        batches: Batches,
        design: DesignMatrix,
        network: Network,
        sampler: Sampler,
        settings: Settings,
        how: DivergenceSettings,
        generator: torch.Generator,
        gold: Tensor | None,
    ) -> None:
        self.batches, self.design, self.sampler = batches, design, sampler
        self.network = network.to(batches.device, batches.dtype)
        self.settings, self.how, self.generator = settings, how, generator
        self.allowed = self._allowed(gold)
        self.likelihood = Likelihood(design, settings, gold)
        self.one_unit = network.n_units == 1 and network.layers is None
        labels = batches.first_labels(generator, drawn=not how.hard_start)
        self.chains = Chains(labels, sampler, how.restart, generator)
        self.layer_start = (
            []
            if network.layers is None
            else [p.detach().clone() for p in network.layers.parameters()]
        )
        self.history: dict[str, list[float]] = {}

    def run(self, progress: Callable[[int, float], None] | None) -> DivergenceFit:
        how, n_tasks = self.how, self.batches.n_tasks
        n_epochs = how.n_epochs(n_tasks) if self.batches.n_answers else 0
        if n_epochs:
            self._check()
        order = self._shuffled(n_tasks)
        n_held = int(how.validation_fraction * n_tasks) if how.early_stopping else 0
        held, taught = order[:n_held], order[n_held:]
        per_epoch = max(1, math.ceil(len(taught) / how.size(n_tasks)))
        optimizer = Adam(self.network.parameters(), how.learning_rate, how.momentum)
        optimizer.learning_rate *= _decay(how.schedule, 0)
        n_steps, step = max(1, n_epochs * per_epoch), 0
        best, best_gap, since_best = self._weights(), math.inf, 0
        done = 0
        for epoch in range(n_epochs):
            loss = 0.0
            self.sampler.reset()
            shuffled = taught[self._shuffled(len(taught))]
            for tasks in shuffled.split(how.size(n_tasks)):
                loss += self._step(self.batches.get(tasks), optimizer) * len(tasks)
                step += 1
                optimizer.learning_rate = how.learning_rate * _decay(how.schedule, step / n_steps)
            done = epoch + 1
            self._note(loss / max(len(taught), 1), optimizer)
            if 2 * epoch < n_epochs:
                with named(self.sampler):
                    self.sampler.adapt()
                self._learn_pseudo_answers()
            if progress is not None:
                followed = self.history.get("log_likelihood")
                progress(done, followed[-1] if followed else -self.history["loss"][-1])
            if n_held:
                gap = self._gap(held, shuffled[:n_held])
                self.history.setdefault("free_energy_gap", []).append(gap)
                since_best += 1
                if gap < best_gap:
                    best, best_gap, since_best = self._weights(), gap, 0
                elif since_best >= how.patience:
                    break
        if n_held and done:
            self.network.load_state_dict(best)
        return DivergenceFit(self.network, self.history, done, self.likelihood.pseudo_answers)

    # ------------------------------------------------------------------ a step

    def _step(self, batch: Batch, optimizer: Adam) -> float:
        with torch.no_grad():
            frozen = self.network.bind(batch)
        state = self.chains.advance(frozen, batch.index, batch.mask, self.how.n_steps)
        fantasy = one_hot(state, self.batches.n_classes, self.batches.dtype)
        noisy = self.network.layers is not None and self.network.layers.one_hot
        energy = self.network.bind(batch, self.generator if noisy else None)
        assert isinstance(energy, UnitTasks | LayeredTasks)
        allowed = None if self.allowed is None else self.allowed[batch.tasks]
        answers = self._hardened(batch)
        if self.how.expectation:
            gap = energy.free_energy(answers, allowed) - energy.free_energy(fantasy)
        else:
            gap = self._drawn(energy, answers, allowed) - self._drawn(energy, fantasy, None)
        loss = gap.mean()
        optimizer.zero_grad()
        (loss - self._log_prior() / max(self.batches.n_tasks, 1)).backward()
        optimizer.step()
        return float(loss.detach())

    def _hardened(self, batch: Batch) -> Tensor:
        """Return the answers to learn from, shape (B, T, K): of soft ones in front of layers, labels drawn from them.

        Layers are not linear: what they make of distributions and what they make of the chains' labels are different
        worlds, and the difference between these is not what is to be learned.
        """
        if not self.batches.soft or self.network.layers is None or self.how.hard_start:
            return batch.answers
        weight = torch.where(batch.mask[..., None], batch.answers, 1.0).double()
        labels = torch.multinomial(weight.flatten(0, 1), 1, generator=self.generator)
        state = torch.where(batch.mask, labels.view(batch.mask.shape), -1)
        return one_hot(state, self.batches.n_classes, self.batches.dtype)

    def _drawn(
        self, energy: UnitTasks | LayeredTasks, answers: Tensor, allowed: Tensor | None
    ) -> Tensor:
        """Return the energy at a draw of the hidden units, shape (B,)."""
        with torch.no_grad():
            logits = energy.unit_logits(answers)
            if allowed is not None:
                logits[..., 0, :] += allowed
            states = torch.softmax(logits.double(), -1)
            flat = torch.multinomial(states.flatten(0, -2), 1, generator=self.generator)
        return energy.energy(answers, flat.view(states.shape[:-1]))

    def _log_prior(self) -> Tensor:
        """Return what is added to the log-likelihood of all tasks, as in exact training."""
        network, settings = self.network, self.settings
        if self.one_unit:
            weight = network.weight()
            weight = weight[..., :-1] + weight[..., -1:]
            activity = torch.logsumexp(weight, 1)
            alpha = self.likelihood.pseudo_answers.to(weight)
            value = (alpha * (weight - activity[:, None]).sum(0)).sum()
            value = (
                value + self.likelihood.prior_penalty * torch.log_softmax(network.bias[0], 0).sum()
            )
            if self.likelihood.activity_penalty:
                centred = activity - activity.mean(1, keepdim=True)
                value = value - 0.5 * self.likelihood.activity_penalty * centred.square().sum()
            return value
        strength = joint.own_penalty(settings)
        value = -0.5 * strength * network.own.square().sum()
        shared = network.population.square().sum() + network.bias.square().sum()
        value = value - 0.5 * joint.SHARED_PENALTY * shared
        if network.layers is not None:
            for now, begin in zip(network.layers.parameters(), self.layer_start, strict=True):
                value = value - 0.5 * strength * (now - begin).square().sum()
        return value

    # -------------------------------------------------------------- an epoch

    def _note(self, loss: float, optimizer: Adam) -> None:
        noted: dict[str, float | None] = {
            "loss": loss,
            "learning_rate": optimizer.learning_rate,
            "acceptance": self.sampler.acceptance,
            "step_size": getattr(self.sampler, "step_size", None),
            "log_likelihood": self._log_likelihood(),
        }
        for name, value in noted.items():
            if value is not None:
                self.history.setdefault(name, []).append(value)

    def _log_likelihood(self) -> float | None:
        network = self.network
        if network.layers is not None or not network.tractable:
            return None
        n_states = network.n_states**network.n_units
        if self.batches.n_answers * n_states > _WORTH_FOLLOWING:
            return None
        total = joint.log_likelihood(network.units(), self.design)
        return total / max(self.batches.n_tasks, 1)

    def _learn_pseudo_answers(self) -> None:
        if not self.one_unit or self.settings.penalty != "learned":
            return
        energy = self.network.units().unit_energy(0)
        counts = self.design.expected_counts(self.likelihood.posterior_of(energy)).cpu()
        self.likelihood.learn_pseudo_answers(counts, steps=2)

    def _gap(self, held: Tensor, taught: Tensor) -> float:
        """Return how much higher the free energy of held-out tasks is, in nats an answer."""
        means = []
        for tasks in (held, taught):
            total = answers = 0.0
            for some in tasks.split(self.how.size(self.batches.n_tasks)):
                batch = self.batches.get(some)
                with torch.no_grad():
                    total += float(self.network.bind(batch).free_energy(batch.answers).sum())
                answers += float(batch.mask.sum())
            means.append(total / max(answers, 1.0))
        return means[0] - means[1]

    # ---------------------------------------------------------------- helpers

    def _check(self) -> None:
        probe = self.batches.get(torch.zeros(1, dtype=torch.int64, device=self.batches.device))
        with torch.no_grad():
            energy = self.network.bind(probe)
        self.sampler.require(energy)
        if not self.how.expectation and not isinstance(energy, BlockEnergy | LayeredTasks):
            raise UnsupportedError("deterministic=False needs hidden units that can be drawn.")

    def _allowed(self, gold: Tensor | None) -> Tensor | None:
        if gold is None or not bool((gold >= 0).any()):
            return None
        label = torch.arange(self.network.n_states) // self.network.n_subtypes
        barred = (gold.cpu()[:, None] >= 0) & (label[None, :] != gold.cpu()[:, None])
        allowed = torch.zeros(barred.shape, dtype=self.batches.dtype).masked_fill(
            barred, -torch.inf
        )
        return allowed.to(self.batches.device)

    def _shuffled(self, n: int) -> Tensor:
        return torch.randperm(n, generator=self.generator, device=self.batches.device)

    def _weights(self) -> dict[str, Any]:
        return copy.deepcopy(self.network.state_dict())


def _decay(schedule: Schedule, done: float) -> float:
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
    return max(0.0, 1.0 - done) if schedule == "linear" else 1.0
