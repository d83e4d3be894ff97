"""What of a fitted model goes into a file, and back, whichever kind of model it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from deem_crowd.estimators.files import packing
from deem_crowd.estimators.files.checkpoint import Reader
from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.model.named_classes import NamedPosterior, summed
from deem_crowd.selection.many_classes import SparsePool
from deem_crowd.training.sparse_tables import SparseTables

_NUMBERS = ("average", "strength", "concentration")
_ARRAYS = (
    "accuracy", "prior", "error_key", "error_count", "error_total", "column_key", "column_count", "cell_key",
    "cell_count",
)  # fmt: skip
_INFINITE = -1.0
"""What stands for an infinite strength, which JSON has no number for."""


def pack(model: FittedModel | SparseModel) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what JSON holds of a fitted model, and its tensors."""
    if isinstance(model, FittedModel):
        return packing.pack(model)
    parts = {"shown": model.tables}
    parts |= {f"pool.{i}": tables for i, tables in enumerate(model.pool.members)}
    content: dict[str, Any] = {
        "n_classes": model.n_classes,
        "history": model.history,
        "candidates": [packing.plain_row(c) for c in model.candidates],
        "sparse": {
            "weights": list(model.pool.weights),
            "floor": model.pool.floor,
            "correlation": model.pool.correlation,
            "caution": model.pool.caution,
            "tables": {name: _numbers(tables) for name, tables in parts.items()},
        },
    }
    tensors = {
        f"{name}.{array}": _tensor(getattr(tables, array))
        for name, tables in parts.items()
        for array in _ARRAYS
    }
    for name in ("used", "priors", "skills", "information"):
        tensors[name] = _tensor(getattr(model, name))
    return content, tensors


def unpack(reader: Reader) -> FittedModel | SparseModel:
    """Return the fitted model in a file.

    Raises
    ------
    FormError
        If anything is missing or does not fit together.
    """
    described = reader.get("sparse", dict, optional=True)
    if described is None:
        return packing.unpack(reader)
    n_classes = reader.get("n_classes", int)
    used = reader.tensor("used", (None,), torch.int64).numpy()
    if (np.diff(used) <= 0).any() or not packing.within(used, n_classes):
        raise reader.damaged("the classes do not hold together")
    skills = packing.shares(reader, "skills", (None,))
    try:
        weights = [float(w) for w in described["weights"]]
        floor, correlation = float(described["floor"]), float(described["correlation"])
        caution = float(described.get("caution", 0.0))
        parts = {
            name: _tables(reader, name, described["tables"][name], len(skills), len(used))
            for name in ("shown", *(f"pool.{i}" for i in range(len(weights))))
        }
    except (KeyError, TypeError, ValueError) as error:
        raise reader.damaged("the description of the sparse tables is incomplete") from error
    sound = all(0 <= w <= 1 + 1e-9 for w in (*weights, floor, correlation, caution))
    if not sound or abs(sum(weights) - 1) > 1e-6:
        raise reader.damaged("the pool's weights are no shares")
    members = tuple(parts[f"pool.{i}"] for i in range(len(weights)))
    return SparseModel(
        tables=parts["shown"],
        pool=SparsePool(members, tuple(weights), floor, correlation, caution),
        used=used,
        n_classes=n_classes,
        priors=packing.shares(reader, "priors", (n_classes,), axis=0),
        skills=skills,
        information=reader.tensor("information", (len(skills),)).numpy(),
        candidates=packing.unpack_candidates(reader),
        history=packing.history(reader),
    )


def pack_named(posterior: NamedPosterior) -> dict[str, Tensor]:
    """Return the tensors of a posterior over the classes that tasks name."""
    names = ("task", "label", "share", "rest", "prior", "votes")
    return {f"named.{name}": _tensor(getattr(posterior, name)) for name in names}


def unpack_named(reader: Reader, n_classes: int) -> NamedPosterior:
    """Return the posterior in a file.

    Raises
    ------
    FormError
    """
    task = reader.tensor("named.task", (None,), torch.int64).numpy()
    label = reader.tensor("named.label", (len(task),), torch.int64).numpy()
    rest = packing.shares(reader, "named.rest", (None,))
    pairs = task * n_classes + label
    if len(task) and not (
        packing.within(task, len(rest))
        and packing.within(label, n_classes)
        and (np.diff(pairs) > 0).all()
    ):
        raise reader.damaged("the classes that tasks name do not hold together")
    share = packing.shares(reader, "named.share", (len(task),))
    if not np.allclose(rest + summed(task, share, len(rest)), 1, atol=1e-5):
        raise reader.damaged("probabilities do not sum to 1")
    return NamedPosterior(
        task,
        label,
        share,
        rest,
        packing.shares(reader, "named.prior", (n_classes,), axis=0),
        reader.tensor("named.votes", (len(task),)).numpy(),
    )


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, order="C"))


def _numbers(tables: SparseTables) -> dict[str, float]:
    numbers = {name: float(getattr(tables, name)) for name in _NUMBERS}
    return {name: v if np.isfinite(v) else _INFINITE for name, v in numbers.items()}


def _tables(reader: Reader, name: str, numbers: Any, d: int, k: int) -> SparseTables:
    """Return the tables of that name.

    Raises
    ------
    FormError, KeyError, TypeError, ValueError
    """
    average, strength, concentration = (float(numbers[n]) for n in _NUMBERS)
    strength = np.inf if strength == _INFINITE else strength
    if not (0 <= average <= 1 and strength > 0 and 0 < concentration < np.inf):
        raise reader.damaged(f"{name} has the numbers {numbers!r}")
    tables: dict[str, Any] = {
        "accuracy": packing.shares(reader, f"{name}.accuracy", (d,)),
        "prior": packing.shares(reader, f"{name}.prior", (k,), axis=0),
        "error_total": reader.tensor(f"{name}.error_total", (k,)).numpy(),
    }
    limits = {"error": k * k, "column": d * k, "cell": None}
    for part, limit in limits.items():
        key = reader.tensor(f"{name}.{part}_key", (None,), torch.int64).numpy()
        count = reader.tensor(f"{name}.{part}_count", (len(key),)).numpy()
        most = len(tables["column_key"]) * k if limit is None else limit
        if len(key) and not ((np.diff(key) > 0).all() and packing.within(key, most)):
            raise reader.damaged(f"{name}.{part}_key does not hold together")
        if len(count) and not (count.min() >= 0 and count.max() < np.inf):
            raise reader.damaged(f"{name}.{part}_count holds no counts")
        tables |= {f"{part}_key": key, f"{part}_count": count}
    return SparseTables(average=average, strength=strength, concentration=concentration, **tables)
