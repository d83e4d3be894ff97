"""Classes that are steps of a scale, though nobody said so: found in the answers, whatever the classes are called."""

from __future__ import annotations

import ast
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from deem_crowd_benchmarks.sets import kinds, laws

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection import class_order, select
from deem_crowd.selection.candidates import IN_ORDER
from deem_crowd.selection.parts import Parts

CPU = torch.device("cpu")


def design_of(rows: pd.DataFrame) -> DesignMatrix:
    return DesignMatrix(Answers.from_frame(rows), CPU, torch.float64)


def renamed(rows: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, dict]:
    """Give the classes names whose order says nothing, and return what each is called."""
    classes = np.sort(rows["label"].unique())
    order = np.random.default_rng(seed).permutation(len(classes))
    names = {one: f"class {place}" for one, place in zip(classes, order, strict=True)}
    return rows.assign(label=rows["label"].map(names)), names


def chosen(model: DEEMAggregator | DEEM) -> bool:
    return bool((model.selection_["candidate"] == IN_ORDER).any())


def said_order(model: DEEMAggregator) -> list:
    """Return the classes in the order that ``selection_`` says."""
    why = model.selection_.set_index("candidate").loc[IN_ORDER, "why"]
    return list(ast.literal_eval(f"({why.split('; order: ')[1]})"))


def by_reciprocal_averaging(votes: np.ndarray) -> np.ndarray:
    """Hill's algorithm: a task has the mean number of its answers, a class that of the other answers to its tasks."""
    number = np.random.default_rng(0).normal(size=votes.shape[1])
    answers = votes.sum(1)
    share = votes / np.maximum(answers - 1, 1)[:, None]
    total = votes.T @ share - np.diag(share.sum(0))
    weight = total.sum(1)
    for _ in range(5000):
        # half a step, so that no negative eigenvalue takes over
        number = (number + total @ number / weight) / 2
        number -= (weight * number).sum() / weight.sum()
        number /= np.sqrt((weight * number**2).sum())
    return number


@pytest.mark.parametrize("law", ["ratings", "stars"])
def test_the_order_is_that_of_reciprocal_averaging_and_of_the_scale(law):
    rows, names = renamed(kinds.ORDERED[law](3, 300).answers, 1)
    design = design_of(rows)
    places = class_order.places(design)
    votes = design.votes.numpy()
    expected = np.argsort(np.argsort(by_reciprocal_averaging(votes)))
    assert places.tolist() in (expected.tolist(), (len(expected) - 1 - expected).tolist())
    along = [places[sorted(names.values()).index(names[one])].item() for one in sorted(names)]
    assert along in (sorted(along), sorted(along, reverse=True))


class Elsewhere(torch.Tensor):
    """On another device, as far as operations with tensors of this one are refused until ``cpu`` is called."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if any(type(one) is torch.Tensor and one.ndim for one in args):
            raise RuntimeError("expected all tensors to be on the same device")
        found = super().__torch_function__(func, types, args, kwargs or {})
        return found.as_subclass(torch.Tensor) if func is torch.Tensor.cpu else found


def test_votes_on_another_device_show_the_same_order():
    design = design_of(kinds.ORDERED["stars"](3, 100).answers)
    there = SimpleNamespace(votes=design.votes.as_subclass(Elsewhere), reduce=lambda total: total)
    assert torch.equal(class_order.places(there), class_order.places(design))


def test_names_and_rows_change_nothing():
    rows = kinds.ORDERED["stars"](5, 200).answers
    other, names = renamed(rows.sample(frac=1, random_state=0), 4)
    one, two = (DEEMAggregator().fit(frame) for frame in (rows, other))
    assert said_order(one) in ([*range(7)], [*range(6, -1, -1)])
    assert said_order(two) in (
        [names[step] for step in range(7)],
        [names[step] for step in range(6, -1, -1)],
    )
    same = two.probas_.loc[one.probas_.index, [names[label] for label in one.probas_.columns]]
    np.testing.assert_allclose(one.probas_, same, atol=1e-5)


def test_numbers_of_many_workers_change_nothing():
    """Of many workers some are asked first: here every second errs along the scale, and the others err at random."""
    rng = np.random.default_rng(0)
    truth, rows = rng.integers(5, size=400), []
    for worker in range(300):
        bias = rng.normal(0, 1)
        for task in rng.choice(400, 12, replace=False):
            along = np.rint(truth[task] + bias + 0.6 * rng.normal())
            apart = truth[task] if rng.random() < 0.6 else rng.integers(5)
            rows.append((task, worker, apart if worker % 2 else int(np.clip(along, 0, 4))))
    one = pd.DataFrame(rows, columns=["task", "worker", "label"])
    other = one.assign(worker=one["worker"] ^ 1)
    models = [DEEMAggregator().fit(frame.sort_values("worker")) for frame in (one, other)]
    assert chosen(models[0]) == chosen(models[1])
    np.testing.assert_allclose(*(model.probas_.sort_index() for model in models), atol=1e-5)


@pytest.mark.parametrize(
    "tasks",
    [
        [[0], [1], [2], [0]],
        [[0, 1], [1, 2], [2, 0]],
        [[0, 1], [0, 1], [2]],
        [[0, 0], [1, 1], [2, 2]],
    ],
    ids=["one answer a task", "all pairs alike", "a class alone", "nobody ever differs"],
)
def test_answers_that_show_no_order(tasks):
    rows = [
        (f"t{n}", f"w{i}", f"c{label}")
        for n, labels in enumerate(tasks)
        for i, label in enumerate(labels)
    ]
    assert (
        class_order.places(design_of(pd.DataFrame(rows, columns=["task", "worker", "label"])))
        is None
    )


@pytest.mark.parametrize("law", ["ratings", "stars"])
def test_ratings_by_any_name_are_labelled_better(law):
    """Raters have biases; tables of their own have too little data for them. Two draws."""
    gains = []
    for seed in range(2):
        drawn = kinds.ORDERED[law](seed, 300)
        rows, names = renamed(drawn.answers, seed)
        gold = drawn.gold.map(names)
        model = DEEMAggregator().fit(rows)
        assert chosen(model)
        answers = Answers.from_frame(rows)
        design = DesignMatrix(answers, CPU, torch.float32)
        without = select.select(answers, design, parts=Parts(in_order=False))
        labels = answers.classes[without.posterior.argmax(1).numpy()]
        before = (pd.Series(labels, answers.tasks).reindex(gold.index) == gold).mean()
        gains.append((model.labels_.reindex(gold.index) == gold).mean() - before)
    assert np.mean(gains) > 0.03
    assert min(gains) > -0.01


@pytest.mark.parametrize("law", ["independent", "spammers", "few_tasks", "difficulty"])
def test_other_classes_are_labelled_as_before(law):
    drawn = laws.LAWS[law.replace("_", "-")](2, 150)
    answers = Answers.from_frame(drawn.answers)
    design = DesignMatrix(answers, CPU, torch.float32)
    with_it, without = (
        select.select(answers, design, parts=Parts(in_order=asked)) for asked in (True, False)
    )
    assert IN_ORDER not in [one.name for one in with_it.candidates]
    assert torch.equal(with_it.posterior, without.posterior)


def test_what_is_not_asked():
    """Two classes, many classes, soft answers, and an order that the caller has given."""
    rng = np.random.default_rng(0)
    for k in (2, 12):
        truth = rng.integers(k, size=200)
        said = np.clip(truth[:, None] + rng.integers(-1, 2, (200, 5)), 0, k - 1)
        assert not chosen(DEEM().fit(said))
    rows = kinds.ORDERED["stars"](0, 200).answers
    assert not chosen(DEEMAggregator(ordered=True).fit(rows))
    assert not chosen(DEEMAggregator(ordered=False).fit(rows))
    said = rows.pivot(index="task", columns="worker", values="label").to_numpy()
    soft = np.eye(7)[said] * 0.9 + 0.1 / 7
    assert not chosen(DEEM().fit(soft.transpose(0, 2, 1)))


def test_such_a_model_grows_and_is_saved(tmp_path):
    rows = kinds.ORDERED["ratings"](1, 600).answers
    tasks = rows["task"].drop_duplicates()
    late = rows["task"].isin(tasks.iloc[-6:])
    model = DEEMAggregator().partial_fit(rows[~late])
    assert chosen(model)
    model.partial_fit(rows[late])
    assert "new answers to 6 tasks" in str(model.update_)
    whole = DEEMAggregator().fit(rows)
    same = (model.labels_ == whole.labels_.reindex(model.labels_.index)).mean()
    assert same > 0.98
    model.save(tmp_path / "model")
    loaded = DEEMAggregator.load(tmp_path / "model")
    pd.testing.assert_series_equal(loaded.predict(rows), model.predict(rows))
