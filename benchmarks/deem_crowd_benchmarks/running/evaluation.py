"""One aggregator on one label set: what came out, measured."""

from __future__ import annotations

import contextlib
import inspect
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil

from deem_crowd.data.index import numbers_in_text
from deem_crowd.exceptions import DataError, ParameterError, PluginError, UnsupportedError
from deem_crowd.plugins import contract
from deem_crowd_benchmarks.running import comparison, measures
from deem_crowd_benchmarks.running.methods import Method
from deem_crowd_benchmarks.sets.label_set import LabelSet, Source

MEASURES = (
    "accuracy", "coverage", "test_accuracy", "label_accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier",
    "ece", "clustering_accuracy", "nmi", "ari", "skill_correlation", "seconds", "peak_mb", "factorize_seconds",
)  # fmt: skip
LOWER_IS_BETTER = ("log_loss", "brier", "ece", "seconds", "peak_mb", "factorize_seconds")

N_SHOWN = 4
"""Workers whose confusion matrices are kept: those with most answers."""
MAX_CLASSES_SHOWN = 12
_CLEAR_PEAK = Path("/proc/self/clear_refs")


@dataclass
class Evaluation:
    """What became of a run."""

    status: str
    """``'ok'``; ``'refused'``: it says that it is not for such data; ``'failed'``: it raised something else;
    ``'invalid'``: it returned what are no labels of these tasks."""
    reason: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)
    """By the names in ``MEASURES``; those that could not be taken are absent. ``seconds`` from data to labels, imports
    and a first tiny fit not counted; ``peak_mb``: what memory rises above the data, in 10⁶ bytes;
    ``factorize_seconds``: of pandas.factorize on the columns of the answers, in the same process."""
    warnings: list[str] = field(default_factory=list)
    reliability: dict[str, list[float]] = field(default_factory=dict)
    workers: list[dict[str, Any]] = field(default_factory=list)
    """Confusion matrices of the workers with most answers, by gold and as estimated, rows the true class."""
    hits: npt.NDArray[np.float32] | None = None
    """Per task with gold, as :func:`deem_crowd_benchmarks.running.measures.hits`."""


def evaluate_alone(
    begin: Callable[[], None],
    data: LabelSet | Source,
    method: Method,
    seed: int,
    method_seed: int,
    threads: int,
) -> Evaluation:
    """Do what :func:`evaluate` does, in a process made for it (see :mod:`deem_crowd_benchmarks.running.isolation`).

    ``seed`` draws the data, where they are drawn here; ``method_seed`` goes to the method.
    """
    label_set = data.load(seed) if isinstance(data, Source) else data
    import threadpoolctl  # type: ignore[import-untyped]
    import torch

    torch.set_num_threads(threads)
    with threadpoolctl.threadpool_limits(threads):
        begin()  # a first fit that hangs meets the limit as well; the clock starts anew below
        with contextlib.suppress(Exception):  # the measured fit will say it
            _warm_up(method, method_seed)
        begin()
        return evaluate(label_set, method, method_seed)


def evaluate(label_set: LabelSet, method: Method, seed: int = 0) -> Evaluation:
    """Fit ``method`` on the answers of ``label_set`` in this process and measure the outcome.

    Parameters
    ----------
    label_set : LabelSet
        Gold scores alone; the aggregator does not see it, unless it is a ceiling (``sees_gold``).
    method : Method
    seed : int
        For the method.

    Returns
    -------
    Evaluation
        Nothing but MemoryError, KeyboardInterrupt and the like is raised: a failure is an evaluation, too.
    """
    answers = label_set.answers
    evaluation = Evaluation("ok", sizes=_sizes(label_set))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            aggregator = method.create(seed)
            data: Any = _input(label_set, aggregator)
            _reset_peak()
            before = psutil.Process().memory_info().rss
            start = time.perf_counter()
            more = (label_set.gold,) if method.sees_gold else ()
            labels = aggregator.fit_predict(data, *more, **_features(label_set, aggregator))
            seconds = time.perf_counter() - start
            peak = _peak()
        except MemoryError:
            raise
        except Exception as error:
            return _failed(evaluation, error)
    said = (str(w.message) for w in caught if comparison.matters(w.category))
    evaluation.warnings = list(dict.fromkeys(said))
    tasks = pd.Index(answers["task"].unique(), tupleize_cols=False)
    classes = answers["label"].unique()
    try:
        probas = contract.probabilities(aggregator)
    except MemoryError:  # of many tasks and classes: the labels are there without them
        probas = None
        evaluation.warnings.append("its probabilities do not fit into memory, and are not scored")
    except Exception as error:
        evaluation.status = "failed"
        evaluation.reason = f"when it was asked for probas_: {contract.described(error)}"
        return evaluation
    try:
        made = contract.checked(labels, probas, tasks, classes)
    except ValueError as error:
        evaluation.status, evaluation.reason = "invalid", str(error)
        return evaluation
    by_probas = label_set.named and bool(label_set.gold.notna().any())
    against = made.against_probabilities() if by_probas else ""
    evaluation.warnings += filter(None, (made.open(), against))
    evaluation.measures = {"seconds": seconds, "factorize_seconds": _factorize_seconds(answers)}
    if peak is not None:
        evaluation.measures["peak_mb"] = max(peak - before, 0) / 1e6
    _measure(evaluation, label_set, made, aggregator)
    evaluation.measures = {k: v for k in MEASURES if (v := evaluation.measures.get(k, np.nan)) == v}
    return evaluation


def _features(label_set: LabelSet, aggregator: Any) -> dict[str, Any]:
    """Return the features for an aggregator that takes some."""
    if label_set.features is None:
        return {}
    taken = "features" in inspect.signature(aggregator.fit_predict).parameters
    return {"features": label_set.features} if taken else {}


def _input(label_set: LabelSet, aggregator: Any) -> Any:
    """Return what the aggregator gets: probabilities where there are some and it takes them, else labels."""
    if label_set.soft is not None and getattr(aggregator, "takes_soft", False):
        from deem_crowd_adapters import from_soft_long

        return from_soft_long(label_set.soft)
    answers = label_set.answers.copy()  # what a method does to its frame is its own affair
    if getattr(aggregator, "ordered", False) is True:
        answers["label"] = _in_order(answers["label"])
    return answers


def _in_order(labels: pd.Series) -> pd.Series:
    """Return labels that are numbers in text as ordered categories, and others as they are."""
    names = pd.Index(labels.unique())
    numbers = numbers_in_text(names)
    if numbers is None or len(np.unique(numbers)) < len(numbers):
        return labels
    return labels.astype(pd.CategoricalDtype(names[np.argsort(numbers)], ordered=True))


def _warm_up(method: Method, seed: int) -> None:
    """Let libraries set themselves up: the first fit of a process pays for that."""
    tiny = pd.DataFrame(
        {"task": [0, 0, 1, 1, 2], "worker": [0, 1, 0, 1, 0], "label": ["a", "b", "b", "b", "a"]}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        aggregator = method.create(seed)
        if getattr(aggregator, "ordered", False) is True:  # it refuses names
            tiny["label"] = pd.Categorical(tiny["label"], ["a", "b"], ordered=True)
        aggregator.fit_predict(tiny)


def _sizes(label_set: LabelSet) -> dict[str, int]:
    answers, gold = label_set.answers, label_set.gold
    return {
        "n_tasks": int(answers["task"].nunique()),
        "n_workers": int(answers["worker"].nunique()),
        "n_answers": len(answers),
        "n_classes": int(answers["label"].nunique()),
        "n_gold": int(gold[gold.index.isin(answers["task"])].notna().sum()),
    }


def _failed(evaluation: Evaluation, error: Exception) -> Evaluation:
    text = contract.described(error)
    if "can't allocate memory" in text:
        raise MemoryError(text) from error
    refusals = (DataError, ParameterError, PluginError, UnsupportedError, NotImplementedError)
    needs = isinstance(error, TypeError) and "required positional argument" in text
    evaluation.status = "refused" if needs or isinstance(error, refusals) else "failed"
    evaluation.reason = f"it needs more than answers: {text}" if needs else text
    return evaluation


def _measure(
    evaluation: Evaluation, label_set: LabelSet, made: contract.Returned, aggregator: Any
) -> None:
    gold, into = label_set.gold, evaluation.measures
    labels, probas = made
    hits, answered = measures.scored(labels, probas if label_set.named else None, gold)
    into["coverage"] = float(answered.mean()) if len(answered) else float(labels.notna().mean())
    if not label_set.named:  # gold names the classes, and nothing that goes by names is measured
        hits = measures.hits(measures.named_by(gold, labels), gold)
        evaluation.hits = hits.astype(np.float32) if len(hits) else None
        into["accuracy"] = float(hits.mean()) if len(hits) else np.nan
        blind = measures.of_labels(labels, gold)
        into.update({name: blind[name] for name in ("clustering_accuracy", "nmi", "ari")})
        return
    if len(hits):
        evaluation.hits = hits.astype(np.float32)
        into["accuracy"] = float(hits.mean())
    into.update(measures.of_labels(labels, gold))
    if probas is not None and len(hits):
        into["log_loss"] = measures.log_loss(probas, gold)
        into["brier"] = measures.brier(probas, gold)
        curve = measures.reliability(probas, gold)
        into["ece"] = curve.error
        evaluation.reliability = {name: getattr(curve, name).tolist() for name in curve._fields}
    with _not_scored(evaluation, "its classifier"):
        into["test_accuracy"] = _of_new_things(label_set, aggregator)
    with _not_scored(evaluation, "skills_"):
        skills = _shown(aggregator, "skills_", pd.Series, "index worker")
        if skills is not None:
            into["skill_correlation"] = measures.skill_correlation(skills, label_set.answers, gold)
    with _not_scored(evaluation, "errors_"):
        evaluation.workers = _confusions(label_set, aggregator)


@contextlib.contextmanager
def _not_scored(evaluation: Evaluation, what: str) -> Iterator[None]:
    """Keep the scores of labels where something else cannot be scored; a warning says why."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # an attribute of a plugin may raise anything
        evaluation.warnings.append(f"{what} cannot be scored: {contract.described(error)}")


def _shown(aggregator: Any, name: str, kind: type, form: str) -> Any:
    """Return an attribute of an aggregator, None if it has none.

    Raises
    ------
    PluginError
        If it is of another type.
    """
    value = getattr(aggregator, name, None)
    if value is None or isinstance(value, kind):
        return value
    raise PluginError(f"it is a {type(value).__name__}, not a {kind.__name__} ({form}).")


def _of_new_things(label_set: LabelSet, aggregator: Any) -> float:
    """Return the accuracy of the classifier that was learned, on things without answers; NaN where there is none."""
    classifier = getattr(aggregator, "classifier_", None)
    if label_set.new is None or classifier is None:
        return np.nan
    told = classifier.predict(label_set.new.to_numpy(dtype=np.float32))
    labels = pd.Series(np.asarray(told), index=label_set.new.index)
    return measures.accuracy(labels, label_set.gold)


def _confusions(label_set: LabelSet, aggregator: Any) -> list[dict[str, Any]]:
    """Return the confusion matrices of the busiest workers, by gold, and as ``errors_`` has them (crowd-kit's form)."""
    answers, gold = label_set.answers, label_set.gold.dropna()
    classes = pd.Index(sorted(answers["label"].unique(), key=str), tupleize_cols=False)
    n_workers = answers["worker"].nunique()
    if len(classes) > MAX_CLASSES_SHOWN or n_workers * len(classes) ** 2 > 10**6:
        return []
    errors = _shown(aggregator, "errors_", pd.DataFrame, "index worker and label")
    if errors is None or errors.index.nlevels != 2:
        return []
    true = gold.reindex(answers["task"]).to_numpy(object)
    shown = []
    for worker, n_answers in answers["worker"].value_counts().head(N_SHOWN).items():
        mine = (answers["worker"] == worker).to_numpy() & pd.notna(true)
        counts = pd.crosstab(
            pd.Index(true[mine]), pd.Index(answers["label"].to_numpy(object)[mine])
        ).reindex(index=classes, columns=classes, fill_value=0)
        if worker not in errors.index.get_level_values(0):
            continue
        estimate = (
            pd.DataFrame(errors.xs(worker, level=0))
            .reindex(index=classes, columns=classes)
            .fillna(0.0)
        )
        shown.append(
            {
                "worker": str(worker),
                "answers": int(n_answers),
                "classes": [str(c) for c in classes],
                "gold": counts.to_numpy().tolist(),
                "estimated": estimate.to_numpy(dtype=float).T.round(4).tolist(),
            }
        )
    return shown


def _factorize_seconds(answers: pd.DataFrame) -> float:
    """Return what pandas.factorize takes of the three columns: the floor of whatever starts from a frame."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        for column in ("task", "worker", "label"):
            pd.factorize(answers[column])
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _reset_peak() -> None:
    """Set the kernel's record of this process's peak memory to what it holds now, where it can be."""
    if _CLEAR_PEAK.exists():
        _CLEAR_PEAK.write_text("5")


def _peak() -> int | None:
    """Return the peak since :func:`_reset_peak` in bytes; None where the system does not say."""
    if not _CLEAR_PEAK.exists():
        return None
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
