"""Whether rows are people where cells are empty: what is empty agrees with nothing."""

from __future__ import annotations

import shlex
from pathlib import Path

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest
from deem_crowd_adapters.exports.forms import quoted

from deem_crowd.exceptions import DataWarning


@pytest.mark.parametrize("empty", [0.0, 0.9])
def test_empty_cells_agree_with_nothing(tmp_path: Path, empty: float) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.choice(["x", "y"], (40, 4)), columns=["ann", "bob", "cid", "dan"])
    frame["ann"] = frame["ann"].where(draw.random(40) > empty)
    frame["bob"] = frame["bob"].where(draw.random(40) > empty)
    frame.to_csv(tmp_path / "x.csv", index_label="row")
    with pytest.warns(DataWarning, match="read as a wide table") as said:
        adapters.to_answers(tmp_path / "x.csv")
    assert not any("each row is a person" in str(each.message) for each in said)


@pytest.mark.parametrize("name", ["What's your e-mail?", "it's 'here'", "name", "two words", "a$b"])
def test_names_are_written_as_the_shell_reads_them(name: str) -> None:
    assert shlex.split(f"--worker {quoted(name)}") == ["--worker", name]
