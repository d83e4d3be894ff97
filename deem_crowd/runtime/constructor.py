"""Constructor arguments as scikit-learn's ``clone`` and searches expect them, without importing it."""

from __future__ import annotations

import inspect
from numbers import Integral
from typing import Any, TypeVar

from deem_crowd.exceptions import ParameterError

Self = TypeVar("Self", bound="ConstructorParameters")


class ConstructorParameters:
    """``get_params`` and ``set_params`` of a class whose constructor stores its arguments under their names."""

    def __repr__(self) -> str:
        names = inspect.signature(type(self).__init__).parameters
        given = [
            f"{name}={_short(value)}"
            for name, value in self.get_params().items()
            if repr(value) != repr(names[name].default)
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name != "self"}

    def set_params(self: Self, **params: Any) -> Self:
        """Set constructor arguments.

        Raises
        ------
        ParameterError
            For a name that is none.
        """
        for name in params:
            if name not in self.get_params():
                raise ParameterError(
                    f"{type(self).__name__} has no parameter {name!r}. It has: {', '.join(self.get_params())}."
                )
        self.__dict__.update(params)
        return self


def _short(value: Any) -> str:
    """Return a value as text of one short line."""
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"<{type(value).__name__}>"


def is_whole(value: Any, least: int) -> bool:
    """Tell whether a parameter is an integer, Python's or numpy's and no bool, and at least as large."""
    return type(value) is not bool and isinstance(value, Integral) and int(value) >= least
