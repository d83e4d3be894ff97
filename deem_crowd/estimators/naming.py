"""Sources whose labels mean something within a source only: which common class each own name stands for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from deem_crowd.data.answers import Answers, as_answers
from deem_crowd.data.arrays import gapless, warn_if_transposed, whole_numbers
from deem_crowd.data.doubts import warn_if_zero_abstains, warn_of_counts
from deem_crowd.data.gold import class_vector
from deem_crowd.data.wide import frame_matrix, is_frame
from deem_crowd.estimators import inputs
from deem_crowd.estimators import predictions as taken
from deem_crowd.estimators.files import stored_ids
from deem_crowd.estimators.files.checkpoint import Reader
from deem_crowd.exceptions import DataWarning, ParameterError, UnsupportedError, counted, first_few
from deem_crowd.model import votes
from deem_crowd.runtime.warning import warn

NAMING = "_naming"
"""The attribute that holds it, in a model of sources with names of their own."""


@dataclass(frozen=True, eq=False)
class Naming:
    """The common class of each source's own names.

    Attributes
    ----------
    workers, labels : Index, lengths D and L
        Ids of the sources, and of all own names of any of them.
    common : integers, shape (D, L)
        0..K-1; −1 where a source never gave a name.
    probability : shape (D, L)
        p(that class | own name), 0 where it never gave it.
    n_tasks : integers, shape (D, L)
        Tasks that were given the name.
    n_classes : int
        K.
    """

    workers: pd.Index
    labels: pd.Index
    common: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float64]
    n_tasks: npt.NDArray[np.int64]
    n_classes: int

    def renamed(self, answers: Answers, by_position: bool = False) -> Answers:
        """Return answers under the common classes 0..K-1; what nothing is known of is left out, with a warning.

        Parameters
        ----------
        answers : Answers
            Under own names.
        by_position : bool
            Whether the sources are those of the fit in their order, whatever their ids.
        """
        n = answers.n_workers
        source = np.arange(n) if by_position else self.workers.get_indexer(answers.workers)
        name = self.labels.get_indexer(answers.classes)
        table = np.pad(self.common, ((0, 1), (0, 1)), constant_values=-1)  # for −1, the last
        label = table[source[answers.worker], name[answers.hard_label]]
        known = label >= 0
        common = replace(
            answers,
            label=np.where(known, label, 0).astype(np.int32),
            classes=pd.RangeIndex(self.n_classes, name="label"),
        )
        if known.all():
            return common
        lost = pd.MultiIndex.from_arrays(
            [
                answers.workers.take(answers.worker[~known]),
                answers.classes.take(answers.hard_label[~known]),
            ]
        ).unique()
        number = counted(int((~known).sum()), "answer gives", "answers give")
        warn(
            f"{number} a name that the source did not give in fit (source and name: {first_few(lost)}): nobody knows "
            "what such a name stands for, so they are left out.",
            DataWarning,
        )
        return common.select(rows=known)

    def table(self) -> pd.DataFrame:
        """Return a row for each own name that was given; see ``mapping_`` of DEEM."""
        source, name = np.nonzero(self.common >= 0)
        index = pd.MultiIndex.from_arrays(
            [self.workers.take(source), self.labels.take(name)], names=["worker", "label"]
        )
        columns = {
            "name": self.common[source, name],
            "probability": self.probability[source, name],
            "n_tasks": self.n_tasks[source, name],
        }
        return pd.DataFrame(columns, index=index)


def packed(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what JSON holds of the naming among attributes, and its tensors; nothing where there is none."""
    naming: Naming | None = state.get(NAMING)
    if naming is None:
        return {}, {}
    content = {"own_names": stored_ids.plain_index(naming.labels, "label")}
    return content, {
        "own_names.common": torch.tensor(naming.common),
        "own_names.probability": torch.tensor(naming.probability),
        "own_names.n_tasks": torch.tensor(naming.n_tasks),
    }


def unpacked(reader: Reader, n_workers: int, n_classes: int) -> dict[str, Any]:
    """Return the attribute with the naming in a file, whose sources are known by position; none if it has none.

    Raises
    ------
    FormError
    """
    stored = reader.get("own_names", dict, optional=True)
    if stored is None:
        return {}
    labels = stored_ids.read_index(stored, None, reader, "label")
    shape = (n_workers, len(labels))
    common = reader.tensor("own_names.common", shape, torch.int64).numpy()
    if ((common < -1) | (common >= n_classes)).any():
        raise reader.damaged(f"own names stand for classes beyond the {n_classes} that there are")
    probability = reader.tensor("own_names.probability", shape).numpy()
    n_tasks = reader.tensor("own_names.n_tasks", shape, torch.int64).numpy()
    workers = pd.RangeIndex(n_workers)
    return {NAMING: Naming(workers, labels, common, probability, n_tasks, n_classes)}


def read(
    predictions: Any, settings: Mapping[str, Any], gold: Any
) -> tuple[Answers, pd.Index | None, dict[str, Any]]:
    """Return the answers under common classes, the columns of a frame, and the attribute with the naming, if any.

    Raises
    ------
    DataError, FormError, ParameterError
    """
    if settings["label_names"] == "own" and settings["class_balance"] is not None:
        raise ParameterError(
            "class_balance is for classes with common names; with label_names='own' classes have numbers that follow "
            "from the fit. Leave out one of them."
        )
    if settings["label_names"] == "own" and settings["ordered"] and gold is None:
        raise ParameterError(
            "ordered=True goes by the numbers of the classes; with label_names='own' they follow from the fit and have "
            "no order. Pass gold=, which numbers the classes, or leave out ordered: the default looks for an order."
        )
    if settings["label_names"] == "common":
        answers, columns = taken.read(predictions, settings["n_classes"])
        _doubt_shape(predictions, answers, columns)
        return answers, columns, {}
    predictions, columns = inputs.opened(predictions), None
    if is_frame(predictions):
        predictions, columns = frame_matrix(predictions)
    answers = under_own_names(predictions, columns)
    _doubt_shape(predictions, answers, columns)
    # the room above, imported when it is asked for
    module = importlib.import_module("deem_crowd.clustering.common_names")
    common, probability, n_tasks, n_classes = module.common_names(
        answers, settings["n_classes"], settings["random_state"] or 0
    )
    naming = Naming(answers.workers, answers.classes, common, probability, n_tasks, n_classes)
    named = naming.renamed(answers)
    if gold is not None:
        order = _numbered_as(class_vector(gold, named, "gold"), named)
        naming = replace(naming, common=np.append(order, -1)[common])
        named = naming.renamed(answers)
    return named, columns, {NAMING: naming}


def _doubt_shape(predictions: Any, answers: Answers, columns: pd.Index | None) -> None:
    if columns is None and not isinstance(predictions, Answers):
        warn_if_transposed(answers.n_tasks, answers.n_workers)
    if not isinstance(predictions, Answers):
        warn_if_zero_abstains(answers)
        warn_of_counts(answers)


def under_own_names(
    predictions: Any,
    workers: pd.Index | None = None,
    warn_empty: tuple[str, ...] = ("task", "worker"),
) -> Answers:
    """Return the answers of a matrix, shape (N, D), whose labels may be any integers from 0 on, gaps among them.

    Distributions, shape (N, K, D), and answers that are read already are returned as everywhere else.

    Raises
    ------
    DataError, FormError
    """
    if isinstance(predictions, Answers) or np.ndim(predictions) != 2:
        return as_answers(predictions, None, warn_empty)
    codes, names = gapless(whole_numbers(predictions))
    answers = Answers.from_dense(codes, len(names), workers=workers, warn_empty=warn_empty)
    return replace(answers, classes=pd.Index(names, name="label"))


def with_common(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a model that goes on from an earlier one, whose sources need common names.

    Raises
    ------
    UnsupportedError
    """
    if settings["label_names"] == "own":
        raise UnsupportedError(
            "partial_fit takes answers under common names: with label_names='own' later answers could change what "
            "names stand for. Fit to all answers, or rename them with align_sources first."
        )
    return settings


def _numbered_as(gold: npt.NDArray[np.int64], answers: Answers) -> npt.NDArray[np.int64]:
    """Return the class of ``gold`` that each class of the answers goes with, one to one, shape (K,)."""
    known = gold[answers.task]
    table = np.zeros((answers.n_classes, answers.n_classes))
    rated = known >= 0
    np.add.at(table, (answers.hard_label[rated], known[rated]), 1.0)
    return np.asarray(votes.match(table), dtype=np.int64)
