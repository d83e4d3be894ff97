"""What is compared: aggregators, by name in the registry or handed over, with parameters."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deem_crowd.exceptions import ParameterError, counted, first_few
from deem_crowd.plugins import registry
from deem_crowd.plugins.discovery import hint

_SEEDS = ("random_state", "seed")


@dataclass(frozen=True)
class Method:
    """An aggregator with parameters, under the label that tables show.

    Attributes
    ----------
    label : str
    make : str or callable
        A name in the registry, or a class or function that makes an aggregator. It has to be one that other processes
        can import.
    parameters : dict
    sees_gold : bool
        Whether ``fit_predict`` is handed the gold labels, too: a ceiling, not a method.
    """

    label: str
    make: str | Callable[..., Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sees_gold: bool = False

    def create(self, seed: int) -> Any:
        """Return an unfitted aggregator; ``seed`` goes to its parameter ``random_state`` or ``seed`` if it has one.

        Raises
        ------
        ParameterError, PluginError
            As :func:`deem_crowd.create`.
        """
        parameters = dict(self.parameters)
        name = self.seed_parameter
        if name and name not in parameters:
            parameters[name] = seed
        if isinstance(self.make, str):
            return registry.create(self.make, **parameters)
        return self.make(**parameters)

    @property
    def seed_parameter(self) -> str | None:
        """The parameter that takes a seed, None if there is none."""
        factory = self.make
        if isinstance(factory, str):
            factory = registry.aggregators()[factory].load()
        try:
            names = inspect.signature(factory).parameters
        except (TypeError, ValueError):  # some callables written in C do not tell theirs
            return None
        return next((name for name in _SEEDS if name in names), None)

    @property
    def takes_seed(self) -> bool:
        """Whether the seed of a run goes to it: it has a parameter for it, whose value is not given."""
        name = self.seed_parameter
        return name is not None and name not in self.parameters

    @property
    def origin(self) -> str:
        """The distribution and version it comes from, empty if that is not known."""
        if not isinstance(self.make, str):
            return ""
        entry = registry.aggregators()[self.make]
        return f"{entry.distribution} {entry.version}"


def methods(given: str | Sequence[str | Method]) -> list[Method]:
    """Return the methods that ``given`` names.

    Parameters
    ----------
    given : str, or list of str and Method
        Names in the registry, with commas between them; parameters may follow in brackets, and a label may stand
        before: ``"ds, deem, deem(hidden_dim=2), two=deem(hidden_dim=2, penalty=null)"``. Values are read as JSON where
        they are such, else as text.

    Raises
    ------
    ParameterError
        If a text cannot be read, there is no such aggregator, or two methods have one label.
    """
    parts: list[str | Method] = []
    for one in [given] if isinstance(given, str) else given:
        parts += _split(one) if isinstance(one, str) else [one]
    listed = [_parsed(part) if isinstance(part, str) else part for part in parts]
    if not listed:
        raise ParameterError("name one method at least.")
    labels = [m.label for m in listed]
    if twice := sorted({x for x in labels if labels.count(x) > 1}):
        raise ParameterError(
            f"{counted(len(twice), 'label stands', 'labels stand')} for several methods ({first_few(twice)}); write "
            "LABEL=NAME(…)."
        )
    return listed


_FORM = re.compile(
    r"(?:(?P<label>[^=()]+)=)?\s*(?P<name>[\w.-]+)\s*(?:\((?P<inside>.*)\))?\s*", re.DOTALL
)


def _parsed(text: str) -> Method:
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ParameterError(f"{text!r} is no NAME, NAME(PARAMETER=VALUE, …) or LABEL=NAME(…).")
    name = match["name"]
    known = registry.aggregators()
    if name not in known:
        raise ParameterError(
            f"no method is called {name!r}{hint(name, known)}; there are: {', '.join(known)}."
        )
    parameters: dict[str, Any] = {}
    for item in _split(match["inside"] or ""):
        key, equals, value = item.partition("=")
        if not equals or not key.strip().isidentifier():
            raise ParameterError(f"{item.strip()!r} in {text!r} is no PARAMETER=VALUE.")
        try:
            parameters[key.strip()] = json.loads(value)
        except ValueError:
            parameters[key.strip()] = value.strip()
    label = match["label"] or re.sub(r"\s+", "", text)
    return Method(label.strip(), name, parameters)


def _split(text: str) -> list[str]:
    """Split at the commas that stand outside brackets; leave out what is empty."""
    depth, parts, start = 0, [], 0
    for i, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    if depth:
        raise ParameterError(f"{text!r} has brackets that do not match.")
    return [p.strip() for p in [*parts, text[start:]] if p.strip()]
