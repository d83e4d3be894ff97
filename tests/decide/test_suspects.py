"""suspect_answers, suspect_labels, clean."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pandas as pd
import pytest
from crowds import consensus, crowd
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from deem_crowd import DEEM, DataError, DEEMAggregator, ParameterError
from deem_crowd.data.answers import Answers
from deem_crowd.decide import (
    Consensus,
    OracleError,
    clean,
    suspect_answers,
    suspect_labels,
    suspects,
)
from deem_crowd.exceptions import FormError

FRAME, TRUTH = crowd(n=300, per_task=5, seed=2)


@pytest.fixture(scope="module")
def agg():
    return DEEMAggregator().fit(FRAME)


def test_every_answer_is_scored_once(agg) -> None:
    rows = suspect_answers(agg, answers=FRAME)
    assert len(rows) == len(FRAME)
    assert rows["score"].between(0, 1).all()
    assert rows["score"].is_monotonic_decreasing
    key = ["task", "worker", "label"]
    assert set(map(tuple, rows[key].to_numpy())) == set(map(tuple, FRAME[key].to_numpy()))
    assert rows["suggested"].tolist() == agg.labels_[rows["task"]].tolist()
    pd.testing.assert_frame_equal(suspect_answers(agg, 10, answers=FRAME), rows.head(10))


def test_the_score_is_the_chance_of_another_label() -> None:
    """One task, two workers: by the tables p = (0.9·0.4, 0.1·0.6)/0.42; the model's own posterior is given."""
    frame = pd.DataFrame(
        [("t0", "w0", "c0"), ("t0", "w1", "c1")], columns=["task", "worker", "label"]
    )
    tables = [[[0.9, 0.1], [0.1, 0.9]], [[0.6, 0.4], [0.4, 0.6]]]
    view = Consensus.of(consensus([[0.7, 0.3]], tables), frame)
    rows = suspect_answers(view).set_index("worker")
    by_tables = 0.9 * 0.4 / (0.9 * 0.4 + 0.1 * 0.6)
    assert rows.loc["w1", "score"] == pytest.approx((0.7 + by_tables) / 2)
    assert rows.loc["w0", "score"] == pytest.approx((0.3 + 1 - by_tables) / 2)
    assert rows.loc["w1", "expected_precision"] == pytest.approx(0.7)
    assert rows.loc["w0", "expected_precision"] == pytest.approx((0.7 + 0.3) / 2)
    assert rows.loc["w1", "reason"] == (
        "0 of 1 other agrees, 1 answered c0; the worker's answers agree with the labels in 0 of 1"
    )


def test_the_members_of_the_pool_score(agg) -> None:
    """Each member's posterior by Bayes' rule from its own tables, divided by Kish's design effect, and averaged."""
    model, workers, classes = agg._fitted
    assert model.class_map.tolist() == [0, 1, 2]
    n, k = 300, 3
    task = agg.probas_.index.get_indexer(FRAME["task"])
    worker, label = workers.get_indexer(FRAME["worker"]), classes.get_indexer(FRAME["label"])
    answers = np.bincount(task, minlength=n)
    effect = 1 + (answers - 1) * model.pool.correlation
    mean = np.zeros((n, k))
    for energy, weight in zip(model.pool.energies, model.pool.weights, strict=True):
        states = energy.weight.double().numpy()  # (D, K answers, S states)
        logits = np.tile(energy.bias.double().numpy(), (n, 1))
        np.add.at(logits, task, states[worker, label])
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        odds = odds.reshape(n, k, -1).sum(axis=2)  # hidden states of a class side by side
        log = np.log(odds / odds.sum(axis=1, keepdims=True)) / effect[:, None]
        part = np.exp(log - log.max(axis=1, keepdims=True))
        mean += weight * part / part.sum(axis=1, keepdims=True)
    assert model.pool.correlation > 0
    rows = suspect_answers(agg)
    place = agg.probas_.index.get_indexer(rows["task"])
    expected = 1 - mean[place, classes.get_indexer(rows["label"])]
    assert rows["score"].to_numpy() == pytest.approx(expected, abs=1e-5)


def test_wrong_answers_are_found_better_than_by_disagreement(agg) -> None:
    rows = suspect_answers(agg, answers=FRAME)
    wrong = rows["label"] != TRUTH[rows["task"]].to_numpy()
    shares = FRAME.groupby("task")["label"].value_counts(normalize=True)
    vote = [1 - shares[pair] for pair in zip(rows["task"], rows["label"], strict=True)]
    assert roc_auc_score(wrong, rows["score"]) > roc_auc_score(wrong, vote)


def test_the_expected_precision_is_near_the_true_one() -> None:
    """Answers drawn from the very model, so the posterior is calibrated: within four standard errors."""
    rng = np.random.default_rng(0)
    n, d = 3000, 5
    truth = rng.integers(2, size=n)
    skill = np.array([0.6, 0.7, 0.8, 0.7, 0.6])
    said = np.where(rng.random((n, d)) < skill, truth[:, None], 1 - truth[:, None])
    tables = np.array([[[s, 1 - s], [1 - s, s]] for s in skill])
    logit = (np.where(said == 1, 1, -1) * np.log(skill / (1 - skill))).sum(axis=1)
    p = 1 / (1 + np.exp(-logit))
    view = consensus(np.column_stack([1 - p, p]), tables)
    frame = pd.DataFrame(
        {
            "task": np.repeat(view.tasks, d),
            "worker": np.tile(view.workers, n),
            "label": view.classes.take(said.ravel()),
        }
    )
    rows = suspect_answers(Consensus.of(view, frame))
    place = rows["task"].str[1:].astype(int)
    wrong = rows["label"].str[1:].astype(int).to_numpy() != truth[place]
    for m in (500, 2000, 10_000):
        expected = rows["expected_precision"][m - 1]
        assert wrong[:m].mean() == pytest.approx(expected, abs=4 * np.sqrt(0.25 / m * d))


def test_labels_from_elsewhere(agg) -> None:
    given = TRUTH.copy()
    flipped = given.index[:30]
    given[flipped] = given[flipped].map({"c0": "c1", "c1": "c2", "c2": "c0"})
    rows = suspect_labels(agg, labels=given, answers=FRAME)
    assert len(rows) == 300
    assert rows["score"].is_monotonic_decreasing
    assert roc_auc_score(rows["task"].isin(flipped), rows["score"]) > 0.9
    first = rows.iloc[0]
    assert first["score"] == pytest.approx(1 - agg.probas_.loc[first["task"], first["label"]])
    assert "answers give it" in first["reason"]
    own = suspect_labels(agg, 5)
    assert own["score"].to_numpy() == pytest.approx(1 - np.sort(agg.probas_.max(axis=1))[:5])
    some = suspect_labels(agg, labels={"t1": "c0", "t2": None})
    assert some["task"].tolist() == ["t1"]


def test_clean_asks_the_worst_and_learns(agg) -> None:
    asked = []

    def oracle(task):
        asked.append(task)
        return TRUTH[task]

    before = agg.probas_.copy()
    done = clean(agg, oracle, 40, answers=FRAME, per_round=10)
    assert len(asked) == len(set(asked)) == 40
    assert done.stopped == "budget"
    assert repr(done).startswith("Cleaned(40 questions in ")
    assert repr(done).endswith("stopped='budget')")
    assert len(repr(done)) < 160
    assert done.gold.to_dict() == {task: TRUTH[task] for task in asked}
    assert (done.labels[asked] == TRUTH[asked]).all()
    assert set(asked[:10]) == set(suspect_labels(agg, 10)["task"])
    assert (done.labels == TRUTH).mean() > (agg.labels_ == TRUTH).mean()
    assert done.history["asked"].tolist() == [10] * 4
    assert done.history["corrected"].iloc[0] == (agg.labels_[asked[:10]] != TRUTH[asked[:10]]).sum()
    pd.testing.assert_frame_equal(agg.probas_, before)  # the model that was handed in stays


def test_clean_stops_when_it_no_longer_pays(agg) -> None:
    done = clean(agg, TRUTH, 300, answers=FRAME, cost=0.3, per_round=20)
    assert done.stopped == "gain"
    left = suspect_labels(done.aggregator)
    assert (left[~left["task"].isin(done.gold.index)]["score"] <= 0.3).all()
    everything = clean(agg, TRUTH, 1000, answers=FRAME, per_round=300)
    assert everything.stopped == "tasks"
    assert (everything.labels == TRUTH).all()
    nothing = clean(agg, TRUTH, 0, answers=FRAME)
    assert nothing.gold.empty
    assert nothing.labels.equals(agg.labels_)


def test_an_oracle_that_cannot_say(agg) -> None:
    done = clean(agg, lambda task: None, 10, answers=FRAME, per_round=5)
    assert done.gold.empty
    assert done.history["corrected"].sum() == 0


@pytest.mark.parametrize("fault", ["raises", "unknown"])
def test_nothing_is_lost_of_what_the_oracle_said(agg, fault) -> None:
    said = {}

    def oracle(task):
        if len(said) == 7:
            if fault == "raises":
                raise ConnectionError("gone")
            return "c9"
        said[task] = TRUTH[task]
        return TRUTH[task]

    record: dict = {}
    message = "ConnectionError: gone" if fault == "raises" else "'c9'.*none of the labels 'c0'"
    with pytest.raises(OracleError, match=message) as caught:
        clean(agg, oracle, 20, answers=FRAME, per_round=5, record=record)
    assert caught.value.record == said == record
    went_on = clean(agg, TRUTH, 10, answers=FRAME, per_round=5, record=record)
    assert set(said) <= set(went_on.gold.index)


def test_bad_input(agg, tmp_path) -> None:
    agg.save(tmp_path / "m.safetensors")
    loaded = DEEMAggregator.load(tmp_path / "m.safetensors")
    with pytest.raises(ParameterError, match="suspect_answers needs the answers"):
        suspect_answers(loaded)
    with pytest.raises(ParameterError, match="clean needs the answers"):
        clean(loaded, TRUTH, 5)
    for call in (suspect_answers, suspect_labels):
        with pytest.raises(NotFittedError, match="call fit first"):
            call(DEEMAggregator())
    with pytest.raises(NotFittedError, match="call fit first"):
        clean(DEEMAggregator(), TRUTH, 5)
    with pytest.raises(ParameterError, match="budget must be a whole number"):
        clean(agg, TRUTH, -1, answers=FRAME)
    with pytest.raises(FormError, match="oracle is a int"):
        clean(agg, 3, 5, answers=FRAME)
    with pytest.raises(FormError, match="pass a DEEMAggregator"):
        clean(agg.probas_, TRUTH, 5, answers=FRAME)
    with pytest.raises(DataError, match="1 label that the model does not know: 'dog'"):
        suspect_labels(agg, labels={"t0": "dog"})
    with pytest.raises(DataError, match="1 task that the model does not know: 'moon'"):
        suspect_labels(agg, labels={"moon": "c0"})
    with pytest.raises(FormError, match="pass a Series indexed by task"):
        suspect_labels(agg, labels=["c0"])
    with pytest.raises(ParameterError, match="n must be"):
        suspect_answers(agg, 0, answers=FRAME)


def test_one_worker_and_all_settled() -> None:
    alone = FRAME.drop_duplicates("task").assign(worker="only")
    rows = suspect_answers(DEEMAggregator().fit(alone), 3, answers=alone)
    assert rows["reason"].str.startswith("nobody else answered").all()
    settled = DEEMAggregator().fit(FRAME, gold=TRUTH)
    rows = suspect_answers(settled, answers=FRAME)
    wrong = rows["label"] != TRUTH[rows["task"]].to_numpy()
    assert rows["score"].to_numpy() == pytest.approx(wrong.to_numpy().astype(float))
    assert clean(settled, TRUTH, 5, answers=FRAME).stopped == "tasks"


def test_a_model_from_a_file_is_given_its_answers(agg, tmp_path) -> None:
    agg.save(tmp_path / "m.safetensors")
    loaded = DEEMAggregator.load(tmp_path / "m.safetensors")
    pd.testing.assert_frame_equal(
        suspect_answers(loaded, answers=FRAME), suspect_answers(agg), check_dtype=False
    )
    done = clean(loaded, TRUTH, 10, answers=FRAME, per_round=5)
    assert (done.labels[done.gold.index] == done.gold).all()


@pytest.mark.parametrize("label_names", ["common", "own"])
def test_a_deem_from_a_file_is_given_its_answers(label_names, tmp_path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=(90, 1))
    matrix = np.where(rng.random((90, 5)) < 0.8, truth, rng.integers(3, size=(90, 5)))
    if label_names == "own":
        matrix = (matrix + np.arange(5)) % 3
    model = DEEM(label_names=label_names).fit(matrix)
    model.save(tmp_path / "d.safetensors")
    loaded = DEEM.load(tmp_path / "d.safetensors")
    expected = suspect_answers(model)
    pd.testing.assert_frame_equal(suspect_answers(loaded, answers=matrix), expected)
    pd.testing.assert_frame_equal(suspect_answers(model, answers=matrix), expected)


def test_workers_of_a_deem_go_by_id() -> None:
    read = Answers.from_frame(FRAME)
    model = DEEM().fit(read)
    order = np.arange(read.n_workers)[::-1]
    turned = read.select(workers=(order, read.workers[::-1]))
    found, expected = Consensus.of(model, turned), Consensus.of(model)
    for worker in read.workers:
        assert (found.table_of(worker) == expected.table_of(worker)).all()


@pytest.mark.parametrize("n", [1, 7, 100, 1199])
def test_the_first_n_are_those_of_the_whole_list(agg, n) -> None:
    """Ties, of which there are many, stand in the order of the data in both."""
    whole = suspect_answers(agg)
    assert suspect_answers(agg, n).equals(whole.head(n))
    labels = suspect_labels(agg)
    assert suspect_labels(agg, min(n, 299)).equals(labels.head(min(n, 299)))


def test_more_than_there_is(agg) -> None:
    assert len(suspect_answers(agg, 10**6)) == len(FRAME)
    assert len(suspect_labels(agg, 10**6)) == 300


def test_a_named_model_of_many_classes_ranks_by_its_posterior() -> None:
    """That is what independent answers say by its tables, without a look at each class."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 150, 800)
    rows = [
        (n, w, truth[n] if rng.random() < 0.7 else rng.integers(0, 150))
        for n in range(800)
        for w in rng.choice(200, 5, replace=False)
    ]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    model = DEEMAggregator(auto_hyperparameters=False, progress=False).fit(frame)
    consensus = Consensus.of(model, frame)
    given = consensus.required_answers("suspect_answers")
    by_tables = suspects._by_tables(consensus)[given.task, given.label]
    score, by_model = suspects.answer_scores(consensus)
    assert type(model.__dict__["_fitted"][0]).__name__ == "SparseModel"
    assert score == pytest.approx((by_model + 1 - by_tables) / 2, abs=1e-4)
    with mock.patch.object(suspects, "_by_tables", side_effect=AssertionError):
        assert len(model.suspect_answers(10)) == 10
