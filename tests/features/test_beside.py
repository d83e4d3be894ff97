"""What the answers say by themselves, kept beside a classifier: repeated sources, groups, scores without a scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.features import beside
from deem_crowd.features.logistic import log_softmax
from deem_crowd.selection.candidates import COMMON, COPIES, FACTOR, IN_ORDER

N = 400


def things(rng: np.random.Generator, k: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Return eight features a thing and its class."""
    centres = rng.normal(size=(k, 8))
    centres *= apart / np.linalg.norm(centres, axis=1, keepdims=True)
    truth = rng.integers(k, size=N)
    return rng.normal(size=(N, 8)) + centres[truth], truth


def copied(rng: np.random.Generator, truth: np.ndarray) -> pd.DataFrame:
    """Return the answers of ten sources, of which the first has five copies beside."""
    right = rng.random((N, 10)) < np.append(0.5, rng.uniform(0.5, 0.75, 9))
    named = np.where(right, truth[:, None], (truth[:, None] + rng.integers(1, 3, (N, 10))) % 3)
    slips = rng.random((N, 5)) < 0.05
    copies = np.where(slips, rng.integers(3, size=(N, 5)), named[:, :1])
    task, worker = np.nonzero(rng.random((N, 15)) < 0.6)
    label = np.hstack([named, copies])[task, worker]
    return pd.DataFrame({"task": task, "worker": worker, "label": label})


def scored(rng: np.random.Generator, truth: np.ndarray, n_sources: int = 3) -> np.ndarray:
    """Return what sources hold for probable, shape (N, 3, D)."""
    logits = 1.2 * rng.normal(size=(N, 3, n_sources))
    logits[np.arange(N), truth] += rng.uniform(0.8, 2.2, n_sources)
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def log_loss(probas: np.ndarray, truth: np.ndarray) -> float:
    return float(-np.log(np.maximum(probas[np.arange(len(truth)), truth], 1e-12)).mean())


@pytest.mark.parametrize(("told", "regions"), [(False, 1), (True, 1), (False, 3), (True, 3)])
@pytest.mark.usefixtures("few_fits")
def test_sources_that_repeat_others_count_less_with_features_too(told: bool, regions: int) -> None:
    rng = np.random.default_rng(5)
    x, truth = things(rng, 3, 1.8)
    answers = copied(rng, truth)
    groups = {"first": [0, 10, 11, 12, 13, 14]} if told else None
    alone = DEEMAggregator(groups=groups).fit(answers)
    assert alone.selection_.set_index("candidate")["weight"][COPIES] > 0
    both = DEEMAggregator(groups=groups, regions=regions).fit(answers, features=pd.DataFrame(x))
    assert both.features_use_ is not None
    assert both.features_use_.startswith("product: sources repeat others")
    right = [(agg.labels_ == truth[agg.labels_.index]).mean() for agg in (alone, both)]
    assert right[1] >= right[0] + 0.02


def test_sources_that_know_the_same_regions_do_not_repeat_each_other(few_fits: None) -> None:
    rng = np.random.default_rng(2)
    side, truth = rng.integers(3, size=N), rng.integers(4, size=N)
    x = rng.normal(size=(N, 8))
    x[:, :2] += 5 * np.eye(3)[side, :2]
    x[:, 2] += 1.2 * truth
    knows = np.arange(9) % 3 == side[:, None]
    right = rng.random((N, 9)) < np.where(knows, 0.95, 0.3)
    named = np.where(right, truth[:, None], rng.integers(4, size=(N, 9)))
    task, worker = np.indices((N, 9)).reshape(2, -1)
    answers = pd.DataFrame({"task": task, "worker": worker, "label": named.ravel()})
    alone = DEEMAggregator().fit(answers)
    assert alone.selection_.set_index("candidate")["weight"][COPIES] > 0
    both = DEEMAggregator(regions=3).fit(answers, features=pd.DataFrame(x))
    assert both.region_skills_ is not None
    right = [(agg.labels_ == truth[agg.labels_.index]).mean() for agg in (alone, both)]
    assert right[1] >= right[0] + 0.02


@pytest.mark.parametrize(
    ("apart", "n_sources", "chosen", "more", "nearer"),
    [
        (1.6, 1, COMMON, 0.03, 0.1),
        (2.8, 1, COMMON, 0.05, 0.1),
        (1.6, 2, FACTOR, 0.03, 0.1),
        (2.8, 2, FACTOR, 0.05, 0.1),
        (0.8, 3, FACTOR, 0, 0.02),
    ],
)
@pytest.mark.usefixtures("few_fits")
def test_scores_that_tables_cannot_hold_are_not_learned_anew(
    apart: float, n_sources: int, chosen: str, more: float, nearer: float
) -> None:
    rng = np.random.default_rng([2, round(10 * apart)])
    x, truth = things(rng, 3, apart)
    scores = scored(rng, truth, n_sources)
    alone, both = DEEM().fit(scores), DEEM().fit(scores, features=x)
    assert alone.selection_.set_index("candidate")["weight"][chosen] > 0
    assert (both.labels_ == truth).mean() >= (alone.labels_ == truth).mean() + more
    assert log_loss(both.probas_, truth) < log_loss(alone.probas_, truth) - nearer


@pytest.mark.usefixtures("few_fits")
def test_predictions_and_files_know_how_much_scores_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    x, truth = things(rng, 3, 0.8)
    scores = scored(rng, truth)
    model = DEEM().fit(scores, features=x)
    told = model.predict_proba(scores, features=x)
    assert log_loss(told, truth) < log_loss(model.probas_, truth) + 0.05
    model.save(tmp_path / "model")
    loaded = DEEM.load(tmp_path / "model").predict_proba(scores, features=x)
    np.testing.assert_allclose(loaded, told)


@pytest.mark.usefixtures("few_fits")
def test_predictions_know_how_much_scores_count_beside_known_shares() -> None:
    rng = np.random.default_rng(7)
    x, truth = things(rng, 3, 1.5)
    scores = scored(rng, truth)
    scores[:15] = np.nan
    features = pd.DataFrame(x).iloc[:350]
    model = DEEM(class_balance=[0.2, 0.3, 0.5]).fit(scores, features=features)
    assert model.features_use_ is not None
    assert model.features_use_.startswith("product")
    told = model.predict_proba(scores, features=features)
    lacking = np.r_[:15, 350:N]
    np.testing.assert_allclose(told[lacking], model.probas_[lacking], atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    by_answers=st.sampled_from([0.25, 1.0, 4.0]),
    by_features=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_powers_undo_what_odds_were_raised_to(
    seed: int, by_answers: float, by_features: float
) -> None:
    rng = np.random.default_rng(seed)
    truth, base = rng.integers(3, size=4_000), np.log(np.full(3, 1 / 3))

    def told(power: float) -> np.ndarray:
        """Return calibrated log-odds of noisy looks at the truth, raised to 1 / power."""
        looks = rng.normal(size=(len(truth), 3)) + 2 * np.eye(3)[truth]
        return np.asarray(log_softmax(2 * looks) / power)

    found = beside.powers(told(by_answers), told(by_features), base, (1 / 8, 16.0))
    np.testing.assert_allclose(np.log2(found), np.log2([by_answers, by_features]), atol=0.51)


def test_tables_are_learned_only_where_held_out_answers_are_likelier(
    few_fits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    x, truth = things(rng, 3, 2.0)
    answers = copied(rng, truth)
    answers = answers[answers["worker"].between(1, 9)]

    def use() -> str:
        agg = DEEMAggregator().fit(answers, features=pd.DataFrame(x))
        assert agg.features_use_ is not None
        return agg.features_use_

    said = use()
    assert said.startswith("joint")
    assert "; held-out answers are likelier" in said
    monkeypatch.setattr("deem_crowd.features.guard.clear", lambda gain, errors=1.0: False)
    said = use()
    assert said.startswith("product")
    assert "; held-out answers are not clearly likelier" in said


def rated(steps: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return what six biased judges say on a scale, the features of the things, and the true steps."""
    rng = np.random.default_rng(6)
    x, truth = things(rng, steps, 4.0)
    seen = truth[:, None] + rng.normal(size=6) + rng.uniform(0.8, 2.2, 6) * rng.normal(size=(N, 6))
    said = np.clip(np.round(seen), 0, steps - 1).astype(int)
    ratings = pd.DataFrame(said).stack().reset_index()
    ratings.columns = ["task", "worker", "label"]
    return ratings, x, truth


def test_ratings_keep_their_order_beside_features() -> None:
    """Tables that are learned with features do not know that an error of one step is likelier than one of five."""
    ratings, x, truth = rated(10)
    alone = DEEMAggregator(ordered=True).fit(ratings)
    both = DEEMAggregator(ordered=True).fit(ratings, features=pd.DataFrame(x))
    assert both.features_use_.startswith("product: classes are ordered")
    losses = [log_loss(agg.probas_.to_numpy(), truth) for agg in (alone, both)]
    errors = [float((agg.median_ - truth).abs().mean()) for agg in (alone, both)]
    assert losses[1] < 0.7 * losses[0]
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.usefixtures("few_fits")
def test_an_order_that_answers_show_is_kept_beside_features() -> None:
    ratings, x, truth = rated(7)
    names = np.array(["e", "b", "g", "a", "f", "c", "d"])  # of the steps; their order says nothing
    ratings["label"] = names[ratings["label"]]
    alone = DEEMAggregator().fit(ratings)
    both = DEEMAggregator().fit(ratings, features=pd.DataFrame(x))
    assert both.features_use_.startswith("product: the answers put the classes in order")
    code = np.searchsorted(np.sort(names), names[truth])
    losses = [log_loss(agg.probas_.to_numpy(), code) for agg in (alone, both)]
    assert losses[1] < 0.7 * losses[0]


@pytest.mark.usefixtures("few_fits")
def test_an_order_that_answers_show_is_kept_beside_features_too() -> None:
    """Nobody says that the classes are steps; without the order, features undo what workers' biases explain."""
    rng = np.random.default_rng(0)
    truth = rng.integers(5, size=N)
    x = rng.normal(size=(N, 5))
    x[:, 0] += truth
    seen = (
        truth[:, None] + rng.normal(0, 0.8, 6) + rng.uniform(0.6, 1.6, 6) * rng.normal(size=(N, 6))
    )
    names = np.array(["d", "a", "c", "e", "b"])
    said = names[np.clip(np.rint(seen), 0, 4).astype(int)]
    ratings = pd.DataFrame(said).stack().reset_index()
    ratings.columns = ["task", "worker", "label"]
    alone = DEEMAggregator().fit(ratings)
    assert IN_ORDER in alone.selection_["candidate"].tolist()
    both = DEEMAggregator().fit(ratings, features=pd.DataFrame(x))
    assert both.features_use_.startswith("product: the answers put the classes in order")
    right = [(agg.labels_ == names[truth]).mean() for agg in (alone, both)]
    assert right[1] > right[0] - 0.01
