"""Networks as classifiers of features."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from deem_crowd import DataError, DEEMAggregator, ParameterError
from deem_crowd.exceptions import UnsupportedError
from deem_crowd.features import networks
from deem_crowd.features.networks import NetworkLearner

pytestmark = pytest.mark.usefixtures("few_fits_throughout")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3)).astype(np.float32)
TRUTH = (X[:, 0] > 0).astype(int)
NAMES = np.array(["left", "right"])
TASK = np.repeat(np.arange(120), 2)
ANSWERS = pd.DataFrame(
    {
        "task": TASK,
        "worker": np.tile(np.arange(6), 40),
        "label": NAMES[np.where(RNG.random(240) < 0.8, TRUTH[TASK], 1 - TRUTH[TASK])],
    }
)


def module(classes=2):
    found = torch.nn.Linear(3, classes)
    torch.nn.init.zeros_(found.weight)
    torch.nn.init.zeros_(found.bias)  # drawn by torch's generator otherwise, which other tests move
    return found


def skorch_net():
    skorch = pytest.importorskip("skorch")
    return make_pipeline(
        StandardScaler(),
        skorch.NeuralNetClassifier(
            module(),
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=0.2,
            max_epochs=10,
            train_split=None,
            verbose=0,
        ),
    )


@pytest.fixture(autouse=True)
def few_epochs(monkeypatch):
    for name, value in (("_EPOCHS", 3), ("_RATE", 0.2)):
        monkeypatch.setattr(f"deem_crowd.features.networks.{name}", value)


@pytest.mark.parametrize("make", [module, skorch_net])
def test_a_network_learns_with_the_labels(make) -> None:
    pytest.importorskip("skorch")
    network = make()
    before = torch.get_rng_state()
    model = DEEMAggregator(classifier=network, random_state=0, progress=False)
    clone(model)
    model.fit(ANSWERS, features=X)
    assert torch.equal(torch.get_rng_state(), before)
    assert list(model.classifier_.classes_) == ["left", "right"]
    check_is_fitted(model.classifier_)
    assert (model.classifier_.predict(X) == NAMES[TRUTH]).mean() > 0.8
    np.testing.assert_allclose(model.classifier_.predict_proba(X).sum(axis=1), 1, atol=1e-5)
    assert (model.labels_ == NAMES[TRUTH]).mean() > 0.75
    again = DEEMAggregator(classifier=network, random_state=0, progress=False)
    pd.testing.assert_frame_equal(again.fit(ANSWERS, features=X).probas_, model.probas_)


def test_a_module_with_too_many_logits_is_refused() -> None:
    pytest.importorskip("skorch")
    model = DEEMAggregator(classifier=module(3), progress=False)
    with pytest.raises(ParameterError, match=r"gives \(3,\) numbers a task, and there are 2 class"):
        model.fit(ANSWERS, features=X)
    assert "labels_" not in model.__dict__
    model.classifier = torch.nn.Linear(17, 2)
    with pytest.raises(
        ParameterError, match=r"Linear failed on features of shape .*takes \d+ columns"
    ):
        model.fit(ANSWERS, features=X)


def test_without_skorch_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "skorch", None)
    with pytest.raises(UnsupportedError, match=r"need skorch: .*deem-crowd\[skorch\]"):
        DEEMAggregator(classifier=module(), progress=False).fit(ANSWERS, features=X)


def test_a_network_is_trained_anew_under_names_in_any_order() -> None:
    pytest.importorskip("skorch")
    learner = NetworkLearner(module())
    given = learner.fitted(X, np.eye(2)[1 - TRUTH], np.ones(120), NAMES[::-1])
    given.fit(X, NAMES[TRUTH])
    assert (given.predict(X) == NAMES[TRUTH]).mean() > 0.9
    with pytest.raises(DataError, match="1 label that the network has no class for: 'up'"):
        given.fit(X[:2], ["left", "up"])


@pytest.mark.parametrize("make", [module, skorch_net])
def test_every_fit_of_a_network_begins_with_the_weights_that_were_given(make) -> None:
    pytest.importorskip("skorch")
    learner = NetworkLearner(make())
    other = learner.fitted(X, np.eye(2)[1 - TRUTH], np.ones(120), NAMES)
    same = learner.fitted(X, np.eye(2)[TRUTH], np.ones(120), NAMES)
    before = torch.get_rng_state()
    for one in (clone(other), other, same):
        one.fit(X, NAMES[TRUTH])
    assert torch.equal(torch.get_rng_state(), before)
    first = clone(same).fit(X, NAMES[TRUTH]).predict_proba(X)
    for one in (other, same, same.fit(X, NAMES[TRUTH])):
        np.testing.assert_array_equal(one.predict_proba(X), first)


def test_a_last_batch_of_one_is_left_out() -> None:
    pytest.importorskip("skorch")
    net = torch.nn.Sequential(module(), torch.nn.BatchNorm1d(2))
    n = networks._BATCH + 1
    found = NetworkLearner(net).fitted(X[:n], np.eye(2)[TRUTH[:n]], np.ones(n), NAMES)
    assert found.predict_proba(X).shape == (120, 2)
