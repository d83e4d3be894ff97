"""Several models that each answered several times are found, and count as the few that they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from deem_crowd_benchmarks.sets import kinds

from deem_crowd import DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.selection import pairs
from deem_crowd.selection.pairs import Pairs
from deem_crowd.selection.shared_errors import exchangeable, families

Numbers = npt.NDArray[np.float64]
SKILL = np.repeat([0.75, 0.6, 0.45], [3, 4, 3])
FAMILY = np.repeat([0, 1, 2], [3, 4, 3])

pytestmark = pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.FindingsWarning")


def _agreement(skill: Numbers, family: npt.NDArray[np.int64], shared: float = 0.5) -> Numbers:
    """Return λ_i λ_j, and within families as much more as ``shared`` of what it could be, shape (n, n)."""
    product = np.outer(skill, skill)
    same = (family[:, None] == family) & (family >= 0)
    return np.where(same, product + shared * (1 - product), product)


def _pairs_of(agreement: Numbers, n_tasks: int = 500, seed: int | None = None) -> Pairs:
    """Return pairs that agree so often beyond chance, with four classes; a seed draws the agreement of each pair."""
    n = len(agreement)
    agreed = 0.25 + 0.75 * agreement
    if seed is not None:
        drawn = np.random.default_rng(seed).binomial(n_tasks, np.clip(agreed, 0, 1)) / n_tasks
        agreed = np.triu(drawn, 1) + np.triu(drawn, 1).T
    return Pairs(np.arange(n), np.full((n, n), float(n_tasks)), agreed, np.full((n, n), 0.25))


def test_distances_are_mean_squares_over_the_partners_that_both_share() -> None:
    part = _pairs_of(_agreement(SKILL, FAMILY), seed=0)
    common = part.common.copy()
    common[0, 5] = common[5, 0] = 10.0  # too few tasks
    part = Pairs(part.sources, common, part.agreed, part.chance)
    r, s = part.beyond, part.standard_error()
    found = exchangeable.distances(part)
    for i, j in [(0, 1), (0, 4), (5, 6), (2, 9)]:
        others = [
            o for o in range(len(r)) if o not in (i, j) and {o, i} != {0, 5} and {o, j} != {0, 5}
        ]
        by_hand = [(r[i, o] - r[j, o]) ** 2 / (s[i, o] ** 2 + s[j, o] ** 2) for o in others]
        assert found[i, j] == pytest.approx(np.mean(by_hand))
    np.testing.assert_allclose(found, found.T)


@pytest.mark.parametrize("seed", range(5))
def test_families_of_equals_are_found_from_pairs(seed: int) -> None:
    counted = _pairs_of(_agreement(SKILL, FAMILY), 2000, seed)
    found = exchangeable.find(counted, 12)
    assert found is not None
    assert found.tolist() == [*FAMILY, -1, -1]
    order = np.random.default_rng(seed).permutation(len(FAMILY))
    part = np.ix_(order, order)
    moved = Pairs(
        np.arange(len(order)), counted.common[part], counted.agreed[part], counted.chance[part]
    )
    other = exchangeable.find(moved, len(order))
    assert other is not None
    np.testing.assert_array_equal(other[:, None] == other, FAMILY[order][:, None] == FAMILY[order])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("skill", [np.linspace(0.3, 0.8, 10), SKILL], ids=["spread", "three tiers"])
def test_independent_sources_are_no_families_whatever_their_skills(
    seed: int, skill: Numbers
) -> None:
    single = np.full(len(skill), -1)
    assert exchangeable.find(_pairs_of(_agreement(skill, single), seed=seed), len(skill)) is None


@pytest.mark.parametrize("seed", range(5))
def test_sources_that_share_errors_but_not_skills_are_left_to_other_checks(seed: int) -> None:
    unlike = np.concatenate([np.linspace(0.5, 0.9, 5), np.linspace(0.3, 0.7, 5)])
    family = np.repeat([0, 1], 5)
    assert exchangeable.find(_pairs_of(_agreement(unlike, family), 2000, seed), 10) is None


def test_one_family_alone_is_left_to_other_checks() -> None:
    skill = np.append(np.full(5, 0.55), [0.75, 0.35, 0.65, 0.45, 0.6])
    family = np.repeat([0, -1], 5)
    assert exchangeable.find(_pairs_of(_agreement(skill, family), 2000), 10) is None


def test_families_that_are_parts_of_a_larger_one_are_left_to_other_checks() -> None:
    skill = np.array([0.3, 0.3, 0.3, 0.4, 0.35, 0.7, 0.7, 0.7, 0.6, 0.6])
    followers = np.repeat(
        [0, 1, 2], [5, 3, 2]
    )  # of whom the fourth and the fifth follow more closely
    counted = _pairs_of(_agreement(skill, followers), 2000)
    assert exchangeable.find(counted, 10) is None
    alike = _pairs_of(_agreement(np.where(followers == 0, 0.3, skill), followers), 2000)
    assert exchangeable.find(alike, 10) is not None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [3, 4])
def test_workers_who_are_worse_than_chance_are_no_family(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=500)
    said = []
    for right in [0.8] * 5 + [0.1] * 5 + [0.6]:
        wrong = (truth + rng.integers(1, k, 500)) % k
        said.append(np.where(rng.random(500) < right, truth, wrong))
    answers = Answers.from_dense(np.stack(said, 1), k)
    counted, _ = pairs.of_most_active(answers)
    assert exchangeable.find(counted, len(said)) is None


@pytest.mark.parametrize("seed", range(4))
def test_grades_of_judges_who_find_the_same_wrong_answer_tempting_are_no_families(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=1000)
    bait = (truth + rng.integers(1, 4, 1000)) % 4
    trap = rng.random(1000) < 0.3
    said = []
    for right, tempted in [(0.9, 0.3), (0.75, 0.45), (0.6, 0.6)]:
        for _ in range(4):
            wrong = (truth + rng.integers(1, 4, 1000)) % 4
            free = np.where(rng.random(1000) < right, truth, wrong)
            said.append(np.where(trap & (rng.random(1000) < tempted), bait, free))
    answers = Answers.from_dense(np.stack(said, 1), 4)
    counted, _ = pairs.of_most_active(answers)
    assert exchangeable.find(counted, len(said)) is None


def test_two_families_without_anybody_else_are_none() -> None:
    family = np.repeat([0, 1], 4)
    counted = _pairs_of(_agreement(np.repeat([0.7, 0.4], 4), family))
    assert exchangeable.find(counted, 8) is None


@pytest.mark.parametrize("n", [2, 3, exchangeable.MOST_SOURCES + 1])
def test_too_few_and_too_many_sources_are_not_asked(n: int) -> None:
    assert exchangeable.find(_pairs_of(np.full((n, n), 0.4)), n) is None


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_models_that_answer_several_times_count_as_if_they_had_been_named(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = kinds.repeated(seed)
    truth = drawn.gold.to_numpy()

    def fitted(**settings: object) -> DEEMAggregator:
        return DEEMAggregator(**settings).fit(drawn.answers)

    def scores(model: DEEMAggregator) -> tuple[float, float]:
        """Return accuracy and log-loss."""
        proba = model.probas_.sort_index().to_numpy()
        told = proba[np.arange(len(truth)), truth]
        return float((proba.argmax(1) == truth).mean()), float(-np.log(told).mean())

    n_workers = drawn.answers["worker"].nunique()
    named = {f"model {m}": list(range(6 * m, 6 * m + 6)) for m in range(n_workers // 6)}
    agg = fitted()
    assert agg.selection_["why"].str.contains("cannot be told apart").any()
    by_default, lost = scores(agg)
    assert by_default == pytest.approx(scores(fitted(groups=named))[0], abs=0.005)
    monkeypatch.setattr(exchangeable, "find", lambda *_: None)
    before, lost_before = scores(fitted())  # takes six answers of one model for six judges
    assert by_default >= before
    assert lost < lost_before - 0.05


@pytest.mark.parametrize(
    "law", [kinds.strong_few, kinds.hard_items, kinds.tempting, kinds.few_judges]
)
def test_judges_of_their_own_are_no_families(law, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    find = exchangeable.find
    monkeypatch.setattr(exchangeable, "find", lambda *args: found.append(find(*args)) or found[-1])
    for seed in range(3):
        DEEMAggregator().fit(law(seed).answers)
    assert all(one is None for one in found)


def test_many_families_are_described_with_their_sizes() -> None:
    assert families.counted_sizes(np.array([0, 0, 1, 1, 1, -1])) == ("2 families (of 3, 2)", True)
    assert "2 families (of 2, 2)" in exchangeable.described(np.array([0, 0, 1, 1, -1]))
