"""Soft answers that lie between two classes, as ranks of scores do: skills from how pairs of judges correlate."""

from __future__ import annotations

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest
from examples import runs
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import norm

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.model.design import make_design
from deem_crowd.selection import one_factor
from deem_crowd.selection.candidates import COMMON, FACTOR
from deem_crowd.selection.shared_errors import score_families

SETTINGS = {
    "three alike": ([0.8] * 3, 300, 0.5, 1.0),
    "three": ([0.9, 0.75, 0.6], 300, 0.5, 1.0),
    "few tasks": ([0.9, 0.8, 0.7, 0.6], 100, 0.5, 1.0),
    "five": ([0.9, 0.8, 0.7, 0.65, 0.6], 300, 0.5, 1.0),
    "eight": ([0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.6], 300, 0.5, 1.0),
    "one good": ([0.9] + [0.6] * 7, 1000, 0.5, 1.0),
    "rare": ([0.9, 0.8, 0.7, 0.65, 0.6], 500, 0.2, 1.0),
    "half": ([0.9, 0.85, 0.75, 0.7, 0.65, 0.6], 600, 0.5, 0.5),
}


def scores(
    seed: int, aucs: list[float], n: int, share: float = 0.5, given: float = 1.0
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return scores of judges on scales of their own, normal given the label, with these areas under the curve."""
    draw = np.random.default_rng(seed)
    truth = (draw.random(n) < share).astype(int)
    value = draw.normal(size=(n, len(aucs))) + np.sqrt(2) * ndtri(np.array(aucs)) * truth[:, None]
    value = value * draw.uniform(1, 9, len(aucs)) + draw.normal(size=len(aucs))
    task, judge = np.nonzero(draw.random(value.shape) < given)
    names = [f"j{i}" for i in judge]
    return pd.DataFrame({"task": task, "worker": names, "score": value[task, judge]}), truth


def log_loss(agg: DEEMAggregator, truth: np.ndarray) -> float:
    right = truth[agg.probas_.index]
    return float(
        -np.log(np.clip(np.where(right, agg.probas_["good"], agg.probas_["bad"]), 1e-12, 1)).mean()
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_judges_that_differ_get_skills_of_their_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    aucs, n, share, given = SETTINGS[name]
    gains, skills, chosen = [], [], []
    for seed in range(3):
        frame, truth = scores(seed, aucs, n, share, given)
        answers = adapters.from_scores(frame, share=share)
        agg = DEEMAggregator().fit(answers)
        chosen.append(FACTOR in set(agg.selection_["candidate"]))
        assert any("no label" in sentence for sentence in agg.findings()) != chosen[-1]
        skills.append(agg.skills_[[f"j{i}" for i in range(len(aucs))]].to_numpy())
        with monkeypatch.context() as without:
            without.setattr(one_factor, "find", lambda *_: None)
            before = DEEMAggregator().fit(answers)
        assert COMMON in set(before.selection_["candidate"])
        gains.append(log_loss(before, truth) - log_loss(agg, truth))
    assert sum(chosen) >= 2  # a hundred tasks do not always show a label
    assert np.mean(gains) > 0.04
    if len(set(aucs)) > 2:
        assert np.corrcoef(np.mean(skills, axis=0), aucs)[0, 1] > 0.8


def test_the_energy_is_the_likelihood_of_normal_answers() -> None:
    frame, _ = scores(0, [0.9, 0.8, 0.7, 0.6], 200, 0.3)
    answers = adapters.from_scores(frame, share=0.3)
    design = make_design(answers, "cpu", "float64", 2)
    found = one_factor.find(answers, design)
    assert found is not None
    table = np.zeros((200, 4))
    assert answers.soft is not None
    table[answers.task, answers.worker] = answers.soft[:, 1]
    mean, variance, share = table.mean(0), table.var(0), table.mean()
    delta = found.loading * np.sqrt(variance / (4 * share * (1 - share)))
    within = np.sqrt(variance * (1 - found.loading**2))
    high = norm.logpdf(table, mean + 2 * (1 - share) * delta, within).sum(1)
    low = norm.logpdf(table, mean - 2 * share * delta, within).sum(1)
    odds = high - low + np.log(share / (1 - share))
    np.testing.assert_allclose(
        found.energy.posterior(design)[:, 1].numpy(), 1 / (1 + np.exp(-odds)), atol=1e-9
    )


@pytest.mark.parametrize(("n", "d"), [(30, 3), (100, 8), (500, 5)])
def test_scores_without_a_label_show_none(n: int, d: int) -> None:
    found = []
    for seed in range(100):
        frame, _ = scores(seed, [0.5] * d, n)
        answers = adapters.from_scores(frame)
        found.append(
            one_factor.find(answers, make_design(answers, "cpu", "float64", 2)) is not None
        )
    assert np.mean(found) <= 0.05  # 1 % are expected; 5 of 100 have a chance of 0.4 %


def test_two_sources_count_alike_half_beside_the_mean_of_their_scores() -> None:
    frame, _ = scores(0, [0.9, 0.8], 400)
    answers = adapters.from_scores(frame)
    design = make_design(answers, "cpu", "float64", 2)
    found = one_factor.find(answers, design)
    assert found is not None
    assert found.loading[0] == found.loading[1]
    agg = DEEMAggregator().fit(answers)
    assert answers.soft is not None
    mean = answers.soft.reshape(-1, 2, 2).mean(1)
    both = (found.energy.posterior(design).numpy() + mean) / 2
    assert agg.probas_.index.equals(answers.tasks)
    # correlated answers temper it, and a tenth of an answer smooths it
    np.testing.assert_allclose(agg.probas_.to_numpy(), both, atol=0.06)
    assert ((agg.probas_.to_numpy() > 0.5) == (both > 0.5)).mean() > 0.99


def test_hard_answers_single_sources_and_answers_without_a_label_are_left_to_others() -> None:
    frame, _ = scores(0, [0.9, 0.9, 0.9], 200)
    soft = adapters.from_scores(frame)
    assert soft.soft is not None
    hard = Answers.from_frame(
        frame.assign(label=np.where(soft.soft[:, 1] > 0.5, "good", "bad"))[
            ["task", "worker", "label"]
        ]
    )
    one = adapters.from_scores(frame[frame["worker"] == "j0"])
    third = np.random.default_rng(0).dirichlet(np.ones(3), size=(200, 3)).transpose(0, 2, 1)
    for answers in (hard, one, Answers.from_soft(third)):
        assert (
            one_factor.find(answers, make_design(answers, "cpu", "float64", answers.n_classes))
            is None
        )


def test_files_predictions_order_and_groups(tmp_path) -> None:
    frame, truth = scores(1, [0.9, 0.8, 0.7, 0.65, 0.6], 300)
    answers = adapters.from_scores(frame)
    agg = DEEMAggregator().fit(answers)
    pd.testing.assert_frame_equal(agg.predict_proba(answers), agg.probas_)
    agg.save(tmp_path / "model")
    loaded = DEEMAggregator.load(tmp_path / "model.safetensors")
    pd.testing.assert_frame_equal(loaded.predict_proba(answers), agg.probas_)
    shuffled = DEEMAggregator().fit(adapters.from_scores(frame.sample(frac=1, random_state=0)))
    np.testing.assert_allclose(
        shuffled.probas_.loc[agg.probas_.index, ["bad", "good"]],
        agg.probas_[["bad", "good"]],
        atol=1e-6,
    )
    copies = pd.concat([frame, frame[frame["worker"] == "j4"].assign(worker="again")])
    copies = adapters.from_scores(copies)
    named = DEEMAggregator(groups={"same": ["j4", "again"]}).fit(copies)
    assert log_loss(named, truth) < log_loss(agg, truth) + 0.02  # a copy says nothing new
    assert "as the groups say" in named.selection_["why"].iloc[-1]
    assert log_loss(DEEMAggregator().fit(copies), truth) < log_loss(agg, truth) + 0.02


def test_a_source_with_a_few_answers_that_are_close_decides_nothing() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=600)
    ranks = (1.2 * truth[:, None] + rng.normal(size=(600, 5))).argsort(0).argsort(0) / 600
    rows = [(t, w, 1 - ranks[t, w], ranks[t, w]) for t in range(600) for w in range(5)]
    rows += [(t, 5, 0.4 - 1e-3 * t, 0.6 + 1e-3 * t) for t in (3, 4, 5)]
    columns = ["task", "worker", 0, 1]
    agg = DEEMAggregator().fit(Answers.from_soft_frame(pd.DataFrame(rows, columns=columns)))
    assert agg.selection_["candidate"].iloc[-1] == "one factor of soft answers"
    new = [(0, w, 0.9, 0.1) for w in range(5)] + [(0, 5, 0.3, 0.7)]
    found = agg.predict_proba(Answers.from_soft_frame(pd.DataFrame(new, columns=columns)))
    assert found.iloc[0, 0] > 0.9  # five sources say so


def test_families_that_share_errors_are_found_and_count_less() -> None:
    """Three of eight judges share their noise: what one judge of the three says is nearly all that they say."""
    aucs = [0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.6]
    losses = []
    for seed in range(3):
        draw = np.random.default_rng(seed)
        truth = draw.integers(2, size=500)
        noise = draw.normal(size=(500, 8))
        noise[:, 3:5] = 0.95 * noise[:, [2]] + np.sqrt(1 - 0.95**2) * noise[:, 3:5]
        value = noise + np.sqrt(2) * ndtri(np.array(aucs)) * truth[:, None]
        frame = pd.DataFrame(
            {
                "task": np.repeat(np.arange(500), 8),
                "worker": np.tile([f"j{i}" for i in range(8)], 500),
                "score": value.ravel(),
            }
        )
        all_, one = frame, frame[~frame["worker"].isin(["j3", "j4"])]
        fits = [DEEMAggregator().fit(adapters.from_scores(some)) for some in (all_, one)]
        assert "families of sources that share errors" in fits[0].selection_["why"].iloc[-1]
        assert "families" not in fits[1].selection_["why"].iloc[-1]
        losses.append([log_loss(fit, truth) for fit in fits])
    with_all, with_one = np.mean(losses, axis=0)
    assert with_all < with_one + 0.05
    assert with_all < 0.4


@runs(25)
@given(st.integers(0, 10_000), st.permutations(range(7)))
def test_the_order_of_judges_does_not_matter(seed: int, order: list[int]) -> None:
    draw = np.random.default_rng(seed)
    truth, shared = draw.integers(2, size=300), draw.normal(size=(300, 1))
    value = draw.normal(size=(300, 7)) + draw.uniform(0.4, 1.5, 7) * truth[:, None]
    value[:, :3] = 0.5 * value[:, :3] + shared
    crossed = 300 * np.corrcoef(value.T)
    np.fill_diagonal(crossed, 0)
    common, number = 300.0 * (1 - np.eye(7)), np.full(7, 300.0)
    found = score_families.find(common, crossed, number)
    moved = score_families.find(common, crossed[np.ix_(order, order)], number)
    np.testing.assert_allclose(moved.loading, found.loading[order], atol=1e-4)
    np.testing.assert_allclose(moved.power, found.power[order], atol=1e-4)
    assert ((found.power > 0) & (found.power <= 1)).all()
    np.testing.assert_array_equal(found.power[found.family < 0], 1)


@pytest.mark.parametrize("seed", range(4))
def test_good_judges_beside_guessers_are_no_family(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=300)
    loading = np.array([0.9] * 3 + [0.1] * 5)
    scores = loading * (2 * truth[:, None] - 1) + np.sqrt(1 - loading**2) * rng.normal(
        size=(300, 8)
    )
    product = scores.T @ scores
    np.fill_diagonal(product, 0)
    common = np.full((8, 8), 300.0)
    np.fill_diagonal(common, 0)
    assert (score_families.find(common, product, np.full(8, 300.0)).family < 0).all()


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_a_family_that_is_named_counts_by_how_its_errors_are_correlated(correlation: float) -> None:
    """m answers of it are worth m / (1 + (m − 1) ρ)."""
    rng = np.random.default_rng(0)
    truth, noise = rng.integers(2, size=4000), rng.normal(size=(4000, 9))
    noise[:, :4] = np.sqrt(1 - correlation) * noise[:, :4] + np.sqrt(correlation) * noise[:, [8]]
    value = noise[:, :8] + 1.5 * truth[:, None]
    product = 4000 * np.corrcoef(value.T)
    np.fill_diagonal(product, 0)
    common, given = 4000.0 * (1 - np.eye(8)), np.array([0, 0, 0, 0, -1, -1, -1, -1])
    found = score_families.find(common, product, np.full(8, 4000.0), given)
    np.testing.assert_allclose(1 / found.power[:4], 1 + 3 * correlation, atol=0.2)
    np.testing.assert_array_equal(found.power[4:], 1)
    np.testing.assert_allclose(found.loading, 0.6, atol=0.05)  # 0.75 / √(1 + 0.75²)


def _alike(seed: int, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of four judges whose errors are correlated and of four others, three classes."""
    rng = np.random.default_rng(seed)
    truth, shared = rng.integers(3, size=400), rng.normal(size=(400, 3, 1))
    noise = rng.normal(size=(400, 3, 8))
    noise[:, :, :4] = np.sqrt(1 - correlation) * noise[:, :, :4] + np.sqrt(correlation) * shared
    odds = np.exp(noise + rng.uniform(0.6, 1.3, 8) * np.eye(3)[truth][:, :, None])
    return odds / odds.sum(1, keepdims=True), truth


def _right_and_lost(groups: dict[str, list[int]] | None) -> np.ndarray:
    """Return accuracy and log-loss, means over three draws."""
    rated = []
    for seed in range(3):
        answers, truth = _alike(seed, 0.95)
        probas = np.asarray(DEEM(groups=groups).fit(answers).probas_)
        lost = -np.log(probas[np.arange(len(truth)), truth]).mean()
        rated.append(((probas.argmax(1) == truth).mean(), lost))
    return np.mean(rated, axis=0)


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.FindingsWarning")
def test_naming_judges_loses_nothing_of_a_family_that_is_found() -> None:
    plain = _right_and_lost(None)
    for named in ([0, 1, 2, 3], [0, 1], [4, 5]):
        found = _right_and_lost({"g": named})
        assert found[0] > plain[0] - 0.01, (named, found, plain)
        assert found[1] < plain[1] + 0.02, (named, found, plain)
