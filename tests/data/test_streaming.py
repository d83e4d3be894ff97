"""Parquet in pieces: the same answers as from one frame, whatever the pieces."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deem_crowd_adapters import read_long
from examples import runs
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.data import parquet as streaming
from deem_crowd.exceptions import DataError, DataWarning, FormError, MissingColumnError


def frame(n: int = 500, seed: int = 0, text: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"task": rng.integers(80, size=n), "worker": rng.integers(9, size=n)})
    data["label"] = rng.choice(["b", "a", "c"], n) if text else rng.choice([3, 1, 2], n)
    if text:
        data["task"] = "task " + data["task"].astype(str)
    return data.drop_duplicates(["task", "worker"], ignore_index=True)


def write(data: pd.DataFrame, folder, cuts, rows: int = 37) -> str:
    bounds = [0, *sorted(cuts), len(data)]
    for i, (start, end) in enumerate(itertools.pairwise(bounds)):
        path = folder / f"answers-{i:03}.parquet"
        data.iloc[start:end].to_parquet(path, row_group_size=rows, index=False)
    return str(folder / "answers-*.parquet")


def same(one: Answers, other: Answers) -> None:
    for name in ("task_ptr", "worker", "label"):
        if getattr(one, name) is None:
            assert getattr(other, name) is None
            continue
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("tasks", "workers", "classes"):
        pd.testing.assert_index_equal(getattr(one, name), getattr(other, name))


@given(
    st.lists(st.integers(0, 400), max_size=5), st.integers(1, 200), st.booleans(), st.integers(0, 9)
)
@runs(10)
def test_pieces_are_no_difference(tmp_path_factory, cuts, rows, text, seed) -> None:
    folder = tmp_path_factory.mktemp("parts")
    data = frame(seed=seed, text=text)
    cuts = [min(cut, len(data)) for cut in cuts]
    pattern = write(data, folder, cuts, rows)
    whole = Answers.from_frame(
        pd.concat(map(pd.read_parquet, sorted(folder.iterdir())), ignore_index=True)
    )
    same(Answers.from_parquet(pattern), whole)
    same(Answers.from_parquet(folder), whole)
    same(Answers.from_parquet(sorted(folder.iterdir())), whole)


def test_small_batches_of_one_file(tmp_path, monkeypatch) -> None:
    data = frame()
    path = tmp_path / "one.parquet"
    data.to_parquet(path)
    monkeypatch.setattr(streaming, "ROWS", 13)
    same(Answers.from_parquet(path), Answers.from_frame(pd.read_parquet(path)))


def test_missing_and_repeated_answers_as_in_a_frame(tmp_path) -> None:
    data = frame()
    data.loc[[3, 300], "label"] = None
    again = data.iloc[[10]].assign(label="a" if data.loc[10, "label"] != "a" else "b")
    data = pd.concat([data, again], ignore_index=True)
    pattern = write(data, tmp_path, [200])
    with pytest.raises(DataError, match=r"'label' is missing in 2 of .* rows \(rows 3, 300\)"):
        Answers.from_parquet(pattern)
    with pytest.warns(DataWarning, match="repeats? a"):
        found = Answers.from_parquet(pattern, missing="drop")
    with pytest.warns(DataWarning, match="repeats? a"):
        same(found, Answers.from_frame(pd.read_parquet(tmp_path), missing="drop"))


def test_categories_dates_and_floats(tmp_path) -> None:
    data = frame(text=False)
    data["task"] = pd.to_datetime("2020-01-01") + pd.to_timedelta(data["task"], unit="D")
    data["worker"] = data["worker"].astype(float)
    data["label"] = pd.Categorical(data["label"].astype(str))
    path = tmp_path / "x.parquet"
    data.to_parquet(path)
    same(Answers.from_parquet(path), Answers.from_frame(pd.read_parquet(path)))


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series(pd.Categorical(["low", "high", "mid"] * 9, ["low", "mid", "high"], ordered=True)),
        pd.Series([3, 1, None] * 9, dtype="Int64"),
        pd.Series([True, False, None] * 9, dtype="boolean"),
        pd.Series([2, 1, 1] * 9, dtype="uint8"),
    ],
    ids=["ordered", "Int64", "boolean", "uint8"],
)
def test_one_reader_for_files_and_frames(tmp_path, monkeypatch, labels) -> None:
    """The order of ordered categories and nullable dtypes survive, whoever reads the file."""
    data = pd.DataFrame({"task": np.arange(27) // 3, "worker": np.arange(27) % 3, "label": labels})
    path = tmp_path / "x.parquet"
    data.to_parquet(path, row_group_size=5)
    monkeypatch.setattr(streaming, "ROWS", 4)
    answers = Answers.from_parquet(path, missing="drop")
    same(answers, Answers.from_frame(data, missing="drop"))
    same(answers, Answers.from_frame(read_long(path), missing="drop"))


def test_parts_of_different_width_keep_ids_apart(tmp_path) -> None:
    def write(name: str, tasks: list, dtype: str, labels: list) -> None:
        workers = [name, name]
        frame = {"task": pd.Series(tasks, dtype=dtype), "worker": workers, "label": labels}
        pd.DataFrame(frame).to_parquet(tmp_path / name)

    write("a.parquet", [0.1, 0.5], "float32", ["x", "y"])
    write("b.parquet", [0.1, 0.5], "float64", [None, "y"])
    answers = Answers.from_parquet(tmp_path, missing="drop")
    assert answers.tasks.tolist() == [float(np.float32(0.1)), 0.5, 0.1]
    write("a.parquet", [1, 2], "int32", [None, None])
    write("b.parquet", [2, 2**40], "int64", ["x", "y"])
    answers = Answers.from_parquet(tmp_path, missing="drop")
    assert answers.tasks.tolist() == [1, 2, 2**40]
    assert answers.classes.tolist() == ["x", "y"]


def test_contradicting_orders_of_categories(tmp_path) -> None:
    for name, order in (("a", ["low", "high"]), ("b", ["high", "low"])):
        labels = pd.Categorical(["low", "high"], order, ordered=True)
        frame = pd.DataFrame({"task": [1, 2], "worker": [1, 1], "label": labels})
        frame.to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r"b.parquet: column 'label' has the ordered categories"):
        Answers.from_parquet(tmp_path)


def test_a_damaged_page_with_a_checksum(tmp_path) -> None:
    table = pa.table({"task": list(range(999)), "worker": [1] * 999, "label": [7] * 999})
    path = tmp_path / "c.parquet"
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="c.parquet"):
        Answers.from_parquet(path)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (
            lambda d: d.drop(columns="worker"),
            MissingColumnError,
            "column 'worker' is missing; found 'task', 'label'",
        ),
        (
            lambda d: d.assign(task=d["task"].where(d.index > 4)),
            DataError,
            r"'task' is missing in 5 rows \(rows 100, 101",
        ),
        (
            lambda d: d.assign(label=1.5),
            DataError,
            "column 'label' is double, and was .*string in the files before",
        ),
        (lambda d: d.assign(label=[[1]] * len(d)), FormError, "ids and labels are plain values"),
    ],
)
def test_faults_name_the_file(tmp_path, spoil, error, words) -> None:
    data = frame()
    data.iloc[:100].to_parquet(tmp_path / "a.parquet")
    spoil(data.iloc[100:].reset_index(drop=True)).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(error, match=f"b.parquet: .*{words}"):
        Answers.from_parquet(tmp_path)


def test_what_is_no_parquet(tmp_path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match="a.parquet is no parquet file"):
        Answers.from_parquet(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        Answers.from_parquet(tmp_path / "b-*.parquet")
    table = pa.table({"task": ["x"] * 5000, "worker": list(range(5000)), "label": ["y"] * 5000})
    path = tmp_path / "c.parquet"
    pq.write_table(table, path, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[200:4000] = b"\xff" * 3800
    path.write_bytes(content)
    with pytest.raises(DataError, match="c.parquet"):
        Answers.from_parquet(path)


def test_the_model_of_pieces_is_the_model_of_the_whole(tmp_path) -> None:
    data = frame(2000)
    pattern = write(data, tmp_path, [100, 900])
    one = DEEMAggregator().fit(Answers.from_parquet(pattern))
    whole = pd.concat(map(pd.read_parquet, sorted(tmp_path.iterdir())), ignore_index=True)
    pd.testing.assert_frame_equal(one.probas_, DEEMAggregator().fit(whole).probas_)


# ------------------------------------------------------------------------- extended


@given(st.integers(0, 300), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_extended_by_the_rest_is_the_whole(cut, seed) -> None:
    data = frame(seed=seed)
    whole = Answers.from_frame(data)
    parts = [Answers.from_frame(part) for part in (data.iloc[:cut], data.iloc[cut:])]
    if not cut:
        return
    same(parts[0].extended(parts[1]), whole)


def test_an_answer_given_again() -> None:
    one = Answers.from_frame(pd.DataFrame({"task": [1, 1], "worker": [1, 2], "label": ["a", "b"]}))
    new = Answers.from_frame(pd.DataFrame({"task": [1], "worker": [2], "label": ["c"]}))
    with pytest.warns(DataWarning, match="the last one counts"):
        both = one.extended(new)
    assert both.to_frame()["label"].tolist() == ["a", "c"]
    with pytest.raises(DataError, match="mixes kinds"):
        one.extended(
            Answers.from_frame(pd.DataFrame({"task": ["1"], "worker": [2], "label": ["c"]}))
        )
    soft = Answers.from_soft(np.full((2, 2, 2), 0.5))
    with pytest.raises(FormError, match="labels and probabilities cannot be put together"):
        one.extended(soft)


@given(st.integers(1, 11), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_soft_answers_extended_by_the_rest(cut, seed) -> None:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"task": rng.integers(6, size=12), "worker": rng.integers(4, size=12)})
    rows[["a", "b", "c"]] = rng.dirichlet(np.ones(3), 12)
    rows = rows.drop_duplicates(["task", "worker"], ignore_index=True)
    whole = Answers.from_soft_frame(rows)
    one, other = (Answers.from_soft_frame(part) for part in (rows[:cut], rows[cut:]))
    both = one.extended(other)
    same(both, whole)
    np.testing.assert_array_equal(both.soft, whole.soft)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        again = both.extended(other)  # the same again is no news
    np.testing.assert_array_equal(again.soft, whole.soft)
    narrow = Answers.from_soft_frame(rows[:cut][["task", "worker", "a"]].assign(a=1.0))
    wide = narrow.extended(Answers.from_soft_frame(rows[cut:]))
    assert list(wide.classes) == ["a", "b", "c"]
    np.testing.assert_allclose(wide.soft.sum(1), 1)


@pytest.mark.parametrize("form", ["array", "frame"])
def test_what_is_new_in_a_later_part_is_told_with_what_helps(form: str) -> None:
    draw = np.random.default_rng(0)
    first, more = draw.integers(2, size=(30, 4)), draw.integers(3, size=(20, 5))

    def as_form(matrix):
        return (
            pd.DataFrame(matrix, columns=list("abcde")[: matrix.shape[1]])
            if form == "frame"
            else matrix
        )

    model = DEEM().partial_fit(as_form(first))
    before = model.predict_proba(as_form(first))
    with pytest.raises(DataError, match=r"The first call settles the sources: begin with a column"):
        model.partial_fit(as_form(np.minimum(more, 1)))
    with pytest.raises(
        DataError, match=r"The first call settles the classes: begin with DEEM\(n_classes=K\)"
    ):
        model.partial_fit(as_form(more[:, :4]))
    np.testing.assert_array_equal(model.predict_proba(as_form(first)), before)
    # what they say
    wider = np.column_stack([first, np.full(30, -1)])
    model = DEEM(n_classes=3).partial_fit(as_form(wider)).partial_fit(as_form(more))
    assert model.probas_.shape == (50, 3)
    rows = []
    for matrix, names in ((first, "t"), (more, "u")):
        task, worker = np.nonzero(matrix >= 0)
        labels = matrix[task, worker]
        rows.append(
            pd.DataFrame({"task": [f"{names}{t}" for t in task], "worker": worker, "label": labels})
        )
    agg = DEEMAggregator().partial_fit(rows[0]).partial_fit(rows[1])
    assert agg.probas_.shape == (50, 3)
