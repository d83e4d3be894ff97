"""DEEM: arrays in, arrays out, with scikit-learn's habits."""

from __future__ import annotations

import copy
import itertools
import pickle
import random
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from deem_crowd import DEEM, Answers
from deem_crowd.exceptions import DataError, DataWarning, FormError, ParameterError
from deem_crowd.model.design import DesignMatrix

K = 3


def ensemble(seed: int = 0, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K, n)
    skills = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    matrix = np.where(rng.random((n, 5)) < skills, truth[:, None], rng.integers(0, K, (n, 5)))
    matrix[rng.random(matrix.shape) < 0.2] = -1
    matrix[(matrix < 0).all(1), 0] = 0
    return matrix, truth


X, Y = ensemble()
SOFT = np.eye(K)[X.clip(0)].transpose(0, 2, 1) * (X >= 0)[:, None, :]


@pytest.fixture(scope="module")
def model() -> DEEM:
    return DEEM().fit(X)


def test_attributes_and_shapes(model) -> None:
    assert (model.n_classes_, model.n_classifiers_, model.is_fitted_) == (K, 5, True)
    assert model.priors_.shape == (K,)
    assert model.skills_.shape == (5,)
    assert model.confusion_.shape == (5, K, K)
    np.testing.assert_allclose(model.confusion_.sum(axis=1), 1)
    assert np.argsort(model.skills_)[::-1][:2].tolist() == [0, 1]
    assert model.model_.n_states == K


def test_predict_proba_and_score_belong_together(model) -> None:
    labels, probs = model.predict(X, return_probs=True)
    np.testing.assert_array_equal(labels, probs.argmax(1))
    np.testing.assert_allclose(probs.sum(1), 1)
    np.testing.assert_array_equal(probs, model.predict_proba(X))
    assert model.score(X, Y) == (labels == Y).mean() > 0.85


def test_score_ignores_tasks_without_truth_and_never_learns_from_it(model) -> None:
    partial = np.where(np.arange(len(Y)) < 50, Y, -1)
    assert model.score(X, partial) == (model.predict(X)[:50] == Y[:50]).mean()
    permuted = (Y + 1) % K
    assert model.score(X, permuted) < 0.2
    with pytest.raises(DataError, match="nothing can be scored"):
        model.score(X, np.full(len(Y), -1))


def test_hard_answers_and_the_same_as_distributions_give_the_same(model) -> None:
    soft = DEEM().fit(SOFT)
    np.testing.assert_allclose(soft.predict_proba(SOFT), model.predict_proba(X), atol=1e-9)
    np.testing.assert_allclose(model.predict_proba(SOFT), model.predict_proba(X), atol=1e-9)


def test_uncertain_distributions_count_for_less_than_certain_ones(model) -> None:
    doubtful = SOFT * 0.5 + (SOFT.sum(1, keepdims=True) / K) * 0.5
    sure, unsure = model.predict_proba(SOFT), model.predict_proba(doubtful)
    assert unsure.max(1).mean() < sure.max(1).mean()


def test_tensors_and_answers_are_taken_too(model) -> None:
    expected = model.predict_proba(X)
    np.testing.assert_allclose(DEEM().fit(torch.from_numpy(X)).predict_proba(X), expected)
    np.testing.assert_allclose(DEEM().fit(Answers.from_dense(X)).predict_proba(X), expected)


def test_labels_are_for_monitoring_alone(model) -> None:
    watched = DEEM().fit(X, (Y + 1) % K)
    np.testing.assert_array_equal(watched.predict_proba(X), model.predict_proba(X))
    watched = DEEM().fit(X, Y)
    assert watched.history_["accuracy"] == [watched.score(X, Y)]
    assert len(watched.history_["log_likelihood"]) > 1


@pytest.mark.parametrize("auto", [None, False])
def test_gold_may_be_a_class_that_nobody_answered(auto) -> None:
    gold = np.full(len(X), -1)
    gold[5] = 3
    model = DEEM(n_classes=5, auto_hyperparameters=auto).fit(X, y=gold, gold=gold)
    assert model.history_["accuracy"] == [1.0]
    assert model.priors_[3] > 0
    assert model.priors_[4] == 0
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)


def test_gold_clamps(model) -> None:
    gold = np.full(len(Y), -1)
    gold[0] = (model.predict(X)[0] + 1) % K
    assert DEEM().fit(X, gold=gold).labels_[0] == gold[0]
    with pytest.raises(DataError, match="gold holds 1 value that is not a class: 7"):
        DEEM().fit(X, gold=np.where(np.arange(len(Y)) == 3, 7, -1))


def test_align_to_renames_classes_for_this_call_only(model) -> None:
    renamed = model.predict(X, align_to=(Y + 1) % K)
    np.testing.assert_array_equal(renamed, (model.predict(X) + 1) % K)
    labels, probs = model.predict(X, return_probs=True, align_to=(Y + 1) % K)
    np.testing.assert_array_equal(labels, probs.argmax(1))


def test_states_are_named_by_majority_vote_whatever_the_start() -> None:
    clear, _ = ensemble(3, 600)
    votes = np.stack([(clear == c).sum(1) for c in range(K)], axis=1)
    vote = votes.argmax(1)
    for seed in range(5):
        model = DEEM(init_method="rand", random_state=seed).fit(clear)
        posterior = model.predict_proba(clear)
        agreement = {
            order: sum(posterior[vote == c, order[c]].sum() for c in range(K))
            for order in itertools.permutations(range(K))
        }
        assert agreement[tuple(range(K))] == pytest.approx(max(agreement.values()))
    mapped = DEEM(init_method="rand", random_state=0).fit(clear)
    before, mapping = mapped.predict_proba(clear), mapped.get_class_mapping()
    raw = mapped.reset_class_mapping().predict_proba(clear)
    assert mapped.get_class_mapping() == {0: 0, 1: 1, 2: 2}
    for state, name in mapping.items():
        np.testing.assert_allclose(raw[:, state], before[:, name])
    assert mapped.priors_[list(mapping)].sum() == pytest.approx(1)


def test_classes_that_never_occur_get_no_probability(model) -> None:
    wide = DEEM(n_classes=K + 2).fit(X)
    np.testing.assert_allclose(wide.predict_proba(X)[:, :K], model.predict_proba(X), atol=1e-9)
    assert wide.predict_proba(X)[:, K:].max() == 0


def test_scikit_learns_tools(model) -> None:
    search = GridSearchCV(DEEM(n_classes=K), {"penalty": ["learned", 1.0], "epochs": [5, 50]}, cv=3)
    with pytest.warns(match="training stopped"):
        search.fit(X, Y)
    assert search.best_score_ > 0.8
    other = clone(DEEM(subtypes=2, gauge="free"))
    assert (other.subtypes, other.gauge, other.is_fitted_) == (2, "free", False)
    pipeline = make_pipeline(FunctionTransformer(lambda a: a), DEEM())
    assert pipeline.fit(X).predict(X).shape == (len(X),)
    check_is_fitted(model)
    with pytest.raises(NotFittedError):
        check_is_fitted(DEEM())


def test_row_predict_with_another_number_of_columns(model) -> None:
    with pytest.raises(NotFittedError, match=r"call fit\(predictions\) first"):
        DEEM().predict(X)
    with pytest.raises(DataError, match="predictions have 4 columns .* fitted with 5"):
        model.predict(X[:, :4])


def test_row_rows_of_nothing_get_no_label_and_the_prior(model) -> None:
    new = np.vstack([X[:3], np.full((1, 5), -1)])
    with pytest.warns(match="1 task without answers"):
        labels, probs = model.predict(new, return_probs=True)
    assert labels[-1] == -1
    np.testing.assert_allclose(probs[-1], model.priors_, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DEEM(seed=3), "no parameter 'seed'. Did you mean 'random_state'"),
        (lambda: DEEM(epoch=3), "DEEM has no parameter 'epoch'. Did you mean 'epochs'"),
        (lambda: DEEM().fit(X, epoch=3), "no parameter 'epoch'. Did you mean 'epochs'"),
        (
            lambda: DEEM(epochs=-1).fit(X),
            "epochs=-1 is not allowed: epochs is an integer >= 0 or None",
        ),
        (
            lambda: DEEM(init_method="nope").fit(X),
            "init_method is one of 'mv', 'mv_rand', 'mv_lo', 'rand'",
        ),
        (lambda: DEEM(device="gpu").fit(X), "device='gpu' is no torch device"),
        (lambda: DEEM(dtype="float16").fit(X), "dtype is one of 'auto', 'float32', 'float64'"),
    ],
)
def test_row_bad_parameters(make, words) -> None:
    with pytest.raises(ParameterError, match=words):
        make()


def test_a_failed_or_interrupted_fit_leaves_the_object_as_it_was(monkeypatch) -> None:
    model = DEEM().fit(X)
    before = dict(vars(model))
    with pytest.raises(FormError):
        model.fit(X[0])
    monkeypatch.setattr(
        DesignMatrix, "expected_counts", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert all(vars(model)[key] is before[key] for key in before)


def test_overrides_hold_for_one_fit_only() -> None:
    model = DEEM(auto_hyperparameters=False)
    with pytest.warns(match="training stopped after 1 pass"):
        model.fit(X, epochs=1)
    assert model.epochs is None
    assert len(model.history_["log_likelihood"]) == 1


def test_row_any_number_of_tasks_and_workers() -> None:
    for shape in ((1, 1), (1, 5), (5, 1), (2, 2)):
        model = DEEM(n_classes=2).fit(np.zeros(shape, dtype=int))
        assert model.predict(np.zeros(shape, dtype=int)).tolist() == [0] * shape[0]
    with pytest.warns(match="without answers"):
        empty = DEEM(n_classes=2).fit(np.full((3, 2), -1))
    with pytest.warns(match="without answers"):
        assert empty.predict(np.full((3, 2), -1)).tolist() == [-1] * 3


def test_row_fit_twice_random_state_and_global_generators() -> None:
    model = DEEM(init_method="mv_rand", random_state=3).fit(ensemble(1)[0])
    legacy, draw = np.random.get_state, np.random.random
    random.random(), draw(), torch.rand(1)  # or a fit that seeds would go unseen the second time
    before = (random.getstate(), legacy()[1].tolist(), torch.get_rng_state())
    model.fit(X)
    assert random.getstate() == before[0]
    assert legacy()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    fresh = DEEM(init_method="mv_rand", random_state=3).fit(X)
    np.testing.assert_array_equal(model.predict_proba(X), fresh.predict_proba(X))
    other = DEEM(init_method="rand", random_state=4, epochs=0).fit(X)
    assert not np.array_equal(other.model_.weight, fresh.model_.weight)


def test_missing_slices_are_zeros_or_nan_alike(model) -> None:
    nan = np.where((X >= 0)[:, None, :], SOFT, np.nan)
    np.testing.assert_array_equal(model.predict_proba(nan), model.predict_proba(SOFT))


def test_each_task_is_predicted_by_itself(model) -> None:
    whole = model.predict_proba(X)
    parts = np.vstack([model.predict_proba(X[:1]), model.predict_proba(X[1:])])
    np.testing.assert_allclose(parts, whole, atol=1e-12)


def test_a_first_fit_that_fails_leaves_the_object_unfitted() -> None:
    model = DEEM()
    with pytest.raises(DataError):
        model.fit(X - 2)
    assert not model.is_fitted_
    assert not [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]
    with pytest.raises(NotFittedError):
        model.predict(X)


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "joblib"])
def test_row_copies_predict_the_same(model, way, tmp_path) -> None:
    if way == "joblib":
        joblib.dump(model, tmp_path / "model")
        other = joblib.load(tmp_path / "model")
    else:
        other = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    assert other.get_params() == model.get_params()
    assert other.get_class_mapping() == model.get_class_mapping()


def test_nested_lists_are_arrays(model) -> None:
    expected = model.predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X.tolist()), expected)
    np.testing.assert_array_equal(model.predict_proba(SOFT.tolist()), model.predict_proba(SOFT))


def test_random_state_may_be_a_numpy_integer() -> None:
    one = DEEM(init_method="rand", random_state=np.int64(3)).fit(X)
    other = DEEM(init_method="rand", random_state=3).fit(X)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_classes_can_be_aligned_to_a_matrix_of_answers() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(3, size=200)
    votes = np.where(rng.random((200, 5)) < 0.8, truth[:, None], rng.integers(3, size=(200, 5)))
    model = DEEM().fit(votes)
    shifted = (votes + 1) % 3
    assert np.array_equal(model.predict(votes, align_to=votes), model.predict(votes))
    assert np.array_equal(model.predict(votes, align_to=shifted), (model.predict(votes) + 1) % 3)
    assert np.array_equal(model.predict(votes[:7], align_to=votes), model.predict(votes[:7]))


# ------------------------------------------------------------------ partial_fit


@pytest.mark.parametrize("auto", [None, False])
@pytest.mark.parametrize("soft", [False, True])
def test_partial_fit_of_rows_ends_where_a_full_fit_would(auto, soft) -> None:
    predictions = SOFT if soft else X
    grown = DEEM(auto_hyperparameters=auto)
    for part in (predictions[:100], predictions[100:170], predictions[170:]):
        grown.partial_fit(part)
    whole = DEEM(auto_hyperparameters=auto).fit(predictions)
    gap = abs(grown.predict_proba(predictions) - whole.predict_proba(predictions))
    assert gap.max() < 0.03
    assert gap.mean() < 1e-3


def test_partial_fit_remembers_gold_and_refuses_what_does_not_fit(tmp_path) -> None:
    gold = np.full(100, -1)
    gold[7] = (Y[7] + 1) % 3
    model = DEEM(n_classes=3).partial_fit(X[:100], gold=gold).partial_fit(X[100:])
    whole = DEEM(n_classes=3).fit(X, gold=np.append(gold, np.full(len(X) - 100, -1)))
    np.testing.assert_allclose(model.skills_, whole.skills_, atol=0.02)
    before = dict(vars(model))
    with pytest.raises(DataError, match="have 4 columns"):
        model.partial_fit(X[:, :4])
    with pytest.raises(DataError, match="n_classes=3"):
        model.partial_fit(X + 1)
    assert all(vars(model)[name] is value for name, value in before.items())
    with pytest.raises(ParameterError, match="partial_fit continues only from partial_fit"):
        whole.partial_fit(X)
    model.save(tmp_path / "m")
    with pytest.raises(ParameterError, match="load keep no answers"):
        DEEM.load(tmp_path / "m").partial_fit(X)


def test_partial_fit_of_answers_with_ids() -> None:
    whole = Answers.from_dense(X)
    first = Answers.from_dense(np.where(np.arange(X.shape[1]) < 3, X, -1), 3)
    rest = Answers.from_dense(np.where(np.arange(X.shape[1]) >= 3, X, -1), 3)
    model = DEEM().partial_fit(first).partial_fit(rest)  # old tasks, sources that were silent
    np.testing.assert_allclose(
        model.predict_proba(whole), DEEM().fit(whole).predict_proba(whole), atol=0.03
    )


def test_a_first_part_without_rows_settles_no_classes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # there is nothing to learn from yet
        model = DEEM().partial_fit(X[:0])
    np.testing.assert_array_equal(model.partial_fit(X).labels_, DEEM().fit(X).labels_)


def test_a_first_part_of_rows_without_answers_is_not_forgotten() -> None:
    silent = np.full((5, X.shape[1]), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        model = DEEM(n_classes=3).partial_fit(silent).partial_fit(X)
    assert len(model.labels_) == 5 + len(X)


@pytest.mark.parametrize("soft", [False, True])
def test_a_first_part_of_rows_without_answers_leaves_classes_to_the_next(soft) -> None:
    n = 7
    silent = np.full((n, X.shape[1]), -1)
    part = np.eye(3)[X].transpose(0, 2, 1) if soft else X
    if soft:
        silent = np.zeros((n, 3, X.shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        model = DEEM().partial_fit(silent)
        assert (model.labels_ == -1).all()
        model.partial_fit(silent, gold=np.full(n, -1)).partial_fit(part)
        whole = DEEM().fit(np.concatenate([silent, silent, part]))
    assert model.n_classes_ == 3
    np.testing.assert_array_equal(model.labels_, whole.labels_)
    np.testing.assert_allclose(model.probas_, whole.probas_, atol=1e-6)
    with pytest.raises(DataError, match=r"not below n_classes=3: 3"):
        model.partial_fit(np.full((2, X.shape[1]), 3))


def test_a_model_that_knows_no_class_says_so() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        silent = np.full((5, X.shape[1]), -1)
        model = DEEM().fit(silent)
        with pytest.raises(DataError, match=r"No answer so far names a class: .*n_classes=3\.$"):
            model.predict(X)
        assert len(DEEM(n_classes=3).fit(silent).predict(X)) == len(X)  # the remedy
