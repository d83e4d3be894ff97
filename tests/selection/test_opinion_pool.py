"""The opinion pool: how far candidates agree, what each of them weighs, and what is said together."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from deem_crowd_benchmarks.sets import laws
from sklearn.metrics import cohen_kappa_score
from small_designs import CPU, design_of

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.model.calibration import with_votes
from deem_crowd.model.design import DesignMatrix, OffloadedDesign
from deem_crowd.selection import candidates, null_model, own_skills, select
from deem_crowd.selection.opinion_pool import agreement_weights, smoothing, without_label


def test_a_voice_that_stands_alone_counts_for_little() -> None:
    rng = np.random.default_rng(0)
    truth = torch.nn.functional.one_hot(torch.from_numpy(rng.integers(3, size=500)), 3).double()
    noise = torch.from_numpy(rng.dirichlet(np.ones(3), 500))
    design = DesignMatrix(Answers.from_dense(np.zeros((500, 1), dtype=int), 1), CPU, torch.float64)
    weights, agreed = agreement_weights(
        [0.9 * truth + 0.1 / 3, 0.8 * truth + 0.2 / 3, noise], design
    )
    assert sum(weights) == pytest.approx(1)
    assert weights[2] < 0.05 < weights[1] < weights[0] + 0.2
    assert agreed[2] == pytest.approx(0, abs=0.05)
    assert agreement_weights([noise], design) == ([1.0], [1.0])


def test_two_voices_agree_by_cohens_kappa() -> None:
    rng = np.random.default_rng(1)
    one = rng.choice(3, size=400, p=[0.9, 0.07, 0.03])
    other = np.where(rng.random(400) < 0.8, one, rng.integers(3, size=400))
    design = DesignMatrix(Answers.from_dense(np.zeros((400, 1), dtype=int), 1), CPU, torch.float64)
    voices = [
        torch.nn.functional.one_hot(torch.from_numpy(voice), 3).double() for voice in (one, other)
    ]
    expected = cohen_kappa_score(one, other)
    np.testing.assert_allclose(agreement_weights(voices, design)[1], expected, atol=1e-9)


def test_two_voices_about_ordered_classes_agree_by_weighted_kappa() -> None:
    rng = np.random.default_rng(2)
    one = rng.integers(9, size=400)
    other = np.clip(one + rng.integers(-2, 3, size=400), 0, 8)
    design = DesignMatrix(Answers.from_dense(np.zeros((400, 1), dtype=int), 1), CPU, torch.float64)
    voices = [
        torch.nn.functional.one_hot(torch.from_numpy(voice), 9).double() for voice in (one, other)
    ]
    expected = cohen_kappa_score(one, other, weights="quadratic")
    found = agreement_weights(voices, design, ordered=True)[1]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert found[0] > agreement_weights(voices, design)[1][0] + 0.3


def rare(seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """Return three answers each to 6,000 tasks, one in a hundred of which is bad, as 0.7 of workers see on it."""
    rng = np.random.default_rng(seed)
    bad = rng.random(6000) < 0.01
    sees, alarms = rng.uniform(0.6, 0.8, 30), rng.uniform(0.005, 0.03, 30)
    task = np.repeat(np.arange(6000), 3)
    worker = np.concatenate([rng.choice(30, 3, replace=False) for _ in range(6000)])
    said = rng.random(18000) < np.where(bad[task], sees[worker], alarms[worker])
    frame = pd.DataFrame({"task": task, "worker": worker, "label": np.where(said, "bad", "fine")})
    return frame, pd.Series(np.where(bad, "bad", "fine"))


def test_a_rare_class_is_about_as_rare_as_probabilities_say() -> None:
    """Votes smoothed by half an answer for each class would say of three votes against it that it has an eighth."""
    for seed in range(2):
        frame, truth = rare(seed)
        often = (frame["label"] == "bad").groupby(frame["task"]).mean() > 0.5
        voted = (often == (truth == "bad")).mean()
        for share in (None, {"bad": 0.01, "fine": 0.99}):
            agg = DEEMAggregator(class_balance=share).fit(frame)
            there = float((truth == "bad").mean())
            assert 0.5 * there < agg.probas_["bad"].mean() < 2.5 * there
            right = (agg.labels_ == truth.loc[agg.labels_.index]).mean()
            assert right > voted - 0.001
            found = (agg.labels_[truth == "bad"] == "bad").mean()
            assert found > 0.5


def test_the_smoothing_answer_is_even_but_for_rare_classes() -> None:
    even = smoothing(torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64))
    np.testing.assert_allclose(even, 1 / 3)
    some = smoothing(torch.tensor([0.001, 0.999], dtype=torch.float64))
    np.testing.assert_allclose(some, [0.01 / 0.51, 0.5 / 0.51])


def test_the_pool_is_what_its_formula_says() -> None:
    data = laws.two_answers(1, 300)
    answers = Answers.from_frame(data.answers)
    design = design_of(answers)
    found = select.select(answers, design)
    mean = sum(
        w * e.posterior(design)
        for w, e in zip(found.pool.weights, found.pool.energies, strict=True)
    )
    votes = np.zeros((answers.n_tasks, 4))
    np.add.at(
        votes,
        (np.repeat(np.arange(answers.n_tasks), np.diff(answers.task_ptr)), answers.hard_label),
        1,
    )
    smooth = (votes + 0.25) / (votes.sum(1, keepdims=True) + 1)
    f = found.pool.floor
    rho, size = found.pool.correlation, votes.sum(1, keepdims=True)
    effect = 1 + (size / (1 + (size - 1) * rho) - 1) * rho
    scaled = ((1 - f) * mean.numpy() + f * smooth) ** (1 / effect)
    scaled /= scaled.sum(1, keepdims=True)
    caution = found.pool.caution
    expected = with_votes(torch.from_numpy(scaled), torch.from_numpy(smooth), caution)
    np.testing.assert_allclose(found.posterior, expected, atol=1e-12)
    assert caution == pytest.approx(1 - (1 - rho**0.5) ** 2 * 300 / 330)
    rows = pd.DataFrame([vars(c) for c in found.candidates])
    assert rows["weight"].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("n_tasks", "alike", "by_votes"), [(60, True, True), (60, False, False), (20, True, False)]
)
def test_without_a_label_the_more_careful_of_two_speaks(
    n_tasks, alike, by_votes, monkeypatch
) -> None:
    """Of one skill for all, which pairs that agree raise, and the shares of votes; of few tasks it is the skill."""
    monkeypatch.setattr(own_skills, "WORK", 0)  # as with too many answers for skills of their own
    rng = np.random.default_rng(5)
    shares = rng.dirichlet(np.full(3, 0.5), size=n_tasks) if alike else np.full((n_tasks, 3), 1 / 3)
    data = np.array([rng.choice(3, 8, p=p) for p in shares])
    answers = Answers.from_dense(data, 3)
    design = design_of(answers)
    skill = null_model.common_skill(design, 1).posterior(design).numpy()
    votes = (design.votes.numpy() + 1 / 3) / 9
    assert (votes.max(1).mean() < skill.max(1).mean()) == alike
    expected = votes if by_votes else skill
    np.testing.assert_allclose(
        without_label(answers, design).posterior(design), expected, atol=1e-9
    )


def test_soft_answers_agree_as_draws_from_them_do() -> None:
    """On each task, by enumeration of its pairs; without that, sure ranks would seem to contradict each other."""
    rng = np.random.default_rng(0)
    soft = rng.dirichlet([1.0, 1.0, 1.0], (20, 4)).transpose(0, 2, 1)
    answers = Answers.from_soft(soft)
    each = [row[:, i] @ row[:, j] for row in soft for i, j in itertools.combinations(range(4), 2)]
    for dtype in (torch.float64, torch.float32):
        design = DesignMatrix(answers, torch.device("cpu"), dtype)
        agreed, _, number = null_model.pair_agreement(design)
        assert agreed == pytest.approx(np.mean(each), rel=1e-5)
        assert number == pytest.approx(len(each))
    offloaded = OffloadedDesign(answers, torch.device("cpu"), torch.float64, batch=9)
    assert null_model.pair_agreement(offloaded)[0] == pytest.approx(np.mean(each))


def test_a_model_without_a_label_predicts_what_it_was_fitted_to() -> None:
    rng = np.random.default_rng(5)
    data = rng.integers(3, size=(60, 5))
    agg = DEEM().fit(data)
    assert candidates.COMMON in set(agg.selection_["candidate"])
    np.testing.assert_allclose(agg.predict_proba(data), agg.probas_, atol=1e-9)


def test_the_other_tables_take_the_place_of_a_reading_that_would_count_twice() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(3, size=250)
    table = rng.dirichlet(np.ones(3), size=(6, 3)) * 0.5 + 0.5 * np.eye(3)
    labels = np.stack([[rng.choice(3, p=one[t]) for t in truth] for one in table], 1)
    answers = Answers.from_dense(labels, 3)
    found = select.select(answers, design_of(answers))
    weight = {one.name: one.weight for one in found.candidates}
    assert weight[candidates.SUBTYPES] == 0
    assert weight[candidates.TABLES] > 0 < weight[candidates.HIERARCHY]
    assert sum(weight.values()) == pytest.approx(1)


def test_one_coin_at_its_maximum_does_not_speak_twice() -> None:
    """With few answers a task it can run to one class; tables on the way there do not."""
    rng = np.random.default_rng(25)
    n, d = 400, 100
    truth = rng.choice(5, n, p=[0.11, 0.18, 0.28, 0.2, 0.23])
    active, skill = 1 / np.arange(1.0, d + 1), rng.beta(3, 2.2, d)
    task = np.sort(np.concatenate([np.arange(n), rng.integers(n, size=560)]))
    worker = rng.choice(d, len(task), p=active / active.sum())
    near = np.clip(truth[task] + rng.choice([-1, 1, 1], len(task)), 0, 4)
    label = np.where(rng.random(len(task)) < skill[worker], truth[task], near)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    agg = DEEMAggregator(duplicates="first").fit(frame.drop_duplicates(["task", "worker"]))
    weight = agg.selection_.set_index("candidate")["weight"]
    assert weight[candidates.HIERARCHY] > 2 * weight[candidates.ONE_COIN]
    assert (agg.labels_ == truth[agg.labels_.index]).mean() > 0.75


@pytest.mark.parametrize("name", ["few-tasks", "copies", "heavy-tail"])
def test_predict_says_what_fit_said(name, tmp_path) -> None:
    data = laws.LAWS[name](0)
    agg = DEEMAggregator().fit(data.answers)
    pd.testing.assert_frame_equal(agg.predict_proba(data.answers), agg.probas_, check_exact=True)
    agg.save(tmp_path / "model")
    again = DEEMAggregator.load(tmp_path / "model")
    pd.testing.assert_frame_equal(again.predict_proba(data.answers), agg.probas_, check_exact=True)
    pd.testing.assert_frame_equal(again.selection_, agg.selection_)
    pd.testing.assert_frame_equal(again.skill_intervals_, agg.skill_intervals_)


def test_gold_settles_its_tasks_and_teaches_the_rest() -> None:
    data = laws.adversaries(0, 300)
    turned = data.answers.copy()
    turned["label"] = 1 - turned["label"]  # now most workers are wrong
    gold = data.gold.iloc[:60]
    agg = DEEMAggregator().fit(turned, gold)
    assert (agg.labels_.loc[gold.index] == gold).all()
    assert agg.probas_.loc[gold.index].max(axis=1).min() == 1.0
    rest = data.gold.iloc[60:]
    assert (agg.labels_.loc[rest.index] == rest).mean() > 0.9
    unknown = pd.Series([None] * 60, index=gold.index, dtype=object)
    pd.testing.assert_frame_equal(
        DEEMAggregator().fit(turned, unknown).probas_, DEEMAggregator().fit(turned).probas_
    )


def test_gold_in_single_precision() -> None:
    """Large designs hold posteriors in float32, and shrunken odds are float64."""
    data = laws.difficulty(0, 200)
    gold = data.gold.iloc[:20]
    found = DEEMAggregator(dtype="float32").fit(data.answers, gold)
    assert (found.labels_[gold.index] == gold).all()
