"""``deem-crowd report``: the command writes what the method does."""

from __future__ import annotations

import pandas as pd
import typer
from typer.testing import CliRunner

from deem_crowd import DEEMAggregator
from deem_crowd.report.commands import deem_crowd_commands

ROWS = [(t, w, "ab"[(t + (w == "z" and t % 3 == 0)) % 2]) for t in range(30) for w in "uvwxyz"]


def run(*arguments: str):
    app = typer.Typer()
    app.callback()(lambda: None)
    deem_crowd_commands(app)
    return CliRunner().invoke(app, ["report", *arguments])


def test_the_command_writes_what_the_method_writes(tmp_path) -> None:
    df = pd.DataFrame(ROWS, columns=["task", "worker", "label"])
    gold = pd.Series({t: "ab"[t % 2] for t in range(10)})
    df.to_csv(tmp_path / "answers.csv", index=False)
    gold.rename_axis("task").rename("label").to_csv(tmp_path / "gold.csv")
    done = run(
        str(tmp_path / "answers.csv"),
        "-o",
        str(tmp_path / "r.html"),
        "--gold",
        str(tmp_path / "gold.csv"),
    )
    assert done.exit_code == 0, done.output
    assert "Written" in done.stderr
    assert done.stdout == ""
    DEEMAggregator().fit(df).report(tmp_path / "same.html", gold=gold)
    assert (tmp_path / "r.html").read_text() == (tmp_path / "same.html").read_text()


def test_no_file_of_answers_is_overwritten(tmp_path) -> None:
    path = tmp_path / "answers.csv"
    pd.DataFrame(ROWS, columns=["task", "worker", "label"]).to_csv(path, index=False)
    before = path.read_bytes()
    done = run(str(path), "-o", str(path))
    assert done.exit_code == 2
    assert path.read_bytes() == before


def test_contested_labels_may_be_left_out(tmp_path) -> None:
    from deem_crowd.cli.app import app

    rows = [(t, w, (t + (w in "xy" and t % 3 == 0)) % 2) for t in range(30) for w in "uvxy"]
    df = pd.DataFrame(rows, columns=["task", "worker", "label"])
    df.to_csv(tmp_path / "answers.csv", index=False)
    common = ["aggregate", str(tmp_path / "answers.csv"), "-o", str(tmp_path / "labels.csv")]
    done = CliRunner().invoke(app, [*common, "--contested", "missing"])
    assert done.exit_code == 0, done.output
    found = pd.read_csv(tmp_path / "labels.csv", dtype={"label": "Int64"}).set_index("task")[
        "label"
    ]
    agg = DEEMAggregator().fit(df)
    marks = agg.contested_
    assert 0 < marks.sum() < len(marks)
    assert (found.isna() == marks).all()
    assert (found[~marks] == agg.labels_[~marks]).all()
    done = CliRunner().invoke(app, [*common, "--contested", "missing", "--method", "mv"])
    assert done.exit_code == 2
    assert "contested" in done.output
