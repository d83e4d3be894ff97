"""True labels that the export of a tool holds are known labels in the shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from deem_crowd import DEEMAggregator
from deem_crowd.cli.app import app
from deem_crowd.exceptions import DataWarning

pytestmark = pytest.mark.usefixtures("same_fits_once")

N = 40


def run(*asked: str | Path) -> Result:
    return CliRunner().invoke(app, [str(each) for each in asked])


def annotation(worker: int, label: str, **more: Any) -> dict[str, Any]:
    result = {"from_name": "mood", "type": "choices", "value": {"choices": [label]}}
    return {"completed_by": worker, "result": [result], **more}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Three people guess, and the expert, worker 9, says what is true of every other task."""
    draw = np.random.default_rng(3)
    truth = draw.integers(2, size=N)
    right = [0.9, 0.6, 0.45]
    records = []
    for task in range(N):
        given = [
            annotation(worker, str(truth[task] ^ (draw.random() > skill)))
            for worker, skill in enumerate(right)
        ]
        if task % 2:
            given.append(annotation(9, str(truth[task]), ground_truth=True))
        records.append({"id": task, "data": {"text": f"text {task}"}, "annotations": given})
    path = tmp_path / "x.json"
    path.write_text(json.dumps(records))
    return path


@pytest.mark.parametrize("adapter", [[], ["--adapter", "label-studio"]], ids=["any", "named"])
def test_ground_truth_of_label_studio_is_known(
    export: Path, tmp_path: Path, adapter: list[str]
) -> None:
    done = run("aggregate", export, *adapter, "--proba", tmp_path / "p.csv")
    assert done.exit_code == 0
    said = [line for line in done.stderr.splitlines() if "holds the true labels" in line]
    assert len(said) == 1
    assert "holds the true labels of 20 tasks, which are used as known labels" in said[0]
    held = adapters.read_export(export)
    model = DEEMAggregator().fit(adapters.to_answers(export), gold=held.gold)
    given = pd.read_csv(tmp_path / "p.csv", index_col="task")
    np.testing.assert_allclose(given.to_numpy(), model.probas_.loc[given.index].to_numpy())
    unaware = DEEMAggregator().fit(adapters.to_answers(export)).probas_
    assert abs(given.to_numpy() - unaware.loc[given.index].to_numpy()).max() > 0.01


def test_what_is_marked_as_true_is_no_answer(export: Path) -> None:
    held = adapters.read_export(export)
    assert set(held.answers["worker"]) == {0, 1, 2}
    assert len(held.answers) == 3 * N
    assert sorted(held.gold.index) == list(range(1, N, 2))
    assert held.left_out == {
        "answers marked as ground truth, which are used as known labels, not as answers": N // 2
    }


def test_the_author_of_true_labels_is_no_better_than_on_other_tasks(tmp_path: Path) -> None:
    """Where all that is true is one author's, that author's skill is what it is without these answers."""
    draw = np.random.default_rng(8)
    truth = draw.integers(2, size=N)
    records, marked = [], []
    for task in range(N):
        given = [annotation(w, str(truth[task] ^ (draw.random() > 0.8))) for w in range(4)]
        records.append({"id": task, "data": {"text": str(task)}, "annotations": given})
        if task % 4 == 0:
            marked.append(task)
            given[3] = annotation(3, str(truth[task]), ground_truth=True)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(records))
    assert run("aggregate", path, "--workers", tmp_path / "w.csv").exit_code == 0
    for task in marked:
        del records[task]["annotations"][3]
    answers = pd.DataFrame(
        [
            (record["id"], each["completed_by"], each["result"][0]["value"]["choices"][0])
            for record in records
            for each in record["annotations"]
        ],
        columns=["task", "worker", "label"],
    )
    gold = {task: str(truth[task]) for task in marked}
    expected = DEEMAggregator().fit(answers, gold=gold).skills_
    skills = pd.read_csv(tmp_path / "w.csv", index_col="worker")["skill"]
    np.testing.assert_allclose(skills[expected.index], expected)


@pytest.mark.parametrize("split", [False, True], ids=["one file", "two files"])
@pytest.mark.parametrize("days", [[2, 5], [5, 2], [3, 3]])
def test_of_two_true_labels_the_later_counts(
    export: Path, tmp_path: Path, days: list[int], split: bool
) -> None:
    records = json.loads(export.read_text())
    stated = [
        annotation(worker, label, ground_truth=True, updated_at=f"2024-01-0{day}T00:00:00Z")
        for worker, label, day in zip((8, 9), "01", days, strict=True)
    ]
    agreed = [annotation(worker, "1", ground_truth=True) for worker in (8, 9)]
    records[0]["annotations"] += stated
    records[2]["annotations"] += agreed
    paths = [export]
    if split:
        records[0]["annotations"].pop()
        again = {"id": 0, "data": {"text": "text 0"}, "annotations": [stated[1]]}
        paths.append(tmp_path / "y.json")
        paths[1].write_text(json.dumps([again]))
    export.write_text(json.dumps(records))
    with pytest.warns(DataWarning, match=r"true labels of 1 task differ, .* counts \(0\)"):
        held = adapters.read_export(paths)
    assert held.gold[0] == ("0" if days[0] > days[1] else "1")
    assert held.gold[2] == "1"


@pytest.mark.parametrize("multiple", ["error", "drop", "lists"])
def test_a_true_answer_with_several_labels_is_no_answer(export: Path, multiple: Any) -> None:
    records = json.loads(export.read_text())
    truth = annotation(9, "0", ground_truth=True)
    truth["result"][0]["value"]["choices"] = ["0", "1"]
    records[0]["annotations"].append(truth)
    export.write_text(json.dumps(records))
    with pytest.warns(DataWarning, match=r"marked as ground truth that hold several labels \(1\)"):
        held = adapters.read_export(export, multiple=multiple)
    assert set(held.answers["worker"]) == {0, 1, 2}
    assert len(held.answers) == 3 * N
    assert 0 not in held.gold.index


@pytest.fixture
def expert_only(export: Path) -> Path:
    """The same, with two tasks that only the expert answered, and one of these with a label of the expert's own."""
    records = json.loads(export.read_text())
    for task, label in ((3, "1"), (5, "other")):
        records[task]["annotations"] = [annotation(9, label, ground_truth=True)]
    export.write_text(json.dumps(records))
    return export


def test_a_task_that_only_the_expert_answered_has_the_true_label(expert_only: Path) -> None:
    done = run("aggregate", expert_only)
    assert done.exit_code == 0, done.stderr
    assert "no answers" not in done.stderr
    labels = dict(line.split(",") for line in done.stdout.split()[1:])
    assert list(labels) == [str(task) for task in range(N)]
    assert labels["3"] == "1"
    assert labels["5"] == "other"
    assert adapters.to_answers(expert_only).tasks.tolist() == list(range(N))


def test_other_methods_leave_such_a_task_open(expert_only: Path) -> None:
    done = run("aggregate", expert_only, "--method", "mv")
    assert done.exit_code == 0, done.stderr
    assert "2 tasks have no answers: the label is missing (3, 5)" in done.stderr


@pytest.mark.parametrize("command", ["next", "suspects"])
def test_a_task_that_only_the_expert_answered_is_settled(expert_only: Path, command: str) -> None:
    done = run(command, expert_only)
    assert done.exit_code == 0, done.stderr
    assert not {"3", "5"} & {line.split(",")[0] for line in done.stdout.split()[1:]}


def test_methods_are_not_compared_on_tasks_that_only_the_expert_answered(expert_only: Path) -> None:
    done = run("compare", expert_only, "--methods", "mv")
    assert done.exit_code == 0, done.stderr
    assert "18 tasks with gold" in done.stdout


def test_a_file_of_gold_stands_in_place_of_it(export: Path, tmp_path: Path) -> None:
    pd.DataFrame({"task": [0], "label": ["1"]}).to_csv(tmp_path / "gold.csv", index=False)
    done = run("aggregate", export, "--gold", tmp_path / "gold.csv")
    assert done.exit_code == 0
    assert "holds the true labels" not in done.stderr
    assert "\n0,1\n" in done.stdout


def test_a_method_that_learns_from_no_labels_does_without(export: Path) -> None:
    done = run("aggregate", export, "--method", "mv")
    assert done.exit_code == 0
    assert "holds the true labels" not in done.stderr


@pytest.mark.parametrize("command", ["next", "suspects", "compare"])
def test_other_commands_take_it_as_well(export: Path, command: str) -> None:
    done = run(command, export)
    assert done.exit_code == 0
    compared = command == "compare"
    use = (
        "which are what labels are compared with; no fit sees them"
        if compared
        else "which are used as"
    )
    assert done.stderr.count(f"holds the true labels of 20 tasks, {use}") == 1


def test_the_report_compares_with_it(export: Path, tmp_path: Path) -> None:
    done = run("report", export, "-o", tmp_path / "r.html")
    assert done.exit_code == 0
    assert "which are what labels are compared with; no fit sees them" in done.stderr
    assert "20 tasks with gold" in (tmp_path / "r.html").read_text()


GOLDEN = ["a", "zzz", "", "b", "", ""]
"""True label of each task in the file of :func:`toloka`; nobody answers zzz."""


@pytest.fixture
def toloka(tmp_path: Path) -> Path:
    header = "INPUT:text\tOUTPUT:mood\tGOLDEN:mood\tASSIGNMENT:worker_id\tASSIGNMENT:status"
    rows = [
        f"t{task}\t{'ab'[(task + worker) % 3 == 0]}\t{golden}\tw{worker}\tAPPROVED"
        for task, golden in enumerate(GOLDEN)
        for worker in range(3)
    ]
    path = tmp_path / "x.tsv"
    path.write_text("\n".join([header, *rows]))
    return path


def test_a_true_label_that_nobody_gave_is_a_class(toloka: Path, tmp_path: Path) -> None:
    done = run("aggregate", toloka, "--proba", tmp_path / "p.csv")
    assert done.exit_code == 0, done.stderr
    assert "holds the true labels of 3 tasks" in done.stderr
    said = [line for line in done.stderr.splitlines() if "no worker gave" in line]
    assert len(said) == 1
    assert "1 true label is of a class that no worker gave ('zzz')" in said[0]
    assert "--gold FILE" in said[0]
    given = pd.read_csv(tmp_path / "p.csv", index_col="task")
    assert list(given) == ["a", "b", "zzz"]
    for task, label in enumerate(GOLDEN):
        if label:
            assert f"\nt{task},{label}\n" in done.stdout
            assert given.loc[f"t{task}", label] == 1


@pytest.mark.parametrize("how", [["--abstain", "zzz"], ["--gold", "gold.csv"]])
def test_a_true_label_is_no_class_where_others_are_asked_for(
    toloka: Path, how: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toloka.parent)
    Path("gold.csv").write_text("task,label\nt0,a\n")
    done = run("aggregate", toloka, *how)
    assert done.exit_code == 0, done.stderr
    assert "of a class that no worker gave" not in done.stderr
    assert "zzz\n" not in done.stdout


def test_the_comparison_with_true_labels_makes_no_class_of_them(toloka: Path) -> None:
    done = run("compare", toloka, "--methods", "mv")
    assert done.exit_code == 0, done.stderr
    assert "2 classes; 3 tasks with gold" in done.stdout


def test_a_sheet_with_a_column_of_gold_is_not_learned_from(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        draw.integers(2, size=(N, 4)), columns=["ann1", "ann2", "ann3", "gold"]
    ).rename_axis("item_id")
    frame.to_csv(tmp_path / "x.csv")
    done = run("aggregate", tmp_path / "x.csv")
    assert done.exit_code == 0
    assert "holds the true labels" not in done.stderr
