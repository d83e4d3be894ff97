"""The code that messages advise runs on the input that raised them, and helps."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import deem_crowd_adapters
import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM, DEEMAggregator

pytestmark = pytest.mark.usefixtures("few_fits_throughout")

N = 30
TASKS = [f"t{i}" for i in range(N)]
CODE = r"((?:df|features|x|pd|np|deem_crowd_adapters)(?:\.\w+|\(.*\)|\[.*?\])+)"
"""An expression, up to the last bracket that closes in its sentence."""


def long(labels: list[Any] | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"task": np.repeat(TASKS, 3), "worker": np.tile(list("abc"), N)})
    if labels is None:
        return frame.assign(label=rng.integers(3, size=3 * N))
    values = [labels[i % len(labels)] for i in range(3 * N)]
    return frame.assign(label=pd.Series(values, dtype=object))


def wide() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(1).integers(3, size=(N, 4)), columns=list("abcd"))


def embeddings() -> pd.DataFrame:
    return pd.DataFrame({"task": TASKS, "vector": list(np.random.default_rng(2).random((N, 2)))})


def aggregate(frame: Any) -> Any:
    return DEEMAggregator().fit(frame)


def with_features(features: Any) -> Any:
    return DEEMAggregator().fit(long(), features=features)


def fit(x: Any) -> Any:
    return DEEM().fit(x)


def column(frame: pd.DataFrame, code: str) -> pd.DataFrame:
    """Run a remedy that stands for a column of the frame."""
    (name,) = set(re.findall(r"df\['(\w+)'\]", code))
    return frame.assign(**{name: eval(code, {"df": frame, "pd": pd, "np": np})})


def whole(data: Any, code: str) -> Any:
    """Run a remedy that stands for what was passed."""
    names = {"pd": pd, "np": np, "deem_crowd_adapters": deem_crowd_adapters}
    return eval(code, {**names, "df": data, "x": data, "features": data})


def gaps() -> np.ndarray:
    matrix = wide().to_numpy(dtype=float, copy=True)
    matrix[2, 1] = np.nan
    return matrix


CASES: dict[str, tuple[Any, Callable[[Any], Any], str, Callable[[Any, str], Any]]] = {
    "1 and 1.0": (long([1, 1.0, 2]), aggregate, r"e\.g\. CODE\.$", column),
    "1 and 1.0 and 2.5": (long([1, 1.0, 2.5]), aggregate, r"e\.g\. CODE\.$", column),
    "1 and 1.0 and inf": (long([1, 1.0, np.inf]), aggregate, r"e\.g\. CODE\.$", column),
    "1 and 1.0 and 2**70": (long([1, 1.0, 2**70]), aggregate, r"e\.g\. CODE\.$", column),
    "1 and '1'": (long([1, "1", 2]), aggregate, r"e\.g\. CODE\.$", column),
    "True and 1": (long([True, 1, 0]), aggregate, r"e\.g\. CODE\.$", column),
    "float16": (
        long().astype({"label": np.float16}), aggregate, r"e\.g\. CODE\.$", column,
    ),
    "Cat and cat": (long(["Cat", "cat ", "dog"]), aggregate, r"as one: (df.*?)\.(?: |$)", column),
    "no worker": (
        long().assign(worker=[None, *"bc", *list("abc") * (N - 1)]), aggregate,
        r"rows: CODE\.$", whole,
    ),
    "in the index": (long().set_index("task"), aggregate, r"call (df\.\w+\(\))", whole),
    "wide": (wide(), aggregate, r"use CODE\.$", whole),
    "another name": (long().rename(columns={"label": "answer"}), aggregate, r": CODE, if", whole),
    "-1": (long([-1, 0, 1]).astype({"label": int}), aggregate, r"it out: CODE, or", whole),
    "N/A": (long(["N/A", "x", "y"]), aggregate, r"rows out: CODE, or", whole),
    "NaN in a matrix": (gaps(), fit, r"missing: CODE\.$", whole),
    "one row": (np.array([0, 1, 1, 0]), fit, r"one row is CODE\.$", whole),
    "text in a wide frame": (wide().astype(str), fit, r"pass (\S+\(df\)),", whole),
    "ids in a wide frame": (wide().assign(id=range(100, 100 + N)), fit, r": (df\.drop\(.*?\));", whole),
    "a dict of features": (
        dict(zip(TASKS, np.random.default_rng(3).random((N, 2)).tolist(), strict=True)),
        with_features, r": CODE\.$", whole,
    ),
    "vectors in a column": (embeddings(), with_features, r"column: CODE\.$", whole),
    "vectors by task": (embeddings().set_index("task"), with_features, r"column: CODE\.$", whole),
}  # fmt: skip


def said(call: Callable[[Any], Any], data: Any) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call(data)
        except Exception as error:
            return str(error)
    return "\n".join(str(one.message) for one in caught)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_remedy_runs_and_ends_the_complaint(case: tuple[Any, ...]) -> None:
    data, call, pattern, run = case
    found = re.search(pattern.replace("CODE", CODE), said(call, data), re.MULTILINE)
    assert found is not None, said(call, data)
    mended = run(data, found[1])
    assert found[1] not in said(call, mended)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call(mended)
