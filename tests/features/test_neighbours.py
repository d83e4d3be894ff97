"""Nearest neighbours: searched once for the same rows, whatever the targets."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.neighbors
from scipy import sparse

from deem_crowd.features import neighbours
from deem_crowd.features.logistic import Scaler


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_a_search_is_remembered_and_says_the_same(form, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    x, other = (form(rng.normal(size=(70, 3)).astype(np.float32)) for _ in range(2))
    scaler = Scaler.of(x, True)

    def said(targets, wanted, number):
        found = neighbours.Neighbours(scaler, scaler(x), targets, number)
        return [found.log_proba(wanted), *found.of_each(wanted, neighbours.NUMBERS)]

    asked = [(rng.dirichlet(np.ones(4), size=70), w, n) for w in (x, other) for n in (5, 40)]
    before = [said(*each) for each in asked]
    searches = []
    search = sklearn.neighbors.NearestNeighbors.kneighbors
    monkeypatch.setattr(
        sklearn.neighbors.NearestNeighbors,
        "kneighbors",
        lambda *args, **kwargs: searches.append(1) or search(*args, **kwargs),
    )
    with neighbours.remembered():
        inside = [said(*each) for each in asked]
    assert len(searches) == 2  # of x and of the other, once each
    for one, two in zip(before, inside, strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)
    said(*asked[0])
    assert len(searches) == 4  # nothing is remembered afterwards
