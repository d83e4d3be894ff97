"""Ask which adapters, aggregators and samplers there are, and build them by name.

Plugins are looked for at the first question and once per process (:mod:`deem_crowd.plugins.discovery`). Two
environment variables, read then, steer it. ``DEEM_CROWD_PLUGINS_DENY`` holds a comma-separated list
of entry points or distributions that are not loaded at all. ``DEEM_CROWD_PLUGINS_STRICT=1`` makes a
broken plugin an error; otherwise it is skipped, with a :class:`~deem_crowd.exceptions.PluginWarning`.
"""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Any

from deem_crowd.exceptions import ParameterError, PluginError, PluginWarning
from deem_crowd.plugins import discovery
from deem_crowd.plugins.discovery import Entry, Kind, Plugin, hint
from deem_crowd.runtime.fork import in_every_fork
from deem_crowd.runtime.warning import warn

__all__ = [
    "Entry",
    "Plugin",
    "adapters",
    "aggregators",
    "broken",
    "clashes",
    "create",
    "get_adapter",
    "get_sampler",
    "plugins",
    "reload",
    "samplers",
]


@dataclass(frozen=True)
class _Catalogue:
    """All that one discovery found."""

    plugins: tuple[Plugin, ...]
    entries: Mapping[Kind, Mapping[str, Entry]]
    clashes: Mapping[Kind, Mapping[str, str]]
    """By kind and name, the message about a name that several plugins claim."""


_lock = threading.RLock()
_catalogue: _Catalogue | None = None
_discovering = False


@in_every_fork
def _renew() -> None:
    """Let a forked process discover plugins, whatever its parent's threads were doing."""
    global _lock, _discovering
    _lock, _discovering = threading.RLock(), False


def adapters() -> Mapping[str, Entry]:
    """Return the adapters there are, by name; those that two plugins claim are left out.

    Raises:
        PluginError: a plugin is broken, in strict mode only.
    """
    return _entries("adapter")


def aggregators() -> Mapping[str, Entry]:
    """Return the aggregators there are, by name; those that two plugins claim are left out.

    Raises:
        PluginError: a plugin is broken, in strict mode only.
    """
    return _entries("aggregator")


def samplers() -> Mapping[str, Entry]:
    """Return the samplers there are, by name; those that two plugins claim are left out.

    Raises:
        PluginError: a plugin is broken, in strict mode only.
    """
    return _entries("sampler")


def plugins() -> tuple[Plugin, ...]:
    """Return every plugin found: working, broken and denied. A name claimed twice is no error here.

    Raises:
        PluginError: a plugin is broken, in strict mode only.
    """
    return _discovered().plugins


def broken() -> tuple[Plugin, ...]:
    """Return the plugins that were skipped, each with its ``problem``.

    Raises:
        PluginError: a plugin is broken, in strict mode only.
    """
    return tuple(plugin for plugin in plugins() if plugin.problem)


def clashes() -> tuple[str, ...]:
    """Return a message about each name that two plugins claim, which neither of them gets.

    Raises:
        PluginError: a plugin is broken, in strict mode only.
    """
    return tuple(text for names in _discovered().clashes.values() for text in names.values())


def create(name: str, /, **params: Any) -> Any:
    """Build the aggregator called ``name`` with the parameters of its own class.

    Raises:
        ParameterError: there is no such aggregator, or it does not take these parameters.
        PluginError: two plugins claim the name, it cannot be imported, or as for :func:`aggregators`.
    """
    factory = find("aggregator", name).load()
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some callables written in C do not tell theirs
        return factory(**params)
    also = getattr(factory, "also_called", {})
    try:
        signature.bind(**{also.get(name, name): value for name, value in params.items()})
    except TypeError as error:
        raise ParameterError(_misfit(name, signature, params, str(error))) from error
    return factory(**params)


def get_sampler(name: str) -> Any:
    """Return the sampler called ``name``, a class or function.

    Raises:
        ParameterError: there is no such sampler.
        PluginError: two plugins claim the name, it cannot be imported, or as for :func:`samplers`.
    """
    return find("sampler", name).load()


def get_adapter(name: str) -> Any:
    """Return the adapter called ``name``, a class or function.

    Raises:
        ParameterError: there is no such adapter.
        PluginError: two plugins claim the name, it cannot be imported, or as for :func:`adapters`.
    """
    return find("adapter", name).load()


def reload() -> None:
    """Forget what was found, so that the next question looks again.

    For use after an installation, or in a test. Modules that are imported already stay as they are.
    """
    global _catalogue
    with _lock:
        importlib.invalidate_caches()  # the list of installed distributions is cached there too
        _catalogue = None


def _entries(kind: Kind) -> Mapping[str, Entry]:
    return _discovered().entries[kind]


def find(kind: Kind, name: str) -> Entry:
    """Return what is called ``name``, not yet imported.

    Raises:
        ParameterError: there is none.
        PluginError: two plugins claim the name, or (strict mode) a plugin is broken.
    """
    known = _entries(kind)
    if name in known:
        return known[name]
    require_unclaimed(kind, name)
    listed = ", ".join(known) or "none"
    message = f"no {kind} is called {name!r}{hint(str(name), known)}; there are: {listed}"
    if skipped := broken():
        message += f" (skipped as broken: {', '.join(plugin.label for plugin in skipped)})"
    raise ParameterError(message)


def require_unclaimed(kind: Kind, name: str) -> None:
    """Check that no two plugins claim ``name``.

    Raises:
        PluginError: they do, or (strict mode) a plugin is broken.
    """
    if message := _discovered().clashes[kind].get(name):
        raise PluginError(message)


def _misfit(name: str, signature: inspect.Signature, params: Mapping[str, Any], reason: str) -> str:
    """Say which of ``params`` do not fit ``signature``."""
    accepted = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    unknown = [f"{param!r}{hint(param, accepted)}" for param in params if param not in accepted]
    if not unknown:  # then a required one is missing, and Python's own words say which
        return f"aggregator {name!r}: {reason}"
    listed = ", ".join(accepted) or "none"
    return f"aggregator {name!r} has no parameter {', '.join(unknown)}; it takes: {listed}"


def _discovered() -> _Catalogue:
    """Return the catalogue, made at the first call; that call also reports what is broken."""
    global _catalogue, _discovering
    with _lock:
        if _catalogue is not None:
            return _catalogue
        if _discovering:  # the lock lets the same thread in again
            raise PluginError("the registry was asked while it was loading plugins")
        _discovering = True
        try:
            _catalogue = catalogue = _catalogued(discovery.discover())
        finally:
            _discovering = False
    # Reported only now, so that a warning that is turned into an error does not undo the discovery.
    for plugin in catalogue.plugins:
        if plugin.problem:
            message = f"{plugin.label} is skipped: {plugin.problem}"
            warn(message, PluginWarning)
    return catalogue


def _catalogued(plugins: tuple[Plugin, ...]) -> _Catalogue:
    """Sort what the plugins offer by kind and name, and note the names that are claimed twice."""
    claims: dict[Kind, dict[str, list[tuple[Plugin, Entry]]]] = {
        kind: {} for kind in discovery.HOOKS.values()
    }
    for plugin in plugins:
        for entry in plugin.entries:
            claims[entry.kind].setdefault(entry.name, []).append((plugin, entry))
    entries: dict[Kind, Mapping[str, Entry]] = {}
    clashes: dict[Kind, Mapping[str, str]] = {}
    for kind, names in claims.items():
        single = {name: names[name][0][1] for name in sorted(names) if len(names[name]) == 1}
        entries[kind] = MappingProxyType(single)
        clashes[kind] = {
            name: _clash(kind, name, [plugin for plugin, _ in rivals])
            for name, rivals in names.items()
            if len(rivals) > 1
        }
    return _Catalogue(plugins, entries, clashes)


def _clash(kind: Kind, name: str, rivals: list[Plugin]) -> str:
    """Say who claims a name, and what to do about it; it never suggests to remove deem-crowd itself."""
    listed = " and from ".join(plugin.label for plugin in rivals)
    strangers = [plugin for plugin in rivals if plugin.distribution != discovery.OURS]
    packages = list(dict.fromkeys(plugin.distribution for plugin in strangers))
    one_each = len(packages) == len(strangers)  # else only the names of plugins tell them apart
    others = packages if one_each else [plugin.name for plugin in strangers or rivals]
    keeps_ours = 0 < len(strangers) < len(rivals)
    away = [others] if keeps_ours else list(combinations(others, len(others) - 1))
    settings = " or ".join(f"{discovery.DENY}={','.join(names)}" for names in away)
    if keeps_ours:
        remedy = f"Uninstall {' and '.join(packages)}, or set"
    elif not strangers or not one_each:
        remedy = "Set"
    elif len(packages) == 2:
        remedy = f"Uninstall {' or '.join(packages)}, or set"
    else:
        remedy = f"Uninstall all but one of {', '.join(packages)}, or set"
    return (
        f"{kind} {name!r} comes from {listed}, and none of them gets the name. {remedy} {settings}."
    )
