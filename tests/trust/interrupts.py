"""Sends signals at random moments and says what they broke; a program for a process without other threads.

    python tests/trust/interrupts.py KIND TRIALS SEED

Prints one JSON object: trials, how many were hit while at work, how many ended the work, and what was wrong.
Libraries are loaded once; each trial is a fork, so that a signal falls into the work and not into imports.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import hashlib
import json
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from deem_crowd import DEEM, DEEMAggregator, cli
from deem_crowd.exceptions import DeemCrowdError


def crowd(seed: int, n: int = 100) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    truth, skill = rng.integers(3, size=n), rng.beta(4, 2, 10)
    task, worker = np.repeat(np.arange(n), 4), np.tile(np.arange(10), n * 4 // 10)
    label = np.where(rng.random(n * 4) < skill[worker], truth[task], rng.integers(3, size=n * 4))
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    return frame.drop_duplicates(["task", "worker"])


def digest(model: Any) -> str:
    """Return a hash of all that a model shows, and of what it predicts; 'unfitted' where it shows nothing."""
    shown = sorted(
        name for name in vars(model) if name.endswith("_") or name in ("_fitted", "_memory")
    )
    if not shown:
        return "unfitted"
    found = hashlib.sha256(repr(shown).encode())
    for name in shown:
        if name not in ("_fitted", "_memory", "model_"):
            found.update(pickle.dumps(np.asarray(vars(model)[name], dtype=object).tolist()))
    if isinstance(model, DEEMAggregator):
        found.update(model.predict_proba(FIRST).to_numpy().tobytes())
        seen = vars(model).get("_memory")
        found.update(str(seen.answers.n_answers if seen else None).encode())
    else:
        found.update(model.predict_proba(MATRIX).tobytes())
    return found.hexdigest()


FIRST, SECOND = crowd(1), crowd(2)
MATRIX = np.random.default_rng(0).integers(0, 3, (100, 5))
OTHER = np.random.default_rng(1).integers(0, 3, (100, 5))

# ------------------------------------------------------------------- one trial


def hit(work: Callable[[], Any], check: Callable[[bool], str], number: int, delay: float) -> dict:
    """Fork, work, send the signal after a delay; return what came of it."""
    back, out = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(back)
        status = 0
        try:
            result = _in_child(work, check, out)
        except BaseException:
            result, status = {"wrong": traceback.format_exc()}, 1
        with contextlib.suppress(BaseException):
            os.write(out, json.dumps(result).encode())
        os._exit(status)
    os.close(out)
    ready = os.read(back, 1)
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    content = ready * 0
    while chunk := os.read(back, 65536):
        content += chunk
    os.close(back)
    _, status = os.waitpid(pid, 0)
    return json.loads(content) if content else {"signal": os.waitstatus_to_exitcode(status)}


def _in_child(work: Callable[[], Any], check: Callable[[bool], str], out: int) -> dict:
    active, late = [True], [False]

    def handler(*_: Any) -> None:
        if active[0]:
            raise KeyboardInterrupt
        late[0] = True

    signal.signal(signal.SIGINT, handler)
    ended = False
    try:
        os.write(out, b"r")
        work()
        active[0] = False
    except KeyboardInterrupt:
        active[0] = False
        ended = True
    return {"ended": ended, "hit": ended, "wrong": check(ended)}


def duration(work: Callable[[], Any]) -> float:
    """Return how long work takes in a fork: nothing is learned from a first call that loads things."""
    back, out = os.pipe()
    pid = os.fork()
    if pid == 0:
        began = time.perf_counter()
        with contextlib.suppress(BaseException):
            work()
        os.write(out, str(time.perf_counter() - began).encode())
        os._exit(0)
    os.close(out)
    found = float(os.read(back, 100))
    os.close(back)
    os.waitpid(pid, 0)
    return found


# -------------------------------------------------------------- what is tried


def objects(rng: random.Random, trials: int) -> list[dict]:
    """Fit and partial_fit of both classes, first and again, and load: as before, or fitted."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        DEEMAggregator(progress=False).fit(SECOND).save(path)
        makers: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
            (lambda: DEEMAggregator(progress=False), lambda m: m.fit(SECOND)),
            (lambda: DEEMAggregator(progress=False).fit(FIRST), lambda m: m.fit(SECOND)),
            (
                lambda: DEEMAggregator(progress=False).partial_fit(FIRST),
                lambda m: m.partial_fit(SECOND.assign(task=SECOND["task"] + 900)),
            ),
            (
                lambda: DEEMAggregator(progress=False, hidden_dim=2, n_iter=15).fit(FIRST),
                lambda m: m.fit(SECOND),
            ),
            (lambda: DEEMAggregator(progress=False).fit(FIRST), lambda m: m.load(path)),
            (lambda: DEEM(progress=False).fit(MATRIX), lambda m: m.fit(OTHER)),
            (lambda: DEEM(progress=False).partial_fit(MATRIX), lambda m: m.partial_fit(OTHER)),
            (
                lambda: DEEM(progress=False).fit(MATRIX),
                lambda m: m.fit(OTHER, sampler="gibbs", epochs=3),
            ),
        ]
        prepared = []
        for make, act in makers:
            model = make()
            after = copy.deepcopy(model)
            act(after)
            prepared.append(
                (
                    model,
                    act,
                    digest(model),
                    digest(after),
                    duration(lambda act=act, model=model: act(model)),
                )
            )
        for trial in range(trials):
            model, act, old, new, seconds = prepared[trial % len(prepared)]

            def check(ended: bool, model=model, old=old, new=new) -> str:
                found = digest(model)
                allowed = {old, new} if ended else {new}
                return "" if found in allowed else "neither the old state nor the new one"

            delay = rng.uniform(0, 1.05 * seconds)
            results.append(
                hit(lambda model=model, act=act: act(model), check, signal.SIGINT, delay)
            )
    return results


def saves(rng: random.Random, trials: int) -> list[dict]:
    """Save over an older file: the old one or the new one, and after an interrupt nothing beside it."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        first = DEEMAggregator(progress=False).fit(FIRST)
        second = DEEMAggregator(progress=False, subtypes=2).fit(SECOND)
        first.save(path)
        old = path.read_bytes()
        allowed = {digest(first), digest(second)}
        seconds = duration(lambda: second.save(path))
        for trial in range(trials):
            for other in Path(folder).iterdir():
                other.unlink()
            path.write_bytes(old)
            number = signal.SIGINT if trial % 2 else signal.SIGTERM
            delay = rng.uniform(0, 1.1 * seconds)
            found = hit(lambda: second.save(path), lambda ended: "", number, delay)
            try:
                if digest(DEEMAggregator.load(path)) not in allowed:
                    found["wrong"] = "neither the old model nor the new one"
            except DeemCrowdError as error:
                found["wrong"] = f"torn file: {error}"
            if number == signal.SIGINT and sorted(os.listdir(folder)) != ["m.safetensors"]:
                found["wrong"] = f"left behind: {sorted(os.listdir(folder))}"
            if number == signal.SIGTERM:
                found["hit"] = found["ended"] = found.get("signal") == -signal.SIGTERM
            results.append(found)
    return results


def commands(rng: random.Random, trials: int, benchmark: bool = False) -> list[dict]:
    """deem-crowd: the right exit status, whole files or none, a word on standard error and no traceback."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        FIRST.to_csv("a.csv", index=False)
        targets = ["labels.csv", "p.parquet", "w.jsonl"]
        whole: dict[str, bytes] = {}
        outputs = f"-o {targets[0]} --proba {targets[1]} --workers {targets[2]}"
        command = f"aggregate a.csv {outputs}".split()
        if benchmark:
            command = [
                "benchmark",
                "--data",
                "law:few-tasks",
                "--methods",
                "mv,wawa",
                "--out",
                "b",
                "--seeds",
                "2",
            ]

        def run() -> None:
            sys.argv = ["deem-crowd", *command]
            log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            cli.main()

        began = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                run()
                status = 0
            except SystemExit as ended:
                status = int(ended.code or 0)
            os._exit(status)
        _, status = os.waitpid(pid, 0)
        seconds = time.perf_counter() - began
        assert os.waitstatus_to_exitcode(status) == 0, Path("log").read_text()
        if not benchmark:
            whole = {name: Path(name).read_bytes() for name in targets}
        for trial in range(trials):
            for name in os.listdir(folder):
                if name in (*targets, "log") or name.startswith("."):
                    os.unlink(name)
            shutil.rmtree("b", ignore_errors=True)
            number = signal.SIGINT if trial % 2 else signal.SIGTERM
            results.append(_one_command(run, number, rng.uniform(0, 1.05 * seconds), whole))
    return results


def _one_command(
    run: Callable[[], None], number: int, delay: float, whole: dict[str, bytes]
) -> dict:
    pid = os.fork()
    if pid == 0:
        # what the console script does; outside the except clauses what was under way is finalised, as when Python ends
        code = 0
        try:
            try:
                run()
            except SystemExit as ended:
                code = int(ended.code or 0)
                sys.stdout.flush()
            except BaseException:
                code = 99
                traceback.print_exc()
                sys.stderr.flush()
            gc.collect()
        finally:
            os._exit(code)
    time.sleep(delay)
    os.kill(pid, number)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    said = Path("log").read_text() if Path("log").exists() else ""
    wrong = ""
    if code == -number or (code == 99 and not said):
        return {"hit": False, "ended": False, "wrong": ""}  # before the program had begun
    if code not in (0, 128 + number):
        wrong = f"exit status {code}: {said[-2000:]}"
    if "Traceback" in said:
        wrong = f"a traceback: {said[-2000:]}"
    last = said.rstrip().splitlines()[-1:]
    if code == 128 + number and last not in ([], ["error: interrupted"], ["error: terminated"]):
        wrong = f"said {said[-500:]}"
    for name, content in whole.items():
        if os.path.exists(name) and Path(name).read_bytes() != content:
            wrong = f"{name} is torn"
        if code == 0 and not os.path.exists(name):
            wrong = f"{name} is not there"
    left = [name for name in os.listdir() if name.startswith(".")]
    if left:
        wrong = f"left behind: {left}"
    if os.path.isdir("b"):
        wrong = wrong or _readable("b")
    return {"hit": code != 0, "ended": code != 0, "wrong": wrong}


def _readable(folder: str) -> str:
    """Say what is wrong with the results of a benchmark that was stopped: all lines but the last are whole."""
    path = Path(folder) / "results.jsonl"
    lines = path.read_text().split("\n") if path.exists() else []
    for line in lines[:-1]:
        try:
            json.loads(line)
        except ValueError:
            return f"a torn line: {line[:100]}"
    left = [name for name in os.listdir(folder) if name.startswith(".")]
    return f"left behind: {left}" if left else ""


KINDS = {
    "objects": objects,
    "saves": saves,
    "commands": commands,
    "benchmarks": lambda rng, trials: commands(rng, trials, benchmark=True),
}


def main() -> None:
    kind, trials, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if kind == "benchmarks":
        with contextlib.suppress(DeemCrowdError):
            import deem_crowd_benchmarks.pages.figures
            import deem_crowd_benchmarks.suites  # noqa: F401
    gc.freeze()  # so that no trial, a fork, copies what is loaded to collect garbage
    results = KINDS[kind](random.Random(seed), trials)
    wrong = [result["wrong"] for result in results if result.get("wrong")]
    summary = {
        "trials": len(results),
        "hit": sum(bool(result.get("hit")) for result in results),
        "wrong": wrong[:5],
        "n_wrong": len(wrong),
    }
    sys.stdout.write(json.dumps(summary) + "\n")


if __name__ == "__main__":
    main()
