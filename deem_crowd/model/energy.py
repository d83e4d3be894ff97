r"""The energy of one multinomial hidden unit over the answers that exist.

With ``O(n)`` the workers who answered task n, S = K·M hidden states and ``label(s) = s // M``::

    E_O(x, h) = − b[h] − Σ_{i∈O} W[i, x_i, h]
    F_O(x)    = − log Σ_h exp(b[h] + Σ_{i∈O} W[i, x_i, h])
    A[i, h]   = log Σ_l exp W[i, l, h]
    log Z_O   = log Σ_h exp(b[h] + Σ_{i∈O} A[i, h])
    log p(x_O) = − F_O(x) − log Z_O

A worker's visible bias a[i, l] is carried inside W (constant over h). See Maymon, Buznah, Shaham, arXiv 2601.20556,
for the energy; Salakhutdinov, Mnih, Hinton, ICML 2007, for leaving out visible units that are missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.rows import softmax
from deem_crowd.model.tables import label_total

_NORMALISED = 1e-12
"""Log-partitions below this are rounding."""


@dataclass
class Energy:
    """Weights of the model and what follows from them.

    Attributes
    ----------
    bias : float64 Tensor, shape (S,)
        b, of the hidden states.
    weight : float64 Tensor, shape (D, K, S)
        W, of worker × answer × hidden state.
    population : float64 Tensor, shape (K, S)
        W of the average worker: what counts for workers never seen.
    n_subtypes : int
        M; states k·M … k·M + M − 1 carry class k.
    """

    bias: torch.Tensor
    weight: torch.Tensor
    population: torch.Tensor
    n_subtypes: int = 1

    @property
    def n_workers(self) -> int:
        """D."""
        return int(self.weight.shape[0])

    @property
    def n_classes(self) -> int:
        """K."""
        return int(self.weight.shape[1])

    @property
    def n_states(self) -> int:
        """S."""
        return int(self.bias.shape[0])

    def worker_log_partition(self) -> torch.Tensor:
        """Return A, shape (D, S): zero throughout in the normalised gauge."""
        return torch.logsumexp(self.weight, dim=1)

    def widened(self, n_workers: int) -> Energy:
        """Return the same energy over more workers: those that follow are average ones."""
        new = self.population.expand(n_workers - self.n_workers, *self.population.shape)
        weight = torch.cat([self.weight, new])
        return Energy(self.bias, weight, self.population, self.n_subtypes)

    def state_logits(self, design: DesignMatrix) -> torch.Tensor:
        """Return ``b[h] + Σ_{i∈O(n)} W[i, x_ni, h]``, shape (N, S)."""
        return design.logits(self.weight) + self.bias.to(design.device, design.dtype)

    def prior_logits(self, design: DesignMatrix) -> torch.Tensor:
        """Return ``b[h] + Σ_{i∈O(n)} A[i, h]``, shape (N, S): p(h) given who answered, not what."""
        a = self.worker_log_partition()[:, None, :].expand_as(self.weight)
        return design.logits(a) + self.bias.to(design.device, design.dtype)

    def free_energy(self, design: DesignMatrix) -> torch.Tensor:
        """Return F_O(n)(x_n), shape (N,)."""
        return -softmax(self.state_logits(design))[1]

    def log_partition(self, design: DesignMatrix) -> torch.Tensor:
        """Return log Z_O(n), shape (N,)."""
        return softmax(self.prior_logits(design))[1]

    def log_likelihood(self, design: DesignMatrix) -> torch.Tensor:
        """Return log p(x_n) of the answers each task has, shape (N,)."""
        return -self.free_energy(design) - self.log_partition(design)

    def state_posterior(self, design: DesignMatrix) -> torch.Tensor:
        """Return p(h | x_n), shape (N, S)."""
        return softmax(self.state_logits(design))[0]

    def posterior(self, design: DesignMatrix) -> torch.Tensor:
        """Return p(label = k | x_n), shape (N, K): the posterior of the states, summed over subtypes."""
        return self.fold(self.state_posterior(design))

    def fold(self, states: torch.Tensor) -> torch.Tensor:
        """Sum the last axis from S states to K classes; those of one state each are returned as they are."""
        if self.n_subtypes == 1:
            return states
        by_class = states.unflatten(-1, (self.n_classes, self.n_subtypes))
        if states.ndim == 2 and states.shape[1] and states.stride(0) == 1:
            return torch.stack([each.sum(0) for each in by_class.movedim(0, -1).unbind(0)]).T
        if self.n_subtypes == 2:  # torch's sums over short axes are slow
            return by_class[..., 0] + by_class[..., 1]
        return by_class.sum(-1)

    def confusion(self, design: DesignMatrix) -> torch.Tensor:
        """Return p(x_i = l | label = k), shape (D, K, K) as [i, l, k], subtypes weighted by their prior."""
        return self.reading(design)[1]

    def reading(self, design: DesignMatrix) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return π, :meth:`confusion` and :meth:`skills`.

        π, shape (K,), float64 on the CPU, is p(label) averaged over tasks; softmax(b) in the normalised gauge.
        """
        shares = self.weight.exp()
        if bool(((label_total(shares) - 1).abs() < _NORMALISED).all()):
            prior, tables = torch.softmax(self.bias, 0), shares
        else:
            prior, tables = self._mean_prior(design), torch.softmax(self.weight, dim=1)
        by_class = self.fold(prior)
        confusion = self._folded(tables, prior)
        right = torch.diagonal(confusion, dim1=1, dim2=2)
        return by_class.to("cpu", torch.float64), confusion, (right * by_class).sum(-1)

    def _folded(self, tables: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
        if self.n_subtypes == 1:
            return tables
        weight = prior.unflatten(-1, (self.n_classes, self.n_subtypes))
        weight = weight / weight.sum(-1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
        return (tables.unflatten(-1, (self.n_classes, self.n_subtypes)) * weight).sum(-1)

    def skills(self, design: DesignMatrix) -> torch.Tensor:
        """Return each worker's chance of the right answer, shape (D,): Σ_k π[k] · p(x_i = k | label = k)."""
        return self.reading(design)[2]

    def _mean_prior(self, design: DesignMatrix) -> torch.Tensor:
        normalised = bool((self.worker_log_partition().abs() < _NORMALISED).all())
        if design.n_tasks_in_all == 0 or normalised:  # the same for all tasks
            return torch.softmax(self.bias, 0)
        return design.total(softmax(self.prior_logits(design))[0]) / design.n_tasks_in_all
