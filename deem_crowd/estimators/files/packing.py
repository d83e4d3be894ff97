"""A fitted model as JSON and tensors, and back, with a check of all that is read."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from deem_crowd.estimators.files.checkpoint import Reader
from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.model import layers
from deem_crowd.model.energy import Energy
from deem_crowd.model.layers import ACTIVATIONS, MAX_WEIGHTS, Layers, MultinomialLayer
from deem_crowd.model.network import Network
from deem_crowd.model.units import UnitReading, Units
from deem_crowd.runtime.ambient import undisturbed
from deem_crowd.selection.candidates import Candidate
from deem_crowd.selection.opinion_pool import OpinionPool


def pack(model: FittedModel) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what JSON holds of a fitted model, and its tensors."""
    content: dict[str, Any] = {
        "n_classes": model.n_classes,
        "n_subtypes": model.energy.n_subtypes,
        "device": str(model.device),
        "dtype": model.dtype,
        "history": model.history,
        "label_unit": model.label_unit,
        "readings": [[r.score, r.breadth] for r in model.readings],
        "layers": None,
        "candidates": [plain_row(c) for c in model.candidates],
        "pool": None,
    }
    tensors = {
        "bias": model.energy.bias,
        "weight": model.energy.weight,
        "population": model.energy.population,
        "used": _tensor(model.used).long(),
        "class_map": _tensor(model.class_map).long(),
    }
    for name in ("priors", "confusion", "skills", "information"):
        tensors[name] = _tensor(getattr(model, name))
    if model.class_log_odds is not None:
        tensors["class_log_odds"] = _tensor(model.class_log_odds)
    if model.pool is not None:
        content["pool"] = {
            "weights": list(model.pool.weights),
            "floor": model.pool.floor,
            "correlation": model.pool.correlation,
            "caution": model.pool.caution,
            "smoothed": model.pool.smoothed,
            "unanswered": model.pool.unanswered,
            "class_log_odds": model.pool.class_log_odds,
            "class_shares": model.pool.class_shares,
            "n_subtypes": [energy.n_subtypes for energy in model.pool.energies],
        }
        for i, energy in enumerate(model.pool.energies):
            for name in ("bias", "weight", "population"):
                tensors[f"pool.{i}.{name}"] = getattr(energy, name)
    for unit, reading in enumerate(model.readings):
        tensors[f"readings.{unit}"] = _tensor(reading.skills)
    if model.units is not None:
        tensors |= _pack_units("units", model.units)
    if model.network is not None:
        tensors |= _pack_units("network", model.network)
        stack = model.network.layers
        assert stack is not None
        content["layers"] = {
            "activations": [_layer(stack, i).activation for i in range(len(stack.layers))],
            "one_hot": stack.one_hot,
            "use_softmax": stack.use_softmax,
        }
        for i in range(len(stack.layers)):
            tensors[f"layers.{i}.weight"] = _layer(stack, i).weight.detach()
            tensors[f"layers.{i}.offset"] = _layer(stack, i).offset.detach()
    return content, {name: tensor.clone() for name, tensor in tensors.items()}


@undisturbed
def unpack(reader: Reader) -> FittedModel:
    """Return the fitted model in a file.

    Raises
    ------
    FormError
        If anything is missing or does not fit together.
    """
    n_classes, m = reader.get("n_classes", int), reader.get("n_subtypes", int)
    used = reader.tensor("used", (None,), torch.int64).numpy()
    k = len(used)
    if m < 1 or n_classes < k or (np.diff(used) <= 0).any() or (k and not within(used, n_classes)):
        raise reader.damaged(f"classes {used.tolist()} of {n_classes} do not hold together")
    class_map = reader.tensor("class_map", (k,), torch.int64).numpy()
    if not np.array_equal(np.sort(class_map), np.arange(k)):
        raise reader.damaged("class_map is no permutation")
    skills = shares(reader, "skills", (None,))
    d = len(skills)
    network = _unpack_network(reader, d, k, m)
    n_seen = d if network is None else int(network.own.shape[0])
    units = _unpack_units(reader, "units", k, m, n_seen) if reader.has("units.bias") else None
    readings = _unpack_readings(reader, d)
    label_unit = reader.get("label_unit", int)
    if not 0 <= label_unit < max(1, len(readings)):
        raise reader.damaged(f"label_unit is {label_unit}")
    return FittedModel(
        energy=_energy(reader, "", n_seen, k, m),
        used=used,
        class_map=class_map,
        n_classes=n_classes,
        priors=shares(reader, "priors", (n_classes,), axis=0),
        confusion=shares(reader, "confusion", (d, k, k), axis=1),
        skills=skills,
        history=history(reader),
        device=_device(reader),
        dtype=_dtype(reader),
        network=network,
        units=units,
        label_unit=label_unit,
        readings=readings,
        pool=_unpack_pool(reader, d, k),
        candidates=unpack_candidates(reader),
        information=reader.tensor("information", (d,)).numpy(),
        class_log_odds=_unpack_log_odds(reader, n_classes),
    )


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def plain_row(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate for JSON, which has no NaN: those are None."""
    row = vars(candidate)
    return {k: None if isinstance(v, float) and v != v else v for k, v in row.items()}


def unpack_candidates(reader: Reader) -> tuple[Candidate, ...]:
    """Return the candidates in a file.

    Raises
    ------
    FormError
    """
    candidates = []
    names = [field.name for field in fields(Candidate)]
    for row in reader.get("candidates", list):
        if not isinstance(row, dict) or sorted(row) != sorted(names):
            raise reader.damaged(f"candidate {row!r} is incomplete")
        texts = isinstance(row["name"], str) and isinstance(row["why"], str)
        numbers = {k: v for k, v in row.items() if k not in ("name", "why")}
        if not texts or not all(v is None or isinstance(v, int | float) for v in numbers.values()):
            raise reader.damaged(f"candidate {row!r} is of other types")
        numbers = {k: float("nan") if v is None else float(v) for k, v in numbers.items()}
        candidates.append(Candidate(name=row["name"], why=row["why"], **numbers))
    return tuple(candidates)


def _unpack_pool(reader: Reader, d: int, k: int) -> OpinionPool | None:
    described = reader.get("pool", (dict, type(None)))
    if described is None:
        return None
    try:
        weights, subtypes = list(described["weights"]), list(described["n_subtypes"])
        floor = described["floor"]
        correlation, caution = described.get("correlation", 0.0), described.get("caution", 0.0)
        smoothed = described.get("smoothed", 1.0)
        unanswered, odds, known = (
            None if described.get(name) is None else tuple(described[name])
            for name in ("unanswered", "class_log_odds", "class_shares")
        )
    except (KeyError, TypeError) as error:
        raise reader.damaged("the description of the pool is incomplete") from error
    numbers = all(
        isinstance(w, float | int) and 0 <= w <= 1
        for w in [
            *weights,
            floor,
            correlation,
            caution,
            smoothed,
            *(unanswered or ()),
            *(known or ()),
        ]
    ) and all(
        one is None or (len(one) == k and abs(sum(one) - 1) < 1e-5) for one in (unanswered, known)
    )
    numbers &= odds is None or (
        len(odds) == k
        and all(isinstance(a, float | int) and abs(a) < _LARGEST_WEIGHT for a in odds)
    )
    whole = all(isinstance(m, int) and 1 <= m <= 64 for m in subtypes)
    if not (numbers and whole and len(weights) == len(subtypes) and abs(sum(weights) - 1) < 1e-6):
        raise reader.damaged(f"the pool is described as {described!r}")
    energies = tuple(_energy(reader, f"pool.{i}.", d, k, m) for i, m in enumerate(subtypes))
    return OpinionPool(
        energies,
        tuple(map(float, weights)),
        float(floor),
        float(correlation),
        unanswered,
        float(caution),
        float(smoothed),
        odds,
        known,
    )


_LARGEST_WEIGHT = 1e4
"""In nats; a factor of e^10,000 is none that training gives."""


def _unpack_log_odds(reader: Reader, n_classes: int) -> npt.NDArray[np.float64] | None:
    if not reader.has("class_log_odds"):
        return None
    odds: npt.NDArray[np.float64] = reader.tensor("class_log_odds", (n_classes,)).numpy()
    if odds.size and np.abs(odds).max() > _LARGEST_WEIGHT:
        raise reader.damaged(f"class_log_odds holds factors of e^{np.abs(odds).max():.3g}")
    return odds


def _energy(reader: Reader, prefix: str, d: int, k: int, m: int) -> Energy:
    """Return the energy whose tensors have that prefix.

    Raises
    ------
    FormError
    """
    shapes = {"bias": (k * m,), "weight": (d, k, k * m), "population": (k, k * m)}
    tensors = {name: reader.tensor(prefix + name, shape) for name, shape in shapes.items()}
    for name, tensor in tensors.items():
        if tensor.numel() and float(tensor.abs().max()) > _LARGEST_WEIGHT:
            raise reader.damaged(
                f"{prefix}{name} holds factors of e^{float(tensor.abs().max()):.3g}"
            )
    return Energy(tensors["bias"], tensors["weight"], tensors["population"], m)


def shares(
    reader: Reader, name: str, shape: tuple[int | None, ...], axis: int | None = None
) -> npt.NDArray[np.float64]:
    """Return a tensor of probabilities, whose sums along ``axis`` are 1.

    Raises
    ------
    FormError
    """
    values: npt.NDArray[np.float64] = reader.tensor(name, shape).numpy()
    if values.size and not (values.min() >= -1e-9 and values.max() <= 1 + 1e-9):
        raise reader.damaged(
            f"{name} are no probabilities: they lie between {values.min():.3g} and {values.max():.3g}"
        )
    if axis is not None and values.size and not np.allclose(values.sum(axis=axis), 1, atol=1e-5):
        raise reader.damaged(f"{name} do not sum to 1")
    return values


def within(values: np.ndarray[Any, Any], n: int) -> bool:
    """Tell whether numbers lie in 0..n-1."""
    return not values.size or bool(values.min() >= 0 and values.max() < n)


def _layer(stack: Layers, i: int) -> MultinomialLayer:
    layer = stack.layers[i]
    assert isinstance(layer, MultinomialLayer)
    return layer


def _pack_units(prefix: str, source: Units | Network) -> dict[str, Tensor]:
    """Return the tensors of units, in their own dtype, so that predictions stay bit-equal."""
    names = ("bias", "population", "own")
    return {f"{prefix}.{name}": getattr(source, name).detach() for name in names}


def _unpack_units(
    reader: Reader, prefix: str, k: int, m: int, n: int, dtype: torch.dtype = torch.float64
) -> Units:
    bias = reader.tensor(f"{prefix}.bias", (None, k * m), dtype)
    columns = bias.shape[0] * k * m + 1
    population = reader.tensor(f"{prefix}.population", (k, columns), dtype)
    return Units(bias, population, reader.tensor(f"{prefix}.own", (n, k, columns), dtype), m)


def _unpack_network(reader: Reader, d: int, k: int, m: int) -> Network | None:
    described = reader.get("layers", (dict, type(None)))
    if described is None:
        return None
    try:
        names = list(described["activations"])
        one_hot, use_softmax = described["one_hot"], described["use_softmax"]
    except (KeyError, TypeError) as error:
        raise reader.damaged("the description of the layers is incomplete") from error
    flags = isinstance(one_hot, bool) and isinstance(use_softmax, bool)
    if not names or not flags or any(name not in ACTIVATIONS for name in names):
        raise reader.damaged(f"the layers are described as {described!r}")
    stack, n_inputs = [], d
    for i, name in enumerate(names):
        dtype = _network_dtype(reader, f"layers.{i}.weight")
        weight = reader.tensor(f"layers.{i}.weight", (k, k, n_inputs, None), dtype)
        if weight.numel() > MAX_WEIGHTS:
            raise reader.damaged(f"layer {i} has {weight.numel():,} weights")
        layer = MultinomialLayer(k, n_inputs, weight.shape[3], name, dtype)
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.offset.copy_(reader.tensor(f"layers.{i}.offset", (k, weight.shape[3]), dtype))
        stack.append(layer)
        n_inputs = int(weight.shape[3])
    dtype = _network_dtype(reader, "network.bias")
    units = _unpack_units(reader, "network", k, m, n_inputs, dtype)
    return Network(units, layers.Layers(stack, one_hot, use_softmax)).eval()


def _network_dtype(reader: Reader, name: str) -> torch.dtype:
    dtype = reader.dtype_of(name)
    if dtype not in (torch.float32, torch.float64):
        raise reader.damaged(f"tensor {name!r} has dtype {dtype}")
    return dtype


def _unpack_readings(reader: Reader, d: int) -> tuple[UnitReading, ...]:
    pairs = reader.get("readings", list)
    readings = []
    for unit, pair in enumerate(pairs):
        numbers = isinstance(pair, list) and all(isinstance(x, int | float) for x in pair)
        if not numbers or len(pair) != 2:
            raise reader.damaged(f"reading {unit} is {pair!r}")
        skills = shares(reader, f"readings.{unit}", (d,))
        readings.append(UnitReading(float(pair[0]), skills, float(pair[1])))
    return tuple(readings)


def history(reader: Reader) -> dict[str, list[float]]:
    """Return what training noted, as a file has it.

    Raises
    ------
    FormError
    """
    stored = reader.get("history", dict)
    for name, values in stored.items():
        if not isinstance(values, list) or not all(isinstance(v, int | float) for v in values):
            raise reader.damaged(f"history {name!r} is no list of numbers")
    return dict(stored)


def _device(reader: Reader) -> str:
    """Return where predictions run: 'auto' if the model was saved on a device that is not here."""
    device: str = reader.get("device", str)
    return device if device in ("auto", "cpu") else "auto"


def _dtype(reader: Reader) -> str:
    dtype: str = reader.get("dtype", str)
    if dtype not in ("auto", "float32", "float64"):
        raise reader.damaged(f"dtype is {dtype!r}")
    return dtype
