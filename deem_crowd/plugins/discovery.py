"""Find the installed plugins, load them, and say what is wrong with those that cannot be used.

A plugin is an entry point of the group ``deem_crowd``. Each stands in a plugin manager of its own:
pluggy stops a hook at the first implementation that raises, and one broken plugin must not silence
the others.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import os
import pkgutil
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import pluggy

from deem_crowd.exceptions import PluginError
from deem_crowd.plugins import hookspecs

Kind: TypeAlias = Literal["adapter", "aggregator", "sampler"]

HOOKS: Mapping[str, Kind] = {
    "deem_crowd_adapters": "adapter",
    "deem_crowd_aggregators": "aggregator",
    "deem_crowd_samplers": "sampler",
}
COMMANDS = "deem_crowd_commands"
"""The hook that adds commands to the shell."""
OURS = "deem-crowd"
"""The distribution that brings the built-in plugins."""
DENY = "DEEM_CROWD_PLUGINS_DENY"
STRICT = "DEEM_CROWD_PLUGINS_STRICT"
SECONDS = "DEEM_CROWD_PLUGINS_SECONDS"
"""The environment variable that sets the time limit of an import in seconds; 0 is none."""
_DEFAULT_SECONDS = 120.0


@dataclass(frozen=True)
class Entry:
    """One thing that a plugin offers under a name, and where it comes from."""

    name: str
    kind: Kind
    description: str
    """One line; empty where the plugin gives none."""
    distribution: str
    """The installed package that brings it."""
    version: str
    module: str
    """The module it is defined in."""
    target: Any = field(repr=False, compare=False)
    """The class or function, or the text ``module:attribute`` of one not yet imported."""

    def load(self) -> Any:
        """Return the class or function, importing it if that has not happened yet.

        Raises:
            PluginError: it cannot be imported, or is not callable.
        """
        if not isinstance(self.target, str):
            return self.target
        subject = f"{self.kind} {self.name!r} of {self.distribution} {self.version}"
        try:
            with time_limit():
                target = pkgutil.resolve_name(self.target)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(
                f"{subject} cannot be imported from {self.target!r}: {_cause(error)}"
            ) from error
        if not callable(target):
            raise PluginError(
                f"{subject} cannot be called: {self.target!r} is a {type(target).__name__}"
            )
        return target


@dataclass(frozen=True)
class Plugin:
    """One entry point of the group ``deem_crowd``, loaded or not."""

    name: str
    """The name of the entry point."""
    distribution: str
    version: str
    module: str
    """What the entry point refers to."""
    entries: tuple[Entry, ...] = ()
    problem: str = ""
    """What is wrong with it; empty when all is well. A broken plugin offers nothing."""
    denied: bool = False
    """Kept out by ``DEEM_CROWD_PLUGINS_DENY``."""
    add_commands: Callable[[Any], None] | None = field(default=None, repr=False, compare=False)
    """Adds its commands to a ``typer.Typer``; None where it brings none."""

    @property
    def label(self) -> str:
        """The plugin and the distribution it comes from, as messages name them."""
        return f"plugin {self.name!r} of {self.distribution} {self.version}"


class ImportTimeout(BaseException):
    """An import takes too long. Not an Exception, which a plugin might catch on the way."""


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """End an import that hangs; only in the main thread, and where the system has timers (not on Windows).

    Raises
    ------
    ImportTimeout
    """
    seconds = _seconds()
    main = threading.current_thread() is threading.main_thread()
    if not (seconds and main and hasattr(signal, "setitimer")):
        yield
        return

    def stop(*_: object) -> None:
        raise ImportTimeout(
            f"its import is not done after {seconds:g} s ({SECONDS} sets the limit)"
        )

    handler = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again, should it be swallowed
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def _seconds() -> float:
    text = os.environ.get(SECONDS, "").strip()
    try:
        return max(float(text), 0.0) if text else _DEFAULT_SECONDS
    except ValueError:
        raise PluginError(f"{SECONDS}={text!r} is not a number of seconds.") from None


class _BrokenPluginError(Exception):
    """What is wrong with a plugin, on its way from where it is noticed to where it is reported."""


def discover() -> tuple[Plugin, ...]:
    """Load the plugins that are installed and not denied; return all, sorted by distribution.

    Raises:
        PluginError: a plugin is broken and ``DEEM_CROWD_PLUGINS_STRICT`` is set.
    """
    strict = os.environ.get(STRICT, "").strip().lower() in {"1", "true", "yes", "on"}
    denied = {_canonical(name) for name in os.environ.get(DENY, "").split(",") if name.strip()}
    plugins: list[Plugin] = []
    for point in importlib.metadata.entry_points(group=hookspecs.NAMESPACE):
        plugin = _describe(point)
        if denied & {_canonical(plugin.name), _canonical(plugin.distribution)}:
            plugin = replace(plugin, denied=True)
        else:
            try:
                with time_limit():
                    plugin = _load(plugin, point)
            except (_BrokenPluginError, ImportTimeout) as error:
                if strict:
                    raise PluginError(
                        f"{plugin.label} is broken: {error} ({STRICT} is set)"
                    ) from error.__cause__
                plugin = replace(plugin, problem=str(error))
        plugins.append(plugin)
    return tuple(sorted(plugins, key=lambda plugin: (plugin.distribution, plugin.name)))


def hint(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean …?)`` if a ``known`` name is close to ``name``, else nothing."""
    close = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _describe(point: importlib.metadata.EntryPoint) -> Plugin:
    """Name the plugin and its origin without importing anything."""
    # A damaged installation may lack its metadata, and must not take the others down.
    metadata: Any = None
    if point.dist is not None:
        with contextlib.suppress(FileNotFoundError):  # importlib_metadata, once imported, raises it
            metadata = point.dist.metadata
    metadata = metadata or {}
    return Plugin(
        name=point.name,
        distribution=metadata.get("Name", "an unknown distribution"),
        version=metadata.get("Version", "(no version)"),
        module=point.value,
    )


def _load(plugin: Plugin, point: importlib.metadata.EntryPoint) -> Plugin:
    """Import the plugin and ask its hooks. All or nothing: one bad hook makes a broken plugin."""
    manager = pluggy.PluginManager(hookspecs.NAMESPACE)
    manager.add_hookspecs(hookspecs)
    try:
        implementation = point.load()
        manager.register(implementation, plugin.name)
    except pluggy.PluginValidationError as error:
        message = " ".join(str(error).split())
        raise _BrokenPluginError(f"a hook has a wrong signature: {message}") from error
    except (KeyboardInterrupt, ImportTimeout):
        raise
    except BaseException as error:
        raise _BrokenPluginError(
            f"it cannot be imported from {plugin.module!r}: {_cause(error)}"
        ) from error
    _check_hooks(manager, implementation)
    entries: list[Entry] = []
    for hook, kind in HOOKS.items():
        caller = getattr(manager.hook, hook)
        if not caller.get_hookimpls():
            continue
        try:
            results = caller()
        except (KeyboardInterrupt, ImportTimeout):
            raise
        except BaseException as error:
            raise _BrokenPluginError(f"hook {hook} raised {_cause(error)}") from error
        # pluggy leaves None out of the results
        offered = _checked_offers(hook, results[0] if results else None)
        entries += [_entry(plugin, kind, name, offer) for name, offer in offered.items()]
    caller = getattr(manager.hook, COMMANDS)
    adds = (lambda cli: caller(cli=cli)) if caller.get_hookimpls() else None
    return replace(plugin, entries=tuple(entries), add_commands=adds)


def _check_hooks(manager: pluggy.PluginManager, implementation: Any) -> None:
    """Refuse what nothing would ever call: a misspelt hook, a forgotten marker."""
    callers = manager.get_hookcallers(implementation) or []
    for caller in callers:
        if not caller.has_spec() and not all(impl.optionalhook for impl in caller.get_hookimpls()):
            raise _BrokenPluginError(
                f"it implements an unknown hook {caller.name}{hint(caller.name, (*HOOKS, COMMANDS))}"
            )
    marked = {caller.name for caller in callers}
    if unmarked := [
        hook for hook in (*HOOKS, COMMANDS) if hook not in marked and hasattr(implementation, hook)
    ]:
        raise _BrokenPluginError(f"{', '.join(unmarked)} lacks the decorator @deem_crowd.hookimpl")
    if not marked:
        raise _BrokenPluginError(f"it implements none of the hooks {', '.join((*HOOKS, COMMANDS))}")


def _checked_offers(hook: str, offered: Any) -> Mapping[str, hookspecs.Offer]:
    """Return ``offered`` if it maps names to offers (see :mod:`deem_crowd.plugins.hookspecs`)."""
    if not isinstance(offered, Mapping):
        raise _BrokenPluginError(
            f"hook {hook} returned {offered!r:.80}, not a mapping from names to classes"
        )
    for name, offer in offered.items():
        if not isinstance(name, str) or not name:
            raise _BrokenPluginError(f"hook {hook} returned a name that is no text: {name!r:.80}")
        if not re.fullmatch(r"[\w.-]+", name):
            raise _BrokenPluginError(
                f"hook {hook} returned the name {name!r:.80}, which some commands could not read: names are letters, "
                "digits, '-', '_' and '.'"
            )
        is_pair = isinstance(offer, tuple) and [type(part) for part in offer] == [str, str]
        target = offer[0] if is_pair else offer
        if not (":" in target if isinstance(target, str) else callable(target)):
            raise _BrokenPluginError(
                f"hook {hook} returned under {name!r} neither a callable nor 'module:attribute' "
                f"nor ('module:attribute', description): {offer!r:.80}"
            )
    return offered


def _entry(plugin: Plugin, kind: Kind, name: str, offer: hookspecs.Offer) -> Entry:
    target, description = offer if isinstance(offer, tuple) else (offer, "")
    if isinstance(target, str):
        module = target.partition(":")[0]
    else:
        module = getattr(target, "__module__", None) or plugin.module
        description = getattr(target, "__doc__", None) or ""
    line = str(description).strip().partition("\n")[0].strip()
    return Entry(name, kind, line, plugin.distribution, plugin.version, module, target)


def _canonical(name: str) -> str:
    """Spell a distribution's name as packaging compares it: ``Deem_Crowd`` is ``deem-crowd``."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _cause(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # somebody else's __str__
        text = "(its message cannot be shown)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
