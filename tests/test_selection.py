"""The model chosen from the answers: its parts against enumeration, the whole on laws and on real sets."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from crowdkit.aggregation import DawidSkene, MajorityVote
from deem_crowd_benchmarks import label_sets, laws, measures
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from sklearn.metrics import cohen_kappa_score

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.exceptions import ParameterError
from deem_crowd.model.calibration import with_votes
from deem_crowd.model.design import DesignMatrix, OffloadedDesign
from deem_crowd.selection import candidates, dependence, null_model, own_skills, pairs, select
from deem_crowd.selection.opinion_pool import agreement_weights, smoothing, without_label
from deem_crowd.training import confusion, em
from deem_crowd.training.dirichlet import log_marginal
from deem_crowd.training.hierarchical import AccuracyCentre, fit_hierarchical
from deem_crowd.training.one_coin import fit_one_coin

SETS = Path(__file__).parents[2] / "shared" / "data"
needs_sets = pytest.mark.skipif(not SETS.is_dir(), reason="the label sets are not there")
CPU = torch.device("cpu")


def design_of(answers: Answers) -> DesignMatrix:
    return DesignMatrix(answers, CPU, torch.float64)


def few(seed: int = 0, n: int = 6, d: int = 4, k: int = 2) -> Answers:
    rng = np.random.default_rng(seed)
    data = rng.integers(k, size=(n, d))
    data[rng.random((n, d)) < 0.2] = -1
    return Answers.from_dense(data, k)


def measured(answers: Answers) -> tuple[dependence.Dependence, dependence.Dependence]:
    number = np.bincount(answers.worker, minlength=answers.n_workers).astype(float)
    counted = pairs.count(answers, pairs.most_active(number))
    return dependence.measure(counted, number)


# ------------------------------------------------------------------------- members


def test_one_pass_of_tables_by_hand() -> None:
    answers = few()
    design = design_of(answers)
    begin = em.vote_start(design)
    found = confusion.fit_confusion(design, begin, n_passes=1)
    k, d = 2, 4
    table = np.zeros((d, k, k))
    for n in range(answers.n_tasks):
        for at in range(answers.task_ptr[n], answers.task_ptr[n + 1]):
            table[answers.worker[at], answers.hard_label[at]] += begin[n].numpy()
    table += np.where(np.eye(k), 2.0, 0.8)
    table /= table.sum(1, keepdims=True)
    np.testing.assert_allclose(found.energy.weight.exp().numpy(), table, atol=1e-12)
    prior = begin.sum(0).numpy() + 1
    np.testing.assert_allclose(found.energy.bias.exp().numpy(), prior / prior.sum(), atol=1e-12)


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_the_bound_is_below_the_evidence(m, seed) -> None:
    """The evidence sums the probability of answers and states over all assignments of states to tasks."""
    answers = few(seed, n=5 if m == 1 else 3, d=3)
    design = design_of(answers)
    begin = em.vote_start(design)
    if m == 2:
        begin = em.margin_start(design, begin)
    found = confusion.fit_confusion(design, begin, m)
    alpha = found.pseudo_answers
    n_states = 2 * m
    total = []
    for states in itertools.product(range(n_states), repeat=answers.n_tasks):
        hot = torch.nn.functional.one_hot(torch.tensor(states), n_states).double()
        counts = design.expected_counts(hot)
        cells = counts + alpha
        value = (torch.lgamma(cells) - torch.lgamma(alpha)).sum()
        value -= (torch.lgamma(cells.sum(1)) - torch.lgamma(alpha.sum(0))).sum()
        size = hot.sum(0).numpy()
        prior = gammaln(2) - n_states * gammaln(1 / m) + gammaln(size + 1 / m).sum()
        total.append(float(value) + prior - gammaln(answers.n_tasks + 2))
    evidence = np.logaddexp.reduce(total)
    assert found.bound <= evidence + 1e-9
    assert found.bound > evidence - 3 * answers.n_tasks


def test_the_coin_recovers_accuracies() -> None:
    data = laws.spammers(3, 4000)
    answers = Answers.from_frame(data.answers)
    design = design_of(answers)
    found = fit_one_coin(design, em.vote_start(design))
    right = torch.diagonal(found.energy.weight.exp(), dim1=1, dim2=2)
    np.testing.assert_allclose(right[:, 0], right[:, 1])
    truth = data.gold.loc[data.answers["task"]].to_numpy() == data.answers["label"].to_numpy()
    accuracy = pd.Series(truth).groupby(data.answers["worker"].to_numpy()).mean()
    np.testing.assert_allclose(right[:, 0], accuracy.loc[answers.workers], atol=0.05)


# ---------------------------------------------------------------------------- pool


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
    for seed in range(3):
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


@pytest.mark.parametrize("seed", [0, 1])
def test_two_camps_that_contradict_each_other_do_not_say_which_repeats_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=150)
    tempting = np.where(rng.random(150) < 0.75, 1 - truth, truth)
    told = np.repeat([[0.85, 0.8]], [20, 20], axis=1)
    heard = np.stack([truth] * 20 + [tempting] * 20, 1)
    labels = np.where(rng.random(heard.shape) < told, heard, 1 - heard)
    _, by_all = measured(Answers.from_dense(labels, 2))
    assert by_all.mean_power == 1
    assert np.isnan(by_all.skill).all()
    alike = np.where(rng.random(heard.shape) < told, truth[:, None], 1 - truth[:, None])
    assert np.isfinite(measured(Answers.from_dense(alike, 2))[1].skill).all()


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


# ---------------------------------------------------------------------- dependence


def test_copies_count_as_one_and_independent_sources_in_full() -> None:
    for found in measured(Answers.from_frame(laws.copies(0).answers)):
        assert found.power[:4].max() < 0.35
        assert found.power[4:].min() > 0.9
    for seed in range(3):
        for found in measured(Answers.from_frame(laws.independent(seed).answers)):
            assert found.mean_power > 0.97


@pytest.mark.parametrize("law", [laws.clique, laws.copies, laws.tree])
def test_a_clique_is_found_with_few_tasks(law) -> None:
    """Where agreement of single pairs is not significant, all pairs together tell the clique from the others."""
    better = []
    for seed in range(4):
        data = law(seed + 300, 200)
        labels = DEEMAggregator().fit_predict(data.answers)
        better.append(
            measures.accuracy(labels, data.gold)
            - measures.accuracy(MajorityVote().fit_predict(data.answers), data.gold)
        )
    assert np.mean(better) > 0.08, better


@pytest.mark.parametrize("law", [laws.independent, laws.spammers, laws.adversaries, laws.imbalance])
def test_independent_sources_are_no_clique(law) -> None:
    for seed in range(3):
        found = DEEMAggregator().fit(law(seed + 400, 200).answers)
        assert candidates.COPIES not in set(found.selection_["candidate"])


def test_skills_from_pairs_are_those_of_gold() -> None:
    data = laws.independent(1, 20_000)
    both = measured(Answers.from_frame(data.answers))
    table = pd.crosstab(
        [data.answers["worker"], data.gold.loc[data.answers["task"]].to_numpy()],
        data.answers["label"],
    )
    for worker in range(9):
        counts = table.loc[worker].to_numpy()
        agreed, p = np.trace(counts) / counts.sum(), counts / counts.sum()
        chance = (p.sum(0) * p.sum(1)).sum()
        for found in both:  # with unequal errors agreement is not of rank one to the last digit
            assert found.skill[worker] == pytest.approx((agreed - chance) / (1 - chance), abs=0.06)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_dependence_knows_no_order(seed) -> None:
    data = laws.clique(2, 400)
    order = np.random.default_rng(seed).permutation(len(data.answers))
    one = Answers.from_frame(data.answers)
    other = Answers.from_frame(data.answers.iloc[order])
    place = other.workers.get_indexer(one.workers)
    for first, second in zip(measured(one), measured(other), strict=True):
        np.testing.assert_allclose(first.power, second.power[place], atol=1e-9)
        np.testing.assert_allclose(first.skill, second.skill[place], atol=1e-9)


def test_too_little_to_tell() -> None:
    for answers in (few(), Answers.from_frame(laws.many_workers(0).answers)):
        for found in measured(answers):
            assert (found.power == 1).all()
            assert not found.contradicts(np.zeros(answers.n_workers))


def among_guessers(seed: int, n_good: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of 300 tasks, and the answers of sixteen sources, −1 for none: most know nothing, and guess."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=300)
    favourites = rng.dirichlet(np.ones(3), size=16)
    guesses = np.stack([rng.choice(3, 300, p=shares) for shares in favourites], 1)
    right = (rng.random((300, 16)) < 0.85) & (np.arange(16) < n_good)
    data = np.where(right, truth[:, None], guesses)
    data[rng.random((300, 16)).argsort(1) >= 8] = -1
    return truth, data


@pytest.mark.parametrize("seed", [0, 20, 24])
def test_a_few_good_sources_among_guessers_are_no_clique(seed: int) -> None:
    """Three know the label and thirteen guess: the three agree more often than λ of the rest says."""
    truth, data = among_guessers(seed, 3)
    answers = Answers.from_dense(data, 3)
    assert min(found.mean_power for found in measured(answers)) < 0.9
    chosen = select.select(answers, design_of(answers))
    assert candidates.COPIES not in [candidate.name for candidate in chosen.candidates]
    assert chosen.posterior is not None
    known = (data[:, :3] >= 0).any(1)
    labels = chosen.posterior.argmax(1).numpy()
    assert (labels == truth)[known].mean() > 0.8


@pytest.mark.parametrize("seed", [5, 11, 13])
def test_guessers_do_not_hide_the_label_that_a_few_sources_know(seed: int) -> None:
    truth, data = among_guessers(seed, 3)
    answers = Answers.from_dense(data, 3)
    design = design_of(answers)
    fitted = fit_hierarchical(design, em.vote_start(design), AccuracyCentre())
    free, _ = null_model.evidence_without_label(design)
    assert fitted.bound < free, "the thirteen cost more than the three gain"
    gain = null_model.gain_of_guessers(design, fitted.by_worker)
    assert fitted.bound + gain > free
    chosen = select.select(answers, design)
    assert chosen.posterior is not None
    known = (data[:, :3] >= 0).any(1)
    assert (chosen.posterior.argmax(1).numpy() == truth)[known].mean() > 0.8
    answers = Answers.from_dense(among_guessers(seed, 0)[1], 3)
    assert select.select(answers, design_of(answers)).posterior is None, "where all guess"


def test_a_guesser_adds_to_the_bound_what_it_says_without_a_label() -> None:
    """log(½ exp e + ½ exp f) − e: − log 2 where a worker looks for sure, and nearly f − e where it does not."""
    design = design_of(few(3, n=40, d=3, k=2))
    named = design.answers_named()[:, :, None]
    alone = log_marginal(named, null_model._fit_dirichlet(named)).sum(1)
    assert null_model.gain_of_guessers(design, alone) == pytest.approx(0)
    looks = null_model.gain_of_guessers(design, alone + 60)
    assert looks == pytest.approx(-3 * np.log(2))
    guesses = null_model.gain_of_guessers(design, alone - 60)
    assert guesses == pytest.approx(3 * (60 - np.log(2)))


def test_partners_that_are_no_partners_of_others_tell_nothing() -> None:
    """Five sources share tasks with three others each, who share tasks with nobody else: no λ follows from that."""
    rng = np.random.default_rng(0)
    task = np.arange(600)
    truth = rng.integers(2, size=600)
    frame = pd.concat(
        [
            pd.DataFrame({"task": task, "worker": names, "label": truth ^ (rng.random(600) < 0.2)})
            for names in ("hub" + pd.Series(task // 120).astype(str), "leaf" + pd.Series(task // 40).astype(str))
        ]
    )  # fmt: skip
    answers = Answers.from_frame(frame)
    for found in measured(answers):
        assert np.isnan(found.skill).all()
    for groups in (None, {"first": ["leaf0", "leaf1"]}):
        assert len(DEEMAggregator(groups=groups).fit(frame).labels_) == 600


@pytest.mark.parametrize("name", ["copies", "clique", "blind-spots", "tree"])
def test_sources_that_repeat_others_are_seen_through(name) -> None:
    for seed in range(3):
        data = laws.LAWS[name](seed, 2000)
        agg = DEEMAggregator().fit(data.answers)
        ours = measures.accuracy(agg.probas_, data.gold)
        for peer in (MajorityVote(), DawidSkene(n_iter=50)):
            peer.fit_predict(data.answers)
            assert ours > measures.accuracy(peer.probas_, data.gold) + 0.1
        assert candidates.COPIES in set(agg.selection_["candidate"])


def test_nothing_is_lost_where_sources_are_independent() -> None:
    ours, theirs = [], []
    for seed in range(6):
        data = laws.independent(seed)
        agg = DEEMAggregator().fit(data.answers)
        peer = DawidSkene(n_iter=100)
        peer.fit_predict(data.answers)
        ours.append(measures.accuracy(agg.probas_, data.gold))
        theirs.append(measures.accuracy(peer.probas_, data.gold))
        assert candidates.COPIES not in set(agg.selection_["candidate"])
    assert np.mean(ours) > np.mean(theirs) - 0.003


# ---------------------------------------------------------------------- parameters


def test_what_is_named_is_not_chosen() -> None:
    data = laws.few_tasks(0).answers
    assert DEEMAggregator().fit(data).selection_ is not None
    plain = DEEMAggregator(auto_hyperparameters=False).fit(data)
    assert plain.selection_ is None
    for named in ({"hidden_dim": 2}, {"subtypes": 2}, {"penalty": 1.0}, {"n_iter": 0}):
        assert DEEMAggregator(**named).fit(data).selection_ is None
    with pytest.raises(
        ParameterError,
        match="auto_hyperparameters=True chooses the model, and hidden_dim=2 names one",
    ):
        DEEMAggregator(auto_hyperparameters=True, hidden_dim=2).fit(data)
    with pytest.raises(ParameterError, match="auto_hyperparameters='yes' is not allowed"):
        DEEM(auto_hyperparameters="yes").fit(np.zeros((3, 2), dtype=int))
    assert not hasattr(DEEMAggregator(), "selection_")


def test_the_table_of_the_choice_can_be_read() -> None:
    found = DEEMAggregator().fit(laws.few_tasks(0).answers).selection_
    assert list(found.columns) == [
        "candidate", "score", "difference", "standard_error", "agreement", "weight", "why",
    ]  # fmt: skip
    assert found["weight"].sum() == pytest.approx(1)
    chosen = found[found["why"].str.startswith(("chosen", "always"))]
    assert (chosen["weight"] > 0).all()


# ----------------------------------------------------------------------- intervals


@pytest.mark.parametrize("per_task", [3, 6])
def test_intervals_of_skills_cover_as_often_as_they_say(per_task) -> None:
    covered, widths = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        skills = rng.beta(4, 2, 40)
        data = laws._sparse("x", rng, 800, 3, per_task, skills)
        agg = DEEMAggregator().fit(data.answers)
        intervals = agg.skill_intervals_.sort_index()
        here = skills[intervals.index]
        covered.append(((intervals["low"] <= here) & (here <= intervals["high"])).mean())
        widths.append((intervals["high"] - intervals["low"]).mean())
        inside = agg.skills_.sort_index().between(intervals["low"], intervals["high"])
        assert inside.all()
    assert 0.88 < np.mean(covered) <= 1.0
    assert np.mean(widths) < 0.5


def test_few_answers_and_unsure_labels_make_intervals_wide() -> None:
    def width(n_tasks, per_task):
        rng = np.random.default_rng(0)
        data = laws._sparse("x", rng, n_tasks, 2, per_task, np.full(10, 0.75))
        found = DEEMAggregator().fit(data.answers).skill_intervals_
        return (found["high"] - found["low"]).mean()

    assert width(2000, 5) < width(200, 5)
    answers_alike = width(1000, 3), width(500, 6)
    assert answers_alike[0] > answers_alike[1]


# -------------------------------------------------------------------- real sets

NOTED = pd.read_csv(
    Path(__file__).with_name("dawid_skene.csv"), dtype={"digest": str}, index_col="digest"
)
"""What crowd-kit 1.4.2's DawidSkene(n_iter=100) reaches on the label sets, by their digests; it takes long."""


def figures(name: str, method: Any, data: label_sets.LabelSet) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        method.fit_predict(data.answers)
    return {
        name: 100 * measures.accuracy(method.probas_, data.gold),
        f"{name} loss": measures.log_loss(method.probas_, data.gold),
        f"{name} ece": measures.reliability(method.probas_, data.gold).error,
    }


def of_dawid_skene(data: label_sets.LabelSet) -> dict[str, float]:
    if data.digest in NOTED.index:
        return NOTED.loc[data.digest].drop("set").to_dict()
    return figures("ds", DawidSkene(n_iter=100), data)


@needs_sets
@pytest.mark.parametrize("name", ["crowd/bluebird", "ensemble/micro-mass"])
def test_what_is_noted_of_dawid_skene(name) -> None:
    (source,) = label_sets.sources(SETS / name)
    data = source.load(0)
    found = figures("ds", DawidSkene(n_iter=100), data)
    assert of_dawid_skene(data) == pytest.approx(found, rel=1e-6)
    assert data.digest in NOTED.index


@needs_sets
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "above"), [("crowd", 0.5), ("ensemble", 0.0)])
def test_real_sets(kind, above) -> None:
    """The mean is above Dawid-Skene's and the vote's, no set is far below, and probabilities are better."""
    table = []
    for source in label_sets.sources(SETS / kind):
        data = source.load(0)
        ours, vote = DEEMAggregator(progress=False), MajorityVote()
        table.append(figures("ours", ours, data) | figures("mv", vote, data) | of_dawid_skene(data))
    found = pd.DataFrame(table)
    mean = found.mean()
    assert mean["ours"] > max(mean["ds"], mean["mv"]) + above
    assert mean["ours loss"] < 0.6 * mean["ds loss"]
    assert mean["ours ece"] < mean["ds ece"]
    assert (found["ours"] - found[["ds", "mv"]].max(axis=1)).min() > -1.5


def test_the_table_says_when_the_answers_speak_for_no_label() -> None:
    rng = np.random.default_rng(0)
    task, worker = np.divmod(np.arange(1200), 6)
    noise = pd.DataFrame({"task": task, "worker": worker, "label": rng.integers(2, size=1200)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = DEEMAggregator().fit(noise).selection_
    assert found["candidate"].to_list()[-2:] == [candidates.COMMON, candidates.OWN]
    assert (
        found["weight"].sum() == pytest.approx(found["weight"].iloc[-2:].sum()) == pytest.approx(1)
    )


def test_gold_in_single_precision() -> None:
    """Large designs hold posteriors in float32, and shrunken odds are float64."""
    data = laws.difficulty(0, 200)
    gold = data.gold.iloc[:20]
    found = DEEMAggregator(dtype="float32").fit(data.answers, gold)
    assert (found.labels_[gold.index] == gold).all()
