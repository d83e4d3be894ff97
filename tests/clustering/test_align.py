"""Maps between the names of sources: one-to-one, and indifferent to how each source calls its classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unnamed_sources import accuracy, renamed, sources

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.clustering import align_sources
from deem_crowd.exceptions import DataError, ParameterError


def test_two_swapped_buttons() -> None:
    frame = pd.DataFrame(
        [(t, w, label) for t in range(6) for w, label in (("a", "xy"[t % 2]), ("b", "yx"[t % 2]))],
        columns=["task", "worker", "label"],
    )
    aligned = align_sources(frame, reference="a")
    assert aligned.mapping.loc[("b", "y"), "name"] == "x"
    assert aligned.mapping.loc[("b", "x"), "name"] == "y"
    assert (aligned.mapping["probability"] == 1).all()
    assert (aligned.mapping["n_tasks"] == 3).all()
    assert (aligned.answers.to_frame().groupby("task")["label"].nunique() == 1).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_renaming_any_source_changes_no_partition(seed) -> None:
    matrix, _, _ = sources(seed, 4, 5, 0.6, n=120, missing=0.2)
    reference = 2
    other = renamed(matrix, seed)
    other[:, reference] = matrix[:, reference]
    one, two = align_sources(matrix, reference), align_sources(other, reference)
    np.testing.assert_array_equal(one.answers.hard_label, two.answers.hard_label)


@pytest.mark.parametrize(("k", "d", "p"), [(10, 10, 0.7), (10, 10, 0.5), (5, 10, 0.5)])
def test_matched_names_do_as_well_as_common_ones(k, d, p) -> None:
    private, common, truth = sources(1, k, d, p, n=1500)
    with_common = accuracy(DEEM(n_classes=k).fit(common).predict(common), truth)
    aligned = align_sources(private).answers
    assert accuracy(DEEM(n_classes=k).fit(aligned).predict(aligned), truth) > with_common - 0.005


def test_sources_of_different_size() -> None:
    fine = np.arange(12) % 4
    matrix = np.column_stack([fine // 2, fine, fine // 2])
    aligned = align_sources(matrix, reference=0)
    names = aligned.mapping["name"]
    assert [names[(1, label)] for label in range(4)] in ([0, 0, 1, 1],)


def test_what_cannot_be_aligned_is_said() -> None:
    with pytest.raises(DataError, match="all answers come from one source"):
        align_sources(np.array([[0], [1]]))
    apart = np.array([[0, 1, -1, -1], [1, 0, -1, -1], [-1, -1, 0, 1], [-1, -1, 1, 1]])
    with pytest.raises(DataError, match="2 parts without a common task"):
        align_sources(apart)
    with pytest.raises(ParameterError, match=r"reference='zoe' is no source"):
        align_sources(pd.DataFrame({"task": [1, 1], "worker": ["a", "b"], "label": [0, 1]}), "zoe")
    with pytest.raises(DataError, match="no answers"):
        align_sources(pd.DataFrame({"task": [], "worker": [], "label": []}))


def test_aligned_answers_have_the_classes_of_the_reference() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(3, size=80)
    words = ["cat dog fox kitten", "chat chien renard", "Katze Hund Fuchs"]
    own = [np.array(text.split()) for text in words]
    said = {f"s{i}": names[truth] for i, names in enumerate(own)}
    said["s0"] = np.where(
        rng.random(80) < 0.2, np.where(truth == 0, "kitten", said["s0"]), said["s0"]
    )
    frame = pd.DataFrame(said).rename_axis("image")
    aligned = align_sources(frame, reference="s1")
    assert aligned.answers.classes.tolist() == sorted(own[1])
    rows = aligned.answers.to_frame()
    for (worker, task), label in rows.set_index(["worker", "task"])["label"].items():
        assert label == aligned.mapping.loc[(worker, frame.loc[task, worker]), "name"]
    assert DEEMAggregator().fit(aligned.answers).probas_.shape == (80, 3)


def test_numbers_stay_the_classes_that_they_name() -> None:
    matrix = np.array([[0, 0, 3], [2, 2, 1], [0, 0, 3], [2, 2, 0], [2, 2, 4], [0, 0, 3]])
    aligned = align_sources(matrix, reference=0)
    assert aligned.answers.classes.tolist() == [0, 1, 2]
    assert set(aligned.mapping["name"]) == {0, 2}
    assert DEEM(n_classes=3).fit(aligned.answers).labels_.tolist() == [0, 2, 0, 2, 2, 0]
