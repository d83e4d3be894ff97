"""Arrow and polars: types are kept, and the order of rows decides nothing."""

from __future__ import annotations

import datetime
import subprocess
import sys

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from deem_crowd import DEEMAggregator
from deem_crowd.exceptions import DataError, FormError, MissingColumnError, ParameterError


def table(label, task=None) -> pa.Table:
    n = len(label)
    return pa.table(
        {"task": list(range(n)) if task is None else task, "worker": ["w"] * n, "label": label}
    )


def read(data, **options) -> tuple[list, object]:
    classes = adapters.to_answers(data, **options).classes
    return classes.tolist(), classes.dtype


@pytest.mark.parametrize(
    ("label", "dtype"),
    [
        (pa.array([3, 1]), "int64"),
        (pa.array([3, 1], pa.uint8()), "uint8"),
        (pa.array([False, True]), "bool"),
        (pa.array(["b", "a"], pa.large_string()), "str"),
        (pa.array(["b", "a"], getattr(pa, "string_view", pa.string)()), "str"),
        (pa.array([datetime.datetime(2024, 1, 1)] * 2), "datetime64[us]"),
        (pa.array([datetime.date(2024, 1, 1)] * 2), "object"),
    ],
)
def test_types_become_the_sensible_ones_of_pandas(label: pa.Array, dtype: str) -> None:
    values, found = read(table(label))
    assert values == sorted(set(label.to_pylist()))
    assert found == pd.Series(label.to_pandas()).dtype
    assert str(found) == dtype or dtype == "str"


@pytest.mark.parametrize("make", [lambda t: t, lambda t: pl.from_arrow(t)], ids=["arrow", "polars"])
@pytest.mark.parametrize(
    ("label", "dtype"),
    [(pa.array([2**60 + 1, None]), "Int64"), (pa.array([True, None]), "boolean")],
)
def test_nulls_cost_no_digit(make, label: pa.Array, dtype: str) -> None:
    with pytest.raises(
        DataError, match=r"column 'label' is missing in 1 of 2 rows .rows 1.*missing='drop'"
    ):
        adapters.to_answers(make(table(label)))
    values, found = read(make(table(label)), missing="drop")
    assert values == [label[0].as_py()]
    assert found == dtype


@pytest.mark.parametrize("library", ["arrow", "polars"])
def test_row_tied_votes_in_a_dictionary_do_not_depend_on_the_order_of_rows(library: str) -> None:
    """A dictionary is numbered as the rows come; a tie must not be settled by that."""
    results = []
    for votes in (["b", "a"], ["a", "b"]):
        data = pa.table(
            {"task": ["t", "t"], "worker": ["v", "w"], "label": pa.array(votes).dictionary_encode()}
        )
        if library == "polars":
            data = pl.DataFrame({"task": ["t", "t"], "worker": ["v", "w"]}).with_columns(
                pl.Series("label", votes, dtype=pl.Categorical)
            )
        answers = adapters.to_answers(data)
        assert answers.classes.tolist() == ["a", "b"]
        results.append(DEEMAggregator().fit(answers).labels_.tolist())
    assert results[0] == results[1]


def test_ordered_dictionaries_and_enums_keep_their_order() -> None:
    kind = pl.Enum(["lo", "mid", "hi"])
    frame = pl.DataFrame(
        {"task": [1, 2], "worker": [1, 1], "label": pl.Series(["hi", "lo"], dtype=kind)}
    )
    assert read(frame)[0] == ["lo", "hi"]


def test_dictionaries_with_repeats_nulls_and_differing_chunks() -> None:
    repeats = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", "a", "b"]))
    assert read(table(repeats))[0] == ["a", "b"]
    nulls = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", None, "b"]))
    assert read(table(nulls), missing="drop")[0] == ["a", "b"]
    chunks = pa.chunked_array(
        [pa.array(["b"]).dictionary_encode(), pa.array(["c", "a"]).dictionary_encode()]
    )
    assert read(table(chunks))[0] == ["a", "b", "c"]
    empty = table(pa.array([], pa.dictionary(pa.int8(), pa.string())), pa.array([], pa.string()))
    assert adapters.to_answers(empty).n_answers == 0


def test_run_ends_streams_batches_and_index_columns() -> None:
    runs = pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"])
    assert read(table(runs))[0] == ["a", "b"]
    plain = table(["a", "b"])
    for data in (plain.to_reader(), plain.to_batches()[0]):
        assert read(data)[0] == ["a", "b"]
    indexed = pd.DataFrame({"worker": [1], "label": ["x"]}, index=pd.Index(["t"], name="task"))
    assert adapters.to_answers(pa.Table.from_pandas(indexed)).tasks.tolist() == ["t"]


def test_integers_of_128_bits() -> None:
    frame = pl.DataFrame(
        {"task": pl.Series([2**100, 1], dtype=pl.Int128), "worker": [1, 1], "label": ["a", "b"]}
    )
    assert adapters.from_polars(frame).tasks.tolist() == [2**100, 1]


def test_of_a_lazy_frame_only_the_needed_columns_are_computed() -> None:
    frame = pl.LazyFrame({"task": [1], "worker": [1], "label": ["a"]}).with_columns(
        pl.col("label").map_elements(lambda _: 1 / 0, return_dtype=pl.Float64).alias("trap")
    )
    assert adapters.from_polars(frame).n_answers == 1


def test_row_column_missing_or_renamed() -> None:
    renamed = table(["a"]).rename_columns(["question", "worker", "label"])
    for data in (
        renamed,
        pl.from_arrow(renamed),
        pl.from_arrow(renamed).lazy(),
        renamed.to_pandas(),
    ):
        with pytest.raises(
            KeyError, match=r"missing columns 'task'; found 'question', 'worker', 'label'"
        ):
            adapters.to_answers(data)
        assert adapters.to_answers(data, columns={"task": "question"}).n_answers == 1
    with pytest.raises(MissingColumnError, match=r"Did you mean columns=\{'task': ' Task'\}"):
        adapters.to_answers(renamed.rename_columns([" Task", "worker", "label"]))
    with pytest.raises(ParameterError, match=r"columns renames 'question'.*Our name stands first"):
        adapters.to_answers(renamed, columns={"question": "task"})


def test_what_cannot_be_read_is_refused() -> None:
    twice = pa.table([[1], [1], [1], [2]], names=["task", "worker", "label", "label"])
    with pytest.raises(FormError, match=r"column 'label' .* stands 2 times"):
        adapters.from_arrow(twice)
    odd = pl.DataFrame(
        {"task": pl.Series([object()], dtype=pl.Object), "worker": [1], "label": [1]}
    )
    with pytest.raises(FormError, match=r"column 'task' has the polars type Object"):
        adapters.from_polars(odd)
    with pytest.raises(FormError, match=r"expected a polars DataFrame or LazyFrame, got DataFrame"):
        adapters.from_polars(pd.DataFrame())
    with pytest.raises(FormError, match=r"expected an Arrow table.*got ndarray"):
        adapters.from_arrow(np.zeros(3))


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, deem_crowd_adapters.plugin as p; p.deem_crowd_adapters(); "
        "heavy = {'pandas', 'torch', 'polars', 'pyarrow'} & set(sys.modules); assert not heavy, heavy; "
        "import pandas as pd, deem_crowd_adapters as a; "
        "a.from_long(pd.DataFrame({'task': [1], 'worker': [1], 'label': [1]})); assert 'polars' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
