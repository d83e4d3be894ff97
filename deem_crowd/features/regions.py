"""Regions of the features, for workers who are good in some of them only: clusters, and a table in each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataError, counted
from deem_crowd.features.logistic import Scaler
from deem_crowd.features.rows import Rows

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Regions:
    """Clusters of the features by k-means; things without features are a region of their own, the last one.

    Attributes
    ----------
    scaler : Scaler
        Each column is scaled by its own.
    centres : shape (R − 1, p)
    """

    scaler: Scaler
    centres: FloatArray

    @property
    def number(self) -> int:
        """R: the clusters, and one for what has no features."""
        return len(self.centres) + 1

    @classmethod
    def of(cls, x: Any, number: int, seed: int) -> Regions:
        """Find clusters of features, shape (M, p).

        Raises
        ------
        DataError
            If there are fewer things than clusters.
        """
        from sklearn.cluster import KMeans

        if x.shape[0] < number:
            raise DataError(
                f"regions={number}, and {counted(x.shape[0], 'task has', 'tasks have')} features: ask for fewer "
                "regions."
            )
        scaler = Scaler.of(x, each=True)
        clusters = KMeans(number, n_init=3, random_state=seed).fit(scaler(x))
        return cls(scaler, np.asarray(clusters.cluster_centers_, dtype=np.float64))

    def region(self, rows: Rows) -> IntArray:
        """Return the region of each task, shape (N,)."""
        from sklearn.metrics import pairwise_distances_argmin

        region = np.full(rows.n_tasks, len(self.centres), dtype=np.int64)
        if len(rows.place):
            x = self.scaler(rows.x)
            region[rows.place] = pairwise_distances_argmin(x, self.centres.astype(np.float32))
        return region


def by_region(answers: Answers, region: IntArray, number: int) -> Answers:
    """Return the answers with a worker for each worker and region: i · R + r."""
    task = np.repeat(np.arange(answers.n_tasks), np.diff(answers.task_ptr))
    worker = answers.worker.astype(np.int64) * number + region[task]
    return replace(answers, worker=worker, workers=pd.RangeIndex(answers.n_workers * number))


@dataclass(frozen=True)
class RegionalTables:
    """What predictions need.

    Attributes
    ----------
    regions : Regions
    gain : float64, shape (D, R, K', K')
        Logarithms of the tables of each region less those of the worker's own table.
    skills : float64, shape (D, R)
        The chance of a right answer in each region.
    """

    regions: Regions
    gain: FloatArray
    skills: FloatArray

    @classmethod
    def learned(
        cls, regions: Regions, tables: torch.Tensor, regional: torch.Tensor, prior: FloatArray
    ) -> RegionalTables:
        """Return them from log-tables, shapes (D, K', K') and (D · R, K', K')."""
        d, k = tables.shape[:2]
        there = regional.view(d, regions.number, k, k)
        right = torch.diagonal(there.exp(), dim1=2, dim2=3).numpy()
        return cls(regions, (there - tables[:, None]).numpy(), (right * prior).sum(axis=2))

    def evidence(
        self, answers: Answers, rows: Rows, worker: IntArray, label: IntArray
    ) -> FloatArray:
        """Return what the regions add to log p(answers | label), shape (N, K').

        Parameters
        ----------
        answers : Answers
            Of N tasks.
        rows : Rows
            Their features.
        worker, label : integers
            The place, in the tables, of each worker and each class of the answers; −1 where there is none.
        """
        evidence = np.zeros((answers.n_tasks, self.gain.shape[-1]))
        task = np.repeat(np.arange(answers.n_tasks), np.diff(answers.task_ptr))
        region, who = self.regions.region(rows)[task], worker[answers.worker]
        for column, place in enumerate(label):
            if answers.soft is None:
                share = (answers.hard_label == column).astype(np.float64)
            else:
                share = np.asarray(answers.soft[:, column], dtype=np.float64)
            some = np.flatnonzero((who >= 0) & (share > 0))
            if place >= 0 and len(some):
                told = self.gain[who[some], region[some], place] * share[some, None]
                np.add.at(evidence, task[some], told)
        return evidence
