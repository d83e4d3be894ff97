"""Frames, arrays and parameters as nobody should send them, and what has to hold of whatever comes back."""

from __future__ import annotations

import datetime
import decimal
import warnings
from typing import Any

import numpy as np
import pandas as pd
from examples import SCALE as SCALE
from examples import runs as runs
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from deem_crowd.exceptions import DataWarning, DeemCrowdError
from deem_crowd.model.votes import TIE

TEXT = st.one_of(
    st.sampled_from(["a", "b", "", " ", "task", "label", "nan", "1", "=1+1", "<script>", "\x00"]),
    st.text(max_size=3),
)
SCALARS = st.one_of(
    TEXT,
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.floats(),
    st.none(),
    st.tuples(st.integers(0, 2), TEXT),
    st.just([1, 2]),
    st.just({}),
    st.binary(max_size=2),
    st.dates(),
    st.sampled_from([pd.NA, pd.NaT, np.float32(1), np.int8(1), np.bool_(True), decimal.Decimal(1)]),
    st.frozensets(st.integers(0, 2), max_size=2),
)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "int64": st.integers(-3, 3),
    "uint8": st.integers(0, 255),
    "Int64": st.one_of(st.integers(-3, 3), st.none()),
    "float64": st.one_of(st.floats(), st.integers(-3, 3).map(float)),
    "float16": st.sampled_from([0.0, -0.0, 1.0, np.nan, np.inf]),
    "bool": st.booleans(),
    "boolean": st.one_of(st.booleans(), st.none()),
    "str": st.one_of(TEXT, st.none()),
    "string": st.one_of(TEXT, st.none()),
    "string[pyarrow]": st.one_of(TEXT, st.none()),
    "category": st.one_of(TEXT, st.integers(0, 2)),
    "complex128": st.sampled_from([1j, 2.0, 0j]),
    "datetime64[ns]": st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2100, 1, 1)),
    "timedelta64[ns]": st.timedeltas(datetime.timedelta(-9), datetime.timedelta(9)),
    "object": SCALARS,
    "few objects": st.sampled_from(["x", "y", 1, None]),
}


@st.composite
def columns(draw: st.DrawFn, size: int) -> pd.Series:
    kind = draw(st.sampled_from(sorted(KINDS)))
    pool = draw(st.lists(KINDS[kind], min_size=1, max_size=6))
    picks = draw(st.lists(st.sampled_from(range(len(pool))), min_size=size, max_size=size))
    out = np.empty(size, dtype=object)
    for place, pick in enumerate(picks):
        out[place] = pool[pick]
    if kind in ("object", "few objects"):
        return pd.Series(out, dtype=object)
    return pd.Series(list(out), dtype=kind)


@st.composite
def crowds(draw: st.DrawFn, max_rows: int = 40) -> pd.DataFrame:
    """Sound frames of every density and skew: few or many tasks, one worker or a heavy tail of them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.integers(1, max_rows))
    n, d, k = (draw(st.sampled_from([1, 2, 3, 8, 40])) for _ in range(3))
    power = draw(st.sampled_from([0.0, 1.0, 3.0]))
    share = 1.0 / np.arange(1, d + 1) ** power
    task, worker = rng.integers(n, size=size), rng.choice(d, size=size, p=share / share.sum())
    truth, skill = rng.integers(k, size=n), draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    label = np.where(rng.random(size) < skill, truth[task], rng.integers(k, size=size))
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    if draw(st.booleans()):
        frame = frame.drop_duplicates(["task", "worker"])
    return frame


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Frames of any kind: sound ones, and such as break any rule there is."""
    frame = draw(crowds())
    if draw(st.booleans()):
        for name in draw(st.lists(st.sampled_from(["task", "worker", "label"]), max_size=3)):
            frame[name] = draw(columns(len(frame))).set_axis(frame.index)
    change = draw(
        st.sampled_from(["", "", "", "rows", "drop", "twice", "extra", "index", "levels"])
    )
    if change == "rows":
        frame = frame.sample(frac=1, replace=True, random_state=draw(st.integers(0, 9)))
    if change == "drop":
        frame = frame.drop(columns=draw(st.sampled_from(list(frame.columns))))
    if change == "twice":
        frame = pd.concat([frame, frame[[draw(st.sampled_from(list(frame.columns)))]]], axis=1)
    if change == "extra":
        frame = frame.assign(posterior=1, weight="x")[["posterior", "label", "worker", "weight", "task"]]  # fmt: skip
    if change == "index":
        frame = frame.set_axis(pd.Index(frame["task"].astype(object), name="task"), axis=0)
    if change == "levels":
        frame = frame.set_axis(pd.MultiIndex.from_product([frame.columns, [""]]), axis=1)
    return frame


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Matrices and tensors of any kind."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, d, k = (draw(st.sampled_from([0, 1, 2, 3, 7])) for _ in range(3))
    if draw(st.booleans()):
        found: Any = rng.integers(-1, max(k, 0), (n, d)) if k else np.full((n, d), -1)
        kind = draw(
            st.sampled_from(["int64", "int8", "float32", "bool", "object", "uint16", "str"])
        )
        found = found.clip(0) if kind in ("uint16", "bool") else found
        found = found.astype(kind)
        spoil: list[Any] = [np.nan, np.inf, 1.5, -7, 10**9]
    else:
        found = rng.dirichlet(np.ones(max(k, 1)), (n, d)).transpose(0, 2, 1)[:, :k].copy()
        found = found.astype(draw(st.sampled_from(["float64", "float32", "float16"])))
        found[rng.random((n, k, d)).any(axis=1)[:, None, :].repeat(k, 1) & draw(st.booleans())] = 0
        spoil = [np.nan, -1.0, np.inf, 5.0, 0.0]
    if found.size and found.dtype.kind == "f" and draw(st.booleans()):
        found.flat[draw(st.integers(0, found.size - 1))] = draw(st.sampled_from(spoil))
    return draw(
        st.sampled_from(
            [
                found,
                found[::-1],
                np.asfortranarray(found),
                found.tolist(),
                found[..., :0],
                found[:1],
            ]
        )
    )


JUNK = st.sampled_from(
    [None, -1, 0, 1, 2, 1.5, 1e308, float("nan"), "", "mv", True, [], "auto", {}]
)
PARAMETERS: dict[str, st.SearchStrategy[Any]] = {
    "n_iter": st.integers(0, 30),
    "tol": st.sampled_from([0.0, 1e-6, 1.0]),
    "subtypes": st.integers(1, 3),
    "gauge": st.sampled_from(["auto", "normalised", "free"]),
    "penalty": st.sampled_from(["learned", None, 0.5, 0.0]),
    "init_method": st.sampled_from(["mv", "mv_rand", "mv_lo", "rand"]),
    "use_weighted": st.booleans(),
    "auto_hyperparameters": st.sampled_from([None, False, True]),
    "hidden_dim": st.integers(1, 3),
    "missing": st.sampled_from(["error", "drop"]),
    "duplicates": st.sampled_from(["error", "last", "first"]),
    "dtype": st.sampled_from(["auto", "float32", "float64"]),
    "random_state": st.one_of(st.none(), st.integers(0, 3)),
}


@st.composite
def parameters(draw: st.DrawFn, junk: bool = True) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(sorted(PARAMETERS)), max_size=4, unique=True))
    wild = junk and draw(st.integers(0, 9)) == 0
    return {name: draw(JUNK if wild else PARAMETERS[name]) for name in chosen}


def quietly(action: Any) -> Any:
    """Return what an action returns, or the error that it may raise; only documented warnings pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DataWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            return action()
        except DeemCrowdError as error:
            found = error
    if not str(found):
        raise AssertionError("an error has to say something")
    return found


def check_aggregator(model: Any) -> None:
    """Check all that has to hold of a fitted DEEMAggregator."""
    probas, labels = model.probas_, model.labels_
    values = probas.to_numpy()
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    if probas.shape[1]:
        np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-6)
    assert labels.index.equals(probas.index)
    assert not labels.index.has_duplicates
    there = labels.notna().to_numpy()
    chosen = probas.columns.get_indexer(pd.Index(labels[there], tupleize_cols=False))
    assert (chosen >= 0).all()
    own = values[np.flatnonzero(there), chosen]
    assert (own >= values[there].max(axis=1, initial=0) - TIE).all()
    assert model.skills_.between(0, 1).all()
    assert np.isfinite(model.priors_).all()
    assert len(model.priors_) == probas.shape[1]
    errors = model.errors_
    assert len(errors) == len(model.skills_) * probas.shape[1]
    if len(errors):
        assert np.isfinite(errors.to_numpy()).all()
    assert all(np.isfinite(model.loss_history_))
