"""The same input and seed give the same result: run to run, in threads, in forked and spawned processes."""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
import random
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from deem_crowd import DEEM, DEEMAggregator, samplers


def crowd(seed: int = 0, n: int = 200, k: int = 3, d: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    truth, skill = rng.integers(k, size=n), rng.beta(4, 2, d)
    task = np.repeat(np.arange(n), 5)
    worker = np.concatenate([rng.choice(d, 5, replace=False) for _ in range(n)])
    wrong = (truth[task] + rng.integers(1, k, size=n * 5)) % k
    label = np.where(rng.random(n * 5) < skill[worker], truth[task], wrong)
    return pd.DataFrame({"task": task, "worker": worker, "label": label})


VARIANTS = {
    "default": {},
    "plain": {"auto_hyperparameters": False},
    "free": {"gauge": "free"},
    "units": {"hidden_dim": 2},
    "noise": {"init_method": "mv_rand"},
    "gibbs": {"sampler": "gibbs", "hidden_dim": 2, "n_iter": 2},
    "gwg": {"sampler": "gwg", "n_iter": 2},
    "dlp": {"sampler": "dlp", "n_iter": 2},
    "layers": {"preprocessing_layers": 1, "n_iter": 2},
}
ALL = pytest.mark.parametrize("variant", VARIANTS)
needs_forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def digest(variant: str, seed: int = 0, n_threads: int | None = None) -> str:
    """Return a hash of every bit of a fit's probabilities and skills."""
    if n_threads:
        torch.set_num_threads(n_threads)
    return digest_of(fit(variant, seed))


def digest_of(model: DEEMAggregator) -> str:
    content = model.probas_.to_numpy().tobytes() + model.skills_.to_numpy().tobytes()
    return hashlib.sha256(content).hexdigest()


def fit(variant: str, seed: int = 0) -> DEEMAggregator:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return DEEMAggregator(progress=False, **VARIANTS[variant]).fit(crowd(seed))


@functools.cache
def first(variant: str, seed: int) -> DEEMAggregator:
    """Return the first such fit of this process, which no test changes."""
    return fit(variant, seed)


def once(variant: str, seed: int = 0) -> str:
    return digest_of(first(variant, seed))


@pytest.fixture(scope="module")
def spawned() -> Iterator[ProcessPoolExecutor]:
    """A spawned process, which loads all anew, with another hash seed and two threads."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONHASHSEED", "1")
        patched.setenv("OMP_NUM_THREADS", "2")
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            assert pool.submit(hash, "a").result(timeout=100) != hash("a")
            yield pool


def digests() -> list[str]:
    return [digest(variant, n_threads=1) for variant in VARIANTS]


def test_run_to_run(spawned) -> None:
    """In this process, and in a new one with another hash seed; below, twice in one process."""
    assert spawned.submit(digests).result(timeout=200) == [once(variant) for variant in VARIANTS]


@ALL
def test_any_number_of_threads(variant) -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for n_threads in (1, 3, 8):
            torch.set_num_threads(n_threads)
            found.append(fit(variant).probas_.to_numpy())
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-6)


@pytest.mark.parametrize("variant", ["default", "plain"])
def test_any_number_of_threads_in_single_precision(variant) -> None:
    before, found = torch.get_num_threads(), []
    frame = crowd(1, n=60_000)
    try:
        for n_threads in (1, 5):
            torch.set_num_threads(n_threads)
            model = DEEMAggregator(dtype="float32", progress=False, **VARIANTS[variant])
            found.append(model.fit(frame).probas_.to_numpy())
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-6)


@pytest.mark.parametrize("variant", ["default", "plain", "noise"])
@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_rows(variant, seed) -> None:
    frame = crowd(seed)
    one = DEEMAggregator(progress=False, **VARIANTS[variant]).fit(frame)
    shuffled = frame.sample(frac=1, random_state=seed)
    other = DEEMAggregator(progress=False, **VARIANTS[variant]).fit(shuffled)
    np.testing.assert_allclose(other.probas_.loc[one.probas_.index], one.probas_, atol=1e-6)
    assert (other.labels_.loc[one.labels_.index] == one.labels_).all()


@ALL
def test_predictions_in_batches_of_any_size(variant) -> None:
    model, frame = first(variant, 0), crowd()
    whole = model.predict_proba(frame)
    for size in (1, 7, 100, 199):
        tasks = frame["task"].unique()
        parts = [
            model.predict_proba(frame[frame["task"].isin(tasks[i : i + size])])
            for i in range(0, len(tasks), size if size > 1 else 40)
        ] if size > 1 else [model.predict_proba(frame[frame["task"] == t]) for t in tasks[:20]]  # fmt: skip
        found = pd.concat(parts)
        np.testing.assert_allclose(found, whole.loc[found.index], atol=1e-6)


@pytest.mark.parametrize("variant", ["default", "plain", "units", "gibbs", "layers"])
def test_threads_that_fit_at_once(variant) -> None:
    alone = [once(variant, seed) for seed in range(2)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: digest(variant, seed), [0, 1, 0, 1])) == alone * 2


@ALL
def test_global_generators_are_neither_read_nor_written(variant) -> None:
    found = set()
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
        found.add(digest(variant))
        assert torch.equal(torch.get_rng_state(), before[0])
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
        assert random.getstate() == before[2]
    assert len(found) == 1


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_joblib(backend) -> None:
    """Fits in workers of joblib; fitted models go there and back."""
    alone = [first("plain", seed).probas_ for seed in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = joblib.Parallel(n_jobs=2, backend=backend)(
            joblib.delayed(DEEMAggregator(auto_hyperparameters=False, progress=False).fit)(
                crowd(seed)
            )
            for seed in range(3)
        )
    for model, expected in zip(models, alone, strict=True):
        np.testing.assert_allclose(model.probas_, expected, atol=1e-9)
        np.testing.assert_allclose(model.predict_proba(crowd()).sum(axis=1), 1, atol=1e-9)


@needs_forks
def test_forks() -> None:
    """A child of a process that has fitted fits, too, and finds the same."""
    expected = [once("plain"), once("default")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of fork beside threads
        with multiprocessing.get_context("fork").Pool(2) as pool:
            found = pool.starmap_async(digest, [("plain",), ("default",)]).get(timeout=120)
    assert found == expected


def forked_while_fitting() -> None:
    """Fit in forks of a process that has fitted with two threads, and goes on fitting; for a process of its own."""
    torch.set_num_threads(2)
    frame = crowd(1, n=8_000)
    model = DEEMAggregator(auto_hyperparameters=False, dtype="float32", n_iter=10)
    with warnings.catch_warnings(), ThreadPoolExecutor(1) as pool:
        warnings.simplefilter("ignore")
        expected = model.fit(frame).probas_.to_numpy()
        beside = pool.submit(lambda: [fit("plain") for _ in range(3)])
        with multiprocessing.get_context("fork").Pool(2) as children:
            found = children.map_async(model.fit, [frame] * 2).get(timeout=100)
        beside.result()
    for other in found:
        np.testing.assert_allclose(other.probas_, expected, atol=1e-6)


@needs_forks
def test_a_fork_of_a_process_with_several_threads_fits(spawned) -> None:
    spawned.submit(forked_while_fitting).result(timeout=200)


def test_array_models_and_samplers_given_as_objects() -> None:
    matrix = np.random.default_rng(0).integers(0, 3, (60, 4))
    sampler = samplers.Gibbs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [
            DEEM(sampler=sampler, epochs=2, random_state=3).fit(matrix).predict_proba(matrix)
            for _ in range(2)
        ]
        other = DEEM(sampler=sampler, epochs=2, random_state=4).fit(matrix).predict_proba(matrix)
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != other).any()
