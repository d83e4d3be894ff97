"""The default model on the real sets, beside Dawid-Skene and the vote."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from crowdkit.aggregation import DawidSkene, MajorityVote
from deem_crowd_benchmarks.running import measures
from deem_crowd_benchmarks.sets import label_sets

from deem_crowd import DEEMAggregator

SETS = Path(__file__).parents[3] / "shared" / "data"
needs_sets = pytest.mark.skipif(not SETS.is_dir(), reason="the label sets are not there")
NOTED = pd.read_csv(
    Path(__file__).with_name("dawid_skene.csv"), dtype={"digest": str}, index_col="digest"
)
"""What crowd-kit 1.4.2's DawidSkene(n_iter=100) reaches on the label sets, by their digests; it takes long."""
PUBLISHED = ["bluebird", "dog", "web", "ms", "sp_amt", "cf_amt", "zencrowd_us", "product"]
PUBLISHED += ["face", "adult", "fact_eval"]
"""Crowds of which crowd-kit's Dawid-Skene is published with them."""


def figures(name: str, method: Any, data: label_sets.LabelSet) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        method.fit_predict(data.answers)
    return {
        name: 100 * measures.accuracy(method.probas_, data.gold),
        f"{name} loss": measures.log_loss(method.probas_, data.gold),
        f"{name} ece": measures.reliability(method.probas_, data.gold).error,
    }


def of_dawid_skene(data: label_sets.LabelSet) -> dict[str, float]:
    if data.digest in NOTED.index:
        return NOTED.loc[data.digest].drop("set").to_dict()
    return figures("ds", DawidSkene(n_iter=100), data)


@needs_sets
@pytest.mark.parametrize("name", ["crowd/bluebird", "ensemble/micro-mass"])
def test_what_is_noted_of_dawid_skene(name) -> None:
    (source,) = label_sets.sources(SETS / name)
    data = source.load(0)
    found = figures("ds", DawidSkene(n_iter=100), data)
    assert of_dawid_skene(data) == pytest.approx(found, rel=1e-6)
    assert data.digest in NOTED.index


@needs_sets
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "above"), [("crowd", 0.5), ("ensemble", 0.0)])
def test_real_sets(kind, above) -> None:
    """The mean is above Dawid-Skene's and the vote's, no set is far below, and probabilities are better."""
    table = []
    for source in label_sets.sources(SETS / kind):
        data = source.load(0)
        ours, vote = DEEMAggregator(progress=False), MajorityVote()
        table.append(figures("ours", ours, data) | figures("mv", vote, data) | of_dawid_skene(data))
        table[-1]["name"] = Path(data.name).name
        assert set(ours.labels_.index) == set(data.answers["task"])
    found = pd.DataFrame(table).set_index("name")
    mean = found.mean()
    assert mean["ours"] > max(mean["ds"], mean["mv"]) + above
    assert mean["ours loss"] < 0.6 * mean["ds loss"]
    assert mean["ours ece"] < mean["ds ece"]
    assert (found["ours"] - found[["ds", "mv"]].max(axis=1)).min() > -1.5
    if kind == "crowd":
        published = pd.read_csv(SETS / "peers.csv").set_index("name")["DawidSkene (crowd-kit)"]
        assert found["ours"][PUBLISHED].mean() >= published[PUBLISHED].mean()
        assert found["ds"][PUBLISHED].to_numpy() == pytest.approx(published[PUBLISHED], abs=0.06)
