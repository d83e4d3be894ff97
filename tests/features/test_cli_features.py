"""deem-crowd aggregate --features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from typer.testing import CliRunner

from deem_crowd import Answers, DataWarning, DEEMAggregator
from deem_crowd.cli import features
from deem_crowd.cli.app import app
from deem_crowd.exceptions import FormError
from deem_crowd.features import rows

pytestmark = pytest.mark.usefixtures("few_fits_throughout", "same_fits_once")


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    folder = tmp_path_factory.mktemp("iris")
    x, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))[:90]
    x, y = x[order], y[order]
    rng = np.random.default_rng(1)
    task = np.repeat(np.arange(len(y)), 2)
    label = np.where(rng.random(len(task)) < 0.75, y[task], rng.integers(0, 3, len(task)))
    frame = pd.DataFrame(
        {"task": task, "worker": np.tile([0, 1, 2, 3], len(y) // 2), "label": label}
    )
    frame.to_csv(folder / "answers.csv", index=False)
    table = pd.DataFrame(x, columns=list("abcd"))
    table.insert(0, "task", np.arange(len(y)))
    table.sample(frac=1, random_state=0).to_csv(folder / "features.csv", index=False)
    table.to_parquet(folder / "features.parquet")
    np.save(folder / "features.npy", x)
    np.savez(folder / "named.npz", X=x[::-1], task=np.arange(len(y))[::-1].astype(str))
    sparse.save_npz(folder / "sparse.npz", sparse.csr_matrix(x))
    np.save(folder / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(folder / "two.npz", a=x, b=x)
    return folder, frame, x


@pytest.fixture(scope="module")
def fitted(iris):
    """What Python makes of the same."""
    _, frame, x = iris
    return DEEMAggregator().fit(frame, features=x)


def run(*arguments):
    return CliRunner().invoke(app, ["aggregate", *map(str, arguments)])


@pytest.mark.parametrize(
    "name", ["features.csv", "features.parquet", "features.npy", "named.npz", "sparse.npz"]
)
def test_the_format_changes_nothing(iris, name):
    folder, frame, x = iris
    tasks = Answers.from_frame(frame).tasks
    found = rows.read(features.read(str(folder / name), None, {"task": frame["task"]}), tasks)
    values = found.x.toarray() if name == "sparse.npz" else found.x
    np.testing.assert_array_equal(values, x.astype(np.float32))
    np.testing.assert_array_equal(found.place, np.arange(len(x)))


@pytest.mark.parametrize("name", ["named.npz", "sparse.npz"])
def test_an_array_by_the_command(iris, fitted, name, tmp_path):
    folder, _, _ = iris
    out = tmp_path / "labels.csv"
    done = run(folder / "answers.csv", "--features", folder / name, "-o", out)
    assert done.exit_code == 0, done.output
    labels = pd.read_csv(out).set_index("task")["label"]
    if name == "named.npz":
        assert (labels == fitted.labels_[labels.index]).all()


def test_the_classifier_comes_back_without_pickle(iris, fitted, tmp_path):
    skops = pytest.importorskip("skops.io")
    folder, _, x = iris
    path = tmp_path / "classifier.skops"
    out, table = tmp_path / "labels.csv", folder / "features.csv"
    done = run(folder / "answers.csv", "--features", table, "--save-classifier", path, "-o", out)
    assert done.exit_code == 0, done.output
    labels = pd.read_csv(out).set_index("task")["label"]
    assert (labels == fitted.labels_[labels.index]).all()
    again = skops.load(path)  # would refuse types that it does not trust
    named = pd.DataFrame(x, columns=list("abcd"))
    np.testing.assert_allclose(
        again.predict_proba(named), fitted.classifier_.predict_proba(x), atol=1e-9
    )
    with pytest.raises(ValueError, match="same order"):
        again.predict(named[list("dcba")])


def test_an_index_without_a_name_is_the_tasks(tmp_path):
    ids, table = (
        {"task": pd.Series(["t1", "t2"])},
        pd.DataFrame({"a": [1.5, 2.5]}, index=["t2", "t1"]),
    )
    table.to_csv(tmp_path / "index.csv")
    table.to_parquet(tmp_path / "index.parquet")
    table.assign(task=["x", "y"]).to_parquet(tmp_path / "both.parquet")
    for name, tasks in (
        ("index.csv", ["t2", "t1"]),
        ("index.parquet", ["t2", "t1"]),
        ("both.parquet", ["x", "y"]),
    ):
        found = features.read(str(tmp_path / name), None, ids)
        assert list(found.index) == tasks
        assert list(found.columns) == ["a"]


def test_ids_under_another_name_are_pointed_out(tmp_path):
    table = pd.DataFrame({"id": ["t2", "t1"], "a": [1.5, 2.5]})
    table.to_csv(tmp_path / "id.csv", index=False)
    with pytest.raises(FormError, match=r"no column 'task', and 1 column without numbers: 'id'"):
        features.read(str(tmp_path / "id.csv"), None, {"task": pd.Series(["t1", "t2"])})
    np.savez(tmp_path / "id.npz", X=np.eye(2), ids=np.array(["t2", "t1"]))
    with pytest.warns(DataWarning, match="holds 'ids' beside features, and no array 'task'"):
        features.read(str(tmp_path / "id.npz"), None, {"task": pd.Series(["t1", "t2"])})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--features", "pickled.npy"], "without pickle"),
        (["--features", "two.npz"], "name the features X"),
        (["--features", "answers.csv"], "more than one row"),
        (["--features", "features.npy", "--method", "mv"], "does not learn from features"),
        (["--save-classifier", "c.skops"], "no classifier without --features"),
        (["--features", "features.npy", "--save-classifier", "c.pkl"], "has to end in .skops"),
    ],
)
def test_what_cannot_be_used(iris, arguments, message, monkeypatch):
    folder, _, _ = iris
    monkeypatch.chdir(folder)
    done = run("answers.csv", *arguments)
    said = " ".join((done.output + str(done.exception or "")).split())
    assert done.exit_code != 0
    assert message in said.replace("│ ", "")


def test_remedies_are_those_of_a_file(iris, monkeypatch, tmp_path):
    folder, _, x = iris
    monkeypatch.chdir(tmp_path)
    np.save("few.npy", x[:7])
    table = pd.DataFrame(x, columns=list("abcd"))
    table.assign(task=[f"x{i}" for i in range(len(x))]).to_csv("other.csv", index=False)
    table.assign(task=range(len(x)), e="word").to_csv("words.csv", index=False)
    for name, remedy in (
        ("few.npy", "Give it a column (or array) 'task'"),
        ("other.csv", "give column 'task' the ids of the answers"),
        ("words.csv", "Write such columns as numbers in the file"),
    ):
        said = " ".join(
            run(folder / "answers.csv", "--features", name, "-o", "o.csv").output.split()
        )
        assert remedy in said
        assert "DataFrame" not in said
        assert "frame" not in said
        assert "pd." not in said


def test_an_order_of_names_is_asked_for_in_words_of_the_shell(iris, monkeypatch, tmp_path):
    _, frame, _ = iris
    monkeypatch.chdir(tmp_path)
    frame.assign(label=frame["label"].map(["low", "mid", "high"].__getitem__)).to_csv("a.csv")
    said = " ".join(run("a.csv", "--set", "ordered=true", "-o", "o.csv").output.split())
    assert "--set ordered=true needs labels with an order" in said
    assert "Write a number for each in the file" in said
    assert "df[" not in said


@pytest.mark.parametrize("name", ["table.csv", "arrays.npz", "book.xlsx", "records.json"])
def test_a_table_of_features_may_name_its_tasks_as_the_answers_do(iris, name, tmp_path):
    """Else the ids were a feature like any other, and the rows those of other tasks."""
    _, frame, x = iris
    ids = np.arange(len(x))[::-1]
    table = pd.DataFrame(x[::-1], columns=list("abcd")).assign(item=ids)
    if name == "book.xlsx":
        pytest.importorskip("openpyxl")
        table.to_excel(tmp_path / name, index=False)
    elif name == "records.json":
        table.to_json(tmp_path / name, orient="records", double_precision=15)
    elif name == "arrays.npz":
        np.savez(tmp_path / name, X=x[::-1], item=ids)
    else:
        table.to_csv(tmp_path / name, index=False)
    named = features.read(str(tmp_path / name), None, {"task": frame["task"]}, "item")
    found = rows.read(named, Answers.from_frame(frame).tasks)
    np.testing.assert_array_equal(found.x, x.astype(np.float32))
    np.testing.assert_array_equal(found.place, np.arange(len(x)))


def test_the_command_passes_on_what_the_column_of_tasks_is_called(iris, tmp_path):
    folder, frame, x = iris
    frame.rename(columns={"task": "item"}).to_csv(tmp_path / "answers.csv", index=False)
    table = pd.DataFrame(x, columns=list("abcd")).assign(item=np.arange(len(x)))
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "features.csv", index=False)
    written = {}
    for place, named in ((folder, []), (tmp_path, ["--task", "item"])):
        given = (place / "answers.csv", *named, "--features", place / "features.csv")
        done = run(*given, "-o", tmp_path / "out.csv", "--proba", tmp_path / "proba.csv")
        assert done.exit_code == 0, done.output
        written[place] = (tmp_path / "proba.csv").read_text()
    assert written[folder] == written[tmp_path]


def test_a_column_of_ids_is_no_feature(iris, tmp_path):
    folder, _, x = iris
    table = pd.DataFrame(x, columns=list("abcd")).assign(id=np.arange(len(x)))
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "features.csv", index=False)
    done = run(folder / "answers.csv", "--features", tmp_path / "features.csv")
    assert done.exit_code == 1
    assert "column 'id' holds the ids of tasks: call it 'task'" in " ".join(done.output.split())


def test_things_without_answers_are_for_the_classifier_in_a_file(iris):
    folder, frame, _ = iris
    frame[frame["task"] < 80].to_csv(folder / "some.csv", index=False)
    done = run(folder / "some.csv", "--features", folder / "features.csv", "-o", folder / "l.csv")
    assert "10 rows for tasks that are not among the answers" in done.stderr
    assert "--save-classifier FILE.skops keeps a classifier that labels them" in done.stderr
