"""What the checks share: their error, skipping by name and reason, and watching the global random state."""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

from deem_crowd.exceptions import ParameterError
from deem_crowd.testing.surroundings import FILTERS, settings_kept, written


class ConformanceError(AssertionError):
    """A plugin does not do what its kind has to; the message names the check, what was seen and the remedy."""

    def __init__(self, plugin: str, check: str, seen: str, remedy: str) -> None:
        self.check = check
        super().__init__(f"{plugin}, check {check!r}: {seen} {remedy}")


def name_of(plugin: Any) -> str:
    """Return what to call a plugin in a message."""
    return str(getattr(plugin, "__name__", type(plugin).__name__))


Check = TypeVar("Check", bound=Callable[..., None])


def check(name: str) -> Callable[[Check], Check]:
    """Mark a method as a check; :meth:`Checks.run_all` runs those of an object in the order of their definition."""

    def mark(method: Check) -> Check:
        method.check_name = name  # type: ignore[attr-defined]
        return method

    return mark


_PRINTED = "In the shell, results go there: leave out print, or use warnings.warn or a logger."
_WRITTEN = "Callers of a library choose which messages they see: use warnings.warn or a logger."


class Checks:
    """Runs named checks of one plugin.

    Parameters
    ----------
    plugin : str
    skip : mapping of str to str
        Checks to leave out, each with the reason.
    """

    def __init__(self, plugin: str, skip: Mapping[str, str] | None) -> None:
        self.plugin, self._skip = plugin, dict(skip or {})
        unreasoned = [name for name, why in self._skip.items() if not str(why).strip()]
        if unreasoned:
            raise ParameterError(f"skip needs a reason for each check; {unreasoned} have none.")
        self.passed: list[str] = []
        self._names: list[str] = []
        self._current = ""
        self._heard: dict[str, list[str]] = {"standard output": [], "standard error": []}
        self._changed: list[str] = []

    def run(self, name: str, check: Callable[[], None]) -> None:
        """Run one check, unless it is skipped.

        Raises
        ------
        ConformanceError
            Also for any other exception that leaves the check.
        """
        self._names.append(name)
        if name in self._skip:
            return
        self._current = name
        try:
            with written(self._heard), settings_kept(self._changed):
                check()
        except ConformanceError:
            raise
        except Exception as error:
            raise ConformanceError(
                self.plugin,
                name,
                f"it raised {type(error).__name__}: {error}.",
                "It has to get through this without an error.",
            ) from error
        self.passed.append(name)

    def _silent(self, stream: str, remedy: str) -> None:
        """Fail if a check has written something to a standard stream."""
        shown = "".join(self._heard[stream]).strip().partition("\n")[0]
        self.require(
            not self._heard[stream], f"it wrote to {stream}, {shown[:60]!r} first.", remedy
        )

    def _undisturbed(self) -> None:
        """Fail if a check left a setting of the process changed; for filters of warnings, if two or more did."""
        times = Counter(self._changed)
        # once is allowed: a library may set these up when it is first used
        found = [name for name, n in times.items() if n > (name == FILTERS)]
        self.require(
            not found,
            f"it changed {'; '.join(found)}.",
            "It holds for the whole process: change it in a with block that restores it (pd.option_context, "
            "warnings.catch_warnings, np.errstate), or give each tensor its dtype.",
        )

    def run_all(self, kit: object) -> None:
        """Run the methods of ``kit`` that :func:`check` marks, its own and then those of its bases.

        Raises
        ------
        ConformanceError
        """
        for owner in type(kit).__mro__:
            for attribute, method in vars(owner).items():
                if name := getattr(method, "check_name", None):
                    self.run(name, getattr(kit, attribute))

    def require(self, condition: bool, seen: str, remedy: str) -> None:
        """Fail the current check unless ``condition`` holds."""
        if not condition:
            raise ConformanceError(self.plugin, self._current, seen, remedy)

    def finish(self) -> list[str]:
        """Return the checks that passed, after the last ones: that nothing was printed, and no setting changed.

        Raises
        ------
        ConformanceError
        ParameterError
            If a check was to be skipped that there is not.
        """
        self.run("standard output", functools.partial(self._silent, "standard output", _PRINTED))
        self.run("standard error", functools.partial(self._silent, "standard error", _WRITTEN))
        self.run("settings of the process", self._undisturbed)
        strangers = sorted(set(self._skip) - set(self._names))
        if strangers:
            raise ParameterError(
                f"skip names checks that there are not: {strangers}. There are: {self._names}."
            )
        return self.passed


@contextmanager
def global_randomness(checks: Checks) -> Iterator[None]:
    """Fail the current check if what runs inside reads or writes a global random state."""

    def states() -> tuple[Any, ...]:
        return (
            torch.get_rng_state().numpy().tobytes(),
            repr(np.random.get_state()),  # noqa: NPY002
            random.getstate(),
        )

    kept = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    # a state nobody can know, so that seeding anew shows even if it was done before
    torch.rand(1), np.random.random(), random.random()  # noqa: NPY002
    try:
        before = states()
        yield
        after = states()
    finally:
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        random.setstate(kept[2])
    for which, was, now in zip(("torch", "numpy", "random"), before, after, strict=True):
        checks.require(
            was == now,
            f"the global random state of {which} changed.",
            "Draw from a generator of your own, or from the one you are given.",
        )
