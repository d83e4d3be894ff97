"""DEEM reads a frame with a column for each worker as the matrix it holds, and goes by the names of its columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from six_workers import GAPS, X, Y
from sklearn.model_selection import cross_val_score

from deem_crowd import DEEM
from deem_crowd.exceptions import DataError, DataWarning, FormError

NAMES = ["ann", "bob", "cid", "dan", "eve", "fay"]
SHEET = pd.DataFrame(X, columns=NAMES)


def test_a_frame_is_read_as_its_matrix_and_keeps_its_column_names(tmp_path) -> None:
    array = DEEM().fit(GAPS)
    sheet = pd.DataFrame(GAPS, columns=NAMES).astype("Int64").replace(-1, pd.NA)
    floats = pd.DataFrame(GAPS, columns=NAMES).replace(-1, np.nan)
    for frame in (pd.DataFrame(GAPS, columns=NAMES), sheet, floats):
        model = DEEM().fit(frame)
        assert model.feature_names_in_.tolist() == NAMES
        np.testing.assert_array_equal(model.probas_, array.probas_)
        np.testing.assert_array_equal(model.predict_proba(frame), array.predict_proba(GAPS))
    assert model.workers_.index.tolist() == NAMES
    model.save(tmp_path / "model")
    loaded = DEEM.load(tmp_path / "model")
    assert loaded.feature_names_in_.tolist() == NAMES
    np.testing.assert_array_equal(loaded.predict(sheet[NAMES[::-1]]), array.predict(GAPS))
    model.fit(GAPS)
    assert not hasattr(model, "feature_names_in_")


def test_permuted_columns_are_put_in_order_and_others_refused() -> None:
    model = DEEM().fit(SHEET)
    rng = np.random.default_rng(3)
    for _ in range(5):
        np.testing.assert_array_equal(
            model.predict_proba(SHEET[rng.permutation(NAMES)]), model.predict_proba(SHEET)
        )
    numbered = DEEM().fit(SHEET.set_axis([7, 3, 5, 1, 9, 2], axis=1))
    assert not hasattr(numbered, "feature_names_in_")  # scikit-learn's are text
    np.testing.assert_array_equal(
        numbered.predict(SHEET.set_axis([7, 3, 5, 1, 9, 2], axis=1)[[1, 2, 3, 5, 7, 9]]),
        numbered.labels_,
    )
    with pytest.raises(DataError, match=r"lacks 1 column \('bob'\) and has besides 1 column \('z"):
        model.predict(SHEET.rename(columns={"bob": "zoe"}))
    with pytest.raises(DataError, match=r"lacks 1 column \('ann'\)"):
        model.predict(SHEET.drop(columns="ann"))
    grown = DEEM().partial_fit(SHEET[:100]).partial_fit(SHEET[NAMES[::-1]][100:])
    np.testing.assert_array_equal(grown.labels_, model.labels_)
    assert grown.feature_names_in_.tolist() == NAMES
    with pytest.warns(DataWarning, match="X does not have valid feature names, but DEEM was"):
        model.predict(X)
    with pytest.warns(DataWarning, match="DEEM was fitted without feature names"):
        DEEM().fit(X).predict(SHEET)


def test_frames_of_polars_are_read_the_same_way() -> None:
    polars = pytest.importorskip("polars")
    gaps = {
        name: [None if x < 0 else int(x) for x in column]
        for name, column in zip(NAMES, GAPS.T, strict=True)
    }
    frame = polars.DataFrame(gaps)
    model = DEEM().fit(frame)
    np.testing.assert_array_equal(model.probas_, DEEM().fit(GAPS).probas_)
    assert model.feature_names_in_.tolist() == NAMES
    np.testing.assert_array_equal(model.predict(frame.lazy().select(NAMES[::-1])), model.labels_)


def test_frames_that_hold_other_things_are_refused() -> None:
    numbered = SHEET.assign(item_id=np.arange(200))
    with pytest.raises(DataError, match=r"looks like no worker: 'item_id'.*df.drop\(columns"):
        DEEM().fit(numbered)
    with pytest.raises(FormError, match=r"columns 'ann' of the frame hold no numbers.*from_wide"):
        DEEM().fit(SHEET.assign(ann="yes"))
    with pytest.raises(DataError, match="occur more than once: 'ann'"):
        DEEM().fit(SHEET.set_axis(["ann", "ann", *NAMES[2:]], axis=1))


def test_frames_go_through_scikit_learn() -> None:
    scores = cross_val_score(DEEM(), SHEET, Y, cv=3)
    np.testing.assert_array_equal(scores, cross_val_score(DEEM(), X, Y, cv=3))
