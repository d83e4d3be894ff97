"""What surrounds every command: one-line errors, warnings on standard error, exit statuses, tables in and out."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer
from typer.core import TyperGroup

from deem_crowd.cli.remedies import in_shell_words
from deem_crowd.cli.streams import asked as asked
from deem_crowd.cli.streams import plugin_output as plugin_output
from deem_crowd.cli.streams import plugin_results as plugin_results
from deem_crowd.cli.streams import printable as printable
from deem_crowd.exceptions import (
    DataWarning,
    DeemCrowdError,
    PluginWarning,
)

if TYPE_CHECKING:
    from rich.console import Console

    from deem_crowd.runtime.progress import Progress

T = TypeVar("T")

BAD_DATA = 1
INTERRUPTED, TERMINATED = 130, 143
_WIDE = 150
"""Columns of a table where there is no terminal that says how many it has."""

_UsageError: Any = typer.BadParameter.__base__
"""click's, whether typer uses the one that is installed or a copy of its own."""

# Not Exception: bad usage is typer's to report.
_BUGS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip

_NO_MEMORY = "can't allocate memory"  # torch's own allocator
_SHORT = "there is not enough memory"
_LESS = "Use a machine with more, or fewer answers; parquet is read in pieces."


class Terminated(KeyboardInterrupt):
    """SIGTERM: what is half done is undone, as at Ctrl-C."""


class Shell(TyperGroup):
    """The group of commands: turns what they raise into messages and exit statuses.

    Plugins add commands (hook ``deem_crowd_commands``). They are loaded when help or a command that is not built in
    is asked for, so that the others do not wait for them.
    """

    _plugins_asked = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, those of plugins among them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PluginWarning)  # help is no place for it
            self._add_plugin_commands()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by its name; None if there is none."""
        if cmd_name not in self.commands:
            self._add_plugin_commands()
        return super().get_command(ctx, cmd_name)

    def _add_plugin_commands(self) -> None:
        if self._plugins_asked:
            return
        self._plugins_asked = True
        from deem_crowd.plugins import registry

        with plugin_output():
            for plugin in registry.plugins():
                if plugin.add_commands is None:
                    continue
                cli = typer.Typer()
                try:
                    plugin.add_commands(cli)
                    added = typer.main.get_group(cli).commands
                except (Exception, SystemExit) as error:  # somebody else's code
                    reason = f"its commands cannot be added: {_one_line(error)}"
                    warnings.warn(f"{plugin.label}: {reason}", PluginWarning, stacklevel=2)
                    continue
                for name, command in added.items():
                    if name in self.commands:
                        reason = f"there is a command {name!r} already"
                        warnings.warn(f"{plugin.label}: {reason}", PluginWarning, stacklevel=2)
                    else:
                        self.commands[name] = command

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options before the command."""
        with _printable_usage():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that ``ctx`` holds."""
        debug = bool(ctx.params.get("debug"))
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _shown(debug)
            try:
                with _printable_usage():
                    result = super().invoke(ctx)
                sys.stdout.flush()
                return result
            except (typer.Exit, typer.Abort):
                raise
            except BrokenPipeError:  # `deem-crowd … | head`: the reader has what they wanted
                _abandon_stdout()
                raise typer.Exit(BAD_DATA) from None
            except Terminated:
                _fail("terminated", TERMINATED, debug)
            except KeyboardInterrupt:
                _fail("interrupted", INTERRUPTED, debug)
            except (DeemCrowdError, OSError) as error:
                _fail(_described(error), BAD_DATA, debug)
            except _BUGS as error:
                if is_of_memory(error):
                    _fail(f"{_SHORT} ({_one_line(error)}). {_LESS}", BAD_DATA, debug)
                message = (
                    f"unexpected {type(error).__name__}: {error} (deem-crowd --debug … shows where)"
                )
                _fail(message, BAD_DATA, debug)


def is_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory is short; torch's allocator raises RuntimeError."""
    from deem_crowd.plugins import contract

    return isinstance(error, MemoryError) or _NO_MEMORY in contract.described(error)


@contextlib.contextmanager
def _printable_usage() -> Iterator[None]:
    """Escape what a message about bad usage quotes."""
    try:
        yield
    except _UsageError as error:
        error.message = printable(error.message)
        raise


def cell(text: str) -> str:
    """Return text for one cell of a table: printable, on one line, not read as markup."""
    from rich.markup import escape

    return escape(printable(text).replace("\n", "\\n"))


def console(*, err: bool = False) -> Console:
    """Return a console that does not squeeze tables where they are piped into something."""
    from rich.console import Console

    plain = Console(stderr=err)
    if plain.is_terminal or "COLUMNS" in os.environ:
        return plain
    return Console(stderr=err, width=_WIDE)


class Bar:
    """How far a long command is; failures are said in any case."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def start(self, total: int) -> None:
        """Begin with ``total`` steps ahead."""
        self._progress.expect(total)

    def step(self, name: str, status: str, reason: str) -> None:
        """Go on by a step; one that failed says why."""
        if status != "ok":
            line = f"{name}: {status}: {reason}".replace("\n", " ")
            self._progress.say(printable(line))
        self._progress.update(self._progress.done + 1, printable(name).replace("\n", " "))


@contextlib.contextmanager
def progress(what: str, unit: str) -> Iterator[Bar]:
    """Show a bar while the block runs, where it takes long; ``unit`` is what is counted, in the plural."""
    from deem_crowd.runtime.progress import watched

    with watched(what, unit) as bar:
        yield Bar(bar)


def warn(message: str) -> None:
    """Say ``message`` on standard error as a warning."""
    typer.echo(printable(f"warning: {in_shell_words(message)}"), err=True)


def tell(finding: str) -> None:
    """Say a finding on standard error: as a warning, unless it is an order of the classes, which is nothing amiss."""
    from deem_crowd.insight.ordered import FOUND

    kind = "note" if finding.startswith(FOUND) else "warning"
    typer.echo(printable(f"{kind}: {in_shell_words(finding)}"), err=True)


def checked_methods(names: Sequence[str], option: str) -> list[str]:
    """Return the names of aggregators, each once, or refuse as bad usage those that there are not."""
    from deem_crowd.plugins import registry
    from deem_crowd.plugins.discovery import hint

    with plugin_output():
        known = registry.aggregators()
        for name in names:
            registry.require_unclaimed("aggregator", name)
    for name in names:
        if name not in known:
            plain = name.partition("(")[0].rpartition("=")[2].strip()
            if plain != name and plain in known:
                raise typer.BadParameter(
                    f"{name!r} is more than the name of a method. Parameters go into --set {plain}.NAME=VALUE",
                    param_hint=option,
                )
            listed = ", ".join(known) or "none"
            message = f"no method is called {name!r}{hint(name, known)}; there are: {listed}"
            raise typer.BadParameter(message, param_hint=option)
    return list(dict.fromkeys(names))


def method_parameters(
    given: list[str] | None, methods: list[str], option: str = "--set"
) -> dict[str, dict[str, Any]]:
    """Return the parameters of each method from NAME=VALUE, or METHOD.NAME=VALUE, as given to ``option``.

    Raises
    ------
    typer.BadParameter
    """
    chosen: dict[str, dict[str, Any]] = {method: {} for method in methods}
    for item in given or []:
        left, equals, text = item.partition("=")
        method, dot, name = left.strip().rpartition(".")
        if not dot and len(methods) == 1:
            method = methods[0]
        if not equals or not name or method not in chosen:
            example = "NAME=VALUE" if len(methods) == 1 else f"{methods[0]}.NAME=VALUE"
            raise typer.BadParameter(
                f"{item!r} is no {example} of {', '.join(methods)}", param_hint=option
            )
        if method == "deem" and name in ("missing", "duplicates"):
            raise typer.BadParameter(
                f"{name} has no part here, since answers are read before the fit: give --{name} {text}",
                param_hint=option,
            )
        try:
            chosen[method][name] = json.loads(text)
        except RecursionError:
            raise typer.BadParameter(
                f"the value of {name!r} is nested too deeply", param_hint=option
            ) from None
        except ValueError:
            chosen[method][name] = text
    return chosen


def _shown(debug: bool) -> Callable[..., None]:
    """Return what shows a warning: those about the data and the fit, and all of them if ``debug``."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        # By name, or the question alone would import scikit-learn.
        ours = issubclass(category, DataWarning | PluginWarning)
        if ours or category.__name__ == "ConvergenceWarning":
            warn(str(message))
        elif debug:
            warn(f"{category.__name__}: {message}")

    return show


def _described(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"{place}{error.strerror}"
    return str(error) or type(error).__name__


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(": ")


def _abandon_stdout() -> None:
    """Send what is still in the buffer nowhere, or Python complains about the pipe when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, status: int, debug: bool) -> NoReturn:
    if debug:
        typer.echo(printable(traceback.format_exc().rstrip()), err=True)
    typer.echo(printable(f"error: {in_shell_words(message)}"), err=True)
    raise typer.Exit(status)
