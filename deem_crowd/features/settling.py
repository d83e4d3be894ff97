"""Which settings of a classifier make the targets of unseen tasks likeliest, and whether its columns are scaled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Value = TypeVar("Value")


def score(targets: FloatArray, weights: FloatArray, log_q: FloatArray) -> float:
    """Return the log-likelihood of targets, shape (M, K), under predictions of the same shape, in nats."""
    return float((weights[:, None] * targets * log_q).sum())


def settled(
    tried: Callable[[bool], Iterable[tuple[Value, FloatArray]]],
    each: bool | None,
    targets: FloatArray,
    weights: FloatArray,
) -> tuple[bool, Value, FloatArray]:
    """Return whether columns are scaled one by one, the other setting, and what the classifier then says.

    Parameters
    ----------
    tried : callable
        From whether each column is scaled by its own to settings, each with log p(label | x) out of fold, shape (M, K).
    each : bool, optional
        Where that is settled.
    targets : shape (M, K)
    weights : shape (M,)
    """
    ways = (False, True) if each is None else (each,)
    scored = ((way, value, log_q) for way in ways for value, log_q in tried(way))
    return max(scored, key=lambda one: score(targets, weights, one[2]))


def climbed(
    told: Callable[[Value], FloatArray],
    values: Sequence[Value],
    first: Value,
    targets: FloatArray,
    weights: FloatArray,
) -> Iterator[tuple[Value, FloatArray]]:
    """Yield settings from one on, to the side where targets become likelier, until they become less likely.

    Parameters
    ----------
    told : callable
        From a setting to log p(label | x) out of fold, shape (M, K).
    values : sequence
        Settings in order.
    first : one of them
    targets : shape (M, K)
    weights : shape (M,)
    """
    begin = values.index(first)
    log_q = told(first)
    yield first, log_q
    top = score(targets, weights, log_q)
    for side in (values[begin + 1 :], values[:begin][::-1]):
        rose = False
        for value in side:
            log_q = told(value)
            yield value, log_q
            now = score(targets, weights, log_q)
            if now < top:
                break
            top, rose = now, rose or now > top
        if rose:
            return
