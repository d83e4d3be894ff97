"""crowd-kit's aggregators, reached by their short names."""

from __future__ import annotations

import pandas as pd
import peers
import pytest
from crowdkit.aggregation import classification as crowdkit

import deem_crowd

# Each name, the class it has to be, and parameters that differ from the class's defaults.
PEERS = {
    "mv": (crowdkit.MajorityVote, {"on_missing_skill": "value", "default_skill": 0.5}),
    "ds": (crowdkit.DawidSkene, {"n_iter": 7, "tol": 1e-3, "initial_error_strategy": "assign"}),
    "onecoin-ds": (crowdkit.OneCoinDawidSkene, {"n_iter": 7}),
    "glad": (crowdkit.GLAD, {"n_iter": 7, "m_step_max_iter": 3}),
    "mace": (crowdkit.MACE, {"n_restarts": 2, "method": "em"}),
    "mmsr": (crowdkit.MMSR, {"n_iter": 7, "random_state": 1}),
    "kos": (crowdkit.KOS, {"n_iter": 7, "random_state": 1}),
    "wawa": (crowdkit.Wawa, {}),
    "zbs": (crowdkit.ZeroBasedSkill, {"n_iter": 7, "lr_init": 0.5}),
    "gold-mv": (crowdkit.GoldMajorityVote, {}),
}
CHEAP = {"glad": {"n_iter": 5}, "mace": {"n_restarts": 1, "n_iter": 5}, "zbs": {"n_iter": 5}}


@pytest.fixture(scope="module")
def crowd() -> tuple[pd.DataFrame, pd.Series]:
    """40 tasks and six workers: w0 errs always, the others on every eleventh answer, never all at once."""
    tasks = [f"t{i}" for i in range(40)]
    truth = pd.Series(["cat", "dog"] * 20, index=pd.Index(tasks, name="task"))
    other = {"cat": "dog", "dog": "cat"}
    rows = [
        (task, f"w{w}", other[truth[task]] if w == 0 or (6 * i + w) % 11 == 0 else truth[task])
        for i, task in enumerate(tasks)
        for w in range(6)
    ]
    return pd.DataFrame(rows, columns=["task", "worker", "label"]), truth


def test_the_ten_are_listed() -> None:
    listed = deem_crowd.aggregators()
    assert PEERS.keys() <= listed.keys()
    for name in PEERS:
        assert listed[name].distribution == "deem-crowd"
        assert listed[name].module == "crowdkit.aggregation.classification"
        assert listed[name].description.startswith("crowd-kit's ")


@pytest.mark.parametrize(("name", "expected", "params"), [(n, *p) for n, p in PEERS.items()])
def test_parameters_are_passed_through(
    name: str, expected: type, params: dict[str, object]
) -> None:
    built = deem_crowd.create(name, **params)
    assert type(built) is expected
    assert {key: getattr(built, key) for key in params} == params


@pytest.mark.parametrize("name", [name for name in PEERS if name != "gold-mv"])
def test_an_easy_crowd_is_read_right(name: str, crowd: tuple[pd.DataFrame, pd.Series]) -> None:
    peers.need(name)
    answers, truth = crowd
    labels = deem_crowd.create(name, **CHEAP.get(name, {})).fit_predict(answers)
    assert labels.name == "agg_label"
    assert labels.reindex(truth.index).tolist() == truth.tolist()


def test_gold_majority_vote_keeps_its_own_signature(crowd: tuple[pd.DataFrame, pd.Series]) -> None:
    answers, truth = crowd
    assert "true_labels" in deem_crowd.aggregators()["gold-mv"].description
    with pytest.raises(TypeError, match="true_labels"):
        deem_crowd.create("gold-mv").fit_predict(answers)
    peers.need("gold-mv")
    voter = deem_crowd.create("gold-mv")
    labels = voter.fit_predict(answers, truth.head(10))
    assert labels.reindex(truth.index).tolist() == truth.tolist()
    gold = answers[answers["task"].isin(truth.index[:10])]
    accuracy = gold["label"].eq(gold["task"].map(truth)).groupby(gold["worker"]).mean()
    pd.testing.assert_series_equal(voter.skills_, accuracy, check_names=False)


def test_a_misspelt_parameter_is_refused() -> None:
    with pytest.raises(
        deem_crowd.ParameterError, match=r"'ds' has no parameter 'n_iters'.*'n_iter'"
    ):
        deem_crowd.create("ds", n_iters=5)
