"""Groups of sources that share errors, as the user names them."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from deem_crowd_benchmarks.sets import laws
from examples import runs
from hypothesis import given
from hypothesis import strategies as st

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataWarning, ParameterError
from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection.opinion_pool import without_label
from deem_crowd.selection.shared_errors import groups

CLIQUE = {"followers": [0, 1, 2, 3]}


def accuracy(labels: pd.Series, gold: pd.Series) -> float:
    return float((labels.loc[gold.index].to_numpy() == gold.to_numpy()).mean())


def test_a_group_that_is_named_counts_as_it_should_where_nothing_else_tells() -> None:
    with_groups, without = [], []
    for seed in range(4):
        data = laws.clique(seed + 500, 60)
        with_groups.append(
            accuracy(DEEMAggregator(groups=CLIQUE).fit_predict(data.answers), data.gold)
        )
        plain = DEEMAggregator(auto_hyperparameters=False)
        without.append(accuracy(plain.fit_predict(data.answers), data.gold))
    assert np.mean(with_groups) > np.mean(without) + 0.2, (with_groups, without)


def test_a_majority_may_be_a_group() -> None:
    """Skills come from pairs across groups: six of thirteen sources follow one opinion, three another."""
    data = laws.tree(510, 300)
    named = {"a": range(6), "b": range(6, 9), "c": [9, 10], "d": [11, 12]}
    found = DEEMAggregator(groups={k: list(v) for k, v in named.items()}).fit(data.answers)
    assert accuracy(found.labels_, data.gold) > 0.75
    assert "as the groups say" in found.selection_["why"].str.cat()


def without_visible_label(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return answers of three sources that follow one of them on most tasks, and of four others, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=20)

    def said(skill: float) -> np.ndarray:
        return np.where(rng.random(len(truth)) < skill, truth, 1 - truth)

    first = said(0.55)
    group = [np.where(rng.random(len(truth)) < 0.6, first, said(0.55)) for _ in range(3)]
    return np.stack([*group, *(said(rng.uniform(0.55, 0.75)) for _ in range(4))], axis=1), truth


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
def test_copies_that_are_named_count_less_where_the_answers_show_no_label() -> None:
    gained = []
    for seed in range(24):
        matrix, truth = without_visible_label(seed)
        found = DEEM(n_classes=2, groups={"one": [0, 1, 2]}).fit(matrix)
        why = found.selection_["why"].str.cat()
        if "explained as well without a hidden label" not in why:
            continue
        assert "count less, as the groups say" in why
        plain = DEEM(n_classes=2).fit(matrix)
        gained.append((found.labels_ == truth).mean() - (plain.labels_ == truth).mean())
        assert ((found.skills_ > 0) & (found.skills_ < 1)).all()
        np.testing.assert_allclose(found.confusion_.sum(axis=1), 1)
        np.testing.assert_allclose(found.predict_proba(matrix), found.probas_, atol=1e-9)
    assert len(gained) > 9
    mean, error = np.mean(gained), np.std(gained) / len(gained) ** 0.5
    assert mean > 0.02, (mean, error)
    assert mean > 2 * error


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
def test_exact_copies_are_one_voice_where_the_answers_show_no_label() -> None:
    """Where the copies say one thing and as many others as they are the other, the others win if copies are named."""
    matrix, _ = without_visible_label(0)
    answers = Answers.from_dense(matrix, 2)
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    power = np.array([1 / 3] * 3 + [1.0] * 4)
    against = Answers.from_dense(np.array([[0, 0, 0, 1, 1, -1, -1]]), 2)
    asked = DesignMatrix(against, torch.device("cpu"), torch.float64)
    counted = without_label(answers, design, power).posterior(asked)
    plain = without_label(answers, design)
    assert counted[0, 1] > 0.5 > plain.posterior(asked)[0, 1]
    same = without_label(answers, design, np.ones(7)).posterior(design)
    torch.testing.assert_close(same, plain.posterior(design))


def test_copies_in_a_group_count_as_one_source() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=4000)
    said = [np.where(rng.random(4000) < 0.7, truth, rng.integers(3, size=4000)) for _ in range(6)]
    matrix = np.stack([said[0]] * 4 + said[1:], axis=1)
    group = np.array([0, 0, 0, 0, -1, -1, -1, -1, -1])
    power = groups.power(Answers.from_dense(matrix, 3), group)
    np.testing.assert_allclose(power[:4], 0.25, atol=0.02)
    assert (power[4:] == 1).all()


@pytest.mark.parametrize("common", [25, 35])
def test_copies_of_few_tasks_tell_more_than_what_was_said_of_them(common) -> None:
    """Whether any two sources share 30 tasks does not decide whether agreement counts."""
    rng = np.random.default_rng(1)
    matrix = rng.integers(2, size=(60, 4))
    matrix[:, 1] = matrix[:, 0]
    matrix[common:, :2] = -1
    matrix[:common, 2:] = -1
    power = groups.power(Answers.from_dense(matrix, 2), np.array([0, 0, -1, -1]))
    correlation = (15 + common) / (30 + common)
    np.testing.assert_allclose(power, [1 / (1 + correlation)] * 2 + [1, 1], atol=1e-9)


def test_a_group_of_independent_sources_loses_little() -> None:
    data = laws.independent(3, 4000)
    answers = Answers.from_frame(data.answers)
    power = groups.power(answers, np.array([0, 0, 0, -1, -1, -1, -1, -1, -1]))
    assert power.min() > 0.85


@functools.cache
def of_tree() -> DEEMAggregator:
    return DEEMAggregator(groups={"a": [0, 1, 2], "b": [6, 7]}).fit(laws.tree(2, 120).answers)


@given(st.integers(0, 2**32 - 1))
@runs(4)
def test_order_and_names_of_groups_do_not_count(seed) -> None:
    first, answers = of_tree(), laws.tree(2, 120).answers
    mixed = answers.iloc[np.random.default_rng(seed).permutation(len(answers))]
    other = DEEMAggregator(groups={"x": [7, 6], "y": [2, 0, 1]}).fit(mixed)
    pd.testing.assert_frame_equal(
        first.probas_, other.probas_.loc[first.probas_.index], atol=1e-9, check_exact=False
    )


def test_groups_of_columns() -> None:
    data = laws.clique(501, 100)
    wide = data.answers.pivot(index="task", columns="worker", values="label")
    long = DEEMAggregator(groups=CLIQUE).fit(data.answers)
    for predictions in (wide, wide.to_numpy()):
        found = DEEM(groups=CLIQUE).fit(predictions)
        np.testing.assert_allclose(found.probas_, long.probas_.to_numpy(), atol=1e-9)


def test_no_group_and_groups_of_one_change_nothing() -> None:
    data = laws.independent(1, 300)
    plain = DEEMAggregator().fit(data.answers)
    for empty in ({}, {"none": []}):
        found = DEEMAggregator(groups=empty).fit(data.answers)
        pd.testing.assert_frame_equal(found.probas_, plain.probas_)


def test_groups_survive_a_file_and_more_answers(tmp_path) -> None:
    data = laws.clique(502, 200)
    found = DEEMAggregator(groups=CLIQUE).fit(data.answers)
    found.save(tmp_path / "model.deem")
    loaded = DEEMAggregator.load(tmp_path / "model.deem")
    assert loaded.groups == CLIQUE
    pd.testing.assert_series_equal(loaded.predict(data.answers), found.predict(data.answers))
    half = data.answers["task"] < 100
    grown = DEEMAggregator(groups=CLIQUE).partial_fit(data.answers[half])
    grown.partial_fit(data.answers[~half])
    assert accuracy(grown.labels_, data.gold) == pytest.approx(
        accuracy(found.labels_, data.gold), abs=0.02
    )


@pytest.mark.filterwarnings("ignore:groups. 2 workers are not among")
def test_newcomers_of_a_group_are_not_added_alone() -> None:
    data = laws.independent(3, 400)
    answers = data.answers.astype({"worker": str})
    model = DEEMAggregator(groups={"new": ["x", "y"]}).partial_fit(answers)
    few = answers.drop_duplicates("task")[:30].assign(worker="x")
    more = pd.concat([few, few.assign(worker="y")])
    model.partial_fit(more)
    whole = DEEMAggregator(groups=model.groups).fit(pd.concat([answers, more]))
    assert "as the groups say" in model.selection_["why"].str.cat()
    pd.testing.assert_series_equal(model.skills_, whole.skills_, atol=0.01, rtol=0)


def test_groups_may_be_arrays() -> None:
    data = laws.clique(502, 100)
    listed = DEEMAggregator(groups=CLIQUE).partial_fit(data.answers)
    array = DEEMAggregator(groups={"a": np.arange(4)}).partial_fit(data.answers)
    pd.testing.assert_frame_equal(array.probas_, listed.probas_)
    array.set_params(groups={"a": np.arange(4)})
    new = data.answers[:1].assign(task="new")
    assert array.partial_fit(new.astype({"task": object})).labels_.size == listed.labels_.size + 1


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(11),
        [("llama", size) for size in range(11)],
        list(pd.date_range("2026-01-01", periods=11)),
    ],
)
def test_a_file_holds_groups_of_ids_of_any_kind(ids, tmp_path) -> None:
    data = laws.clique(502, 40)
    answers = data.answers.assign(worker=[ids[worker] for worker in data.answers["worker"]])
    found = DEEMAggregator(groups={"followers": ids[:4]}).fit(answers)
    found.save(tmp_path / "model.deem")
    loaded = DEEMAggregator.load(tmp_path / "model.deem")
    assert loaded.groups == {"followers": list(ids[:4])}
    again = DEEMAggregator(**loaded.get_params()).fit(answers)
    pd.testing.assert_frame_equal(again.probas_, found.probas_)


@pytest.mark.parametrize(
    ("given_groups", "message"),
    [
        ([["a", "b"]], "is a dict of lists of workers"),
        (np.array([0, 1]), "is a dict of lists of workers"),
        ({"a": [[0], [1]]}, "2 members of 'a' are no ids of workers"),
        ({"a": "bob"}, "the members of 'a' are 'bob'"),
        ({"a": [0, 1], "b": [1, 2]}, "1 worker is in more than one group: 1"),
    ],
)
def test_groups_that_are_none(given_groups, message) -> None:
    model = DEEMAggregator(groups=given_groups)
    with pytest.raises(ParameterError, match=message):
        model.fit(laws.clique(0, 50).answers)
    assert not hasattr(model, "labels_")


def test_workers_of_groups_who_are_not_there_are_named() -> None:
    model = DEEMAggregator(groups={"a": [0, 1, "gpt-9"]})
    with pytest.warns(DataWarning, match="1 worker is not among the 11 of the answers: 'gpt-9'"):
        model.fit(laws.clique(0, 50).answers)


def test_groups_are_for_the_model_that_is_chosen() -> None:
    with pytest.raises(ParameterError, match="groups is for the model that is chosen"):
        DEEMAggregator(groups=CLIQUE, subtypes=2).fit(laws.clique(0, 50).answers)


def panel(seed: int, repeated: float) -> tuple[np.ndarray, np.ndarray]:
    """Return answers of four sources that follow one opinion and of four others, shape (N, 8), and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=500)

    def said(right: float) -> np.ndarray:
        return np.where(rng.random(len(truth)) < right, truth, 1 - truth)

    opinion = said(0.7)
    family = [
        np.where(rng.random(len(truth)) < repeated, opinion, said(right))
        for right in rng.uniform(0.6, 0.8, 4)
    ]
    return np.stack([*family, *(said(right) for right in rng.uniform(0.6, 0.8, 4))], 1), truth


def right_and_lost(found: DEEM, truth: np.ndarray) -> tuple[float, float]:
    probability = np.asarray(found.probas_)[np.arange(len(truth)), truth]
    return float((found.labels_ == truth).mean()), float(-np.log(probability).mean())


@functools.cache
def of_panel_without_groups(seed: int, repeated: float) -> tuple[float, float]:
    matrix, truth = panel(seed, repeated)
    return right_and_lost(DEEM(n_classes=2).fit(matrix), truth)


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.FindingsWarning")
@pytest.mark.parametrize("named", [[0, 1], [4, 5], [0, 4, 5]])
@pytest.mark.parametrize("repeated", [0.6, 0.95])
def test_naming_the_wrong_sources_costs_little(named: list[int], repeated: float) -> None:
    """Half of a family, two independent sources, or one of the family among two others."""
    before, after = [], []
    for seed in range(5):
        matrix, truth = panel(seed, repeated)
        before.append(of_panel_without_groups(seed, repeated))
        after.append(right_and_lost(DEEM(n_classes=2, groups={"g": named}).fit(matrix), truth))
    plain, found = np.mean(before, axis=0), np.mean(after, axis=0)
    assert found[0] > plain[0] - 0.04, (found, plain)
    assert found[1] < plain[1] + 0.07, (found, plain)


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.FindingsWarning")
@pytest.mark.parametrize("soft", [False, True])
def test_groups_of_a_single_source_say_nothing(soft: bool) -> None:
    answers = panel(0, 0.95)[0]
    if soft:
        answers = np.random.default_rng(0).dirichlet([1, 1, 1], size=(100, 1)).transpose(0, 2, 1)
    alone = {"a": [0], "b": [answers.shape[-1] - 1]} if not soft else {"a": [0]}
    plain, named = DEEM(), DEEM(groups=alone)
    np.testing.assert_array_equal(plain.fit(answers).probas_, named.fit(answers).probas_)


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.FindingsWarning")
@pytest.mark.parametrize("repeated", [0.6, 0.95])
def test_naming_the_right_sources_finds_no_family_among_the_others(repeated: float) -> None:
    for seed in range(5):
        matrix, truth = panel(seed, repeated)
        found = DEEM(n_classes=2, groups={"g": [0, 1, 2, 3]}).fit(matrix)
        assert right_and_lost(found, truth)[0] > of_panel_without_groups(seed, repeated)[0] - 0.02
        assert not found.selection_["why"].str.contains("famil").any()


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.FindingsWarning")
def test_naming_sources_of_ratings_helps_where_it_is_right_and_costs_little_else() -> None:
    """Six steps; four of eight sources share what they are off by."""
    right: dict[str, list[float]] = {"none": [], "true": [], "others": []}
    named = {"none": None, "true": {"g": [0, 1, 2, 3]}, "others": {"g": [4, 5]}}
    for seed in range(2, 4):
        rng = np.random.default_rng(seed)
        truth, off = rng.integers(6, size=400), 0.8 * rng.normal(size=400)
        noise = rng.uniform(0.6, 1.4, 8) * rng.normal(size=(400, 8))
        noise[:, :4] += off[:, None]
        matrix = np.clip(np.round(truth[:, None] + noise), 0, 5).astype(int)
        for name, groups_ in named.items():
            found = DEEM(n_classes=6, ordered=True, groups=groups_).fit(matrix)
            right[name].append(float((found.labels_ == truth).mean()))
    none, true, others = (np.mean(found) for found in right.values())
    assert true > none + 0.01, right
    assert others > none - 0.025, right
