"""Labels and a classifier learned together, as users of the two estimators see them."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from featured_crowd import cancer, crowd, fitted
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from deem_crowd import DEEM, Answers, DataError, DataWarning, DEEMAggregator
from deem_crowd.features import rows

__all__ = ["cancer", "fitted"]


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


def test_a_fit_without_features_forgets_them(cancer, fitted):
    frame, _, _ = cancer
    model = copy.copy(fitted)
    model.fit(frame)
    assert model.features_use_ is None
    pd.testing.assert_frame_equal(model.probas_, DEEMAggregator(random_state=0).fit(frame).probas_)
