"""Aggregators that keep the contract, for faults to be planted in, and the checks that come after the last."""

from __future__ import annotations

import numpy as np
import pandas as pd


class Vote:
    """A majority vote that keeps the contract; the broken ones in the tests differ from it in one thing each."""

    def fit(self, data):
        data = data[["task", "worker", "label"]].dropna().reset_index(drop=True)
        votes = data.groupby(["task", "label"]).size().unstack(fill_value=0)
        self.probas_ = votes.div(votes.sum(axis=1), axis=0)
        self.labels_ = votes.idxmax(1) if len(votes) else pd.Series([], dtype=object)
        self.labels_ = self.labels_.rename("agg_label").rename_axis("task")
        return self

    def fit_predict(self, data):
        return self.fit(data).labels_


class Unsure(Vote):
    """Leaves tasks open whose votes are close, with a missing label."""

    abstains = True

    def fit(self, data):
        super().fit(data)
        votes = np.sort(self.probas_.to_numpy(), axis=1)
        if votes.shape[1] > 1:
            self.labels_ = self.labels_.where(votes[:, -1] - votes[:, -2] > 0.3)
        return self


class Absent(Vote):
    """Leaves tied tasks out of the result."""

    abstains = True

    def fit(self, data):
        super().fit(data)
        tied = (self.probas_.eq(self.probas_.max(axis=1), axis=0)).sum(axis=1) > 1
        self.labels_, self.probas_ = self.labels_[~tied], self.probas_[~tied]
        return self


AFTER = ("standard output", "standard error", "settings of the process")
"""The checks after the last."""
