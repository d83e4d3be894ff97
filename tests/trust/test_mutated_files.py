"""Files with anything in them: a documented error or a result, nothing executed, nothing crashed, memory bounded."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import tracemalloc
import zipfile
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


def exported(kind: str) -> bytes:
    """Return what a tool exports, in small: tasks 0 to 9, three people."""
    people, labels = ("ann", "bob", "cid"), ("x", "y", "x")
    pairs = [
        (task, who, label) for task in range(10) for who, label in zip(people, labels, strict=True)
    ]
    if kind == "studio.json":
        made: object = [
            {
                "id": task,
                "data": {"text": f"text {task}"},
                "annotations": [
                    {
                        "completed_by": {"email": who},
                        "result": [
                            {"from_name": "c", "type": "choices", "value": {"choices": [label]}}
                        ],
                    }
                    for who, label in zip(people, labels, strict=True)
                ],
            }
            for task in range(10)
        ]
    elif kind == "argilla.json":
        made = [
            {
                "id": str(task),
                "fields": {"text": f"text {task}"},
                "responses": {
                    "q": [{"user_id": w, "value": v} for w, v in zip(people, labels, strict=True)]
                },
            }
            for task in range(10)
        ]
    elif kind == "prodigy.jsonl":
        lines = [
            {
                "text": f"t{t}",
                "_input_hash": t,
                "_session_id": w,
                "options": [],
                "accept": [v],
                "answer": "accept",
            }
            for t, w, v in pairs
        ]
        return "".join(json.dumps(line) + "\n" for line in lines).encode()
    elif kind == "toloka.tsv":
        rows = [f"i{t}\t{v}\t{w}\tt{t}\tAPPROVED\n" for t, w, v in pairs]
        head = "INPUT:a\tOUTPUT:b\tASSIGNMENT:worker_id\tASSIGNMENT:task_id\tASSIGNMENT:status\n"
        return (head + "".join(rows)).encode()
    elif kind == "turk.csv":
        return (
            "HITId,WorkerId,Answer.q\n" + "".join(f"h{t},{w},{v}\n" for t, w, v in pairs)
        ).encode()
    elif kind == "matrix.npy":
        file = io.BytesIO()
        np.save(file, np.array([[0, 1, -1], [2, 1, 0]] * 20))
        return file.getvalue()
    else:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for who in people:
                rows = [{"id": t, "text": f"t{t}", "label": [v]} for t, w, v in pairs if w == who]
                archive.writestr(f"{who}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        return file.getvalue()
    return json.dumps(made).encode()


FILES = {kind: written(kind) for kind in ("csv", "tsv", "jsonl", "parquet", "csv.gz")}
EXPORTS = (
    "studio.json",
    "argilla.json",
    "prodigy.jsonl",
    "toloka.tsv",
    "turk.csv",
    "matrix.npy",
    "doccano.zip",
)
FILES |= {kind: exported(kind) for kind in EXPORTS}


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

    @wild.runs(50)
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

    @wild.runs(40)
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

    @wild.runs(40)
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
