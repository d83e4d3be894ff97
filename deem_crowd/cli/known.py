"""Known labels: of the file that --gold names, or those that the export of a tool holds beside its answers."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any

from deem_crowd.cli.files import called, format_asked
from deem_crowd.cli.intake import (
    Reading,
    Settled,
    is_document,
    only_table,
    refuse_gaps,
    written_like,
)
from deem_crowd.cli.results import answered
from deem_crowd.exceptions import DataError, DataWarning, MissingColumnError, counted, first_few
from deem_crowd.runtime.warning import warn

if TYPE_CHECKING:
    import pandas as pd

    from deem_crowd.data.answers import Answers


def with_stated_classes(read: Settled, asked: Reading, gold: str | None) -> Settled:
    """Return what was read, with the classes of true labels of the export that no worker gave; a warning says so.

    Nothing is added where a file of ``gold`` stands in place of these labels. A label of --abstain is no true label.
    """
    from deem_crowd.data import index
    from deem_crowd.data.lookup import as_index
    from deem_crowd.data.no_answers import named

    own = read.known
    if own.empty or gold is not None:
        return read
    own = written_like(own, read.ids["label"]).infer_objects()
    own = own[~named(as_index(own), asked.abstain)]
    given = read.answers.classes
    strange = own[index.class_places(given, as_index(own)) < 0]
    if strange.empty:
        return read._replace(known=own)
    new = as_index(strange).unique()
    said = counted(len(strange), "true label is", "true labels are")
    warn(
        f"{called(asked.paths[0], 'input')}: {said} of a class that no worker gave ({first_few(new)}), which is added "
        "to the classes. If it is a mistake, correct the export, or pass --gold FILE with other known labels.",
        DataWarning,
    )
    classes = given.append(new).rename(given.name)
    classes = classes.take(index.sorted_order(classes))
    answers = read.answers.select(classes=(classes.get_indexer(given), classes))
    return Settled(answers, {**read.ids, "label": classes.to_series()}, own)


def known_labels(
    path: str | None, asked: Reading, read: Settled, *, learn: bool = True, say: bool = True
) -> pd.Series | None:
    """Return the known labels that a command takes, index task: of a file, or of the export that the answers are of.

    Parameters
    ----------
    path : str, optional
        The file that --gold names.
    asked : Reading
    read : Settled
        What was read.
    learn : bool
        Whether something learns from them, so that those of a file have to be labels that somebody gave. Else labels of
        an export are those of tasks with answers.
    say : bool
        Whether to say that labels of an export are used.

    Returns
    -------
    Series or None
        None where there are none.
    """
    if path is not None:
        given = read_gold(path, asked, read.ids)
        if learn:
            check_gold_labels(given, read.answers)
        return given
    own = read.known
    if own.empty:
        return None
    own = written_like(own, read.ids["label"]).set_axis(
        written_like(own.index.to_series(), read.ids["task"]).rename("task")
    )
    own = own[own.index.isin(read.answers.tasks if learn else answered(read.answers))]
    if own.empty:
        return None
    if say:
        say_stated(asked, own, learn=learn)
    return own


def say_stated(asked: Reading, own: pd.Series, *, learn: bool = True) -> None:
    """Warn that the labels that an export states are used: to ``learn`` from, or to compare with what was learned."""
    used = "used as known labels" if learn else "what labels are compared with; no fit sees them"
    warn(
        f"{called(asked.paths[0], 'input')} holds the true labels of {counted(len(own), 'task')}, which are {used}. "
        "Pass --gold FILE to use others.",
        DataWarning,
    )


def check_gold_labels(gold: pd.Series, answers: Answers) -> None:
    """Refuse known labels that no worker gave: no method could learn what they look like."""
    strange = gold[~gold.isin(answers.classes)].unique()
    if len(strange):
        raise DataError(
            f"gold holds {counted(len(strange), 'label')} that no worker gave: {first_few(strange)}. "
            f"Labels given: {first_few(answers.classes, 10)}. Correct gold, or leave those tasks out."
        )


def read_gold(path: str, asked: Reading, answers: Any, name: str = "gold") -> pd.Series:
    """Return the known labels in a file: a Series, index task, of those tasks that are in ``answers["task"]``.

    Ids and labels that are written like those of ``answers`` become these, whatever their type in the file. ``name`` is
    what they are called in messages.
    """
    from deem_crowd.data.frames import require_columns
    from deem_crowd.data.gold import none_of

    they_have = "Gold has" if name == "gold" else "Labels have"
    columns = {**asked.columns, **asked.gold_columns}
    frame, is_export = _gold_table(
        path, format_asked(path, asked.format), columns, set(asked.gold_columns.values())
    )
    named = {} if is_export or name != "gold" else asked.gold_columns
    try:
        require_columns(frame, tuple(named.values()))
        frame = frame.drop(columns=[p for p, c in named.items() if p in frame and p != c])
        for part, column in columns.items():
            if part not in frame and column in frame:
                frame = frame.rename(columns={column: part})
        require_columns(frame, ("task", "label"))
    except MissingColumnError as error:
        raise MissingColumnError(
            f"{called(path, 'input')}: {error}\n{they_have} one row a task: columns task, label; "
            "columns of other names: --gold-task, --gold-label."
        ) from error
    if frame["label"].isna().all():
        warn(
            f"{called(path, 'input')}: column 'label' is empty throughout ({counted(len(frame), 'row')}), so that no "
            "label is known.",
            DataWarning,
        )
    frame = frame[["task", "label"]].dropna(subset=["label"])
    refuse_gaps(frame["task"], path)
    frame = frame.drop_duplicates()
    twice = frame["task"][frame["task"].duplicated()].unique()
    if len(twice):
        raise DataError(
            f"{called(path, 'input')}: {counted(len(twice), 'task has', 'tasks have')} two "
            f"{'gold labels' if name == 'gold' else 'labels'} ({first_few(twice)}). Keep one for each."
        )
    gold = written_like(frame["label"], answers["label"]).set_axis(
        written_like(frame["task"], answers["task"]).rename("task")
    )
    here = gold.index.isin(answers["task"])
    if not here.all():
        elsewhere = gold.index[~here]
        others = () if here.any() else answers["task"].unique()
        warn(
            f"{name} names {counted(len(elsewhere), 'task')} without answers ({first_few(elsewhere)}): ignored."
            f"{none_of(others)}",
            DataWarning,
        )
    return gold[here]


def _gold_table(
    path: str, format: str | None, columns: Mapping[str, str], named: Set[str]
) -> tuple[pd.DataFrame, bool]:
    """Return a table of known labels, and whether it is what an export holds of them.

    A table that has one of the columns that are ``named`` for it is no export.
    """
    from deem_crowd_adapters.exports.read import attempt
    from deem_crowd_adapters.files import read_table

    document = is_document(path, format)
    frame = only_table(path) if document else read_table(path, format)
    if frame is not None:
        found = {
            p for p in ("task", "label") if not {p, columns.get(p, p)}.isdisjoint(frame.columns)
        }
        mine = {"task", "label"} & set(frame.columns) and not document
        if len(found) == 2 or mine or named & set(frame.columns):
            return frame, False
    export = attempt(path) if format is None and path != "-" else None
    if export is not None and not export.gold.empty:
        return export.gold.rename("label").rename_axis("task").reset_index(), True
    if frame is None:
        raise DataError(
            f"{called(path, 'input')} holds no known labels. Give a table with columns task, label."
        )
    return frame, False
