"""One table of what each parameter may be; checked when fitting, so that a constructor only stores."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import numbers
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from deem_crowd.exceptions import ParameterError

T = TypeVar("T", bound=type)
T2 = TypeVar("T2")


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
TABLE: dict[str, tuple[Rule, ...]] = {
    "n_classes": (Number(1, whole=True), NONE),
    "n_iter": (Number(0, whole=True),),
    "epochs": (Number(0, whole=True), NONE),
    "tol": (Number(0),),
    "subtypes": (Number(1, whole=True),),
    "gauge": (Choice(("auto", "normalised", "free")),),
    "hidden_dim": (Number(1, 16, whole=True),),
    "cd_k": (Number(1, whole=True),),
    "deterministic": (BOOL,),
    "learning_rate": (Number(0, open_low=True), NONE),
    "learning_rate_schedule": (Choice(("cosine", "linear", "constant")),),
    "momentum": (Number(0, 0.9999), NONE),
    "batch_size": (Number(1, whole=True), NONE),
    "restart": (Number(0, 1),),
    "early_stopping": (BOOL,),
    "validation_fraction": (Number(0, 0.5, open_low=True),),
    "auto_hyperparameters": (BOOL, NONE),
    "use_preprocessing": (BOOL,),
    "preprocessing_layers": (Number(0, 16, whole=True), NONE),
    "preprocessing_activation": (
        Choice(("sparsemax", "entmax", "ultramax", "softmax", "relu", "gelu", "silu")),
    ),
    "preprocessing_init": (Choice(("identity", "rand", "mv", "default", "units")),),
    "preprocessing_one_hot": (BOOL,),
    "preprocessing_use_softmax": (BOOL,),
    "preprocessing_jitter": (Number(0), NONE),
    "sampler_steps": (Number(1, whole=True), NONE),
    "sampler_oh_mode": (BOOL, NONE),
    "penalty": (Choice(("learned",)), Number(0, open_low=True, high=1e12), NONE),
    "init_method": (Choice(("mv", "mv_rand", "mv_lo", "rand")),),
    "use_weighted": (BOOL,),
    "ordered": (BOOL, NONE),
    "dtype": (Choice(("auto", "float32", "float64")),),
    "random_state": (Number(0, 2**63 - 1, whole=True), NONE),
    "missing": (Choice(("error", "drop")),),
    "duplicates": (Choice(("error", "last", "first")),),
    "unknown_workers": (Choice(("average", "error")),),
    "progress": (BOOL,),
}


def close_to(name: str, options: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` if something close to ``name`` is among ``options``, else nothing."""
    near = difflib.get_close_matches(str(name), list(options), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def check(parameters: Mapping[str, Any]) -> None:
    """Raise :class:`ParameterError` for the first value that :data:`TABLE` does not allow."""
    for name, value in parameters.items():
        rules = TABLE.get(name)
        if rules is None or any(rule.allows(value) for rule in rules):
            continue
        hint = ""
        if isinstance(value, str):
            options = [o for rule in rules if isinstance(rule, Choice) for o in rule.options]
            hint = close_to(value, options)
        raise ParameterError(
            f"{name}={value!r} is not allowed: {name} is {' or '.join(map(str, rules))}.{hint}"
        )


_PUBLISHED = {
    "verbose": "progress=True shows how far a fit is, and history_ and selection_ say afterwards what it did",
    "val_predictions": "early_stopping=True holds out a share of the tasks, validation_fraction",
    "val_labels": "labels are never trained on; score(predictions, y) rates a fitted model",
}
"""Parameters of the published package ``deem`` that are called otherwise here."""


def unknown_parameter(owner: str, name: str, known: Iterable[str]) -> ParameterError:
    """Return the error for a parameter that ``owner`` does not have."""
    known = list(known)
    if name in _PUBLISHED:
        return ParameterError(f"{owner} has no parameter {name!r}: {_PUBLISHED[name]}.")
    return ParameterError(
        f"{owner} has no parameter {name!r}.{close_to(name, known)} It has: {', '.join(known)}."
    )


def renamed(old: str, old_value: T2, new: str, value: T2) -> T2:
    """Return an argument of a public method whose name has changed, with a warning where the old name was used.

    Raises
    ------
    ParameterError
        If both names were used.
    """
    if old_value is None:
        return value
    if value is not None:
        raise ParameterError(f"{old} is the former name of {new}: give {new} alone.")
    warnings.warn(
        f"{old}= is called {new}= now; the old name works until 0.3.", FutureWarning, stacklevel=3
    )
    return old_value


def named_parameters(cls: T) -> T:
    """Class decorator: an unknown keyword given to the constructor is an error that says what was meant."""
    inner: Callable[..., None] = cls.__init__  # type: ignore[misc]
    signature = inspect.signature(inner)
    known = [name for name in signature.parameters if name != "self"]

    @functools.wraps(inner)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        for name in kwargs:
            if name not in known:
                raise unknown_parameter(cls.__name__, name, known)
        inner(self, *args, **kwargs)

    cls.__init__ = __init__  # type: ignore[misc]
    return cls
