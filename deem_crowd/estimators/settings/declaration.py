"""How parameters are declared and documented, checked, and refused where there are none of that name."""

from __future__ import annotations

import difflib
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attr

from deem_crowd.estimators.settings.rules import Choice, Rule
from deem_crowd.exceptions import ParameterError, ParameterWarning
from deem_crowd.runtime.warning import warn

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T", bound=type)
T2 = TypeVar("T2")


def parameter(
    default: Any,
    *rules: Rule,
    doc: str,
    kind: str = "",
    names_model: bool = False,
    sampled: bool = False,
) -> Any:
    """Declare a parameter of a constructor, in the body of a class of attrs.

    Parameters
    ----------
    default
    rules : Rule
        What it may be, one of them; anything if there is none.
    doc : str
        What it is for, for the documentation of every class that has it.
    kind : str
        What it may be, in words, where the rules do not say it.
    names_model : bool
        Whether another value than the default names a model, so that none is chosen from the answers.
    sampled : bool
        Whether only training by samples uses it.
    """
    metadata = {
        "rules": rules,
        "doc": doc,
        "kind": kind,
        "names_model": names_model,
        "sampled": sampled,
    }
    return attr.ib(default=default, metadata=metadata)


def declared(cls: type) -> dict[str, attr.Attribute[Any]]:
    """Return the parameters of a class, in the order of its constructor."""
    return {field.name: field for field in attr.fields(cls) if "doc" in field.metadata}


def in_order(first: str) -> Callable[[type, list[Any]], list[Any]]:
    """Return what puts the fields of a class in the order of its constructor: these names, and then all others."""
    place = {name: i for i, name in enumerate(first.split())}

    def ordered(cls: type, fields: list[Any]) -> list[Any]:
        return sorted(fields, key=lambda field: place.get(field.name, len(place)))

    return ordered


def documented(cls: T) -> T:
    """Class decorator: the docstring gets a section on the parameters, before its first section."""
    lines = ["Parameters", "----------"]
    for name, field in declared(cls).items():
        kind = field.metadata["kind"] or " or ".join(map(str, field.metadata["rules"]))
        lines.append(f"{name} : {kind}, default {field.default!r}")
        text = textwrap.fill(
            field.metadata["doc"], 110, break_long_words=False, break_on_hyphens=False
        )
        lines.append(textwrap.indent(text, "    "))
    text = inspect.cleandoc(cls.__doc__ or "")
    before, section, after = text.partition("Attributes\n----------")
    cls.__doc__ = before + "\n".join(lines) + "\n\n" + section + after
    return cls


def close_to(name: str, options: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` if something close to ``name`` is among ``options``, else nothing."""
    near = difflib.get_close_matches(str(name), list(options), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def check(parameters: Mapping[str, Any], cls: type) -> None:
    """Raise :class:`ParameterError` for the first value that the rules of a class refuse.

    Defaults pass, and so do all values of parameters without rules.
    """
    fields = declared(cls)
    for name, value in parameters.items():
        if name in fields and value is fields[name].default:
            continue
        rules: tuple[Rule, ...] = fields[name].metadata["rules"] if name in fields else ()
        if not rules or any(rule.allows(value) for rule in rules):
            continue
        hint = ""
        if isinstance(value, str):
            options = [o for rule in rules if isinstance(rule, Choice) for o in rule.options]
            hint = close_to(value, options)
        raise ParameterError(
            f"{name}={value!r} is not allowed: {name} is {' or '.join(map(str, rules))}.{hint}"
        )


_PUBLISHED = {
    "verbose": "progress=True and the logger deem_crowd.progress show how far a fit is, selection_ what it did",
    "val_predictions": "early_stopping=True holds out a share of the tasks, validation_fraction",
    "val_labels": "labels are never trained on; score(predictions, y) rates a fitted model",
}
"""Parameters of the published package ``deem`` that are called otherwise here."""
_ELSEWHERE = {
    "seed": "random_state",
    "random_seed": "random_state",
    "lr": "learning_rate",
    "max_epochs": "epochs",
    "max_iter": "n_iter",
    "class_prior": "class_balance",
    "class_priors": "class_balance",
    "prior": "class_balance",
    "priors": "class_balance",
    "prevalence": "class_balance",
    "cardinality": "n_classes",
}
"""What other packages call a parameter → what it is called here."""


def unknown_parameter(owner: str, name: str, known: Iterable[str]) -> ParameterError:
    """Return the error for a parameter that ``owner`` does not have."""
    known = list(known)
    if name in _PUBLISHED:
        return ParameterError(f"{owner} has no parameter {name!r}: {_PUBLISHED[name]}.")
    called = _ELSEWHERE.get(name)
    hint = f" Did you mean {called!r}?" if called in known else close_to(name, known)
    return ParameterError(f"{owner} has no parameter {name!r}.{hint} It has: {', '.join(known)}.")


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
    warn(f"{old}= is called {new}= now; the old name works until 0.3.", FutureWarning)
    return old_value


def named_parameters(cls: T) -> T:
    """Class decorator: an unknown keyword given to the constructor is an error that says what was meant.

    A class may have ``also_called``, a dict from another class's name of a parameter to its own: that name is taken,
    and
    a :class:`ParameterWarning` says the own one.
    """
    also: dict[str, str] = getattr(cls, "also_called", {})
    inner: Callable[..., None] = cls.__init__  # type: ignore[misc]
    signature = inspect.signature(inner)
    known = [name for name in signature.parameters if name != "self"]

    @functools.wraps(inner)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        for name in list(kwargs):
            if name in also and name not in known:
                own = also[name]
                if own in kwargs:
                    raise ParameterError(f"{name} is called {own} here: give {own} alone.")
                kwargs[own] = kwargs.pop(name)
                message = f"{name} is called {own} in {cls.__name__}, and was taken for it."
                warn(message, ParameterWarning)
            elif name not in known:
                raise unknown_parameter(cls.__name__, name, known)
        inner(self, *args, **kwargs)

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


@functools.cache
def _parameter_names(cls: Any) -> tuple[str, ...]:
    signature = inspect.signature(cls.__init__)
    return tuple(name for name in signature.parameters if name != "self")


class Settable:
    """What scikit-learn's ``clone`` and searches ask of an object, for a class that is no ``BaseEstimator``."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments, as scikit-learn's ``clone`` and searches expect."""
        cls: Any = type(self)
        return {name: getattr(self, name) for name in _parameter_names(cls)}

    def set_params(self, **params: Any) -> Self:
        """Set constructor arguments.

        Raises
        ------
        ParameterError
            For a name that is none.
        """
        known = self.get_params()
        for name in params:
            if name not in known:
                raise unknown_parameter(type(self).__name__, name, known)
        self.__dict__.update(params)
        return self
