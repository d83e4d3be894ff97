"""Blocks of workers hold every answer once, beside others of the same worker."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deem_crowd.selection.worker_blocks import in_blocks


@given(st.lists(st.integers(0, 12), max_size=200), st.sampled_from([1, 7, 64, 10_000]))
def test_every_answer_has_one_place_in_a_row_of_its_worker(workers: list[int], most: int) -> None:
    worker = np.array(workers, dtype=np.int32)
    blocks, answers = in_blocks(worker, most)
    assert np.sort(answers[answers >= 0]).tolist() == list(range(len(worker)))
    assert sum(block.places.stop - block.places.start for block in blocks) == len(answers)
    named = np.concatenate([block.workers for block in blocks]) if blocks else np.empty(0, int)
    assert np.sort(named).tolist() == np.unique(worker).tolist()
    for block in blocks:
        n, w = block.shape
        assert n * w <= most or w == 1
        here = answers[block.places].reshape(n, w)
        assert (here >= 0).any(axis=1).all()
        for column, number in zip(here.T, block.workers, strict=True):
            assert (worker[column[column >= 0]] == number).all()


@pytest.mark.parametrize(("count", "spare"), [(8, 0), (9, 1), (16, 0), (17, 3), (33, 7), (257, 63)])
def test_few_places_are_spare(count: int, spare: int) -> None:
    blocks, answers = in_blocks(np.zeros(count, dtype=np.int32), 1)
    assert len(blocks) == 1
    assert int((answers < 0).sum()) == spare
