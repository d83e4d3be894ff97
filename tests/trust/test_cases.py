"""The table of cases: all of them with ``make fuzz``, one in six otherwise, and docs/trust.md counts them."""

from __future__ import annotations

from pathlib import Path

import cases
import pytest
import wild

FAMILIES = cases.families()
RUN = [case for family in FAMILIES.values() for case in family if wild.SCALE > 1 or case.sampled]
PAGE = Path(__file__).parents[2] / "docs" / "trust.md"


@pytest.mark.parametrize("case", RUN, ids=[f"{case.family}: {case.name}" for case in RUN])
def test_case(case: cases.Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    case.check(tmp_path)


def test_the_page_counts_the_cases_there_are() -> None:
    page = PAGE.read_text()
    assert cases.documented(page) == {name: len(rows) for name, rows in FAMILIES.items()}
    total = sum(map(len, FAMILIES.values()))
    assert f"{total:,} cases" in page
    names = [(case.family, case.name) for family in FAMILIES.values() for case in family]
    assert len(set(names)) == len(names)
