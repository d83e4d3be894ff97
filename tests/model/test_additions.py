"""An addition of a few answers, in numbers: memory, design and counts beside those of all answers."""

from dataclasses import replace
from unittest import mock

import numpy as np
import pandas as pd
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd.data.answers import Answers
from deem_crowd.estimators.incremental import parts as parts_module
from deem_crowd.estimators.incremental.memory import Memory
from deem_crowd.estimators.incremental.parts import Known, single_part
from deem_crowd.model import grown as grown_module
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.grown import Addition, GrownDesign, SmallDesign, numbered
from deem_crowd.selection.selected import settle


@st.composite
def two_parts(draw) -> tuple[pd.DataFrame, pd.DataFrame]:
    n, d = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    label = st.lists(st.integers(-1, 2), min_size=n * d, max_size=n * d)
    cells = np.array(draw(label)).reshape(n, d)
    rows = [(t, w, cells[t, w]) for t in range(n) for w in range(d) if cells[t, w] >= 0]
    rows = [(0, 0, 0), (90, 90, 1), (90, 91, 2), *(row for row in rows if row[:2] != (0, 0))]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    late = np.array(draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    late[:3] = False
    return frame[~late], frame[late]


@settings(max_examples=25, deadline=None)
@given(parts=two_parts())
def test_memory_and_design_are_those_of_all_answers(parts) -> None:
    first, second = parts
    memory = Memory(Answers.from_frame(first))
    base = DesignMatrix(memory.base, torch.device("cpu"), torch.float64)
    for piece in (second[: len(second) // 2], second[len(second) // 2 :]):
        if not len(piece):
            continue
        found = memory.plus(Answers.from_frame(piece))
        assert found is not None
        memory, more = found
        assert set(memory.tasks[more.tasks]) == set(piece["task"])
        so_far = memory.answers.to_frame()
        theirs = so_far[so_far["task"].isin(piece["task"])].to_numpy().tolist()
        task, worker, label = more.touched
        named = memory.tasks[task], memory.workers[worker], memory.base.classes[label]
        assert sorted(map(list, zip(*named, strict=True))) == sorted(theirs)
        some = Addition.of(more.touched, base, more.tasks)
        alone = SmallDesign.logits(
            some.design, torch.eye(3).double().expand(len(some.workers), 3, 3)
        )
        torch.testing.assert_close(alone, some.design.votes)
    whole = memory.answers
    columns = ["task", "worker", "label"]
    expected = pd.concat([first, second]).sort_values(columns).to_numpy()
    assert (whole.to_frame().sort_values(columns).to_numpy() == expected).all()
    if not len(second):
        return
    design = DesignMatrix(whole, torch.device("cpu"), torch.float64)
    addition = Addition.of(memory.later, base)
    sums = GrownDesign(base, addition, whole.n_tasks, whole.n_workers)
    table = torch.rand((whole.n_workers, 3, 4), dtype=torch.float64)
    posterior = torch.rand((whole.n_tasks, 4), dtype=torch.float64)
    torch.testing.assert_close(sums.logits(table), design.logits(table))
    torch.testing.assert_close(sums.expected_counts(posterior), design.expected_counts(posterior))
    torch.testing.assert_close(sums.votes, design.votes)
    assert (sums.answered == design.answered).all()
    assert sums.n_answers == design.n_answers
    assert not len(sums.silent())
    weight, bias = 9 * table[:, :, :3].log(), table[0, 0, :3]
    states = torch.softmax(design.logits(weight) + bias, 1)
    torch.testing.assert_close(sums.states(weight, bias), states)


@given(values=st.lists(st.integers(0, 3000), max_size=60))
def test_numbers_are_looked_up_in_a_table_or_sorted(values) -> None:
    values = np.array(values, dtype=np.int64)
    distinct, place = np.unique(values, return_inverse=True)
    for sparse in (0, 10**6):  # the numbers are then many, or few, among those up to the largest
        with mock.patch.object(grown_module, "_SPARSE", sparse):
            found = numbered(values)
        np.testing.assert_array_equal(found[0], distinct)
        np.testing.assert_array_equal(found[1], place)


def known_labels(seed: int, tasks: pd.Series) -> pd.DataFrame:
    """Return labels of a third of some tasks."""
    rng, tasks = np.random.default_rng(seed), tasks.drop_duplicates().sort_values()
    frame = pd.DataFrame({"task": tasks, "label": rng.integers(3, size=len(tasks))})
    return frame[rng.random(len(tasks)) < 1 / 3]


@settings(max_examples=30, deadline=None)
@given(parts=two_parts(), seed=st.integers(0, 99), told=st.booleans())
def test_counts_after_an_addition_are_those_of_an_expectation_step(parts, seed, told) -> None:
    first, second = parts
    earlier = together = None
    if told:
        earlier = known_labels(seed, first["task"])
        later = known_labels(seed + 1, pd.concat(parts)["task"])
        together = pd.concat([earlier, later]).drop_duplicates("task")
    before = Memory(Answers.from_frame(first), earlier)
    if not len(second) or (found := before.plus(Answers.from_frame(second), together)) is None:
        return
    memory, more = found
    base = DesignMatrix(memory.base, torch.device("cpu"), torch.float64)
    new = Addition.of(more.new, base, more.tasks)
    touched = new
    if more.touched is not more.new:
        touched = Addition.of(more.touched, base, more.tasks)
    noise = torch.rand((memory.n_workers, 3, 3), generator=torch.Generator().manual_seed(seed))
    weight, bias = torch.log_softmax(3 * noise.double(), 1), torch.zeros(3, dtype=torch.float64)
    energy = Energy(bias, weight[: base.n_workers], weight.mean(0))
    posterior = energy.posterior(base)
    settle(posterior, torch.from_numpy(before.settled.at(np.arange(len(posterior)))))
    part = single_part(energy, torch.ones(3, 3), 1.0, base, posterior)
    part = replace(part.widened(memory.n_workers), energy=replace(energy, weight=weight))
    with mock.patch.object(parts_module, "_ROUNDS", 1):
        known = Known(before.settled.at(more.tasks), memory.settled.at(more.tasks))
        moved = part.grown(new, touched, base.n_tasks, known)
    design = GrownDesign(base, new, memory.n_tasks, memory.n_workers)
    states = design.states(weight, bias)
    settle(states, torch.from_numpy(memory.settled.at(np.arange(memory.n_tasks))))
    torch.testing.assert_close(moved.counts, design.expected_counts(states))
    torch.testing.assert_close(moved.expected, states.sum(0))
