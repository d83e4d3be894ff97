"""Plugins from the shell: which are listed, and what they bring: parameters of methods, samplers by name, adapters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from shell_calls import answers, call, failed, folder, really, table

import deem_crowd
from deem_crowd import Answers
from deem_crowd.cli import shell
from deem_crowd.plugins import registry

__all__ = ["folder"]


@pytest.mark.usefixtures("folder")
def test_parameters_reach_the_method() -> None:
    plain = call("aggregate", "answers.csv", "--set", "n_iter=0")
    assert plain.exit_code == 0, plain.stderr
    assert len(table(plain.stdout)) == 12
    sampled = call("aggregate", "answers.csv", "--set", "sampler=gibbs", "--set", "n_iter=3")
    assert sampled.exit_code == 0, sampled.stderr
    several = call(
        "compare", "answers.csv", "--methods", "deem,ds", "--set", "deem.hidden_dim=2", "--set", "ds.n_iter=3"
    )  # fmt: skip
    assert several.exit_code == 0, several.stderr


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("command", "setting", "words"),
    [
        ("aggregate", "n_iter", "'n_iter' is no NAME=VALUE of deem"),
        ("aggregate", "n_itr=3", "has no parameter 'n_itr'"),
        ("aggregate", "n_iter=-1", "n_iter=-1 is not allowed"),
        ("aggregate", "sampler=gibs", "no sampler is called 'gibs'"),
        ("compare", "n_iter=3", "'n_iter=3' is no deem.NAME=VALUE of deem, ds, mv"),
        ("compare", "kos.n_iter=3", "is no deem.NAME=VALUE"),
    ],
)
def test_bad_parameters_are_bad_usage(command, setting, words) -> None:
    said = failed(call(command, "answers.csv", "--set", setting), 2)
    assert words in " ".join(said.replace("│", " ").split())


def read_lines(path: str) -> Answers:
    """Somebody's own format: worker, colon, task, colon, label."""
    import pandas as pd

    with open(path) as file:
        rows = [line.strip().split(":") for line in file]
    return Answers.from_frame(pd.DataFrame(rows, columns=["worker", "task", "label"]))


def broken(path: str):
    raise RuntimeError("no such luck")


@pytest.mark.usefixtures("folder")
def test_answers_come_through_any_adapter(monkeypatch, tmp_path) -> None:
    adapters = {"lines": read_lines, "broken": broken, "strange": lambda path: [path]}
    monkeypatch.setattr(registry, "get_adapter", adapters.__getitem__)
    rows = [f"{w}:{t}:{label}" for t, w, label in answers().itertuples(index=False)]
    (tmp_path / "answers.own").write_text("\n".join(rows))
    found = call("aggregate", "answers.own", "--adapter", "lines")
    assert found.exit_code == 0, found.stderr
    expected = call("aggregate", "answers.csv")
    assert table(found.stdout).equals(table(expected.stdout))
    assert call("compare", "answers.own", "--adapter", "lines").exit_code == 0
    said = failed(call("aggregate", "answers.own", "--adapter", "broken"), shell.BAD_DATA)
    assert "adapter 'broken' failed on" in said
    said = failed(call("aggregate", "answers.own", "--adapter", "strange"), shell.BAD_DATA)
    assert "returned a list, not deem_crowd.Answers" in said


@pytest.mark.usefixtures("folder")
def test_an_unknown_adapter_is_bad_usage() -> None:
    said = failed(call("aggregate", "answers.csv", "--adapter", "csw"), 2)
    assert "no adapter is called 'csw'" in said
    assert call("aggregate", "answers.csv", "--adapter", "csv").exit_code == 0


@pytest.mark.usefixtures("folder")
def test_columns_of_an_adapter_are_named_like_those_of_a_table(tmp_path) -> None:
    frame = answers().rename(columns={"task": "item", "worker": "judge", "label": "mark"})
    frame.assign(mark=range(len(frame))).to_csv(tmp_path / "marks.csv", index=False)
    how = ["--task", "item", "--adapter", "scores", "--adapter-set", "worker=judge"]
    found = call("aggregate", "marks.csv", *how, "--adapter-set", "score=mark")
    assert found.exit_code == 0, found.stderr
    assert set(table(found.stdout)["task"]) == set(frame["item"])
    said = failed(call("aggregate", "marks.csv", *how), shell.BAD_DATA)
    assert "marks.csv: missing columns 'score'" in said
    said = failed(call("aggregate", "marks.csv", *how, "--adapter-set", "task=item"), 2)
    assert "'task' is named twice" in said
    said = failed(call("aggregate", "marks.csv", *how, "--adapter-set", "colour=mark"), 2)
    assert "adapter 'scores' has no parameter 'colour'; it takes 'classes', 'share'" in said


@pytest.mark.usefixtures("folder")
def test_columns_of_other_names_are_advised_as_options(tmp_path) -> None:
    frame = answers().rename(
        columns={"task": "example_id", "worker": "Annotator ID", "label": "Label"}
    )
    frame.to_csv(tmp_path / "x.csv", index=False)
    said = failed(call("aggregate", "x.csv", "--worker", "Annotator ID"), shell.BAD_DATA)
    assert "--label Label" in said
    frame = frame.rename(columns={"Annotator ID": "annotator id", "Label": "answer"})
    frame.rename(columns={"annotator id": "rater"}).to_csv(tmp_path / "x.csv", index=False)
    said = failed(call("aggregate", "x.csv"), shell.BAD_DATA)
    assert "pass --task example_id --worker rater --label answer" in said
    assert "columns={" not in said
    (tmp_path / "gold.csv").write_text("id,answer\nt0,x\n")
    said = failed(call("aggregate", "answers.csv", "--gold", "gold.csv"), shell.BAD_DATA)
    assert "Rename the columns in the file ('id' to 'task', 'answer' to 'label')" in said
    (tmp_path / "x.csv").write_text("task,worker,label\n")
    assert "warning: there are no answers" in call("aggregate", "x.csv").stderr


def test_plugins(folder: Path) -> None:
    result = call("plugins")
    assert (result.exit_code, result.stderr) == (0, "")
    words = result.stdout.split()
    for word in ("deem", "ds", "mv", "crowdkit", "adapters", "deem-crowd", deem_crowd.__version__):
        assert word in words


def test_broken_and_denied_plugins_are_listed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = folder / "unlucky-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: unlucky\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text("[deem_crowd]\nluckless = no_such_module_here\n")
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", paths)
    monkeypatch.setenv("DEEM_CROWD_PLUGINS_DENY", "crowdkit")
    done = really("plugins")
    assert (done.returncode, done.stderr) == (0, "")
    listed, skipped = done.stdout.split("Not loaded")
    assert "deem" in listed.split()
    assert "mv" not in listed.split()
    assert "denied by DEEM_CROWD_PLUGINS_DENY" in skipped
    for word in ("luckless", "unlucky", "2.5", "no_such_module_here"):
        assert word in skipped
    done = really("aggregate", "answers.csv")  # elsewhere it is a warning
    assert done.returncode == 0
    assert done.stderr.startswith("warning: plugin 'luckless' of unlucky 2.5 is skipped")
