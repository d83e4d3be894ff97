"""The regression of known labels on answers: at the minimum of what its docstring says, however it multiplies."""

import threading

import numpy as np
import pytest
from scipy import optimize
from scipy.special import logsumexp
from threadpoolctl import threadpool_info, threadpool_limits

from deem_crowd import Answers
from deem_crowd.selection.known_labels import regression
from deem_crowd.selection.known_labels.regression import Regression, indicators

N, D, K = 60, 5, 3


def data(seed: int = 0, soft: bool = False):
    rng = np.random.default_rng(seed)
    truth = rng.integers(K, size=N)
    said = np.where(rng.random((N, D)) < 0.6, truth[:, None], rng.integers(K, size=(N, D)))
    said[rng.random((N, D)) < 0.3] = -1
    said[:, -1] = -1  # nobody knows what this one would say
    said[said.max(1) < 0, 0] = 0
    answers = Answers.from_dense(said, K, warn_empty=())
    if soft:
        shares = 0.7 * np.eye(K)[said[:, :-1]] + 0.1
        shares[said[:, :-1] < 0] = np.nan
        answers = Answers.from_soft(shares.transpose(0, 2, 1))
    return answers, truth, rng.normal(size=(N, K))


def loss(x, base, truth, scale, bias, skill, weight, *, usual, penalty, common, here):
    """The negative log-posterior, written down as the module says it."""
    tables = weight.reshape(-1, K, K) + skill[:, None, None] * np.eye(K)
    logits = scale * base + bias + here + x @ tables.reshape(-1, K)
    fit = (logsumexp(logits, axis=1) - logits[np.arange(len(truth)), truth]).sum()
    ridge = penalty * (weight**2).sum() + common * ((bias**2).sum() + (skill**2).sum())
    return fit + ridge / 2 + ((scale - usual) / 0.5) ** 2 / 2


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("products", ["arrays", "sparse"])
def test_no_step_from_the_fit_lowers_the_loss(soft, products, monkeypatch):
    if products == "sparse":
        monkeypatch.setattr(regression, "_SMALL", 0)
        monkeypatch.setattr(regression, "_FILLED", 0)
    answers, truth, base = data(soft=soft)
    x = indicators(answers, np.arange(N))
    here = np.array([0.4, -0.2, 0.0])
    model = Regression(x, base, 0.8, 3.0, 2.0, (here, np.zeros(K))).fit(
        np.arange(40), truth[:40], K
    )
    at = [np.array(model._scale), model._bias, model._skill, model._weight]
    terms = {"usual": 0.8, "penalty": 3.0, "common": 2.0, "here": here}
    least = loss(x[:40].toarray(), base[:40], truth[:40], *at, **terms)
    rng = np.random.default_rng(1)
    for place in range(4):
        for _ in range(5):
            moved = list(at)
            moved[place] = at[place] + 1e-3 * rng.normal(size=at[place].shape)
            assert loss(x[:40].toarray(), base[:40], truth[:40], *moved, **terms) > least


@pytest.mark.parametrize("with_base", [False, True])
def test_arrays_and_sparse_matrices_give_the_same_fit(with_base, monkeypatch):
    answers, truth, base = data(2)
    found = []
    for small in (2**15, 0):
        monkeypatch.setattr(regression, "_SMALL", small)
        monkeypatch.setattr(regression, "_FILLED", small)
        x = indicators(answers, np.arange(N))
        model = Regression(x, base if with_base else None, 0.5, 1.0)
        found.append(model.fit(np.arange(0, N, 2), truth[::2], K).predict(np.arange(N)))
    np.testing.assert_allclose(*found, atol=1e-6)
    np.testing.assert_allclose(found[0].sum(1), 1)


def test_the_energy_has_the_same_posterior():
    answers, truth, _ = data(3)
    rng = np.random.default_rng(0)
    tables, prior = rng.normal(size=(answers.n_workers, K, K)), rng.normal(size=K)
    x = indicators(answers, np.arange(N))
    base = x @ tables.reshape(-1, K) + prior
    model = Regression(x, base, 0.7, 1.0).fit(np.arange(30), truth[:30], K)
    energy = model.energy(tables, prior)
    logits = x @ energy.weight.numpy().reshape(-1, K) + energy.bias.numpy()
    told = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    np.testing.assert_allclose(told, model.predict(np.arange(N)), atol=1e-12)


def test_fits_at_once_leave_the_threads_that_were_there(monkeypatch):
    """One that began while another had set one thread must not end by setting one again."""
    answers, truth, _ = data(1)
    x, begun, ended = indicators(answers, np.arange(N)), threading.Event(), threading.Event()
    minimize = optimize.minimize

    def slowly(*args, **kwargs):
        if threading.current_thread() is first:
            begun.set()
            ended.wait(0.2)  # time for the other to begin
        else:
            first.join(0.2)  # and for this one to end
        return minimize(*args, **kwargs)

    monkeypatch.setattr(optimize, "minimize", slowly)

    def fit():
        Regression(x, None, 0.5, 1.0).fit(np.arange(N), truth, K)

    def ends(work):
        """Set limits in a thread that ends: the first that sets some keeps others from it while it lives."""
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    def limits():
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    before = limits()
    changed = []
    ends(lambda: changed.append(threadpool_limits(2, "blas")))
    try:
        first, second = threading.Thread(target=fit), threading.Thread(target=fit)
        first.start()
        begun.wait(5)
        second.start()
        first.join()
        second.join()
        assert limits() == {2}
    finally:
        ends(changed[0].restore_original_limits)
    assert limits() == before
