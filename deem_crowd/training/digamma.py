"""Sums of digamma functions over workers, of which learning a Dirichlet prior consists."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.runtime.threads import each, gathered

_MANY = 2**14
"""Cells from which single precision, whose rounding falls in the mean over so many, is worth having."""
_PIECE = 2**15
"""Cells that stay in the processor's cache with what is computed from them."""

_NEARLY = 1e-2
"""How far sums of probabilities in single precision may be from the whole numbers that they stand for."""


class DigammaSum:
    """Σ_i [ψ(C_i + α) − ψ(α)] over workers i, as a function of α.

    Parameters
    ----------
    counts : float64, shape (D, …)
        C, not negative.

    Notes
    -----
    Of many cells the differences are computed in float32, by four steps of the recurrence and the asymptotic series
    (Abramowitz and Stegun, *Handbook of Mathematical Functions*, 6.3.6 and 6.3.18), in which nothing cancels: torch's
    digamma goes from cell to cell. Sums are float64.
    """

    def __init__(self, counts: torch.Tensor) -> None:
        self._counts = counts
        self._pieces: tuple[torch.Tensor, ...] | None = None
        if counts.numel() >= _MANY:
            rows = max(1, _PIECE * len(counts) // counts.numel())
            self._pieces = counts.to(torch.float32).split(rows)

    def __call__(self, alpha: torch.Tensor) -> torch.Tensor:
        """Return the sum, float64, of the shape of ``alpha``, (…)."""
        if self._pieces is None:
            return (self._counts + alpha).digamma_().sub_(alpha.digamma()).sum(0)
        rise = _Rise(alpha.to(torch.float32))
        found = gathered(lambda piece: rise(piece).sum(0), self._pieces)
        return sum(found, torch.zeros_like(alpha))

    def slope(self, alpha: torch.Tensor) -> torch.Tensor:
        """Return the derivative of the sum, float64, of the shape of ``alpha``, (…): for steps, not for their end."""
        if self._pieces is None:
            return (torch.polygamma(1, self._counts + alpha) - torch.polygamma(1, alpha)).sum(0)
        start = alpha.to(torch.float32)
        before = _trigamma(start)
        found = gathered(lambda piece: _trigamma(piece + start).sub_(before).sum(0), self._pieces)
        return sum(found, torch.zeros_like(alpha))


class WholeDigammaSum:
    """The same sum over whole numbers, Σ_j #{i : C_i > j} / (α + j), from how many there are of each.

    Parameters
    ----------
    counts : int64, shape (D, …)
        C, not negative.
    """

    def __init__(self, counts: torch.Tensor) -> None:
        flat = counts.reshape(len(counts), -1)
        n, top = flat.shape[1], int(flat.max()) + 1
        places = (flat + top * torch.arange(n)).ravel()
        number = torch.bincount(places, minlength=n * top).view(n, top)
        self._above = (len(counts) - number.cumsum(1)).double()
        self._steps = torch.arange(top, dtype=torch.float64)

    def __call__(self, alpha: torch.Tensor) -> torch.Tensor:
        """Return the sum, float64, of the shape of ``alpha``, (…)."""
        terms = self._above / (alpha.reshape(-1, 1) + self._steps)
        return terms.sum(1).view(alpha.shape)


def digamma_sum(counts: torch.Tensor) -> DigammaSum | WholeDigammaSum:
    """Return the sum over counts, shape (D, …), as a function of α; what is nearly whole numbers is taken for these."""
    if counts.numel() and float(counts.max()) <= 4 * len(counts):
        whole = counts.round()
        if float((counts - whole).abs().max()) < _NEARLY:
            return WholeDigammaSum(whole.long())
    return DigammaSum(counts)


def log_gamma(x: torch.Tensor) -> torch.Tensor:
    """Return log Γ(x), float64, of positive numbers in any shape.

    Of many on the CPU by six steps of the recurrence and the asymptotic series (6.1.15 and 6.1.41 there), to 1e-12:
    torch's goes from cell to cell. numpy's logarithm takes a third of torch's time.
    """
    if x.numel() < _MANY or x.device.type != "cpu":
        return torch.lgamma(x)
    flat = x.contiguous().numpy().ravel()
    value = np.empty_like(flat)

    def fill(start: int) -> None:
        _log_gamma(flat[start : start + _PIECE], value[start : start + _PIECE])

    each(fill, range(0, len(flat), _PIECE))
    return torch.from_numpy(value).view(x.shape)


def _log_gamma(x: npt.NDArray[np.float64], out: npt.NDArray[np.float64]) -> None:
    """Write log Γ(x) of positive numbers, shape (n,), to ``out``."""
    step = x + 5
    step *= x
    product = step + 4
    product *= step
    step += 6
    product *= step  # x (x + 1) … (x + 5)
    far = x + 6
    inverse = 1 / far
    square = inverse * inverse
    series = square * (-691 / 360360)
    for term in (1 / 1188, -1 / 1680, 1 / 1260, -1 / 360):
        series += term
        series *= square
    series += 1 / 12
    series *= inverse
    np.log(far, out=out)
    far -= 0.5
    out *= far
    out += series
    out -= np.log(product, out=product)
    out -= x
    out -= 6 - 0.5 * math.log(2 * math.pi)


def _trigamma(x: torch.Tensor) -> torch.Tensor:
    """Return ψ′(x), float32, by four steps of the recurrence and the asymptotic series (6.4.6 and 6.4.12 there)."""
    inverse_square = x.square().reciprocal_()
    for step in (1, 2, 3):
        inverse_square += (x + step).square_().reciprocal_()
    inverse = (x + 4).reciprocal_()
    square = inverse * inverse
    series = (square / -30).add_(1 / 6).mul_(square).mul_(inverse)
    return inverse_square.add_(series).add_(square, alpha=0.5).add_(inverse)


class _Rise:
    """ψ(c + α) − ψ(α) for numbers c, float32, in rows of the shape of α."""

    def __init__(self, alpha: torch.Tensor) -> None:
        self._alpha = alpha
        inverse = [(alpha + step).reciprocal() for step in range(5)]
        # 1 / (α (x)) + 1 / ((α + 3) (x + 3)) is (outer x + 3 / α) / (x (x + 3)), the two between likewise
        self._outer, self._outer_at_0 = inverse[0] + inverse[3], 3 * inverse[0]
        self._inner, self._inner_at_0 = inverse[1] + inverse[2], 2 * inverse[1] + inverse[2]
        self._far = inverse[4]
        self._rest = _series(self._far)

    def __call__(self, c: torch.Tensor) -> torch.Tensor:
        x = c + self._alpha
        ends = (x + 3).mul_(x)
        middle = ends + 2
        inner = (x * self._inner).add_(self._inner_at_0).mul_(ends)
        steps = (x * self._outer).add_(self._outer_at_0).mul_(middle).add_(inner)
        steps.div_(middle.mul_(ends))
        inverse = x.add_(4).reciprocal_()
        steps.add_(inverse * (0.5 * self._far)).mul_(c)
        return steps.add_((c * self._far).log1p_()).sub_(_series(inverse).sub_(self._rest))


def _series(inverse: torch.Tensor) -> torch.Tensor:
    """Return log z − 1 / 2z − ψ(z) from 1 / z."""
    square = inverse * inverse
    series = (square / -240).add_(1 / 252).mul_(square).sub_(1 / 120).mul_(square).add_(1 / 12)
    return series.mul_(square)
