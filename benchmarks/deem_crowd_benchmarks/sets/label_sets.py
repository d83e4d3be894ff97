"""What is compared on: answers with gold, and where they come from."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataError, DataWarning, ParameterError, counted, first_few
from deem_crowd.plugins.discovery import hint
from deem_crowd.runtime.warning import warn
from deem_crowd_benchmarks.sets.label_set import COLUMNS, LabelSet, Source
from deem_crowd_benchmarks.sets.scorable import scorable
from deem_crowd_benchmarks.sets.texts import as_text, refuse_gaps, spelled_alike

_ENDINGS = (".csv", ".csv.gz", ".parquet")
_TRUTH = (
    "A benchmark needs truth.csv, columns task and label, beside the answers, for some of the tasks at least; without "
    "it, `deem-crowd compare ANSWERS` shows how far methods agree."
)

_RENAMED = "renamed:"
_AT_MOST = "at-most:"


@dataclass(frozen=True)
class CrowdOf:
    """Draws :func:`deem_crowd_benchmarks.sets.laws.crowd_of` so many answers."""

    n_answers: int
    n_classes: int = 4
    heavy_tail: bool = False
    strings: bool = False

    def __call__(self, seed: int) -> LabelSet:
        """Draw it."""
        from deem_crowd_benchmarks.sets.laws import crowd_of

        crowd = crowd_of(self.n_answers, seed, self.n_classes, self.heavy_tail)
        if not self.strings:
            return crowd
        named = {name: f"{name}-" + crowd.answers[name].astype(str) for name in COLUMNS}
        gold = "label-" + crowd.gold.astype(str)
        gold.index = "task-" + gold.index.astype(str)
        return LabelSet(crowd.name, pd.DataFrame(named), gold.rename_axis("task"), crowd.kind)

    @property
    def title(self) -> str:
        """What tells it from others."""
        parts = [f"{self.n_answers:,} answers"]
        parts += [f"K = {self.n_classes}"] if self.n_classes != 4 else []
        parts += ["heavy-tailed workers"] if self.heavy_tail else []
        return ", ".join(parts + (["text"] if self.strings else []))


def sources(
    given: str | Path | LabelSet | Source | Sequence[str | Path | LabelSet | Source],
) -> list[Source]:
    """Return the sources that ``given`` names.

    Parameters
    ----------
    given : one, or a list, of
        a folder of label sets or one label set's folder (``labels.csv[.gz]`` or ``.parquet`` with columns task, worker,
        label; ``truth`` likewise with columns task, label); ``crowdkit:NAME`` (downloads once); ``sklearn`` or
        ``sklearn:NAME`` (classifiers' labels, out of fold), ``sklearn-soft:NAME`` (their probabilities); ``law`` or
        ``law:NAME``, with as many tasks as follow an ``@``; ``clusterings``, ``clusterings:NAME``; ``renamed:`` before
        any of these, for names shuffled for each worker, and ``at-most:2:`` for so many answers a task, drawn at
        random; ``features``, ``features:NAME`` (simulated crowds, with features; of so many things as follow an ``@``),
        ``features-new:NAME`` (the same, some things without answers to test classifiers on); a :class:`LabelSet`; a
        :class:`Source`.

    Raises
    ------
    ParameterError
        If there is no such thing.
    DataError
        If a folder holds no label set.
    """
    if isinstance(given, str | Path | LabelSet | Source):
        given = [given]
    listed = [source for one in given for source in _of(one)]
    names = [s.name for s in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ParameterError(
            f"{counted(len(twice), 'name stands', 'names stand')} for more than one label set "
            f"({first_few(twice)}): rename the folders."
        )
    return listed


def loaded(data: Sequence[str], seeds: int = 1) -> Iterator[tuple[Source, LabelSet, Answers]]:
    """Yield the label sets that ``data`` names, those that are drawn once for each seed, and their hard answers.

    Of several answers of a worker to a task the last counts, without a warning.
    """
    for source in sources(list(data)):
        for seed in range(seeds if source.drawn else 1):
            label_set = source.load(seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)  # of repeated answers
                answers = Answers.from_frame(label_set.answers, duplicates="last")
            yield source, label_set, answers


def _of(given: str | Path | LabelSet | Source) -> Iterator[Source]:
    if isinstance(given, Source):
        yield given
    elif isinstance(given, str) and given.startswith(_RENAMED):
        from deem_crowd_benchmarks.sets.clusterings import renamed_source

        yield from map(renamed_source, _of(given.removeprefix(_RENAMED)))
    elif isinstance(given, str) and given.startswith(_AT_MOST):
        yield from _thinned(given.removeprefix(_AT_MOST))
    elif isinstance(given, LabelSet):
        yield Source(given.name, given.kind, partial(_as_it_is, given))
    elif Path(given).is_dir():
        yield from _in_folder(Path(given))
    else:
        scheme, _, name = str(given).partition(":")
        if scheme not in _SCHEMES:
            raise ParameterError(
                f"there is no folder {str(given)!r}, and it names no data either: "
                f"FOLDER, {', '.join(f'{s}:NAME' for s in _SCHEMES)}."
            )
        yield from _SCHEMES[scheme](name)


def _at_most(source: Source, n_answers: int, seed: int) -> LabelSet:
    """Leave each task so many of its answers, drawn at random."""
    whole = source.load(seed)
    answers = whole.answers.sample(frac=1, random_state=seed)
    answers = answers.groupby("task", sort=False).head(n_answers).sort_index()
    soft = None if whole.soft is None else whole.soft.loc[answers.index].reset_index(drop=True)
    return replace(whole, answers=answers.reset_index(drop=True), soft=soft)


def _thinned(given: str) -> Iterator[Source]:
    number, _, rest = given.partition(":")
    if not (number.isdecimal() and int(number) > 0 and rest):
        raise ParameterError(
            f"{_AT_MOST}{given}: write {_AT_MOST}NUMBER:DATA, such as {_AT_MOST}2:law:independent."
        )
    for one in _of(rest):
        title = f"{one.name}, at most {number} a task"
        load = partial(_at_most, one, int(number))
        yield Source(title, one.kind, load, drawn=True, large=one.large)


def _as_it_is(value: LabelSet, seed: int) -> LabelSet:
    if not value.named:  # its labels are no true classes
        return value
    tasks, given = (
        pd.Index(value.answers[c].unique(), tupleize_cols=False) for c in ("task", "label")
    )
    tested = tasks if value.new is None else tasks.append(value.new.index)
    if value.soft is not None:
        # a class may be true of a task though no source finds it likeliest anywhere
        given = given.append(value.soft.columns.drop(["task", "worker"])).unique()
    scorable(value.gold, tested, given, f"gold of {value.name!r}")
    return value


def _read(path: Path, kind: str, seed: int) -> LabelSet:
    return read_folder(path, kind)


def _downloaded(name: str, seed: int) -> LabelSet:
    return from_crowdkit(name)


def _in_folder(folder: Path) -> Iterator[Source]:
    if _file(folder, "labels"):
        yield Source(folder.resolve().name, "data", partial(_read, folder, "data"))
        return
    inner = [p for p in sorted(folder.iterdir()) if p.is_dir() and _file(p, "labels")]
    if not inner:
        raise DataError(
            f"{folder} holds no label set: no labels.csv[.gz] or labels.parquet, in it or in its folders."
        )
    without = [path.name for path in inner if not _file(path, "truth")]
    if len(without) == len(inner):
        raise DataError(
            f"{counted(len(inner), 'label set')} in {folder} ({first_few(without)}) and no true labels: none has a "
            f"truth.csv[.gz] or truth.parquet. {_TRUTH}"
        )
    if without:
        warn(
            f"{len(without)} of {counted(len(inner), 'label set')} in {folder} {'is' if len(without) == 1 else 'are'} "
            f"left out, for want of true labels: {first_few(without)}. {_TRUTH}",
            DataWarning,
        )
    kind = folder.resolve().name
    for path in inner:
        if path.name not in without:
            yield Source(path.name, kind, partial(_read, path, kind))


def _file(folder: Path, stem: str) -> Path | None:
    return next((p for e in _ENDINGS if (p := folder / f"{stem}{e}").is_file()), None)


def read_folder(folder: Path, kind: str = "data") -> LabelSet:
    """Read ``labels`` and ``truth`` of one folder; everything as text, so that 1 and "1" are no difference.

    A row that repeats another in task, worker and label is one answer. What becomes of several answers of one worker to
    one task is each aggregator's affair.

    Raises
    ------
    DataError
        If a file, a column or a value is missing, gold names a task twice, or it can score nothing.
    """
    from deem_crowd_adapters import read_long, read_table

    labels, truth = _file(folder, "labels"), _file(folder, "truth")
    if labels is None or truth is None:
        lacking = "labels" if labels is None else "truth"
        remedy = f" {_TRUTH}" if lacking == "truth" else ""
        raise DataError(f"{folder} has no {lacking}.csv[.gz] or {lacking}.parquet.{remedy}")
    read = read_long(str(labels))[list(COLUMNS)]
    refuse_gaps(read, labels)
    if read.empty:
        raise DataError(f"{labels} holds no answers.")
    answers = read.apply(as_text).drop_duplicates(ignore_index=True)
    gold = read_table(str(truth))
    for column in ("task", "label"):
        if column not in gold.columns:
            raise DataError(f"{truth} has no column {column!r}; found {first_few(gold.columns)}.")
    gold = gold.dropna(subset=["label"])[["task", "label"]]
    refuse_gaps(gold, truth)
    if gold.empty:
        raise DataError(f"{truth} holds no true label. {_TRUTH}")
    tasks, given = (pd.Index(answers[column].unique()) for column in ("task", "label"))
    gold = gold.apply(as_text)
    gold = pd.DataFrame(
        {"task": spelled_alike(gold["task"], tasks), "label": spelled_alike(gold["label"], given)}
    ).drop_duplicates()
    twice = gold["task"][gold["task"].duplicated()].unique()
    if len(twice):
        raise DataError(
            f"{truth}: {counted(len(twice), 'task has', 'tasks have')} two gold labels ({first_few(twice)}). Keep one "
            "for each."
        )
    true = scorable(gold.set_index("task")["label"], tasks, given, str(truth))
    features = _features_in(folder, answers["task"])
    return LabelSet(folder.resolve().name, answers, true, kind, features=features)


def _features_in(folder: Path, tasks: pd.Series) -> pd.DataFrame | None:
    """Return ``features.npz`` (array X), rows named by the first column of ``tasks.csv[.gz]``; None if it is absent."""
    arrays, names = folder / "features.npz", _file(folder, "tasks")
    if not arrays.is_file() or names is None:
        return None
    from deem_crowd_adapters import read_table

    with np.load(arrays, allow_pickle=False) as content:
        x = content["X"].astype(np.float32)
    index = pd.Index(read_table(str(names)).iloc[:, 0].astype(str), name="task")
    if len(index) != len(x):
        raise DataError(
            f"{folder}: {counted(len(x), 'row')} of features and {counted(len(index), 'task')} in {names.name}."
        )
    frame = pd.DataFrame(x, index=index)
    return frame.loc[frame.index.isin(tasks)]


def from_crowdkit(name: str) -> LabelSet:
    """Return one of crowd-kit's own data sets; crowd-kit downloads it if it is not there yet.

    Raises
    ------
    ParameterError
        If crowd-kit knows no such set.
    DataError
        If it cannot be had, or holds no classification with gold.
    """
    from crowdkit.datasets import load_dataset

    _check_crowdkit(name)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it says that it downloads
            answers, gold = load_dataset(name)
    except Exception as error:  # whatever a download may raise
        raise DataError(
            f"crowd-kit's data set {name!r} could not be had ({type(error).__name__}: {error}). It is downloaded at "
            "its first use, to ~/crowdkit_data or where CROWDKIT_DATA says: put it there, or go where a network is."
        ) from error
    if not set(COLUMNS) <= set(answers.columns) or not isinstance(gold, pd.Series):
        raise DataError(f"crowd-kit's data set {name!r} holds no labels of classes with gold.")
    return LabelSet(name, answers[list(COLUMNS)], gold.rename_axis("task"), "crowd-kit")


def _check_crowdkit(name: str) -> None:
    from crowdkit.datasets import get_datasets_list

    known = [title for title, _ in get_datasets_list()]
    if name not in known:
        raise ParameterError(
            f"crowd-kit has no data set {name!r}{hint(name, known)}; there are: {', '.join(known)}."
        )


def _crowdkit(name: str) -> Iterator[Source]:
    _check_crowdkit(name)
    yield Source(name, "crowd-kit", partial(_downloaded, name))


def _sklearn(name: str, soft: bool = False) -> Iterator[Source]:
    from deem_crowd_benchmarks.sets.ensembles import DATASETS, out_of_fold

    for one in _chosen(name, DATASETS, "sklearn"):
        title = f"{one}, soft" if soft else one
        yield Source(title, "classifiers", partial(out_of_fold, one, soft=soft), drawn=True)


def _law(name: str) -> Iterator[Source]:
    """Return laws: all, those of a kind, or one, with as many tasks as follow an @."""
    from deem_crowd_benchmarks.sets.kinds import JUDGES, ORDERED, RARE, WEAK
    from deem_crowd_benchmarks.sets.laws import LAWS
    from deem_crowd_benchmarks.sets.soft_kinds import SOFT

    name, _, tasks = name.partition("@")
    if tasks and not (tasks.isdecimal() and int(tasks) > 0):
        raise ParameterError(f"law:{name}@{tasks}: {tasks!r} is no number of tasks, such as 200.")
    kinds = {"weak": WEAK, "judges": JUDGES, "ordered": ORDERED, "rare": RARE, "soft": SOFT}
    if name in kinds:
        kind, chosen = f"{name}, generated", kinds[name]
    else:
        known = LAWS if not name else {**LAWS, **WEAK, **JUDGES, **ORDERED, **RARE, **SOFT}
        kind, chosen = "law", {one: known[one] for one in _chosen(name, tuple(known), "law")}
    for one, draw in chosen.items():
        if tasks:
            one, draw = f"{one}, {tasks} tasks", partial(draw, n_tasks=int(tasks))
        yield Source(one, kind, draw, drawn=True)


def _features(name: str, held: bool = False) -> Iterator[Source]:
    from deem_crowd_benchmarks.sets.featured import DATA, simulated

    name, _, things = name.partition("@")
    if things and not (name and things.isdecimal() and int(things) > 0):
        raise ParameterError(
            f"features:{name}@{things}: write features:NAME@NUMBER, such as features:mnist@1000."
        )
    _chosen(name, DATA, "features")
    for one in simulated(name, held, int(things) if things else None):
        yield Source(one.title, f"{one.data}, {one.noise}", one, drawn=True)


def _clusterings(name: str) -> Iterator[Source]:
    from deem_crowd_benchmarks.sets.clusterings import available, clustered

    for one in _chosen(name, available(), "clusterings"):
        yield Source(f"clusterings of {one}", "clusterings", partial(clustered, one), drawn=True)


def _chosen(name: str, known: tuple[str, ...], scheme: str) -> tuple[str, ...]:
    if not name:
        return known
    if name not in known:
        raise ParameterError(
            f"there is no {scheme}:{name}{hint(name, known)}; there are: {', '.join(known)}."
        )
    return (name,)


_SCHEMES: dict[str, Callable[[str], Iterator[Source]]] = {
    "crowdkit": _crowdkit,
    "sklearn": _sklearn,
    "sklearn-soft": lambda name: _sklearn(name, soft=True),
    "law": _law,
    "clusterings": _clusterings,
    "features": _features,
    "features-new": lambda name: _features(name, held=True),
}
