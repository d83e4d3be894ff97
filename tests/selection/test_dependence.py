"""Dependence between sources: cliques and copies are seen, and good sources among guessers are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import DawidSkene, MajorityVote
from deem_crowd_benchmarks.running import measures
from deem_crowd_benchmarks.sets import laws
from hypothesis import given, settings
from hypothesis import strategies as st
from small_designs import design_of, few, measured

from deem_crowd import Answers, DEEMAggregator
from deem_crowd.selection import candidates, null_model, select
from deem_crowd.training import em
from deem_crowd.training.dirichlet import log_marginal
from deem_crowd.training.hierarchical import AccuracyCentre, fit_hierarchical


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
    for seed in range(2):
        data = laws.LAWS[name](seed, 1000)
        agg = DEEMAggregator().fit(data.answers)
        ours = measures.accuracy(agg.probas_, data.gold)
        for peer in (MajorityVote(), DawidSkene(n_iter=50)):
            peer.fit_predict(data.answers)
            assert ours > measures.accuracy(peer.probas_, data.gold) + 0.1
        assert candidates.COPIES in set(agg.selection_["candidate"])


def test_nothing_is_lost_where_sources_are_independent() -> None:
    ours, theirs = [], []
    for seed in range(3):
        data = laws.independent(seed)
        agg = DEEMAggregator().fit(data.answers)
        peer = DawidSkene(n_iter=100)
        peer.fit_predict(data.answers)
        ours.append(measures.accuracy(agg.probas_, data.gold))
        theirs.append(measures.accuracy(peer.probas_, data.gold))
        assert candidates.COPIES not in set(agg.selection_["candidate"])
    assert np.mean(ours) > np.mean(theirs) - 0.003


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
