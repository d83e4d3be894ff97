"""Labels in float32 are found under Python's floats."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from deem_crowd import Answers, DEEMAggregator, decide, plots
from deem_crowd.exceptions import DataError, ParameterError

draw = np.random.default_rng(0)
TRUTH = draw.integers(2, size=60)
TASK = np.repeat(np.arange(60), 3)
CODE = np.where(draw.random(180) < 0.8, TRUTH[TASK], 1 - TRUTH[TASK])
LABEL = np.array([0.1, 0.7])[CODE]
FRAME = pd.DataFrame({"task": TASK, "worker": np.tile(range(3), 60), "label": LABEL})
SHARES = {0.1: 0.2, 0.7: 0.8}


@pytest.fixture(params=["float32", "Float32", "category"])
def narrow(request: pytest.FixtureRequest) -> pd.DataFrame:
    labels = FRAME["label"].astype("float32" if request.param == "category" else request.param)
    return FRAME.assign(label=labels.astype(request.param))


def test_gold_and_shares_are_those_of_the_labels(narrow: pd.DataFrame) -> None:
    how: dict[str, Any] = {"class_balance": SHARES, "auto_hyperparameters": False}
    wide = DEEMAggregator(**how).fit(FRAME, gold={0: 0.1, 1: 0.7})
    golds: list[Any] = [
        {0: 0.1, 1: 0.7},
        pd.Series([0.1, 0.7]),
        pd.Series([0.1, 0.7], dtype="float32"),
    ]
    for gold in golds:
        agg = DEEMAggregator(**how).fit(narrow, gold=gold)
        np.testing.assert_allclose(agg.probas_.to_numpy(), wide.probas_.to_numpy())
    stated = pd.Series(0.1, index=range(60))
    told = decide.suspect_labels(agg, 5, labels=stated)
    assert told["task"].tolist() == decide.suspect_labels(wide, 5, labels=stated)["task"].tolist()
    np.testing.assert_allclose(
        agg.predict_proba(FRAME).to_numpy(), wide.predict_proba(FRAME).to_numpy()
    )


def test_classes_may_be_given_in_either_precision(narrow: pd.DataFrame) -> None:
    answers = Answers.from_frame(narrow, classes=[0.7, 0.1])
    np.testing.assert_array_equal(
        answers.hard_label, Answers.from_frame(FRAME, classes=[0.7, 0.1]).hard_label
    )


def test_other_numbers_are_no_labels(narrow: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"1 label that no worker gave: 0\.11"):
        DEEMAggregator().fit(narrow, gold={0: 0.11})
    with pytest.raises(ParameterError, match="has no share for 1 label"):
        DEEMAggregator(class_balance={0.1: 0.5, 0.71: 0.5}).fit(narrow)


def test_one_of_each_is_told_in_the_singular() -> None:
    assert repr(Answers.from_frame(FRAME[:1])) == "Answers(1 answer, 1 task, 1 worker, 1 class)"
    assert (
        repr(Answers.from_dense([[0, 1], [1, -1]]))
        == "Answers(3 answers, 2 tasks, 2 workers, 2 classes)"
    )


def test_gold_with_gaps_may_hold_objects() -> None:
    rows = pd.DataFrame(
        {"task": [0, 0, 1, 1], "worker": [0, 1, 0, 1], "label": np.float32([0.1, 0.3, 0.3, 0.3])}
    )
    gold = pd.Series([0.1, None], index=[0, 1], dtype=object)
    agg = DEEMAggregator().fit(rows, gold=gold)
    assert agg.labels_[0] == np.float32(0.1)


@pytest.mark.parametrize("form", ["series", "frame"])
@pytest.mark.parametrize("arrow", [False, True])
def test_gold_is_unknown_where_pandas_tells_nan_from_a_missing_number(
    arrow: bool, form: str
) -> None:
    values = np.array([1.0, np.nan])
    held = pd.arrays.FloatingArray(values, np.zeros(2, dtype=bool))
    column = pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values)) if arrow else held)
    assert column.notna().all()
    rows = FRAME.assign(label=(FRAME["label"] > 0.5).astype(float))
    gold = column if form == "series" else pd.DataFrame({"task": [0, 1], "label": column})
    expected = DEEMAggregator().fit(rows, gold={0: 1.0})
    found = DEEMAggregator().fit(rows, gold=gold)
    pd.testing.assert_frame_equal(found.probas_, expected.probas_)


def test_labels_are_shown_in_their_own_shortest_form() -> None:
    narrow = FRAME.assign(label=FRAME["label"].astype("float32"))
    agg = DEEMAggregator().fit(narrow)
    assert "0000" not in agg.summary()
    assert "  0.7 " in agg.summary()
    with pytest.raises(DataError, match=r"no worker gave: 0\.5\. Labels given: 0\.1, 0\.7\."):
        DEEMAggregator().fit(narrow, gold={0: 0.5})
    assert agg.labels_.dtype == np.float32
    assert set(agg.labels_) == set(narrow["label"])


@pytest.mark.usefixtures("figures_left_out")
def test_a_report_and_a_figure_show_labels_in_their_shortest_form(tmp_path: Path) -> None:
    agg = DEEMAggregator().fit(FRAME.assign(label=FRAME["label"].astype("float32")))
    agg.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert '<td class="text">0.7</td>' in page
    assert not re.findall(r"0\.(?:10000000|69999998)\d+", page)
    drawn = plots.confusion(agg)
    assert [text.get_text() for text in drawn.get_xticklabels()] == ["0.1", "0.7"]
