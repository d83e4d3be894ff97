"""What predictions say of the tasks of the fit, with features: what the fit gave, but where folds are in between."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.exceptions import DataWarning

pytestmark = pytest.mark.usefixtures("few_fits_throughout")

N, K, D = 160, 3, 6
SHARES = [0.2, 0.3, 0.5]


def drawn(kind: str) -> tuple[np.ndarray, pd.DataFrame, np.ndarray]:
    """Return answers, shape (N, D), features of some tasks, and what each task has: answers, features (booleans)."""
    rng = np.random.default_rng(3)
    truth = rng.choice(K, N, p=SHARES)
    x = rng.normal(size=(N, 4))
    x[np.arange(N), truth] += 0.0 if kind == "useless" else 1.5
    wrong = (truth[:, None] + rng.integers(1, K, (N, D))) % K
    matrix = np.where(rng.random((N, D)) < 0.7, truth[:, None], wrong)
    if kind == "one-sided":
        own = np.arange(D) % K
        matrix = np.where(matrix == own, own, -1)
    else:
        matrix[rng.random((N, D)) < 0.5] = -1
    has = np.stack([np.arange(N) % 7 > 0, np.arange(N) % 5 > 0])
    matrix[~has[0]] = -1
    has[0] &= (matrix >= 0).any(1)
    return matrix, pd.DataFrame(x)[has[1]], has


@pytest.mark.parametrize("balance", [None, SHARES])
@pytest.mark.parametrize("kind", ["joint", "useless", "one-sided"])
def test_predictions_are_those_of_the_fit(kind: str, balance: list[float] | None) -> None:
    matrix, x, (answered, featured) = drawn(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        fit = DEEM(class_balance=balance).fit(matrix, features=x)
        labels, probas = fit.predict(matrix, return_probs=True, features=x)
    assert fit.features_use_ is not None
    use = {"joint": "joint", "useless": "answers alone", "one-sided": "product"}[kind]
    assert fit.features_use_.startswith(use)
    assert {(a, f) for a, f in zip(answered, featured, strict=True)} == {
        (a, f) for a in (False, True) for f in (False, True)
    }
    same = ~(answered & featured) if kind != "useless" else np.ones(N, dtype=bool)
    np.testing.assert_allclose(probas[same], fit.probas_[same], atol=1e-9)
    np.testing.assert_array_equal(labels[same], fit.labels_[same])
    neither = ~answered & ~featured
    np.testing.assert_array_equal(fit.labels_[neither], -1)
    if balance is not None:
        np.testing.assert_allclose(probas[neither], np.tile(SHARES, (neither.sum(), 1)))
    # elsewhere a classifier that has seen the task stands for one that has not
    assert np.abs(probas - fit.probas_).max(1).mean() < 0.1


@pytest.mark.parametrize("settings", [{"regions": 2}, {"classifier": LogisticRegression()}])
def test_regions_classifiers_and_known_labels(settings: dict[str, object]) -> None:
    matrix, x, (answered, featured) = drawn("joint")
    gold = np.full(N, -1)
    gold[:20] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        fit = DEEM(class_balance=SHARES, **settings).fit(matrix, gold=gold, features=x)
        probas = fit.predict_proba(matrix, features=x)
    same = ~(answered & featured) & (gold < 0)
    np.testing.assert_allclose(probas[same], fit.probas_[same], atol=1e-9)
    np.testing.assert_array_equal(fit.labels_[:20], 1)


def test_frames_and_files(tmp_path) -> None:
    matrix, x, (_, featured) = drawn("joint")
    task, worker = np.nonzero(matrix >= 0)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": matrix[task, worker]})
    agg = DEEMAggregator(class_balance=dict(enumerate(SHARES))).fit(
        frame, features=x[x.index.isin(task)]
    )
    agg.save(tmp_path / "model")
    lack = agg.probas_.index[~featured[agg.probas_.index]]
    for one in (agg, DEEMAggregator.load(tmp_path / "model.safetensors")):
        again = one.predict_proba(frame, features=x[x.index.isin(task)])
        pd.testing.assert_frame_equal(again.loc[lack], agg.probas_.loc[lack], atol=1e-9)
