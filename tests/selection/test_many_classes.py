"""Many classes: sparse tables beside tables written out, and beside the dense model."""

import numpy as np
import pandas as pd
import pytest
import torch
from crowdkit.aggregation import MajorityVote
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd import DEEM, DEEMAggregator, decide
from deem_crowd.data.answers import Answers
from deem_crowd.estimators import many_classes
from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.exceptions import DataWarning, FormError, MemoryNeedError
from deem_crowd.model.calibration import with_votes
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.named_classes import NamedClasses
from deem_crowd.model.worker_tables import FullTables
from deem_crowd.selection import many_classes as selection
from deem_crowd.training import em, sparse_fit
from deem_crowd.training.hierarchical import AccuracyCentre, fit_hierarchical
from deem_crowd.training.one_coin import fit_one_coin
from deem_crowd.training.sparse_fit import fit_sparse_tables
from deem_crowd.training.sparse_tables import SparseTables

K = 60


def crowd(seed: int = 0, n: int = 1500, k: int = K, d: int = 320, m: int = 5) -> tuple:
    """Workers who mistake a class for its neighbour, each as often as it is unskilled."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    worker = np.argsort(rng.random((n, d)), axis=1)[:, :m]
    skill = rng.beta(4, 2, d)[worker]
    slip = np.where(rng.random((n, m)) < 0.7, truth[:, None] ^ 1, rng.integers(0, k, (n, m)))
    label = np.where(rng.random((n, m)) < skill, truth[:, None], np.minimum(slip, k - 1))
    frame = pd.DataFrame(
        {"task": np.repeat(np.arange(n), m), "worker": worker.ravel(), "label": label.ravel()}
    )
    return frame, truth


def fitted(frame: pd.DataFrame, automatic: bool | None = None, **more) -> DEEMAggregator:
    return DEEMAggregator(auto_hyperparameters=automatic, progress=False).fit(frame, **more)


def model_of(aggregator: DEEMAggregator) -> object:
    return aggregator.__dict__["_fitted"][0]


@st.composite
def small(draw) -> Answers:
    n, d, k = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(2, 5))
    cells = st.lists(st.integers(-1, k - 1), min_size=n * d, max_size=n * d)
    matrix = np.array(draw(cells)).reshape(n, d)
    rows = [(t, w, matrix[t, w]) for t in range(n) for w in range(d) if matrix[t, w] >= 0]
    rows = rows or [(0, 0, 0)]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    return Answers.from_frame(frame, classes=list(range(k)))


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
@pytest.mark.parametrize("one_coin", [True, False])
@settings(max_examples=15, deadline=None)
@given(answers=small(), average=st.booleans())
def test_posterior_is_that_of_the_tables_written_out(answers, average, one_coin) -> None:
    layout = NamedClasses(answers)
    found = fit_sparse_tables(layout, one_coin=one_coin, average=average, n_passes=7)
    tables, k, d = found.tables, answers.n_classes, answers.n_workers
    grid = np.indices((d, k, k)).reshape(3, -1)
    dense = tables.probability(*grid).reshape(d, k, k)
    assert dense.sum(axis=1) == pytest.approx(np.ones((d, k)))
    assert tables.of(np.arange(d)) == pytest.approx(dense)
    weights = np.arange(1.0, d + 1)
    assert tables.mean(weights) == pytest.approx(np.average(dense, axis=0, weights=weights))
    assert tables.chance(tables.prior) == pytest.approx(dense @ tables.prior @ tables.prior)
    posterior = layout.posterior(found.share, found.rest, tables.prior)
    for n in range(answers.n_tasks):
        part = slice(answers.task_ptr[n], answers.task_ptr[n + 1])
        worker, label = answers.worker[part], answers.hard_label[part]
        weight = np.array(
            [
                tables.prior[c] * np.prod(dense[worker, label, c])
                if c in label
                else tables.prior[c] * np.prod((1 - tables.accuracy[worker]) / (k - 1))
                for c in range(k)
            ]
        )
        assert posterior.dense()[n] == pytest.approx(weight / weight.sum(), abs=1e-9)
        best = weight[np.unique(label)].max()
        assert weight[posterior.best(1e-6)[n]] == pytest.approx(best)


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
@settings(max_examples=15, deadline=None)
@given(answers=small())
def test_tables_that_are_looked_up_are_those_of_training(answers) -> None:
    layout = NamedClasses(answers)
    found = fit_sparse_tables(layout, one_coin=False, average=True, n_passes=9)
    share, rest, log_likelihood = found.tables.posterior(layout)
    assert share == pytest.approx(found.share, abs=1e-12)
    assert rest == pytest.approx(found.rest, abs=1e-12)
    assert log_likelihood == pytest.approx(found.task_log_likelihood, abs=1e-9)


@pytest.mark.parametrize("one_coin", [True, False])
def test_the_dense_model_says_the_same(one_coin, monkeypatch) -> None:
    monkeypatch.setattr(sparse_fit, "_PRIOR_TASKS", (1.0,))  # as dense models have it
    frame, _ = crowd(n=3000, k=24, d=40)
    answers = Answers.from_frame(frame)
    layout = NamedClasses(answers)
    found = fit_sparse_tables(layout, one_coin=one_coin, average=not one_coin, n_passes=60)
    ours = layout.posterior(found.share, found.rest, found.tables.prior).dense()
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    start = em.vote_start(design)
    if one_coin:
        theirs = fit_one_coin(design, start).states.numpy()
    else:
        theirs = fit_hierarchical(design, start, AccuracyCentre()).energy.posterior(design).numpy()
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.99
    assert np.abs(ours - theirs).max(axis=1).mean() < 0.02


@pytest.mark.parametrize("automatic", [None, False])
def test_accuracy_is_that_of_dense_tables_at_least(automatic, monkeypatch) -> None:
    monkeypatch.setattr(many_classes, "_FEWEST_CELLS", 0)
    frame, truth = crowd(n=1000, d=40, k=50)
    sparse = fitted(frame, automatic)
    assert isinstance(model_of(sparse), SparseModel)
    monkeypatch.setattr(many_classes, "_FEWEST_CELLS", 10**15)
    dense = fitted(frame, automatic)
    assert not isinstance(model_of(dense), SparseModel)
    right, theirs = ((model.labels_ == truth).mean() for model in (sparse, dense))
    assert right >= theirs - 0.002
    assert np.corrcoef(sparse.skills_, dense.skills_)[0, 1] > 0.9
    assert sparse.errors_.shape == dense.errors_.shape
    assert sparse.errors_.groupby(level="worker").sum().to_numpy() == pytest.approx(1.0)


def test_memory_follows_the_answers(monkeypatch) -> None:
    monkeypatch.setattr("deem_crowd.data.memory.available_bytes", lambda: 128 * 2**20)
    frame, truth = crowd(n=4000, k=5000, d=100)
    found = fitted(frame)
    votes = MajorityVote().fit_predict(frame).sort_index()
    assert (found.labels_ == truth).mean() > (votes == truth).mean() + 0.02
    assert len(found.skill_intervals_) == 100
    with pytest.raises(MemoryNeedError, match=r"probabilities of 4,000 tasks × 4,\d+ classes"):
        _ = found.probas_
    with pytest.raises(MemoryNeedError, match="confusion matrices of 100 workers"):
        _ = found.errors_
    some = frame[frame["task"] < 40]
    assert (found.predict(some) == found.labels_[:40]).all()
    assert found.predict_proba(some).to_numpy().sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", [SparseModel, FittedModel])
def test_tables_read_in_parts_are_those_in_full(kind, monkeypatch) -> None:
    """With classes that nobody gave, in whose columns every answer is as likely."""
    if kind is SparseModel:
        monkeypatch.setattr(many_classes, "_FEWEST_CELLS", 1)
    frame, _ = crowd(n=120, k=9, d=70)
    matrix = frame.pivot(index="task", columns="worker", values="label").fillna(-1).to_numpy(int)
    model = DEEM(n_classes=12).fit(np.where(matrix >= 4, matrix + 2, matrix)).__dict__["_fitted"]
    assert isinstance(model, kind)
    full = model.full_confusion()
    assert (full[:, :, 4] == 1 / 12).all()
    assert (full[:, 4][:, model.used] == 0).all()
    parts, whole = model.worker_tables(), FullTables(full)
    assert parts.shape == whole.shape
    workers, weights = np.array([7, 0, 33]), np.arange(70.0)
    cells = workers[:, None, None], np.arange(12)[:, None], np.arange(12)
    priors = np.arange(1.0, 13) / 78
    assert parts.of(workers) == pytest.approx(whole.of(workers), abs=1e-12)
    assert parts.cells(*cells) == pytest.approx(whole.cells(*cells), abs=1e-12)
    assert parts.mean(weights) == pytest.approx(whole.mean(weights), abs=1e-12)
    assert parts.chance(priors) == pytest.approx(whole.chance(priors), abs=1e-12)


def test_what_is_shown_and_decided_needs_no_full_tables(monkeypatch, tmp_path) -> None:
    """Of 300 workers over 5,000 classes they would take 56 GiB."""
    frame, _ = crowd(n=300, k=105, d=96)
    model = fitted(frame)
    assert isinstance(model_of(model), SparseModel)
    expected = model.errors_

    def refuse(*_: object) -> None:
        raise AssertionError("tables were written out")

    monkeypatch.setattr(SparseTables, "of", refuse)
    monkeypatch.setattr("deem_crowd.insight.pairs.MOST_CELLS", 1e6)
    shares = np.asarray(model.priors_)
    chance = expected.to_numpy().reshape(96, 105, 105) @ shares @ shares
    assert model.workers_["chance"].to_numpy() == pytest.approx(chance)
    assert len(model.tasks_) == 300
    assert "tasks" in str(model.summary())
    assert len(decide.next_tasks(model, 5)) == 5
    assert len(decide.next_tasks(model, 5, strategy="expected_information")) == 5
    pairs = decide.next_pairs(model, 5)
    assert (pairs["score"] > 0).all()
    assert len(decide.suspect_answers(model, 5)) == 5
    assert decide.reliable(model, 0.8).coverage > 0
    model.report(tmp_path / "report.html")
    matrix = frame.pivot(index="task", columns="worker", values="label").fillna(-1).to_numpy(int)
    of_array = DEEM(progress=False).fit(matrix)
    for asked in (decide.next_tasks, decide.next_pairs, decide.suspect_answers):
        values = [asked(one, 5).iloc[:, -1].to_numpy() for one in (of_array, model)]
        assert values[0] == pytest.approx(values[1])


def test_classes_that_nobody_gave_take_no_tables(monkeypatch) -> None:
    """Of 21,000 classes of ImageNet, of which few were given, a fit wrote them out for all pairs."""
    frame, _ = crowd(n=60, k=4, d=9)

    def refuse(*_: object) -> None:
        raise AssertionError("tables were written out")

    monkeypatch.setattr(FittedModel, "full_confusion", refuse)
    model = DEEMAggregator(progress=False).fit(Answers.from_frame(frame, classes=range(300)))
    assert isinstance(model_of(model), FittedModel)
    assert len(model.workers_) == 9
    assert len(decide.next_pairs(model, 5)) == 5


def test_a_model_file_holds_it(tmp_path) -> None:
    frame, _ = crowd()
    model = fitted(frame)
    model.save(tmp_path / "model")
    again = DEEMAggregator.load(tmp_path / "model")
    assert isinstance(model_of(again), SparseModel)
    pd.testing.assert_series_equal(model.labels_, again.labels_)
    pd.testing.assert_frame_equal(model.probas_, again.probas_)
    pd.testing.assert_frame_equal(model.predict_proba(frame), again.predict_proba(frame))
    pd.testing.assert_frame_equal(model.selection_, again.selection_)
    pd.testing.assert_frame_equal(model.errors_, again.errors_)


def test_a_damaged_file_is_refused(tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    from deem_crowd.estimators.files.checkpoint import SUFFIX

    frame, _ = crowd()
    path = (tmp_path / "model").with_suffix(SUFFIX)
    fitted(frame).save(path)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    for name in ("pool.0.accuracy", "pool.1.cell_key", "named.label", "pool.1.column_count"):
        tensors = load_file(path)
        tensors[name][0] = -5
        save_file(tensors, tmp_path / "bad.safetensors", metadata)
        with pytest.raises(FormError, match="damaged"):
            DEEMAggregator.load(tmp_path / "bad.safetensors")


def test_known_labels_missing_answers_and_more_answers() -> None:
    frame, truth = crowd()
    wrong = int((truth[0] + 7) % K)
    with pytest.warns(DataWarning, match="1 task has no answers"):
        found = DEEMAggregator(missing="drop", progress=False).fit(
            pd.concat([frame, pd.DataFrame({"task": [9999], "worker": [0], "label": [np.nan]})]),
            gold={0: wrong},
        )
    assert found.labels_[0] == wrong
    assert found.probas_.loc[0, wrong] == pytest.approx(1.0)
    assert found.probas_.loc[9999].to_numpy() == pytest.approx(found.priors_.to_numpy())
    half = len(frame) // 2
    grown = DEEMAggregator(progress=False).partial_fit(frame[:half]).partial_fit(frame[half:])
    whole = fitted(frame)
    assert (grown.labels_ == whole.labels_).all()
    assert grown.probas_.to_numpy() == pytest.approx(whole.probas_.to_numpy(), abs=1e-9)


def test_neither_order_nor_names_matter() -> None:
    frame, _ = crowd()
    one = fitted(frame)
    mixed = frame.sample(frac=1, random_state=1).assign(label=lambda f: (f["label"] + 13) % K)
    other = fitted(mixed)
    renamed = other.probas_[(np.arange(K) + 13) % K].reindex(one.probas_.index)
    assert renamed.to_numpy() == pytest.approx(one.probas_.to_numpy(), abs=1e-9)


def test_free_text_gets_one_skill_and_a_warning() -> None:
    n = 1200
    frame = pd.DataFrame(
        {
            "task": np.arange(n) // 3,
            "worker": np.arange(n) % 30,
            "label": [f"text {i}" for i in range(n)],
        }
    )
    with (
        pytest.warns(DataWarning, match="hardly any information"),
        pytest.warns(DataWarning, match="free text"),
    ):
        found = fitted(frame)
    assert found.skills_.nunique() == 1
    first = frame.sort_values("label").groupby("task")["label"].first()
    assert (found.labels_ == first).all()


def test_a_task_that_names_more_classes_than_are_kept() -> None:
    n = 300
    frame = pd.DataFrame({"task": 0, "worker": np.arange(n), "label": np.arange(n) % 150})
    answers = Answers.from_frame(frame)
    layout = NamedClasses(answers)
    assert len(layout.pair_task) == 64
    assert layout.pair_label.tolist() == list(range(64))
    gold = NamedClasses(answers, np.array([149]))
    assert gold.pair_label[-1] == 149
    assert gold.votes[-1] == 2


def test_an_order_of_classes_is_not_left_out(monkeypatch) -> None:
    frame, _ = crowd(n=200, d=20)
    monkeypatch.setattr(many_classes, "_FEWEST_CELLS", 1)
    ordered = frame.assign(label=pd.Categorical(frame["label"], range(K), ordered=True))
    by_dtype, by_name = fitted(ordered), DEEMAggregator(ordered=True, progress=False).fit(frame)
    np.testing.assert_allclose(by_dtype.probas_, by_name.probas_, atol=1e-9)
    assert isinstance(model_of(fitted(frame)), SparseModel)
    without = DEEMAggregator(ordered=False, progress=False).fit(ordered)
    assert isinstance(model_of(without), SparseModel)


@pytest.mark.parametrize("automatic", [None, False])
def test_arrays_have_sparse_tables_as_frames_have(automatic, tmp_path) -> None:
    frame, _ = crowd(4, 400)
    answers = Answers.from_frame(frame)
    array = np.full((answers.n_tasks, answers.n_workers), -1)
    array[answers.task, answers.worker] = answers.hard_label
    model = DEEM(n_classes=answers.n_classes, auto_hyperparameters=automatic, progress=False).fit(
        array
    )
    whole = fitted(frame, automatic)
    assert isinstance(model_of(whole), SparseModel)
    assert isinstance(model._model(), SparseModel)
    assert not hasattr(model, "model_")
    codes = answers.classes.get_indexer(pd.Index(whole.labels_))
    np.testing.assert_array_equal(model.labels_, codes)
    np.testing.assert_allclose(model.probas_, whole.probas_.to_numpy(), atol=1e-12)
    np.testing.assert_allclose(model.skills_, whole.skills_.to_numpy(), atol=1e-12)
    labels, probabilities = model.predict(array, return_probs=True)
    np.testing.assert_array_equal(labels, model.labels_)
    np.testing.assert_allclose(probabilities, model.probas_, atol=1e-9)
    model.save(tmp_path / "model")
    again = DEEM.load(tmp_path / "model")
    np.testing.assert_allclose(again.predict_proba(array), probabilities, atol=1e-12)
    grown = DEEM(n_classes=answers.n_classes, auto_hyperparameters=automatic, progress=False)
    grown.partial_fit(array[:300]).partial_fit(array[300:])
    np.testing.assert_array_equal(grown.labels_, model.labels_)
    assert model.reset_class_mapping() is model
    dense = model.fit(np.where(array >= 0, array % 3, -1))
    assert hasattr(dense, "model_")


def test_votes_are_mixed_in_as_the_dense_pool_mixes_them() -> None:
    answers = Answers.from_frame(crowd(n=40, k=4, d=9)[0], classes=[0, 1, 2, 3])
    layout = NamedClasses(answers, every=True)
    rng = np.random.default_rng(0)
    posterior = rng.dirichlet(np.ones(4), 40)
    size = layout.answers_of_task[:, None] + 1
    votes = (layout.votes.reshape(40, 4) + 0.25) / size
    dense = with_votes(torch.from_numpy(posterior), torch.from_numpy(votes), 0.6)
    share, rest = selection._with_votes(layout, (posterior.ravel(), np.zeros(40)), 0.6)
    assert share.reshape(40, 4) == pytest.approx(dense.numpy())
    assert rest == pytest.approx(np.zeros(40))
