"""DEEMAggregator keeps crowd-kit's contract, and crowd-kit's own tools work with it."""

from __future__ import annotations

import copy
import pickle
import random

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from crowdkit.aggregation import BinaryRelevance
from crowdkit.aggregation.base import BaseClassificationAggregator
from crowdkit.aggregation.utils import clone_aggregator
from crowdkit.metrics.data import consistency, uncertainty
from crowdkit.metrics.workers import accuracy_on_aggregates
from crowdkit.postprocessing import entropy_threshold
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from deem_crowd import DEEMAggregator
from deem_crowd.clustering import ClusteringAggregator
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    MissingColumnError,
    ParameterError,
)
from deem_crowd.model.design import DesignMatrix


def crowd(seed: int = 0, n: int = 80, k: int = 3) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    names = np.array(["cat", "dog", "fox", "owl"])[:k]
    truth = rng.integers(0, k, n)
    rows = []
    for w, skill in enumerate((0.95, 0.85, 0.75, 0.6, 0.5)):
        for t in np.flatnonzero(rng.random(n) < 0.8):
            label = truth[t] if rng.random() < skill else rng.integers(0, k)
            rows.append((f"t{t}", w * 10, names[label]))
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    frame = frame.sample(frac=1, random_state=seed).reset_index(drop=True)
    gold = pd.Series(names[truth], index=[f"t{t}" for t in range(n)])
    return frame, gold


FRAME, GOLD = crowd()


@pytest.fixture(scope="module")
def fitted() -> DEEMAggregator:
    return DEEMAggregator().fit(FRAME)


def test_it_is_a_crowd_kit_aggregator_and_finds_the_truth(fitted) -> None:
    assert isinstance(fitted, BaseClassificationAggregator)
    assert (fitted.labels_ == GOLD.reindex(fitted.labels_.index)).mean() > 0.9


def test_labels(fitted) -> None:
    assert fitted.labels_.name == "agg_label"
    assert fitted.labels_.index.name == "task"
    assert fitted.labels_.dtype == FRAME["label"].dtype
    assert fitted.labels_.index.tolist() == FRAME["task"].drop_duplicates().tolist()


def test_probabilities(fitted) -> None:
    assert fitted.probas_.index.name == "task"
    assert fitted.probas_.columns.name == "label"
    assert fitted.probas_.columns.tolist() == ["cat", "dog", "fox"]
    assert (fitted.probas_.dtypes == np.float64).all()
    np.testing.assert_allclose(fitted.probas_.sum(axis=1), 1, atol=1e-12)
    assert (fitted.probas_.idxmax(axis=1) == fitted.labels_).all()


def test_skills_errors_and_priors(fitted) -> None:
    assert fitted.skills_.name == "skill"
    assert fitted.skills_.index.name == "worker"
    assert fitted.skills_.between(0, 1).all()
    right = FRAME["label"] == FRAME["task"].map(GOLD)
    assert fitted.skills_.corr(right.groupby(FRAME["worker"]).mean()) > 0.95
    assert fitted.errors_.index.names == ["worker", "label"]
    assert fitted.errors_.columns.name is None  # as crowd-kit has it, so that they stack
    np.testing.assert_allclose(fitted.errors_.groupby("worker").sum(), 1, atol=1e-9)
    assert fitted.priors_.name == "prior"
    assert fitted.priors_.index.name == "label"
    assert fitted.priors_.sum() == pytest.approx(1)
    own = [
        fitted.errors_.loc[(w, c), c] * fitted.priors_[c] for w in [0] for c in fitted.priors_.index
    ]
    assert sum(own) == pytest.approx(fitted.skills_[0])


def test_loss_history_is_a_list_of_floats_that_rises(fitted) -> None:
    assert all(type(x) is float for x in fitted.loss_history_)
    assert fitted.loss_history_[-1] > fitted.loss_history_[0]


def test_nothing_is_fitted_before_fit_and_public_attributes_are_the_arguments() -> None:
    agg = DEEMAggregator(n_iter=7, tol=0.5)
    fitted_ones = ("labels_", "probas_", "skills_", "errors_", "priors_", "loss_history_")
    assert not any(hasattr(agg, name) for name in fitted_ones)
    assert {k for k in vars(agg) if not k.startswith("_")} == set(agg.get_params())
    assert (agg.n_iter, agg.tol) == (7, 0.5)


def test_zero_iterations_give_the_weighted_vote() -> None:
    frame = pd.DataFrame({"task": [1, 1, 1], "worker": [1, 2, 3], "label": ["a", "a", "b"]})
    agg = DEEMAggregator(n_iter=0).fit(frame)
    assert agg.labels_.tolist() == ["a"]
    assert agg.loss_history_ == []


@pytest.mark.parametrize("form", ["series", "dict", "frame"])
def test_known_labels_clamp_in_every_form(form: str) -> None:
    wrong = {"t1": "dog" if GOLD["t1"] != "dog" else "cat", "t2": GOLD["t2"]}
    known = {
        "series": pd.Series(wrong),
        "dict": wrong,
        "frame": pd.DataFrame({"task": list(wrong), "label": list(wrong.values())}),
    }[form]
    agg = DEEMAggregator().fit(FRAME, known)
    assert agg.labels_["t1"] == wrong["t1"]
    assert agg.probas_.loc["t1", wrong["t1"]] == 1


def test_row_gold_that_cannot_be() -> None:
    with pytest.raises(DataError, match="gold holds 1 label that no worker gave: 'cow'"):
        DEEMAggregator().fit(FRAME, {"t1": "cow"})
    with pytest.warns(DataWarning) as said:
        DEEMAggregator().fit(FRAME, {"nowhere": "cat"})
    about = [str(w.message) for w in said if "gold names" in str(w.message)]
    assert about == ["gold names 1 task without answers here ('nowhere'): ignored."]
    numbered = FRAME.assign(task=FRAME["task"].str.removeprefix("t").astype(int))
    with pytest.raises(
        DataError, match=r"another kind, '1' \(str\) where the answers have 1 \(int\), and 1 id"
    ):
        DEEMAggregator().fit(numbered, {"1": "cat", "nowhere": "dog"})
    with pytest.raises(FormError, match="Series indexed by task, a dict"):
        DEEMAggregator().fit(FRAME, ["cat"] * 80)
    twice = pd.DataFrame({"task": ["t1", "t1"], "label": ["cat", "dog"]})
    with pytest.raises(DataError, match="1 task more than one label: 't1'"):
        DEEMAggregator().fit(FRAME, twice)
    unknown = DEEMAggregator().fit(FRAME, pd.Series({"t1": None, "t2": None}, dtype=object))
    pd.testing.assert_frame_equal(unknown.probas_, DEEMAggregator().fit(FRAME).probas_)


def test_predict_on_the_same_tasks_is_fit_predict(fitted) -> None:
    pd.testing.assert_frame_equal(fitted.predict_proba(FRAME), fitted.probas_, atol=1e-9)
    pd.testing.assert_series_equal(fitted.predict(FRAME), fitted.labels_)


def test_predict_on_new_tasks_uses_what_is_known_of_the_workers() -> None:
    fitted = DEEMAggregator(auto_hyperparameters=False).fit(FRAME)
    new = pd.DataFrame(
        {"task": ["n", "n", "n"], "worker": [0, 40, 30], "label": ["cat", "dog", "dog"]}
    )
    proba = fitted.predict_proba(new).loc["n"]
    log = np.log(fitted.priors_) + sum(
        np.log(fitted.errors_.loc[(w, x)]) for w, x in zip(new["worker"], new["label"], strict=True)
    )
    expected = np.exp(log - log.max())
    np.testing.assert_allclose(proba, expected / expected.sum(), atol=1e-9)


def test_row_predict_before_fit_and_with_unknown_workers(fitted) -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        DEEMAggregator().predict(FRAME)
    stranger = pd.DataFrame({"task": ["n"], "worker": [99], "label": ["cat"]})
    with pytest.warns(DataWarning, match="1 of 1 workers were not there in fit: 99"):
        assert fitted.predict(stranger)["n"] == "cat"
    strict = DEEMAggregator(unknown_workers="error").fit(FRAME)
    with pytest.raises(DataError, match="1 of 1 workers were not there in fit: 99.*average"):
        strict.predict(stranger)
    with pytest.raises(DataError, match="1 label that was not there in fit: 'cow'"):
        fitted.predict(stranger.assign(worker=0, label="cow"))


def test_a_task_without_answers_gets_a_missing_label_and_the_prior() -> None:
    frame = pd.concat([FRAME, pd.DataFrame({"task": ["none"], "worker": [0], "label": [None]})])
    with pytest.warns(DataWarning, match="1 task has no answers: the label is missing"):
        agg = DEEMAggregator(missing="drop").fit(frame)
    assert pd.isna(agg.labels_["none"])
    np.testing.assert_allclose(agg.probas_.loc["none"], agg.priors_, atol=1e-9)


def test_an_empty_frame_gives_empty_results_with_names_and_dtypes() -> None:
    agg = DEEMAggregator().fit(FRAME.iloc[:0])
    assert (len(agg.labels_), agg.labels_.name, agg.labels_.index.name) == (0, "agg_label", "task")
    assert agg.labels_.dtype == FRAME["label"].dtype
    assert (agg.probas_.shape, agg.probas_.index.name, agg.probas_.columns.name) == (
        (0, 0),
        "task",
        "label",
    )
    assert (agg.skills_.name, agg.priors_.name) == ("skill", "prior")
    assert agg.errors_.index.names == ["worker", "label"]


# ------------------------------------------------------------ other people's tools


@pytest.mark.filterwarnings("ignore:training stopped")
def test_row_clones_keep_every_parameter(fitted) -> None:
    agg = DEEMAggregator(n_iter=9, subtypes=2, gauge="free", duplicates="first")
    other = clone_aggregator(agg.fit(FRAME))
    assert other.get_params() == agg.get_params()
    assert not hasattr(other, "labels_")
    assert clone(agg).get_params() == agg.get_params()


def test_crowd_kits_binary_relevance() -> None:
    frame = pd.DataFrame(
        {
            "task": ["a", "a", "a", "b", "b", "b"],
            "worker": [1, 2, 3, 1, 2, 3],
            "label": [["x", "y"], ["x", "y"], ["x"], ["y"], ["y"], ["z"]],
        }
    )
    labels = BinaryRelevance(DEEMAggregator()).fit_predict(frame)
    assert [sorted(labels[t]) for t in ("a", "b")] == [["x", "y"], ["y"]]


def test_crowd_kits_metrics(fitted) -> None:
    small = FRAME[FRAME["task"].isin([f"t{i}" for i in range(30)])]
    assert 0 < consistency(small, aggregator=DEEMAggregator()) <= 1
    assert uncertainty(small, aggregator=DEEMAggregator()) > 0
    accuracy = accuracy_on_aggregates(FRAME, aggregator=DEEMAggregator(), by="worker")
    assert accuracy.corr(fitted.skills_) > 0.9
    kept = entropy_threshold(FRAME, fitted.skills_, percentile=20)
    assert 0 < len(kept) < len(FRAME)


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "joblib"])
def test_row_pickle_deepcopy_joblib(fitted, way: str, tmp_path) -> None:
    if way == "pickle":
        other = pickle.loads(pickle.dumps(fitted))
    elif way == "deepcopy":
        other = copy.deepcopy(fitted)
    else:
        joblib.dump(fitted, tmp_path / "agg")
        other = joblib.load(tmp_path / "agg")
    pd.testing.assert_frame_equal(other.probas_, fitted.probas_)
    pd.testing.assert_frame_equal(other.predict_proba(FRAME), fitted.predict_proba(FRAME))
    pd.testing.assert_frame_equal(other.errors_, fitted.errors_)
    assert other.get_params() == fitted.get_params()


# -------------------------------------------------------------------- behaviour


def test_row_failed_refit() -> None:
    agg = DEEMAggregator().fit(FRAME)
    before = dict(vars(agg))
    with pytest.raises(KeyError):
        agg.fit(FRAME.drop(columns="label"))
    assert vars(agg).keys() == before.keys()
    assert all(vars(agg)[key] is before[key] for key in before)


def test_row_ctrl_c_in_fit(monkeypatch) -> None:
    agg = DEEMAggregator().fit(FRAME)
    before = dict(vars(agg))
    calls = iter(range(100))
    counts = DesignMatrix.expected_counts

    def interrupted(self, posterior):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return counts(self, posterior)

    monkeypatch.setattr(DesignMatrix, "expected_counts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        agg.fit(crowd(1)[0])
    assert all(vars(agg)[key] is before[key] for key in before)


def test_row_fit_twice_and_random_state() -> None:
    agg = DEEMAggregator(init_method="mv_rand", random_state=3).fit(crowd(1)[0])
    numpys, draw = np.random.get_state, np.random.random
    random.random(), draw(), torch.rand(1)  # or a fit that seeds would go unseen the second time
    states = (random.getstate(), numpys()[1].tolist(), torch.get_rng_state())
    agg.fit(FRAME)
    assert random.getstate() == states[0]
    assert numpys()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    fresh = DEEMAggregator(init_method="mv_rand", random_state=3).fit(FRAME)
    pd.testing.assert_frame_equal(agg.probas_, fresh.probas_, atol=0, rtol=0)


def test_row_two_fits_in_two_threads() -> None:
    frames = [crowd(seed)[0] for seed in range(4)]
    alone = [DEEMAggregator().fit(f).probas_ for f in frames]
    together = joblib.Parallel(n_jobs=4, backend="threading")(
        joblib.delayed(lambda f: DEEMAggregator().fit(f).probas_)(f) for f in frames
    )
    for a, b in zip(alone, together, strict=True):
        pd.testing.assert_frame_equal(a, b, atol=0, rtol=0)


@pytest.mark.parametrize(
    "params", [{"subtypes": 2}, {"gauge": "free"}, {"penalty": None}, {"penalty": 0.5}]
)
def test_every_variant_of_the_model_finds_the_truth(params) -> None:
    labels = DEEMAggregator(**params).fit_predict(FRAME)
    assert (labels == GOLD.reindex(labels.index)).mean() > 0.85


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"gauge": "fre"}, "gauge='fre' is not allowed.*Did you mean 'free'"),
        ({"n_iter": -1}, "n_iter=-1 is not allowed: n_iter is an integer >= 0"),
        ({"tol": float("nan")}, "tol=nan is not allowed"),
        ({"init_method": "nope"}, "init_method='nope' is not allowed: init_method is one of 'mv'"),
        ({"penalty": 0}, "penalty=0 is not allowed"),
        ({"subtypes": 1.5}, "subtypes=1.5 is not allowed"),
    ],
)
def test_row_bad_parameters_are_refused_by_fit(params, words) -> None:
    with pytest.raises(ParameterError, match=words):
        DEEMAggregator(**params).fit(FRAME)


def test_row_misspelt_parameter() -> None:
    with pytest.raises(ParameterError, match="no parameter 'n_itr'. Did you mean 'n_iter'"):
        DEEMAggregator(n_itr=3)
    with pytest.raises(ParameterError, match="Did you mean 'gauge'"):
        DEEMAggregator().set_params(guage="free")


def test_other_columns_the_order_of_columns_and_the_index_change_nothing(fitted) -> None:
    odd = FRAME[["label", "worker", "task"]].assign(when=1.5, posterior="x")
    odd.index = [0] * len(odd)
    pd.testing.assert_frame_equal(DEEMAggregator().fit(odd).probas_, fitted.probas_)
    both = FRAME.set_index("task", drop=False)
    pd.testing.assert_frame_equal(DEEMAggregator().fit(both).probas_, fitted.probas_)


def test_a_frame_is_left_as_it_was() -> None:
    before = FRAME.copy(deep=True)
    DEEMAggregator().fit(FRAME, GOLD.iloc[:5])
    pd.testing.assert_frame_equal(FRAME, before)


def test_known_labels_of_all_tasks_give_the_tables_they_imply() -> None:
    agg = DEEMAggregator(penalty=None).fit(FRAME, GOLD)
    assert (agg.labels_ == GOLD.reindex(agg.labels_.index)).all()
    rows = FRAME.assign(true=FRAME["task"].map(GOLD))
    share = pd.crosstab([rows["worker"], rows["label"]], rows["true"])
    share = share / share.groupby("worker").transform("sum")
    there = agg.errors_.reindex(share.index)[share.columns]
    np.testing.assert_allclose(there.to_numpy(), share.to_numpy(), atol=1e-6)


def test_an_interrupted_first_fit_leaves_nothing_behind(monkeypatch) -> None:
    def interrupted(self, posterior):
        raise KeyboardInterrupt

    monkeypatch.setattr(DesignMatrix, "expected_counts", interrupted)
    agg = DEEMAggregator()
    with pytest.raises(KeyboardInterrupt):
        agg.fit(FRAME)
    assert not any(hasattr(agg, name) for name in ("labels_", "probas_", "skills_", "errors_"))
    with pytest.raises(NotFittedError):
        agg.predict(FRAME)


# ------------------------------------------------------------------ partial_fit


@pytest.mark.parametrize("auto", [None, False])
def test_partial_fit_ends_where_a_full_fit_would(auto) -> None:
    from deem_crowd_benchmarks.laws import heavy_tail

    rows = heavy_tail(1).answers
    grown = DEEMAggregator(auto_hyperparameters=auto)
    passes = []
    for part in (rows.iloc[:6000], rows.iloc[6000:8500], rows.iloc[8500:]):
        grown.partial_fit(part)
        passes.append(len(grown.loss_history_))
    whole = DEEMAggregator(auto_hyperparameters=auto).fit(rows)
    assert list(grown.labels_.index) == list(whole.labels_.index)
    gap = (grown.probas_ - whole.probas_).abs().to_numpy()
    assert gap.max() < 0.03
    assert gap.mean() < 1e-3
    if auto is False:  # the history of the default is that of the path it takes again
        assert passes[2] < len(whole.loss_history_)
    assert ((grown.skills_ - whole.skills_).abs() < 0.01).all()


def test_partial_fit_with_more_of_everything() -> None:
    new = pd.DataFrame(
        {
            "task": ["t0", "new", "new"],
            "worker": ["nobody yet", 0, 40],
            "label": ["cat", "dog", "emu"],
        }
    )
    model = DEEMAggregator(auto_hyperparameters=False)
    model.partial_fit(FRAME)
    model.partial_fit(new)
    whole = DEEMAggregator(auto_hyperparameters=False).fit(
        pd.concat([FRAME, new], ignore_index=True)
    )
    assert list(model.probas_.columns) == list(whole.probas_.columns)
    pd.testing.assert_frame_equal(
        model.probas_, whole.probas_, atol=1e-6
    )  # a new class: fitted anew
    known = model.labels_.index[0]
    model.partial_fit(new.iloc[:0].reindex(columns=["task", "worker", "label"]), {known: "emu"})
    assert model.labels_[known] == "emu"
    model.partial_fit(FRAME.iloc[:5])  # the same again is no news
    assert model.labels_[known] == "emu"


@pytest.mark.parametrize("auto", [None, False])
def test_partial_fit_goes_on_from_where_it_stopped(auto, monkeypatch) -> None:
    """Members whose end does not depend on their start are not started again, and new workers are average ones."""
    from deem_crowd.estimators import fit as inference

    begun = []
    continued = inference.continued

    def watched(*args):
        begun.append(continued(*args))
        return begun[-1]

    monkeypatch.setattr(inference, "continued", watched)
    stranger = FRAME.iloc[:3].assign(worker="nobody yet")
    model = DEEMAggregator(auto_hyperparameters=auto).partial_fit(FRAME).partial_fit(stranger)
    assert not begun[0]
    assert begun[1]
    for stop in begun[1].values():
        assert stop.energy.n_workers == len(model.skills_)
        np.testing.assert_array_equal(stop.energy.weight[-1], stop.energy.population)
    whole = DEEMAggregator(auto_hyperparameters=auto).fit(pd.concat([FRAME, stranger]))
    np.testing.assert_allclose(model.probas_, whole.probas_, atol=0.02)
    assert (
        not DEEMAggregator().fit(FRAME)._fitted[0].warm_starts
    )  # who does not go on keeps nothing


def test_predict_on_a_stream_of_tasks_is_predict_at_once(fitted) -> None:
    whole = fitted.predict_proba(FRAME)
    parts = [fitted.predict_proba(rows) for _, rows in FRAME.groupby("task", sort=False)]
    np.testing.assert_allclose(pd.concat(parts).loc[whole.index], whole, atol=1e-12)


def test_partial_fit_needs_what_it_has_seen(fitted) -> None:
    with pytest.raises(ParameterError, match="partial_fit continues only from partial_fit"):
        copy.deepcopy(fitted).partial_fit(FRAME)
    model = DEEMAggregator().partial_fit(FRAME)
    before = dict(vars(model))
    with pytest.raises(KeyError, match="worker"):
        model.partial_fit(FRAME.drop(columns="worker"))
    assert all(vars(model)[key] is before[key] for key in before)
    model.fit(FRAME)
    with pytest.raises(ParameterError, match="keep no answers"):
        model.partial_fit(FRAME)


def test_what_fit_predict_returns_is_the_callers() -> None:
    frame = pd.DataFrame({"task": [0, 0, 1], "worker": [0, 1, 0], "label": ["x", "x", "y"]})
    for model in (DEEMAggregator(), ClusteringAggregator()):
        labels, probas = model.fit_predict(frame), model.fit_predict_proba(frame)
        before = model.labels_.copy(), model.probas_.copy()
        labels.iloc[0], probas.iloc[0, 0] = "z", 9.0
        pd.testing.assert_series_equal(model.labels_, before[0])
        pd.testing.assert_frame_equal(model.probas_, before[1])


def test_a_column_that_is_named_and_not_there_is_to_be_named_again() -> None:
    with pytest.raises(
        MissingColumnError, match="missing columns 'itm'.*Name columns that are there: task=…"
    ):
        DEEMAggregator().fit(FRAME, task="itm")
