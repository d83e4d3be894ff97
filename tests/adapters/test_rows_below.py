"""Rows below a table that add it up: no tasks, no people, and their numbers no labels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest
from sheets import N, long_of, path_of, sheet
from typer.testing import CliRunner

from deem_crowd import DEEMAggregator
from deem_crowd.cli.app import app
from deem_crowd.exceptions import DataError, DataWarning

ANNOTATORS = ["ann1", "ann2", "ann3"]


def below(frame: pd.DataFrame, *rows: list[Any]) -> pd.DataFrame:
    more = pd.DataFrame(list(rows), columns=frame.columns)
    return pd.concat([frame.astype(object), more.astype(object)], ignore_index=True)


def words() -> pd.DataFrame:
    return sheet()[["item_id", *ANNOTATORS]]


def codes() -> pd.DataFrame:
    frame = words()
    frame[ANNOTATORS] = frame[ANNOTATORS].map("abc".index)
    return frame


@pytest.mark.parametrize("made", [words, codes])
@pytest.mark.parametrize(
    "rows",
    [
        [["Total", 60, 59, 58]],
        [["TOTAL:", 60, 60, 60]],
        [[None, 31, 29, 33]],
        [["Fleiss' kappa", "0.61", "0.7", "0.66"]],
        [["a count", 31, 29, 33], ["b count", 11, 12, 9]],
        [["Mittelwert", "0,5", "0,6", "0,71"]],
    ],
)
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_sums_below_a_sheet_are_refused(tmp_path: Path, made, rows, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    frame = below(made(), *rows)
    if kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_excel(path, index=False)
    with pytest.raises(
        DataError, match=rf"rows? at the end \(rows {N}.*look.* like sums or means"
    ) as told:
        adapters.to_answers(path)
    assert f"df.iloc[:{N}]" in str(told.value)
    refused = CliRunner().invoke(app, ["aggregate", str(path)])
    assert refused.exit_code == 1
    assert "df." not in refused.stderr
    assert "in the file." in refused.stderr.replace("\n", " ")


def test_what_is_left_without_the_sums_is_read(tmp_path: Path) -> None:
    frame = codes()
    with pytest.warns(DataWarning, match="sources 'ann1', 'ann2', 'ann3'"):
        read = adapters.read_export(path_of(tmp_path, below(frame, ["Total", 60, 59, 58]).iloc[:N]))
    assert len(read.answers) == len(long_of(frame, "item_id", ANNOTATORS))


def test_a_last_task_that_is_called_total_and_has_labels_of_the_others_is_a_task(
    tmp_path: Path,
) -> None:
    for frame in (below(codes(), ["total", 1, 2, 1]), below(words(), ["total", "a", "b", "a"])):
        with pytest.warns(DataWarning, match="read as a wide table"):
            read = adapters.read_export(path_of(tmp_path, frame))
        assert "total" in set(read.answers["task"])


def test_sums_below_a_form_are_refused(tmp_path: Path) -> None:
    frame = below(words(), ["Total", 60, 59, 58]).rename(columns={"item_id": "Name"})
    with pytest.raises(DataError, match="like sums or means"):
        adapters.to_answers(path_of(tmp_path, frame), format="form", worker="Name")


@pytest.mark.parametrize("wide", [True, False])
def test_a_last_task_of_sums_in_memory_raises_a_warning(wide: bool) -> None:
    frame = words()
    if wide:
        data: Any = adapters.from_wide
        given = below(frame, ["Total", "60", "59", "58"]).set_index("item_id")
    else:
        data = DEEMAggregator().fit
        long = frame.melt("item_id", var_name="worker", value_name="label")
        given = long.set_axis(["task", "worker", "label"], axis=1)
        given = below(given, ["TOTAL", "180", "180"])
    with pytest.warns(DataWarning, match=r"task 'T\w+', the last, may be a row of sums"):
        data(given)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data(given.iloc[:-1])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_header_among_the_rows_of_joined_sheets_is_refused(
    tmp_path: Path, n_classes: int, kind: str
) -> None:
    frame = words().rename(columns={"ann1": "Ann", "ann2": "Bob", "ann3": "Eve"})
    frame = frame.replace({"c": "abc"[n_classes - 1]})
    again = below(frame, list(frame.columns), ["j1", "a", "b", "a"], ["j2", "b", "b", "b"])
    path = tmp_path / f"x.{kind}"
    if kind == "csv":
        again.to_csv(path, index=False)
    else:
        again.to_excel(path, index=False)
    with pytest.raises(
        DataError, match=rf"1 row repeats the (header|names of the columns) \(rows {N}\)"
    ):
        adapters.to_answers(path)


def test_judges_called_like_the_models_that_they_compare_repeat_no_header(tmp_path: Path) -> None:
    frame = words()
    frame = frame.replace({"a": "gpt", "b": "claude", "c": "llama"})
    frame = frame.rename(columns=dict(zip(ANNOTATORS, ["gpt", "claude", "llama"], strict=True)))
    frame.loc[5, ["gpt", "claude"]] = ["gpt", "claude"]  # each for itself
    with pytest.warns(DataWarning, match="sources 'gpt', 'claude', 'llama'"):
        read = adapters.read_export(path_of(tmp_path, frame))
    assert read.answers["task"].nunique() == N


def test_a_last_row_of_scores_in_which_the_first_judge_gave_none_is_a_task() -> None:
    scores = np.random.default_rng(0).random((20, 3)).round(3)
    frame = pd.DataFrame(scores, columns=["j1", "j2", "j3"])
    frame.loc[19, "j1"] = np.nan
    frame["task"] = range(20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = adapters.from_scores(frame)
    assert read is not None


def test_a_last_task_is_read_once_it_has_an_id_as_the_message_says(tmp_path: Path) -> None:
    frame = below(codes(), [None, 11, 12, 11])
    with pytest.raises(DataError, match="If it is a task, give it an id that is no name of sums"):
        adapters.to_answers(path_of(tmp_path, frame))
    frame.loc[N, "item_id"] = "x1"
    with pytest.warns(DataWarning, match="read as a wide table"):
        read = adapters.read_export(path_of(tmp_path, frame))
    assert "x1" in set(read.answers["task"])
