"""Scores on scales of the judges' own."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from deem_crowd_adapters import from_scores
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd import DEEMAggregator
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    MissingColumnError,
    ParameterError,
)


def panel(seed: int, n: int = 300, m: int = 7) -> tuple[pd.DataFrame, pd.Series]:
    """Ratings 1 to 10 of judges with offsets and spreads of their own, and what is true."""
    rng = np.random.default_rng(seed)
    good = rng.random(n) < 0.5
    parts = []
    for j in range(m):
        seen = rng.uniform(0.5, 1.5) * (good - 0.5) + rng.normal(size=n)
        score = np.clip(np.round(5 + rng.normal() + rng.uniform(1, 3) * seen), 1, 10)
        parts.append(pd.DataFrame({"task": np.arange(n), "worker": f"judge {j}", "score": score}))
    truth = pd.Series(np.where(good, "good", "bad"), index=pd.RangeIndex(n))
    return pd.concat(parts, ignore_index=True), truth


def test_ranks_tell_more_than_a_fixed_cut() -> None:
    gained = []
    for seed in range(4):
        scores, truth = panel(seed)
        cut = scores.assign(label=np.where(scores["score"] > 5, "good", "bad")).drop(
            columns="score"
        )
        ranked = DEEMAggregator().fit_predict(from_scores(scores)).loc[truth.index]
        fixed = DEEMAggregator().fit_predict(cut).loc[truth.index]
        gained.append((ranked == truth).mean() - (fixed == truth).mean())
    assert np.mean(gained) > 0.02, gained


def test_the_numbers_of_one_judge() -> None:
    table = pd.DataFrame({"task": list("abcd"), "worker": "x", "score": [1.0, 7.0, 7.0, 9.5]})
    answers = from_scores(table, classes=("no", "yes"))
    assert answers.classes.tolist() == ["no", "yes"]
    np.testing.assert_allclose(answers.soft[:, 1], [0.5 / 4, 2 / 4, 2 / 4, 3.5 / 4])
    rare = from_scores(table, classes=("no", "yes"), share=0.1)
    odds = answers.soft[:, 1] / answers.soft[:, 0]
    np.testing.assert_allclose(rare.soft[:, 1] / rare.soft[:, 0], odds / 9)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_scales_and_order_do_not_count(seed) -> None:
    rng = np.random.default_rng(seed)
    scores, _ = panel(1, 40, 4)
    first = from_scores(scores)
    bent = scores.assign(score=np.exp(0.5 * scores["score"]) * rng.uniform(0.1, 5) + rng.normal())
    np.testing.assert_allclose(from_scores(bent).soft, first.soft, atol=1e-12)
    mixed = from_scores(scores.iloc[rng.permutation(len(scores))])
    one = pd.Series(mixed.soft[:, 1], index=[mixed.tasks[mixed.task], mixed.workers[mixed.worker]])
    other = pd.Series(
        first.soft[:, 1], index=[first.tasks[first.task], first.workers[first.worker]]
    )
    pd.testing.assert_series_equal(one.sort_index(), other.sort_index(), check_names=False)


def test_other_names_and_a_file(tmp_path) -> None:
    scores, _ = panel(2, 20, 3)
    renamed = scores.rename(columns={"task": "item", "worker": "judge", "score": "logit"})
    renamed.to_csv(tmp_path / "scores.csv", index=False)
    named = {"task": "item", "worker": "judge", "score": "logit"}
    for found in (
        from_scores(renamed, **named),
        from_scores(str(tmp_path / "scores.csv"), columns=named),
    ):
        np.testing.assert_allclose(found.soft, from_scores(scores).soft)


@pytest.mark.parametrize("form", ["frame", "csv", "json"])
def test_one_row_a_task_and_one_column_a_judge(tmp_path, form) -> None:
    scores, _ = panel(2, 20, 3)
    scores["score"] += 0.25
    wide = scores.pivot(index="task", columns="worker", values="score").reset_index()
    wide = wide.rename(columns={"task": "item"})
    wide.loc[4, "judge 1"] = None
    table = wide.assign(text="words", gold=1, checked=True)
    path = str(tmp_path / f"x.{form}")
    if form == "csv":
        table.to_csv(path, index=False)
    elif form == "json":
        table.to_json(path, orient="records")
    long = wide.melt("item", var_name="worker", value_name="score").dropna()
    expected = from_scores(long, task="item")
    data = table if form == "frame" else path
    with pytest.warns(
        DataWarning, match=r"judge \('judge 0', 'judge 1', 'judge 2'\); left out: 'text'"
    ):
        guessed = from_scores(data, task="item")
    named = from_scores(data, task="item", workers="judge 0,judge 1,judge 2")
    for found in (guessed, named):
        assert list(found.workers) == list(expected.workers)
        np.testing.assert_allclose(found.soft, expected.soft)


def test_wide_tables_that_are_none() -> None:
    wide = pd.DataFrame({"item": [1, 2, 2], "a": [0.1, 0.2, 0.3], "b": ["x", "y", "z"]})
    with pytest.raises(DataError, match="holds 1 task a second time"):
        from_scores(wide, task="item", workers=["a"])
    with pytest.raises(ParameterError, match="lacks 1 column .*'c'"):
        from_scores(wide, task="item", workers=["c"])
    with pytest.raises(DataError, match="no column of numbers beside the tasks, 'item'"):
        from_scores(wide[["item", "b"]], task="item")
    with pytest.raises(MissingColumnError, match="'task'"):
        from_scores(wide)


def test_rows_and_judges_that_say_nothing_are_left_out_and_said() -> None:
    table = pd.DataFrame(
        {
            "task": list("abcdeabc"),
            "worker": list("xxxxxyyy"),
            "score": ["1", "2", None, "N/A", "error", "3", "3", "3"],
        }
    )
    with pytest.warns(DataWarning, match=r"3 rows have no score; 1 judge .* \('y'\)"):
        answers = from_scores(table)
    assert answers.workers.tolist() == ["x"]
    assert answers.n_answers == 2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"score": ["1", "2", "high"]}, DataError, "1 value is no number: 'high'"),
        (
            {"score": ["1,5", "2", "2,5"]},
            DataError,
            "2 values are no numbers.*decimals with a point",
        ),
        (
            {"score": ["7/10", "6.5/10", "10 out of 10"]},
            DataError,
            r"3 values are no numbers.*score alone, 7 for 7/10: column.str.extract",
        ),
        ({"score": [1, 2, float("inf")]}, DataError, "1 value is infinite, first in row 2"),
        ({"score": [4, 4, 4]}, DataError, "no judge gives two different scores"),
    ],
)
def test_scores_that_are_none(change, error, message) -> None:
    table = pd.DataFrame({"task": list("abc"), "worker": "x", **change})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # of the judge who gives one score
        with pytest.raises(error, match=message):
            from_scores(table)


@pytest.mark.parametrize(
    ("cells", "remedy"), [("7,5", "decimals with a point"), ("7.5/10", "score alone, 7 for 7/10")]
)
def test_a_sheet_of_scores_in_another_form_is_refused_with_what_to_write(cells, remedy) -> None:
    table = pd.DataFrame({"item": list("abc"), "gpt": cells, "claude": cells, "note": "a word"})
    with pytest.raises(DataError, match=f"'gpt', 'claude' hold texts such as '{cells}'.*{remedy}"):
        from_scores(table, task="item")


def test_a_row_of_means_below_a_sheet_of_scores_is_refused() -> None:
    draw = np.random.default_rng(0)
    table = pd.DataFrame(draw.integers(1, 11, (20, 3)), columns=["gpt", "claude", "llama"])
    table.insert(0, "item", [f"i{k}" for k in range(20)])
    below = pd.DataFrame([["Mean", 5.35, 6.1, 4.85]], columns=table.columns)
    with pytest.raises(DataError, match=r"1 row at the end \(rows 20: 'Mean', '5.35'"):
        from_scores(pd.concat([table, below], ignore_index=True), task="item")


def test_parameters_that_are_wrong() -> None:
    scores, _ = panel(3, 10, 3)
    with pytest.raises(MissingColumnError, match="missing columns 'score'"):
        from_scores(scores.drop(columns="score"))
    with pytest.raises(ParameterError, match="share=1.5"):
        from_scores(scores, share=1.5)
    with pytest.raises(ParameterError, match="two different labels"):
        from_scores(scores, classes=("good", "good"))


@pytest.mark.parametrize("tasks", [range(6), [0, 0, 1, 1, 2, 2]])
def test_a_column_of_judges_by_another_name_is_no_column_of_a_wide_table(tasks) -> None:
    long = pd.DataFrame({"task": tasks, "judge": list("ababab"), "rating": [1, 2, 3, 4, 5, 6]})
    with pytest.raises(MissingColumnError, match="'worker': 'judge'"):
        from_scores(long)
    named = from_scores(long, worker="judge", score="rating")
    assert list(named.workers) == ["a", "b"]


@pytest.mark.parametrize("tasks", [range(6), [0, 0, 1, 1, 2, 2]])
@pytest.mark.parametrize("scores", ["rating", "helpfulness"])
def test_a_column_of_numbered_judges_is_none_of_a_wide_table_where_more_says_so(
    tasks, scores
) -> None:
    long = pd.DataFrame({"task": tasks, "annotator": [7, 8] * 3, scores: [1.5, 2, 3, 4, 5, 6]})
    if scores == "rating":
        words = "'worker': 'annotator', 'score': 'rating'"
    elif len(set(tasks)) == 3:
        words = "'worker': 'annotator'"
    else:  # nothing tells it from the scores of a judge who is called so
        with pytest.warns(DataWarning, match="one column a judge .'annotator', 'helpfulness'"):
            assert from_scores(long).n_workers == 2
        return
    with pytest.raises(MissingColumnError, match=words):
        from_scores(long)
    assert list(from_scores(long, worker="annotator", score=scores).workers) == [7, 8]


def test_a_wide_table_with_a_judge_called_judge_stays_one() -> None:
    wide = pd.DataFrame(
        {"task": range(6), "judge": [1, 2, 3, 4, 5, 6], "human": [2, 1, 3, 5, 4, 6]}
    )
    with pytest.warns(DataWarning, match="one column a judge"):
        assert list(from_scores(wide).workers) == ["judge", "human"]
    named = from_scores(wide.rename(columns={"human": "rating"}), workers=["judge", "rating"])
    assert list(named.workers) == ["judge", "rating"]


def test_columns_of_judges_that_read_alike_are_refused() -> None:
    wide = pd.DataFrame({"task": list("abc"), "x": [1, 2, 3], 1: [3, 2, 1], "1": [1, 3, 2]})
    twice = wide[["task", "x", "x"]]
    for table, workers in ((wide, None), (wide, [1, "1"]), (twice, None), (twice, ["x"])):
        with pytest.raises(FormError, match="has 1 column name more than once .*'[1x]'"):
            from_scores(table, workers=workers)
    assert from_scores(wide, workers=["x"]).n_answers == 3
