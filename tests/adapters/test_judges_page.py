"""docs/judges.md is one script, and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import processes
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "judges.md").read_text(encoding="utf-8")
MARK = "-- end of block --"


def is_like(word: str, expected: str) -> bool:
    """Tell whether two printed words are equal, or numbers that differ by rounding on another machine."""
    number = re.compile(r"-?\d+(\.\d+)?")
    if number.fullmatch(word) and number.fullmatch(expected):
        return float(word) == pytest.approx(float(expected), abs=0.0201)
    return word == expected


def test_the_page_runs_and_prints_what_it_says() -> None:
    blocks = re.findall(r"```(python|text)\n(.*?)```", PAGE, re.S)
    code = f"\nprint({MARK!r})\n".join(text for kind, text in blocks if kind == "python")
    done = processes.python("-c", code)
    assert done.returncode == 0, done.stderr
    printed = [part.split() for part in done.stdout.split(MARK)]
    expected: list[list[str]] = []
    for kind, text in blocks:
        if kind == "python":
            expected.append([])
        else:
            expected[-1] = text.split()
    assert len([words for words in expected if words]) == 10
    assert [len(words) for words in printed] == [len(words) for words in expected]
    for words, wanted in zip(printed, expected, strict=True):
        assert all(map(is_like, words, wanted)), (words, wanted)
