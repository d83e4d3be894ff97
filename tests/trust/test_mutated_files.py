"""Files with anything in them: a documented error or a result, nothing executed, nothing crashed, memory bounded."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wild
from deem_crowd_adapters import from_file
from hypothesis import given
from hypothesis import strategies as st

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.exceptions import DataError, FormError, ParameterError

FRAME = pd.DataFrame(
    {
        "task": [f"t{i // 3}" for i in range(30)],
        "worker": [i % 3 for i in range(30)],
        "label": ["x", "y", "x", "x", "z", "z"] * 5,
    }
)
BOUND = 64 * 2**20
"""Bytes that reading a file of a few thousand may take, whatever is in it."""


def written(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "csv":
        FRAME.to_csv(file, index=False)
    elif kind == "tsv":
        FRAME.to_csv(file, index=False, sep="\t")
    elif kind == "jsonl":
        FRAME.to_json(file, orient="records", lines=True)
    elif kind == "parquet":
        FRAME.to_parquet(file)
    elif kind == "csv.gz":
        file.write(gzip.compress(FRAME.to_csv(index=False).encode(), mtime=0))
    return file.getvalue()


FILES = {kind: written(kind) for kind in ("csv", "tsv", "jsonl", "parquet", "csv.gz")}


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """Flip, cut, double, insert and overwrite pieces of a file."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        how = draw(st.sampled_from(["flip", "cut", "insert", "double", "end", "number"]))
        if how == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif how == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif how == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 60))]
        elif how == "end":
            del data[at:]
        else:  # lengths and offsets are numbers like these
            size = draw(st.sampled_from([4, 8]))
            data[at : at + size] = draw(
                st.sampled_from([2**31 - 1, 2**32 - 1, 2**16, 0, 2**20 + 1])
            ).to_bytes(8, "little")[:size]
    return bytes(data)


@pytest.mark.parametrize("kind", sorted(FILES))
def test_readers(kind, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("mutated") / f"a.{kind}"
    seen = {"read": 0, "refused": 0}

    @wild.runs(120)
    @given(mutated(FILES[kind]))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        tracemalloc.start()
        try:
            read = [lambda: from_file(str(path), missing="drop")]
            if kind == "parquet":
                read.append(lambda: Answers.from_parquet(path, missing="drop"))
            for one in read:
                found = wild.quietly(one)
                seen["refused" if isinstance(found, Exception) else "read"] += 1
                assert isinstance(found, Answers | DataError)
            assert tracemalloc.get_traced_memory()[1] < BOUND
        finally:
            tracemalloc.stop()

    check()
    assert seen["refused"]


def fitted(tmp: Path) -> dict[str, bytes]:
    """Return model files of every kind of model."""
    data = np.random.default_rng(0).integers(0, 3, (40, 4))
    layers = {"preprocessing_layers": 1, "epochs": 1}
    models = {
        "default": DEEM(),
        "plain": DEEM(auto_hyperparameters=False),
        "units": DEEM(hidden_dim=2, epochs=5),
        "layers": DEEM(**layers),
    }
    files = {}
    for name, model in models.items():
        wild.quietly(lambda model=model: model.fit(data))
        model.save(tmp / name)
        files[name] = (tmp / f"{name}.safetensors").read_bytes()
    aggregator = DEEMAggregator()
    wild.quietly(lambda: aggregator.fit(FRAME))
    aggregator.save(tmp / "aggregator")
    files["aggregator"] = (tmp / "aggregator.safetensors").read_bytes()
    return files


@pytest.fixture(scope="module")
def model_files(tmp_path_factory) -> dict[str, bytes]:
    return fitted(tmp_path_factory.mktemp("models"))


KINDS = ["default", "plain", "units", "layers", "aggregator"]


@pytest.mark.parametrize("kind", KINDS)
def test_model_files(kind, model_files, tmp_path) -> None:
    path = tmp_path / "m.safetensors"
    owner = DEEMAggregator if kind == "aggregator" else DEEM
    keeper = owner(random_state=7)

    @wild.runs(100)
    @given(mutated(model_files[kind]))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        before = dict(vars(keeper))
        found = wild.quietly(lambda: owner.load(path))
        if isinstance(found, Exception):
            assert isinstance(found, FormError | ParameterError)
            with pytest.raises(type(found)):
                keeper.load(path)
            assert vars(keeper) == before  # what fails to load changes nothing
        else:
            use(found)

    check()


def use(model: DEEM | DEEMAggregator) -> None:
    """Predict with a model that could be loaded: it may be wrong, and must not crash."""
    if isinstance(model, DEEMAggregator):
        data: pd.DataFrame | np.ndarray = FRAME
    else:
        data = np.zeros((3, model.n_classifiers_), dtype=int)
    found = wild.quietly(lambda: model.predict_proba(data))
    if not isinstance(found, Exception):
        assert np.isfinite(np.asarray(found)).all()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", KINDS)
def test_model_files_of_sound_form_and_wild_content(kind, model_files, tmp_path) -> None:
    """The JSON inside is replaced entry by entry, so that checks behind the first one are reached."""
    whole = model_files[kind]
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    content = json.loads(header["__metadata__"]["content"])
    path = tmp_path / "m.safetensors"
    owner = DEEMAggregator if kind == "aggregator" else DEEM

    def places(value, prefix=()):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield (*prefix, key)
            if isinstance(value[key], dict | list):
                yield from places(value[key], (*prefix, key))

    @wild.runs(100)
    @given(st.sampled_from(list(places(content))), JSON, st.booleans())
    def check(place, value, remove) -> None:
        changed = json.loads(json.dumps(content))
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        if remove:
            del inner[place[-1]]
        else:
            inner[place[-1]] = value
        meta = {**header["__metadata__"], "content": json.dumps(changed)}
        text = json.dumps({**header, "__metadata__": meta}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])
        found = wild.quietly(lambda: owner.load(path))
        if isinstance(found, Exception):
            assert isinstance(found, FormError | ParameterError)
        else:
            use(found)

    check()


class Bomb:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("name", ["m.safetensors", "m.pkl", "m.pt"])
def test_a_pickle_is_no_model_file(name, tmp_path, monkeypatch) -> None:
    import pickle

    import torch

    monkeypatch.chdir(tmp_path)
    for write in (lambda: Path(name).write_bytes(pickle.dumps(Bomb())), lambda: torch.save(Bomb(), name)):  # fmt: skip
        write()
        for owner in (DEEM, DEEMAggregator):
            with pytest.raises(FormError, match="never pickles"):
                owner.load(name)
        assert not os.path.exists("executed")


def test_ids_in_model_files_are_data(tmp_path) -> None:
    frame = FRAME.assign(worker=["__import__('os').mkdir('executed')"] * 15 + ["${IFS}"] * 15)
    frame = frame.drop_duplicates(["task", "worker"])
    model = DEEMAggregator()
    wild.quietly(lambda: model.fit(frame))
    model.save(tmp_path / "m")
    loaded = DEEMAggregator.load(tmp_path / "m")
    assert list(loaded.skills_.index) == list(model.skills_.index)
    assert not os.path.exists("executed")
