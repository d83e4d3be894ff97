"""Criteria of what to ask, against loops over all outcomes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deem_crowd.decide import criteria, shortlist
from deem_crowd.model.worker_tables import FullTables


@st.composite
def beliefs(draw, k=None):
    k = draw(st.integers(2, 5)) if k is None else k
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    posterior = rng.dirichlet(np.full(k, draw(st.sampled_from([0.1, 1.0, 10.0]))), size=6)
    table = rng.dirichlet(np.ones(k), size=k).T  # columns sum to 1: p(answer | label)
    return posterior, table


def h(p):
    return -sum(x * math.log(x) for x in p if x > 0)


@given(beliefs())
def test_uncertainty_by_brute_force(case) -> None:
    posterior, _ = case
    for row, least, gap, nats in zip(
        posterior,
        criteria.least_confidence(posterior),
        criteria.margin(posterior),
        criteria.entropy(posterior),
        strict=True,
    ):
        first, second = sorted(row, reverse=True)[:2]
        assert least == pytest.approx(1 - first, abs=1e-12)
        assert gap == pytest.approx(1 - (first - second), abs=1e-12)
        assert nats == pytest.approx(h(row), abs=1e-12)


@given(st.permutations(range(1, 50)))
def test_two_classes_are_ranked_alike_by_all_three(order) -> None:
    p = 0.5 + np.array(order) / 100
    posterior = np.column_stack([p, 1 - p])
    for criterion in criteria.UNCERTAINTY.values():
        assert np.argsort(-criterion(posterior)).tolist() == np.argsort(p).tolist()


@given(beliefs())
def test_value_by_enumerating_the_next_answer(case) -> None:
    posterior, table = case
    gains = criteria.expected_error_reduction(posterior, table)
    bits = criteria.expected_information(posterior, table)
    for p, gain, information in zip(posterior, gains, bits, strict=True):
        right, left = 0.0, 0.0
        for a in range(len(table)):
            chance = sum(p[y] * table[a, y] for y in range(len(p)))
            after = [p[y] * table[a, y] / chance for y in range(len(p))]
            right += chance * max(after)
            left += chance * h(after)
        assert gain == pytest.approx(right - max(p), abs=1e-12)
        assert information == pytest.approx(h(p) - left, abs=1e-12)


@pytest.mark.parametrize("name", criteria.VALUE)
def test_many_tables_are_weighed_as_each_is(name, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    posterior = rng.dirichlet(np.ones(20), size=9)
    tables = rng.dirichlet(np.ones(20), size=(7, 20)).swapaxes(1, 2)
    monkeypatch.setattr(criteria, "_CACHED", 3 * posterior.size)  # three, three and one
    each = [criteria.VALUE[name](posterior, table) for table in tables]
    found = criteria.of_pairs(name, posterior, tables)
    assert found == pytest.approx(np.column_stack(each), abs=1e-14)


def test_of_few_classes_the_tables_of_a_few_workers_are_read_at_once(monkeypatch) -> None:
    class AFew(FullTables):
        def of(self, workers):
            assert len(workers) <= 2
            return super().of(workers)

    monkeypatch.setattr(shortlist, "_CELLS", 20, raising=False)
    rng = np.random.default_rng(1)
    posterior, full = rng.dirichlet(np.ones(3), size=9), rng.dirichlet(np.ones(3), size=(7, 3))
    name, asked = "expected_information", np.array([5, 0, 1, 6, 3])
    found = shortlist.of_workers(name, posterior, AFew(full), asked)
    assert found == pytest.approx(criteria.of_pairs(name, posterior, full[asked]), abs=1e-14)


@pytest.mark.parametrize("name", criteria.VALUE)
@pytest.mark.parametrize("even", [True, False])
def test_a_shortlist_of_labels_promises_no_more_than_all_of_them(name, even, monkeypatch) -> None:
    """And as much, where answers that are not on the list say nothing about the labels that are."""
    monkeypatch.setattr(shortlist, "MANY", 8)
    rng = np.random.default_rng(1)
    posterior = np.zeros((30, 10))
    posterior[:, [1, 2, 4, 5, 7, 9]] = rng.dirichlet(np.ones(6), size=30)
    table = rng.dirichlet(np.ones(10), size=10).T + 2 * np.eye(10)
    if even:
        table[[0, 3, 6, 8]] = 0.2
        table[[1, 2, 4, 5, 7, 9]] *= 0.2 / table[[1, 2, 4, 5, 7, 9]].sum(axis=0)
    table /= table.sum(axis=0)
    exact = criteria.VALUE[name](posterior, table)
    found = shortlist.of_table(name, posterior, table)
    assert (found <= exact + 1e-12).all()
    assert found.max() > 0
    if even:
        assert found == pytest.approx(exact, abs=1e-12)
    by_worker = shortlist.of_workers(name, posterior, FullTables(table[None]), np.array([0]))
    assert by_worker[:, 0] == pytest.approx(found, abs=1e-12)


@given(beliefs())
def test_bounds_of_value(case) -> None:
    posterior, table = case
    k = posterior.shape[1]
    assert (
        criteria.expected_information(posterior, table) <= criteria.entropy(posterior) + 1e-12
    ).all()
    assert (
        criteria.expected_error_reduction(posterior, table)
        <= criteria.least_confidence(posterior) + 1e-12
    ).all()
    perfect, useless = np.eye(k), np.full((k, k), 1 / k)
    assert criteria.expected_information(posterior, perfect) == pytest.approx(
        criteria.entropy(posterior), abs=1e-12
    )
    assert criteria.expected_error_reduction(posterior, perfect) == pytest.approx(
        criteria.least_confidence(posterior), abs=1e-12
    )
    assert criteria.expected_information(posterior, useless) == pytest.approx(0, abs=1e-12)


def test_certain_rows_have_no_uncertainty() -> None:
    sure = np.eye(3)
    for criterion in criteria.UNCERTAINTY.values():
        assert criterion(sure).tolist() == [0, 0, 0]
    assert criteria.entropy(np.full((1, 4), 0.25)) == pytest.approx(math.log(4))


@given(beliefs())
def test_an_answer_that_cannot_change_a_label_gains_exactly_nothing(case) -> None:
    """Sums of products that are equal in theory differ by rounding, which is no gain to be listed."""
    posterior, table = case
    best = posterior.argmax(axis=1)
    joint = posterior[:, :, None] * table.T  # of label and answer
    firm = (joint.argmax(axis=1) == best[:, None]).all(axis=1)
    gains = criteria.expected_error_reduction(posterior, table)
    assert (gains[firm] == 0).all()
    assert (gains[~firm] >= 0).all()
