"""The shell fails in one line, with the exit status for its kind, and writes nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from shell_calls import TRUTH, answers, call, csv, failed, folder

from deem_crowd.cli import intake

__all__ = ["folder"]


def test_shares_of_classes_are_named_as_the_shell_takes_them(folder: Path) -> None:
    asked = ("aggregate", "answers.csv", "-o", "labels.csv", "--set")
    said = failed(call(*asked, "class_balance=rare"), 2)
    example = re.search(r"such as (\{.*?\})", said)
    assert example is not None, said
    assert call(*asked, f"class_balance={example[1]}").exit_code == 0


@pytest.mark.parametrize("adapter", [None, "scores", "wide", "form", "pairwise", "label-studio"])
def test_a_missing_file(folder: Path, adapter: str | None) -> None:
    how = ["--adapter", adapter] if adapter else []
    result = call("aggregate", "nowhere.csv", "-o", "labels.csv", *how)
    failed(result, 1)
    assert result.stderr == "error: nowhere.csv: No such file or directory\n"


def test_a_method_that_fails_is_one_line_and_writes_nothing(folder: Path) -> None:
    frame = answers()
    frame.loc[0, "label"] = "third"  # KOS takes two classes
    (folder / "answers.csv").write_text(csv(frame))
    said = failed(call("aggregate", "answers.csv", "--method", "kos", "-o", "labels.csv"), 1)
    assert "method 'kos' failed" in said
    assert sorted(path.name for path in folder.iterdir()) == ["answers.csv"]


def test_a_column_that_is_named_for_two_parts(folder: Path) -> None:
    said = failed(call("aggregate", "answers.csv", "--label", "worker"), 1)
    assert "column 'worker' is named for worker and label." in said
    assert "Name a column of its own for each: --worker COLUMN, --label COLUMN." in said


def test_outputs_are_checked_before_the_work(folder: Path) -> None:
    said = failed(call("aggregate", "answers.csv", "-o", "labels.csv", "--proba", "no/p.csv"), 1)
    assert "no folder" in said
    failed(call("aggregate", "answers.csv", "-o", "."), 2)  # a name that tells no format
    failed(call("aggregate", "answers.csv", "--proba", "-"), 2)
    failed(call("aggregate", "answers.csv", "-o", "x.csv", "--proba", "./x.csv"), 2)
    assert sorted(path.name for path in folder.iterdir()) == ["answers.csv"]


def test_a_failure_leaves_the_old_file(folder: Path) -> None:
    (folder / "labels.csv").write_text("old")
    (folder / "answers.csv").write_text("task,worker,label\nt,w,\n")
    failed(call("aggregate", "answers.csv", "-o", "labels.csv"), 1)
    assert (folder / "labels.csv").read_text() == "old"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "demm"], "did you mean 'deem'?"),
        (["--method", "gold-mv"], "needs --gold"),
        (["--method", "mv", "--gold", "gold.csv"], "does not learn from known labels"),
        (["--missing", "perhaps"], "perhaps"),
        (["--format", "xls"], "xls"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_usage(folder: Path, arguments: list[str], said: str) -> None:
    (folder / "gold.csv").write_text("task,label\nt0,no\n")
    assert said in failed(call("aggregate", "answers.csv", *arguments), 2)


def test_debug_shows_where(folder: Path) -> None:
    result = call("--debug", "aggregate", "nowhere.csv")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: nowhere.csv")


def test_a_bug_is_one_line_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise AttributeError("oh")

    monkeypatch.setattr(intake, "settled_answers", broken)
    assert "unexpected AttributeError: oh" in failed(call("aggregate", "answers.csv"), 1)


def test_remedies_are_those_of_the_shell(folder: Path) -> None:
    frame = pd.read_csv("answers.csv")
    labels = frame["label"].tolist()
    joined = [f"{label};big" if i % 3 == 0 else label for i, label in enumerate(labels)]
    frame.assign(label=joined).to_csv("joined.csv", index=False)
    known = frame.drop_duplicates("task").assign(worker="gold")
    pd.concat([frame, known]).to_csv("known.csv", index=False)
    pd.concat([frame, known.assign(worker="n/a")]).to_csv("nobody.csv", index=False)
    soft = frame.assign(cat="0,5", dog="0,5").drop(columns="label")
    soft.to_csv("soft.csv", index=False, sep=";")
    for line, remedy in (
        ("aggregate joined.csv", "; if not, nothing has to change."),
        ("aggregate known.csv", "pass known labels with --gold."),
        ("aggregate nobody.csv", "or leave them out of the file."),
        (
            "aggregate soft.csv --adapter soft-long",
            '--adapter soft-long --adapter-set \'classes=["…", "…"]\', and write decimals',
        ),
        ("next answers.csv --budget 0.5", "--budget 0.5 buys no answer"),
        ("next answers.csv --budget 0.5", "Raise --budget or lower --costs."),
    ):
        said = " ".join(call(*line.split()).stderr.split())
        assert remedy in said
        assert not re.search(r"df\[~|(gold|budget|costs)=|classes=\[\.", said), said


@pytest.mark.parametrize(
    ("line", "option", "taken"),
    [
        ("aggregate - --gold -", "--gold", "ANSWERS"),
        ("aggregate - --features -", "--features", "ANSWERS"),
        ("aggregate answers.csv --gold - --features -", "--features", "--gold"),
        ("next - --exclude -", "--exclude", "ANSWERS"),
        ("next answers.csv --costs - --unanswered -", "--unanswered", "--costs"),
        ("suspects - --labels -", "--labels", "ANSWERS"),
        ("keep - --gold -", "--gold", "ANSWERS"),
        ("compare - --gold -", "--gold", "ANSWERS"),
        ("report - --gold - -o r.html", "--gold", "ANSWERS"),
    ],
)
def test_standard_input_is_read_for_one_thing(
    folder: Path, line: str, option: str, taken: str
) -> None:
    """And the message names the option that asks for it again."""
    result = call(*line.split())
    said = " ".join(result.stderr.replace("│", " ").split())
    assert result.exit_code == 2, result.stderr
    assert f"Invalid value for {option}: {taken} already reads standard input" in said


def test_standard_input_twice_among_the_answers(folder: Path) -> None:
    result = call("aggregate", "-", "-")
    assert result.exit_code == 2
    assert "Invalid value for ANSWERS: standard input is given twice" in result.stderr


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_is_missing_is_named_as_in_the_file(folder: Path, kind: str) -> None:
    frame = pd.read_csv("answers.csv")
    holes = frame.assign(label=frame["label"].where(frame.index != 3))
    renamed = holes.rename(columns={"label": "verdict"})
    for table, name in ((holes, "label"), (renamed, "verdict")):
        if kind == "csv":
            table.to_csv("holes.csv", index=False)
        else:
            table.to_parquet("holes.parquet")
        named = ["--label", "verdict"] if name == "verdict" else []
        for adapter in ([], ["--adapter", "long"]):
            said = call("aggregate", f"holes.{kind}", *named, *adapter).stderr
            assert f"error: holes.{kind}: column '{name}' is missing in 1 of" in said


def test_tasks_without_answers_are_not_counted_with_those_that_are_scored(folder: Path) -> None:
    frame = pd.read_csv("answers.csv")
    first = frame["task"].iloc[0]
    frame.assign(label=frame["label"].where(frame["task"] != first)).to_csv(
        "holes.csv", index=False
    )
    gold = pd.DataFrame({"task": list(TRUTH), "label": list(TRUTH.values())})
    (folder / "gold.csv").write_text(csv(gold))
    line = ("holes.csv", "--missing", "drop")
    shown = call("compare", *line, "--gold", "gold.csv", "--methods", "mv").stdout
    assert f"{len(TRUTH) - 1} tasks with gold" in shown
    kept = call("keep", *line, "--precision", "0.1", "-o", "kept.csv").stderr
    assert f"{len(TRUTH) - 1} of {len(TRUTH) - 1} labels kept" in kept


def test_a_workbook_is_no_table_of_probabilities_and_no_option_is_blamed(folder: Path) -> None:
    pytest.importorskip("openpyxl")
    soft = pd.read_csv("answers.csv").assign(yes=0.5, no=0.5).drop(columns="label")
    soft.to_excel("soft.xlsx", index=False)
    said = failed(call("aggregate", "soft.xlsx", "--adapter", "soft-long"), 2)
    assert "Invalid value for --adapter: 'soft.xlsx' is a workbook" in said
    said = failed(call("aggregate", "answers.csv", "-o", "labels.xlsx"), 2)
    assert (
        "Invalid value for --output: 'labels.xlsx' is a workbook, which cannot be written" in said
    )
