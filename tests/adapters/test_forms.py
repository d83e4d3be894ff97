"""Tables that look wide and are not: what surveys and classroom forms export, and tables with one column a class."""

from __future__ import annotations

import io
import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest
from deem_crowd_adapters.exports import forms
from typer.testing import CliRunner

from deem_crowd import DEEMAggregator
from deem_crowd.cli.app import app
from deem_crowd.exceptions import DataError, DataWarning, FormError, ParameterError

PEOPLE, QUESTIONS = 24, 8


def answers(seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    planets = np.array(["Mars", "Venus", "Saturn"])
    truth = draw.integers(3, size=QUESTIONS)
    given = np.where(
        draw.random((PEOPLE, QUESTIONS)) < 0.7, truth, draw.integers(3, size=(PEOPLE, QUESTIONS))
    )
    return pd.DataFrame(planets[given], columns=[f"G1Q{k:02}" for k in range(QUESTIONS)])


HEADS: dict[str, dict[str, Any]] = {
    "Microsoft Forms": {
        "ID": range(1, PEOPLE + 1),
        "Start time": [f"1/2/24 10:{k:02}:00" for k in range(PEOPLE)],
        "Completion time": [f"1/2/24 10:{k:02}:30" for k in range(PEOPLE)],
        "Email": [f"s{k}@school.org" for k in range(PEOPLE)],
        "Name": [f"Student {k}" for k in range(PEOPLE)],
    },
    "LimeSurvey": {
        "id. Response ID": range(1, PEOPLE + 1),
        "submitdate. Date submitted": "1980-01-01 00:00:00",
        "lastpage. Last page": 3,
        "startlanguage. Start language": "en",
    },
    "SurveyMonkey": {
        "Respondent ID": range(118_000_000, 118_000_000 + PEOPLE),
        "Collector ID": 4001,
        "Email Address": None,
    },
    "Qualtrics": {
        "ResponseId": [f"R_{k}" for k in range(PEOPLE)],
        "RecordedDate": "2024-01-01 10:00:00",
    },
}


@pytest.mark.parametrize("tool", HEADS)
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_form_is_refused_by_the_columns_of_its_tool(tmp_path: Path, tool: str, kind: str) -> None:
    given = answers()
    frame = pd.concat([pd.DataFrame(HEADS[tool], index=given.index), given], axis=1)
    path = tmp_path / f"x.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_excel(path, index=False)
    with pytest.raises(DataError, match=rf"a form of {tool}: one row a person .*format='form'"):
        adapters.to_answers(path)


def test_a_form_of_few_people_is_refused_as_well(tmp_path: Path) -> None:
    given = answers().iloc[:6]
    frame = pd.concat([pd.DataFrame(HEADS["Microsoft Forms"]).iloc[:6], given], axis=1)
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match=r"a form of Microsoft Forms: one row a person"):
        adapters.to_answers(tmp_path / "x.csv")


def test_what_the_message_says_of_a_form_gives_the_answers_of_each_person(tmp_path: Path) -> None:
    given = answers()
    df = pd.concat([pd.DataFrame(HEADS["Microsoft Forms"]), given], axis=1)
    df.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError) as error:
        adapters.to_answers(tmp_path / "x.csv")
    call = str(error.value).split("Read it as one: ")[1].split(" (in the shell")[0]
    with pytest.warns(DataWarning, match="people are column 'Email'"):
        read = eval(call, {"to_answers": adapters.to_answers, "path": tmp_path / "x.csv"})
    found = DEEMAggregator().fit_predict(read)
    assert set(found.index) == set(given.columns)
    votes = given.mode().iloc[0]
    assert (found == votes[found.index]).mean() > 0.7  # the crowd knows most answers


@pytest.mark.parametrize("tool", HEADS)
def test_what_the_shell_says_of_a_form_gives_the_answers_of_each_person(
    tmp_path: Path, tool: str
) -> None:
    given = answers()
    frame = pd.concat([pd.DataFrame(HEADS[tool], index=given.index), given], axis=1)
    path = tmp_path / "x.csv"
    if tool in ("SurveyMonkey", "Qualtrics"):  # which repeat the questions below the header
        lines = [dict.fromkeys(given.columns, "Response")]
        lines += [{c: f'{{"ImportId":"{c}"}}' for c in frame.columns}] * (tool == "Qualtrics")
        frame = pd.concat([pd.DataFrame(lines), frame], ignore_index=True)[list(frame.columns)]
    frame.to_csv(path, index=False)
    refused = CliRunner().invoke(app, ["aggregate", str(path)])
    assert refused.exit_code == 1
    assert "to_answers" not in refused.stderr  # no remedy in Python
    remedy = refused.stderr.split("Read it as one: ")[1].split(". If each row")[0]
    done = CliRunner().invoke(app, ["aggregate", str(path), *shlex.split(remedy)])
    assert done.exit_code == 0, done.stderr
    labels = pd.read_csv(io.StringIO(done.stdout), index_col="task")["label"]
    assert list(labels.index) == list(given.columns)
    assert (labels == given.mode().iloc[0][labels.index]).mean() > 0.7


def test_a_form_in_memory_is_read_with_tasks_and_people_named() -> None:
    given = answers().assign(
        other=["x", "y"] * (PEOPLE // 2), pupil=[f"p{k}" for k in range(PEOPLE)]
    )
    with pytest.warns(DataWarning, match="people are column 'pupil', tasks 'G1Q00', 'G1Q03'"):
        read = adapters.to_answers(given, format="form", worker="pupil", tasks="G1Q00,G1Q03")
    assert list(read.tasks) == ["G1Q00", "G1Q03"]
    assert set(read.workers) == set(given["pupil"])
    for name in ("worker", "tasks"):
        with pytest.raises(ParameterError, match="has no columns 'nobody'"):
            adapters.to_answers(given, format="form", **{name: "nobody"})
    given.loc[3, "pupil"] = None
    with pytest.raises(DataError, match=r"'pupil' is missing in 1 row \(rows 3\)"):
        adapters.to_answers(given, format="form", worker="pupil")


def with_boxes(join: str, end: str = "") -> pd.DataFrame:
    draw = np.random.default_rng(1)
    colours = np.array(["red", "blue", "green", "white", "black"])
    ticks = draw.random((PEOPLE, QUESTIONS, len(colours))) < 0.4
    cells = [[join.join(colours[t]) + end * bool(t.any()) for t in row] for row in ticks]
    return pd.DataFrame(cells, columns=[f"Picture {k}" for k in range(QUESTIONS)])


@pytest.mark.parametrize(
    ("head", "join", "end"),
    [("Microsoft Forms", ";", ";"), ("Google", ";", ""), ("Google", ", ", "")],
    ids=str,
)
def test_check_boxes_are_named_and_kept_or_left_out(
    tmp_path: Path, head: str, join: str, end: str
) -> None:
    given = with_boxes(join, end)
    several = given.map(lambda cell: join in cell.rstrip(";"))
    who = HEADS.get(head) or {
        "Timestamp": [f"2024/01/{k + 1:02} 10:00:00 AM" for k in range(PEOPLE)],
        "Username": [f"s{k}@school.org" for k in range(PEOPLE)],
    }
    path = tmp_path / "x.csv"
    pd.concat([pd.DataFrame(who), given], axis=1).to_csv(path, index=False)
    refused = CliRunner().invoke(app, ["aggregate", str(path)])
    assert refused.exit_code == 1
    assert f"Cells of {QUESTIONS} columns" in refused.stderr
    assert "as check boxes do" in refused.stderr
    with pytest.raises(DataError, match=r"looks like a form.*one question a box"):
        adapters.to_answers(path)
    with pytest.raises(
        DataError, match=rf"{several.sum().sum()} of .* hold several labels"
    ) as error:
        adapters.to_answers(path, format="form")
    call = str(error.value).split("inside, and ")[1].split(" is what it takes")[0]
    with pytest.warns(DataWarning, match="read as a form"):
        lists = eval(call, {"read_export": adapters.read_export, "path": path})
    assert lists["label"].map(len).sum() == sum(len(forms.split(c, join)) for c in given.stack())
    with pytest.warns(DataWarning, match="answers with several labels"):
        kept = adapters.to_answers(path, format="form", multiple="drop")
    assert kept.n_answers == (~several & (given != "")).sum().sum()


def test_texts_with_commas_are_no_check_boxes() -> None:
    assert not forms.boxes(pd.Series(["Yes, a little", "Yes, a lot", "No"] * 8))
    assert not forms.boxes(pd.Series([f"Well; that was number {k}" for k in range(24)]))
    assert not forms.boxes(pd.Series([1.0, 2.0] * 12))


def test_questions_above_the_columns_show_a_form_of_any_tool(tmp_path: Path) -> None:
    given = answers().rename(columns=lambda c: f"Which planet is on picture {c[-2:]}?")
    given.insert(0, "Nr", range(PEOPLE))
    given.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match=r"one row a person \('Nr'\)"):
        adapters.to_answers(tmp_path / "x.csv")
    with pytest.warns(DataWarning, match="tasks are column 'Nr'"):
        assert len(adapters.read_export(tmp_path / "x.csv", "wide", task="Nr").answers)


def test_one_question_above_the_column_of_each_source_is_no_form(tmp_path: Path) -> None:
    given = answers().rename(columns=lambda c: f"Which planet? (rater {c[-2:]})")
    given.insert(0, "item_id", range(PEOPLE))
    given.to_csv(tmp_path / "x.csv", index=False)
    with pytest.warns(DataWarning, match="tasks are column 'item_id'"):
        assert adapters.to_answers(tmp_path / "x.csv").n_workers == QUESTIONS


@pytest.mark.parametrize(
    ("task", "source"),
    [("student_id", "rater_{}"), ("name", "judge{}"), ("email_id", "{}")],
    ids=str,
)
def test_what_raters_rated_is_no_form(tmp_path: Path, task: str, source: str) -> None:
    given = answers().rename(columns=lambda c: source.format(c[-2:]))
    given.insert(0, task, [f"s{k}" for k in range(PEOPLE)])
    given.to_csv(tmp_path / "x.csv", index=False)
    with pytest.warns(DataWarning, match=f"tasks are column '{task}'"):
        assert adapters.to_answers(tmp_path / "x.csv").n_workers == QUESTIONS


def test_a_person_is_called_by_the_e_mail_address_and_not_by_the_time(tmp_path: Path) -> None:
    given = answers()
    given.insert(0, "Timestamp", [f"2024/01/{k + 1:02} 10:00:00 AM" for k in range(PEOPLE)])
    given.insert(1, "Email Address", [f"s{k}@school.org" for k in range(PEOPLE)])
    given.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match=r"one row a person \('Email Address'\)"):
        adapters.to_answers(tmp_path / "x.csv")


@pytest.mark.parametrize("cells", [(0, 1), (False, True), (" 0", " 1")], ids=str)
def test_one_hot_labels_are_no_sources(tmp_path: Path, cells: tuple[Any, Any]) -> None:
    truth = np.random.default_rng(0).integers(3, size=40)
    frame = pd.DataFrame({"filename": [f"{k}.jpg" for k in range(40)]})
    for k, name in enumerate(["cat", "dog", "fox"]):
        frame[name] = [cells[int(t == k)] for t in truth]
    path = tmp_path / "_classes.csv"
    frame.to_csv(path, index=False)
    with pytest.raises(DataError, match=r"add up to 1 in every row, as one-hot labels.*idxmax"):
        adapters.to_answers(path)
    assert pd.read_csv(path)[["cat", "dog", "fox"]].idxmax(axis=1).tolist() == [
        ["cat", "dog", "fox"][t] for t in truth
    ]
    named = adapters.read_export(path, "wide", task="filename", workers="cat,dog,fox")
    assert len(named.answers) == 120  # who names the sources has them


def test_counts_by_class_are_no_sources(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).multinomial(5, [0.5, 0.3, 0.2], size=40)
    frame = pd.DataFrame(counts, columns=["cat", "dog", "fox"]).replace(0, np.nan)
    frame.insert(0, "subject_id", range(40))
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="add up to 5 in every row, as counts of answers") as error:
        adapters.to_answers(tmp_path / "x.csv")
    call = str(error.value).split("label with most votes is ")[1].split(";")[0]
    df, columns = pd.read_csv(tmp_path / "x.csv"), ["cat", "dog", "fox"]
    most = eval(call, {"df": df, "columns": columns})
    votes = [df.loc[row, label] for row, label in most.items()]
    assert votes == df[columns].max(axis=1).tolist()


def test_dates_are_no_labels(tmp_path: Path) -> None:
    given = answers().rename(columns=lambda c: f"rater{c[-1]}")
    given.insert(0, "item_id", range(PEOPLE))
    given["created_at"] = given["updated_at"] = [
        f"2024-01-0{k % 3 + 1}T10:00:00" for k in range(PEOPLE)
    ]
    given.to_csv(tmp_path / "x.csv", index=False)
    with pytest.warns(DataWarning, match="sources 'rater0'"):
        export = adapters.read_export(tmp_path / "x.csv")
    assert set(export.answers["worker"]) == {f"rater{k}" for k in range(QUESTIONS)}
    alone = given[["item_id", "created_at", "updated_at"]]
    alone.to_csv(tmp_path / "y.csv", index=False)
    with pytest.raises(DataError, match="of no format that is known"):
        adapters.read_export(tmp_path / "y.csv")


@pytest.mark.parametrize("cells", [(0, 1), (False, True), ("0", "1")], ids=str)
def test_one_hot_labels_in_memory_raise_a_warning(cells: tuple[Any, Any]) -> None:
    truth = np.random.default_rng(0).integers(3, size=40)
    frame = pd.DataFrame(
        {name: [cells[int(t == k)] for t in truth] for k, name in enumerate("abc")}
    )
    with pytest.warns(DataWarning, match="one-hot labels.*'a', 'b', 'c'.*look like classes"):
        adapters.from_wide(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapters.from_wide(frame, workers=["a", "b", "c"])  # named, so meant
        frame.iloc[3] = cells[1]  # and a row with two of them is no one-hot label
        adapters.from_wide(frame)


def test_costs_and_ids_may_be_called_as_the_answers_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    rows = [(f"c{t}", w, int(draw.random() < 0.5)) for t in range(30) for w in range(1, 4)]
    pd.DataFrame(rows, columns=["content", "moderator", "verdict"]).to_csv("a.csv", index=False)
    costs = pd.DataFrame({"moderator": [1, 2, 3], "cost": [1.0, 5.0, 5.0]})
    costs.to_csv("costs.csv", index=False)
    costs.rename(columns={"moderator": "worker"}).to_csv("own.csv", index=False)
    pd.DataFrame({"content": ["c1", "c2"]}).to_csv("out.csv", index=False)
    asked = ["next", "a.csv", "--task", "content", "--worker", "moderator", "--label", "verdict"]
    asked += ["--pairs", "-n", "90", "--exclude", "out.csv", "--costs"]
    named = CliRunner().invoke(app, [*asked, "costs.csv"])
    assert named.exit_code == 0, named.stderr
    assert named.stdout == CliRunner().invoke(app, [*asked, "own.csv"]).stdout
    assert "\nc2," not in named.stdout


def test_the_remedy_for_an_open_question_is_one_that_fit_takes(tmp_path: Path) -> None:
    rows = [
        f"h{k},A{w},Approved,{'pos' if k % 2 else 'neg'},{'big' if k % 3 else 'small'}"
        for k in range(12)
        for w in range(3)
    ]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["HITId,WorkerId,AssignmentStatus,Answer.tone,Answer.size", *rows]))
    with pytest.raises(DataError, match="Choose one: ") as error:
        DEEMAggregator().fit(path)
    call = str(error.value).split("Choose one: ")[1].split(" (in the shell")[0]
    given = eval(call, {"to_answers": adapters.to_answers, "path": path})
    assert set(DEEMAggregator().fit_predict(given)) <= {"pos", "neg", "big", "small"}
    with pytest.raises(FormError, match=r"got Export: pass its frame of answers, \.answers"):
        DEEMAggregator().fit(adapters.read_export(path, question="tone"))


def test_lists_in_a_column_are_no_people_and_no_stack_trace(tmp_path: Path) -> None:
    """As where one row of a tool's export is damaged, so that it is no longer one of that tool."""
    path = tmp_path / "log.jsonl"
    lines = [
        f'{{"text": "t{k // 3}", "_input_hash": {k // 3}, "_session_id": "{"abc"[k % 3]}", "options": [], '
        f'"accept": ["{"xyx"[k % 3]}"], "answer": "{"`ccept" if k == 2 else "accept"}"}}'
        for k in range(30)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match="missing columns 'task', 'worker', 'label'"):
        adapters.to_answers(str(path))


@pytest.mark.parametrize("called", ["participant", "rater", "worker", "user", "annotator_id"])
def test_a_row_for_each_worker_is_a_form(tmp_path: Path, called: str) -> None:
    given = answers()
    given.insert(0, called, [f"p{k}" for k in range(PEOPLE)])
    given.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(
        DataError, match=rf"looks like a form: one row a person \('{called}'\)"
    ) as told:
        adapters.to_answers(tmp_path / "x.csv")
    call = str(told.value).split("Read it as one: ")[1].split(" (in the shell")[0]
    read = eval(call, {"to_answers": adapters.to_answers, "path": tmp_path / "x.csv"})
    assert set(read.workers) == set(given[called])
    assert set(read.tasks) == set(given.columns[1:])


@pytest.mark.parametrize("called", ["Q{}", "question {}", "item_{}", "img_{}.jpg", "Photo {}"])
@pytest.mark.parametrize("ids", [None, "id", "PROLIFIC_PID"])
def test_columns_called_like_tasks_are_those_of_a_form(tmp_path: Path, called: str, ids) -> None:
    given = answers().set_axis([called.format(k) for k in range(1, QUESTIONS + 1)], axis=1)
    if ids:
        given.insert(0, ids, [f"p{k}" for k in range(PEOPLE)])
    given.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="looks like a form: one row a person") as told:
        adapters.to_answers(tmp_path / "x.csv")
    call = str(told.value).split("Read it as one: ")[1].split(" (in the shell")[0]
    read = eval(call, {"to_answers": adapters.to_answers, "path": tmp_path / "x.csv"})
    assert list(read.tasks) == list(given.columns[bool(ids) :])
    assert len(read.workers) == PEOPLE
    wide = re.findall(r"If each row is a task, .*: (task|workers)='([^']*)'", str(told.value))[0]
    as_rows = adapters.to_answers(tmp_path / "x.csv", format="wide", **dict([wide]))
    assert (as_rows.n_tasks, as_rows.n_workers) == (PEOPLE, QUESTIONS)


def test_a_table_whose_columns_agree_and_whose_rows_do_not_may_be_a_form(tmp_path: Path) -> None:
    names = ["Lisbon", "Porto", "Faro", "Braga", "Evora", "Sintra", "Tomar", "Lagos"]
    given = answers().set_axis(names, axis=1)
    given.insert(0, "id", range(PEOPLE))
    given.to_csv(tmp_path / "people.csv", index=False)
    with pytest.warns(DataWarning, match="if each row is a person and each column a task") as said:
        adapters.to_answers(tmp_path / "people.csv")
    call = str(said[0].message).split("read it as a form: ")[1].split(" (in the shell")[0]
    with pytest.warns(DataWarning, match="people are column 'id', tasks 'Lisbon'"):
        read = eval(call, {"to_answers": adapters.to_answers, "path": tmp_path / "people.csv"})
    assert list(read.tasks) == names
    turned = given.set_index("id").T.add_prefix("person").sample(30, replace=True, random_state=0)
    turned.reset_index(drop=True).to_csv(tmp_path / "towns.csv", index_label="row")
    with pytest.warns(DataWarning, match="read as a wide table") as said:
        adapters.to_answers(tmp_path / "towns.csv")
    assert not any("each row is a person" in str(w.message) for w in said)


def test_spammers_among_sources_that_agree_are_no_form(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(3, size=60)
    given = pd.DataFrame(dict.fromkeys(["ann", "bob", "cid", "dan"], truth))
    given = given.mask(draw.random(given.shape) < 0.4, draw.integers(3, size=given.shape))
    given["eve"], given["fay"] = np.where(draw.random((2, 60)) < 0.95, [[0], [1]], 2)
    given.to_csv(tmp_path / "x.csv", index_label="row")
    with pytest.warns(DataWarning, match="read as a wide table") as said:
        read = adapters.to_answers(tmp_path / "x.csv")
    assert set(given.columns) == set(read.workers)
    assert not any("each row is a person" in str(w.message) for w in said)
