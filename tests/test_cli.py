"""The shell: what goes to which stream, and with which exit status."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import processes
import pytest
from deem_crowd_adapters import write_table
from typer.testing import CliRunner, Result

import deem_crowd
from deem_crowd import DEEMAggregator
from deem_crowd.cli import intake, shell
from deem_crowd.cli.app import app

TRUTH = {f"t{t}": ["no", "yes"][t % 2] for t in range(12)}


def answers() -> pd.DataFrame:
    """Five workers label twelve tasks; each errs once."""
    rows = [
        (f"t{t}", f"w{w}", ["no", "yes"][(t % 2) ^ ((t + 3 * w) % 12 == 0)])
        for t in range(12)
        for w in range(5)
    ]
    return pd.DataFrame(rows, columns=["task", "worker", "label"])


def csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with answers.csv in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "answers.csv").write_text(csv(answers()))
    return tmp_path


def call(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def really(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return processes.python("-m", "deem_crowd.cli", *arguments, stdin=stdin)


def fresh(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an interpreter of its own, which reads PYTHON… variables as it starts."""
    return subprocess.run(
        [sys.executable, "-m", "deem_crowd.cli", *arguments],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def table(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def failed(result: Result, status: int) -> str:
    """Check that a call failed with ``status``, said nothing on stdout, and return what it said on stderr."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    if status == shell.BAD_DATA:
        assert (
            result.stderr.splitlines()[-1].startswith("error: ")
            or "\nerror: " in f"\n{result.stderr}"
        )
    return " ".join(result.stderr.replace("│", " ").split())


# ------------------------------------------------------------------ aggregate


@pytest.mark.parametrize("method", ["deem", "ds", "mv"])
def test_labels_go_to_a_file_and_a_word_to_standard_error(folder: Path, method: str) -> None:
    result = call("aggregate", "answers.csv", "-o", "labels.csv", "--method", method)
    said = (result.exit_code, result.stdout, result.stderr)
    assert said == (0, "", f"Written: labels.csv ({len(TRUTH)} rows)\n")
    labels = pd.read_csv(folder / "labels.csv")
    assert list(labels.columns) == ["task", "label"]
    assert list(labels["task"]) == list(TRUTH)  # by first appearance
    assert dict(labels.to_numpy()) == TRUTH


def test_standard_streams(folder: Path) -> None:
    done = really("aggregate", "-", stdin=csv(answers()))
    assert (done.returncode, done.stderr) == (0, "")
    assert dict(table(done.stdout).to_numpy()) == TRUTH


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_in_and_out(folder: Path, kind: str) -> None:
    source = folder / f"in.{kind}"
    writers = {
        "csv": lambda: answers().to_csv(source, index=False),
        "tsv": lambda: answers().to_csv(source, index=False, sep="\t"),
        "jsonl": lambda: answers().to_json(source, orient="records", lines=True),
        "parquet": lambda: answers().to_parquet(source, index=False),
    }
    writers[kind]()
    result = call("aggregate", str(source), "-o", f"out.{kind}")
    assert result.exit_code == 0, result.stderr
    readers = {
        "csv": pd.read_csv,
        "tsv": lambda path: pd.read_csv(path, sep="\t"),
        "jsonl": lambda path: pd.read_json(path, lines=True),
        "parquet": pd.read_parquet,
    }
    assert dict(readers[kind](folder / f"out.{kind}").to_numpy()) == TRUTH


def test_format_is_for_the_streams(folder: Path) -> None:
    lines = answers().to_json(orient="records", lines=True)
    result = call("aggregate", "-", "--format", "jsonl", stdin=lines)
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["task"]: row["label"] for row in rows} == TRUTH


def test_probabilities_and_workers(folder: Path) -> None:
    result = call(
        "aggregate", "answers.csv", "-o", "l.csv", "--proba", "p.csv", "--workers", "w.tsv"
    )
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "Written: p.csv (12 rows)", "Written: w.tsv (5 rows)", "Written: l.csv (12 rows)"
    ]  # fmt: skip
    probas = pd.read_csv("p.csv", index_col="task")
    assert list(probas.columns) == ["no", "yes"]
    assert probas.sum(axis=1).to_numpy() == pytest.approx(1)
    assert probas.idxmax(axis=1).to_dict() == TRUTH
    workers = pd.read_csv("w.tsv", sep="\t")
    assert list(workers.columns) == ["worker", "skill", "low", "high", "answers"]
    assert list(workers["worker"]) == [f"w{w}" for w in range(5)]
    assert workers["skill"].between(0, 1).all()
    assert (workers["answers"] == 12).all()


def test_a_method_without_skills_leaves_the_column_empty_and_says_so(folder: Path) -> None:
    result = call("aggregate", "answers.csv", "--method", "ds", "-o", "l.csv", "--workers", "w.csv")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: method 'ds' gives no skills: that column is empty.\n")
    assert pd.read_csv("w.csv")["skill"].isna().all()


def test_gold_labels_are_kept(folder: Path) -> None:
    flipped = {"t0": "yes", "t1": "no"}
    (folder / "gold.csv").write_text("task,label\nt0,yes\nt1,no\nt2,\n")
    result = call("aggregate", "answers.csv", "--gold", "gold.csv")
    assert (result.exit_code, result.stderr) == (0, "")
    assert dict(table(result.stdout).to_numpy()) == TRUTH | flipped


def test_gold_whose_types_differ_from_the_answers_is_matched_by_how_it_is_written(
    folder: Path,
) -> None:
    frame = answers().replace({"no": "0", "yes": "1"})
    frame.loc[len(frame)] = ["t0", "w9", "x"]  # the label column is text, gold's is numbers
    frame["task"] = frame["task"].str[1:]
    (folder / "answers.csv").write_text(csv(frame))
    (folder / "gold.csv").write_text("task,label\n0,1\n1,0\n")
    result = call("aggregate", "answers.csv", "--gold", "gold.csv")
    assert (result.exit_code, result.stderr) == (0, "")
    labels = table(result.stdout).set_index("task")["label"]
    assert (labels[0], labels[1], labels[2]) == (1, 0, 0)


@pytest.mark.parametrize("label", ["N/A", "-1", "99"])
def test_labels_that_may_be_missing_answers_are_left_out_by_an_option(folder: Path, label) -> None:
    rows = [f"t{i % 4},w{i % 3},{[label, '0', '1'][i % 3]}" for i in range(12)]
    (folder / "doubtful.csv").write_text("\n".join(["task,worker,label", *rows]) + "\n")
    result = call("aggregate", "doubtful.csv")
    said = f": --abstain={label}; if (not|it is a class), nothing has to change."
    assert re.search(said, result.stderr), result.stderr
    assert "classes=" not in result.stderr


@pytest.mark.parametrize("name", ["gold.json", "gold.xlsx"])
def test_gold_may_be_json_or_a_workbook(folder: Path, name: str) -> None:
    gold = pd.DataFrame({"item": ["t0", "t1"], "label": ["yes", "no"]})
    gold.to_excel(name, index=False) if name.endswith("x") else gold.to_json(name, orient="records")
    result = call("aggregate", "answers.csv", "--gold", name, "--gold-task", "item")
    assert (result.exit_code, result.stderr) == (0, "")
    assert dict(table(result.stdout).to_numpy()) == TRUTH | {"t0": "yes", "t1": "no"}
    (folder / "gold.json").write_text('{"t0": "yes"}')
    said = failed(call("aggregate", "answers.csv", "--gold", "gold.json"), 1)
    assert "gold.json holds no known labels. Give a table with columns task, label." in said


def test_shares_of_classes_are_named_as_the_shell_takes_them(folder: Path) -> None:
    asked = ("aggregate", "answers.csv", "-o", "labels.csv", "--set")
    said = failed(call(*asked, "class_balance=rare"), 2)
    example = re.search(r"such as (\{.*?\})", said)
    assert example is not None, said
    assert call(*asked, f"class_balance={example[1]}").exit_code == 0


def test_words_that_look_alike_are_put_right_in_the_file(folder: Path) -> None:
    (folder / "answers.csv").write_text(csv(answers().replace("no", "Yes ")))
    result = call("aggregate", "answers.csv")
    assert "If they are meant as one, write them alike in the file.\n" in result.stderr


def test_gold_of_tasks_without_answers_is_a_warning(folder: Path) -> None:
    (folder / "gold.csv").write_text("task,label\nt0,no\nelsewhere,no\n")
    result = call("aggregate", "answers.csv", "--gold", "gold.csv")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: --gold names 1 task without answers ('elsewhere')")


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ("task,label\nt0,maybe\n", "'maybe'"),
        ("task,truth\nt0,no\n", "label"),
        ("task,label\nt0,no\nt0,yes\n", "two gold labels ('t0')"),
        ("task,label\n,no\n", "column 'task' is missing in 1 row. Drop or repair"),
    ],
)
def test_bad_gold(folder: Path, gold: str, said: str) -> None:
    (folder / "gold.csv").write_text(gold)
    assert said in failed(call("aggregate", "answers.csv", "--gold", "gold.csv"), 1)


def test_a_column_of_gold_among_the_answers_is_read_where_it_is_named(folder: Path) -> None:
    frame = answers()
    frame["gold"] = frame["task"].map({"t0": "yes", "t1": "no"})
    (folder / "answers.csv").write_text(csv(frame))
    ignored = call("aggregate", "answers.csv")
    assert (ignored.exit_code, dict(table(ignored.stdout).to_numpy())) == (0, TRUTH)
    assert "column 'gold' is not read." in ignored.stderr
    options = re.search(r"add (--gold .*)\.$", ignored.stderr.strip())
    assert options is not None
    read = call("aggregate", "answers.csv", *options[1].split())
    assert (read.exit_code, read.stderr) == (0, "")
    assert dict(table(read.stdout).to_numpy()) == TRUTH | {"t0": "yes", "t1": "no"}


def test_a_column_of_gold_of_a_wide_table_is_no_source(folder: Path) -> None:
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(
        {judge: rng.choice(["yes", "no"], 40) for judge in ("gpt", "bert", "llama")}
    )
    wide["human"] = pd.Series(rng.choice(["yes", "no"], 40)).where(wide.index < 12)
    wide.rename_axis("id").to_csv("wide.csv")
    gold = ("--gold", "wide.csv", "--gold-label", "human", "--gold-task", "id")
    done = call("aggregate", "wide.csv", *gold, "-o", "labels.csv", "--workers", "workers.csv")
    assert done.exit_code == 0, done.output
    assert "column 'human' holds known labels (--gold-label), and is no source" in done.stderr
    assert pd.read_csv("workers.csv")["worker"].tolist() == ["gpt", "bert", "llama"]
    labels = pd.read_csv("labels.csv", index_col="task")["label"]
    assert labels.loc[:11].tolist() == wide["human"].iloc[:12].tolist()
    assert len(labels) == 40


def test_a_column_of_gold_that_is_named_is_never_replaced_by_another(folder: Path) -> None:
    said = failed(
        call("aggregate", "answers.csv", "--gold", "answers.csv", "--gold-label", "glod"), 1
    )
    assert "missing columns 'glod'" in said
    assert "add --gold FILE" in failed(call("aggregate", "answers.csv", "--gold-label", "label"), 2)


def test_a_missing_label_is_an_error_that_names_the_option(folder: Path) -> None:
    frame = answers()
    frame.loc[frame["task"] == "t3", "label"] = None
    (folder / "answers.csv").write_text(csv(frame))
    said = failed(call("aggregate", "answers.csv", "-o", "labels.csv"), 1)
    assert "column 'label' is missing in 5 of 60 rows" in said
    assert "--missing drop" in said
    assert not (folder / "labels.csv").exists()


@pytest.mark.parametrize("method", ["deem", "mv"])
def test_dropped_labels_leave_a_task_with_no_label(folder: Path, method: str) -> None:
    frame = answers()
    frame.loc[frame["task"] == "t3", "label"] = None
    (folder / "answers.csv").write_text(csv(frame))
    arguments = ["--missing", "drop", "--proba", "p.csv", "--method", method]
    result = call("aggregate", "answers.csv", *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("warning: 1 task has no answers") == 1
    labels = table(result.stdout).set_index("task")["label"]
    assert pd.isna(labels.pop("t3"))
    assert labels.to_dict() == {task: label for task, label in TRUTH.items() if task != "t3"}
    assert list(pd.read_csv("p.csv")["task"]) == list(TRUTH)


def test_repeated_answers(folder: Path) -> None:
    frame = pd.DataFrame(
        [["a", "w", "x"], ["a", "w", "y"], ["b", "w", "y"], ["b", "v", "y"]],
        columns=["task", "worker", "label"],
    )
    (folder / "answers.csv").write_text(csv(frame))
    for rule, label in (("last", "y"), ("first", "x")):
        result = call("aggregate", "answers.csv", "--method", "mv", "--duplicates", rule)
        assert result.exit_code == 0, result.stderr
        assert result.stderr.startswith("warning: ")
        assert table(result.stdout).set_index("task")["label"]["a"] == label
    failed(call("aggregate", "answers.csv", "--duplicates", "error"), 1)


def test_no_answers_at_all_is_an_empty_result(folder: Path) -> None:
    for method in ("deem", "ds"):
        result = call("aggregate", "-", "--method", method, stdin="task,worker,label\n")
        assert (result.exit_code, result.stdout) == (0, "task,label\n")


def test_a_missing_column_names_what_is_there_and_the_form_expected(folder: Path) -> None:
    (folder / "wide.csv").write_text("task,w1,w2\nt1,a,b\n")
    said = failed(call("aggregate", "wide.csv"), 1)
    for word in ("wide.csv", "worker", "label", "w1", "one column a worker", "--adapter wide"):
        assert word in said


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


def test_classes_that_cannot_be_columns(folder: Path) -> None:
    (folder / "answers.csv").write_text("task,worker,label\n1,1,task\n2,1,worker\n")
    said = failed(call("aggregate", "answers.csv", "--proba", "p.csv", "-o", "l.csv"), 1)
    assert "cannot be names of columns" in said


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


# -------------------------------------------------------------------- compare


def test_compare_with_gold(folder: Path) -> None:
    gold = pd.DataFrame({"task": list(TRUTH), "label": list(TRUTH.values())})
    (folder / "gold.csv").write_text(csv(gold))
    result = call(
        "compare", "answers.csv", "--gold", "gold.csv", "--methods", "deem,kos,gold-mv,mv"
    )
    assert result.exit_code == 0, result.stderr
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    for heading in ("accuracy", "log-loss", "seconds", "error", "12 tasks with gold"):
        assert heading in result.stdout
    assert "1.0000 *" in rows["deem"]
    assert "1.0000 *" in rows["mv"]
    assert "TypeError" in rows["gold-mv"]  # it wants gold to learn from; a row, not the end


def test_compare_without_gold(folder: Path) -> None:
    result = call("compare", "answers.csv", "--methods", "deem,ds")
    assert result.exit_code == 0, result.stderr
    assert "agrees with mv" in result.stdout
    assert "agrees with deem" in result.stdout
    assert "accuracy" not in result.stdout
    assert "mv" not in [line.split()[0] for line in result.stdout.splitlines() if line.strip()]


def test_sources_that_repeat_one_another_are_said(folder: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=300)
    judges = {f"judge-{i}": np.where(rng.random(300) < 0.75, truth, 1 - truth) for i in range(5)}
    one = np.where(rng.random(300) < 0.6, truth, 1 - truth)
    judges |= {f"prompt-{c}": np.where(rng.random(300) < 0.95, one, 1 - one) for c in "abc"}
    wide = pd.DataFrame(judges).rename_axis("task").reset_index()
    wide.melt("task", var_name="worker", value_name="label").to_csv("judges.csv", index=False)
    said = call("aggregate", "judges.csv", "-o", "labels.csv").stderr
    assert (
        "warning: Workers prompt-a, prompt-b and prompt-c repeat one another: they agree more than"
        in said
    )
    summary = call("aggregate", "judges.csv", "-o", "labels.csv", "--summary").stderr
    assert "warning" not in summary
    assert "! Workers prompt-a, prompt-b and prompt-c repeat one another" in summary
    assert (
        "repeat" not in call("aggregate", "judges.csv", "-o", "labels.csv", "--method", "mv").stderr
    )


def test_a_method_agrees_with_itself_and_ties_are_explained(folder: Path) -> None:
    answers = pd.DataFrame(
        [(1, "a", "x"), (1, "b", "y"), (2, "a", "x"), (2, "b", "x"), (3, "a", "y"), (3, "c", "y"), (4, "c", "x")],
        columns=["task", "worker", "label"],
    )  # fmt: skip
    answers.to_csv("tied.csv", index=False)
    result = call("compare", "tied.csv", "--methods", "mv,deem,wawa")
    rows = dict(re.findall(r"^ *(\w+) +([\d.]+) ", result.stdout, re.M))
    assert rows["mv"] == "1.0000"
    assert "The votes of 1 of 4 tasks are tied" in result.stdout
    answers[1:].to_csv("settled.csv", index=False)
    result = call("compare", "settled.csv", "--methods", "deem,mv")
    rows = dict(re.findall(r"^ *(\w+) +([\d. ]+) ", result.stdout, re.M))
    assert rows["mv"].split()[0] == rows["deem"].split()[1] == "1.0000"
    assert "No votes are tied." in result.stdout


def test_compare_refuses_what_it_cannot_do(folder: Path) -> None:
    failed(call("compare", "answers.csv", "--methods", "deem,nobody"), 2)
    failed(call("compare", "answers.csv", "--methods", " , "), 2)
    failed(call("compare", "-", stdin="task,worker,label\n"), 1)


# ------------------------------------------------------------ plugins and demo


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


def test_demo(folder: Path) -> None:
    result = call("demo", "--seed", "1")
    assert (result.exit_code, result.stderr) == (0, "")
    for word in ("digits", "breast-cancer", "wine", "deem", "ds", "mv", "log-loss"):
        assert word in result.stdout
    assert result.stdout.count(" *") >= 9  # a best one in each column of each table


# ----------------------------------------------------------------- the process


def test_version_and_help(folder: Path) -> None:
    assert call("--version").stdout == f"deem-crowd {deem_crowd.__version__}\n"
    assert call("--help").exit_code == call("aggregate", "--help").exit_code == 0
    assert call().exit_code == 2
    assert "benchmark" in call("--help").stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['deem-crowd', '--help']\n"
        "from deem_crowd.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'pandas', 'numpy', 'sklearn', 'crowdkit'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_statuses_of_the_real_command(folder: Path) -> None:
    assert really("aggregate", "nowhere.csv").returncode == 1
    assert really("aggregate").returncode == 2
    done = really("--debug", "aggregate", "nowhere.csv")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals and pipes")
def test_an_interrupt_ends_with_130_and_leaves_nothing(folder: Path) -> None:
    command = [sys.executable, "-m", "deem_crowd.cli", "aggregate", "-", "-o", "labels.csv"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, encoding="utf-8", **pipes) as process:  # type: ignore[call-overload]
        assert process.stdin is not None
        process.stdin.write(
            "task,worker,label\n" * 20_000
        )  # more than a pipe holds: it is reading now
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        process.stdin.close()
        process.stdin = None
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err == "error: interrupted\n"
    assert sorted(path.name for path in folder.iterdir()) == ["answers.csv"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals and pipes")
def test_a_reader_that_leaves_is_no_error(folder: Path) -> None:
    many = pd.DataFrame({"task": range(60_000), "worker": [1, 2] * 30_000, "label": "yes"})
    (folder / "answers.csv").write_text(csv(many))
    command = ["-m", "deem_crowd.cli", "aggregate", "answers.csv", "--method", "mv"]
    reading, writing = os.pipe()
    process = processes.start(*command, stdout=writing)
    os.close(writing)
    with open(reading, "rb") as output:
        assert output.readline() == b"task,label\n"
    _, said = process.wait()
    assert said == ""


def test_a_terminal_that_knows_only_ascii(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("PYTHONUTF8", "0")
    done = fresh("compare", "answers.csv", "--methods", "mv,gold-mv")
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------- what Python has, in files


def test_confusion_matrices_intervals_and_a_summary(folder: Path) -> None:
    frame = pd.read_csv(folder / "answers.csv")
    fitted = DEEMAggregator().fit(frame)
    result = call(
        "aggregate",
        "answers.csv",
        "-o",
        "labels.csv",
        "--errors",
        "errors.csv",
        "--workers",
        "workers.csv",
        "--summary",
    )
    assert result.exit_code == 0, result.stderr
    errors = pd.read_csv(folder / "errors.csv").set_index(["worker", "label"])
    assert errors.to_numpy() == pytest.approx(fitted.errors_.to_numpy())
    assert errors.index.tolist() == fitted.errors_.index.tolist()
    assert errors.groupby("worker").sum().to_numpy() == pytest.approx(1.0)
    workers = pd.read_csv(folder / "workers.csv").set_index("worker")
    expected = fitted.skill_intervals_.loc[workers.index]
    assert workers[["low", "high"]].to_numpy() == pytest.approx(expected.to_numpy())
    assert ((workers["low"] <= workers["skill"]) & (workers["skill"] <= workers["high"])).all()
    assert fitted.summary().splitlines()[0] in result.stderr
    assert f"Written: errors.csv ({len(errors)} rows)" in result.stderr


def test_a_method_without_confusion_matrices_says_so(folder: Path) -> None:
    said = failed(call("aggregate", "answers.csv", "--method", "mv", "--errors", "e.csv"), 1)
    assert "gives no confusion matrices: leave out --errors" in said
    assert not (folder / "e.csv").exists()
    said = failed(call("aggregate", "answers.csv", "--method", "mv", "--summary"), 2)
    assert "--summary" in said


def test_a_device_takes_a_table_without_a_format(folder: Path) -> None:
    result = call("aggregate", "answers.csv", "-o", os.devnull, "--workers", "w.csv")
    assert result.exit_code == 0
    assert not Path(os.devnull).is_file()
    assert len(pd.read_csv("w.csv")) == 5
    assert call("aggregate", "answers.csv", "-o", str(folder)).exit_code != 0
    assert folder.is_dir()


def test_the_column_of_known_labels_is_found_in_a_wide_table(folder: Path) -> None:
    wide = answers().pivot(index="task", columns="worker", values="label").add_prefix("Grader ")
    wide["Teacher"] = pd.Series(TRUTH).head(6)
    wide.reset_index(names="essay").to_csv("wide.csv", index=False)
    workers = "workers=" + ",".join(f"Grader w{w}" for w in range(5))
    asked = ("aggregate", "wide.csv", "--adapter", "wide", "--adapter-set", workers)
    asked = (*asked, "-o", "labels.csv", "--gold", "wide.csv", "--gold-label", "Teacher")
    said = call(*asked)
    assert said.exit_code == 1
    assert "missing columns 'task'" in said.stderr
    assert "--gold-task" in said.stderr
    assert call(*asked, "--gold-task", "essay").exit_code == 0
    assert len(pd.read_csv("labels.csv")) == 12


def test_scores_may_be_named_as_labels_are(folder: Path) -> None:
    draw = np.random.default_rng(0)
    rows = [(t, w, round(float(draw.normal(t % 2, 0.3)), 2)) for t in range(30) for w in "abc"]
    pd.DataFrame(rows, columns=["essay", "grader", "points"]).to_csv("scores.csv", index=False)
    asked = (
        "aggregate",
        "scores.csv",
        "--adapter",
        "scores",
        "--task",
        "essay",
        "--worker",
        "grader",
    )
    named = call(*asked, "--label", "points")
    assert named.exit_code == 0, named.stderr
    assert named.stdout == call(*asked, "--adapter-set", "score=points").stdout


def test_a_pipe_takes_the_format_that_is_asked_for(folder: Path) -> None:
    os.mkfifo("pipe")
    for format, first in ((None, "task,label"), ("tsv", "task\tlabel"), ("jsonl", '{"task": "t0"')):
        got: list[str] = []

        def read(got: list[str] = got) -> None:
            got.append(Path("pipe").read_text())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        asked = [] if format is None else ["--format", format]
        write_table(answers(), folder / f"answers.{format or 'csv'}")
        done = call("aggregate", f"answers.{format or 'csv'}", "-o", "pipe", *asked)
        assert done.exit_code == 0, done.stderr
        reader.join(20)
        assert got[0].startswith(first)


@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "an ordered categorical"])
def test_ratings_have_their_median_and_mean_beside_the_label(folder: Path, asked: bool) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 6, size=40)
    frame = pd.DataFrame(
        {
            "task": np.repeat(np.arange(40), 4),
            "worker": np.tile(np.arange(4), 40),
            "label": np.clip(np.repeat(truth, 4) + rng.integers(-1, 2, size=160), 1, 5),
        }
    )
    by_name = pd.Categorical(frame["label"].astype(str), list("12345"), ordered=True)
    (frame if asked else frame.assign(label=by_name)).to_parquet("ratings.parquet")
    order = ("--set", "ordered=true") if asked else ()
    result = call("aggregate", "ratings.parquet", "-o", "labels.csv", *order)
    assert result.exit_code == 0, result.stderr
    fitted = DEEMAggregator(ordered=True).fit(frame)
    written = pd.read_csv("labels.csv", index_col="task")
    assert written.columns.tolist() == ["label", "median", "mean"]
    for name, expected in (
        ("label", fitted.labels_), ("median", fitted.median_), ("mean", fitted.mean_),
    ):  # fmt: skip
        assert written[name].to_numpy() == pytest.approx(expected.to_numpy(dtype=float)), name
    assert (
        call("aggregate", "ratings.parquet", "-o", "names.csv", "--set", "ordered=false").exit_code
        == 0
    )
    assert pd.read_csv("names.csv").columns.tolist() == ["task", "label"]


def test_contested_ratings_are_blank_in_all_columns(folder: Path) -> None:
    rng = np.random.default_rng(1)
    answers = rng.integers(1, 6, size=(30, 3))
    frame = pd.DataFrame(answers).stack().reset_index()
    frame.set_axis(["task", "worker", "label"], axis=1).to_csv("ratings.csv", index=False)
    line = ("aggregate", "ratings.csv", "-o", "labels.csv", "--set", "ordered=true")
    assert call(*line, "--contested", "missing").exit_code == 0
    blank = pd.read_csv("labels.csv", index_col="task").isna()
    assert blank["label"].any()
    assert (blank.all(axis=1) == blank.any(axis=1)).all()


def test_numbers_that_show_no_label_may_be_ratings(folder: Path) -> None:
    rng = np.random.default_rng(2)
    seen = rng.uniform(5, 95, size=60)[:, None] + rng.normal(0, 8, size=(60, 4))
    frame = pd.DataFrame(seen.round().astype(int)).stack().reset_index()
    frame.set_axis(["task", "worker", "label"], axis=1).to_csv("ratings.csv", index=False)
    said = call("aggregate", "ratings.csv", "-o", "labels.csv")
    assert "show no label" in said.stderr
    assert "if they are ratings, pass --set ordered=true" in said.stderr.replace("\n", " ")
    both = call("aggregate", "ratings.csv", "-o", "labels.csv", "--summary").stderr
    assert both.count("if they are ratings") == 1
