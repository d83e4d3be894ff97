"""Labels and a classifier learned together, as users of the two estimators see them."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.neighbors import KNeighborsClassifier

from deem_crowd import DEEM, Answers, DataError, DataWarning, DEEMAggregator, ParameterError
from deem_crowd.exceptions import FormError, UnsupportedError
from deem_crowd.features import logistic, rows
from deem_crowd.features.learned import one_sided_share
from deem_crowd.features.learners import LogisticLearner, SklearnLearner, settled
from deem_crowd.features.neighbours import NeighbourLearner
from deem_crowd.features.scaling import Scaling

SETS = Path(__file__).parents[3] / "shared" / "data" / "features"


def crowd(truth, n_answers, seed, right=0.75, n_workers=12):
    """Draw a crowd with even errors over the classes 'no' and 'yes', or 0, 1, 2 …"""
    rng = np.random.default_rng(seed)
    k = int(truth.max()) + 1
    task = np.repeat(np.arange(len(truth)), n_answers)
    worker = np.concatenate([rng.choice(n_workers, n_answers, replace=False) for _ in truth])
    wrong = (truth[task] + rng.integers(1, k, len(task))) % k
    label = np.where(rng.random(len(task)) < right, truth[task], wrong)
    return pd.DataFrame({"task": task, "worker": worker, "label": label})


@pytest.fixture(scope="module")
def cancer():
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order], y[order]
    frame = crowd(y[:300], 2, 1)
    names = np.array(["no", "yes"])
    frame["label"] = names[frame["label"]]
    frame["task"] = "t" + frame["task"].astype(str)
    features = pd.DataFrame(x, index=[f"t{i}" for i in range(len(y))])
    return frame, features, pd.Series(names[y], index=features.index)


@pytest.fixture(scope="module")
def fitted(cancer):
    frame, features, _ = cancer
    return DEEMAggregator(random_state=0).fit(frame, features=features.iloc[:300])


def test_features_settle_what_two_answers_leave_open(cancer, fitted):
    frame, features, truth = cancer
    alone = DEEMAggregator(random_state=0).fit_predict(frame)
    told = truth[fitted.labels_.index]
    assert fitted.features_use_.startswith("joint: ")
    assert (fitted.labels_ == told).mean() > (alone == told).mean() + 0.1
    new = features.iloc[300:]
    assert (fitted.classifier_.predict(new.to_numpy()) == truth[new.index]).mean() > 0.9


def test_results_have_the_form_of_a_fit_without_features(cancer, fitted):
    frame, _, _ = cancer
    alone = DEEMAggregator(random_state=0).fit(frame)
    pd.testing.assert_index_equal(fitted.labels_.index, alone.labels_.index)
    pd.testing.assert_index_equal(fitted.skills_.index, alone.skills_.index)
    pd.testing.assert_index_equal(fitted.probas_.columns, alone.probas_.columns)
    np.testing.assert_allclose(fitted.probas_.sum(axis=1), 1)
    np.testing.assert_allclose(fitted.errors_.groupby(level="worker").sum(), 1)
    assert len(fitted.tasks_) == 300
    assert "300 tasks" in fitted.summary()


@pytest.mark.parametrize("form", ["array", "sparse", "tensor", "column", "shuffled"])
def test_the_form_of_features_changes_nothing(cancer, form):
    frame, features, _ = cancer
    tasks = Answers.from_frame(frame.sample(frac=1, random_state=1)).tasks
    x = features.loc[tasks]
    given = {
        "array": x.to_numpy,
        "sparse": lambda: sparse.csr_matrix(x.to_numpy()),
        "tensor": lambda: torch.tensor(x.to_numpy()),
        "column": lambda: x.rename_axis("task").reset_index(),
        "shuffled": lambda: x.sample(frac=1, random_state=0),
    }[form]()
    found = rows.read(given, tasks)
    values = found.x.toarray() if form == "sparse" else found.x
    np.testing.assert_array_equal(values, x.to_numpy(dtype=np.float32))
    np.testing.assert_array_equal(found.place, np.arange(300))


@pytest.mark.usefixtures("few_fits")
def test_sparse_features(cancer):
    frame, features, truth = cancer
    x = sparse.csr_matrix(features.to_numpy()[:300] / features.to_numpy().max(axis=0))
    found = DEEMAggregator(random_state=0).fit(frame, features=x)
    told = truth[found.labels_.index]
    assert (found.labels_ == told).mean() > (DEEMAggregator().fit_predict(frame) == told).mean()


@pytest.mark.usefixtures("few_fits")
def test_tasks_without_features_go_by_their_answers(cancer):
    frame, features, truth = cancer
    found = DEEMAggregator(random_state=0).fit(frame, features=features.iloc[:200])
    assert found.labels_.notna().all()
    told = truth[found.labels_.index]
    right = found.labels_ == told
    assert right.iloc[:200].mean() > right.iloc[200:].mean()


@pytest.mark.usefixtures("few_fits")
def test_tasks_without_answers_get_a_label_from_their_features(cancer):
    frame, features, truth = cancer
    frame = frame.copy()
    silent = [f"t{i}" for i in range(20)]
    frame.loc[frame["task"].isin(silent), "label"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        found = DEEMAggregator(random_state=0, missing="drop").fit(
            frame, features=features.iloc[:300]
        )
    assert (found.labels_[silent] == truth[silent]).mean() > 0.8


@pytest.mark.usefixtures("few_fits")
def test_known_labels_stand(cancer):
    frame, features, truth = cancer
    gold = truth.iloc[:30].map({"no": "yes", "yes": "no"})  # whatever features and answers say
    found = DEEMAggregator(random_state=0).fit(frame, gold, features=features.iloc[:300])
    assert (found.labels_[gold.index] == gold).all()


def test_new_tasks_by_answers_and_features(cancer, fitted):
    _, features, truth = cancer
    new = crowd((truth.iloc[300:] == "yes").to_numpy().astype(int), 1, 5)
    new["label"] = np.array(["no", "yes"])[new["label"]]
    new["task"] = "t" + (new["task"] + 300).astype(str)
    rows = features.iloc[300:]
    both = fitted.predict(new, features=rows)
    told = truth[both.index]
    assert (both == told).mean() > (fitted.predict(new) == told).mean() + 0.1
    np.testing.assert_allclose(fitted.predict_proba(new, features=rows).sum(axis=1), 1)


@pytest.mark.usefixtures("few_fits")
def test_arrays(cancer):
    _, features, truth = cancer
    x = features.to_numpy()[:300]
    y = (truth.iloc[:300] == "yes").to_numpy().astype(int)
    frame = crowd(y, 3, 3, n_workers=6)
    matrix = np.full((300, 6), -1)
    matrix[frame["task"], frame["worker"]] = frame["label"]
    alone = DEEM(random_state=0).fit(matrix)
    found = DEEM(random_state=0).fit(matrix, features=x)
    assert (found.labels_ == y).mean() > (alone.labels_ == y).mean() + 0.05
    assert found.predict_proba(matrix, features=x).shape == (300, 2)
    assert (found.predict(matrix, features=x) == y).mean() > 0.9
    assert set(found.classifier_.classes_) == {0, 1}


@pytest.mark.usefixtures("few_fits")
def test_frames_of_answers_and_of_features_meet_by_index():
    """Integers that do not begin at 0 were taken for row numbers."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=80)
    x = rng.normal(size=(80, 2)) + 2 * y[:, None]
    matrix = np.where(rng.random((80, 4)) < 0.7, y[:, None], 1 - y[:, None])
    model = DEEM(random_state=0, classifier=LogisticRegression())
    by_row = model.fit(matrix, features=x).predict_proba(matrix, features=x)
    answers = pd.DataFrame(matrix, index=np.arange(30, 110), columns=list("abcd"))
    shuffled = pd.DataFrame(x, index=answers.index).sample(frac=1, random_state=1)
    model.fit(answers, features=shuffled)
    np.testing.assert_allclose(model.predict_proba(answers, features=shuffled), by_row, atol=1e-9)
    assert (model.predict(answers, features=shuffled) == by_row.argmax(1)).all()
    with pytest.warns(DataWarning, match=r"1 row for tasks that are not among the answers \(0\)"):
        model.predict(answers, features=pd.concat([shuffled, shuffled.iloc[:1].set_axis([0])]))
    ids = shuffled.rename_axis("task").reset_index()
    np.testing.assert_allclose(model.predict_proba(answers, features=ids), by_row, atol=1e-9)
    for name in ("item_id", "photo"):  # a well-known name of ids, and that of the index
        with pytest.raises(DataError, match=rf"column '{name}' of the features holds tasks"):
            model.predict(answers.rename_axis("photo"), features=ids.rename(columns={"task": name}))
    with pytest.raises(DataError, match=r"holds 1 id more than once \(31\)"):
        model.predict(answers.set_axis([31, *answers.index[1:]]), features=shuffled)
    with pytest.raises(DataError, match=r"the answers as '1', '2', '3'.*astype\(df.index.dtype\)"):
        model.predict(
            answers.set_axis(map(str, range(1, 81))), features=shuffled.set_axis(range(1, 81))
        )
    parts = pd.MultiIndex.from_product([range(8), range(10)])
    with pytest.raises(DataError, match=r"none of the 80 rows of features"):
        model.predict(answers, features=shuffled.set_axis(parts))


@pytest.mark.usefixtures("few_fits")
@pytest.mark.parametrize(
    "classifier",
    [LogisticRegression(C=0.01, max_iter=20), KNeighborsClassifier(15)],
)
def test_any_classifier_of_scikit_learn(cancer, classifier):
    frame, features, truth = cancer
    x = (features - features.mean()) / features.std()
    found = DEEMAggregator(random_state=0, classifier=classifier).fit(frame, features=x.iloc[:300])
    assert type(found.classifier_) is type(classifier)
    assert not hasattr(classifier, "classes_")  # fits are made on copies
    assert set(found.classifier_.classes_) == {"no", "yes"}
    alone = DEEMAggregator(random_state=0).fit_predict(frame)
    told = truth[found.labels_.index]
    assert (found.labels_ == told).mean() > (alone == told).mean()


class OnlyNo(LogisticRegression):
    """Has never heard of the second class."""

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        self.classes_ = self.classes_[:1]
        return self

    def predict_proba(self, X):
        return np.ones((len(X), 1))


def test_a_classifier_that_misses_a_class_does_no_harm(cancer):
    frame, features, _ = cancer
    classifier = OnlyNo(max_iter=10)
    with pytest.warns(DataWarning, match="features are not used"):
        found = DEEMAggregator(random_state=0, classifier=classifier).fit(
            frame, features=features.iloc[:300, :3]
        )
    pd.testing.assert_series_equal(found.labels_, DEEMAggregator(random_state=0).fit_predict(frame))


def test_random_features_change_nothing(cancer):
    frame, _, _ = cancer
    alone = DEEMAggregator(random_state=0).fit(frame)
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(size=(300, 30))
        with pytest.warns(DataWarning, match="the features are not used"):
            found = DEEMAggregator(random_state=0).fit(frame, features=noise)
        pd.testing.assert_frame_equal(found.probas_, alone.probas_)


@pytest.mark.usefixtures("few_fits")
def test_duplicate_and_constant_columns_do_no_harm(cancer, fitted):
    frame, features, _ = cancer
    x = features.iloc[:300]
    more = pd.concat([x, x, pd.DataFrame({"one": 1.0}, index=x.index)], axis=1)
    more.columns = range(more.shape[1])
    found = DEEMAggregator(random_state=0).fit(frame, features=more)
    assert (found.labels_ == fitted.labels_).mean() > 0.95


def test_too_little_to_learn_from(cancer):
    frame, features, _ = cancer
    few = frame[frame["task"].isin([f"t{i}" for i in range(8)])]
    alone = DEEMAggregator(random_state=0).fit_predict(few)
    with pytest.warns(DataWarning, match="8 tasks have both answers and features"):
        found = DEEMAggregator(random_state=0).fit(few, features=features.iloc[:8])
    pd.testing.assert_series_equal(found.labels_, alone)
    assert found.classifier_ is None
    with pytest.raises(AttributeError, match="after fit"):
        _ = DEEMAggregator().classifier_
    with pytest.warns(DataWarning, match="constant"):
        DEEMAggregator(random_state=0).fit(frame, features=np.ones((300, 3)))


def bad(x):
    holed = x.copy()
    holed.iloc[[3, 5], 0] = np.nan
    texts = x.assign(kind="red")
    return {
        "strangers": (
            x.set_axis([f"u{i}" for i in range(len(x))]),
            DataError,
            "none of the 300 rows",
        ),
        "missing": (holed, DataError, r"in 1 column, \d+, for 2 tasks: 't3', 't5'"),
        "infinite": (x.replace(x.iloc[0, 0], np.inf), DataError, "missing or infinite"),
        "huge": (x * 1e38, DataError, "missing or infinite"),
        "twice": (pd.concat([x, x.iloc[:1]]), DataError, "more than one row: 't0'"),
        "texts": (texts, FormError, "1 column without numbers: 'kind'"),
        "lists": (
            pd.DataFrame({"task": x.index, "vector": list(x.to_numpy())}),
            FormError,
            r"without numbers: 'vector'.*np.stack\(features\['vector'\]\), features.task",
        ),
        "ids": (
            x.rename_axis("item_id").reset_index(),
            DataError,
            r"column 'item_id' of the features holds tasks.*set_index\('item_id'\)",
        ),
        "path": ("x.parquet", FormError, "the text 'x.parquet'; read the file first"),
        "rows": (x.to_numpy()[:7], DataError, "7 rows, and there are 300 tasks"),
        "vector": (np.zeros(300), FormError, "shape"),
        "no column": (x[[]], FormError, "no column"),
    }


@pytest.mark.parametrize(
    "name",
    [
        "strangers",
        "missing",
        "infinite",
        "huge",
        "twice",
        "texts",
        "lists",
        "ids",
        "path",
        "rows",
        "vector",
        "no column",
    ],
)
def test_bad_features_leave_the_object_as_it_was(cancer, name):
    frame, features, _ = cancer
    given, error, message = bad(features.iloc[:300])[name]
    model = DEEMAggregator(random_state=0).fit(frame)
    before = dict(model.__dict__)
    with pytest.raises(error, match=message):
        model.fit(frame, features=given)
    assert model.__dict__.keys() == before.keys()
    assert all(model.__dict__[key] is value for key, value in before.items())


def test_a_classifier_without_probabilities_is_refused(cancer):
    frame, features, _ = cancer
    model = DEEMAggregator(classifier=Perceptron())
    with pytest.raises(ParameterError, match="Perceptron has no predict_proba"):
        model.fit(frame, features=features.iloc[:300])
    assert "labels_" not in model.__dict__
    with pytest.raises(ParameterError, match=r"is a class: .* such as LogisticRegression\(\)"):
        DEEMAggregator(classifier=LogisticRegression).fit(frame, features=features.iloc[:300])


class Broken(LogisticRegression):
    """Fails in the middle."""

    def predict_proba(self, X):
        raise RuntimeError("out of order")


@pytest.mark.parametrize("kind", [DEEM, DEEMAggregator])
def test_a_classifier_that_fails_leaves_the_object_as_it_was(cancer, kind):
    frame, features, _ = cancer
    answers = frame.head(120)
    x = features.loc[answers["task"].unique()].iloc[:, :2]
    if kind is DEEM:
        answers = np.random.default_rng(0).integers(0, 2, (60, 3))
        x = np.random.default_rng(1).normal(size=(60, 2))
    model = kind(random_state=0).fit(answers)
    before = dict(model.__dict__)
    model.set_params(classifier=Broken(max_iter=5))
    before["classifier"] = model.classifier
    with pytest.raises(RuntimeError, match="out of order"):
        model.fit(answers, features=x)
    assert model.__dict__.keys() == before.keys()
    assert all(model.__dict__[key] is value for key, value in before.items())


def test_a_class_that_a_fold_lacks_has_a_share_all_the_same():
    """A fold's classifier that never saw a class gives it little, and not nothing."""
    rng = np.random.default_rng(0)
    targets = np.eye(3)[np.append(rng.integers(0, 2, 49), 2)]  # one row of the last class
    fold, weights = np.arange(50) % 5, np.ones(50)
    x = rng.normal(size=(50, 2)).astype(np.float32)
    for learner in (LogisticLearner(), SklearnLearner(LogisticRegression()), NeighbourLearner()):
        log_q = settled(learner, x, targets, weights, fold)
        assert np.isfinite(log_q).all()
        np.testing.assert_allclose(np.exp(log_q).sum(axis=1), 1, atol=1e-6)


def test_a_target_of_one_class_is_learned_by_any_classifier():
    targets = np.tile([0.0, 1.0], (12, 1))
    for classifier in (LogisticRegression(), KNeighborsClassifier(3)):
        told = (
            SklearnLearner(classifier).fit(np.eye(12), targets, np.ones(12)).log_proba(np.eye(12))
        )
        assert (np.exp(told)[:, 1] > 0.99).all()


def test_features_that_the_model_does_not_know(cancer, fitted):
    frame, features, _ = cancer
    alone = DEEMAggregator(random_state=0).fit(frame)
    with pytest.raises(UnsupportedError, match="knows no features"):
        alone.predict(frame, features=features.iloc[:300])
    with pytest.raises(DataError, match="2 columns, and the model was fitted with 30"):
        fitted.predict(frame, features=features.iloc[:300, :2].to_numpy())


@pytest.mark.usefixtures("few_fits")
def test_columns_go_by_their_names(tmp_path):
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 2
    x = pd.DataFrame({"a": truth + 0.3 * rng.normal(size=60), "b": rng.normal(size=60) - 3})
    answers = crowd(truth, 3, 0, right=0.85)
    model = DEEMAggregator(random_state=0, progress=False).fit(answers, features=x)
    model.save(tmp_path / "model.deem")
    some = crowd(truth, 1, 1)
    asked = some[some["task"] < 20]
    for one in (model, DEEMAggregator.load(tmp_path / "model.deem")):
        told = one.predict_proba(asked, features=x[:20])
        pd.testing.assert_frame_equal(one.predict_proba(asked, features=x[:20][["b", "a"]]), told)
        with pytest.raises(DataError, match="lack 'b' and have 'c' instead: they have 2 columns"):
            one.predict(asked, features=x[:20].rename(columns={"b": "c"}))
        with pytest.raises(DataError, match="also have 'c': they have 3 columns"):
            one.predict(asked, features=x[:20].assign(c=1.0))
        learned = one.classifier_
        assert list(learned.feature_names_in_) == ["a", "b"]
        new = learned.predict_proba(x[["b", "a"]].assign(task=range(60)))
        np.testing.assert_array_equal(new, learned.predict_proba(x))
        np.testing.assert_array_equal(new, learned.predict_proba(x.to_numpy()))
        with pytest.raises(DataError, match="lack 'b'"):
            learned.predict(x[["a"]])
        assert clone(learned).fit(x[["b", "a"]], truth).score(x, truth) > 0.9


def test_numbers_and_ids_of_another_dtype():
    tasks = pd.Index([7, 8])
    frame = pd.DataFrame({"a": [1, 2.5]}, index=["7", "8"], dtype=object)
    with pytest.raises(DataError, match="features name tasks as '7', '8' .*astype"):
        rows.read(frame, tasks)
    found = rows.read(frame.set_axis([8, 7]), tasks)
    np.testing.assert_array_equal(found.x, [[2.5], [1]])


def test_a_fit_without_features_forgets_them(cancer, fitted):
    frame, _, _ = cancer
    model = copy.copy(fitted)
    model.fit(frame)
    assert model.features_use_ is None
    pd.testing.assert_frame_equal(model.probas_, DEEMAggregator(random_state=0).fit(frame).probas_)


def test_the_regression_is_at_its_minimum():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    targets = rng.dirichlet(np.ones(3), 60)
    ridge = 0.05

    def loss(flat):
        table = flat.reshape(5, 3)
        log_p = logistic.log_softmax(x @ table[:4] + table[4])
        return -(targets * log_p).sum(1).mean() + ridge / 2 * (table[:4] ** 2).sum()

    oracle = optimize.minimize(loss, np.zeros(15), method="BFGS", options={"gtol": 1e-8})
    found = logistic.fit_soft(x, targets, ridge)
    assert loss(np.append(found.weight.ravel(), found.intercept)) == pytest.approx(
        oracle.fun, abs=1e-5
    )
    sparse_one = logistic.fit_soft(sparse.csr_array(x), targets, ridge)
    np.testing.assert_allclose(sparse_one.weight, found.weight, atol=2e-3)


def test_the_scaling_is_at_its_maximum():
    rng = np.random.default_rng(1)
    log_q = logistic.log_softmax(rng.normal(size=(200, 3)))
    posterior = rng.dirichlet(np.ones(3), 200)
    found = Scaling.none(3).fitted(log_q, posterior, np.ones(200))

    def loss(at):
        return -(posterior * logistic.log_softmax(at[0] * log_q + at[1:])).sum(1).mean()

    oracle = optimize.minimize(loss, [1.0, 0, 0, 0]).fun
    assert loss(np.append(found.weight, found.offset)) == pytest.approx(oracle, abs=1e-5)


def test_the_public_regression_says_what_the_fit_says(cancer, fitted):
    _, features, _ = cancer
    state = fitted.__dict__["_features"]
    x = features.to_numpy()[300:].astype(np.float32)
    inner = np.exp(state.predictor.log_proba(x))
    assert (fitted.classifier_.predict_proba(x).argmax(1) == inner.argmax(1)).mean() > 0.97
    assert list(fitted.classifier_.classes_) == ["no", "yes"]


def test_one_sided_sources():
    rng = np.random.default_rng(0)
    task, label = np.arange(100), rng.integers(0, 2, 100)
    rules = pd.DataFrame({"task": task, "worker": label, "label": label})  # each names one class
    assert one_sided_share(Answers.from_frame(rules)) == 1.0
    crowd_ = pd.DataFrame({"task": task, "worker": task % 5, "label": label})
    assert one_sided_share(Answers.from_frame(crowd_)) == 0.0


def test_rules_that_name_one_class_are_multiplied_by_a_classifier_of_their_posterior():
    rng = np.random.default_rng(0)
    n = 400
    truth = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 4)) + 1.2 * truth[:, None]
    rows_ = []
    for worker in range(8):
        label = worker % 2
        speaks = rng.random(n) < np.where(truth == label, 0.5, 0.15) * (1 if label else 0.5)
        rows_.append(
            pd.DataFrame({"task": np.flatnonzero(speaks), "worker": worker, "label": label})
        )
    frame = pd.concat(rows_, ignore_index=True)
    index = pd.RangeIndex(n)
    some = index[index.isin(frame["task"])]
    alone = DEEMAggregator(random_state=0).fit(frame)
    found = DEEMAggregator(random_state=0).fit(frame, features=pd.DataFrame(x, index).loc[some])
    assert found.features_use_.startswith("product: most sources speak for one class")
    right = truth[alone.labels_.index]
    assert (found.labels_ == right).mean() > (alone.labels_ == right).mean() + 0.02


def test_youtube_rules_do_not_collapse():
    folder = SETS / "youtube"
    if not folder.exists():
        pytest.skip("needs the development data, ../shared/data/features/youtube")
    labels = pd.read_csv(folder / "labels.csv.gz", dtype=str)
    truth = pd.read_csv(folder / "truth.csv.gz", dtype=str).set_index("task")["label"]
    tasks = pd.read_csv(folder / "tasks.csv.gz", dtype=str).iloc[:, 0]
    x = pd.DataFrame(np.load(folder / "features.npz")["X"].astype(np.float32), index=tasks)
    some = tasks[tasks.isin(labels["task"])]
    alone = DEEMAggregator().fit_predict(labels)
    found = DEEMAggregator().fit(labels, features=x.loc[some])
    assert found.features_use_.startswith("product")
    told = truth[alone.index]
    right = (found.labels_ == told).mean()
    assert right > 0.9  # the vote has 0.86
    assert right > (alone == told).mean() - 0.01
