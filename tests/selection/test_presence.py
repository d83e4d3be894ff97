"""Sources that speak for one class: who answered is evidence, where the answers say so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from deem_crowd_benchmarks.running import measures
from deem_crowd_benchmarks.sets import kinds
from scipy.optimize import minimize

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection import presence
from deem_crowd.selection.candidates import PRESENCE


def design_of(answers: Answers) -> DesignMatrix:
    return DesignMatrix(answers, torch.device("cpu"), torch.float64)


def votes(answers: pd.DataFrame) -> pd.DataFrame:
    return pd.crosstab(answers["task"], answers["label"], normalize="index")


def chosen(model: DEEMAggregator) -> bool:
    return PRESENCE in set(model.selection_["candidate"])


@pytest.mark.parametrize("law", [kinds.unipolar, kinds.unipolar_four])
def test_who_answered_tells_more_than_the_votes(law) -> None:
    for seed in range(2):
        data = law(seed + 700, 1000)
        model = DEEMAggregator().fit(data.answers)
        assert chosen(model)
        gained = measures.accuracy(model.probas_, data.gold) - measures.accuracy(
            votes(data.answers), data.gold
        )
        assert gained > 0.01
        # a source is as good as the tasks that it spoke of
        right = data.answers["label"].to_numpy() == data.gold.loc[data.answers["task"]].to_numpy()
        precision = pd.Series(right).groupby(data.answers["worker"]).mean()
        assert np.corrcoef(model.skills_, precision.loc[model.skills_.index])[0, 1] > 0.9


def functions(seed: int, n: int, repeats: float) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Return what eight functions, four for each class, say of n texts; the third repeats the first where it speaks."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.3).astype(np.int64)
    own = np.arange(8) % 2
    share = np.array([0.7, 0.3])[own]
    precision, coverage = rng.uniform(0.6, 0.95, 8), rng.uniform(0.12, 0.25, 8)
    right, wrong = coverage * precision / share, coverage * (1 - precision) / (1 - share)
    speaks = rng.random((n, 8)) < np.where(truth[:, None] == own, right, wrong)
    again = rng.random(n) < repeats
    speaks[again, 2] = speaks[again, 0]
    task, worker = np.nonzero(speaks)
    return pd.DataFrame({"task": task, "worker": worker, "label": own[worker]}), truth


@pytest.mark.parametrize("seed", range(2))
def test_eight_functions_are_enough_where_texts_are_many(seed: int) -> None:
    """Eight make 28 pairs, which tell as much as 45 of fewer texts would."""
    answers, truth = functions(seed, 3000, 0.0)
    model = DEEMAggregator().fit(answers)
    assert chosen(model)
    gold = pd.Series(truth).loc[model.labels_.index]
    gained = measures.accuracy(model.probas_, gold) - measures.accuracy(votes(answers), gold)
    assert gained > 0.01
    assert not chosen(DEEMAggregator().fit(functions(seed, 300, 0.0)[0]))  # too few can tell
    assert not chosen(DEEMAggregator().fit(functions(seed, 3000, 0.6)[0]))


def test_skills_beside_gold_are_shares_that_are_right() -> None:
    """By its table a source that names one class alone would be right as often as that class occurs."""
    data = kinds.unipolar_four(700, 1000)
    right = data.answers["label"].to_numpy() == data.gold.loc[data.answers["task"]].to_numpy()
    precision = pd.Series(right).groupby(data.answers["worker"].to_numpy()).mean()
    model = DEEMAggregator().fit(data.answers, gold=data.gold.iloc[:200])
    assert not chosen(model)
    assert (model.skills_ - precision.loc[model.skills_.index]).abs().mean() < 0.08
    assert not any("Gold contradicts" in sentence for sentence in model.findings())


def test_a_source_that_never_speaks_is_an_average_one() -> None:
    answers = Answers.from_frame(kinds.unipolar(700, 1000).answers)
    silent = 3
    matrix = np.full((answers.n_tasks, answers.n_workers + silent), -1)
    matrix[answers.task, answers.worker] = answers.hard_label
    model = DEEM(n_classes=answers.n_classes).fit(matrix)
    assert PRESENCE in set(model.selection_["candidate"])
    given = (matrix[:, :-silent] >= 0).sum(axis=0)
    average = given @ model.skills_[:-silent] / given.sum()
    assert model.skills_[-silent:] == pytest.approx([average] * silent)
    low, high = model.skill_intervals_[-1]
    assert low < average - 0.2
    assert high > average + 0.1


def test_sources_that_share_keywords_are_refused() -> None:
    for seed in range(2):
        assert not chosen(DEEMAggregator().fit(kinds.synonyms(seed, 1000).answers))


def test_sources_that_speak_at_random_are_refused() -> None:
    for seed in range(2):
        answers = kinds.unipolar(seed, 1000).answers
        rng = np.random.default_rng(seed)
        drawn = [
            part.assign(task=rng.choice(1000, len(part), replace=False))
            for _, part in answers.groupby("worker")
        ]
        with pytest.warns(match="hardly any information"):
            model = DEEMAggregator().fit(pd.concat(drawn))
        assert not chosen(model)


def test_the_posterior_is_that_of_enumeration() -> None:
    """By Bayes' rule with each source's chance to speak, silence included."""
    data = kinds.unipolar_four(3, 400)
    answers = Answers.from_frame(data.answers)
    design = design_of(answers)
    named = design.expected_counts(torch.ones_like(design.votes[:, :1]))[:, :, 0]
    found = presence.fit(design, named)
    weight, speaks = found.energy.weight, found.speaks
    silent = 1 - speaks
    table = weight.exp() * silent[:, None, :]  # p_i[l, k]
    np.testing.assert_allclose(table.sum(1), speaks, atol=1e-9)
    for n in (0, 7, 100):
        rows = slice(int(answers.task_ptr[n]), int(answers.task_ptr[n + 1]))
        said = dict(zip(answers.worker[rows], answers.hard_label[rows], strict=True))
        chance = [
            float(found.shares[k])
            * np.prod(
                [
                    float(table[i, said[i], k]) if i in said else float(silent[i, k])
                    for i in range(answers.n_workers)
                ]
            )
            for k in range(4)
        ]
        np.testing.assert_allclose(found.posterior[n], np.array(chance) / sum(chance), atol=1e-9)


@pytest.mark.parametrize("with_silent_tasks", [False, True])
def test_the_gain_is_over_sources_that_speak_at_a_constant_rate(with_silent_tasks: bool) -> None:
    data = kinds.unipolar(5, 300)
    wide = data.answers.pivot(index="task", columns="worker", values="label").fillna(-1)
    table = wide.to_numpy().astype(np.int64)
    if with_silent_tasks:
        table = np.vstack([table, np.full((40, table.shape[1]), -1)])
    named = np.stack([(table == k).sum(0) for k in range(2)], 1).astype(np.float64)
    found = presence.fit(design_of(Answers.from_dense(table, 2)), torch.from_numpy(named))
    n, given = len(table), named.sum(1)

    def log_likelihood(rate: npt.NDArray[np.float64]) -> float:
        """Log-likelihood of what each source spoke of, if none of the tasks can be one of which all are silent."""
        silent = float(np.prod(1 - rate))
        seen = 0.0 if with_silent_tasks else n * np.log1p(-silent)
        return float((given * np.log(rate) + (n - given) * np.log(1 - rate)).sum() - seen)

    start = np.log(given / n)
    best = minimize(lambda x: -log_likelihood(1 / (1 + np.exp(-x))), start, tol=1e-10)
    share = named / given[:, None]
    which = float((named * np.log(np.where(share > 0, share, 1))).sum())
    assert found.gain == pytest.approx(found.history[-1] * n - (which - best.fun), rel=1e-5)
    assert np.all(np.diff(found.history) > -1e-6 * abs(found.history[-1]) - 0.01)
    assert (found.unseen == 0) == with_silent_tasks


@pytest.mark.parametrize("seed", range(3))
def test_tasks_of_which_all_are_silent_need_not_be_in_the_data(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 4000
    truth = (rng.random(n) < 0.1).astype(np.int64)
    rates = [(1, rng.uniform(0.01, 0.05), rng.uniform(0.2, 0.5)) for _ in range(8)]
    rates += [(0, rng.uniform(0.2, 0.6), 0.1) for _ in range(3)]
    table = np.stack(
        [np.where(rng.random(n) < np.where(truth, b, a), own, -1) for own, a, b in rates], 1
    )
    spoken = (table >= 0).any(1)
    seen = Answers.from_dense(table[spoken], 2)
    found = presence.find(seen, design_of(seen))
    assert found is not None
    assert found.unseen == pytest.approx((~spoken).sum(), rel=0.15)
    assert float(found.shares[1]) == pytest.approx(truth.mean(), abs=0.02)
    whole = Answers.from_dense(table, 2)
    beside = presence.find(whole, design_of(whole))
    assert beside is not None
    by_all = beside.posterior[torch.from_numpy(np.flatnonzero(spoken))]
    same = (by_all.argmax(1) == found.posterior.argmax(1)).double().mean()
    assert float(same) > 0.98


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("k", [2, 4])
def test_a_few_functions_for_several_classes_do_not_decide_alone(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.choice(k, 1500, p=rng.dirichlet([5.0] * k))
    said = kinds._one_sided(rng, truth, k, 10)
    for _ in range(5):
        right = rng.random(1500) < rng.uniform(0.55, 0.9)
        label = np.where(right, truth, (truth + rng.integers(1, k, 1500)) % k)
        said.append(np.where(rng.random(1500) < rng.uniform(0.1, 0.5), label, -1))
    data = kinds._weak("mixed", said, truth)
    by_votes = measures.accuracy(votes(data.answers), data.gold)
    assert (
        measures.accuracy(DEEMAggregator().fit(data.answers).probas_, data.gold) > by_votes + 0.01
    )


def test_order_and_names_do_not_count() -> None:
    data = kinds.unipolar(8, 600)
    first = DEEMAggregator().fit(data.answers)
    rng = np.random.default_rng(0)
    mixed = data.answers.iloc[rng.permutation(len(data.answers))]
    mixed = mixed.assign(
        label=mixed["label"].map({0: "spam", 1: "ham"}), worker="w" + mixed["worker"].astype(str)
    )
    other = DEEMAggregator().fit(mixed).probas_.loc[first.probas_.index, ["spam", "ham"]]
    np.testing.assert_allclose(first.probas_, other, atol=1e-7)


def test_a_task_without_answers_gets_the_class_shares(tmp_path) -> None:
    data = kinds.unipolar(9, 600)
    model = DEEMAggregator().fit(data.answers)
    model.save(tmp_path / "model.deem")
    answers = Answers.from_frame(data.answers)
    told = answers.select(tasks=slice(0, 5))
    silent = np.full((3, answers.n_workers), -1)
    nothing = Answers.from_dense(silent, 2)
    for one in (model, DEEMAggregator.load(tmp_path / "model.deem")):
        np.testing.assert_allclose(one.predict_proba(told), model.probas_.iloc[:5], atol=1e-9)
        with pytest.warns(match="have no answers"):
            prior = one.predict_proba(nothing)
        np.testing.assert_allclose(
            prior, np.broadcast_to(model.priors_.to_numpy(), (3, 2)), atol=1e-9
        )


def copying(
    seed: int, repeats: float, number: int = 14, members: int = 4, right: float = 0.09
) -> tuple[pd.DataFrame, pd.Series, list[str]]:
    """Return one-sided functions on 1,000 tasks, members of a group that repeat the first of it, and the truth.

    A function is right on the share ``right`` of the tasks, and wrong on 3 %.
    """
    rng = np.random.default_rng(seed)
    truth, says = (rng.random(1000) < 0.4).astype(int), np.arange(number) % 2
    speaks = np.zeros((1000, number), dtype=bool)
    for i, own in enumerate(says):
        share = (truth == own).mean()
        chance = np.where(truth == own, right / share, 0.03 / (1 - share))
        speaks[:, i] = rng.random(1000) < chance
    first, *others = group = list(range(0, 2 * members, 2))
    for i in others:
        same = rng.random(1000) < repeats
        speaks[same, i] = speaks[same, first]
    task, worker = np.nonzero(speaks)
    frame = pd.DataFrame({"task": task, "worker": [f"f{i}" for i in worker], "label": says[worker]})
    return frame, pd.Series(truth), [f"f{i}" for i in group]


@pytest.mark.parametrize(("number", "right"), [(14, 0.09), (20, 0.07)])
@pytest.mark.parametrize("repeats", [0.4, 0.6])
def test_functions_that_repeat_one_another_are_not_taken_for_the_label(
    repeats: float, number: int, right: float
) -> None:
    for seed in range(2):
        frame, truth, _ = copying(seed, repeats, number, 5, right)
        found = measures.accuracy(DEEMAggregator().fit(frame).probas_, truth)
        assert found > measures.accuracy(votes(frame), truth) - 0.03


def as_seen(by_label: float) -> presence.Together:
    """Return ten sources, five a class, whose pairs deviate by so many standard deviations with a label's signs."""
    own, rate = np.arange(10) % 2, np.linspace(0.1, 0.3, 10)
    expected = 1000 * np.outer(rate, rate)
    variance = rate * (1 - rate)
    same = own[:, None] == own
    z = np.where(same, by_label, -by_label)
    common = expected + z * np.sqrt(1000 * np.outer(variance, variance))
    asked = np.triu(np.ones((10, 10), dtype=bool), 1)
    return presence.Together(1000, rate, own, common, expected, asked)


def test_a_label_is_left_where_all_pairs_deviate_a_little_with_its_signs() -> None:
    """45 pairs: T = z √45, so that 0.18 of a standard deviation each is 1.21 in all, and 0.2 is 1.34."""
    assert not presence.leaves_a_label(as_seen(0.0))
    assert not presence.leaves_a_label(as_seen(0.18))
    assert presence.leaves_a_label(as_seen(0.2))
    assert not presence.leaves_a_label(as_seen(-0.2))
    # the other way round: the label is overstated, and by how much is not asked
    assert not presence.leaves_a_label(as_seen(-3.0))


def test_where_members_of_a_group_count_less_the_label_is_understated() -> None:
    """So a little of it is left in all pairs; with z = 2, X = (4 − 1) 45 / √90 = 14."""
    assert not presence.leaves_a_label(replace(as_seen(0.5), less=True))
    assert presence.leaves_a_label(replace(as_seen(2.0), less=True))


def test_pairs_that_are_not_asked_leave_no_label() -> None:
    seen = as_seen(1.0)
    assert presence.leaves_a_label(seen)
    nobody = np.full(10, -1)  # sources that name several classes
    assert not presence.leaves_a_label(replace(seen, own=nobody))
    assert not presence.leaves_a_label(replace(seen, asked=np.zeros_like(seen.asked)))


def test_pairs_that_deviate_much_are_refused_whatever_their_signs() -> None:
    """With z = ±2 and even signs T is about 0, and X = (4 − 1) 45 / √90 = 14."""
    seen = as_seen(0.0)
    rng = np.random.default_rng(0)
    spread = np.sqrt(1000 * np.outer(seen.rate * (1 - seen.rate), seen.rate * (1 - seen.rate)))
    sign = np.where(seen.own[:, None] == seen.own, 1.0, -1.0)
    even = rng.permutation(np.arange(45) % 2) * 2.0 - 1
    z = np.zeros((10, 10))
    z[seen.asked] = 2 * even * sign[seen.asked]
    assert presence.leaves_a_label(replace(seen, common=seen.expected + z * spread))


@pytest.mark.parametrize("repeats", [0.3, 0.5])
def test_functions_of_a_group_that_is_named_count_less_where_who_answered_is_evidence(
    repeats: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the model alone, which without the group is noticed by other means."""
    monkeypatch.setattr(presence, "leaves_a_label", lambda seen: False)
    gains, used = [], []
    for seed in range(2):
        frame, truth, group = copying(seed, repeats)
        loss = []
        for groups in (None, {"team": group}):
            agg = DEEMAggregator(groups=groups).fit(frame)
            found = agg.probas_.to_numpy()[
                np.arange(len(agg.probas_)), truth[agg.probas_.index].to_numpy()
            ]
            loss.append(-np.log(np.maximum(found, 1e-12)).mean())
            used.append(PRESENCE in set(agg.selection_["candidate"]))
        gains.append(loss[0] - loss[1])
    assert any(used)
    assert np.mean(gains) > 0.08


def test_a_group_of_one_changes_nothing_where_who_answered_is_evidence() -> None:
    frame, _, group = copying(0, 0.0)
    alone = DEEMAggregator().fit(frame)
    assert PRESENCE in set(alone.selection_["candidate"])
    named = DEEMAggregator(groups={"one": group[:1]}).fit(frame)
    pd.testing.assert_frame_equal(named.probas_, alone.probas_)
