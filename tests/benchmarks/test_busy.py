"""Threads beside busy processes, on a crowd that takes next to no time."""

from __future__ import annotations

import pytest
import torch
from deem_crowd_benchmarks import busy

from deem_crowd.runtime import threads


@pytest.mark.filterwarnings("ignore")
def test_each_setting_has_a_row_and_is_undone(capsys) -> None:
    before, suited = torch.get_num_threads(), threads.suited
    busy.main(processes="0,1", answers=600, repeats=1)
    heading, *rows = capsys.readouterr().out.strip().splitlines()
    assert heading.split()[0] == "busy"
    assert [row.split()[0] for row in rows] == ["0"] * 3 + ["1"] * 3
    assert all(float(value) >= 0 for row in rows for value in row.split()[-2:])
    assert (torch.get_num_threads(), threads.suited) == (before, suited)


@pytest.mark.parametrize("name", ["all", "one"])
def test_a_setting_is_undone_after_an_error(name) -> None:
    before, suited = torch.get_num_threads(), threads.suited

    def fit() -> None:
        with busy.setting(name):
            torch.set_num_threads(before + 1)
            raise ValueError("of the fit")

    with pytest.raises(ValueError, match="of the fit"):
        fit()
    assert (torch.get_num_threads(), threads.suited) == (before, suited)
