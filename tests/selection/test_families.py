"""Sources that share errors are found where a table a worker has followed them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from deem_crowd_benchmarks.sets import kinds, laws
from deem_crowd_benchmarks.sets.label_set import LabelSet

from deem_crowd import DEEMAggregator
from deem_crowd.selection import pairs
from deem_crowd.selection.pairs import Pairs
from deem_crowd.selection.shared_errors import families

Numbers = npt.NDArray[np.float64]


def _judged(
    rng: np.random.Generator, truth: npt.NDArray[np.int64], right: float, k: int
) -> npt.NDArray[np.int64]:
    wrong = (truth + rng.integers(1, k, len(truth))) % k
    return np.where(rng.random(len(truth)) < right, truth, wrong)


def _panel(
    seed: int, k: int, n_tasks: int, copies: int, others: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return answers, shape (copies + others, N), of which the first repeat one model, and what is true."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n_tasks)
    model = _judged(rng, truth, 0.68, k)
    said = [
        np.where(rng.random(n_tasks) < 0.85, model, _judged(rng, truth, 0.68, k))
        for _ in range(copies)
    ]
    said += [_judged(rng, truth, right, k) for right in np.linspace(0.62, 0.78, others)]
    return np.array(said), truth


def _frame(said: npt.NDArray[np.int64], names: list[str] | None = None) -> pd.DataFrame:
    worker, task = np.indices(said.shape)
    labels = said.ravel() if names is None else np.array(names)[said.ravel()]
    return pd.DataFrame(
        {"task": task.ravel(), "worker": [f"w{i}" for i in worker.ravel()], "label": labels}
    )


def _right(agg: DEEMAggregator, truth: npt.NDArray[np.int64]) -> float:
    return float((agg.labels_.sort_index().to_numpy() == truth).mean())


def _pairs_of(agreement: Numbers, n_tasks: int = 500) -> Pairs:
    """Return pairs that agree beyond chance as said, with four classes."""
    n = len(agreement)
    chance = np.full((n, n), 0.25)
    return Pairs(np.arange(n), np.full((n, n), float(n_tasks)), 0.25 + 0.75 * agreement, chance)


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.FindingsWarning")
@pytest.mark.parametrize(
    ("k", "copies", "others"), [(2, 3, 5), (4, 2, 3), (4, 3, 5), (10, 3, 4), (10, 2, 3)]
)
def test_copies_of_a_good_model_do_not_outvote_the_others(k: int, copies: int, others: int) -> None:
    said, truth = _panel(1, k, 600, copies, others)
    agg = DEEMAggregator().fit(_frame(said))
    once = DEEMAggregator().fit(_frame(said[copies - 1 :]))
    plain = DEEMAggregator(auto_hyperparameters=False).fit(_frame(said))
    assert _right(agg, truth) > _right(once, truth) - 0.02  # as if there were one of them
    assert _right(agg, truth) > _right(plain, truth) + 0.05  # which follows them
    assert agg.selection_["why"].str.contains("one family|2 families").any()


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.FindingsWarning")
def test_families_do_not_depend_on_the_order_of_workers_or_the_names_of_classes() -> None:
    said, _ = _panel(3, 4, 400, 3, 5)
    order = np.random.default_rng(0).permutation(len(said))
    first = DEEMAggregator().fit(_frame(said))
    moved = _frame(said[order], names=["b", "d", "a", "c"])
    moved["worker"] = [f"w{order[int(name[1:])]}" for name in moved["worker"]]
    other = DEEMAggregator().fit(moved.sample(frac=1, random_state=1))
    assert first.selection_["why"].str.contains("of 3").any()
    renamed = other.probas_[["b", "d", "a", "c"]].sort_index().to_numpy()
    np.testing.assert_allclose(first.probas_.sort_index().to_numpy(), renamed, atol=1e-8)


def test_a_family_is_found_from_pairs_that_one_factor_and_a_block_explain() -> None:
    true = np.array([0.6, 0.6, 0.6, 0.45, 0.7, 0.55, 0.65])
    agreement = np.outer(true, true)
    agreement[:3, :3] += 0.7 * (1 - agreement[:3, :3])
    counted = _pairs_of(agreement)
    followed = np.array([0.95, 0.95, 0.95, 0.3, 0.45, 0.35, 0.4])
    found = families.find(counted, followed)
    assert found is not None
    assert found.tolist() == [0, 0, 0, -1, -1, -1, -1]
    known = {tuple(one.family.tolist()): one for one in families.partitions(counted)}
    np.testing.assert_allclose(known[0, 0, 0, -1, -1, -1, -1].skill, true, atol=0.01)
    assert families.find(counted, true) is None  # a model with these skills has followed nobody


def test_a_family_that_is_better_than_all_others_is_left_alone() -> None:
    true = np.array([0.9, 0.9, 0.9, 0.45, 0.5, 0.55, 0.5])
    agreement = np.outer(true, true)
    agreement[:3, :3] += 0.5 * (1 - agreement[:3, :3])
    flattered = np.array([0.99, 0.99, 0.99, 0.3, 0.3, 0.3, 0.3])
    assert families.find(_pairs_of(agreement), flattered) is None


def test_workers_without_pairs_are_in_no_family_and_keep_their_places() -> None:
    true = np.array([0.6, 0.6, 0.6, 0.45, 0.7, 0.55, 0.65])
    agreement = np.outer(true, true)
    agreement[:3, :3] += 0.7 * (1 - agreement[:3, :3])
    counted = _pairs_of(agreement)
    among = Pairs(np.array([1, 2, 4, 5, 7, 8, 9]), counted.common, counted.agreed, counted.chance)
    skills = np.full(11, 0.5)
    skills[among.sources] = [0.95, 0.95, 0.95, 0.3, 0.45, 0.35, 0.4]
    found = families.find(among, skills)
    assert found is not None
    assert np.flatnonzero(found == 0).tolist() == [1, 2, 4]
    assert (found >= 0).sum() == 3


@pytest.mark.parametrize("n", [2, 3, families.MOST_SOURCES + 1])
def test_too_few_and_too_many_sources_are_not_asked(n: int) -> None:
    assert families.find(_pairs_of(np.full((n, n), 0.4)), np.linspace(0.1, 0.9, n)) is None


def test_sources_without_enough_tasks_in_common_are_not_asked() -> None:
    counted = _pairs_of(np.full((6, 6), 0.4), n_tasks=pairs.MIN_COMMON - 1)
    assert families.find(counted, np.linspace(0.1, 0.9, 6)) is None


@pytest.mark.parametrize("law", [laws.independent, kinds.hard_items, kinds.tempting])
def test_independent_sources_and_hard_items_are_no_families(
    law: Callable[[int, int], LabelSet],
) -> None:
    for seed in range(5):
        data = law(seed, 300)
        agg = DEEMAggregator().fit(data.answers)
        assert not agg.selection_["why"].str.contains("famil").any(), seed


@pytest.mark.parametrize("others", [5, 6])
def test_sources_that_confuse_different_classes_are_no_families(others: int) -> None:
    """They err independently, but their skills are no single factor, so that pairs alone suggest one."""
    rng = np.random.default_rng(0)
    truth, blind = rng.integers(4, size=2000), [(0, 1)] * 2 + [(2, 3)] * others
    said = []
    for first, second in blind:
        heard = np.where(rng.random(len(truth)) < 0.8, truth, rng.integers(4, size=len(truth)))
        mixed = np.isin(truth, [first, second]) & np.isin(heard, [first, second])
        said.append(np.where(mixed, np.where(rng.random(len(truth)) < 0.8, first, second), heard))
    agg = DEEMAggregator().fit(_frame(np.array(said)))
    assert not agg.selection_["why"].str.contains("famil").any()
    assert _right(agg, truth) > 0.9


def test_what_is_left_over_is_counted_by_hand() -> None:
    """Three sources that are right in 80 % of two classes agree in 68 %; they do in 74 % of 400 tasks."""
    table = np.array([[0.8, 0.2], [0.2, 0.8]])
    counts = np.repeat(200 * table[None], 3, axis=0)
    counted = Pairs(
        np.arange(3), np.full((3, 3), 400.0), np.full((3, 3), 0.74), np.full((3, 3), 0.5)
    )
    even = np.array([0.5, 0.5])
    one = 0.06 / np.sqrt(0.68 * 0.32 / 400)
    single = families.left_over(counted, np.full(3, -1), counts, even)
    assert single == pytest.approx(np.sqrt(3) * one, rel=1e-3)
    pair = families.left_over(counted, np.array([0, 0, -1]), counts, even)
    assert pair == pytest.approx(np.sqrt(2) * one, rel=1e-3)
    assert families.left_over(counted, np.zeros(3, dtype=np.int64), counts, even) == 0


def test_families_count_as_groups_that_are_named() -> None:
    said, _ = _panel(1, 4, 600, 3, 5)
    frame = _frame(said)
    with pytest.warns(match=r"Workers w0, w1 and w2 repeat one another.* Their answers count less"):
        agg = DEEMAggregator().fit(frame)
    named = DEEMAggregator(groups={"model": ["w0", "w1", "w2"]}).fit(frame)
    np.testing.assert_allclose(agg.probas_, named.probas_, atol=1e-9)
