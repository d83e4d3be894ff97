"""The methods of fitted objects say what the functions of their names say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from crowds import crowd
from sklearn.exceptions import NotFittedError

from deem_crowd import DEEM, DEEMAggregator, decide

FRAME, TRUTH = crowd(n=80, per_task=5, seed=4)
CALLS = {
    "next_tasks": (7, "margin"),
    "next_pairs": (7,),
    "suspect_answers": (7,),
    "suspect_labels": (7,),
    "reliable": (0.9,),
    "coverage_curve": (),
    "pseudo_labels": (0.3,),
}


@pytest.fixture(scope="module")
def fitted():
    predictions = (
        FRAME.pivot(index="task", columns="worker", values="label")
        .apply(lambda column: column.str[1:].astype(float))
        .fillna(-1)
        .to_numpy(dtype=int)
    )
    return [DEEMAggregator().fit(FRAME), DEEM().fit(predictions)]


def plain(result):
    return result.labels if isinstance(result, decide.Reliable) else result


@pytest.mark.parametrize("name", CALLS)
def test_a_method_is_the_function_of_its_name(fitted, name) -> None:
    for model in fitted:
        found = plain(getattr(model, name)(*CALLS[name]))
        expected = plain(getattr(decide, name)(model, *CALLS[name]))
        assert len(found)
        assert found.equals(expected)


def test_options_are_handed_on(fitted) -> None:
    agg = fitted[0]
    assert agg.next_tasks(9, exclude=["t0"]).equals(decide.next_tasks(agg, 9, exclude=["t0"]))
    curve = agg.coverage_curve(TRUTH)
    assert "precision" in curve
    given = pd.Series("c0", index=TRUTH.index)
    rows = agg.suspect_labels(labels=given)
    assert rows.equals(decide.suspect_labels(agg, labels=given))
    assert np.isfinite(agg.reliable(0.8, gold=TRUTH.head(60), confidence=0.8).coverage)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", [DEEM, DEEMAggregator])
def test_before_fit(kind, name) -> None:
    with pytest.raises(NotFittedError, match="call fit first"):
        getattr(kind(), name)(*CALLS[name])
