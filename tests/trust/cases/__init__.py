"""The table of cases by family: what is done, and what has to come of it."""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deem_crowd.exceptions import DeemCrowdError


@dataclass(frozen=True)
class Case:
    """One thing done to the library or its shell.

    ``expected`` is ``'works'`` (the call looks at what came of it itself), ``'refused: WORDS'`` (an error of ours with
    these words in one line), or ``'status 2: WORDS'`` (the call returns a status and what stands on standard error).
    ``in_ci`` says whether CI runs it; if None, one in six is drawn.
    """

    family: str
    name: str
    call: Callable[[Path], Any]
    expected: str = "works"
    in_ci: bool | None = None

    def check(self, folder: Path) -> None:
        """Run in an empty folder, and compare."""
        kind, _, words = self.expected.partition(": ")
        error: DeemCrowdError | None = None
        found: Any = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = self.call(folder)
            except DeemCrowdError as raised:
                error = raised
        if kind == "refused":
            assert error is not None, f"not refused: {found!r}"
            assert words in str(error), str(error)
            assert len(str(error)) < 2000
            return
        assert error is None, f"refused: {error}"
        if kind.startswith("status"):
            status, said = found
            assert status == int(kind.split()[1]), said
            assert words in said, said
            assert "Traceback" not in said

    @property
    def sampled(self) -> bool:
        """Whether CI runs it: one in six where nothing else is said."""
        if self.in_ci is not None:
            return self.in_ci
        return zlib.crc32(f"{self.family} {self.name}".encode()) % 6 == 0


def families() -> dict[str, list[Case]]:
    """Return all cases by family."""
    from cases import (
        ambient,
        answers,
        compressed,
        containers,
        hostile,
        intervals,
        models,
        overwriting,
        results,
        strangers,
        types,
    )  # fmt: skip

    found: dict[str, list[Case]] = {}
    modules = (
        ambient, answers, compressed, containers, hostile, intervals, models, overwriting, results, strangers, types,
    )  # fmt: skip
    for module in modules:
        for case in module.CASES:
            found.setdefault(case.family, []).append(case)
    return found


def documented(page: str) -> dict[str, int]:
    """Return how many cases a page says each family holds, from the rows ``| family | 12 | … |`` of its table."""
    rows = re.findall(r"^\| ([a-z][a-z ,]*) \| (\d+) \|", page, re.MULTILINE)
    return {family: int(number) for family, number in rows}
