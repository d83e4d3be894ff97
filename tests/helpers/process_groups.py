"""Groups of processes that fit together: their work, their parts, and what they agree or fail with."""

from __future__ import annotations

import multiprocessing
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch.distributed as dist
from deem_crowd_benchmarks.sets import laws

from deem_crowd import DEEMAggregator, distributed
from deem_crowd.exceptions import DeemCrowdError

Work = Callable[[int], Any]


def _process(rank: int, size: int, store: str, work: Work, answer: Any) -> None:
    warnings.simplefilter("ignore")
    try:
        dist.init_process_group(
            "gloo", store=dist.FileStore(store, size), rank=rank, world_size=size
        )
        answer.send(work(rank))
    except DeemCrowdError as error:
        answer.send(error)
    except BaseException:
        traceback.print_exc()
        answer.send(None)
    finally:
        dist.destroy_process_group()


def together(folder: Path, work: Work, size: int = 2) -> list[Any]:
    """Return what the work returns, or raises, in each of some processes; None from one that died."""
    context = multiprocessing.get_context("fork")
    store = str(folder / f"store-{time.monotonic_ns()}")
    running = []
    for rank in range(size):
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_process, args=(rank, size, store, work, sending))
        process.start()
        sending.close()
        running.append((process, receiving))
    found = []
    for process, receiving in running:
        try:
            found.append(receiving.recv() if receiving.poll(60) else "nothing within a minute")
        except EOFError:
            found.append(None)
        process.join(10)
        assert not process.is_alive()
    return found


def crowd(n_tasks: int = 400) -> pd.DataFrame:
    rows = laws.heavy_tail(0, n_tasks).answers
    return rows.assign(worker="w" + rows["worker"].astype(str))


def split(rows: pd.DataFrame, *shares: float) -> np.ndarray:
    """Return a process for each row, by task, in these shares."""
    code = pd.factorize(rows["task"])[0]
    rng = np.random.default_rng(0)
    return rng.choice(len(shares), size=code.max() + 1, p=shares)[code]


def alike(tmp_path: Path, rows: pd.DataFrame, *shares: float, **parameters: Any) -> DEEMAggregator:
    """Check that processes with some shares of the tasks say what one says that has all; return this one."""
    part = split(rows, *shares)
    gold = parameters.pop("gold", None)

    def work(rank: int) -> Any:
        found = distributed.fit(rows[part == rank], gold=gold, **parameters)
        return found.labels, found.workers, found.model.selection_, found.model.predict_proba(rows)

    results = together(tmp_path, work, len(shares))
    assert not any(isinstance(one, Exception) for one in results), results
    whole = DEEMAggregator(progress=False, **parameters).fit(rows, gold=gold)
    labels = pd.concat([r[0] for r in results]).set_index("task").loc[whole.labels_.index]
    shown = labels[[f"p_{name}" for name in whole.probas_.columns]]
    np.testing.assert_allclose(shown, whole.probas_, atol=1e-5)
    assert (labels["label"].to_numpy() == whole.labels_.to_numpy()).all()
    np.testing.assert_allclose(labels["confidence"], whole.tasks_["confidence"], atol=1e-5)
    for _, workers, selection, predicted in results:
        pd.testing.assert_frame_equal(
            workers.loc[whole.workers_.index], whole.workers_, check_dtype=False, atol=1e-5
        )
        np.testing.assert_allclose(predicted, whole.predict_proba(rows), atol=1e-5)
        if selection is not None:
            pd.testing.assert_frame_equal(selection, whole.selection_, atol=1e-5)
    return whole


def drawn(n_tasks: int, k: int, n_workers: int = 40) -> pd.DataFrame:
    """Return answers of K classes, of which a worker with a skill of 0.7 names the right one."""
    rng = np.random.default_rng(0)
    task = np.repeat(np.arange(n_tasks), 4)
    worker = np.concatenate([rng.choice(n_workers, 4, replace=False) for _ in range(n_tasks)])
    right = rng.random(len(task)) < 0.7
    label = np.where(right, task % k, rng.integers(0, k, len(task)))
    return pd.DataFrame({"task": task, "worker": worker, "label": label})


def refused(tmp_path: Path, parts: list[Any], **parameters: Any) -> list[str]:
    """Return the error of each process; each has to have one of the same kind."""
    found = together(tmp_path, lambda rank: distributed.fit(parts[rank], **parameters), len(parts))
    assert all(isinstance(error, DeemCrowdError) for error in found), found
    assert len({type(error) for error in found}) == 1
    return [str(error) for error in found]
