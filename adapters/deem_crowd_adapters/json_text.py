"""JSON in which nothing is silently lost: a key twice in an object is an error."""

from __future__ import annotations

import json
import math
from typing import Any

from deem_crowd.exceptions import DataError

_CONSTANTS = {"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}
"""What Python writes though JSON has no such numbers; NaN is missing."""


def parse_json(
    text: str,
    where: str,
    remedy: str = "Fetch or export the file again; it may be cut off.",
    finite: bool = True,
) -> Any:
    """Parse JSON.

    Parameters
    ----------
    text : str
    where : str
        How errors call the place.
    remedy : str
        What to do about text that is no JSON.
    finite : bool
        Whether a number that no float can hold is an error; else it is infinite.

    Raises
    ------
    DataError
        Names ``where``, and line and column in the text.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        if len(record) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{where} holds the key {twice!r} twice. Keep one of them.")
        return record

    def number(digits: str) -> float:
        value = float(digits)
        if finite and math.isinf(value):
            raise DataError(f"{where} holds the number {digits[:20]}, which no float can hold.")
        return value

    try:
        return json.loads(
            text, object_pairs_hook=unique, parse_float=number, parse_constant=_CONSTANTS.get
        )
    except DataError:
        raise
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}. {remedy}") from error
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"{where} is not JSON that can be read: {error}.") from error
