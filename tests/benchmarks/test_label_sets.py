"""Where label sets come from: folders, laws, classifiers, crowd-kit."""

from __future__ import annotations

import pandas as pd
import pytest
from deem_crowd_benchmarks.sets import label_sets, laws
from deem_crowd_benchmarks.sets.label_set import LabelSet
from deem_crowd_benchmarks.sets.label_sets import sources

from deem_crowd.exceptions import DataError, DataWarning, ParameterError


def write(folder, ending=".csv") -> None:
    folder.mkdir(parents=True)
    labels = pd.DataFrame(
        {"task": [1, 1, 2, 2], "worker": ["a", "b", "a", "a"], "label": [0, 1, 1, 1]}
    )
    truth = pd.DataFrame({"task": [1, 2], "label": [0, None]})
    for frame, stem in ((labels, "labels"), (truth, "truth")):
        path = folder / f"{stem}{ending}"
        if ending == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_csv(path, index=False)


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_folders(tmp_path, ending) -> None:
    write(tmp_path / "crowds" / "one", ending)
    write(tmp_path / "crowds" / "two", ending)
    (tmp_path / "crowds" / "empty").mkdir()
    found = sources(tmp_path / "crowds")
    assert [(s.name, s.kind) for s in found] == [("one", "crowds"), ("two", "crowds")]
    data = found[0].load(0)
    assert data.answers.to_numpy().tolist() == [["1", "a", "0"], ["1", "b", "1"], ["2", "a", "1"]]
    assert [s.name for s in sources(str(tmp_path / "crowds" / "two"))] == ["two"]


def test_gold_as_text_whatever_the_file(tmp_path) -> None:
    write(tmp_path / "one", ".csv")
    gold = sources(tmp_path / "one")[0].load(0).gold
    assert gold.index.tolist() == ["1"]
    assert float(gold["1"]) == 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "truth.csv").unlink(), "has no truth.csv"),
        (lambda f: (f / "truth.csv").write_text("task,gold\n1,0\n"), "no column 'label'"),
        (
            lambda f: (f / "truth.csv").write_text("task,label\n1,0\n1,1\n"),
            r"1 task has two gold labels \('1'\)",
        ),
        (lambda f: (f / "labels.csv").write_text("task,worker\n1,0\n"), "label"),
        (lambda f: (f / "labels.csv").write_text("task,worker,label\n"), "holds no answers"),
        (
            lambda f: (f / "labels.csv").write_text("task,worker,label\n1,a,\n1,b,0\n2,a,\n"),
            r"labels.csv: column 'label' is missing in 2 of 3 rows \(rows 0, 2; .*Drop those rows",
        ),
        (lambda f: (f / "truth.csv").write_text("task,label\n1,\n"), "holds no true label"),
        (
            lambda f: (f / "truth.csv").write_text("task,label\n01,0\n"),
            r"1 true label, but no answers to the same tasks. True labels name '01'; answers name '1', '2'",
        ),
        (
            lambda f: (f / "truth.csv").write_text("task,label\n1,no\n2,yes\n"),
            r"no worker gave any of its true labels \('no', 'yes'\).* Labels given: '0', '1'",
        ),
    ],
)
def test_folders_with_faults(tmp_path, spoil, words) -> None:
    write(tmp_path / "one")
    spoil(tmp_path / "one")
    with pytest.raises(DataError, match=words):
        sources(tmp_path / "one")[0].load(0)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_true_labels_that_gaps_have_made_decimals_are_those_that_were_given(
    tmp_path, ending
) -> None:
    """Beside a missing value whole numbers are stored as 0.0; as text that would be no label that anybody gave."""
    write(tmp_path / "one", ending)
    assert sources(tmp_path / "one")[0].load(0).gold.to_dict() == {"1": "0"}


def test_true_labels_that_score_nothing_are_named(tmp_path) -> None:
    write(tmp_path / "one")
    (tmp_path / "one" / "truth.csv").write_text("task,label\n1,0\n2,Two\n7,0\n")
    with pytest.warns(DataWarning) as caught:
        data = sources(tmp_path / "one")[0].load(0)
    elsewhere, strange = (str(one.message) for one in caught)
    assert "truth.csv: 1 task has no answers ('7')" in elsewhere
    assert "1 of 2 true labels is of a class that no worker gave ('Two')" in strange
    assert data.gold.to_dict() == {"1": "0", "2": "Two"}


def test_gold_of_a_label_set_has_to_score_something() -> None:
    answers = pd.DataFrame({"task": [1, 2], "worker": [0, 0], "label": ["a", "b"]})
    for gold, words in (({"1": "a"}, "1 true label, but no answers"), ({1: "A"}, "no worker gave")):
        with pytest.raises(DataError, match=rf"gold of 'mine': {words}"):
            sources(LabelSet("mine", answers, pd.Series(gold)))[0].load(0)
    without = LabelSet("mine", answers, pd.Series([], dtype=object))
    assert sources(without)[0].load(0) is without


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_whole_numbers_match_whichever_file_has_them_as_decimals(tmp_path, ending) -> None:
    """Text such as 1.0 on one side, and numbers on the other: 1.0 in parquet, or 1 in a file of whole numbers."""
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "labels.csv").write_text("task,worker,label\n7.0,a,1.0\n7.0,b,2.0\n8.0,a,2.0\n")
    truth = pd.DataFrame({"task": [7, 8], "label": [1, 2]})
    if ending == ".csv":
        truth.to_csv(folder / "truth.csv", index=False)
    else:
        truth.astype(float).to_parquet(folder / "truth.parquet")
    assert sources(folder)[0].load(0).gold.to_dict() == {"7.0": "1.0", "8.0": "2.0"}


def test_numbers_too_large_for_whole_ones_stay_apart(tmp_path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    tasks = [1e20, 2e20, 3e300]
    answers = pd.DataFrame({"task": tasks, "worker": "a", "label": ["x", "y", "x"]})
    answers.to_parquet(folder / "labels.parquet")
    answers[["task", "label"]].to_parquet(folder / "truth.parquet")
    assert sources(folder)[0].load(0).gold.to_list() == ["x", "y", "x"]


def test_classes_that_only_probabilities_name_can_be_right() -> None:
    """No answer's likeliest class is b, and yet a method that is told the probabilities may find it."""
    soft = pd.DataFrame({"task": [1, 1, 2], "worker": [0, 1, 0], "a": 0.6, "b": 0.4})
    answers = soft[["task", "worker"]].assign(label="a")
    mine = LabelSet("mine", answers, pd.Series({1: "b", 2: "b"}), soft=soft)
    assert sources(mine)[0].load(0) is mine
    with pytest.raises(DataError, match="no worker gave any of its true labels"):
        sources(LabelSet("mine", answers, pd.Series({1: "B", 2: "B"}), soft=soft))[0].load(0)


def test_what_there_is_not(tmp_path) -> None:
    with pytest.raises(DataError, match="holds no label set"):
        sources(tmp_path)
    with pytest.raises(ParameterError, match="there is no folder 'nowhere'"):
        sources("nowhere")
    with pytest.raises(ParameterError, match="no law:treee .did you mean 'tree'"):
        sources("law:treee")
    with pytest.raises(ParameterError, match="crowd-kit has no data set 'relevance-3'"):
        sources("crowdkit:relevance-3")[0].load(0)
    with pytest.raises(ParameterError, match="^1 name stands for more than one label set .'tree'"):
        sources(["law:tree", "law"])


def test_crowd_kits_sets_come_through_crowd_kit(monkeypatch) -> None:
    import crowdkit.datasets

    frame = pd.DataFrame({"task": [1], "worker": [2], "label": [3]})
    monkeypatch.setattr(
        crowdkit.datasets, "load_dataset", lambda name: (frame, pd.Series([3], index=[1]))
    )
    data = sources("crowdkit:relevance-2")[0].load(0)
    assert (data.name, data.kind) == ("relevance-2", "crowd-kit")
    assert data.answers.equals(frame)

    def fails(name):
        raise OSError("no route")

    monkeypatch.setattr(crowdkit.datasets, "load_dataset", fails)
    with pytest.raises(DataError, match="could not be had .OSError: no route.*CROWDKIT_DATA"):
        sources("crowdkit:relevance-2")[0].load(0)
    monkeypatch.setattr(crowdkit.datasets, "load_dataset", lambda name: (frame[["task"]], None))
    with pytest.raises(DataError, match="holds no labels of classes"):
        sources("crowdkit:mscoco")[0].load(0)


def test_the_digest_tells_content_apart() -> None:
    data = laws.few_tasks(0)
    same = LabelSet("other name", data.answers.copy(), data.gold.copy())
    changed = data.answers.copy()
    changed.loc[3, "label"] = 1 - changed.loc[3, "label"]
    swapped = data.answers.iloc[::-1]
    gold = data.gold.copy()
    gold.iloc[0] = 1 - gold.iloc[0]
    assert data.digest == same.digest
    others = {
        LabelSet("x", a, g).digest
        for a, g in ((changed, data.gold), (swapped, data.gold), (data.answers, gold))
    }
    assert len(others | {data.digest}) == 4


# ---------------------------------------------------------------------------- laws


# --------------------------------------------------------------------- classifiers


def test_sources_are_plain_values() -> None:
    import pickle

    for source in sources(["law:tree", "sklearn:wine", "crowdkit:relevance-2"]):
        assert pickle.loads(pickle.dumps(source)).name == source.name
    assert label_sets.CrowdOf(1000)(0).name == "1,000 answers"


def _set(folder, truth=True):
    folder.mkdir(parents=True)
    (folder / "labels.csv").write_text("task,worker,label\na,1,x\nb,1,y\na,2,x\nb,2,y\n")
    if truth:
        (folder / "truth.csv").write_text("task,label\na,x\nb,y\n")


def test_sets_without_truth_are_left_out_and_named(tmp_path) -> None:
    _set(tmp_path / "one")
    _set(tmp_path / "two", truth=False)
    _set(tmp_path / "three", truth=False)
    with pytest.warns(DataWarning, match=r"2 of 3 label sets .*left out.* 'three', 'two'.*compare"):
        found = sources(tmp_path)
    assert [source.name for source in found] == ["one"]
    assert len(found[0].load(0).gold) == 2
    _set(tmp_path / "others" / "one")
    _set(tmp_path / "others" / "two", truth=False)
    with pytest.warns(DataWarning, match=r"1 of 2 label sets in .* is left out"):
        sources(tmp_path / "others")


def test_a_folder_in_which_no_set_has_truth_is_refused(tmp_path) -> None:
    for name in ("one", "two"):
        _set(tmp_path / "all" / name, truth=False)
    for folder, named in (("all", "'one', 'two'"), ("all/one", "one has no truth.csv")):
        with pytest.raises(DataError, match="truth") as caught:
            [source.load(0) for source in sources(tmp_path / folder)]
        assert named in str(caught.value)
        assert "deem-crowd compare" in str(caught.value)
