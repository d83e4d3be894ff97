"""The formats that are known, and how a file is recognised as one of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deem_crowd.exceptions import DataError, DeemCrowdError
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content


@dataclass(frozen=True)
class Format:
    """One format of one tool."""

    name: str
    """As an adapter is called: ``'label-studio'``. Several formats of a tool share it."""
    title: str
    """For messages, with the version that the reader follows: ``'Label Studio JSON'``."""
    recognises: Callable[[Content], bool]
    """Tell by the structure of a file whether it is of this format."""
    read: Callable[..., None]
    """``read(content, collected, **options)`` adds the answers of the file."""
    options: tuple[str, ...] = ()
    """Options of its own, beside those of :func:`deem_crowd_adapters.exports.read.read_export`."""


MODULES = (
    "label_studio",
    "prodigy",
    "argilla",
    "toloka",
    "mechanical_turk",
    "promptfoo",
    "inspect_logs",
    "mt_bench",
    "judge_benchmarks",
    "label_matrices",
    "cvat",
    "labelbox",
    "figure_eight",
    "zooniverse",
    "sagemaker",
    "workbook",
    "doccano",
    "long_files",
    "sheets",
    "people",
)
"""The more special a format's marks are, the earlier it stands."""


def formats(name: str | None = None) -> list[Format]:
    """Return the known formats, those of one tool if it is named."""
    known: list[Format] = []
    for module in MODULES:
        offered: Any = importlib.import_module(f"deem_crowd_adapters.exports.{module}")
        known += offered.FORMATS
    return [each for each in known if name is None or each.name == name]


def recognised(content: Content, name: str | None = None) -> Format | None:
    """Return the first format that a file has, None if none is known."""
    return next((each for each in formats(name) if each.recognises(content)), None)


def read_one(content: Content, format: Format, options: dict[str, Any]) -> Collected:
    """Return what one file holds."""
    collected = Collected(format.title, content.name)
    mine = {name: value for name, value in options.items() if name in format.options}
    try:
        format.read(content, collected, **mine)
        collected.say_unnamed()
    except DeemCrowdError:
        raise
    except (
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise DataError(
            f"{content.name} looks like {format.title} and is not built like it ({type(error).__name__}: "
            f"{str(error)[:200]}). Export it again, or turn it into a table with columns task, worker, label."
        ) from error
    return collected
