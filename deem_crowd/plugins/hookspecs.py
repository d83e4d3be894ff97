"""The hooks a plugin may implement, and the marker it implements them with.

A plugin is a module (or any object) named by an entry point of the group ``deem_crowd``::

    from deem_crowd import hookimpl

    @hookimpl
    def deem_crowd_aggregators():
        return {"ebcc": EBCC}

What a hook offers under a name is the class or function itself, described by the first line of its
docstring, or, so that listing it imports nothing, its address: ``"module:attribute"``, or the pair
``("module:attribute", "one line about it")``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pluggy

NAMESPACE = "deem_crowd"
"""The name of the pluggy project and of the entry-point group."""

Offer: TypeAlias = "Callable[..., Any] | str | tuple[str, str]"
"""What a hook may put under a name."""

hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)


@hookspec
def deem_crowd_adapters() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer adapters: each turns somebody else's format into :class:`deem_crowd.Answers`."""


@hookspec
def deem_crowd_aggregators() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer aggregators, with crowd-kit's contract: a frame of answers in, a Series of labels out."""


@hookspec
def deem_crowd_samplers() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer samplers: each draws answers from an energy, given the mask of those that exist."""


@hookspec
def deem_crowd_commands(cli: Any) -> None:
    """Add commands to ``deem-crowd``: ``cli`` is a ``typer.Typer`` of the plugin's own, ``cli.command()`` adds one.

    It is called when the shell is asked for help or for a command that is not built in, and never for the others.
    """
