"""Models on disk: bit-equal after a round trip, clear errors for what is damaged, nothing executed, nothing torn."""

from __future__ import annotations

import copy
import datetime
import functools
import io
import json
import os
import pickle
import struct
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from deem_crowd import DEEM, DEEMAggregator, samplers
from deem_crowd.estimators.files import checkpoint
from deem_crowd.exceptions import FormError, ParameterError, UnsupportedError

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(3, size=60)
DATA = np.where(RNG.random((60, 6)) < 0.7, TRUTH[:, None], RNG.integers(3, size=(60, 6)))
DATA[RNG.random((60, 6)) < 0.2] = -1
DATA[:, 0] = np.maximum(DATA[:, 0], 0)
SOFT = RNG.dirichlet(np.ones(3), size=(60, 6)).transpose(0, 2, 1) * (DATA >= 0)[:, None, :]
FRAME = pd.DataFrame(
    [(f"t{n}", f"w{i}", "abc"[DATA[n, i]]) for n, i in np.argwhere(DATA >= 0)],
    columns=["task", "worker", "label"],
)

GRID = {
    "plain": {},
    "subtypes": {"subtypes": 2},
    "free gauge": {"gauge": "free"},
    "number as penalty": {"penalty": 0.5},
    "no penalty, float32": {"penalty": None, "dtype": "float32"},
    "noisy start": {"init_method": "mv_rand", "random_state": 3},
    "two units": {"hidden_dim": 2},
    "sampled": {"sampler": "gibbs", "epochs": 2},
    "sampled, many units": {"hidden_dim": 8, "epochs": 2},
    "layers": {"use_preprocessing": True, "epochs": 2},
    "layers, float32": {"use_preprocessing": True, "epochs": 2, "dtype": "float32"},
    "two layers, two units": {"preprocessing_layer_widths": (4, 5), "epochs": 2, "hidden_dim": 2},
    "one-hot layers": {"preprocessing_layers": 1, "preprocessing_one_hot": True, "epochs": 2},
    "GELU": {"preprocessing_layers": 1, "preprocessing_activation": "gelu", "epochs": 2},
    "layers of units": {"preprocessing_layer_widths": [2], "preprocessing_init": "units"},
    "more classes": {"n_classes": 5},
}


@functools.cache
def fitted(name: str, soft: bool) -> DEEM:
    """Return a model of the grid, which no test changes."""
    return DEEM(**GRID[name]).fit(SOFT if soft else DATA)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("name", list(GRID))
def test_predictions_are_bit_equal_after_a_round_trip(name, soft, tmp_path) -> None:
    if soft and name == "more classes":
        pytest.skip("soft answers have as many classes as their array")
    data, model = SOFT if soft else DATA, fitted(name, soft)
    model.save(tmp_path / "model")
    again = DEEM.load(tmp_path / "model.safetensors")
    assert np.array_equal(model.predict_proba(data), again.predict_proba(data))
    assert np.array_equal(model.predict(data), again.predict(data))
    for attribute in (
        "class_map_",
        "priors_",
        "skills_",
        "confusion_",
        "unit_scores_",
        "unit_skills_",
    ):
        assert np.array_equal(getattr(model, attribute), getattr(again, attribute)), attribute
    assert again.history_ == model.history_
    assert again.label_unit_ == model.label_unit_
    kept = {k: list(v) if isinstance(v, tuple) else v for k, v in model.get_params().items()}
    assert again.get_params() == kept
    assert model.get_class_mapping() == again.get_class_mapping()


@pytest.mark.parametrize("name", list(GRID))
def test_copies_are_faithful(name) -> None:
    model = fitted(name, False)
    expected = model.predict_proba(DATA)
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), joblib.load(file)):
        assert np.array_equal(other.predict_proba(DATA), expected)
        assert other.get_params() == model.get_params()
    fresh = clone(model)
    assert not fresh.is_fitted_
    assert fresh.get_params() == model.get_params()
    assert np.array_equal(fresh.fit(DATA).predict_proba(DATA), expected)


@pytest.mark.parametrize("kind", [DEEM, DEEMAggregator])
def test_pickles_from_before_a_parameter_was_there_have_its_default(kind) -> None:
    model = kind(regions=3, ordered=False)
    del model.regions
    again = pickle.loads(pickle.dumps(model))
    assert again.regions == 1
    assert again.get_params() == kind(ordered=False).get_params()
    assert repr(again) == repr(kind(ordered=False))


IDS = {
    "strings": lambda values: values,
    "integers": lambda values: pd.factorize(values)[0] * 10**12 - 5,
    "floats": lambda values: pd.factorize(values)[0] / 8,
    "tuples": lambda values: [(v, i % 2, None) for i, v in enumerate(values)],
    "dates": lambda values: (
        pd.Timestamp("2020-02-29") + pd.to_timedelta(pd.factorize(values)[0], "D")
    ),
    "zoned times": lambda values: (
        pd.Timestamp("2020-02-29", tz="Europe/Berlin")
        + pd.to_timedelta(pd.factorize(values)[0], "h")
    ),
    "categories": lambda values: pd.Categorical(
        values, categories=[*sorted(set(values)), "unused"]
    ),
    "booleans": lambda values: np.array(pd.factorize(values)[0] % 2, dtype=bool),
    "unicode": lambda values: [f"{v} ☃\n\t'\"" for v in values],
    "date objects": lambda values: [
        datetime.date(2020, 1, 1) + datetime.timedelta(int(i)) for i in pd.factorize(values)[0]
    ],
}


@pytest.mark.parametrize("column", ["task", "worker", "label"])
@pytest.mark.parametrize("name", list(IDS))
def test_an_aggregator_keeps_its_ids(name, column, tmp_path) -> None:
    values = IDS[name](FRAME[column])
    if name == "tuples":
        values = pd.Series([(v, 0, None) for v in FRAME[column]])
    frame = FRAME.assign(**{column: values}).drop_duplicates(["task", "worker"])
    agg = DEEMAggregator(duplicates="first").fit(frame)
    agg.save(tmp_path / "m.safetensors")
    again = DEEMAggregator.load(tmp_path / "m.safetensors")
    pd.testing.assert_series_equal(again.labels_, agg.labels_)
    pd.testing.assert_frame_equal(again.probas_, agg.probas_)
    pd.testing.assert_series_equal(again.skills_, agg.skills_)
    pd.testing.assert_series_equal(again.priors_, agg.priors_)
    pd.testing.assert_frame_equal(again.errors_, agg.errors_)
    pd.testing.assert_frame_equal(again.predict_proba(frame), agg.predict_proba(frame))
    assert again.loss_history_ == agg.loss_history_


def test_loading_into_an_object(tmp_path) -> None:
    model = fitted("subtypes", False)
    model.save(tmp_path / "m")
    other = DEEM(gauge="free")
    assert other.load(tmp_path / "m") is other
    assert other.get_params() == model.get_params()
    assert np.array_equal(other.predict_proba(DATA), model.predict_proba(DATA))
    before = other.predict_proba(DATA)
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(FormError):
        other.load(tmp_path / "bad")
    assert np.array_equal(other.predict_proba(DATA), before)


def test_fit_writes_into_model_dir(tmp_path) -> None:
    folder = tmp_path / "new" / "folder"
    model = DEEM(model_dir=str(folder)).fit(DATA)
    again = DEEM.load(folder / "deem.safetensors")
    assert np.array_equal(again.predict_proba(DATA), model.predict_proba(DATA))
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        model.fit(DATA[:30], model_dir=tmp_path / "file")
    assert np.array_equal(again.predict_proba(DATA), model.predict_proba(DATA))


# ------------------------------------------------------------------ what is bad


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "good.safetensors"
    fitted("two units", False).save(path)
    return path


def changed(path: Path, target: Path, tensors=None, content=None, **metadata) -> Path:
    """Write the model again with something changed."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        kept = dict(file.metadata())
    kept |= metadata
    if content is not None:
        kept["content"] = json.dumps(content(json.loads(kept["content"])))
    found = load_file(path)
    if tensors is not None:
        found = tensors(found)
    save_file(found, target, kept)
    return target


def without(name):
    return lambda entries: {k: v for k, v in entries.items() if k != name}


FAULTS = {
    "missing tensor": ({"tensors": without("weight")}, "tensor 'weight' is missing"),
    "swapped tensors": (
        {"tensors": lambda t: {**t, "bias": t["skills"], "skills": t["bias"]}},
        "damaged: (tensor '.*' has shape|.* are no probabilities)",
    ),
    "wrong dtype": (
        {"tensors": lambda t: {**t, "weight": t["weight"].float()}},
        "tensor 'weight' has shape .* and dtype torch.float32, not .* torch.float64",
    ),
    "not finite": (
        {"tensors": lambda t: {**t, "weight": t["weight"] * np.nan}},
        "tensor 'weight' holds values that are not finite",
    ),
    "stranger": ({"tensors": lambda t: {**t, "x": torch.zeros(1)}}, "belong to no model: 'x'"),
    "no permutation": (
        {"tensors": lambda t: {**t, "class_map": t["class_map"] * 0}},
        "class_map is no permutation",
    ),
    "classes out of range": (
        {"tensors": lambda t: {**t, "used": t["used"] + 7}},
        "do not hold together",
    ),
    "wrong version": ({"version": "99"}, "has version '99' of the format; this release reads"),
    "other format": ({"format": "pt"}, "no model of deem-crowd's"),
    "other class": ({"kind": "DEEMAggregator"}, "holds a 'DEEMAggregator', not a 'DEEM'"),
    "missing entry": ({"content": without("n_classes")}, "entry 'n_classes' is missing"),
    "entry of another type": (
        {"content": lambda c: {**c, "n_classes": "3"}},
        "entry 'n_classes' is a str",
    ),
    "unknown parameter": (
        {"content": lambda c: {**c, "parameters": {**c["parameters"], "evil": 1}}},
        "sets parameters that there are not: 'evil'",
    ),
    "bad parameter": (
        {"content": lambda c: {**c, "parameters": {**c["parameters"], "tol": -1}}},
        "tol=-1 is not allowed",
    ),
    "bad layers": ({"content": lambda c: {**c, "layers": {"activations": ["exec"]}}}, "damaged"),
    "bad label unit": ({"content": lambda c: {**c, "label_unit": 5}}, "label_unit is 5"),
    "bad history": ({"content": lambda c: {**c, "history": {"loss": "x"}}}, "history 'loss'"),
    "no JSON": ({"content": None, "metadata": {"content": "{"}}, "JSON part cannot be read"),
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_damaged_files_are_refused(name, good, tmp_path) -> None:
    how, words = FAULTS[name]
    how = dict(how)
    extra = how.pop("metadata", {})
    path = changed(good, tmp_path / "bad.safetensors", **how, **extra) if not extra else None
    if path is None:
        from safetensors import safe_open

        with safe_open(good, "pt") as file:
            kept = dict(file.metadata())
        path = tmp_path / "bad.safetensors"
        save_file(load_file(good), path, {**kept, **extra})
    with pytest.raises((FormError, ParameterError), match=words) as caught:
        DEEM.load(path)
    if isinstance(caught.value, FormError):
        assert "bad.safetensors" in str(caught.value)


def test_truncated_files_are_refused(good, tmp_path) -> None:
    data = good.read_bytes()
    for length in (0, 4, 8, 100, len(data) // 2, len(data) - 1):
        path = tmp_path / "cut.safetensors"
        path.write_bytes(data[:length])
        with pytest.raises(FormError, match="is no model file, or a damaged one"):
            DEEM.load(path)


def test_mutated_files_never_do_worse_than_an_error(good, tmp_path) -> None:
    data = bytearray(good.read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / "mutated.safetensors"
    header = struct.unpack("<Q", data[:8])[0] + 8
    refused = 0
    for _ in range(300):
        mutated = bytearray(data)
        for place in rng.integers(0, header if rng.random() < 0.8 else len(data), size=3):
            mutated[place] = rng.integers(256)
        path.write_bytes(mutated)
        try:
            DEEM.load(path)
        except (FormError, ParameterError):
            refused += 1
    assert refused > 200


class Bomb:
    """Pickled, it would leave a mark when read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_pickles_are_never_executed(tmp_path) -> None:
    mark = tmp_path / "executed"
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(FormError, match="never pickles"):
        DEEM.load(path)
    torch.save({"weight": Bomb(mark)}, path)
    with pytest.raises(FormError, match="never pickles"):
        DEEM.load(path)
    assert not mark.exists()


def test_missing_files_and_paths() -> None:
    with pytest.raises(FileNotFoundError, match="there is no model file 'nowhere.safetensors'"):
        DEEM.load("nowhere")
    with pytest.raises(ParameterError, match="path=3"):
        DEEM.load(3)
    with pytest.raises(NotFittedError, match="no model to save"):
        DEEM().save("x")
    with pytest.raises(NotFittedError):
        DEEMAggregator().save("x")
    with pytest.raises(OSError, match="no_such_folder"):
        fitted("plain", False).save("no_such_folder/x")


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "m.safetensors"
    fitted("plain", False).save(path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        fitted("subtypes", False).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_objects_cannot_be_written(tmp_path) -> None:
    model = DEEM(sampler=samplers.Gibbs(), epochs=1).fit(DATA)
    with pytest.raises(UnsupportedError, match="sampler=.* by its registered name"):
        model.save(tmp_path / "m")
    strange = FRAME.assign(worker=[complex(i) for i in pd.factorize(FRAME["worker"])[0]])
    strange = strange.astype({"worker": object})
    with pytest.raises(UnsupportedError, match="worker ids .* no complex"):
        DEEMAggregator().fit(strange).save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_the_file_can_be_read_by_others(good) -> None:
    tensors = load_file(good)
    assert tensors["weight"].shape == (6, 3, 3)
    assert checkpoint.destination("a/b") == Path("a/b.safetensors")
    assert checkpoint.destination("a/b.model") == Path("a/b.model")
