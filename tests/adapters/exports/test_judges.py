"""MT-Bench, AlpacaEval, LLMBar and JudgeBench: files in the form that these projects publish."""

from __future__ import annotations

import pandas as pd
import pytest
from by_hand import read, rows, write
from judgements import judgebench, llmbar, pair, preference, verdict

from deem_crowd.exceptions import DataError


def test_mt_bench_pairs_have_two_orders_that_are_mapped_back_already(tmp_path) -> None:
    records = [
        pair(81, "alpaca", "vicuna", "model_2", "model_2"),
        pair(81, "alpaca", "vicuna", "model_1", "tie", turn=2),
        # alphabetical order is the other one: both verdicts are about alpaca, shown second, then first
        pair(82, "vicuna", "alpaca", "model_2", "model_1"),
        pair(83, "alpaca", "vicuna", "error", "tie"),
    ]
    export, said = read(write(tmp_path / "gpt-4_pair.jsonl", records))
    vs = "alpaca vs vicuna"
    assert rows(export) == {
        (f"question 81, turn 1, {vs}", "gpt-4", "model_2"),
        (f"question 81, turn 1, {vs}", "gpt-4 (swapped)", "model_2"),
        (f"question 81, turn 2, {vs}", "gpt-4", "model_1"),
        (f"question 81, turn 2, {vs}", "gpt-4 (swapped)", "tie"),
        (f"question 82, turn 1, {vs}", "gpt-4", "model_2"),
        (f"question 82, turn 1, {vs}", "gpt-4 (swapped)", "model_1"),
        (f"question 83, turn 1, {vs}", "gpt-4 (swapped)", "tie"),
    }
    assert export.left_out == {"abstentions such as error or null": 1}
    assert "abstentions such as error or null (1)" in said


def test_mt_bench_pairs_made_from_single_scores_are_one_source(tmp_path) -> None:
    record = {**pair(81, "a", "b", "model_1", "model_1"), "m1_score": 8, "m2_score": 6}
    export, _ = read(write(tmp_path / "x_pair.jsonl", [record]))
    assert list(export.answers["worker"]) == ["gpt-4"]


def test_mt_bench_human_judgments_of_a_pair_meet_whatever_its_order(tmp_path) -> None:
    def vote(judge, a, b, winner):
        return {"question_id": 81, "model_a": a, "model_b": b, "winner": winner, "judge": judge, "turn": 1}  # fmt: skip

    votes = [
        vote("expert_1", "alpaca", "gpt-4", "model_b"),
        vote("expert_2", "gpt-4", "alpaca", "model_a"),
        vote("author_0", "gpt-4", "alpaca", "tie"),
        vote("gpt4_pair", "alpaca", "gpt-4", "tie (inconsistent)"),
    ]
    task = "question 81, turn 1, alpaca vs gpt-4"
    expected = {
        (task, "expert_1", "model_b"),
        (task, "expert_2", "model_b"),
        (task, "author_0", "tie"),
    }
    export, _ = read(write(tmp_path / "human.jsonl", votes))
    assert rows(export) == expected
    assert export.left_out == {"verdicts that flip with the order": 1}
    talk = [[{"role": "user", "content": "hello"}]] * len(votes)
    pd.DataFrame(votes).assign(conversation_a=talk).to_parquet(tmp_path / "human.parquet")
    assert rows(read(tmp_path / "human.parquet")[0]) == expected


def test_mt_bench_single_scores_are_by_judge_and_minus_one_is_none(tmp_path) -> None:
    def single(model, score, judge="gpt-4", prompt="single-v1", question=81):
        named = {"question_id": question, "model": model, "judge": [judge, prompt]}
        return {**named, "score": score, "turn": 1, "judgment": ""}

    records = [
        single("a", 8),
        single("b", -1),
        single("a", 7.5, "claude"),
        single("a", 9, question=82, prompt="single-math-v1"),
    ]
    export, _ = read(write(tmp_path / "single.jsonl", records))
    assert rows(export) == {
        ("question 81, turn 1, a", "gpt-4", 8),
        ("question 81, turn 1, a", "claude", 7.5),
        ("question 82, turn 1, a", "gpt-4", 9),
    }
    assert export.left_out == {"judgments without a score": 1}
    again = [single("a", 8), single("a", 6, prompt="single-v2")]
    export, _ = read(write(tmp_path / "two.jsonl", again))
    assert set(export.answers["worker"]) == {"gpt-4/single-v1", "gpt-4/single-v2"}


def test_alpaca_eval_preferences_are_whole_real_tied_or_missing(tmp_path) -> None:
    values = [1.0, 2, 1.02, 1.97, 1.5, 0, None, float("nan")]
    records = [preference(v, instruction=f"Task {i}") for i, v in enumerate(values)]
    export, said = read(write(tmp_path / "annotations.json", records))
    assert list(export.answers["label"]) == ["1", "2", "1", "2", "tie", "tie"]
    assert export.left_out == {"abstentions such as error or null": 2}
    assert "2 preferences are real numbers" in said
    assert "1.5" in said


def test_annotators_of_alpaca_eval_meet_in_several_files_and_outputs_tell_tasks_apart(
    tmp_path,
) -> None:
    first = [preference(1, None, instruction=f"Task {i}") for i in range(3)]
    for record in first:
        del record["annotator"]
    second = [preference(2, "b", instruction=f"Task {i}") for i in (2, 1, 0)]
    other = [preference(2, "b", instruction=f"Task {i}", two="another") for i in range(3)]
    a = write(tmp_path / "model" / "judge_a" / "annotations.json", first)
    b = write(tmp_path / "model" / "judge_b" / "annotations.json", second)
    c = write(tmp_path / "other" / "judge_b" / "annotations.json", other)
    export, _ = read([a, b])
    assert export.answers["task"].nunique() == 3
    assert set(export.answers["worker"]) == {"judge_a", "b"}
    export, _ = read([a, b, c])
    assert export.answers["task"].nunique() == 6
    assert set(export.answers["worker"]) == {"judge_a", "b"}


def test_outputs_of_alpaca_eval_in_the_other_order_are_turned(tmp_path) -> None:
    records = [
        {**preference(1), "annotator_index": 3, "annotator": None},
        {**preference(1, one="hello", two="hi"), "annotator_index": 4, "annotator": None},
    ]
    export, _ = read(write(tmp_path / "cross.json", records))
    assert export.answers["task"].nunique() == 1
    assert list(export.answers["worker"]) == ["annotator 3", "annotator 4"]
    assert list(export.answers["label"]) == [1, 2]


def test_llmbar_files_are_called_after_their_folders_and_hold_gold(tmp_path) -> None:
    vanilla = [llmbar(0, 1, verdict("1", "2")), llmbar(1, 2, verdict("2", None))]
    swap = [llmbar(0, 1, verdict("2", "1"), verdict("1", "1")), llmbar(1, 2, verdict("2", "2"))]
    folder = tmp_path / "Natural" / "evaluators" / "GPT-4"
    a = write(folder / "Vanilla" / "result.json", vanilla)
    b = write(folder / "Swap" / "result.json", swap)
    export, said = read([a, b])
    tasks = list(dict.fromkeys(export.answers["task"]))
    assert rows(export) == {
        (tasks[0], "GPT-4/Vanilla", "1"),
        (tasks[0], "GPT-4/Vanilla (swapped)", "2"),
        (tasks[1], "GPT-4/Vanilla", "2"),
        (tasks[0], "GPT-4/Swap", "1"),
        (tasks[0], "GPT-4/Swap (swapped)", "1"),
        (tasks[1], "GPT-4/Swap", "2"),
        (tasks[1], "GPT-4/Swap (swapped)", "2"),
    }
    assert export.gold.to_dict() == {tasks[0]: "1", tasks[1]: "2"}
    assert export.left_out == {"abstentions such as error or null": 1}
    assert "abstentions" in said
    alone, _ = read(write(tmp_path / "GPT-4_Vanilla.json", vanilla))
    assert set(alone.answers["worker"]) == {"GPT-4_Vanilla", "GPT-4_Vanilla (swapped)"}


def test_llmbar_subsets_with_the_same_judges_are_other_tasks(tmp_path) -> None:
    paths = [
        write(
            tmp_path / subset / "evaluators" / "A" / "B" / "result.json",
            [llmbar(f"{subset} {i}", 1, verdict("1", "1")) for i in range(2)],
        )
        for subset in ("Natural", "Adversarial")
    ]
    export, _ = read(paths)
    assert export.answers["task"].nunique() == 4
    assert set(export.answers["worker"]) == {"A/B", "A/B (swapped)"}


def test_llmbar_ratings_that_decide_nothing_are_no_verdicts(tmp_path) -> None:
    def rating(one, two, first, second):
        return verdict(first, second, score_1=[one, "stop"], score_2=[two, "stop"])

    records = [
        llmbar(0, 1, rating("8", "5", "1", "1")),
        llmbar(1, 1, rating("5", "5", "2", "1")),  # as the project's script writes a tie
        llmbar(2, 1, rating("good", "5", "1", "2")),  # and a rating that it cannot read
    ]
    export, _ = read(write(tmp_path / "rating.json", records))
    assert list(export.answers["label"]) == ["1", "1"]
    assert export.left_out == {"verdicts of equal or unreadable ratings": 4}


def test_judgebench_second_decisions_are_mapped_back(tmp_path) -> None:
    records = [
        judgebench("p1", "A>B", "A>B", "B>A"),  # agrees in both orders
        judgebench("p2", "B>A", "A>B", "A>B"),  # flips with the position
        judgebench("p3", "A>B", "A=B", None),
        judgebench("p4", "B>A", "failed", "A>>B"),
        judgebench("p5", "B>A", "A>", "B=A"),
    ]
    export, _ = read(write(tmp_path / "dataset=judgebench,judge_name=x.jsonl", records))
    assert rows(export) == {
        ("p1", "arena_hard/o1", "A>B"),
        ("p1", "arena_hard/o1 (swapped)", "A>B"),
        ("p2", "arena_hard/o1", "A>B"),
        ("p2", "arena_hard/o1 (swapped)", "B>A"),
        ("p3", "arena_hard/o1", "A=B"),
        ("p4", "arena_hard/o1 (swapped)", "B>A"),
        ("p5", "arena_hard/o1 (swapped)", "A=B"),
    }
    assert export.gold.to_dict() == {"p1": "A>B", "p2": "B>A", "p3": "A>B", "p4": "B>A", "p5": "B>A"}  # fmt: skip
    assert export.left_out == {"abstentions such as error or null": 3}


def test_a_reward_model_of_judgebench_has_one_verdict_a_pair(tmp_path) -> None:
    records = [judgebench("p1", "A>B", "A>B", "B>A", "reward_model", scores=[1.5, 0.5])]
    export, _ = read(write(tmp_path / "a.jsonl", records))
    assert rows(export) == {("p1", "reward_model/o1", "A>B")}
    assert sum(export.left_out.values()) == 1


@pytest.mark.parametrize(
    ("name", "record", "says"),
    [
        ("a.jsonl", pair(1, "a", "b", "model_3", "tie"), "record 0: a winner is 'model_3'.*label='winner'"),
        ("a.jsonl", pair(1, None, "b", "model_1", "tie"), "record 0: 'model_1' is None"),
        ("a.jsonl", pair(1, "a", "b", 7, "tie"), "record 0: a winner is 7"),
        ("a.json", [preference(3)], "record 0: 'preference' is 3"),
        ("a.json", [preference("good")], "record 0: 'preference' is 'good'"),
        ("a.json", [preference(float("inf"))], "record 0: 'preference' is inf"),
        ("a.json", [llmbar(0, 1, verdict("3", "1"))], "record 0: the winner is '3'"),
        ("a.json", [llmbar(0, 1)], "record 0: 'results' holds no verdict"),
        ("a.json", [{**llmbar(0, 1), "results": 3}], "record 0: 'results' is int"),
        ("a.json", [{**judgebench("p", "A>B", "A>B", "A>B"), "judgments": [1]}], "record 0: a judgment is int"),
        ("a.json", [{**judgebench("p", "A>B", "A>B", "A>B"), "pair_id": None}], "record 0: 'pair_id' is None"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_record(tmp_path, name, record, says) -> None:
    path = write(tmp_path / name, [record] if isinstance(record, dict) else record)
    with pytest.raises(DataError, match=f"{name}, {says}"):
        read(path)


def test_files_of_different_kinds_are_refused_together(tmp_path) -> None:
    a = write(tmp_path / "a.json", [preference(1)])
    b = write(tmp_path / "b.jsonl", [pair(1, "a", "b", "tie", "tie")])
    with pytest.raises(DataError, match="different kinds"):
        read([a, b])
