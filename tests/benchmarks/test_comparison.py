"""Several methods on the same answers: one that fails is a row, and stops nobody."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
import pytest
from deem_crowd_benchmarks.running import comparison
from deem_crowd_benchmarks.running.comparison import compare

from deem_crowd.exceptions import DataError, DataWarning
from deem_crowd.plugins import registry

ROWS = [(t, w, "yes" if (t + (w == t % 4)) % 2 else "no") for t in range(12) for w in range(4)]
ANSWERS = pd.DataFrame(ROWS, columns=["task", "worker", "label"])
GOLD = pd.Series(["yes" if t % 2 else "no" for t in range(12)], index=range(12))


class Failing:
    def fit_predict(self, data: pd.DataFrame) -> pd.Series:
        raise ZeroDivisionError("no\nluck")


class Meddling:
    """Spoils its frame, warns, and gives labels without probabilities."""

    def fit_predict(self, data: pd.DataFrame) -> pd.Series:
        data["label"] = "spoilt"
        warnings.warn("odd data", DataWarning, stacklevel=1)
        warnings.warn("old code", DeprecationWarning, stacklevel=1)
        return GOLD.copy()


class Contrary:
    """Gives labels that its own probabilities speak against."""

    def fit_predict(self, data: pd.DataFrame) -> pd.Series:
        self.probas_ = pd.DataFrame({"yes": (GOLD == "no") * 1.0, "no": (GOLD == "yes") * 1.0})
        return GOLD.copy()


class Rubbish:
    def fit_predict(self, data: pd.DataFrame) -> Any:
        return ["yes"] * 12


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> None:
    real = registry.create
    ours = {"failing": Failing, "meddling": Meddling, "rubbish": Rubbish, "contrary": Contrary}

    def create(name: str, /, **params: Any) -> Any:
        return ours[name]() if name in ours else real(name, **params)

    monkeypatch.setattr(comparison.registry, "create", create)


@pytest.mark.usefixtures("peers")
def test_a_failing_method_is_a_row_and_the_others_go_on() -> None:
    before = ANSWERS.copy()
    failing, meddling, rubbish, unknown, vote = compare(
        ANSWERS, ["failing", "meddling", "rubbish", "nobody", "mv"], GOLD
    )
    assert failing.error == "ZeroDivisionError: no luck"
    assert failing.labels is failing.accuracy is failing.seconds is None
    assert "list" in rubbish.error
    assert "nobody" in unknown.error
    assert not vote.error
    assert vote.accuracy == 1
    assert meddling.accuracy == 1
    assert meddling.log_loss is meddling.probas is None
    assert meddling.warnings == ("odd data",)
    pd.testing.assert_frame_equal(ANSWERS, before)


@pytest.mark.usefixtures("peers")
def test_labels_against_their_probabilities_are_named_where_scores_go_by_these() -> None:
    (scored,) = compare(ANSWERS, ["contrary"], GOLD)
    assert scored.accuracy == 0
    assert scored.warnings[0].startswith(
        "12 of 12 labels are not the likeliest class in their row of probas_"
    )
    (unscored,) = compare(ANSWERS, ["contrary"])
    assert unscored.warnings == ()


def test_gold_that_scores_nothing_is_refused() -> None:
    with pytest.raises(
        DataError, match="12 true labels, but no answers to the same tasks. True labels name '0', "
    ):
        compare(ANSWERS, ["mv"], GOLD.set_axis(GOLD.index.astype(str)))
    with pytest.raises(DataError, match="no worker gave any of its true labels .'NO', 'YES'."):
        compare(ANSWERS, ["mv"], GOLD.str.upper())


def test_a_frame_that_lacks_a_column_is_an_error_of_this_library() -> None:
    with pytest.raises(DataError, match="no column 'label'"):
        compare(ANSWERS.drop(columns="label"), ["mv"], GOLD)


def test_without_gold_there_are_labels_and_seconds_but_no_scores() -> None:
    results = compare(ANSWERS, ["deem", "ds", "mv"])
    assert [result.method for result in results] == ["deem", "ds", "mv"]
    for result in results:
        assert not result.error
        assert result.labels is not None
        assert set(result.labels.index) == set(range(12))
        assert result.seconds is not None
        assert result.seconds > 0
        assert result.accuracy is result.log_loss is None


def test_an_interrupt_is_not_taken_for_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(name: str, /, **params: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison.registry, "create", create)
    with pytest.raises(KeyboardInterrupt):
        compare(ANSWERS, ["mv"])
