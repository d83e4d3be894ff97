"""The fit inside real engines on one machine: what one process says, lazily, and on through the death of a process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import loaded_python
import numpy as np
import pandas as pd
import psutil
import pytest
from deem_crowd_benchmarks.sets import laws

from deem_crowd import DEEMAggregator
from deem_crowd.distributed import store
from deem_crowd.exceptions import (
    DataError,
    MissingColumnError,
    ParameterError,
    UnsupportedError,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="gloo on POSIX"),
    pytest.mark.xdist_group("engines"),
    pytest.mark.filterwarnings("ignore"),  # the engines' own
]

JAVA = (
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    " -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
)
"""Java starts sooner: it compiles quickly rather than well, and takes Spark's bytecode as it is."""


class Engine:
    """An engine that runs: its module, and how frames come in and out."""

    def __init__(
        self,
        module: Any,
        frame: Callable[[pd.DataFrame], Any],
        table: Callable[[Any], pd.DataFrame],
        processes: Callable[[], list[int]],
    ) -> None:
        self.module, self.frame, self.table, self.processes = module, frame, table, processes


def spark(folder: Path) -> Iterator[Engine]:
    sql = pytest.importorskip(
        "pyspark.sql", reason="pyspark is not installed: pip install 'deem-crowd[spark]'"
    )
    if shutil.which("java") is None:
        pytest.skip("there is no JRE for Spark: apt-get install default-jre-headless")
    from deem_crowd.distributed import spark as module

    noted = folder / "daemon"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYSPARK_PYTHON",
            loaded_python.executable(str(folder), "pyspark.worker", module.__name__),
        )
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("NOTED_DAEMON", str(noted))
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1] / "helpers"), *sys.path])
        )
        builder = sql.SparkSession.builder.master("local[2]")
        for name, value in {
            "spark.ui.enabled": "false",
            "spark.driver.memory": "1g",
            "spark.driver.extraJavaOptions": JAVA,
            "spark.log.level": "OFF",
            "spark.sql.shuffle.partitions": "2",
            "spark.python.daemon.module": "noted_daemon",
        }.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        yield Engine(
            module,
            lambda rows: session.createDataFrame(rows),
            lambda frame: frame.toPandas(),
            lambda: [p.pid for p in psutil.Process(int(noted.read_text())).children()],
        )
        session.stop()


def dask(_: Path) -> Iterator[Engine]:
    dask = pytest.importorskip("dask")
    dd = pytest.importorskip(
        "dask.dataframe", reason="dask is not installed: pip install 'deem-crowd[dask]'"
    )
    distributed = pytest.importorskip("distributed")
    from deem_crowd.distributed import dask as module

    method = "distributed.worker.multiprocessing-method"
    with dask.config.set({method: "forkserver"}):
        context = distributed.utils.get_mp_context()
    context.set_forkserver_preload(["distributed", "pandas", "pyarrow", module.__name__])
    with (
        dask.config.set({method: "forkserver"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield Engine(
            module,
            lambda rows: dd.from_pandas(rows, npartitions=3),
            lambda frame: frame.compute(),
            lambda: list(client.run(os.getpid).values()),
        )


def ray(folder: Path) -> Iterator[Engine]:
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'deem-crowd[ray]'")
    data = pytest.importorskip("ray.data")
    from deem_crowd.distributed import ray as module

    # Ray itself reads its environment when it is imported, which a worker gets from Ray.
    python = loaded_python.executable(str(folder), module.__name__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", python)  # Ray has no parameter for it
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=100 * 2**20,
            _system_config={  # processes stay for the next fit
                "idle_worker_killing_time_threshold_ms": 600_000,
                "num_workers_soft_limit": 12,
            },
        )
    data.DataContext.get_current().enable_progress_bars = False
    yield Engine(
        module,
        lambda rows: data.from_pandas(rows),
        lambda dataset: dataset.to_pandas(),
        lambda: [
            p.pid for p in psutil.process_iter(["name"]) if p.info["name"] == "ray::_take_part"
        ],
    )
    ray.shutdown()


ENGINES = {"spark": spark, "dask": dask, "ray": ray}


@pytest.fixture(scope="module", params=ENGINES)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from ENGINES[request.param](tmp_path_factory.mktemp(request.param))


def crowd(n_tasks: int = 300) -> pd.DataFrame:
    rows = laws.heavy_tail(0, n_tasks).answers
    labels = rows["label"].map(dict(enumerate("bacd")))
    return rows.assign(worker="w" + rows["worker"].astype(str), label=labels)


def test_the_result_is_that_of_one_process(engine) -> None:
    rows = crowd().rename(columns={"task": "item", "label": "said"})
    names = {"task": "item", "label": "said"}
    found = engine.module.fit(engine.frame(rows), **names)
    whole = DEEMAggregator(progress=False).fit(rows, **names)
    assert type(found.labels) is type(engine.frame(rows))
    labels = engine.table(found.labels).set_index("item")
    assert labels.index.is_unique
    assert list(labels.columns) == ["said", "confidence", "p_a", "p_b", "p_c", "p_d"]
    labels = labels.loc[whole.labels_.index]
    assert list(labels["said"]) == list(whole.labels_)
    np.testing.assert_allclose(labels.filter(like="p_").to_numpy(float), whole.probas_, atol=1e-5)
    np.testing.assert_allclose(
        labels["confidence"].to_numpy(float), whole.tasks_["confidence"], atol=1e-5
    )
    workers = found.workers.loc[whole.workers_.index]
    pd.testing.assert_frame_equal(workers, whole.workers_, check_dtype=False, atol=1e-5)
    pd.testing.assert_frame_equal(found.model.selection_, whole.selection_, atol=1e-5)
    np.testing.assert_allclose(
        found.model.predict_proba(rows, **names), whole.predict_proba(rows, **names), atol=1e-5
    )


def test_the_model_is_saved_and_gold_is_known(engine, tmp_path) -> None:
    rows = crowd(60)
    known = {int(task): "b" for task in rows["task"].unique()[:5]}
    found = engine.module.fit(
        engine.frame(rows), gold=known, n_workers=2, auto_hyperparameters=False
    )
    whole = DEEMAggregator(progress=False, auto_hyperparameters=False).fit(rows, gold=known)
    labels = engine.table(found.labels).set_index("task").loc[whole.labels_.index]
    np.testing.assert_allclose(labels.filter(like="p_").to_numpy(float), whole.probas_, atol=1e-5)
    assert (labels["label"].loc[list(known)] == "b").all()
    found.model.save(tmp_path / "model")
    again = DEEMAggregator.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(rows), found.model.predict_proba(rows))


def test_workers_of_spark_that_run_another_python_are_told_apart_from_dead_ones() -> None:
    types = pytest.importorskip("pyspark.sql.types")
    from deem_crowd.distributed import spark as module

    class Stage:
        schema = types.StructType([])

        def mapInArrow(self, *_, **__):
            return self

        def repartition(self, _):
            return self

        def collect(self):
            raise RuntimeError("barrier task failed: ModuleNotFoundError: No module named 'torch'")

    with pytest.raises(UnsupportedError, match="the module torch is not installed.*PYSPARK_PYTHON"):
        module._run(Stage(), None, 1)


def test_more_processes_than_tasks(engine) -> None:
    """A partition may be empty."""
    rows = crowd(60)
    rows = rows[rows["task"] == rows["task"].iloc[0]]
    found = engine.module.fit(engine.frame(rows), n_workers=2)
    whole = DEEMAggregator(progress=False).fit(rows)
    labels = engine.table(found.labels).set_index("task").loc[whole.labels_.index]
    np.testing.assert_allclose(labels.filter(like="p_").to_numpy(float), whole.probas_, atol=1e-5)


def test_what_is_wrong_is_one_error_at_the_driver(engine) -> None:
    rows = crowd(40)
    frame = engine.frame(rows)
    with pytest.raises(MissingColumnError, match="the frame has no column 'item'; found"):
        engine.module.fit(frame, task="item")
    with pytest.raises(ParameterError, match="subtypes=0"):
        engine.module.fit(frame, subtypes=0)
    with pytest.raises(ParameterError, match="timeout=0"):
        engine.module.fit(frame, timeout=0)
    with pytest.raises(UnsupportedError, match="models of one hidden unit"):
        engine.module.fit(frame, hidden_dim=2)
    with pytest.raises(DataError, match="no worker gave: 'z'"):
        engine.module.fit(frame, gold={0: "z"})
    holes = rows.assign(label=rows["label"].where(rows.index != rows.index[7], None))
    with pytest.raises(DataError, match="process [01]: column 'label' is missing in 1 of"):
        engine.module.fit(engine.frame(holes))
    found = engine.module.fit(engine.frame(holes), missing="drop", n_workers=1)
    assert len(engine.table(found.labels)) == rows["task"].nunique()


def test_it_goes_on_when_a_process_is_killed(engine, monkeypatch) -> None:
    """On a machine that is quick, or busy elsewhere, a fit may be over before it is disturbed: then a longer one is."""
    for n_iter in (300, 3000, 30_000):
        with monkeypatch.context() as patched:
            if _goes_on_when_killed(engine, patched, n_iter):
                return
    pytest.fail("no fit was long enough to be disturbed")


def _goes_on_when_killed(engine, monkeypatch, n_iter: int) -> bool:
    """Kill a process of the second of two fits and compare them; False if it was over before."""
    rows = crowd(200)
    frame = engine.frame(rows)
    how = {
        "auto_hyperparameters": False,
        "tol": 0.0,
        "n_iter": n_iter,
        "every": 0.0,
        "n_workers": 2,
    }
    servers: list[Any] = []
    killed: list[int] = []
    done = threading.Event()
    serve = store.serve
    monkeypatch.setattr(store, "serve", lambda host: servers.append(serve(host)) or servers[-1])

    def kill() -> None:
        """Kill a process of the fit once the second loop is noted."""
        while not done.is_set():
            if len(servers) == 2 and servers[1].check(["loop-1"]):
                with contextlib.suppress(psutil.Error):  # a process ended while they were listed
                    if running := engine.processes():
                        os.kill(running[0], signal.SIGKILL)
                        killed.append(running[0])
                        return
            time.sleep(0.005)

    def noted(server: Any, name: str) -> int:
        return int(server.get(name).decode().split(":")[0]) + 1

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        whole = engine.module.fit(frame, **how)
        found = engine.module.fit(frame, **how)
    finally:
        done.set()
        thread.join()
    if not killed:
        return False
    undisturbed, disturbed = servers
    assert undisturbed.add(store.JOINED, 0) == 2
    assert disturbed.add(store.JOINED, 0) == 4  # all processes were started again
    # a loop that had ended is not made again: its passes are noted once each
    assert noted(disturbed, "loop-0") == noted(undisturbed, "loop-0")
    pd.testing.assert_frame_equal(found.workers, whole.workers, rtol=1e-9)
    return True
