"""Adapters: every format gives the same answers, and files keep what they say."""

from __future__ import annotations

import gzip
import io
import sys

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    MissingColumnError,
    ParameterError,
)
from deem_crowd.plugins.registry import adapters as registered

FRAME = pd.DataFrame(
    {
        "task": ["t2", "t1", "t2", "t3"],
        "worker": [5, 5, 6, 6],
        "label": ["dog", "cat", "cat", "dog"],
    }
)
WIDE = pd.DataFrame(
    {5: ["dog", "cat", None], 6: ["cat", None, "dog"]},
    index=pd.Index(["t2", "t1", "t3"], name="task"),
)


def rows(answers) -> set[tuple]:
    return set(answers.to_frame().itertuples(index=False, name=None))


EXPECTED = set(FRAME.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
        pl.from_pandas,
        lambda frame: pl.from_pandas(frame).lazy(),
        pa.Table.from_pandas,
        pa.RecordBatch.from_pandas,
    ],
    ids=["pandas", "pandas-pyarrow", "polars", "polars-lazy", "arrow-table", "arrow-batch"],
)
def test_every_long_format_gives_the_same_answers(make) -> None:
    assert rows(adapters.to_answers(make(FRAME))) == EXPECTED


def test_wide_frame_gives_the_same_answers_and_keeps_the_ids() -> None:
    answers = adapters.from_wide(WIDE)
    assert rows(answers) == EXPECTED
    assert answers.tasks.tolist() == ["t2", "t1", "t3"]
    assert answers.workers.tolist() == [5, 6]
    assert rows(adapters.from_wide(WIDE.reset_index())) == EXPECTED


def test_wide_frame_of_integers_with_gaps_keeps_integers() -> None:
    wide = pd.DataFrame({"a": [1, np.nan], "b": [3, 3]}, index=["t", "u"])
    answers = adapters.from_wide(wide)
    assert answers.classes.tolist() == [1, 3]
    assert answers.classes.dtype == np.int64


@pytest.mark.parametrize("dtype", ["category", "string[pyarrow]"])
def test_wide_frame_keeps_extension_dtypes(dtype: str) -> None:
    kind = pd.CategoricalDtype(["dog", "cat", "cow"]) if dtype == "category" else dtype
    answers = adapters.from_wide(WIDE.astype(kind))
    assert rows(answers) == EXPECTED
    assert answers.classes.dtype == kind


@pytest.mark.filterwarnings("ignore:.*without answers")
def test_wide_frame_keeps_workers_and_tasks_without_answers() -> None:
    wide = pd.DataFrame({"a": ["x", None], "b": [None, None], "c": ["x", None]}, index=["t", "u"])
    answers = adapters.from_wide(wide)
    assert (answers.n_tasks, answers.n_workers, answers.n_answers) == (2, 3, 2)


def test_wide_frame_refuses_what_it_cannot_mean() -> None:
    with pytest.raises(FormError, match=r"it is the long format.*from_long"):
        adapters.from_wide(FRAME)
    with pytest.raises(DataError, match=r"1 task occurs more than once: 't2'"):
        adapters.from_wide(pd.concat([WIDE, WIDE.iloc[:1]]))


def test_long_reader_points_to_the_wide_one() -> None:
    with pytest.raises(MissingColumnError, match=r"from_wide"):
        adapters.to_answers(WIDE.reset_index(drop=True))


def test_to_dense_gives_tensor_and_indexes() -> None:
    dense = adapters.to_dense(FRAME)
    assert dense.predictions.dtype == torch.int64
    assert dense.predictions.tolist() == [[1, 0], [0, -1], [-1, 1]]
    assert (dense.tasks.tolist(), dense.workers.tolist(), dense.classes.tolist()) == (
        ["t2", "t1", "t3"],
        [5, 6],
        ["cat", "dog"],
    )
    soft = adapters.to_dense(FRAME, soft=True).predictions
    assert soft.shape == (3, 2, 2)
    assert soft.sum(1).tolist() == [[1, 1], [1, 0], [0, 1]]


def test_dense_predictions_go_back_in() -> None:
    dense = adapters.to_dense(FRAME)
    answers = adapters.from_dense(
        dense.predictions, tasks=dense.tasks, workers=dense.workers, classes=dense.classes
    )
    assert rows(answers) == EXPECTED


def test_arrow_integers_with_missing_values_stay_integers() -> None:
    table = pa.table(
        {"task": ["t", "u"], "worker": ["w", "w"], "label": pa.array([2**60 + 1, None])}
    )
    with pytest.raises(DataError, match=r"column 'label' is missing in 1 of 2 rows"):
        adapters.from_arrow(table)
    answers = adapters.from_arrow(table, missing="drop")
    assert answers.classes.tolist() == [2**60 + 1]


def test_polars_categoricals_and_dates() -> None:
    frame = pl.from_pandas(FRAME).with_columns(
        pl.col("label").cast(pl.Categorical), pl.date(2024, 1, pl.col("worker")).alias("task")
    )
    with pytest.warns(DataWarning, match=r"repeat"):
        answers = adapters.from_polars(frame)
    assert sorted(answers.classes) == ["cat", "dog"]
    assert answers.n_tasks == 2


def test_soft_long_format() -> None:
    frame = pd.DataFrame(
        {"task": ["t", "u"], "worker": ["v", "v"], "cat": [0.2, np.nan], "dog": [0.8, np.nan]}
    )
    answers = adapters.from_soft_long(frame)
    assert answers.n_answers == 1
    np.testing.assert_allclose(answers.soft, [[0.2, 0.8]])
    with pytest.raises(FormError, match=r"not all numbers.*classes="):
        adapters.from_soft_long(frame.assign(note="x"))


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.csv.gz", "a.jsonl.gz"]
)
def test_files_round_trip(tmp_path, name: str) -> None:
    path = tmp_path / name
    adapters.write_table(FRAME, path)
    pd.testing.assert_frame_equal(adapters.read_long(path), FRAME)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["1", "2"], [1, 2]),
        (["-3", "0"], [-3, 0]),
        (["007", "8"], ["007", "8"]),
        (["1.0", "2"], ["1.0", "2"]),
        (["+1", "2"], ["+1", "2"]),
        (["1e3", "2"], ["1e3", "2"]),
        (["NA", "null"], ["NA", "null"]),
        (["None", "nan"], ["None", "nan"]),
        (["-0", "1"], ["-0", "1"]),
        (["99999999999999999999", "1"], ["99999999999999999999", "1"]),
        ([" 1", "2"], [" 1", "2"]),
        (["true", "false"], ["true", "false"]),
        (["٣", "1"], ["٣", "1"]),
    ],
)
def test_text_is_read_as_integers_only_if_nothing_is_lost(tmp_path, fields, expected) -> None:
    path = tmp_path / "a.csv"
    path.write_text("task,worker,label\n" + "".join(f"t{i},w,{f}\n" for i, f in enumerate(fields)))
    assert adapters.read_long(path)["label"].tolist() == expected


def test_an_empty_field_is_missing(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("task,worker,label\nt,w,\nu,w,1\n")
    with pytest.raises(DataError, match=r"column 'label' is missing in 1 of 2 rows"):
        adapters.from_file(path)


def test_quotes_tabs_newlines_and_a_byte_order_mark(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufefftask,worker,label\n"a,b","x\ny","tab\there"\n'.encode())
    frame = adapters.read_long(path)
    assert frame.iloc[0].tolist() == ["a,b", "x\ny", "tab\there"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "is empty. The first line names the columns"),
        ("a.csv", b"task,worker,label\n\xff,1,2\n", "is not UTF-8: byte 0xff at position 18"),
        ("a.csv", b'task,worker,label\na,b,"c\n', "is not regular CSV"),
        ("a.csv", b"task,worker,label\na,b,c\na,b,c,d,e\n", "is not regular CSV"),
        ("a.jsonl", b'{"task": 1, "worker": 2, "label": 3}\n{"task": 1,\n', "line 2, is not JSON"),
        ("a.jsonl", b"[1, 2]\n", "line 1, is not a JSON object but list"),
        ("a.parquet", b"PAR1 this is none PAR1", "is not a readable parquet file"),
        (
            "a.csv.gz",
            gzip.compress(b"task,worker,label\n" * 99, mtime=0)[:-9],
            "is not a complete gzip file",
        ),
    ],
)
def test_broken_files_are_named_with_the_place(tmp_path, name, content, words) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        adapters.read_long(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_header_alone_is_an_empty_frame(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("task,worker,label\n")
    assert adapters.from_file(path).n_answers == 0


def test_missing_files_columns_and_unknown_formats(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        adapters.read_long(tmp_path / "none.csv")
    (tmp_path / "a.xlsx").touch()
    (tmp_path / "a.dat").touch()
    with pytest.raises(ParameterError, match=r"tells no format.*\.csv, \.tsv"):
        adapters.read_long(tmp_path / "a.dat")
    with pytest.raises(ParameterError, match=r"is a workbook.*\.csv, \.tsv"):
        adapters.read_long(tmp_path / "a.xlsx")  # to name it .csv would not help
    (tmp_path / "a.csv").write_text("task,who,label\nt,w,x\n")
    with pytest.raises(
        MissingColumnError, match=r"missing columns 'worker'; found 'task', 'who', 'label'"
    ):
        adapters.read_long(tmp_path / "a.csv")


def test_standard_input(monkeypatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b"task,worker,label\nt,w,x\n")

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert adapters.read_long("-")["label"].tolist() == ["x"]


def test_what_is_not_recognised_is_refused_with_what_would_be() -> None:
    with pytest.raises(
        FormError, match=r"a set is none of the forms.*long|a set is none of the forms"
    ):
        adapters.to_answers({1, 2})


def test_every_registered_adapter_loads_and_says_what_it_reads() -> None:
    own = {name: e for name, e in registered().items() if e.distribution == "deem-crowd"}
    assert {
        "long",
        "wide",
        "dense",
        "soft",
        "soft-long",
        "arrow",
        "polars",
        "csv",
        "parquet",
    } <= set(own)
    for entry in own.values():
        assert callable(entry.load())
        assert entry.description
