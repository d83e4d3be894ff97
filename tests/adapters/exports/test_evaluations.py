"""promptfoo's results and Inspect's logs, after the documentation of both."""

from __future__ import annotations

import copy
import io
import struct
import zipfile
import zlib

import pyarrow as pa
import pytest
from by_hand import read, rows, write
from evaluations import SAMPLES, component, judged, log, promptfoo, result, sample, write_eval

from deem_crowd.exceptions import DataError, ParameterError


def test_promptfoo_gives_an_answer_for_each_output_and_grader(tmp_path) -> None:
    results = [
        result(0, "openai:a", judged(True, False)),
        result(0, "openai:b", judged(False, False)),
        result(1, "openai:a", judged(True, True)),
        # the call failed; a grading error; no grading at all
        result(1, "openai:b", [], failureReason=2, error="429", success=False),
        result(2, "openai:a", [component(False, reason="API error: 500"), component(True, metric="true")]),
        result(2, "openai:b", []),
    ]  # fmt: skip
    export, said = read(write(tmp_path / "results.json", promptfoo(results)))
    assert rows(export) == {
        ("test 0, openai:a", "helpful", "pass"),
        ("test 0, openai:a", "true", "fail"),
        ("test 0, openai:b", "helpful", "fail"),
        ("test 0, openai:b", "true", "fail"),
        ("test 1, openai:a", "helpful", "pass"),
        ("test 1, openai:a", "true", "pass"),
        ("test 2, openai:a", "true", "pass"),
    }
    assert export.format.startswith("promptfoo")
    assert export.left_out == {
        "results of deterministic assertions, which assertions='all' reads": 3,
        "outputs that failed": 1,
        "graders that failed": 1,
        "outputs without graded assertions": 1,
    }
    assert "outputs that failed (1)" in said


def test_promptfoo_has_the_same_answers_as_lines_and_as_a_table(tmp_path) -> None:
    results = [result(t, "p", judged(t % 2 == 0, True)) for t in range(3)]
    whole, _ = read(write(tmp_path / "a.json", promptfoo(results)))
    lines, _ = read(write(tmp_path / "b.jsonl", results))
    bare, _ = read(write(tmp_path / "c.json", {"version": 3, "results": results, "stats": {}}))
    cells = [
        {"testIdx": r["testIdx"], "vars": ["x"], "outputs": [{"gradingResult": r["gradingResult"], "text": "t"}]}
        for r in results
    ]  # fmt: skip
    table = {
        "table": {"head": {"prompts": [{"raw": "x", "provider": "p"}], "vars": ["q"]}, "body": cells},
        "totalCount": 3,
        "version": 4,
    }  # fmt: skip
    served, _ = read(write(tmp_path / "d.json", table))
    assert rows(whole) == rows(lines) == rows(bare) == rows(served)
    assert len(whole.answers) == 6


def test_promptfoo_takes_graders_of_one_metric_as_sources_and_numbers_what_repeats(
    tmp_path,
) -> None:
    three = [
        component(True, provider="openai:x"),
        component(False, provider={"id": "anthropic:y"}),
        component(True),
    ]
    export, _ = read(write(tmp_path / "a.json", promptfoo([result(0, "p", three)])))
    assert rows(export) == {
        ("test 0, p", "openai:x", "pass"),
        ("test 0, p", "anthropic:y", "fail"),
        ("test 0, p", "default grader", "pass"),
    }
    twice = [component(True), component(False)]
    export, _ = read(write(tmp_path / "b.json", promptfoo([result(0, "p", twice)])))
    assert set(export.answers["worker"]) == {"llm-rubric 1", "llm-rubric 2"}
    # several metrics, each with several graders, are several questions
    four = [component(True, metric=m, provider=p) for m in ("polite", "right") for p in ("x", "y")]
    path = write(tmp_path / "c.json", promptfoo([result(t, "p", four) for t in range(2)]))
    with pytest.raises(DataError, match="2 questions.*question="):
        read(path)
    export, _ = read(path, question="right")
    assert set(export.answers["worker"]) == {"x", "y"}
    assert len(export.answers) == 4


def test_promptfoo_tells_prompts_and_repeated_runs_apart_and_opens_sets(tmp_path) -> None:
    parts = [component(True), component(True, "g-eval")]
    inner = {"pass": True, "score": 1, "reason": "", "componentResults": parts}
    results = [
        result(0, "p", [inner]),
        result(0, "p", [inner], prompt=1),
        result(0, "p", [inner], prompt=1),
    ]
    export, _ = read(write(tmp_path / "a.json", promptfoo(results)))
    assert set(export.answers["task"]) == {
        "test 0, p, prompt 0",
        "test 0, p, prompt 1",
        "test 0, p, prompt 1, run 2",
    }
    assert set(export.answers["worker"]) == {"llm-rubric", "g-eval"}


def test_promptfoo_reads_deterministic_assertions_where_there_is_no_second_judge(tmp_path) -> None:
    results = [result(0, "p", [component(True, "contains"), component(False, "is-json")])]
    path = write(tmp_path / "a.json", promptfoo(results))
    export, said = read(path)
    assert set(export.answers["worker"]) == {"contains", "is-json"}
    assert "deterministic" in said
    with pytest.raises(DataError, match="holds no answers, besides results of deterministic"):
        read(path, assertions="judges")
    with pytest.raises(ParameterError, match="assertions='some'"):
        read(path, assertions="some")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda r: r[0]["gradingResult"]["componentResults"][0].update({"pass": "yes"}), "result 0.*'pass'"),
        (lambda r: r[0].update(gradingResult=[1]), "result 0.*'gradingResult' is list"),
        (lambda r: r[0]["gradingResult"].update(componentResults={"a": 1}), "result 0.*no list"),
        (lambda r: r.append(7), "result 1.*int"),
    ],
)  # fmt: skip
def test_promptfoo_names_the_result_that_is_wrong(tmp_path, damage, says) -> None:
    results = [result(0, "p", judged(True, True))]
    damage(results)
    with pytest.raises(DataError, match=f"a.json, {says}"):
        read(write(tmp_path / "a.json", promptfoo(results)))


def test_two_files_of_promptfoo_share_outputs_that_are_the_same(tmp_path) -> None:
    def run(*metrics):
        return [result(t, "p", [component(True, metric=m) for m in metrics]) for t in range(3)]

    first, second = run("x", "y"), run("z", "v")
    other = copy.deepcopy(second)
    for r in other:
        r["response"]["output"] = "another"
    a, b, c = (
        write(tmp_path / f"{name}.json", promptfoo(results))
        for name, results in (("a", first), ("b", second), ("c", other))
    )
    export, _ = read([a, b])
    assert export.answers["task"].nunique() == 3
    assert export.answers["worker"].nunique() == 4
    export, said = read([a, c])
    assert export.answers["task"].nunique() == 6
    assert "no task is shared" in said


# ------------------------------------------------------------------ Inspect


@pytest.mark.parametrize("kind", ["json", "eval"])
def test_inspect_gives_an_answer_for_each_sample_epoch_and_scorer(tmp_path, kind) -> None:
    path = tmp_path / f"2026-11-24_t.{kind}"
    write(path, log(SAMPLES)) if kind == "json" else write_eval(path, log(SAMPLES))
    export, said = read(path)
    assert rows(export) == {
        ("1, epoch 1", "judge_a", "C"),
        ("1, epoch 1", "judge_b", "I"),
        ("1, epoch 2", "judge_a", "C"),
        ("1, epoch 2", "judge_b", "C"),
        ("2, epoch 1", "judge_a", "I"),
        ("2, epoch 1", "judge_b", "I"),
        ("3, epoch 1", "judge_a", "P"),
    }
    assert export.left_out == {"samples that failed": 1, "samples without a score": 1}
    assert "samples that failed" in said


def test_inspect_reads_what_a_cancelled_run_had_scored_and_says_so(tmp_path) -> None:
    whole = log(SAMPLES[:2], status="cancelled")
    export, said = read(write(tmp_path / "a.json", whole))
    assert len(export.answers) == 4
    assert "'cancelled'" in said
    export, said = read(write_eval(tmp_path / "b.eval", whole, header=False))
    assert len(export.answers) == 4
    assert "'started'" in said


def test_inspect_takes_the_values_of_a_dict_as_questions(tmp_path) -> None:
    samples = [
        sample(i, {"rubric": {"style": i % 2, "truth": 1}, "other": {"style": 1, "truth": 0}})
        for i in range(4)
    ]
    path = write(tmp_path / "a.json", log(samples))
    with pytest.raises(DataError, match="2 questions: 'style'.*'truth'.*question='style'"):
        read(path)
    export, said = read(path, question="truth")
    assert rows(export) == {(i, w, v) for i in range(4) for w, v in (("rubric", 1), ("other", 0))}
    assert "'style'" in said


def test_inspect_reads_letters_and_numbers_of_scorers_as_one_coding(tmp_path) -> None:
    samples = [
        sample(i, {"graded": "CI"[i % 2], "exact": [1.0, 0.0][i % 2], "f1": i / 7})
        for i in range(7)
    ]
    export, said = read(write(tmp_path / "a.json", log(samples)))
    assert set(export.answers["worker"]) == {"graded", "exact"}
    assert set(export.answers["label"]) == {"C", "I"}
    by_worker = export.answers.pivot(index="task", columns="worker", values="label")
    assert (by_worker["graded"] == by_worker["exact"]).all()
    assert "'exact'" in said
    assert "'f1'" in said


def test_inspect_leaves_out_scores_that_are_not_given(tmp_path) -> None:
    samples = [sample(1, {"a": "C", "b": None}), sample(2, {"a": float("nan"), "b": "I"})]
    export, _ = read(write(tmp_path / "a.json", log(samples)))
    assert rows(export) == {(1, "a", "C"), (2, "b", "I")}
    assert export.left_out == {"empty answers": 2}


def test_files_of_inspect_are_other_tasks_for_other_models_and_the_same_for_another_scorer(
    tmp_path,
) -> None:
    first = write(tmp_path / "one.json", log([sample(i, {"a": "C"}) for i in range(3)]))
    rescored = write(tmp_path / "two.json", log([sample(i, {"b": "I"}) for i in range(3)]))
    other = write(tmp_path / "three.json", log([sample(i, {"a": "I"}) for i in range(3)], model="n"))  # fmt: skip
    export, _ = read([first, rescored])
    assert export.answers["task"].nunique() == 3
    assert export.answers["worker"].nunique() == 2
    export, _ = read([first, other])
    assert export.answers["task"].nunique() == 6
    assert export.answers["worker"].nunique() == 1


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([7], "sample 0: it is int"),
        ([sample([1], {"a": "C"})], "sample 0: 'id' is list"),
        ([{**sample(1, {}), "scores": {"a": {"answer": "x"}}}], "sample 0: the score of 'a' has no 'value'"),
        ([{**sample(1, {}), "scores": "C"}], "sample 0: 'scores' is str"),
        (None, "holds no answers"),
        ("x", "'samples' is str"),
    ],
)  # fmt: skip
def test_inspect_names_the_sample_that_is_wrong(tmp_path, samples, says) -> None:
    with pytest.raises(DataError, match=says):
        read(write(tmp_path / "a.json", log(samples)))


def test_inspect_leaves_out_graders_that_gave_no_grade(tmp_path) -> None:
    failed = sample(2, {"a": "I", "b": "C"})
    failed["scores"]["a"]["explanation"] = "Grade not found in model output: I cannot say"
    export, _ = read(write(tmp_path / "a.json", log([sample(1, {"a": "C", "b": "I"}), failed])))
    assert rows(export) == {(1, "a", "C"), (1, "b", "I"), (2, "b", "C")}
    assert export.left_out == {"graders that failed": 1}


def zstandard(data):
    """Return a zip archive with its stored files packed by Zstandard, each in two frames."""
    codec = pa.Codec("zstd")
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        files = [(info.filename, source.read(info)) for info in source.infolist()]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            halves = content[:50], content[50:]
            archive.writestr(name, b"".join(codec.compress(h, asbytes=True) for h in halves if h))
        places = [info.header_offset for info in archive.infolist()]
    packed = bytearray(out.getvalue())
    central = packed.index(b"PK\x01\x02")
    for (name, content), local in zip(files, places, strict=True):
        for start in (local, central + 2):  # the fields stand two bytes later in the directory
            struct.pack_into("<H", packed, start + 8, 93)
            struct.pack_into("<I", packed, start + 14, zlib.crc32(content))
            struct.pack_into("<I", packed, start + 22, len(content))
        central += 46 + len(name.encode())
    return bytes(packed)


def test_an_eval_file_may_be_packed_with_zstandard(tmp_path) -> None:
    whole = write_eval(tmp_path / "a.eval", log(SAMPLES)).read_bytes()
    packed = zstandard(whole)
    (tmp_path / "b.eval").write_bytes(packed)
    assert rows(read(tmp_path / "b.eval")[0]) == rows(read(tmp_path / "a.eval")[0])
    damaged = bytearray(packed)
    damaged[damaged.index(b"\x28\xb5\x2f\xfd") + 20] ^= 255
    (tmp_path / "c.eval").write_bytes(bytes(damaged))
    with pytest.raises(
        DataError, match="c.eval is not a complete zip archive: the file .* is damaged"
    ):
        read(tmp_path / "c.eval")


def test_an_eval_file_that_is_cut_off_is_one_error(tmp_path) -> None:
    whole = write_eval(tmp_path / "whole.eval", log(SAMPLES)).read_bytes()
    for size in range(40, len(whole), 97):
        path = tmp_path / "part.eval"
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="part.eval"):
            read(path)
