"""DEEM(label_names="own"): sources whose labels mean something within a source only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from examples import runs
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from deem_crowd import DEEM, Answers
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FindingsWarning,
    FormError,
    ParameterError,
    UnsupportedError,
)


def drawn(seed: int, k: int, d: int, p: float, n: int, missing: float = 0.0):
    """Sources that know the class with chance p, each with names of its own: theirs, the common ones, the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    common = np.where(rng.random((n, d)) < p, truth[:, None], rng.integers(k, size=(n, d)))
    common[rng.random((n, d)) < missing] = -1
    common[:, 0] = np.where(common.max(1) < 0, truth, common[:, 0])  # no task without answers
    names = np.stack([rng.permutation(k) for _ in range(d)])
    own = np.where(common < 0, -1, names[np.arange(d), common])
    return own, common, truth, names


def accuracy(labels, truth) -> float:
    """The largest share of tasks right over one-to-one maps from labels to classes."""
    table = pd.crosstab(np.asarray(labels), np.asarray(truth)).to_numpy()
    rows, cols = linear_sum_assignment(table, maximize=True)
    return table[rows, cols].sum() / len(truth)


def same_partition(one, other) -> bool:
    return len(set(zip(one, other, strict=True))) == len(set(one)) == len(set(other))


def test_as_good_as_common_names() -> None:
    own, common, truth, _ = drawn(0, 6, 6, 0.7, 300)
    model = DEEM(n_classes=6, label_names="own").fit(own)
    known = DEEM(n_classes=6).fit(common)
    assert accuracy(model.labels_, truth) >= accuracy(known.labels_, truth) - 0.01
    with pytest.warns(FindingsWarning, match="labels swapped"):
        taken_for_common = DEEM(n_classes=6).fit(own)
    assert accuracy(taken_for_common.labels_, truth) < accuracy(model.labels_, truth)
    assert model.confusion_.shape == (6, 6, 6)
    np.testing.assert_allclose(model.skills_, known.skills_, atol=0.05)


def test_the_map_is_that_of_the_names() -> None:
    own, _, truth, names = drawn(1, 3, 5, 0.85, 150)
    mapping = DEEM(n_classes=3, label_names="own").fit(own, gold=truth).mapping_
    assert mapping.index.names == ["worker", "label"]
    for source in range(5):
        for label in range(3):
            row = mapping.loc[(source, names[source, label])]
            assert row["name"] == label
            assert row["probability"] > 0.6
            assert row["n_tasks"] == (own[:, source] == names[source, label]).sum()


@runs(2)
@given(st.integers(0, 10_000))
def test_renaming_sources_changes_no_partition(seed) -> None:
    own, _, _, _ = drawn(seed, 3, 4, 0.8, 60, missing=0.1)
    rng = np.random.default_rng(seed)
    other = own.copy()
    for source in range(own.shape[1]):
        there = own[:, source] >= 0
        other[there, source] = rng.permutation(3)[own[there, source]]
    one = DEEM(n_classes=3, label_names="own").fit(own)
    two = DEEM(n_classes=3, label_names="own").fit(other)
    assert same_partition(one.labels_, two.labels_)
    np.testing.assert_allclose(one.skills_, two.skills_, atol=1e-6)


def test_sources_with_different_numbers_of_names() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=240)
    noisy = np.where(rng.random((240, 5)) < 0.85, truth[:, None], rng.integers(3, size=(240, 5)))
    noisy[:, 0] = 2 * noisy[:, 0] + rng.integers(2, size=240)  # six names, two a class
    noisy[:, 1] = np.minimum(noisy[:, 1], 1)  # two names
    model = DEEM(n_classes=3, label_names="own").fit(noisy)
    assert model.n_classes_ == 3
    assert accuracy(model.labels_, truth) > 0.9
    names = model.mapping_["name"]
    assert [names[(0, 2 * c)] for c in range(3)] == [names[(0, 2 * c + 1)] for c in range(3)]
    assert len(model.mapping_) == 6 + 2 + 3 * 3


def test_new_tasks_and_files(tmp_path) -> None:
    own, _, truth, _ = drawn(2, 4, 5, 0.8, 160)
    model = DEEM(n_classes=4, label_names="own").fit(own[:120])
    labels, shares = model.predict(own, return_probs=True)
    np.testing.assert_array_equal(labels[:120], model.labels_)
    assert accuracy(labels[120:], truth[120:]) > 0.85
    model.save(tmp_path / "own")
    loaded = DEEM.load(tmp_path / "own")
    np.testing.assert_array_equal(loaded.predict_proba(own), shares)
    pd.testing.assert_frame_equal(loaded.mapping_, model.mapping_)
    with pytest.warns(DataWarning, match="1 answer gives a name that the source did not give"):
        assert loaded.predict(np.array([[9, -1, own[0, 2], -1, -1]]))[0] >= 0
    assert accuracy(model.predict(own, align_to=truth), truth) == accuracy(labels, truth)
    aligned = model.predict(own, align_to=truth)
    assert (aligned == truth).mean() == accuracy(aligned, truth)
    # a matrix of these sources is under their own names, too
    np.testing.assert_array_equal(model.predict(own, align_to=own[120:]), labels)


def test_ids_and_columns() -> None:
    own, _, _, _ = drawn(3, 3, 4, 0.8, 90)
    frame = pd.DataFrame(own, columns=list("abcd"))
    model = DEEM(n_classes=3, label_names="own").fit(frame)
    np.testing.assert_array_equal(model.predict(frame[list("dbca")]), model.labels_)
    assert set(model.mapping_.index.get_level_values("worker")) == set("abcd")
    letters = np.array(["x", "y", "z"])
    long = frame.melt(ignore_index=False, var_name="worker", value_name="label")
    long = long.assign(label=letters[long["label"]]).rename_axis("task").reset_index()
    named = DEEM(n_classes=3, label_names="own").fit(Answers.from_frame(long))
    assert same_partition(named.labels_, model.labels_)
    without_b = Answers.from_frame(long[long["worker"] != "b"])
    kept = named.predict(without_b)
    assert same_partition(kept, model.predict(frame.assign(b=-1)))


def test_gold_numbers_the_classes() -> None:
    own, _, truth, _ = drawn(4, 4, 5, 0.8, 160)
    gold = np.where(np.arange(160) < 40, truth, -1)
    model = DEEM(n_classes=4, label_names="own").fit(own, gold=gold)
    np.testing.assert_array_equal(model.labels_[:40], truth[:40])
    assert (model.labels_ == truth).mean() > 0.9


def test_what_is_refused() -> None:
    own, _, _, _ = drawn(5, 3, 4, 0.8, 60)
    model = DEEM(n_classes=3, label_names="own").fit(own)
    before = model.labels_.copy()
    with pytest.raises(DataError, match="all answers come from one source"):
        model.fit(own[:, :1])
    with pytest.raises(FormError, match="own names need hard labels"):
        model.fit(np.full((5, 3, 4), 1 / 3))
    with pytest.raises(DataError, match="distinct rows of answers"):
        model.fit(np.array([[0, 1], [1, 0], [1, 0]]))
    apart = np.array([[0, 1, -1, -1], [1, 0, -1, -1], [-1, -1, 0, 1], [-1, -1, 1, 1]])
    with pytest.raises(DataError, match="2 parts without a common task"):
        model.fit(apart)
    with pytest.raises(UnsupportedError, match="partial_fit takes answers under common names"):
        model.partial_fit(own)
    with pytest.raises(ParameterError, match="label_names"):
        DEEM(label_names="mine").fit(own)
    np.testing.assert_array_equal(model.labels_, before)
    assert DEEM().fit(np.array([[0, 0, 1], [1, 1, 1], [0, 0, 0]])).mapping_ is None
    with pytest.raises(AttributeError, match="after fit"):
        _ = DEEM().mapping_


def test_classes_that_the_fit_has_numbered_are_no_ratings() -> None:
    rng = np.random.default_rng(0)
    truth, bias = rng.integers(4, size=200), rng.normal(0, 0.4, 6)
    rated = np.rint(truth[:, None] + bias + rng.normal(0, 0.8, (200, 6))).clip(0, 3).astype(int)
    model = DEEM(n_classes=4).fit(rated)
    assert "If they are ratings, fit with ordered=True" in model.summary()
    model.label_names = "own"  # as if it had been fitted so, which takes longer
    said = model.summary().splitlines()[-1]
    assert said.startswith("The answers put the classes in an order: ")
    assert said.endswith(", and the fit uses it. If they have none, fit with ordered=False.")
    model.ordered = True
    with pytest.raises(ParameterError, match=r"ordered=True .*label_names='own'.* Pass gold="):
        model.fit(rated)
