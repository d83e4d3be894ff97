"""What a parameter may be: a number in a range, one of some words, an object of some type."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Number:
    """A number in a range; ``whole`` asks for an integer."""

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    open_low: bool = False

    def allows(self, value: Any) -> bool:
        """Whether ``value`` is such a number."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return False
        if self.whole and not isinstance(value, numbers.Integral):
            return False
        number = float(value)
        above = number > self.low if self.open_low else number >= self.low
        return above and number <= self.high  # NaN is neither

    def __str__(self) -> str:
        kind = "an integer" if self.whole else "a number"
        if self.low == -math.inf and self.high == math.inf:
            return kind
        sign = ">" if self.open_low else ">="
        text = f"{kind} {sign} {self.low:g}"
        return text if self.high == math.inf else f"{text} and <= {self.high:g}"


@dataclass(frozen=True)
class Choice:
    """One of some strings."""

    options: tuple[str, ...]

    def allows(self, value: Any) -> bool:
        """Whether ``value`` is among them."""
        return isinstance(value, str) and value in self.options

    def __str__(self) -> str:
        return "one of " + ", ".join(repr(o) for o in self.options)


@dataclass(frozen=True)
class Instance:
    """An object of some type."""

    kinds: tuple[type, ...]

    def allows(self, value: Any) -> bool:
        """Whether ``value`` is one."""
        return isinstance(value, self.kinds)

    def __str__(self) -> str:
        return " or ".join("None" if k is type(None) else k.__name__ for k in self.kinds)


NONE = Instance((type(None),))
BOOL = Instance((bool,))

Rule = Number | Choice | Instance
