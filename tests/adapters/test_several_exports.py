"""Exports in several files: people and tasks that are the same in all of them, and those that are not."""

from __future__ import annotations

from pathlib import Path

import deem_crowd_adapters as adapters
import pytest
from by_hand import triples
from label_tools import choice, label_studio, label_studio_min, prodigy_choice, read, written

from deem_crowd.exceptions import DataError, DataWarning


def test_numbered_annotators_of_several_files_are_different_people(tmp_path: Path) -> None:
    first, second = label_studio_min()[::2], label_studio_min()[::2]
    for row in second:
        row["sentiment"] = "pos"
    paths = [written(tmp_path, "one.json", first), written(tmp_path, "two.json", second)]
    export, said = read(paths)
    assert set(export.answers["worker"]) == {"one/1", "two/1"}
    assert set(export.answers["task"]) == {11, 12}
    assert "1 annotator id found in several files (1)" in said


def test_numbers_that_are_text_in_one_of_the_files_are_the_same_ids(tmp_path: Path) -> None:
    """In a column of a CSV one other entry makes text of all numbers."""
    names = "annotation_id,annotator,id,sentiment,text\n"
    for file, other in (("a", "2"), ("b", "ann@lab.org")):
        rows = [(1, t, "pos") for t in (5, 6)] + [(other, 5, "pos"), (other, 6, "neg")]
        text = "".join(f"{i},{who},{t},{label},x{t}\n" for i, (who, t, label) in enumerate(rows))
        (tmp_path / f"{file}.csv").write_text(names + text)
    export, said = read([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert set(export.answers["worker"]) == {"a/1", "2", "b/1", "ann@lab.org"}
    assert "1 annotator id found in several files ('1')" in said


def test_tasks_that_are_text_in_one_of_the_files_are_shared(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("task,worker,label\n1,ann,x\n2,ann,y\n")
    (tmp_path / "b.csv").write_text("task,worker,label\n1,bob,x\n2,bob,y\nlast,bob,y\n")
    export, said = read([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert export.answers["task"].tolist() == ["1", "2", "1", "2", "last"]
    assert said == ""


def test_columns_that_are_text_in_one_of_the_files_meet_where_they_are_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.csv").write_text("item,worker,label\n1,ann,0\n2,ann,\n")
    (tmp_path / "b.csv").write_text("item,worker,label\n1,bob,0\nlast,bob,unsure\n")
    with pytest.warns(DataWarning, match="unsure"):
        found = adapters.to_answers(
            [tmp_path / "a.csv", tmp_path / "b.csv"], task="item", missing="drop"
        )
    assert found.to_frame().to_numpy().tolist() == [
        ["1", "ann", "0"], ["1", "bob", "0"], ["last", "bob", "unsure"],
    ]  # fmt: skip


def test_a_file_among_several_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in paths:
        path.write_text("item,worker,verdict\n1,ann,x\n1,bob,y\n")
    said = r"any other of the 2 files\. If these .* columns=\{'task': 'item', 'label': 'verdict'\}"
    with pytest.raises(DataError, match=said):
        adapters.read_export(paths)
    for path in paths:
        path.write_text("item,who,said\n1,ann,x\n1,bob,y\n2,ann,y\n2,bob,x\n")
    with pytest.raises(DataError, match=r"any other of the 2 files\..* name these: task=…, "):
        adapters.read_export(paths)
    paths[1].write_text("item,worker,verdict\n1,ann,x\n1,bob,y\n")
    paths[0].write_text("task,worker,label\n1,cid,x\n")
    with pytest.raises(
        DataError,
        match=r"b.csv is .* Rename its columns \('item' to 'task', 'verdict' to 'label'\)",
    ):
        adapters.read_export(paths)


def test_e_mail_addresses_are_the_same_person_in_every_file(tmp_path: Path) -> None:
    records = label_studio()
    for record in records:
        record["annotations"] = record["annotations"][:1]
    paths = [written(tmp_path, "one.json", records[:1]), written(tmp_path, "two.json", records[1:])]
    export, said = read(paths)
    assert set(export.answers["worker"]) == {"ann@lab.org"}
    assert "no task is shared" in said


def test_tasks_with_the_same_data_under_other_ids_are_one(tmp_path: Path) -> None:
    first, second = label_studio(), label_studio()
    for record in second:
        record["id"] += 100
        record["annotations"] = [{"completed_by": "zoe", "result": [choice("sentiment", "pos")]}]
    export, said = read([written(tmp_path, "a.json", first), written(tmp_path, "b.json", second)])
    assert set(export.answers["task"]) == {11, 12}
    assert "same data are taken for one (2 of them)" in said


def test_equal_ids_of_different_data_are_different_tasks(tmp_path: Path) -> None:
    first, second = label_studio(), label_studio()
    for record in second:
        record["data"] = {"text": f"another text {record['id']}"}
    export, _ = read([written(tmp_path, "a.json", first), written(tmp_path, "b.json", second)])
    assert export.answers["task"].nunique() == 4


def test_a_folder_a_pattern_and_a_list_name_the_same_files(tmp_path: Path) -> None:
    rows = prodigy_choice()
    for i in range(2):
        written(tmp_path, f"p{i}.jsonl", rows[i::2])
    (tmp_path / "README").write_text("not an export")
    (tmp_path / "settings.json").write_text('{"questions": []}')
    folder, _ = read(tmp_path)
    pattern, _ = read(str(tmp_path / "p*.jsonl"))
    listed, _ = read([tmp_path / "p0.jsonl", tmp_path / "p1.jsonl"])
    assert triples(folder.answers) == triples(pattern.answers) == triples(listed.answers)
    with pytest.raises(FileNotFoundError):
        adapters.read_export(str(tmp_path / "q*.jsonl"))
    inner = tmp_path / "inner"
    inner.mkdir()
    for i in range(2):
        (tmp_path / f"p{i}.jsonl").rename(inner / f"p{i}.jsonl")
    nested, _ = read(tmp_path)
    assert triples(nested.answers) == triples(folder.answers)


def test_files_of_two_tools_are_not_mixed(tmp_path: Path) -> None:
    paths = [
        written(tmp_path, "a.json", label_studio()),
        written(tmp_path, "b.jsonl", prodigy_choice()),
    ]
    with pytest.raises(DataError, match="different kinds: 'Label Studio JSON', 'Prodigy"):
        adapters.read_export(paths)


def test_a_file_for_each_annotator(tmp_path: Path) -> None:
    (tmp_path / "ann.csv").write_text("task,label\n1,a\n2,b\n")
    (tmp_path / "bob.csv").write_text("task,label\n1,a\n2,a\n")
    answers = adapters.to_answers(tmp_path)
    expected = {(1, "ann", "a"), (2, "ann", "b"), (1, "bob", "a"), (2, "bob", "a")}
    assert triples(answers.to_frame()) == expected


@pytest.mark.parametrize("name", ["gold.csv", "ground_truth.csv"])
def test_a_file_of_true_labels_beside_those_of_annotators_is_gold(
    tmp_path: Path, name: str
) -> None:
    for file, rows in (("ann.csv", "1,x\n2,y\n"), ("bob.csv", "1,x\n2,x\n"), (name, "2,y\n3,x\n")):
        (tmp_path / file).write_text(f"task,label\n{rows}")
    with pytest.warns(
        DataWarning,
        match=rf"left out: labels of '{name}', which by its name holds known labels .*\(2\)",
    ):
        export = adapters.read_export(tmp_path)
    assert triples(export.answers) == {
        (1, "ann", "x"), (2, "ann", "y"), (1, "bob", "x"), (2, "bob", "x"),
    }  # fmt: skip
    assert export.gold.to_dict() == {2: "y", 3: "x"}


def test_files_that_are_all_called_gold_are_of_annotators(tmp_path: Path) -> None:
    """Who has gold standards of several experts has no known labels beside them."""
    for name, rows in (("gold_ann.csv", "1,x\n2,y\n"), ("gold_bob.csv", "1,x\n2,x\n")):
        (tmp_path / name).write_text(f"task,label\n{rows}")
    answers = adapters.to_answers(tmp_path)
    assert triples(answers.to_frame()) == {
        (1, "gold_ann", "x"), (2, "gold_ann", "y"), (1, "gold_bob", "x"), (2, "gold_bob", "x"),
    }  # fmt: skip


def test_a_column_that_says_the_same_of_a_task_in_every_file_is_no_annotator(
    tmp_path: Path,
) -> None:
    """The author of a text stands beside it in the files of all annotators."""
    for name, labels in (("alice", "ynynynynyn"), ("bob", "yynynynnyn")):
        rows = "".join(f"{i},u{i},{label}\n" for i, label in enumerate(labels))
        (tmp_path / f"{name}.csv").write_text("id,user,label\n" + rows)
    export, _ = read([tmp_path / "alice.csv", tmp_path / "bob.csv"])
    assert len(export.answers) == 20
    assert set(export.answers["worker"]) == {"alice", "bob"}


@pytest.mark.parametrize("name", ["rated_by", "wer"])
def test_files_in_which_a_column_tells_the_answers_to_a_task_apart_are_not_an_annotators_each(
    tmp_path: Path, name: str
) -> None:
    paths = [tmp_path / "day1.csv", tmp_path / "day2.csv"]
    for path, tasks in zip(paths, ("12", "34"), strict=True):
        rows = [f"{t},{who},{'ab'[int(t) % 2]}\n" for t in tasks for who in ("ann", "bob")]
        path.write_text(f"task,{name},label\n" + "".join(rows))
    with pytest.raises(DataError, match=f"{name}.*") as refused:
        adapters.to_answers(paths)
    assert ("'worker': 'rated_by'" in str(refused.value)) == (name == "rated_by")
    found = adapters.to_answers(paths, worker=name)
    assert (found.workers.tolist(), found.n_answers) == (["ann", "bob"], 8)


def test_files_of_an_annotator_each_may_hold_other_columns_and_a_task_twice(tmp_path: Path) -> None:
    """Notes and times tell rows apart, too, but do not come again with other tasks."""
    for who in ("ann", "bob"):
        rows = [f"{t},{'ab'[t % 2]},{i}:00,sure\n" for i, t in enumerate((1, 2, 3, 3))]
        (tmp_path / f"{who}.csv").write_text("task,label,time,notes\n" + "".join(rows))
    with pytest.warns(DataWarning, match="2 answers repeat"):
        found = adapters.to_answers([tmp_path / "ann.csv", tmp_path / "bob.csv"])
    assert found.workers.tolist() == ["ann", "bob"]
