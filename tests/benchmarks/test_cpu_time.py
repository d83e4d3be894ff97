"""CPU time side by side, on crowds that take next to none."""

from __future__ import annotations

import numpy as np
import pytest
from deem_crowd_benchmarks import cpu_time, first_fit


def test_seconds_are_those_of_the_process() -> None:
    def busy() -> None:
        for _ in range(20):
            np.linalg.svd(np.ones((30, 30)))

    assert 0 < cpu_time.cpu_seconds(busy) < 60


@pytest.mark.filterwarnings("ignore")
def test_a_crowd_is_fitted_by_all(capsys) -> None:
    cpu_time.main(answers=600, classes="2", seeds=1)
    heading, row = capsys.readouterr().out.strip().splitlines()
    assert heading.split()[0] == "K"
    assert row.split()[0] == "2"
    assert len(row.split()) == 9
    assert all(float(value) >= 0 for value in row.split()[1:])


def test_the_processes_of_a_first_fit_are_asked_in_turn(monkeypatch, capsys) -> None:
    seconds = iter(range(100))
    asked = []

    def measure(name: str) -> float:
        asked.append(name)
        return float(next(seconds))

    monkeypatch.setattr(first_fit, "measure", measure)
    first_fit.main(repeats=2)
    assert asked == ["plain", "default", "DawidSkene"] * 3
    assert "4.50" in capsys.readouterr().out  # plain: the fourth and the seventh
