"""The page on features prints what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import processes
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "features.md"


@pytest.mark.slow
def test_the_page_prints_what_it_shows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(
        r"<!-- example -->\n```python\n(.*?)```.*?<!-- output -->\n```text\n(.*?)```", text, re.S
    )
    assert found is not None
    done = processes.python("-c", found[1])
    assert done.returncode == 0, done.stderr
    number = re.compile(r"[\d.]+(?=%)")
    assert number.sub("", done.stdout) == number.sub("", found[2])
    printed, shown = (list(map(float, number.findall(t))) for t in (done.stdout, found[2]))
    assert all(abs(a - b) < 1 for a, b in zip(printed, shown, strict=True))
    assert printed[1] > printed[0] + 10
