"""Verdicts on pairs in both orders: mapped back, missing where they flip, and the bias of each judge."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from deem_crowd_adapters import from_pairwise, position_bias, read_export
from hypothesis import given, settings
from hypothesis import strategies as st

import deem_crowd
from deem_crowd.exceptions import DataError, DataWarning, MissingColumnError, ParameterError

COLUMNS = ["task", "worker", "label", "order"]
# judge x: agrees on p1, goes to the first position on p2, cannot tell on p3's second order, ties on p4
BY_HAND = pd.DataFrame(
    [
        ("p1", "x", "A", False), ("p1", "x", "B", True),
        ("p2", "x", "A", False), ("p2", "x", "A", True),
        ("p3", "x", "B", False), ("p3", "x", "cannot tell", True),
        ("p4", "x", "tie", False), ("p4", "x", "[[C]]", True),
        ("p1", "y", "b", False), ("p2", "y", "[[A]]", True), ("p5", "y", None, False),
    ],
    columns=COLUMNS,
)  # fmt: skip


def answers_of(frame, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        answers = from_pairwise(frame, **options)
    found = answers.to_frame()
    return {(t, w): label for t, w, label in found[["task", "worker", "label"]].to_numpy()}


AGREED = {("p1", "x"): "A", ("p3", "x"): "B", ("p4", "x"): "tie", ("p1", "y"): "B", ("p2", "y"): "B"}  # fmt: skip


def test_verdicts_are_mapped_back_and_flips_are_missing() -> None:
    assert answers_of(BY_HAND) == AGREED
    with pytest.warns(DataWarning) as caught:
        found = from_pairwise(BY_HAND)
    said = " ".join(str(w.message) for w in caught)
    assert "'x' 1 of 8 (12%), 'y' 1 of 3 (33%)" in said
    assert "flip with the position (missing): 'x' 1 of 3 (33%)" in said
    assert list(found.tasks) == ["p1", "p2", "p3", "p4", "p5"]  # p5 has no answer and stays


def test_a_flip_may_be_a_tie_or_two_sources() -> None:
    assert answers_of(BY_HAND, flips="tie") == {**AGREED, ("p2", "x"): "tie"}
    by_order = answers_of(BY_HAND, flips="sources")
    assert by_order[("p2", "x")] == "A"
    assert by_order[("p2", "x (swapped)")] == "B"
    assert len(by_order) == 9


def test_the_bias_of_each_judge_is_counted() -> None:
    table = position_bias(BY_HAND)
    x = table.loc["x"]
    # p1, p2 and p4 have both orders; p2 flips, to what stood first. A or B was said five times, first: A, A, A
    assert (x["verdicts"], x["missing"], x["pairs"]) == (7, 1 / 8, 3)
    assert (x["flips"], x["first_twice"], x["second_twice"]) == (1 / 3, 1 / 3, 0)
    assert x["first"] == 3 / 5
    y = table.loc["y"]
    assert (y["verdicts"], y["missing"], y["pairs"], y["first"]) == (2, 1 / 3, 0, 1 / 2)
    assert np.isnan(y["flips"])


frames = st.lists(
    st.tuples(
        st.sampled_from(["p1", "p2", "p3"]),
        st.sampled_from(["x", "y"]),
        st.sampled_from(["A", "B", "tie", "error"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda row: (row[0], row[1], row[3]),
).map(lambda rows: pd.DataFrame(rows, columns=COLUMNS))


@settings(max_examples=25, deadline=None)
@given(frames)
def test_showing_every_pair_in_the_other_order_changes_nothing_but_the_position(frame) -> None:
    other = frame.assign(order=~frame["order"], label=frame["label"].replace({"A": "B", "B": "A"}))
    for flips in ("missing", "tie"):
        assert answers_of(frame, flips=flips) == answers_of(other, flips=flips)
    before, after = position_bias(frame), position_bias(other)
    same = ["verdicts", "missing", "pairs", "flips"]
    pd.testing.assert_frame_equal(before[same], after[same])
    np.testing.assert_allclose(before["first"], 1 - after["first"])
    np.testing.assert_array_equal(before["first_twice"], after["second_twice"])


@settings(max_examples=25, deadline=None)
@given(frames, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(frame, random) -> None:
    rows = list(range(len(frame)))
    random.shuffle(rows)
    assert answers_of(frame) == answers_of(frame.iloc[rows])


@pytest.mark.parametrize(
    "orders",
    [("AB", "BA"), ("original", "swapped"), (0, 1), ("False", "True"), (0.0, 1.0), ("A, B", "B, A")],
)  # fmt: skip
def test_the_order_may_be_written_in_several_ways(orders) -> None:
    frame = BY_HAND.assign(
        order=BY_HAND["order"].map(dict(zip((False, True), orders, strict=True)))
    )
    assert answers_of(frame) == AGREED


def test_columns_and_words_may_be_others_and_tables_polars_or_files(tmp_path) -> None:
    words = {
        "A": "left",
        "B": "right",
        "b": "right",
        "[[A]]": "left",
        "tie": "same",
        "[[C]]": "same",
    }
    order = BY_HAND["order"].map({False: "x", True: "z"})
    frame = BY_HAND.assign(label=BY_HAND["label"].replace(words), order=order)
    frame = frame.rename(columns={"task": "pair", "worker": "judge", "label": "verdict", "order": "shown"})  # fmt: skip
    options = {
        "swap": "shown",
        "swapped": "z",
        "verdicts": {"left": "A", "right": "B", "same": "tie"},
        "task": "pair",
        "worker": "judge",
        "label": "verdict",
    }
    assert answers_of(frame, **options) == AGREED
    assert answers_of(pl.from_pandas(frame), **options) == AGREED
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert answers_of(tmp_path / "a.csv", **options) == AGREED
    adapter = deem_crowd.adapters()["pairwise"].load()
    assert answers_of(BY_HAND) == AGREED
    assert adapter is from_pairwise


def test_verdicts_of_an_export_are_mapped_back_already(tmp_path) -> None:
    def judged(key, first, second):
        judgments = [{"decision": d, "judgment": {"judge_model": "m"}} for d in (first, second)]
        return {"pair_id": key, "label": "A>B", "judge_name": "j", "judgments": judgments}

    # agrees on p1 (the second decision is about the swapped pair), goes to the first position on p2
    records = [judged("p1", "A>B", "B>A"), judged("p2", "A>B", "A>B"), judged("p3", "A=B", None)]
    path = tmp_path / "outputs.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        export = read_export(path)
    assert answers_of(export) == {("p1", "j/m"): "A", ("p3", "j/m"): "tie"}
    bias = position_bias(export).loc["j/m"]
    assert (bias["pairs"], bias["flips"], bias["first_twice"], bias["first"]) == (2, 0.5, 0.5, 0.75)


ARENA_WORDS = {
    "A": "model_a",
    "[[A]]": "model_a",
    "B": "model_b",
    "b": "model_b",
    "tie": "tie (bothbad)",
    "[[C]]": "tie",
}


def battles():
    """BY_HAND as an arena has it: the models in the order in which they were shown, and the winner's column."""
    swapped = BY_HAND["order"].to_numpy()
    return pd.DataFrame(
        {
            "question_id": BY_HAND["task"],
            "model_a": np.where(swapped, "m2", "m1"),
            "model_b": np.where(swapped, "m1", "m2"),
            "judge": BY_HAND["worker"],
            "winner": BY_HAND["label"].map(lambda verdict: ARENA_WORDS.get(verdict, verdict)),
        }
    )


def test_the_words_of_arenas_are_known_and_the_order_is_asked_for() -> None:
    names = {"task": "question_id", "worker": "judge", "label": "winner"}
    table = battles()
    with pytest.raises(
        MissingColumnError, match=r"df\['order'\] = df\['model_a'\] > df\['model_b'\]"
    ):
        from_pairwise(table, **names)
    table["order"] = table["model_a"] > table["model_b"]
    assert answers_of(table, **names) == AGREED
    assert position_bias(table, **names).equals(position_bias(BY_HAND))


def test_names_of_models_are_no_verdicts() -> None:
    names = {"task": "question_id", "worker": "judge", "label": "winner", "swap": "swapped"}
    table = battles().assign(swapped=lambda d: d["model_a"] > d["model_b"])
    named = table.copy()
    for column in ("model_a", "model_b"):
        named["winner"] = named["winner"].mask(table["winner"] == column, table[column])
    with pytest.raises(
        DataError, match=r"'winner' holds names of models \('m[12]', 'm[12]'\)"
    ) as told:
        from_pairwise(named, **names)
    remedy = str(told.value).rpartition("shown first: ")[2].rstrip(".")
    exec(remedy, {"df": named})
    assert answers_of(named, **names) == answers_of(table, **names)


@pytest.mark.parametrize(
    "words", [("[[A>>B]]", "[[B>A]]"), ("first", "second"), ("Response A", "Response B")]
)
def test_usual_words_for_verdicts_are_known(words) -> None:
    table = BY_HAND.assign(label=BY_HAND["label"].replace(dict(zip("AB", words, strict=True))))
    assert answers_of(table) == answers_of(BY_HAND)


def test_a_file_of_an_arena_tells_the_orders_of_judges_that_saw_both(tmp_path) -> None:
    path = tmp_path / "arena.jsonl"
    table = battles().query("winner != 'cannot tell' and winner.notna()")
    table.to_json(path, orient="records", lines=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        export = read_export(path)
    called = {f"question {pair}, turn 1, m1 vs m2": pair for pair in ("p1", "p2", "p3", "p4", "p5")}
    found = {(called[task], judge): label for (task, judge), label in answers_of(export).items()}
    assert found == AGREED
    bias, expected = position_bias(export), position_bias(BY_HAND)
    assert bias.loc["x", ["pairs", "flips", "first", "first_twice"]].tolist() == (
        expected.loc["x", ["pairs", "flips", "first", "first_twice"]].tolist()
    )
    assert pd.isna(
        bias.loc["y", "first"]
    )  # y saw each pair once, in an order that the export leaves out


def test_what_is_open_or_wrong_is_named_with_the_option() -> None:
    with pytest.raises(MissingColumnError, match="missing column 'order'.*swap="):
        from_pairwise(BY_HAND.drop(columns="order"))
    with pytest.raises(DataError, match="'order' holds 'x', 'z'.*swapped='z'"):
        from_pairwise(BY_HAND.assign(order=BY_HAND["order"].map({False: "x", True: "z"})))
    with pytest.raises(
        DataError, match=r"'label': 1 of 11 verdicts is not known: 'neither' \(rows 3\).*verdicts="
    ):
        from_pairwise(BY_HAND.assign(label=[*"AAA", "neither", *"AAAAAAA"]))  # fmt: skip
    with pytest.raises(DataError, match=r"'order' \(the order\) is missing in 1 row"):
        from_pairwise(BY_HAND.assign(order=[None, *[True] * 10]))
    with pytest.raises(DataError, match="'worker' is missing in 1 row"):
        from_pairwise(BY_HAND.assign(worker=[None, *["x"] * 10]))
    with pytest.raises(ParameterError, match="flips='drop'"):
        from_pairwise(BY_HAND, flips="drop")
    with pytest.raises(ParameterError, match="swapped='q' does not occur"):
        from_pairwise(BY_HAND, swapped="q")
    with pytest.raises(ParameterError, match="'A', 'B', 'tie' or None"):
        from_pairwise(BY_HAND, verdicts={"left": "first"})


def test_repeated_verdicts_are_said_and_the_last_counts() -> None:
    frame = pd.DataFrame([("p", "x", "A", 0), ("p", "x", "B", 0)], columns=COLUMNS)
    with pytest.warns(DataWarning, match="1 verdict is repeated"):
        found = from_pairwise(frame)
    assert list(found.to_frame()["label"]) == ["B"]


@pytest.mark.parametrize("column", ["label", "order"])
def test_infinity_is_named_as_what_is_not_known(column: str) -> None:
    with pytest.raises(DataError, match="inf"):
        from_pairwise(BY_HAND.assign(**{column: np.inf}))


def test_two_sources_never_become_one() -> None:
    """A judge may have the name that the second source of another is given."""
    other = BY_HAND.replace({"worker": {"y": "x (swapped)"}})
    assert len(answers_of(other)) == len(AGREED)
    with pytest.raises(DataError, match=r"a name that a judge already has: 'x \(swapped\)'"):
        answers_of(other, flips="sources")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_sources_tell_the_bias_where_pairs_were_shown_once() -> None:
    right: dict[str, list[float]] = {"missing": [], "sources": []}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        truth, size = rng.choice(["A", "B"], 400), (400, 5)
        swapped = rng.random(size) < 0.5
        good = np.where(rng.random(size) < 0.8, truth[:, None], rng.choice(["A", "B"], size))
        shown = np.where(swapped, np.where(good == "A", "B", "A"), good)
        shown = np.where(rng.random(size) < 0.5, "A", shown)
        task, worker = np.indices(size)
        columns = [task.ravel(), worker.ravel(), shown.ravel(), swapped.ravel()]
        frame = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
        for flips, found in right.items():
            agg = deem_crowd.DEEMAggregator().fit(from_pairwise(frame, flips=flips))
            found.append(float((agg.labels_.sort_index().to_numpy() == truth).mean()))
    assert np.mean(right["sources"]) > np.mean(right["missing"]) + 0.02, right
