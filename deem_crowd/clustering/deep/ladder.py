r"""Ladder networks with an unsupervised term, several trained side by side: the base models of Kingdra.

Rasmus, Berglund, Honkala, Valpola, Raiko, *Semi-supervised learning with ladder networks*, NeurIPS 2015; Gupta,
Ramjee, Kwatra, Sivathanu, *Unsupervised clustering using pseudo-semi-supervised learning*, ICLR 2020. All tensors
have a leading axis of the M models: they share nothing but the calls.

The paper prints the information term without the minus that a loss needs; here what is minimised falls as outputs
become certain on each row and balanced over rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Term = Literal["information", "dot"]
_EPS = 1e-5
_MOMENTUM = 0.05


@dataclass(frozen=True)
class Weights:
    """What the parts of the loss count for.

    Attributes
    ----------
    denoising : sequence of float
        λ of the input and of each layer; the last one is repeated where there are more layers.
    consistency : float
        α, of the distance between clean and noisy outputs.
    unsupervised : float
        β, of the information or the dot term.
    balance : float
        μ: what the entropy of the mean output counts against the mean entropy of outputs.
    """

    denoising: Sequence[float] = (1000.0, 10.0, 0.1, 0.1)
    consistency: float = 1.0
    unsupervised: float = 0.1
    balance: float = 4.0


@dataclass(frozen=True)
class Pass:
    """One way through the encoder: activations before the nonlinearity, and logits, shape (M, B, width)."""

    layers: list[Tensor]

    @property
    def logits(self) -> Tensor:
        """Of the last layer, shape (M, B, K)."""
        return self.layers[-1]


class LadderNetworks(nn.Module):
    """M ladder networks of one shape.

    Parameters
    ----------
    widths : sequence of int
        Of the input, the hidden layers and the output.
    n_models : int
    noise : float
        Standard deviation of the noise on the input and on each activation.
    generator : torch.Generator
        Draws the start and all noise; the networks live on its device.
    """

    def __init__(
        self, widths: Sequence[int], n_models: int, noise: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.noise, self._generator = noise, generator
        steps = list(pairwise(widths))
        self.up = nn.ParameterList(self._start(n_models, a, b) for a, b in steps)
        self.down = nn.ParameterList(self._start(n_models, b, a) for a, b in steps)
        kind: Any = {"device": generator.device, "dtype": torch.float32}
        self.shift = nn.ParameterList(
            nn.Parameter(torch.zeros(n_models, 1, b, **kind)) for b in widths[1:]
        )
        #: of each layer, the ten numbers a unit of the combination of noisy activation and decoder
        self.combine = nn.ParameterList(
            nn.Parameter(_combination(n_models, w, kind)) for w in widths
        )
        for i, width in enumerate(widths[1:-1]):
            self.register_buffer(f"mean{i}", torch.zeros(n_models, 1, width, **kind))
            self.register_buffer(f"variance{i}", torch.ones(n_models, 1, width, **kind))

    def _start(self, n_models: int, a: int, b: int) -> nn.Parameter:
        shape = (n_models, a, b)
        device = self._generator.device
        drawn = (
            torch.randn(shape, generator=self._generator, device=device, dtype=torch.float32)
            / a**0.5
        )
        return nn.Parameter(drawn)

    def _noised(self, x: Tensor, noisy: bool) -> Tensor:
        if not noisy or self.noise == 0:
            return x
        drawn = torch.randn(x.shape, generator=self._generator, device=x.device, dtype=x.dtype)
        return x + self.noise * drawn

    def encode(self, x: Tensor, noisy: bool, remember: bool = False) -> Pass:
        """Run a batch, shape (M, B, P), through the encoder with the batch's own moments.

        With ``remember`` its moments go into the running ones that :meth:`probabilities` uses.
        """
        layers = [self._noised(x, noisy)]
        h = layers[0]
        last = len(self.up) - 1
        for i, weight in enumerate(self.up):
            z = torch.bmm(h, weight)
            if i == last:
                layers.append(self._noised(z + self.shift[i], noisy))
                break
            mean, variance = z.mean(1, keepdim=True), z.var(1, keepdim=True, unbiased=False)
            if remember:
                with torch.no_grad():
                    getattr(self, f"mean{i}").lerp_(mean, _MOMENTUM)
                    getattr(self, f"variance{i}").lerp_(variance, _MOMENTUM)
            z = self._noised((z - mean) * (variance + _EPS).rsqrt(), noisy)
            layers.append(z)
            h = F.relu(z + self.shift[i])
        return Pass(layers)

    def decode(self, noisy: Pass) -> list[Tensor]:
        """Return the cleaned activations of every layer, input first."""
        layers: list[Tensor] = []
        above = noisy.logits
        for i in reversed(range(len(noisy.layers))):
            if i < len(self.up):
                above = torch.bmm(above, self.down[i])
            mean, variance = above.mean(1, keepdim=True), above.var(1, keepdim=True, unbiased=False)
            above = _combined(
                noisy.layers[i], (above - mean) * (variance + _EPS).rsqrt(), self.combine[i]
            )
            layers.append(above)
        return layers[::-1]

    def probabilities(self, x: Tensor) -> Tensor:
        """Return clean outputs by the running moments, from (N, P) to (M, N, K)."""
        h = x.expand(self.up[0].shape[0], *x.shape)
        last = len(self.up) - 1
        for i, weight in enumerate(self.up):
            h = torch.bmm(h, weight)
            if i < last:
                scale = (getattr(self, f"variance{i}") + _EPS).rsqrt()
                h = F.relu((h - getattr(self, f"mean{i}")) * scale + self.shift[i])
        return torch.softmax(h + self.shift[last], dim=2)


def _combination(n_models: int, width: int, kind: Any) -> Tensor:
    start = torch.zeros(10, n_models, 1, width, **kind)
    start[1] = start[6] = 1.0
    return start


def _combined(noisy: Tensor, u: Tensor, a: Tensor) -> Tensor:
    """Return (z̃ − μ(u)) v(u) + μ(u), with μ and v of the paper."""
    mean = a[0] * torch.sigmoid(a[1] * u + a[2]) + a[3] * u + a[4]
    factor = a[5] * torch.sigmoid(a[6] * u + a[7]) + a[8] * u + a[9]
    return (noisy - mean) * factor + mean


def entropy(p: Tensor) -> Tensor:
    """Return the entropy over the last axis, in nats."""
    return -(p * torch.log(p.clamp_min(1e-12))).sum(-1)


def information(p: Tensor) -> Tensor:
    """Return H(mean of outputs) − mean H(output), shape (..., B, K) to (...), in [0, log K]."""
    return entropy(p.mean(-2)) - entropy(p).mean(-1)


def information_loss(p: Tensor, balance: float) -> Tensor:
    """Return mean H(output) − μ H(mean output); with μ = 1 the negative information."""
    return entropy(p).mean(-1) - balance * entropy(p.mean(-2))


def dot_loss(p: Tensor) -> Tensor:
    """Return the mean squared distance of the Gram matrix of outputs of length 1 from the identity."""
    unit = p / p.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    gram = unit @ unit.transpose(-1, -2)
    identity = torch.eye(p.shape[-2], device=p.device, dtype=p.dtype)
    return (gram - identity).square().mean((-1, -2))


def consistency_loss(clean: Tensor, noisy: Tensor) -> Tensor:
    """Return KL(clean ‖ noisy) from logits, mean over rows; no gradient goes through the clean side."""
    p = torch.softmax(clean.detach(), -1)
    return (
        (p * (torch.log_softmax(clean.detach(), -1) - torch.log_softmax(noisy, -1)))
        .sum(-1)
        .mean(-1)
    )


def denoising_loss(clean: Pass, cleaned: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return Σ_l λ_l / width_l · mean over rows of ‖z_l − ẑ_l‖², a number for each model."""
    total = clean.logits.new_zeros(clean.logits.shape[0])
    for i, (target, layer) in enumerate(zip(clean.layers, cleaned, strict=True)):
        total = total + weights[min(i, len(weights) - 1)] * (target - layer).square().mean((1, 2))
    return total


def unsupervised_loss(networks: LadderNetworks, x: Tensor, term: Term, weights: Weights) -> Tensor:
    """Return the loss of a batch, shape (M, B, P), summed over models."""
    clean, noisy = networks.encode(x, noisy=False, remember=True), networks.encode(x, noisy=True)
    loss = denoising_loss(clean, networks.decode(noisy), weights.denoising)
    loss = loss + weights.consistency * consistency_loss(clean.logits, noisy.logits)
    for logits in (clean.logits, noisy.logits):
        p = torch.softmax(logits, -1)
        extra = information_loss(p, weights.balance) if term == "information" else dot_loss(p)
        loss = loss + weights.unsupervised * extra
    return loss.sum()


def supervised_loss(networks: LadderNetworks, x: Tensor, target: Tensor) -> Tensor:
    """Return −mean log p of pseudo-labels under the noisy encoder, (M, B, P) and (M, B), summed over models."""
    logits = networks.encode(x, noisy=True).logits
    return F.cross_entropy(logits.flatten(0, 1), target.flatten()) * logits.shape[0]
