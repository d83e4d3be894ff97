"""Nothing is lost between a frame, its Answers, other libraries' tables and files."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from examples import runs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deem_crowd import Answers

_spec = importlib.util.spec_from_file_location(
    "adapter_strategies", Path(__file__).with_name("strategies.py")
)
assert _spec is not None
assert _spec.loader is not None
strategies = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(strategies)

COLUMNS = ["task", "worker", "label"]


def rows(frame: pd.DataFrame) -> list[tuple]:
    """The answers, in an order of their own; ``==`` alone would take True for 1."""
    return sorted(frame[COLUMNS].itertuples(index=False, name=None), key=repr)


@runs(40)
@given(strategies.long_frames())
def test_frame_to_answers_to_frame_keeps_values_and_dtypes(frame: pd.DataFrame) -> None:
    back = adapters.from_long(frame).to_frame()
    assert repr(rows(back)) == repr(rows(frame))
    assert back.dtypes.to_dict() == frame.dtypes.to_dict()


@runs(20)
@given(strategies.long_frames(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_answer_and_no_class(frame, random) -> None:
    order = list(range(len(frame)))
    random.shuffle(order)
    one, other = adapters.from_long(frame), adapters.from_long(frame.iloc[order])
    assert repr(rows(one.to_frame())) == repr(rows(other.to_frame()))
    assert repr(one.classes.tolist()) == repr(other.classes.tolist())


@runs(20)
@given(
    st.fixed_dictionaries(
        {
            name: strategies.column(6, kind)
            for name, kind in zip(COLUMNS, ("str", "int64", "str"), strict=True)
        }
    )
)
@pytest.mark.parametrize("library", ["arrow", "dictionary", "polars", "lazy", "pyarrow-backed"])
def test_every_library_gives_the_answers_that_pandas_gives(library: str, columns: dict) -> None:
    frame = pd.DataFrame(columns)[COLUMNS]
    frame = frame[~frame.duplicated(["task", "worker"])]
    table = pa.Table.from_pandas(frame, preserve_index=False)
    data = {
        "arrow": lambda: table,
        "dictionary": lambda: table.set_column(2, "label", table["label"].dictionary_encode()),
        "polars": lambda: pl.from_arrow(table),
        "lazy": lambda: pl.from_arrow(table).lazy(),
        "pyarrow-backed": lambda: frame.convert_dtypes(dtype_backend="pyarrow"),
    }[library]()
    answers = adapters.to_answers(data)
    assert rows(answers.to_frame()) == rows(frame)
    assert answers.classes.tolist() == sorted(set(frame["label"]))


TEXT_FRAME = st.fixed_dictionaries({name: strategies.column(5, "str") for name in COLUMNS})


@settings(
    runs(15), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(TEXT_FRAME)
@pytest.mark.parametrize(
    "suffix", ["csv", "tsv", "jsonl", "parquet", "csv.gz", "jsonl.bz2", "tsv.xz"]
)
def test_text_survives_every_file_format(tmp_path: Path, suffix: str, columns: dict) -> None:
    """Any text comes back; in CSV and TSV, which have no types, canonical integers come back as integers."""
    frame = pd.DataFrame(columns)[COLUMNS]
    path = tmp_path / f"answers.{suffix}"
    adapters.write_table(frame, path)
    back = adapters.read_long(path)
    assert back.astype(str).to_numpy().tolist() == frame.to_numpy().tolist()
    for name in COLUMNS:
        integers = suffix[:3] in ("csv", "tsv") and all(_canonical(text) for text in frame[name])
        assert pd.api.types.is_integer_dtype(back[name]) == integers


def _canonical(text: str) -> bool:
    try:
        return str(int(text)) == text and abs(int(text)) < 2**63
    except ValueError:
        return False


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "labels",
    [
        pd.array([2**60 + 1, None, 2**60 + 3], dtype="Int64"),
        np.array([2**63 - 1, -(2**63), 0]),
        pd.Series(["", None, "NA"], dtype="str"),
    ],
    ids=["nullable", "extreme", "text"],
)
def test_missing_values_and_digits_survive_files(tmp_path, suffix: str, labels) -> None:
    frame = pd.DataFrame({"task": [1, 2, 3], "worker": 1, "label": labels})
    adapters.write_table(frame, tmp_path / f"a.{suffix}")
    back = adapters.read_long(tmp_path / f"a.{suffix}")["label"]
    assert back.isna().tolist() == frame["label"].isna().tolist()
    assert back.dropna().tolist() == frame["label"].dropna().tolist()


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
@runs(20)
def test_floats_are_written_to_the_last_digit(suffix: str, values: list[float]) -> None:
    out = io.BytesIO()
    writing = importlib.import_module("deem_crowd_adapters.writing")
    writing._write(pd.DataFrame({"p": values}), suffix, out, False)
    frame = adapters.read_table(io.BytesIO(out.getvalue()), suffix)
    assert [float(v) for v in frame["p"]] == values


@runs(30)
@given(st.integers(1, 6), st.integers(1, 5), st.data())
@pytest.mark.filterwarnings("ignore:.*without answers")
def test_wide_dense_and_long_agree(n_tasks: int, n_workers: int, data) -> None:
    cells = data.draw(
        st.lists(st.integers(-1, 2), min_size=n_tasks * n_workers, max_size=n_tasks * n_workers)
    )
    matrix = np.array(cells).reshape(n_tasks, n_workers)
    wide = pd.DataFrame(matrix).where(matrix >= 0)
    dense = adapters.from_dense(matrix, n_classes=3)
    for answers in (
        adapters.from_wide(wide, classes=[0, 1, 2]),
        adapters.from_wide(wide.astype("Int64"), classes=pd.Index([0, 1, 2], dtype="Int64")),
        adapters.from_wide(wide.astype("Int64").astype(object), classes=[0, 1, 2]),
    ):
        assert answers.dense().tolist() == matrix.tolist()
        assert answers.task_ptr.tolist() == dense.task_ptr.tolist()
        assert answers.worker.tolist() == dense.worker.tolist()


def test_soft_answers_survive_long_wide_tensor_and_file(tmp_path) -> None:
    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(3), size=(4, 3)).transpose(0, 2, 1)
    soft[1, :, 2] = np.nan
    answers = adapters.from_soft(soft)
    frame = answers.to_frame().set_axis(["task", "worker", "a", "b", "c"], axis=1)
    for data in (
        frame,
        pa.Table.from_pandas(frame),
        pl.from_pandas(frame),
        pl.from_pandas(frame).lazy(),
    ):
        again = adapters.to_answers(data)
        assert again.is_soft
        np.testing.assert_allclose(again.soft, answers.soft, rtol=1e-12)
    for suffix in ("csv", "jsonl", "parquet"):
        adapters.write_table(frame, tmp_path / f"a.{suffix}")
        back = adapters.read_soft_long(tmp_path / f"a.{suffix}")
        np.testing.assert_allclose(adapters.from_soft_long(back).soft, answers.soft, rtol=1e-12)


def test_answers_pass_through_untouched() -> None:
    answers = Answers.from_dense([[0, 1], [1, 0]])
    assert adapters.to_answers(answers) is answers
