"""Types at the door: accepted and returned as they came, or refused with the column and the type."""

from __future__ import annotations

import datetime
import decimal
import functools
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from deem_crowd_adapters import to_answers

from cases import Case
from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.exceptions import DeemCrowdError

LABEL = [0, 1, 0, 0, 1, 1, 1, 0]
PARTS = {
    "task": [0, 0, 1, 1, 0, 0, 1, 1],
    "worker": [0, 1, 0, 1, 0, 1, 0, 1],
    "label": LABEL,
}

# ------------------------------------------------------------------------- tensors

MATRIX = torch.tensor([[0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]])
TENSORS: dict[str, tuple[Callable[[], Any], str]] = {
    **{
        str(dtype): (functools.partial(MATRIX.to, dtype), "works")
        for dtype in (
            torch.bool, torch.int8, torch.int16, torch.int32, torch.uint8, torch.uint16, torch.float16, torch.bfloat16,
            torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2,
        )
    },
    "a negative view": (lambda: torch._neg_view(-MATRIX.double()), "works"),
    "with gradients": (lambda: MATRIX.double().requires_grad_(), "works"),
    "transposed": (lambda: MATRIX.T.contiguous().T, "works"),
    "complex": (lambda: torch.complex(MATRIX.double(), MATRIX.double()), "refused: "),
    "conjugate": (lambda: torch.complex(MATRIX.double(), MATRIX.double()).conj(), "refused: "),
    "sparse": (lambda: MATRIX.double().to_sparse(), "refused: {} are a sparse_coo tensor"),
    "sparse rows": (lambda: MATRIX.double().to_sparse_csr(), "refused: {} are a sparse_csr tensor"),
    "meta": (lambda: MATRIX.to("meta"), "refused: {} are a meta tensor"),
    "quantised": (
        lambda: torch.quantize_per_tensor(MATRIX.float(), 1.0, 0, torch.qint8),
        "refused: {} are a quantised tensor",
    ),
    "nested": (
        lambda: torch.nested.nested_tensor([MATRIX[0].float(), MATRIX[1, :2].float()]),
        "refused: {} are a nested tensor",
    ),
}  # fmt: skip


def predictions(make: Callable[[], Any], folder: Path) -> None:
    model, same = DEEM(n_classes=2).fit(MATRIX), DEEM(n_classes=2).fit(make())
    np.testing.assert_array_equal(same.predict(make()), model.predict(MATRIX))


def features(make: Callable[[], Any], folder: Path) -> None:
    model = DEEM(n_classes=2).fit(MATRIX, features=make())
    same = DEEM(n_classes=2).fit(MATRIX, features=MATRIX.double())
    np.testing.assert_array_equal(model.predict(MATRIX), same.predict(MATRIX))


# ----------------------------------------------------------------- Arrow, parquet

DAYS = [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)]
TIMES = [datetime.datetime(2020, 1, 1), datetime.datetime(9999, 1, 1)]
NUMBERS = [decimal.Decimal("1.10"), decimal.Decimal("2.20")]
ARROW: dict[str, tuple[list[Any], pa.DataType]] = {
    **{
        str(kind): ([0, 1], kind)
        for kind in (pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16(), pa.uint32())
    },
    "int64": ([-(2**63), 2**63 - 1], pa.int64()),
    "uint64": ([0, 2**63 + 5], pa.uint64()),
    "float": ([0.1, 0.2], pa.float32()),
    "double": ([0.1, 0.2], pa.float64()),
    "bool": ([True, False], pa.bool_()),
    **{
        str(kind): (["x", "y"], kind) for kind in (pa.string(), pa.large_string(), pa.string_view())
    },
    **{
        str(kind): ([b"x", b"y"], kind)
        for kind in (pa.binary(), pa.large_binary(), pa.binary(1), pa.binary_view())
    },
    **{str(kind): (DAYS, kind) for kind in (pa.date32(), pa.date64())},
    **{
        str(kind): (TIMES, kind)
        for kind in (pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("us", "UTC"))
    },
    "time": ([datetime.time(1), datetime.time(2)], pa.time64("us")),
    "duration": ([datetime.timedelta(1), datetime.timedelta(2)], pa.duration("us")),
    **{
        str(kind): (NUMBERS, kind)
        for kind in (pa.decimal32(5, 2), pa.decimal64(5, 2), pa.decimal128(5, 2))
    },
    "dictionary": (["x", "y"], pa.dictionary(pa.int8(), pa.string())),
    "uuid": ([uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes], pa.uuid()),
    "bool8": ([0, 1], pa.bool8()),
}
NESTED: dict[str, pa.Array] = {
    str(kind): pa.array([[["x"], ["y"]][code] for code in LABEL], kind)
    for kind in (
        pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_(pa.string(), 1), pa.list_view(pa.string()),
    )
} | {
    "struct": pa.array([{"a": code} for code in LABEL]),
    "map": pa.array([[("a", code)] for code in LABEL], pa.map_(pa.string(), pa.int64())),
    "union": pa.UnionArray.from_sparse(
        pa.array(LABEL, pa.int8()), [pa.array([1] * 8), pa.array(["x"] * 8)]
    ),
    "dictionary of lists": pa.DictionaryArray.from_arrays(
        pa.array(LABEL, pa.int8()), pa.array([["x"], ["y"]])
    ),
    "calendar interval": pa.array([pa.MonthDayNano([1, 2, code]) for code in LABEL]),
    "half floats": pa.array(np.array([0.5, 1.5], "f2")[LABEL]),
    "a dictionary of half floats": pa.DictionaryArray.from_arrays(
        pa.array(LABEL, pa.int8()), pa.array(np.array([0.5, 1.5], "f2"))
    ),
}  # fmt: skip
WITHOUT_PARQUET = (
    "union",
    "dictionary of lists",
    "calendar interval",
    "a dictionary of half floats",
)


def table(part: str, column: pa.Array) -> pa.Table:
    return pa.table({name: pa.array(codes) for name, codes in PARTS.items()} | {part: column})


def arrow_column(name: str, part: str) -> pa.Array:
    values, kind = ARROW[name]
    if isinstance(kind, pa.BaseExtensionType):
        stored = pa.array([values[code] for code in PARTS[part]], kind.storage_type)
        return pa.ExtensionArray.from_storage(kind, stored)
    return pa.array([values[code] for code in PARTS[part]], kind)


def agree(name: str, part: str, folder: Path) -> None:
    """Tables, files read whole and files read piece by piece give the same ids, of the same dtype."""
    data = table(part, arrow_column(name, part))
    pq.write_table(data, "a.parquet")
    data = pq.read_table("a.parquet")  # seconds become milliseconds there, for instance
    found = [to_answers(data), to_answers("a.parquet"), Answers.from_parquet("a.parquet")]
    index = {"task": "tasks", "worker": "workers", "label": "classes"}[part]
    for other in found[1:]:
        pd.testing.assert_index_equal(getattr(other, index), getattr(found[0], index), exact=True)
        np.testing.assert_array_equal(other.worker, found[0].worker)
        np.testing.assert_array_equal(other.label, found[0].label)
    model = DEEMAggregator().fit(found[0])
    assert model.probas_.columns.dtype == found[0].classes.dtype
    assert (model.labels_.index == found[0].tasks).all()


def refused_alike(name: str, part: str, folder: Path) -> None:
    data = table(part, NESTED[name])
    readers: list[Callable[[], Any]] = [
        lambda: DEEMAggregator().fit(data),
        lambda: to_answers(data),
    ]
    if name not in WITHOUT_PARQUET:
        pq.write_table(data, "a.parquet")
        readers += [lambda: to_answers("a.parquet"), lambda: Answers.from_parquet("a.parquet")]
    for reader in readers[1:]:
        try:
            reader()
        except DeemCrowdError as error:
            said = str(error)
        else:
            said = "nothing"
        assert f"column '{part}' holds " in said, said
    readers[0]()


# -------------------------------------------------------------------------- pandas


def extension(column: pa.Array) -> pd.Series:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([column])))


OVERLAPPING = pd.IntervalIndex.from_tuples([(0, 2), (1, 3)])
APART = pd.IntervalIndex.from_tuples([(0, 1), (1, 2)])
PANDAS: dict[str, tuple[Callable[[list[int]], Any], str]] = {
    "overlapping intervals": (lambda c: OVERLAPPING.take(c), "refused: intervals that overlap"),
    "intervals": (lambda c: APART.take(c), "works"),
    "S-bytes": (lambda c: np.array([b"x", b"y"], "S1")[c], "works"),
    "float16": (lambda c: np.array([0.5, 1.5], "f2")[c], "refused: holds float16, "),
    "longdouble": (lambda c: np.array([0, 1], np.longdouble)[c], "refused: float"),
    "strings kept by Python": (
        lambda c: pd.array(["x", "y"], dtype=pd.StringDtype("python")).take(c),
        "works",
    ),
    "datetime64 objects": (
        lambda c: pd.Series([np.datetime64("2020"), np.datetime64("2021")], dtype=object)[c].array,
        "works",
    ),
    "uuid objects": (lambda c: pd.Series([uuid.UUID(int=1), uuid.UUID(int=2)])[c].array, "works"),
    "periods": (lambda c: pd.period_range("2020", periods=2, freq="Y").take(c), "works"),
    "sparse": (lambda c: pd.arrays.SparseArray(np.array([0, 1])[c]), "works"),
    "frozensets": (lambda c: pd.Series([frozenset("a"), frozenset("ab")])[c].array, "works"),
    "Arrow decimals": (lambda c: extension(pa.array([NUMBERS[i] for i in c])).array, "works"),
    "Arrow bytes": (lambda c: extension(pa.array([[b"x", b"y"][i] for i in c])).array, "works"),
    "Arrow dictionary": (
        lambda c: extension(pa.array([["x", "y"][i] for i in c]).dictionary_encode()).array,
        "works",
    ),
    "Arrow half floats": (
        lambda c: extension(pa.array(np.array([0.5, 1.5], "f2")[c])).array,
        "refused: halffloat",
    ),
    "Arrow string_view": (
        lambda c: extension(pa.array([["x", "y"][i] for i in c], pa.string_view())).array,
        "refused: string_view",
    ),
    "Arrow uuid": (
        lambda c: extension(pa.ExtensionArray.from_storage(
            pa.uuid(), pa.array([uuid.UUID(int=i).bytes for i in c], pa.binary(16)))).array,
        "refused: extension<arrow.uuid>",
    ),
    **{
        f"Arrow {name}": (lambda c, name=name: extension(NESTED[name]).array, "refused: column '{}' holds ")
        for name in ("struct", "map", "list<item: string>", "dictionary of lists", "calendar interval")
    },
}  # fmt: skip


def in_frame(make: Callable[[list[int]], Any], part: str, folder: Path) -> None:
    frame = pd.DataFrame(PARTS)
    if part == "task":
        frame["worker"] = range(len(frame))
    frame[part] = make(PARTS[part])
    model = DEEMAggregator().fit(frame)
    model.predict(frame)
    back = {"task": model.labels_.index, "worker": model.skills_.index, "label": model.labels_}[
        part
    ]
    assert set(back) <= set(frame[part])


CASES = [
    *(
        Case("types at the door", f"predictions, tensor {name}", functools.partial(predictions, make),
             expected.format("predictions"))
        for name, (make, expected) in TENSORS.items()
    ),
    *(
        Case("types at the door", f"features, tensor {name}", functools.partial(features, make),
             expected.format("features"))
        for name, (make, expected) in TENSORS.items()
    ),
    *(
        Case("types at the door", f"Arrow {name} as {part}", functools.partial(agree, name, part))
        for name in ARROW for part in PARTS
    ),
    *(
        Case("types at the door", f"Arrow {name} as {part}", functools.partial(refused_alike, name, part),
             f"refused: column '{part}' holds ")
        for name in NESTED for part in PARTS
    ),
    *(
        Case("types at the door", f"pandas {name} as {part}", functools.partial(in_frame, make, part),
             expected.format(part))
        for name, (make, expected) in PANDAS.items() for part in PARTS
    ),
]  # fmt: skip
