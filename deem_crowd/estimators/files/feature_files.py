"""What a model learned from features, in its file and back: numbers as tensors, any other classifier in skops's format.

Nothing that is read runs code: skops builds objects of types it knows, and of others those of scikit-learn and of this
package alone are let in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from deem_crowd.estimators.featured import FeatureModel
from deem_crowd.exceptions import DataWarning, FormError, UnsupportedError, first_few
from deem_crowd.runtime import extras
from deem_crowd.runtime.warning import warn

if TYPE_CHECKING:
    from deem_crowd.estimators.files.checkpoint import Reader
    from deem_crowd.features.logistic import Scaler
    from deem_crowd.features.regions import RegionalTables

_LINEAR, _OBJECTS = "regression", "skops"
_TRUSTED = (
    "sklearn.",
    "deem_crowd.features.neighbours.Neighbours",
    "deem_crowd.features.logistic.Scaler",
    "deem_crowd.features.learners.Foreign",
)
"""Where types come from that skops may build beside those it knows."""


def pack(made: FeatureModel | None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what JSON holds of a :class:`FeatureModel`, and its tensors; nothing where there is none.

    A classifier that cannot be written safely is left out, with a warning.
    """
    if made is None:
        return {}, {}
    from deem_crowd.features import learners

    content: dict[str, Any] = {
        "use": made.use,
        "n_columns": int(made.n_columns),
        "columns": made.columns,
        "correlation": made.correlation,
        "strength": made.strength,
        "weight": float(made.scaling.weight),
    }
    tensors = {
        "used": torch.from_numpy(np.ascontiguousarray(made.used)).long(),
        "log_prior": _tensor(made.log_prior),
        "offset": _tensor(made.scaling.offset),
    }
    if made.log_odds is not None:
        tensors["log_odds"] = _tensor(made.log_odds)
    if isinstance(made.predictor, learners.Linear):
        scaler, coefficients = made.predictor.scaler, made.predictor.coefficients
        content |= {"kind": _LINEAR, "centred": scaler.centre is not None}
        tensors |= {
            "weight": _tensor(coefficients.weight),
            "intercept": _tensor(coefficients.intercept),
        }
        tensors |= {"scale": _tensor(scaler.scale), "coef": _tensor(made.classifier.coef_)}
        tensors["bias"] = _tensor(made.classifier.intercept_)
        if scaler.centre is not None:
            tensors["centre"] = _tensor(scaler.centre)
    else:
        try:
            tensors |= {
                name: torch.frombuffer(bytearray(_dumped(value)), dtype=torch.uint8)
                for name, value in (("predictor", made.predictor), ("classifier", made.classifier))
            }
        except UnsupportedError as error:
            warn(f"the file holds no classifier of features: {error}", DataWarning)
            return {}, {}
        content["kind"] = _OBJECTS
    if made.regional is not None:
        regions = made.regional.regions
        content["regions"] = regions.number
        content["regions_centred"] = regions.scaler.centre is not None
        tensors |= {
            "regions.centres": _tensor(regions.centres),
            "regions.scale": _tensor(regions.scaler.scale),
            "regions.gain": _tensor(made.regional.gain),
            "regions.skills": _tensor(made.regional.skills),
        }
        if regions.scaler.centre is not None:
            tensors["regions.middle"] = _tensor(regions.scaler.centre)
    return {"features": content}, {f"features.{name}": value for name, value in tensors.items()}


def unpack(reader: Reader, labels: Any) -> FeatureModel | None:
    """Return what a file holds of features; None if nothing.

    Parameters
    ----------
    reader : Reader
    labels : array, shape (K,)
        What the classifier calls the classes.

    Raises
    ------
    FormError
        If anything is missing or does not fit together.
    UnsupportedError
        If skops is needed and not installed.
    """
    content = reader.get("features", dict, optional=True)
    if content is None:
        return None
    from deem_crowd.features.scaling import Scaling

    try:
        use, n_columns, kind = str(content["use"]), int(content["n_columns"]), content["kind"]
        correlation, weight = content["correlation"], float(content["weight"])
        correlation = None if correlation is None else float(correlation)
        strength = float(content.get("strength", 1.0))
        columns = content.get("columns")
        columns = None if columns is None else [str(name) for name in columns]
    except (KeyError, TypeError, ValueError) as error:
        raise reader.damaged("what it says of features is incomplete") from error
    used = reader.tensor("features.used", (None,), torch.int64).numpy()
    k = len(used)
    if k < 2 or (np.diff(used) <= 0).any() or used[0] < 0 or used[-1] >= len(labels):
        raise reader.damaged("features name classes that the model does not have")
    if columns is not None and len(columns) != n_columns:
        raise reader.damaged("features have more or fewer names than columns")
    if not 0 <= weight < 1e3 or not 0 <= (correlation or 0.0) <= 1 or not 0 < strength < 1e3:
        raise reader.damaged("a weight or the correlation beside the classifier is out of range")
    named = np.asarray(labels)[used]
    if kind == _LINEAR:
        predictor, classifier = _regression(reader, content, n_columns, k, named)
    elif kind == _OBJECTS:
        predictor, classifier = (
            _loaded(reader, f"features.{n}") for n in ("predictor", "classifier")
        )
    else:
        raise reader.damaged(f"a classifier of the kind {kind!r} is not known")
    return FeatureModel(
        classifier=classifier,
        use=use,
        predictor=predictor,
        scaling=Scaling(weight, _array(reader, "offset", (k,))),
        used=used,
        log_prior=_array(reader, "log_prior", (k,)),
        correlation=correlation,
        strength=strength,
        n_columns=n_columns,
        regional=_regional(reader, content, n_columns, k),
        columns=columns,
        log_odds=_array(reader, "log_odds", (k,)) if reader.has("features.log_odds") else None,
    )


def _regional(reader: Reader, content: dict[str, Any], p: int, k: int) -> RegionalTables | None:
    number = content.get("regions")
    if number is None:
        return None
    from deem_crowd.features.regions import RegionalTables, Regions

    if not isinstance(number, int) or number < 2:
        raise reader.damaged(f"its number of regions is {number!r}")
    middle = "regions.middle" if content.get("regions_centred") else None
    scaler = _scaler(reader, middle, "regions.scale", p)
    gain = _array(reader, "regions.gain", (None, number, k, k))
    skills = _array(reader, "regions.skills", (len(gain), number))
    centres = _array(reader, "regions.centres", (number - 1, p))
    return RegionalTables(Regions(scaler, centres), gain, skills)


def _regression(
    reader: Reader, content: dict[str, Any], p: int, k: int, labels: Any
) -> tuple[Any, Any]:
    from deem_crowd.features import learners, logistic

    scaler = _scaler(reader, "centre" if content.get("centred") else None, "scale", p)
    coefficients = logistic.Coefficients(
        _array(reader, "weight", (p, k)).astype(np.float32), _array(reader, "intercept", (k,))
    )
    rows = 1 if k == 2 else k
    classifier = learners.regression(
        _array(reader, "coef", (rows, p)), _array(reader, "bias", (rows,)), labels
    )
    return learners.Linear(scaler, coefficients), classifier


def _scaler(reader: Reader, centre: str | None, scale: str, p: int) -> Scaler:
    """Return what scales features, from the tensors of those names."""
    from deem_crowd.features.logistic import Scaler

    middle = None if centre is None else _array(reader, centre, (p,)).astype(np.float32)
    return Scaler(middle, _array(reader, scale, (p,)).astype(np.float32))


def _array(reader: Reader, name: str, shape: tuple[int | None, ...]) -> Any:
    return reader.tensor(f"features.{name}", shape).numpy()


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64, order="C"))


def _dumped(value: Any) -> bytes:
    """Return an object in skops's format.

    Raises
    ------
    UnsupportedError
        If it could not be read without trusting strangers' types, or skops is not installed.
    """
    extras.require("classifier", "classifiers in files")
    import skops.io

    try:
        data: bytes = skops.io.dumps(value)
    except Exception as error:  # whatever a stranger's object may raise
        raise UnsupportedError(
            f"skops cannot write it ({type(error).__name__}: {str(error).rstrip('.')}). A pickle of the model holds it."
        ) from error
    if strangers := _strangers(data):
        raise UnsupportedError(
            f"it has parts that would have to be trusted when read: {first_few(strangers)}. "
            "A pickle of the model holds it."
        )
    return data


def _loaded(reader: Reader, name: str) -> Any:
    data = reader.tensor(name, (None,), torch.uint8).numpy().tobytes()
    extras.require("classifier", "classifiers in files")
    import skops.io

    try:
        strangers = _strangers(data)
        if not strangers:
            return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    except FormError:
        raise
    except Exception as error:  # of a file that somebody has changed
        raise reader.damaged(f"{name} cannot be read ({type(error).__name__})") from error
    raise reader.damaged(f"{name} would run code of strangers: {first_few(strangers)}")


def _strangers(data: bytes) -> list[str]:
    import skops.io

    types = skops.io.get_untrusted_types(data=data)
    return [name for name in types if not name.startswith(_TRUSTED)]
