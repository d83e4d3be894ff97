"""What of a fitted DEEMAggregator goes into a file, and back: its model, its ids, and what it says of its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from deem_crowd.data import index as ids
from deem_crowd.data.lookup import as_index
from deem_crowd.estimators import aggregation, featured
from deem_crowd.estimators.files import feature_files, model_files, packing, stored_ids
from deem_crowd.estimators.files.checkpoint import Reader
from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.estimators.probabilities import (
    PROBABILITIES,
    GrownToCome,
    ProbabilitiesToCome,
    labels_of,
)
from deem_crowd.model.named_classes import NamedPosterior


def pack(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return what JSON holds of the attributes of a fitted object, and its tensors."""
    model, workers, classes = state["_fitted"]
    content, tensors = model_files.pack(model)
    labels, probas = labels_of(state), state[PROBABILITIES]
    codes = np.where(labels.isna(), -1, classes.get_indexer(as_index(labels)))
    named = {"task": labels.index, "worker": workers, "label": classes}
    plain = {name: stored_ids.plain_index(index, name) for name, index in named.items()}
    tensors["labels"] = torch.from_numpy(codes.astype(np.int64))
    if isinstance(probas, GrownToCome):
        probas = probas.frame
    if isinstance(probas, ProbabilitiesToCome):
        tensors |= model_files.pack_named(probas.posterior)
    else:  # a frame may be read-only
        tensors["probas"] = torch.from_numpy(np.array(probas, order="C"))
    told, numbers = feature_files.pack(state.get(featured.FEATURES))
    return {**content, **told, "ids": plain}, {**tensors, **numbers}


def unpack(reader: Reader) -> dict[str, Any]:
    """Return the fitted attributes in a file.

    Raises
    ------
    FormError
        If anything is missing or does not fit together.
    """
    model = model_files.unpack(reader)
    probas: Any
    if isinstance(model, SparseModel):
        probas = model_files.unpack_named(reader, model.n_classes)
    else:
        probas = packing.shares(reader, "probas", (None, model.n_classes), axis=1)
    codes = reader.tensor("labels", (len(probas),), torch.int64).numpy()
    stored = reader.get("ids", dict)
    lengths = {"task": len(probas), "worker": len(model.skills), "label": model.n_classes}
    tasks, workers, classes = (
        stored_ids.read_index(stored.get(name), length, reader, name)
        for name, length in lengths.items()
    )
    if len(codes) and not (codes.min() >= -1 and codes.max() < model.n_classes):
        raise reader.damaged("labels are no classes")
    labels = ids.take(classes, codes, "agg_label")
    labels.index = tasks
    shown = (
        ProbabilitiesToCome(probas, tasks, classes)
        if isinstance(probas, NamedPosterior)
        else pd.DataFrame(probas, index=tasks, columns=classes)
    )
    attributes = aggregation.attributes(model, labels, shown, workers, classes)
    made = feature_files.unpack(reader, classes)
    return attributes if made is None else {**attributes, featured.FEATURES: made}
