"""An aggregator that keeps the contract, for faults to be planted in, and the checks that come after the last."""

from __future__ import annotations

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


AFTER = ("standard output", "standard error", "settings of the process")
"""The checks after the last."""
