"""Known shares of the classes."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.exceptions import DataWarning, ParameterError
from deem_crowd.model import class_balance
from deem_crowd.model.group import Group

RARE = {"yes": 0.1, "no": 0.9}


def drawn(
    seed: int, n: int = 300, share: float = 0.1, k: int = 2
) -> tuple[pd.DataFrame, pd.Series]:
    """Return three answers each, right in three of four cases, to tasks of which a share is of the first class."""
    rng = np.random.default_rng(seed)
    names = np.array(["yes", "no", "maybe"][:k])
    p = np.full(k, (1 - share) / (k - 1))
    p[0] = share
    truth = rng.choice(k, size=n, p=p)
    task, worker = (
        np.repeat(np.arange(n), 3),
        np.concatenate([rng.permutation(9)[:3] for _ in range(n)]),
    )
    wrong = (truth[task] + rng.integers(1, k, size=3 * n)) % k
    label = np.where(rng.random(3 * n) < 0.75, truth[task], wrong)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": names[label]})
    return frame, pd.Series(names[truth], name="truth")


def log_loss(probas: pd.DataFrame, truth: pd.Series) -> float:
    place = probas.columns.get_indexer(pd.Index(truth.loc[probas.index]))
    return float(-np.log(probas.to_numpy()[np.arange(len(probas)), place]).mean())


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(2, 60))
@settings(max_examples=25, deadline=None)
def test_the_mean_is_the_nearest_to_what_was_there(seed: int, k: int, n: int) -> None:
    """Against scipy: p' minimises its relative entropy to p among all with its mean over tasks."""
    rng = np.random.default_rng(seed)
    p, target = rng.dirichlet(np.ones(k), n), rng.dirichlet(np.full(k, 3.0))
    odds = class_balance._matched(
        torch.from_numpy(p), torch.from_numpy(target), torch.zeros(k, dtype=torch.float64), Group()
    )

    def objective(a: np.ndarray) -> float:
        ridge = class_balance._RIDGE / 2 * (a**2).sum()
        return float(np.log((p * np.exp(a)).sum(1)).mean() - target @ a + ridge)

    found = optimize.minimize(objective, np.zeros(k), method="BFGS", options={"gtol": 1e-9}).x
    mine = class_balance.moved(torch.from_numpy(p), odds).numpy()
    other = class_balance.moved(torch.from_numpy(p), torch.from_numpy(found)).numpy()
    np.testing.assert_allclose(mine, other, atol=1e-5)


@pytest.mark.parametrize("concentration", [1e-4, 0.01, 0.1, 1.0])
def test_few_passes_over_the_tasks_settle_the_shares(concentration: float) -> None:
    """What several processes exchange in each pass takes longer than the pass."""
    rng = np.random.default_rng(0)
    for k in range(2, 7):
        for _ in range(50):
            given_ = rng.dirichlet(np.full(k, concentration), 130)
            p = torch.from_numpy(np.where(np.isfinite(given_), given_, 1 / k))
            prior, balance = torch.from_numpy(rng.dirichlet(np.ones(k), 2))
            group = Counted()
            class_balance.log_odds(p, prior, balance, group)
            assert group.passes < 100


class Counted(Group):
    """One process that counts how often it would exchange something with others."""

    passes = 0

    def reduce(self, value: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return value


def test_many_tasks_have_the_known_shares_and_one_follows_bayes() -> None:
    prior, balance = torch.tensor([[0.5, 0.5], [0.1, 0.9]], dtype=torch.float64)
    for said in (0.8, 0.99):
        p = torch.tensor([[said, 1 - said]], dtype=torch.float64)
        odds = said / (1 - said) * 0.1 / 0.9
        bayes = odds / (1 + odds)
        one = float(class_balance.moved(p, class_balance.log_odds(p, prior, balance))[0, 0])
        assert 0.1 < one < bayes
        assert bayes - one < one - 0.1
    p = torch.tensor([[0.8, 0.2]], dtype=torch.float64)
    many = p.repeat(100_000, 1)
    odds = class_balance.log_odds(many, prior, balance)
    assert abs(float(class_balance.moved(many, odds)[:, 0].mean()) - 0.1) < 2e-3


@pytest.mark.parametrize("auto", [None, False])
def test_labels_that_answers_leave_no_doubt_of_stay(auto: bool | None) -> None:
    """Tasks that were drawn never have exactly the shares that they were drawn from, and these may be wrong."""
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=1000)
    matrix = np.where(rng.random((1000, 10)) < 0.9, truth[:, None], 1 - truth[:, None])
    alone = DEEM(auto_hyperparameters=auto).fit_predict(matrix)
    for shares in ([0.5, 0.5], [0.6, 0.4]):
        told = DEEM(auto_hyperparameters=auto, class_balance=shares).fit_predict(matrix)
        assert (told != alone).sum() <= 2


def test_certain_tasks_stay_as_they_are() -> None:
    p = torch.eye(2, dtype=torch.float64).repeat(50, 1)
    balance = torch.tensor([0.9, 0.1], dtype=torch.float64)
    odds = class_balance.log_odds(p, torch.full((2,), 0.5, dtype=torch.float64), balance)
    assert bool(torch.isfinite(odds).all())
    assert torch.equal(class_balance.moved(p, odds), p)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(st.integers(0, 2**32 - 1), st.floats(0, 2000))
@settings(max_examples=25, deadline=None)
def test_rows_sum_to_1_however_far_apart_the_factors_are(
    dtype: torch.dtype, seed: int, apart: float
) -> None:
    """Against logarithms in float64, of which none underflows."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(20, 3)) * 50)
    p = torch.cat([torch.softmax(logits, 1), torch.eye(3, dtype=torch.float64)]).to(dtype)
    a = torch.tensor([0.0, -apart, apart / 2], dtype=torch.float64)
    found = class_balance.moved(p, a.to(dtype))
    expected = torch.softmax(p.double().log() + a.to(dtype), 1)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[20:], p[20:])


@pytest.mark.parametrize(
    "named",
    [{}, {"auto_hyperparameters": False}, {"hidden_dim": 2}, {"subtypes": 2}, {"ordered": True}],
)
def test_any_model_moves_towards_known_shares(named: dict[str, object]) -> None:
    rows, truth = drawn(1, 120, k=3)
    if named.get("ordered"):
        order = ["yes", "maybe", "no"]
        rows["label"] = pd.Categorical(rows["label"], order, ordered=True)
    known = truth.value_counts(normalize=True).to_dict()
    without = DEEMAggregator(**named).fit(rows)
    aware = DEEMAggregator(**named, class_balance=known).fit(rows)
    shares = pd.Series(known)

    def off(agg: DEEMAggregator) -> float:
        return float((agg.probas_.mean().rename(str) - shares).abs().sum())

    assert off(aware) < 0.5 * off(without)
    assert log_loss(aware.probas_, truth) < log_loss(without.probas_, truth)
    np.testing.assert_allclose(aware.probas_.sum(axis=1), 1)
    np.testing.assert_allclose(aware.priors_.loc[list(known)], list(known.values()))


def test_tasks_that_are_certain_in_float32_keep_probabilities() -> None:
    """So many answers that the other class has a probability of 0 there."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    answers = np.where(rng.random((200, 100)) < 0.9, truth[:, None], 1 - truth[:, None])
    model = DEEM(class_balance=[0.99, 0.01], hidden_dim=2, dtype="float32", random_state=0)
    model.fit(answers)
    np.testing.assert_allclose(model.probas_.sum(1), 1)
    np.testing.assert_allclose(model.predict_proba(answers).sum(1), 1)


def test_probabilities_of_a_rare_class_are_better_where_its_share_is_known() -> None:
    gain = []
    for seed in range(5):
        rows, truth = drawn(seed)
        loss = [
            log_loss(DEEMAggregator(class_balance=balance).fit_predict_proba(rows), truth)
            for balance in (None, RARE)
        ]
        gain.append(loss[0] - loss[1])
    assert np.mean(gain) > 2 * np.std(gain, ddof=1) / np.sqrt(len(gain)), gain


def test_order_of_rows_and_of_shares_parts_and_a_worker_without_answers_change_nothing() -> None:
    rows, _ = drawn(2)
    agg = DEEMAggregator(class_balance=RARE).fit(rows)
    turned = dict(reversed(RARE.items()))
    again = DEEMAggregator(class_balance=turned).fit(rows.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(
        again.probas_.loc[agg.probas_.index, agg.probas_.columns], agg.probas_, atol=1e-9
    )
    parts = pd.concat([agg.predict_proba(part) for _, part in rows.groupby(rows["task"] % 7)])
    pd.testing.assert_frame_equal(parts.loc[agg.probas_.index], agg.probas_, atol=1e-9)
    codes = rows.assign(label=rows["label"].map({"no": 0, "yes": 1}))
    matrix = codes.pivot(index="task", columns="worker", values="label").fillna(-1).astype(int)
    wide = matrix.to_numpy()
    model = DEEM(class_balance=[0.9, 0.1]).fit(wide)
    np.testing.assert_allclose(model.probas_, agg.probas_[["no", "yes"]], atol=1e-9)
    with pytest.warns(DataWarning, match="1 worker without answers"):
        more = DEEM(class_balance=[0.9, 0.1]).fit(np.column_stack([wide, np.full(len(wide), -1)]))
    np.testing.assert_allclose(more.probas_, model.probas_, atol=1e-9)


def test_tasks_without_answers_have_the_shares_and_known_labels_stand() -> None:
    rows, _ = drawn(3)
    model = DEEMAggregator(class_balance=RARE).fit(rows, {0: "yes", 1: "no"})
    assert model.labels_.loc[[0, 1]].tolist() == ["yes", "no"]
    assert model.probas_.loc[0, "yes"] == 1
    matrix = np.array([[0, 0, 1], [1, 1, 1], [-1, -1, -1], [0, 1, 1], [-1, -1, -1]])
    with pytest.warns(DataWarning):
        dense = DEEM(class_balance=[0.2, 0.8]).fit(matrix, gold=[-1, -1, -1, -1, 0])
    np.testing.assert_allclose(dense.probas_[2], [0.2, 0.8])
    np.testing.assert_allclose(dense.probas_[4], [1, 0])


def test_tasks_of_workers_that_layers_do_not_know_have_the_shares() -> None:
    rows, _ = drawn(8, 60)
    layers = {"use_preprocessing": True, "n_iter": 2, "random_state": 0}
    agg = DEEMAggregator(class_balance=RARE, **layers).fit(rows)
    new = pd.DataFrame({"task": ["new"], "worker": [10], "label": ["yes"]})
    with pytest.warns(DataWarning, match="workers that the layers do not know"):
        found = agg.predict_proba(new)
    np.testing.assert_allclose(found.loc["new", ["yes", "no"]], [0.1, 0.9])


def test_files_copies_and_further_answers_keep_the_shares(tmp_path) -> None:
    rows, _ = drawn(4)
    for balance in (RARE, pd.Series(RARE)):
        agg = DEEMAggregator(class_balance=balance).fit(rows)
        agg.save(tmp_path / "model")
        loaded = DEEMAggregator.load(tmp_path / "model")
        assert loaded.class_balance == RARE
        pd.testing.assert_frame_equal(loaded.predict_proba(rows), agg.probas_)
        pd.testing.assert_frame_equal(copy.deepcopy(agg).predict_proba(rows), agg.probas_)
    later = DEEMAggregator(class_balance=RARE)
    for part in (rows[rows["task"] < 290], rows[rows["task"] >= 290]):
        later.partial_fit(part)
    pd.testing.assert_frame_equal(later.probas_, agg.probas_, atol=1e-3)


@pytest.mark.parametrize("balance", [pd.Series(RARE), np.array([0.9, 0.1]), RARE], ids=type)
def test_shares_may_come_and_go_between_parts(balance: object) -> None:
    rng = np.random.default_rng(8)
    truth, task = rng.integers(2, size=602), np.repeat(np.arange(602), 5)
    said = np.where(rng.random(3010) < 0.8, truth[task], 1 - truth[task])
    labels = np.array(["no", "yes"])[said]
    rows = pd.DataFrame({"task": task, "worker": np.tile(range(5), 602), "label": labels})
    first, second, third = rows[task < 600], rows[task == 600], rows[task == 601]
    agg = DEEMAggregator().partial_fit(first).partial_fit(second)
    assert agg.update_ != "all answers were fitted"
    agg.set_params(class_balance=balance).partial_fit(third)
    assert agg.update_ == "all answers were fitted"
    expected = DEEMAggregator(class_balance=balance).fit(rows).probas_
    pd.testing.assert_frame_equal(agg.probas_, expected, atol=1e-3)
    agg.set_params(class_balance=None).partial_fit(third.assign(task=602))
    assert 602 in agg.labels_.index


def test_labels_are_matched_as_text_where_none_is_equal() -> None:
    """As from JSON, in the shell."""
    rows, _ = drawn(5)
    rows["label"] = rows["label"].map({"yes": 1, "no": 0})
    by_text = DEEMAggregator(class_balance={"1": 0.1, "0": 0.9}).fit_predict_proba(rows)
    exact = DEEMAggregator(class_balance={1: 0.1, 0: 0.9}).fit_predict_proba(rows)
    pd.testing.assert_frame_equal(by_text, exact)


@pytest.fixture(scope="module")
def without_balance() -> DEEMAggregator:
    """Return a model of 50 tasks, which is copied before it is changed."""
    return DEEMAggregator().fit(drawn(6, 50)[0])


@pytest.mark.parametrize(
    ("balance", "words"),
    [
        ("rare", "dict from label to share"),
        ({"yes": "a lot", "no": 0.9}, "dict from label to share"),
        ([[0.1, 0.9]], "dict from label to share"),
        ({}, "dict from label to share"),
        ({"yes": 0.0, "no": 1.0}, "1 share is not above 0: 'yes'"),
        ({"yes": float("nan"), "no": 1.0}, "1 share is not above 0: 'yes'"),
        ({"yes": 10, "no": 90}, "sum to 100 instead of 1.*divide counts"),
        ({"yes": 0.1}, "sum to 0.1 instead of 1. Give every class its share"),
        ({"yes": 1.0}, "no share for 1 label of the answers: 'no'"),
        ([0.1, 0.2, 0.7], "3 shares, and there are 2 classes"),
    ],
)
def test_what_is_no_balance_is_refused_and_nothing_changes(
    balance: object, words: str, without_balance: DEEMAggregator
) -> None:
    rows, _ = drawn(6, 50)
    agg = copy.copy(without_balance)
    before = agg.probas_
    agg.set_params(class_balance=balance)
    with pytest.raises(ParameterError, match=words):
        agg.fit(rows)
    assert agg.probas_ is before


def test_what_does_not_go_together_is_said() -> None:
    rows, _ = drawn(7, 50)
    agg = DEEMAggregator(class_balance=RARE)
    with pytest.raises(ParameterError, match="common names"):
        DEEM(label_names="own", class_balance=[0.5, 0.5]).fit(np.zeros((5, 3), dtype=int))
    found = DEEMAggregator(class_balance={**{k: v / 2 for k, v in RARE.items()}, "never": 0.5})
    with pytest.warns(DataWarning, match="1 label that no answer names: 'never'"):
        found.fit(rows)
    pd.testing.assert_frame_equal(found.probas_, agg.fit(rows).probas_)


@pytest.mark.parametrize("name", ["class_prior", "priors", "prevalence"])
def test_what_others_call_it_is_told(name: str) -> None:
    with pytest.raises(ParameterError, match="Did you mean 'class_balance'"):
        DEEMAggregator(**{name: RARE})


@pytest.mark.usefixtures("few_fits")
@pytest.mark.parametrize("with_features", [False, True])
def test_shares_of_exchanged_classes_raise_a_warning(with_features: bool) -> None:
    rng = np.random.default_rng(3)
    truth = pd.Series(rng.choice(["yes", "no"], size=300, p=[0.1, 0.9]))
    right = rng.random((300, 5)) < 0.85
    matrix = np.where(right == (truth == "yes").to_numpy()[:, None], "yes", "no")
    frame = pd.DataFrame(matrix).rename_axis("task").reset_index()
    frame = frame.melt("task", var_name="worker", value_name="label")
    features = {}
    if with_features:
        features["features"] = pd.DataFrame({"x": (truth == "yes") + 0.0}).rename_axis("task")
    with pytest.warns(DataWarning, match="'yes' 0.90 instead of 0.[01]"):
        DEEMAggregator(class_balance={"yes": 0.9, "no": 0.1}).fit(frame, **features)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        DEEMAggregator(class_balance=RARE).fit(frame, **features)
