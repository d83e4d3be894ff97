"""Workers who are good in one region of the features only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM, Answers, DataError, DEEMAggregator, ParameterError
from deem_crowd.features import regions, rows
from deem_crowd.model.design import DesignMatrix

pytestmark = [
    pytest.mark.usefixtures("few_fits_throughout"),
    pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.FindingsWarning"),
]
RNG = np.random.default_rng(0)
N, D = 400, 6
SIDE = RNG.integers(2, size=N)
TRUTH = RNG.integers(2, size=N)
X = RNG.normal(size=(N, 2))
X[:, 0] += 8 * SIDE
X[:, 1] += 2.0 * TRUTH
FRAME = pd.DataFrame(
    [(n, w) for n in range(N) for w in RNG.choice(D, 3, replace=False)], columns=["task", "worker"]
)
KNOWS = FRAME["worker"] % 2 == SIDE[FRAME["task"]]
RIGHT = RNG.random(len(FRAME)) < np.where(KNOWS, 0.95, 0.5)
FRAME["label"] = np.where(RIGHT, TRUTH[FRAME["task"]], 1 - TRUTH[FRAME["task"]])


@pytest.fixture(scope="module")
def fitted():
    return DEEMAggregator(regions=2, random_state=0, progress=False).fit(FRAME, features=X)


def test_regions_tell_where_workers_are_good(fitted) -> None:
    found = fitted.region_skills_
    assert found.index.equals(fitted.skills_.index)
    assert found.shape == (D, 3)  # two clusters, and tasks without features
    left = int(found.loc[0, 1] > found.loc[0, 0])  # where even workers are good
    even = found.index % 2 == 0
    assert (found.loc[even, left] > 0.85).all()
    assert (found.loc[~even, left] < 0.7).all()
    assert (found.loc[~even, 1 - left] > 0.85).all()


def test_labels_gain(fitted) -> None:
    plain = DEEMAggregator(random_state=0, progress=False).fit(FRAME, features=X)
    assert plain.region_skills_ is None
    assert (fitted.labels_ == TRUTH).mean() > (plain.labels_ == TRUTH).mean() + 0.02


def test_new_answers_count_by_region(fitted) -> None:
    said = pd.DataFrame({"task": ["l", "r"], "worker": [0, 0], "label": [1, 1]})
    things = pd.DataFrame([[0.0, 1.0], [8.0, 1.0]], index=["l", "r"])
    p = fitted.predict_proba(said, features=things)[1]
    assert p["l"] > p["r"] + 0.1


def test_predictions_of_the_fitted_tasks_and_files(fitted, tmp_path) -> None:
    told = fitted.predict_proba(FRAME, features=X)
    assert ((told[1] > 0.5) == (fitted.probas_[1] > 0.5)).mean() > 0.97
    fitted.save(tmp_path / "model")
    again = DEEMAggregator.load(tmp_path / "model")
    pd.testing.assert_frame_equal(again.predict_proba(FRAME, features=X), told)
    pd.testing.assert_frame_equal(again.region_skills_, fitted.region_skills_)


def test_arrays() -> None:
    matrix = np.full((N, D), -1)
    matrix[FRAME["task"], FRAME["worker"]] = FRAME["label"]
    model = DEEM(regions=2, random_state=0, progress=False).fit(matrix, features=X)
    assert model.region_skills_.shape == (D, 3)
    assert (model.predict(matrix, features=X) == TRUTH).mean() > 0.9


def test_answers_with_ids_count_for_their_own_workers() -> None:
    answers = Answers.from_frame(FRAME)
    model = DEEM(regions=2, random_state=0, progress=False).fit(answers, features=X)
    assert model.features_use_.startswith("joint")
    told = model.predict_proba(answers, features=X)
    backwards = Answers.from_frame(FRAME.sort_values(["task", "worker"], ascending=[True, False]))
    assert not backwards.workers.equals(answers.workers)
    np.testing.assert_allclose(model.predict_proba(backwards, features=X), told, atol=1e-9)
    np.testing.assert_array_equal(
        model.predict(backwards, features=X), model.predict(answers, features=X)
    )


def test_corrections_are_what_the_design_matrix_says() -> None:
    answers = Answers.from_frame(FRAME)
    found = regions.Regions.of(X.astype(np.float32), 2, 0)
    read = rows.read(X, answers.tasks)
    gain = RNG.normal(size=(D, 3, 2, 2))
    tables = regions.RegionalTables(found, gain, np.zeros((D, 3)))
    split = regions.by_region(answers, found.region(read), found.number)
    import torch

    design = DesignMatrix(split, torch.device("cpu"), torch.float64)
    expected = design.logits(torch.from_numpy(gain.reshape(D * 3, 2, 2))).numpy()
    told = tables.evidence(answers, read, np.arange(D), np.arange(2))
    np.testing.assert_allclose(told, expected, atol=1e-6)
    strangers = tables.evidence(answers, read, np.full(D, -1), np.arange(2))
    assert not strangers.any()


def test_more_regions_than_things_are_refused() -> None:
    some = FRAME[FRAME["task"] < 20]
    with pytest.raises(DataError, match="regions=30, and 20 tasks have features"):
        DEEMAggregator(regions=30).fit(some, features=X[:20])
    with pytest.raises(ParameterError, match="regions=0"):
        DEEMAggregator(regions=0).fit(some)
