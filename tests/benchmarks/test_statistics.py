"""Ranks, intervals and tests of the benchmark, against published values and scipy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from deem_crowd_benchmarks.pages import statistics
from deem_crowd_benchmarks.running import runs
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats


def table(values, columns="abcd") -> pd.DataFrame:
    values = np.asarray(values, float)
    index = pd.MultiIndex.from_tuples([("k", str(i)) for i in range(len(values))])
    return pd.DataFrame(values, index=index, columns=list(columns[: values.shape[1]]))


def test_ranks_share_ties_and_put_failures_last() -> None:
    found = statistics.ranks(table([[0.9, 0.9, 0.5, np.nan], [0.1, np.nan, np.nan, 0.2]]))
    assert found.to_numpy().tolist() == [[1.5, 1.5, 3, 4], [2, 3.5, 3.5, 1]]
    seconds = statistics.ranks(table([[0.9, 0.1, np.nan]]), "seconds")
    assert seconds.to_numpy().tolist() == [[2, 1, 3]]
    assert statistics.wins(table([[1, 1, 0], [0, 2, 1]])).to_list() == [1, 2, 0]


def test_critical_difference_of_demsars_example() -> None:
    # JMLR 7 (2006), section 3.2.2: four classifiers on 14 sets, CD = 2.569 · √(4·5 / (6·14)) = 1.25
    rng = np.random.default_rng(0)
    found = statistics.ranking(table(rng.random((14, 4))))
    assert found.critical_difference == pytest.approx(2.569 * np.sqrt(20 / 84), abs=1e-3)
    assert found.n_sets == 14


def test_friedman_is_scipys() -> None:
    values = np.random.default_rng(1).random((9, 4))
    expected = stats.friedmanchisquare(*values.T).pvalue
    assert statistics.ranking(table(values)).p_value == pytest.approx(expected)


def test_groups_of_methods_that_are_not_told_apart() -> None:
    means = pd.Series({"a": 1.0, "b": 1.5, "c": 2.4, "d": 4.0})
    found = statistics.Ranking(means, 10, 0.01, 1.0)
    assert found.groups() == [["a", "b"], ["b", "c"]]
    assert statistics.Ranking(means, 10, 0.01, 3.5).groups() == [["a", "b", "c", "d"]]
    assert statistics.Ranking(means, 10, 0.01, 0.1).groups() == []


def test_methods_that_failed_mostly_are_not_ranked() -> None:
    values = np.random.default_rng(2).random((6, 3))
    values[:4, 2] = np.nan
    values[5, 1] = np.nan
    found = statistics.ranking(table(values))
    assert sorted(found.mean_ranks.index) == ["a", "b"]
    assert found.n_sets == 5


def test_holm_by_hand() -> None:
    found = statistics.holm(pd.Series({"a": 0.01, "b": 0.04, "c": 0.03, "d": np.nan}))
    assert found.drop("d").to_dict() == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert np.isnan(found["d"])


def test_wilcoxon_is_scipys_and_zero_differences_are_no_evidence() -> None:
    values = np.random.default_rng(3).random((12, 3))
    values[:, 2] = values[:, 0]
    found = statistics.wilcoxon(table(values), "a")
    plain = stats.wilcoxon(values[:, 1] - values[:, 0], zero_method="zsplit").pvalue
    assert found["b"] == pytest.approx(min(1, 2 * plain))
    assert found["c"] == 1.0


def row(out: Path, name: str, method: str, hits, digest="d", seed=0, kind="k") -> dict:
    key = f"{name}{method}{digest}{seed}"
    (out / runs.HITS).mkdir(exist_ok=True)
    np.save(out / runs.HITS / f"{key}.npy", np.asarray(hits, np.float32))
    return {"key": key, "kind": kind, "set": name, "method": method, "status": "ok",
            "digest": digest, "seed": seed, "accuracy": float(np.mean(hits))}  # fmt: skip


def test_intervals_cover_the_truth_as_often_as_they_say(tmp_path) -> None:
    rng = np.random.default_rng(0)
    rows = [row(tmp_path, f"s{i}", "m", rng.random(300) < 0.7) for i in range(300)]
    found = statistics.accuracy_intervals(rows, tmp_path)
    covered = np.mean(
        [found["k", f"s{i}", "m"].low <= 0.7 <= found["k", f"s{i}", "m"].high for i in range(300)]
    )
    assert (
        0.91 < covered < 0.98
    )  # four standard errors of 300 draws at 0.95, and what percentiles lack


def test_pairs_make_small_differences_visible(tmp_path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(8):
        one = rng.random(500) < 0.7
        other = one | (rng.random(500) < 0.05)
        rows += [row(tmp_path, f"s{i}", "a", one), row(tmp_path, f"s{i}", "b", other)]
        rows += [row(tmp_path, f"s{i}", "same", one)]
    found = statistics.differences(rows, tmp_path, "a")
    assert found["b"].low > 0
    assert found["b"].value == pytest.approx(0.05 * 0.3, abs=0.006)
    assert found["same"] == (0, 0, 0)


def test_seeds_of_a_method_are_averaged_and_seeds_of_data_follow_each_other(tmp_path) -> None:
    same = [row(tmp_path, "s", "m", [1, 0], "d", s) for s in (0, 1)]
    drawn = [row(tmp_path, "t", "m", [1, 0, 1], f"d{s}", s) for s in (0, 1)]
    found = statistics.accuracy_intervals(same + drawn, tmp_path)
    assert found["k", "s", "m"].value == 0.5
    assert found["k", "t", "m"].value == pytest.approx(2 / 3)


def test_methods_are_compared_on_the_same_draw_of_the_data(tmp_path) -> None:
    """Whatever the order of the rows; and a set of which a method lacks a seed is not one it was scored on."""
    rng = np.random.default_rng(0)
    draws = {f"d{seed}": rng.random(200) < 0.2 + 0.6 * seed for seed in (0, 1)}
    one = [row(tmp_path, "s", "a", draws[f"d{s}"], f"d{s}", s) for s in (0, 1)]
    two = [row(tmp_path, "s", "b", draws[f"d{s}"], f"d{s}", s) for s in (1, 0)]
    assert statistics.differences(one + two, tmp_path, "a")["b"] == (0, 0, 0)
    failed = [{**one[0], "status": "failed"}, one[1], {**two[0], "status": "failed"}, two[1]]
    assert statistics.differences(failed, tmp_path, "a") == {}
    assert np.isnan(
        statistics.per_set([{**one[0], "accuracy": np.nan}, one[1]]).loc[("k", "s"), "a"]
    )


def test_nothing_depends_on_the_order_of_sets_and_methods(tmp_path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        row(tmp_path, f"s{i}", method, rng.random(50 + i) < 0.7, f"d{i}")
        for i in range(6)
        for method in "abc"
    ]
    turned = rows[::-1]
    assert statistics.differences(rows, tmp_path, "a") == statistics.differences(
        turned, tmp_path, "a"
    )
    intervals, others = (statistics.accuracy_intervals(r, tmp_path) for r in (rows, turned))
    assert intervals == others
    table, other = (statistics.per_set(r) for r in (rows, turned))
    same = statistics.wilcoxon(other, "a")
    assert statistics.wilcoxon(table, "a").to_dict() == pytest.approx(same.to_dict())


@given(st.floats(0.3, 2.5), st.floats(1e-6, 1.0))
def test_slope_of_a_power(power, scale) -> None:
    n = np.array([1e4, 1e5, 1e6])
    assert statistics.slope(n, scale * n**power) == pytest.approx(power, abs=1e-6)
