"""``deem-crowd next``, ``suspects``, ``keep`` and ``report`` with ``--features`` write what the functions return."""

from __future__ import annotations

import io
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from commands import call, same, table
from crowds import crowd
from scipy import sparse

from deem_crowd import DataWarning, DEEMAggregator

pytestmark = pytest.mark.usefixtures("few_fits_throughout", "same_fits_once")

CENTRES = {"c0": (0.0, 2.0), "c1": (1.7, -1.0), "c2": (-1.7, -1.0)}
EVERY, TRUTH = crowd(n=120, d=8, per_task=2, seed=1)
FEATURES = pd.DataFrame(
    TRUTH.map(CENTRES).tolist() + np.random.default_rng(0).normal(0, 0.7, (120, 2)),
    index=TRUTH.index.rename("task"),
    columns=["a", "b"],
).round(3)
ASKED, NEW = TRUTH.index[:90], TRUTH.index[90:]
FRAME = EVERY[EVERY["task"].isin(ASKED)]
GOLD = TRUTH.rename_axis("task").rename("label").reset_index()


@pytest.fixture(scope="module")
def agg() -> DEEMAggregator:
    return DEEMAggregator().fit(FRAME, features=FEATURES.loc[ASKED])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("answers.csv", index=False)
    FEATURES.sample(frac=1, random_state=0).to_csv("features.csv")
    FEATURES.loc[ASKED].to_csv("asked.csv")
    return tmp_path


@pytest.mark.parametrize("how", ["k-center", "k-means++", None])
def test_next_spreads_tasks_as_it_is_told(folder, agg, how) -> None:
    order = [task for task in pd.read_csv("features.csv")["task"] if task in NEW]
    line = f"next answers.csv -n 12 --features features.csv --diversify {how or 'none'}"
    asked = {"unanswered": order, "features": FEATURES, "diversify": how}
    same(table(line), agg.next_tasks(12, **asked))


def test_what_is_not_spread_over_features_is_bad_usage(folder) -> None:
    for options, said in (
        ("", "tasks are spread over --features"),
        ("--features features.csv --pairs", "pairs go by score alone"),
        ("--features features.csv --diversify far", "'far' is not one of"),
    ):
        done = call(f"next answers.csv --diversify none {options}")
        assert done.exit_code == 2, done.output
        assert said in done.stderr


def test_next_also_names_tasks_that_only_the_features_know(folder, agg) -> None:
    """Whatever the order of the rows, and by way of a list of those tasks as well."""
    order = [task for task in pd.read_csv("features.csv")["task"] if task in NEW]
    asked = {"unanswered": order, "features": FEATURES}
    for pairs, function in (("", agg.next_tasks), (" --pairs", agg.next_pairs)):
        done = call(f"next answers.csv -n 12 --features features.csv{pairs}")
        assert (done.exit_code, done.stderr) == (0, "")
        found = pd.read_csv(io.StringIO(done.stdout))
        same(found, function(12, **asked))
        assert set(found["task"]) & set(NEW)
        assert found["label"].notna().all()
    pd.DataFrame({"task": NEW[:4]}).to_csv("new.csv", index=False)
    line = "next answers.csv -n 90 --features features.csv --unanswered new.csv"
    some = {"unanswered": list(NEW[:4]), "features": FEATURES}
    same(table(line), agg.next_tasks(90, **some))


def test_next_takes_an_array_in_the_order_of_the_tasks(folder, agg) -> None:
    order = pd.Index(FRAME["task"].unique())
    asked = DEEMAggregator().fit(FRAME, features=FEATURES.loc[order].to_numpy())
    np.save("asked.npy", FEATURES.loc[order])
    same(
        table("next answers.csv -n 9 --features asked.npy"), asked.next_tasks(9, features=FEATURES)
    )
    np.save("every.npy", FEATURES.loc[[*order, *NEW]])
    pd.DataFrame({"task": NEW}).to_csv("new.csv", index=False)
    found = table("next answers.csv -n 9 --features every.npy --unanswered new.csv")
    same(found, asked.next_tasks(9, unanswered=NEW, features=FEATURES))
    done = call("next answers.csv --features every.npy")
    assert done.exit_code == 1
    assert "features have 120 rows, and there are 90 tasks" in done.stderr


def test_nobody_is_asked_for_a_label_that_is_known(folder) -> None:
    GOLD[80:110].to_csv("gold.csv", index=False)
    done = call("next answers.csv -n 200 --features features.csv --gold gold.csv")
    assert done.exit_code == 0, done.output
    found = pd.read_csv(io.StringIO(done.stdout))["task"]
    assert sorted(found) == sorted(TRUTH.index.delete(range(80, 110)))
    assert "--gold names 20 tasks without answers here" in done.stderr


def test_what_is_left_out_and_what_it_costs(folder, agg) -> None:
    FEATURES.drop("t5").to_csv("some.csv")
    pd.DataFrame({"task": ["t5", "t91"]}).to_csv("out.csv", index=False)
    costs = pd.Series(1.0 + np.arange(120), index=TRUTH.index, name="cost").drop(["t5", "t91"])
    costs.rename_axis("task").to_csv("costs.csv")
    line = "next answers.csv -n 9 --features some.csv --exclude out.csv"
    fit = DEEMAggregator().fit(FRAME, features=FEATURES.loc[ASKED.drop("t5")])
    asked = {"unanswered": NEW, "features": FEATURES, "exclude": ["t5", "t91"]}
    same(table(line), fit.next_tasks(9, **asked))
    done = call(f"{line} --costs costs.csv")
    assert done.exit_code == 0, done.output
    same(pd.read_csv(io.StringIO(done.stdout)), fit.next_tasks(9, costs=costs, **asked))
    done = call("next answers.csv --features some.csv")
    assert done.exit_code == 1
    assert "no row for 1 of 120 tasks: 't5'" in done.stderr
    assert "leave them out with --exclude" in done.stderr


def test_suspects_keep_and_report_fit_with_features(folder, agg, tmp_path) -> None:
    line = "answers.csv --features asked.csv"
    same(table(f"suspects {line} -n 15"), agg.suspect_answers(15))
    GOLD.head(90).to_csv("labels.csv", index=False)
    labels = agg.suspect_labels(8, labels=TRUTH[ASKED])
    same(table(f"suspects {line} -n 8 --labels labels.csv"), labels)
    for option, arguments in (("", {}), (" --gold labels.csv", {"gold": TRUTH[ASKED]})):
        done = call(f"keep {line} --precision 0.9{option}")
        assert done.exit_code == 0, done.output
        kept = agg.reliable(0.9, **arguments)
        found = pd.read_csv(io.StringIO(done.stdout)).set_index("task")
        assert found["label"].to_dict() == kept.labels.to_dict()
        assert found["confidence"].to_numpy() == pytest.approx(kept.confidence.to_numpy())
    done = call(f"report {line} -o r.html")
    assert done.exit_code == 0, done.output
    agg.report("same.html")
    assert Path("r.html").read_text() == Path("same.html").read_text()


def test_a_file_of_the_answers_gives_the_classifier_of_other_things_by_name(folder) -> None:
    done = call("suspects answers.csv --features features.csv -n 3")
    assert done.exit_code == 0
    assert "features have 30 rows for tasks that are not among the answers" in done.stderr
    assert "aggregate --save-classifier FILE.skops keeps a classifier" in done.stderr


@pytest.mark.parametrize(
    ("command", "content", "words"),
    [
        ("next", "id,a\nx1,1\nx2,2\n", "no column 'task', and 1 column without numbers: 'id'"),
        ("suspects", "task,a\nx1,1\nx2,2\n", "give column 'task' the ids of the answers"),
        ("keep", "task,a\nt1,1\nt1,2\n", "features give 1 task more than one row: 't1'"),
        ("report", "task,a\nt1,1\nt2,\n", "missing or infinite"),
        ("next", "task,a\nt1,one\nt2,2\n", "Write such columns as numbers in the file"),
        ("suspects", "task,a\nt1,1\n,2\n", "column 'task' is missing in 1 row. Drop or repair"),
        ("keep", "task\nt1\nt2\n", "Give at least one, or leave out --features"),
        ("next", "task,a\nx1,1\nx2,2\n", "none of the 2 rows of features ('x1', 'x2')"),
        ("next", "task,a\nt1,1\nx1,2\nx1,3\n", "features give 1 task more than one row: 'x1'"),
    ],
)
def test_what_cannot_be_used_leaves_nothing_behind(folder, command, content, words) -> None:
    Path("bad.csv").write_text(content)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    name = "out.html" if command == "report" else "out.csv"
    done = call(f"{command} answers.csv --features bad.csv -o {name}")
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("command", ["next", "suspects", "keep", "report"])
def test_features_are_neither_overwritten_nor_read_from_a_stream_that_is_taken(
    folder, command
) -> None:
    name = "f.html" if command == "report" else "f.csv"
    FEATURES.to_csv(name)
    before = Path(name).read_bytes()
    done = call(f"{command} answers.csv --features {name} -o {name}")
    assert done.exit_code == 2
    assert "overwrite" in done.stderr
    assert Path(name).read_bytes() == before
    done = call(f"{command} - --features - -o o.{name}")
    assert done.exit_code == 2
    assert "already reads standard input" in " ".join(done.stderr.replace("│", " ").split())


def test_without_answers_there_is_nothing_to_say(folder) -> None:
    Path("none.csv").write_text("task,worker,label\n")
    for command in ("next", "suspects", "keep"):
        done = call(f"{command} none.csv --features features.csv")
        assert done.exit_code == 0, done.output
        assert len(done.stdout.splitlines()) == 1
        assert len(done.stderr.strip().splitlines()) == 1
    for more in ("", " --pairs"):
        said = call(f"next none.csv --features features.csv{more}").stderr
        assert "there are no answers yet to rank tasks by. Have some tasks answered first" in said


def test_sparse_features_of_all_tasks(folder) -> None:
    """They serve a fit, and no distances: where these are needed they are refused, before the fit."""
    order = pd.Index(FRAME["task"].unique())
    every = sparse.csr_array(FEATURES.loc[[*order, *NEW]])
    pd.DataFrame({"task": [*NEW, *NEW[:3]]}).to_csv("new.csv", index=False)
    sparse.save_npz("every.npz", sparse.coo_matrix(every))
    found = table("next answers.csv -n 9 --unanswered new.csv --pairs --features every.npz")
    asked = DEEMAggregator().fit(FRAME, features=every[:90])
    same(found, asked.next_pairs(9, unanswered=NEW, features=every))
    line = "next answers.csv -n 9 --unanswered new.csv --features every.npz"
    by_score = asked.next_tasks(9, unanswered=NEW, features=every, diversify=None)
    same(table(f"{line} --diversify none"), by_score)
    with mock.patch.object(DEEMAggregator, "fit", side_effect=AssertionError):
        done = call(line)
    assert done.exit_code == 1
    words = "save them as an array that is not sparse, with fewer columns if they are many"
    assert f"features are sparse: {words}, or pass --diversify none or --pairs" in done.stderr


def test_a_column_of_tasks_may_have_another_name(folder, agg) -> None:
    FRAME.rename(columns={"task": "item"}).to_csv("answers.csv", index=False)
    FEATURES.rename_axis("item").to_csv("features.csv")
    found = table("next answers.csv --task item -n 9 --features features.csv --pairs")
    same(found, agg.next_pairs(9, unanswered=NEW, features=FEATURES))


def test_parameters_that_are_about_features_may_be_set(folder) -> None:
    with pytest.warns(DataWarning, match="not among the answers"):
        regional = DEEMAggregator(regions=2).fit(FRAME, features=FEATURES)
    found = table("next answers.csv -n 9 --features features.csv --set regions=2 --pairs")
    same(found, regional.next_pairs(9, unanswered=NEW, features=FEATURES))
