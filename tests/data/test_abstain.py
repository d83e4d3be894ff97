"""Labels that stand for no answer, in the shell and in warnings."""

from __future__ import annotations

import io
import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from deem_crowd import Answers, DEEMAggregator
from deem_crowd.cli.app import app
from deem_crowd.exceptions import DataWarning

draw = np.random.default_rng(0)
TRUTH = draw.integers(2, size=50)
ROWS = [
    (f"t{task}", f"w{worker}", ["ham", "spam"][TRUTH[task] ^ (draw.random() < 0.2)])
    for task in range(50)
    for worker in range(4)
]
FRAME = pd.DataFrame(ROWS, columns=["task", "worker", "label"])
ESCALATED = draw.random(len(FRAME)) < 0.2
ESCALATED[:4] = True  # all answers to the first task


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    frame = FRAME.assign(label=FRAME["label"].mask(ESCALATED, "escalate"))
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    return tmp_path / "a.csv"


def test_what_the_warning_names_leaves_such_answers_out(answers: Path) -> None:
    first = CliRunner().invoke(app, ["aggregate", str(answers)])
    (said,) = [line for line in first.stderr.splitlines() if "may stand for a missing" in line]
    assert "1 label ('escalate')" in said
    assert "df[" not in said
    remedy = shlex.split(said.split("If so, leave such rows out: ")[1].split("; if not")[0])
    for path in (answers, answers.with_suffix(".parquet")):
        done = CliRunner().invoke(app, ["aggregate", str(path), *remedy])
        assert done.exit_code == 0, done.stderr
        assert "may stand for" not in done.stderr
        labels = pd.read_csv(io.StringIO(done.stdout), index_col="task")["label"]
        expected = DEEMAggregator().fit_predict(FRAME[~ESCALATED])
        assert labels.dropna().to_dict() == expected.to_dict()
        assert labels.index[labels.isna()].tolist() == ["t0"]  # stays, without a label


@pytest.mark.parametrize("command", ["next", "suspects", "keep", "compare"])
def test_every_command_that_reads_answers_takes_it(answers: Path, command: str) -> None:
    done = CliRunner().invoke(app, [command, str(answers), "--abstain", "escalate"])
    assert done.exit_code == 0, done.stderr
    assert "escalate" not in done.output


def test_codes_are_named_as_they_are_written(tmp_path: Path) -> None:
    codes = FRAME.assign(label=FRAME["label"].map({"ham": 1, "spam": 2}).mask(ESCALATED, 99))
    codes.to_csv(tmp_path / "a.csv", index=False)
    first = CliRunner().invoke(app, ["aggregate", str(tmp_path / "a.csv")])
    assert "leave such rows out: --abstain=99; if not, nothing has to change" in first.stderr
    done = CliRunner().invoke(app, ["aggregate", str(tmp_path / "a.csv"), "--abstain=99"])
    assert set(pd.read_csv(io.StringIO(done.stdout))["label"].dropna()) == {1, 2}


def test_a_label_that_nobody_gave_is_a_warning(answers: Path) -> None:
    asked = ["aggregate", str(answers), "--abstain", "escalate", "--abstain", "unsur"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0
    assert "no answer has the label 'unsur' of --abstain. Labels given: " in done.stderr


@pytest.mark.parametrize(
    "word", ["Unsure", "Don’t know", "skip", "escalate", "can't tell", "Not applicable", "n.a."]
)
def test_words_that_leave_it_to_others_raise_a_warning(word: str) -> None:
    frame = FRAME.assign(label=FRAME["label"].mask(ESCALATED, word))
    with pytest.warns(DataWarning, match=r"1 label \(.*\) may stand for a missing answer"):
        Answers.from_frame(frame)


@pytest.mark.parametrize("word", ["weiß nicht", "不適用", "other"])
@pytest.mark.parametrize("number", [str, float, "{:.1f}".format])
def test_a_word_among_numbers_raises_a_warning(word: str, number: Any) -> None:
    """In any language: a scale has no step that is called by a word."""
    codes = [number(1 + (n + w) % 5) if n % 7 else word for n in range(40) for w in range(4)]
    with pytest.warns(DataWarning, match=rf"1 label \('{word}'\) may stand for a missing answer"):
        Answers.from_frame(FRAME.iloc[:160].assign(label=codes))


@pytest.mark.parametrize(
    "labels",
    [
        ["1", "2", "dog"],
        ["1 (worst)", "2", "3", "4", "5 (best)"],
        ["1", "2", "3", "a", "b", "c"],
        ["1", "2", "3", "q4"],
        [*"0123456789", "other"],
        ["K", "1", "2", "3", "4"],
        ["1", "2", "3", "+", "-"],
        ["complied", "refused", "deflected"],
    ],
)
def test_words_that_may_be_classes_raise_none(labels: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        Answers.from_frame(FRAME.assign(label=[labels[i % len(labels)] for i in range(len(FRAME))]))


@pytest.mark.parametrize("code", ["-1", "99"])
def test_codes_are_named_without_their_point(tmp_path: Path, code: str) -> None:
    """As labels are floats where a column of numbers has gaps."""
    frame = FRAME.assign(label=np.where(ESCALATED, float(code), FRAME["label"].eq("spam")))
    frame.to_parquet(tmp_path / "a.parquet")
    first = CliRunner().invoke(app, ["aggregate", str(tmp_path / "a.parquet")])
    assert f"--abstain={code}" in first.stderr
    done = CliRunner().invoke(app, ["aggregate", str(tmp_path / "a.parquet"), f"--abstain={code}"])
    assert done.exit_code == 0, done.stderr
    assert "abstain" not in done.stderr
    labels = pd.read_csv(io.StringIO(done.stdout), index_col="task")["label"]
    assert set(labels.dropna()) == {0.0, 1.0}


def test_probabilities_hold_no_abstentions(tmp_path: Path) -> None:
    path = tmp_path / "soft.csv"
    path.write_text("task,worker,yes,no,skip\nt1,a,.2,.3,.5\nt1,b,.5,.5,0\n", encoding="utf-8")
    done = CliRunner().invoke(
        app, ["aggregate", str(path), "--adapter", "soft-long", "--abstain=skip"]
    )
    assert done.exit_code == 2
    assert "these answers are probabilities" in " ".join(done.stderr.replace("│", " ").split())
