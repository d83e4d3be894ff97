"""Verdicts of judges on pairs that were shown in both orders → Answers, and how far each judge goes by the position."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    MissingColumnError,
    ParameterError,
    counted,
    counted_of,
    first_few,
)
from deem_crowd.runtime.warning import warn
from deem_crowd_adapters import roles
from deem_crowd_adapters.exports.mt_bench import SWAPPED
from deem_crowd_adapters.exports.read import Export
from deem_crowd_adapters.tables import to_frame

Flips = Literal["missing", "tie", "sources"]

VERDICTS: dict[str, str | None] = {
    **dict.fromkeys(("a", "[[a]]", "a>b", "a>>b", "[[a>b]]", "[[a>>b]]", "model_a", "model_1"), "A"),
    **dict.fromkeys(("b", "[[b]]", "b>a", "b>>a", "[[b>a]]", "[[b>>a]]", "model_b", "model_2"), "B"),
    **dict.fromkeys(("first", "model a", "response a", "answer a", "assistant a", "output a"), "A"),
    **dict.fromkeys(("second", "model b", "response b", "answer b", "assistant b", "output b"), "B"),
    **dict.fromkeys(("tie", "[[tie]]", "c", "[[c]]", "draw", "equal", "a=b", "[[a=b]]"), "tie"),
    **dict.fromkeys(("tie (bothbad)", "tie (both bad)", "bothbad", "both bad"), "tie"),
    **dict.fromkeys(("", "error", "$error$", "null", "none", "nan", "n/a", "invalid", "abstain", "skip"), None),
    **dict.fromkeys(("cannot tell", "can't tell", "cannot say", "unknown", "unsure", "unclear"), None),
}  # fmt: skip
"""Verdicts in lower case → what they say of the pair as it was shown; None is no verdict."""
NO_VERDICT = frozenset(word for word, meaning in VERDICTS.items() if meaning is None)
"""How judges, and the programs that ask them, say nothing."""
_ORDERS = {
    **dict.fromkeys(("false", "0", "no", "ab", "a,b", "original", "normal"), False),
    **dict.fromkeys(("true", "1", "yes", "ba", "b,a", "swapped", "swap", "reversed"), True),
}
_TURNED = {"A": "B", "B": "A", "tie": "tie"}
_OF_EXPORTS = {"1": "A", "2": "B"}
"""What the judges of AlpacaEval and LLMBar say."""
_MODELS = (
    "The names of the models show it: df['order'] = df['model_a'] > df['model_b']. A task is then a question and two "
    "models in alphabetical order (docs/judges.md)."
)

ORDER_COLUMNS = ("order", "swap", "swapped", "is_swapped", "flipped", "reversed", "is_reversed")
"""What the column that tells the order is often called, in lower case."""


def from_pairwise(
    data: Any,
    *,
    swap: Hashable = "order",
    swapped: Hashable | None = None,
    verdicts: Mapping[Any, str | None] | None = None,
    flips: Flips = "missing",
    task: Hashable | None = None,
    worker: Hashable | None = None,
    label: Hashable | None = None,
    columns: roles.Columns | None = None,
) -> Answers:
    """Read verdicts on pairs, A, B or tie, of which some were shown in the other order.

    A verdict is about the pair as it was shown: A is what stood first. Verdicts on swapped pairs are mapped back, so
    that the classes A, B and tie are about the pair in its original order. A judge that saw a pair in both orders
    gives one answer: the verdict, if both say the same. A verdict that flips with the position says nothing of the
    pair; how often that happens is said in a warning, and :func:`position_bias` has the table. Verdicts such as null,
    ``error`` and ``cannot tell`` are missing, with their share per judge in the warning.

    Parameters
    ----------
    data : table of pandas, polars or Arrow, R rows, the path of such a table, or an Export
        Columns ``task`` (the pair), ``worker`` (the judge), ``label`` (the verdict) and the order. What
        :func:`read_export` returns for MT-Bench, LLMBar or JudgeBench has its verdicts mapped back and tells the
        order by its sources, ``judge`` and ``judge (swapped)``; it needs no other option.
    swap : hashable
        The column that tells the order: truth values, 0 and 1, ``AB`` and ``BA``, or ``original`` and ``swapped``.
    swapped : hashable, optional
        The value of that column that stands for the other order, if it is none of these; all others are the original.
    verdicts : mapping, optional
        Other words for verdicts → ``'A'`` (what is shown first), ``'B'``, ``'tie'`` or None, e.g.
        ``{"left": "A", "right": "B", "neither": None}``. Known are A, B, tie, C and draw, in brackets or not, and the
        words of arenas: model_a, model_b, tie (bothbad).
    flips : 'missing', 'tie' or 'sources'
        What becomes of a verdict that flips: no answer, a tie, or two sources, ``judge`` and ``judge (swapped)``, in
        whose skills the bias then shows. ``'sources'`` divides all verdicts in this way, so that the bias is learned
        even if each pair was shown only once.
    task, worker, label : hashable, optional
        The names of single columns, as in ``columns``.
    columns : mapping, optional
        What ``task``, ``worker`` and ``label`` are called here.

    Returns
    -------
    Answers
        Answers by N pairs and D judges, classes A, B and tie as far as they occur.

    Raises
    ------
    MissingColumnError
        If a column is not there.
    DataError
        If a value of the order or a verdict is not known; the message names them and the option. With
        ``flips='sources'`` also if a judge already has the name of another judge's second source.
    ParameterError
    """
    if flips not in get_args(Flips):
        raise ParameterError(f"flips={flips!r} is none of {first_few(get_args(Flips))}.")
    shown = _shown(
        data, swap, swapped, verdicts, roles.named(columns, task=task, worker=worker, label=label)
    )
    _warn(shown, flips)
    if flips == "sources":
        worker_ids = shown["worker"].astype(object)
        named = worker_ids.map(str) + SWAPPED
        taken = named[shown["swapped"] & named.isin(worker_ids)].unique()
        if len(taken):
            raise DataError(
                f"column 'worker': flips='sources' would give {counted(len(taken), 'source')} a name that a judge "
                f"already has: {first_few(taken)}. Rename {'this judge' if len(taken) == 1 else 'these judges'}."
            )
        answers = shown.assign(worker=worker_ids.where(~shown["swapped"], named))
    else:
        key = ["task", "worker"]
        grouped = shown.groupby(key, sort=False, dropna=False, observed=True)["label"]
        both = grouped.agg(first="first", differ="nunique").reset_index()
        verdict = both["first"].where(both["differ"] < 2, "tie" if flips == "tie" else None)
        answers = both[key].assign(label=verdict)
    return Answers.from_frame(answers[["task", "worker", "label"]], missing="drop")


def position_bias(
    data: Any,
    *,
    swap: Hashable = "order",
    swapped: Hashable | None = None,
    verdicts: Mapping[Any, str | None] | None = None,
    task: Hashable | None = None,
    worker: Hashable | None = None,
    label: Hashable | None = None,
    columns: roles.Columns | None = None,
) -> pd.DataFrame:
    """Return how far each judge goes by the position of what it compares.

    Parameters
    ----------
    data, swap, swapped, verdicts, task, worker, label, columns
        As in :func:`from_pairwise`.

    Returns
    -------
    DataFrame, D rows
        Index ``worker``. ``verdicts``: how many verdicts; ``missing``: the share of rows without one; ``first``: of
        verdicts for one of the two, the share for what was shown first (0.5 without a bias, if each pair was shown in
        both orders); ``pairs``: how many pairs have a verdict in both orders; ``flips``: the share of these whose
        verdicts differ once mapped back; ``first_twice``, ``second_twice``: the share of these for what stood first,
        or second, in both. NaN where there is nothing to count; ``first`` also for judges of an Export that does not
        tell in which order they saw the pairs.

    Raises
    ------
    MissingColumnError, DataError, ParameterError
    """
    shown = _shown(
        data, swap, swapped, verdicts, roles.named(columns, task=task, worker=worker, label=label)
    )
    judges = pd.Index(shown["worker"].unique(), name="worker")
    by_judge = shown.groupby("worker", sort=False, observed=True)
    given = shown.dropna(subset=["label"])
    decided = given[given["label"] != "tie"]
    is_first = (decided["label"] == "A") != decided["swapped"]
    if isinstance(
        data, Export
    ):  # with judges of one order alone, nothing tells which model stood first
        is_first = is_first[decided["worker"].isin(shown.loc[shown["swapped"], "worker"])]
    both = _in_both_orders(given)
    counts = pd.DataFrame(index=judges)
    counts["verdicts"] = by_judge["label"].count().reindex(judges, fill_value=0)
    counts["missing"] = (
        by_judge["label"].apply(lambda verdict: verdict.isna().mean()).reindex(judges)
    )
    counts["first"] = is_first.groupby(decided["worker"], observed=True).mean().reindex(judges)
    pairs = both.groupby("worker", observed=True)
    counts["pairs"] = pairs.size().reindex(judges, fill_value=0).astype(np.int64)
    for name in ("flips", "first_twice", "second_twice"):
        counts[name] = pairs[name].mean().reindex(judges).astype(np.float64)
    return counts


def _in_both_orders(given: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each pair and judge with a verdict in both orders: worker, and what became of it."""
    sides = [
        given[given["swapped"] == side].drop(columns="swapped").rename(columns={"label": name})
        for side, name in ((False, "as_is"), (True, "turned"))
    ]
    both = sides[0].merge(sides[1], on=["task", "worker"], how="inner")
    return pd.DataFrame(
        {
            "worker": both["worker"],
            "flips": both["as_is"] != both["turned"],
            "first_twice": (both["as_is"] == "A") & (both["turned"] == "B"),
            "second_twice": (both["as_is"] == "B") & (both["turned"] == "A"),
        }
    )


def _shown(
    data: Any,
    swap: Hashable,
    swapped: Hashable | None,
    verdicts: Mapping[Any, str | None] | None,
    columns: roles.Columns | None,
) -> pd.DataFrame:
    """Return task, worker, label (mapped back, None is missing) and swapped, one row a pair, judge and order."""
    if isinstance(data, Export):
        return _of_export(data, verdicts)
    where = "the table"
    if isinstance(data, (str, os.PathLike)):
        from deem_crowd_adapters.files import read_table

        where = os.fspath(data)
        data = read_table(data)
    table = to_frame(data)
    names = roles.find(list(table.columns), roles.LONG, columns, where=where)
    if swap not in table.columns:
        raise MissingColumnError(
            f"{where}: missing column {swap!r}, which tells whether a pair was shown in the other order; found "
            f"{first_few(table.columns, 20)}. {_how_to_tell_the_order(table)}"
        )
    order = _orders(table[swap], swap, swapped)
    _refuse_names_of_models(table, names["label"], verdicts)
    said = _said(table[names["label"]], names["label"], verdicts)
    frame = pd.DataFrame(
        {
            "task": table[names["task"]].to_numpy(),
            "worker": table[names["worker"]].to_numpy(),
            "label": [_TURNED[v] if v and o else v for v, o in zip(said, order, strict=True)],
            "swapped": order,
        }
    ).astype({"label": object, "swapped": bool})
    for part in ("task", "worker"):
        if frame[part].isna().any():
            rows = np.flatnonzero(frame[part].isna())
            raise DataError(
                f"column {names[part]!r} is missing in {counted(len(rows), 'row')} (rows {first_few(rows)}). Fill it, "
                "or leave those out."
            )
    twice = frame.duplicated(["task", "worker", "swapped"], keep="last")
    if twice.any():
        warn(
            f"{counted(int(twice.sum()), 'verdict is', 'verdicts are')} repeated: the same judge, pair and order (rows "
            f"{first_few(np.flatnonzero(twice))}). The last of each counts.",
            DataWarning,
        )
    return frame[~twice].reset_index(drop=True)


def _of_export(export: Export, verdicts: Mapping[Any, str | None] | None) -> pd.DataFrame:
    """Return the verdicts of an export, which are mapped back, as :func:`_shown` does."""
    table = export.answers
    names = table["worker"].map(str)
    order = names.str.endswith(SWAPPED)
    said = _said(table["label"], "label", {**_OF_EXPORTS, **(verdicts or {})})
    return pd.DataFrame(
        {
            "task": table["task"].to_numpy(),
            "worker": [name.removesuffix(SWAPPED) for name in names],
            "label": pd.Series(said, dtype=object),
            "swapped": order.to_numpy(dtype=bool),
        }
    )


def _how_to_tell_the_order(table: pd.DataFrame) -> str:
    usual = [name for name in table.columns if str(name).casefold() in ORDER_COLUMNS]
    if len(usual) == 1:
        return f"If this is it, name it: swap={usual[0]!r}."
    return _MODELS if {"model_a", "model_b"} <= set(table.columns) else "Name it: swap=…."


def _orders(values: pd.Series, name: Hashable, swapped: Hashable | None) -> list[bool]:
    """Return for each row whether the pair was shown in the other order."""
    if values.isna().any():
        rows = np.flatnonzero(values.isna())
        raise DataError(
            f"column {name!r} (the order) is missing in {counted(len(rows), 'row')} (rows {first_few(rows)}). Fill "
            "it, or leave those out."
        )
    distinct = list(dict.fromkeys(values.tolist()))
    if swapped is not None:
        if swapped not in distinct:
            raise ParameterError(
                f"swapped={swapped!r} does not occur in column {name!r}, which holds {first_few(distinct)}."
            )
        return [value == swapped for value in values.tolist()]
    known = {value: _ORDERS.get(_plain(value)) for value in distinct}
    strange = [value for value, order in known.items() if order is None]
    if strange:
        raise DataError(
            f"column {name!r} holds {first_few(distinct)}, and it is open which of these is the other order. Name it: "
            f"swapped={strange[-1]!r}."
        )
    return [bool(known[value]) for value in values.tolist()]


def _plain(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().casefold().replace(" ", "" if "," in str(value) else " ")


def _refuse_names_of_models(
    table: pd.DataFrame, name: Hashable, verdicts: Mapping[Any, str | None] | None
) -> None:
    """Raise if verdicts are the names of models that stand in the columns model_a and model_b."""
    if verdicts or not {"model_a", "model_b"} <= set(table.columns):
        return
    said = table[name]
    named = said[(said == table["model_a"]) | (said == table["model_b"])]
    models = [model for model in named.unique() if _plain(model) not in VERDICTS]
    if models:
        raise DataError(
            f"column {name!r} holds names of models ({first_few(models)}), and a verdict is A or B, what was shown "
            f"first or second. Where model_a was shown first: df[{name!r}] = df[{name!r}].mask(df[{name!r}] == "
            f"df['model_a'], 'A').mask(df[{name!r}] == df['model_b'], 'B')."
        )


def _said(
    values: pd.Series, name: Hashable, verdicts: Mapping[Any, str | None] | None
) -> list[str | None]:
    """Return each verdict as A (what was shown first), B, tie or None."""
    given: dict[str, str | None] = {}
    for word, meaning in (verdicts or {}).items():
        if meaning not in ("A", "B", "tie", None):
            raise ParameterError(
                f"verdicts={{{word!r}: {meaning!r}}}: a verdict is 'A', 'B', 'tie' or None."
            )
        given[_plain(word)] = meaning
    known = {**VERDICTS, **given}
    words = [
        None if gone else _plain(v) for v, gone in zip(values.tolist(), values.isna(), strict=True)
    ]
    strange = [row for row, word in enumerate(words) if word is not None and word not in known]
    if strange:
        shown = list(dict.fromkeys(values.tolist()[row] for row in strange))
        raise DataError(
            f"column {name!r}: {counted_of(len(strange), len(words), 'verdict', 'is', 'are')} not known: "
            f"{first_few(shown)} (rows "
            f"{first_few(strange)}). Say what each means: verdicts={{{shown[0]!r}: …}}, with 'A' for what was shown "
            "first, 'B' for the other, 'tie', or None for no verdict."
        )
    return [None if word is None else known[word] for word in words]


def _warn(shown: pd.DataFrame, flips: str) -> None:
    """Say what is missing and what flips, per judge."""
    absent = (
        shown["label"]
        .isna()
        .groupby(shown["worker"], sort=False, observed=True)
        .agg(["sum", "size"])
    )
    none = [
        f"{w!r} {n} of {size} ({n / size:.0%})"
        for w, (n, size) in zip(absent.index, absent.to_numpy(), strict=True)
        if n
    ]
    both = _in_both_orders(shown.dropna(subset=["label"]))
    flipped = both["flips"].groupby(both["worker"], sort=False, observed=True).agg(["sum", "size"])
    turns = [
        f"{w!r} {n} of {size} ({n / size:.0%})"
        for w, (n, size) in zip(flipped.index, flipped.to_numpy(), strict=True)
        if n
    ]
    said = []
    if none:
        said.append(f"no verdict: {', '.join(none[:10])}{', …' if len(none) > 10 else ''}")
    if turns:
        became = {"missing": "missing", "tie": "ties", "sources": "kept, as two sources a judge"}[
            flips
        ]
        said.append(
            f"verdicts that flip with the position ({became}): "
            f"{', '.join(turns[:10])}{', …' if len(turns) > 10 else ''}"
        )
    if said:
        warn(f"{'; '.join(said)}. See position_bias.", DataWarning)
