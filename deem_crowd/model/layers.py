r"""Multinomial layers: learned mixing of answers in front of the hidden units.

A layer maps (…, K, D) to (…, K', D')::

    logits[k', j] = Σ_{k,i} V[k, k', i, j] · u[k, i] + c[k', j],     output = activation over k'

(Shaham et al., ICML 2016, for layers in front of the RBM; Maymon, Buznah, Shaham, arXiv 2601.20556, for the multinomial
form). The activations onto the simplex are sparsemax (Martins and Astudillo, ICML 2016), 1.5-entmax and α-entmax with
α = 3, 'ultramax' (Peters, Niculae, Martins, ACL 2019), from the ``entmax`` package, and softmax.

A missing answer contributes nothing. Where a layer has as many outputs as inputs, output j stands for worker j and is
missing where that worker's answer is; otherwise an output is missing only for tasks without any answer.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import entmax
import torch
from torch import Tensor, nn

from deem_crowd.exceptions import ParameterError, UnsupportedError

ACTIVATIONS = ("sparsemax", "entmax", "ultramax", "softmax", "relu", "gelu", "silu")
MAX_WEIGHTS = 50_000_000
"""Weights in all layers; K·K'·D·D' each, so that some hundreds of workers fit and thousands do not."""

_BISECTIONS = 50
# What a one-hot input is multiplied by so that the activation returns it unchanged: entmax does from a gap of 1/(α − 1)
# on; GELU and SiLU reach 1 there; softmax never does and comes within 1e-7 of it.
_GAIN = {"sparsemax": 1.0, "entmax": 2.0, "ultramax": 0.5, "softmax": 18.0, "relu": 1.0}
_GAIN |= {"gelu": 1.1444507183528787, "silu": 1.2784645427610737}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return the activation over the last axis.

    Raises
    ------
    ParameterError
        If there is none of that name.
    """
    if name == "sparsemax":
        return lambda x: entmax.sparsemax(x, dim=-1)
    if name == "entmax":
        return lambda x: entmax.entmax15(x, dim=-1)
    if name == "ultramax":
        return lambda x: entmax.entmax_bisect(x, alpha=3.0, dim=-1, n_iter=_BISECTIONS)
    if name == "softmax":
        return lambda x: torch.softmax(x, -1)
    plain: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": torch.relu,
        "gelu": nn.functional.gelu,
        "silu": nn.functional.silu,
    }
    if name not in plain:
        raise ParameterError(f"no activation is called {name!r}; there are: {ACTIVATIONS}.")
    return plain[name]


def gain(name: str, n_classes: int) -> float:
    """Return the weight of the identity start of an activation over ``n_classes`` classes."""
    if name == "softmax":
        return math.log(max(n_classes - 1, 1)) + _GAIN[name]
    return _GAIN[name]


class MultinomialLayer(nn.Module):
    """One layer from D inputs of K classes to D' outputs of K classes.

    Parameters
    ----------
    n_classes : int
        K, and K' = K.
    n_inputs, n_outputs : int
        D and D'.
    activation : str
        One of :data:`ACTIVATIONS`.
    dtype : torch.dtype
    """

    def __init__(
        self,
        n_classes: int,
        n_inputs: int,
        n_outputs: int,
        activation_name: str,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        self.n_classes, self.n_inputs, self.n_outputs = n_classes, n_inputs, n_outputs
        self.activation = activation_name
        shape = (n_classes, n_classes, n_inputs, n_outputs)
        self.weight = nn.Parameter(torch.zeros(shape, dtype=dtype))
        self.offset = nn.Parameter(torch.zeros((n_classes, n_outputs), dtype=dtype))

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits, shape (..., K', D'), of inputs of shape (..., K, D), zero where missing."""
        flat = inputs.flatten(-2)
        table = self.weight.permute(0, 2, 1, 3).reshape(flat.shape[-1], -1)
        return (flat @ table).unflatten(-1, self.offset.shape) + self.offset

    def present(self, mask: Tensor) -> Tensor:
        """Return which outputs exist, shape (..., D'), given which inputs do, shape (..., D)."""
        if self.n_outputs == self.n_inputs:
            return mask
        return mask.any(-1, keepdim=True).expand(*mask.shape[:-1], self.n_outputs)

    def forward(self, inputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs, shape (..., K', D'), zero where missing, and which of them exist."""
        present = self.present(mask)
        scores = self.logits(inputs * mask[..., None, :])
        out = activation(self.activation)(scores.transpose(-1, -2)).transpose(-1, -2)
        return out * present[..., None, :], present


class Layers(nn.Module):
    """A stack of multinomial layers.

    Parameters
    ----------
    layers : sequence of MultinomialLayer
    one_hot : bool
        Round the last output to one-hot; gradients pass through as if it had not been rounded (straight-through,
        Bengio et al. 2013), and with a generator the rounding is a draw (Gumbel-softmax, Jang et al., ICLR 2017).
    use_softmax : bool
        Put a softmax over the classes behind activations that do not end on the simplex.
    """

    def __init__(
        self, layers: Sequence[MultinomialLayer], one_hot: bool = False, use_softmax: bool = False
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.one_hot, self.use_softmax = one_hot, use_softmax

    @property
    def n_outputs(self) -> int:
        """D' of the last layer."""
        last = self.layers[-1]
        assert isinstance(last, MultinomialLayer)
        return last.n_outputs

    def forward(
        self, answers: Tensor, mask: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what the hidden units see.

        Parameters
        ----------
        answers : shape (..., D, K)
            Zero where missing.
        mask : BoolTensor, shape (..., D)
        generator : torch.Generator, optional
            Draws one-hot outputs; without it the likeliest is taken.

        Returns
        -------
        outputs : shape (..., D', K)
        present : BoolTensor, shape (..., D')
        """
        values, present = answers.transpose(-1, -2), mask
        name = ""
        for layer in self.layers:
            assert isinstance(layer, MultinomialLayer)
            name = layer.activation
            values, present = layer(values, present)
        values = values.transpose(-1, -2)
        if self.use_softmax and name in ("relu", "gelu", "silu"):
            values = torch.softmax(values, -1) * present[..., None]
        if self.one_hot:
            values = _rounded(values, generator) * present[..., None]
        return values, present


def _rounded(values: Tensor, generator: torch.Generator | None) -> Tensor:
    scores = values.detach()
    if generator is not None:
        noise = torch.rand(
            values.shape, generator=generator, device=values.device, dtype=torch.float32
        ).to(values.dtype)
        scores = torch.log(scores.clamp_min(1e-12)) - torch.log(
            -torch.log(noise.clamp(1e-12, 1 - 1e-7))
        )
    hard = nn.functional.one_hot(scores.argmax(-1), values.shape[-1]).to(values.dtype)
    return hard + (values - values.detach())


def build(
    n_classes: int,
    n_workers: int,
    widths: Sequence[int],
    activation_name: str,
    init: str,
    jitter: float,
    generator: torch.Generator,
    one_hot: bool = False,
    use_softmax: bool = False,
) -> Layers:
    """Return a stack of layers at their start.

    Parameters
    ----------
    n_classes, n_workers : int
        K and D.
    widths : sequence of int
        D' of each layer.
    activation_name : str
        One of :data:`ACTIVATIONS`.
    init : {'identity', 'rand', 'mv', 'default', 'units'}
        Each output repeats one input (in turn, where there are more or fewer); noise; each output is the mean of all
        inputs; uniform within ±1/√(K·D), as a linear layer of torch starts;
        'units' as 'identity', for :mod:`deem_crowd.training.pretrain` to go on from.
    jitter : float
        Standard deviation of normal noise added to 'identity' and 'mv'.
    generator : torch.Generator
    one_hot, use_softmax : bool
        As in :class:`Layers`.

    Raises
    ------
    UnsupportedError
        If the layers would have more than :data:`MAX_WEIGHTS` weights.
    """
    sizes = [n_workers, *widths]
    total = sum(n_classes**2 * a * b for a, b in itertools.pairwise(sizes))
    if total > MAX_WEIGHTS:
        raise UnsupportedError(
            f"multinomial layers of widths {list(widths)} over {n_workers:,} workers and {n_classes} classes would "
            f"have {total:,} weights, and {MAX_WEIGHTS:,} are the limit: layers are for ensembles of some hundreds of "
            "workers. Use narrower preprocessing_layer_widths, or hidden_dim=2 without layers."
        )
    layers = []
    for n_inputs, n_outputs in itertools.pairwise(sizes):
        layer = MultinomialLayer(n_classes, n_inputs, n_outputs, activation_name)
        with torch.no_grad():
            layer.weight.copy_(_start(layer, init, jitter, generator))
        layers.append(layer)
    return Layers(layers, one_hot, use_softmax)


def _start(layer: MultinomialLayer, init: str, jitter: float, generator: torch.Generator) -> Tensor:
    k, n_in, n_out = layer.n_classes, layer.n_inputs, layer.n_outputs
    noise = torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64)
    fan_in = max(k * n_in, 1)
    if init == "rand":
        return noise / math.sqrt(fan_in)
    if init == "default":
        uniform = torch.rand(layer.weight.shape, generator=generator, dtype=torch.float64)
        return (2 * uniform - 1) / math.sqrt(fan_in)
    same_class = torch.eye(k, dtype=torch.float64)[:, :, None, None]
    if init == "mv":
        route = torch.full((n_in, n_out), 1.0 / max(n_in, 1), dtype=torch.float64)
    else:
        longest = max(n_in, n_out)
        route = torch.zeros((n_in, n_out), dtype=torch.float64)
        step = torch.arange(longest)
        route[step % n_in, step % n_out] = 1.0
        route /= route.sum(0, keepdim=True).clamp_min(1)
    return gain(layer.activation, k) * same_class * route + jitter * noise
