"""Consensus labels → a folder that Hugging Face's datasets reads."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.exceptions import DataError, OverwriteError, ParameterError, counted, first_few
from deem_crowd.runtime.atomic import all_or_none, atomic_write
from deem_crowd_adapters.exports.consensus import Consensus, Data, consensus_of, fields_of
from deem_crowd_adapters.writing import write_table

_MARK = "Written by deem-crowd."
"""A line of the dataset card by which a folder is known as one that may be written again."""
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
)
"""The Hub's words for numbers of rows."""


def write_hf_dataset(
    result: Any,
    folder: str | os.PathLike[str],
    *,
    data: Data = None,
    split: str = "train",
    description: str = "",
) -> None:
    """Write labels as a folder that ``datasets.load_dataset(folder)`` reads: a parquet file and a dataset card.

    Columns are ``task``, those of ``data``, ``label``, and, where probabilities are known, ``confidence`` and
    ``p_CLASS`` for each class.

    Parameters
    ----------
    result, data
        As in :func:`write_label_studio`; a Series of texts becomes the column ``text``.
    folder : path
        Made if it is not there. A folder that this function wrote is written again; another one with files in it is
        not.
    split : str
        The name of the split.
    description : str
        A paragraph for the card.

    Raises
    ------
    OverwriteError
        If the folder holds other files.
    FormError, DataError, ParameterError, OSError
    """
    if not split.isidentifier():
        raise ParameterError(f"split={split!r} is no name of a split, such as 'train'.")
    consensus = consensus_of(result)
    table = _table(consensus, fields_of(data, consensus.tasks, "text", alone=False))
    name = os.fspath(folder)
    _refuse_other_folder(name)
    card = _card(consensus, list(table.columns), split, description)
    made = [each for each in (name, os.path.join(name, "data")) if not os.path.isdir(each)]
    os.makedirs(os.path.join(name, "data"), exist_ok=True)
    try:
        with all_or_none():
            write_table(table, os.path.join(name, "data", f"{split}.parquet"))
            with atomic_write(os.path.join(name, "README.md")) as file:
                file.write(card.encode("utf-8"))
    except BaseException:
        for each in reversed(made):
            with contextlib.suppress(OSError):
                os.rmdir(each)
        raise


def _table(consensus: Consensus, fields: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the columns of the dataset, N rows."""
    table = pd.DataFrame({"task": pd.Series(consensus.tasks, dtype=object).infer_objects()})
    names = list(dict.fromkeys(name for field in fields for name in field))
    own = {"task", "label", "confidence", *(f"p_{k}" for k in _classes(consensus))}
    clash = [name for name in names if name in own]
    if clash:
        raise DataError(
            f"data: columns {first_few(clash)} are names of the result's own. Rename them."
        )
    for name in names:
        table[name] = pd.Series([field.get(name) for field in fields], dtype=object).infer_objects()
    table["label"] = pd.Series(consensus.labels, dtype=object).infer_objects()
    if consensus.probas is not None:
        table["confidence"] = pd.Series(consensus.scores, dtype=np.float64)
        for label, column in consensus.probas.items():
            table[f"p_{label}"] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return table


def _classes(consensus: Consensus) -> list[Any]:
    if consensus.probas is not None:
        return list(consensus.probas.columns)
    return list(dict.fromkeys(label for label in consensus.labels if label is not None))


def _refuse_other_folder(name: str) -> None:
    if not os.path.isdir(name) or not os.listdir(name):
        return
    card = os.path.join(name, "README.md")
    with contextlib.suppress(OSError, UnicodeDecodeError), open(card, encoding="utf-8") as file:
        if _MARK in file.read():
            return
    raise OverwriteError(
        f"{name} is a folder with files in it that write_hf_dataset did not write "
        f"({first_few(sorted(os.listdir(name)), 3)}). Name another folder."
    )


def _card(consensus: Consensus, columns: list[str], split: str, description: str) -> str:
    """Return the dataset card: where the data are, and what the columns hold."""
    n = len(consensus.tasks)
    size = next((name for top, name in _SIZES if n < top), "1M<n<10M")
    missing = sum(label is None for label in consensus.labels)
    classes = _classes(consensus)
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        f"  - split: {split}",
        f"    path: data/{split}.parquet",
        "size_categories:",
        f"- {size}",
        "---",
        "",
        "# Consensus labels",
        "",
        *([description, ""] if description else []),
        f"{counted(n, 'task')}, {counted(len(classes), 'class', 'classes')} ({first_few(classes, 10)}). {_MARK}",
        "",
        "- `task`: the task's id",
        "- `label`: the consensus of several sources"
        + (f"; missing for {counted(missing, 'task')} without answers" if missing else ""),
    ]
    if consensus.probas is not None:
        lines += [
            "- `confidence`: the probability of that label, given the answers",
            "- `p_CLASS`: the probability of each class",
        ]
    others = [
        c for c in columns if c not in ("task", "label", "confidence") and not c.startswith("p_")
    ]
    if others:
        lines.append(f"- {', '.join(f'`{c}`' for c in others)}: what the task holds")
    return "\n".join(lines) + "\n"
