"""Model files of earlier versions load, with every number as it was written.

The files in ``data/models`` were written by version 0.1.0 before its parts were moved, from the answers of 40 tasks, 5
workers and 3 classes in ``predictions.npy``; an ``.npz`` holds what those models said then.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM, DEEMAggregator

MODELS = Path(__file__).parent / "models"
PREDICTIONS = np.load(MODELS / "predictions.npy")
FRAME = pd.DataFrame(
    [(f"t{n}", f"w{i}", "abc"[PREDICTIONS[n, i]]) for n, i in np.argwhere(PREDICTIONS >= 0)],
    columns=["task", "worker", "label"],
)
VARIANTS = ("default", "plain", "units", "layers", "layers_units")


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_old_model_of_arrays_is_read(variant) -> None:
    model = DEEM.load(MODELS / f"deem_{variant}.safetensors")
    with np.load(MODELS / f"{variant}.npz") as written:
        assert np.array_equal(model.skills_, written["deem_skills"])
        assert np.array_equal(model.confusion_, written["deem_confusion"])
        assert np.array_equal(model.unit_scores_, written["deem_scores"])
        np.testing.assert_allclose(
            model.predict_proba(PREDICTIONS), written["deem"], rtol=0, atol=1e-9
        )


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_old_model_of_frames_is_read(variant) -> None:
    model = DEEMAggregator.load(MODELS / f"aggregator_{variant}.safetensors")
    with np.load(MODELS / f"{variant}.npz") as written:
        assert model.labels_.tolist() == written["aggregator_labels"].tolist()
        assert model.labels_.index.tolist() == FRAME["task"].unique().tolist()
        assert np.array_equal(model.probas_, written["aggregator_probas"])
        assert np.array_equal(model.skills_, written["aggregator_skills"])
        assert np.array_equal(model.errors_, written["aggregator_errors"])
        np.testing.assert_allclose(
            model.skill_intervals_, written["aggregator_intervals"], rtol=0, atol=1e-9
        )
        np.testing.assert_allclose(
            model.predict_proba(FRAME), written["aggregator"], rtol=0, atol=1e-9
        )
