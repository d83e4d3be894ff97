"""Laws: what they draw is what they say, and hangs on the seed alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from deem_crowd_benchmarks.sets import kinds, laws
from deem_crowd_benchmarks.sets.ensembles import out_of_fold
from deem_crowd_benchmarks.sets.label_set import LabelSet
from deem_crowd_benchmarks.sets.label_sets import sources

from deem_crowd.exceptions import ParameterError


@pytest.mark.parametrize("name", list(laws.LAWS))
def test_a_law_is_drawn_from_its_seed_alone(name) -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, again, other = (laws.LAWS[name](seed) for seed in (0, 0, 1))
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert one.name == name
    assert one.digest == again.digest != other.digest
    assert not one.answers.duplicated(["task", "worker"]).any()
    assert set(one.answers["task"]) <= set(one.gold.index)
    assert set(one.answers["label"]) <= set(range(one.gold.max() + 1))
    assert "." in laws.LAWS[name].__doc__


def accuracies(data: LabelSet) -> pd.Series:
    right = data.answers["label"].to_numpy() == data.gold.loc[data.answers["task"]].to_numpy()
    return pd.Series(right).groupby(data.answers["worker"].to_numpy()).mean()


def wide(data: LabelSet) -> np.ndarray:
    return data.answers.pivot(index="task", columns="worker", values="label").to_numpy()


def test_copies_repeat_one_another_and_the_others_do_not() -> None:
    data = laws.copies(0, 20_000)
    assert accuracies(data).to_numpy() == pytest.approx([0.5] * 4 + [0.65] * 5, abs=0.015)
    table = wide(data)
    # both repeat with probability 0.95² , else agree as two answers of accuracy 0.5 do: 0.25 + 2 · 0.25²
    chance = 0.25 + 2 * 0.25**2
    expected = 0.95**2 + (1 - 0.95**2) * chance
    assert (table[:, 0] == table[:, 1]).mean() == pytest.approx(expected, abs=0.01)
    assert (table[:, 7] == table[:, 8]).mean() == pytest.approx(0.65**2 + 2 * 0.175**2, abs=0.015)


def test_independent_sources_are_independent_given_the_class() -> None:
    data = laws.independent(0, 30_000)
    table, truth = wide(data), data.gold.to_numpy()
    for c in range(3):
        right = table[truth == c] == c
        excess = np.corrcoef(right.T) - np.eye(9)
        assert np.abs(excess).max() < 0.05


def test_a_blind_spot_is_shared() -> None:
    data = laws.blind_spots(0, 20_000)
    table, truth = wide(data), data.gold.to_numpy()
    together = (table[:, 0] == table[:, 1]) & (table[:, 0] != truth)
    assert together.mean() == pytest.approx(0.4 * 0.9**2, abs=0.03)
    apart = (table[:, 6] == table[:, 7]) & (table[:, 6] != truth)
    assert apart.mean() < 0.1


def test_the_tail_of_activity_is_heavy() -> None:
    counts = laws.heavy_tail(0).answers["worker"].value_counts()
    assert counts.iloc[:30].sum() > 0.5 * counts.sum()
    even = laws.many_workers(0).answers["worker"].value_counts()
    assert even.iloc[: len(even) // 10].sum() < 0.25 * even.sum()


def test_clusterings_agree_but_for_names() -> None:
    table, truth = wide(laws.clusterings(0)), laws.clusterings(0).gold.to_numpy()
    for column in table.T:
        counts = pd.crosstab(truth, column).to_numpy()
        assert sorted(counts.argmax(1)) == [0, 1, 2]
        assert counts.max(1).sum() / len(truth) > 0.55
    shares = (table == truth[:, None]).mean(0)
    assert shares.min() < 0.4


@pytest.mark.parametrize(
    ("name", "low", "high"), [("adversaries", 0.15, 0.85), ("spammers", 0.5, 0.85)]
)
def test_two_kinds_of_workers(name, low, high) -> None:
    found = accuracies(laws.LAWS[name](0, 20_000))
    near = np.minimum(abs(found - low), abs(found - high))
    assert near.max() < 0.03
    assert (abs(found - low) < 0.03).any()
    assert (abs(found - high) < 0.03).any()


def test_prior_of_the_imbalanced_law() -> None:
    shares = laws.imbalance(0, 50_000).gold.value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx({0: 0.94, 1: 0.04, 2: 0.02}, abs=0.005)


def test_laws_of_other_sizes_and_kinds() -> None:
    (small,) = sources("law:clique@50")
    assert small.name == "clique, 50 tasks"
    drawn = small.load(3)
    pd.testing.assert_frame_equal(drawn.answers, laws.clique(3, 50).answers)
    assert [one.name for one in sources("law:weak")] == list(kinds.WEAK)
    assert {one.load(0).gold.size for one in sources("law:judges@40")} == {40}
    for wrong in ("law:clique@many", "law:clique@0"):
        with pytest.raises(ParameterError, match="is no number of tasks"):
            sources(wrong)


def test_out_of_fold_answers() -> None:
    data, soft = (out_of_fold("wine", 0, soft=s) for s in (False, True))
    assert data.answers["worker"].nunique() >= 12
    assert len(data.answers) == data.answers["worker"].nunique() * len(data.gold)
    by_worker = accuracies(data)
    assert 0.2 < by_worker["chance"] < 0.55
    assert by_worker.drop("chance").min() > 0.6
    columns = soft.soft.columns[2:]
    assert list(columns) == sorted(data.gold.unique())
    np.testing.assert_allclose(soft.soft[columns].sum(axis=1), 1)
    best = columns[soft.soft[columns].to_numpy().argmax(1)]
    assert (best == soft.answers["label"]).all()
    assert out_of_fold("wine", 0).digest == data.digest != out_of_fold("wine", 1).digest
    with pytest.raises(ParameterError, match="no data set is called 'iris'"):
        out_of_fold("iris")
