r"""Consensus of sources that share no names: latent classes with a table of K_i × K for each source.

Names need no alignment: a table says which own name goes with which class. The likelihood is the exact one of the label
unit (:mod:`deem_crowd.model.energy`) over columns (source, own name). EM starts from several partitions, and the fit
with the largest bound of the evidence, tables and class prior integrated out, is kept; so is the number of classes
(:mod:`deem_crowd.clustering.latent`). Where each source can name each class, the fits go on to tables around a naming,
and the default model labels under common names (:mod:`deem_crowd.clustering.naming`). Where sources have more names
than there are classes, and share mistakes, many partitions are averaged (:mod:`deem_crowd.clustering.averaging`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from deem_crowd.clustering.alignment import align_sources
from deem_crowd.clustering.averaging import averaged, exchanged
from deem_crowd.clustering.dependent import dependence
from deem_crowd.clustering.latent import (
    Fit,
    distinct_rows,
    expectation_maximisation,
    extended,
    spectral,
)
from deem_crowd.clustering.naming import columns_of
from deem_crowd.clustering.own_names import FloatArray, IntArray, OwnNames
from deem_crowd.clustering.settling import best_named
from deem_crowd.clustering.spectrum import gap, typical_names
from deem_crowd.exceptions import DataError, ParameterError, counted
from deem_crowd.runtime.constructor import ConstructorParameters, is_whole

_SEARCHED, _OF_A_NAME = 100_000, 30
"""Of more answers, and more than 30 for each own name, starts are tried on a part of the tasks."""
_PASSES_ON_ALL = 40
_DEPENDENT = 1.5
"""G² per degree of freedom above which partitions are averaged; independent sources have about 1."""
_UNLIKE = 0.5
"""ARI below which the averaged partition and that of the best fit have little in common."""
_TIMES_TYPICAL = 2
"""Without ``n_classes``, as many classes are tried as so many times the names of a typical source,"""
_OF_A_CLASS = 10
"""or as many as the names of a source that gave each to so many tasks on average."""
_ALIKE = 0.94
"""ARI from which the averaged partition corrects the labels of the default model; below, it contradicts them."""


@dataclass(eq=False, repr=False)
class ClusteringAggregator(ConstructorParameters):
    """Labels, probabilities and a common vocabulary for sources whose labels mean something only within a source.

    Clusterings, annotators who renamed classes, tools with their own vocabulary: sources may use different names and
    different numbers of names; missing answers are absent.

    Parameters
    ----------
    n_classes : int or sequence of int, optional
        K, or the numbers among which the bound of the evidence chooses; None: from 2 to the most names of a source, but
        at most twice the names of a typical source or, if that is more, as many as a source has that gave each to ten
        tasks or more on average. With None, if most answers come from sources with fewer names than the most, and
        sources depend on one another beyond the classes: the number after which squared singular values of the graph of
        tasks and own names fall most, if by a third or more (:mod:`deem_crowd.clustering.spectrum`).
    n_starts : int
        Random starts beside the spectral one and the one from aligned names.
    refine : bool
        Where no source has more names than there are classes: go on from each fit to tables around a naming, rename
        every source, and let :class:`deem_crowd.DEEMAggregator` label under the common names; of the four best
        namings, that with the largest bound of its evidence (of one, beyond 100,000 answers). Up to 20,000 answers, a
        part of the tasks that few right answers link to the rest is matched to it by the errors that all sources share.
    average : bool, optional
        True: the labels are the consensus of many partitions with squared loss, sources weighted by how far they agree
        with it. This suits clusterings, which share mistakes that the likelihood takes for evidence. ``probas_`` then
        says how closely the partitions agree. None: the same where sources depend on one another beyond the classes and
        one of them has more names than there are classes, as clusterings may have and annotators rarely. Where they
        depend on one another and none has more names, the consensus of partitions corrects the labels of the default
        model if it changes few of them; ``probas_`` are then those of the model, with the probabilities of the old and
        the new label exchanged. None also keeps the best fit if the average has little in common with it and a spectral
        partition is nearer to the fit. False: never.
    random_state : int
        Of the random starts, of how parts may be matched, and of the partitions that are averaged.

    Attributes
    ----------
    labels_ : Series named ``agg_label``, index task
        Names of the reference source of :func:`deem_crowd.clustering.align_sources`, for more classes also names that
        only others use, and numbers where there are more classes than names; missing for tasks without answers.
    probas_ : DataFrame, index task, a column for each class
    mapping_ : DataFrame, index (worker, label)
        Columns ``name`` (the class that an own name goes with most often), ``probability`` p(class | own name) and
        ``n_tasks``.
    skills_ : Series, index worker
        Share of a source's answers whose own name goes with the task's class, names matched one to one.
    selection_ : DataFrame
        A row for each number of classes and start: ``n_classes``, ``start``, ``bound`` in nats per answer. Of many
        answers, starts are tried on a part of the tasks.
    n_classes_ : int
        K; if the spectrum shows it, not always that of the largest bound.
    """

    n_classes: int | Sequence[int] | None = None
    n_starts: int = 6
    refine: bool = True
    average: bool | None = None
    random_state: int = 0

    def fit(self, data: Any) -> ClusteringAggregator:
        """Fit the consensus.

        Parameters
        ----------
        data : DataFrame, Answers or integers of shape (N, D)
            Long format (task, worker, label), or a matrix with −1 for missing.

        Raises
        ------
        DataError
            If fewer than two sources answered, sources fall into parts without a common task, or there are fewer
            distinct rows of answers than classes. Labels that are all distinct are said in a warning.
        ParameterError
            For a parameter out of its range.
        """
        own = OwnNames.of(data)
        own.require_connected()
        self._check()
        rng = np.random.default_rng(self.random_state)
        part, chosen = self._searched(own, rng)
        shown = self._shown(part)
        numbers = self._numbers(own, shown)
        aligned = align_sources(own.answers)
        rows: list[tuple[int, str, float]] = []
        best: list[Fit] = []
        of_shown: list[Fit] = []
        for k in numbers:
            starts = self._starts(part, aligned.answers.select(tasks=chosen), k, rng)
            fits = [expectation_maximisation(part, start, name) for name, start in starts]
            rows += [(k, fit.start, fit.bound / part.answers.n_answers) for fit in fits]
            fits.sort(key=lambda fit: -fit.bound)
            if k == shown:
                of_shown = fits
            if not best or fits[0].bound > best[0].bound:
                best = fits
        if of_shown and self._depends(part, best[0].posterior.argmax(1)):
            best = of_shown
        if part is not own:
            best = [extended(own, best[0], _PASSES_ON_ALL)]
        in_part = best[0].posterior.argmax(1)[chosen if part is not own else slice(None)]
        k = best[0].posterior.shape[1]
        if self._averages(part, in_part, k):
            posterior = self._averaged(own, part, best[0].posterior)
        else:
            posterior = self._corrected(own, part, self._refined(own, best))
        self._keep(own, posterior, aligned.reference)
        self.selection_ = pd.DataFrame(rows, columns=["n_classes", "start", "bound"])
        return self

    def _searched(self, own: OwnNames, rng: np.random.Generator) -> tuple[OwnNames, IntArray]:
        """Return the answers on which starts are tried, and their tasks."""
        answers = own.answers
        size = max(_SEARCHED, _OF_A_NAME * len(own.source))
        if answers.n_answers <= 2 * size:
            return own, np.arange(answers.n_tasks)
        answered = np.flatnonzero(np.diff(answers.task_ptr) > 0)
        number = max(1, round(len(answered) * size / answers.n_answers))
        chosen = np.sort(rng.choice(answered, number, replace=False))
        part = replace(own, answers=answers.select(tasks=chosen), indicator=own.indicator[chosen])
        return part, chosen

    def fit_predict(self, data: Any) -> pd.Series:
        """Fit, and return ``labels_``."""
        return self.fit(data).labels_.copy()

    def fit_predict_proba(self, data: Any) -> pd.DataFrame:
        """Fit, and return ``probas_``."""
        return self.fit(data).probas_.copy()

    def _check(self) -> None:
        if not is_whole(self.n_starts, 0):
            raise ParameterError(f"n_starts={self.n_starts!r} is not allowed: an integer >= 0.")
        try:
            np.random.default_rng(self.random_state)
        except (TypeError, ValueError):
            raise ParameterError(
                f"random_state={self.random_state!r} is not allowed: an integer >= 0."
            ) from None
        if not (self.average is None or isinstance(self.average, bool | np.bool_)):
            raise ParameterError(f"average={self.average!r} is not allowed: True, False or None.")

    def _shown(self, own: OwnNames) -> int | None:
        """Return the number of classes that the spectrum shows, where none is given and the names do not show it.

        Where at least half of the answers come from sources that use the most names, these are the classes, as with
        annotators who renamed them.
        """
        typical = typical_names(own)
        if self.n_classes is not None or typical == np.bincount(own.source).max():
            return None
        return gap(own, _TIMES_TYPICAL * typical, np.random.default_rng(self.random_state))

    def _numbers(self, own: OwnNames, shown: int | None) -> list[int]:
        names = np.bincount(own.source, minlength=own.answers.n_workers)
        # a source with a name for each task, or nearly, does not say that there may be so many classes
        says = names * _OF_A_CLASS <= np.bincount(own.answers.worker, minlength=len(names))
        said = max(_TIMES_TYPICAL * typical_names(own), int(names[says].max(initial=0)))
        most = max(min(int(names.max()), said), shown or 0)
        given = range(2, most + 1) if self.n_classes is None else self.n_classes
        numbers = list(given) if isinstance(given, Iterable) else [given]
        whole = all(is_whole(k, 1) for k in numbers)
        if not numbers or not whole:
            if self.n_classes is None:
                raise DataError(
                    "no source uses two names or more: every task is in one class, and there is nothing to find."
                )
            raise ParameterError(
                f"n_classes={self.n_classes!r} is not allowed: an integer >= 1, several, or None."
            )
        distinct = len(distinct_rows(own.indicator))
        if max(numbers) > distinct:
            raise DataError(
                f"n_classes={max(numbers)} and only {counted(distinct, 'distinct row')} of answers: tasks that all "
                f"sources answer alike cannot be told apart. Ask for {counted(distinct, 'class', 'classes')} at most."
            )
        return [int(k) for k in numbers]

    def _starts(
        self, own: OwnNames, aligned: Any, k: int, rng: np.random.Generator
    ) -> list[tuple[str, FloatArray]]:
        """Return starts by name: probabilities of the classes, shape (N, K)."""
        starts = [("spectral", spectral(own, k, int(rng.integers(2**31))))]
        votes = np.zeros((aligned.n_tasks, aligned.n_classes))
        np.add.at(votes, (aligned.task, aligned.hard_label), 1.0)
        used = np.argsort(-votes.sum(0), kind="stable")[:k]
        if len(used) == k and (votes[:, used].sum(0) > 0).all():
            shares = votes[:, used] + 1e-3
            starts.append(("aligned names", shares / shares.sum(1, keepdims=True)))
        for number in range(self.n_starts):
            soft = rng.dirichlet(np.full(k, 0.5), own.answers.n_tasks)
            starts.append((f"random {number + 1}", soft))
        return starts

    def _averages(self, own: OwnNames, partition: IntArray, k: int) -> bool:
        """Tell whether to average partitions, given the partition of the best fit, of K = ``k`` classes."""
        if self.average is not None or k < 2:
            return bool(self.average) and k > 1
        if not self.refine or self._names_classes(own, k):
            return False
        return self._depends(own, partition)

    def _depends(self, own: OwnNames, partition: IntArray) -> bool:
        """Tell whether sources depend on one another beyond the classes, given a partition."""
        rng = np.random.default_rng(self.random_state)
        return dependence(own, partition, rng) > _DEPENDENT

    def _averaged(self, own: OwnNames, part: OwnNames, fitted: FloatArray) -> FloatArray:
        """Return the consensus of partitions, or the best fit where the two disagree and a third one sides with it.

        Where sources have many more names than there are classes, the squared loss has many poor minima.
        """
        from sklearn.metrics import adjusted_rand_score

        k = fitted.shape[1]
        posterior = averaged(own, part, k, np.random.default_rng(self.random_state))
        if self.average:
            return posterior
        one, other = fitted.argmax(1), posterior.argmax(1)
        if adjusted_rand_score(one, other) >= _UNLIKE:
            return posterior
        third = spectral(own, k, self.random_state).argmax(1)
        sides = adjusted_rand_score(third, one) > adjusted_rand_score(third, other)
        return fitted if sides else posterior

    def _corrected(self, own: OwnNames, part: OwnNames, posterior: FloatArray) -> FloatArray:
        """Return probabilities with the labels of the averaged partition, if sources share mistakes and few change."""
        from sklearn.metrics import adjusted_rand_score

        k, label = posterior.shape[1], posterior.argmax(1)
        if self.average is not None or not self._names_classes(own, k):
            return posterior
        if not self._depends(own, label):
            return posterior
        partition = averaged(own, part, k, np.random.default_rng(self.random_state))
        alike = adjusted_rand_score(label, partition.argmax(1)) >= _ALIKE
        return exchanged(posterior, partition) if alike else posterior

    def _names_classes(self, own: OwnNames, k: int) -> bool:
        """Tell whether sources are renamed for the default model: none has more names than there are classes."""
        return self.refine and 1 < k >= max(map(len, columns_of(own)))

    def _refined(self, own: OwnNames, fits: list[Fit]) -> FloatArray:
        """Return the probabilities of the classes, shape (N, K)."""
        k = len(fits[0].prior)
        if not self._names_classes(own, k):
            return fits[0].posterior
        rng = np.random.default_rng(self.random_state)
        return best_named(own, fits, own.answers.n_answers <= _SEARCHED, rng)

    def _keep(self, own: OwnNames, posterior: FloatArray, reference: Hashable) -> None:
        answers, k, columns = own.answers, posterior.shape[1], columns_of(own)
        counts = np.asarray(own.indicator.T @ posterior)
        order, names = _class_names(own, counts, reference)
        posterior, counts = posterior[:, order], counts[:, order]
        labels = pd.Series(names.take(posterior.argmax(1)), index=answers.tasks, name="agg_label")
        given = np.diff(own.indicator.indptr) > 0
        self.labels_ = labels if given.all() else labels.where(given)
        self.probas_ = pd.DataFrame(posterior, index=answers.tasks, columns=names)
        self.n_classes_ = k
        total = counts.sum(1)
        index = pd.MultiIndex.from_arrays(
            [answers.workers.take(own.source), answers.classes.take(own.label)],
            names=["worker", "label"],
        )
        self.mapping_ = pd.DataFrame(
            {
                "name": names.take(counts.argmax(1)),
                "probability": counts.max(1) / total,
                "n_tasks": total.round().astype(np.int64),
            },
            index=index,
        )
        skills = np.full(answers.n_workers, np.nan)
        for source, place in enumerate(columns):
            if len(place):
                rows, cols = linear_sum_assignment(counts[place], maximize=True)
                skills[source] = counts[place][rows, cols].sum() / counts[place].sum()
        self.skills_ = pd.Series(skills, index=answers.workers, name="skill")


def _class_names(
    own: OwnNames, counts: FloatArray, reference: Hashable
) -> tuple[IntArray, pd.Index]:
    """Return the order of the classes and their names: the reference's own, then unused ones of other sources.

    Where there are more classes than names they are numbers.
    """
    answers, k = own.answers, counts.shape[1]
    if k > answers.n_classes:
        return np.arange(k), pd.RangeIndex(k, name="label")
    place = int(answers.workers.get_indexer(pd.Index([reference]))[0])
    columns = np.flatnonzero(own.source == place)
    rows, cols = linear_sum_assignment(counts[columns], maximize=True)
    label = np.full(k, -1, dtype=np.int64)
    label[cols] = own.label[columns[rows]]
    unused = np.setdiff1d(np.arange(answers.n_classes), label)
    label[label < 0] = unused[: int((label < 0).sum())]
    order = np.argsort(label)
    return order, answers.classes.take(label[order]).rename("label")
