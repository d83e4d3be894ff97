"""Aggregators with faults, and something to try them on, for processes of their own to import."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
from deem_crowd_benchmarks.sets.label_set import LabelSet


def tiny(name: str = "tiny", n: int = 20, seed: int = 0) -> LabelSet:
    """Twenty tasks of three answers by a coin."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"task": np.repeat(np.arange(n), 3), "worker": np.tile([0, 1, 2], n)})
    frame["label"] = rng.choice(["yes", "no"], 3 * n)
    return LabelSet(name, frame, pd.Series(rng.choice(["yes", "no"], n), index=range(n)))


class Vote:
    """The first label of every task, in no time."""

    def fit_predict(self, data: pd.DataFrame) -> pd.Series:
        return data.groupby("task")["label"].first()


class Guesses(Vote):
    """Random labels, as many authors begin."""

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit_predict(self, data):
        tasks, classes = np.unique(data["task"]), np.unique(data["label"])
        rng = np.random.default_rng(self.random_state)
        return pd.Series(classes[rng.integers(len(classes), size=len(tasks))], index=tasks)


class Raises(Vote):
    def fit_predict(self, data):
        raise RuntimeError("no such luck <script>alert(1)</script>")


class Refuses(Vote):
    def fit_predict(self, data):
        from deem_crowd.exceptions import UnsupportedError

        raise UnsupportedError("not for more than one class")


class Dies(Vote):
    def fit_predict(self, data):
        if len(data) > 10:
            ctypes.string_at(0)


class Exits(Vote):
    def fit_predict(self, data):
        if len(data) > 10:
            os._exit(7)


class Hangs(Vote):
    def fit_predict(self, data):
        if len(data) > 10:
            time.sleep(600)


class HangsAtFirst(Vote):
    """Hangs in the fit that warms up."""

    def fit_predict(self, data):
        if len(data) < 10:
            time.sleep(600)
        return super().fit_predict(data)


class Talks(Vote):
    """Fails with a message of 50 MB, and says as much."""

    def fit_predict(self, data):
        print("y" * 50_000_000)
        raise ValueError("x" * 50_000_000)


class TalksLast(Talks):
    """The same, but not as an Exception."""

    def fit_predict(self, data):
        raise BaseException("x" * 50_000_000)


class Thread(Vote):
    """Leaves a thread that never ends."""

    def fit_predict(self, data):
        threading.Thread(target=time.sleep, args=(600,)).start()
        return super().fit_predict(data)


class Leaves(Vote):
    """Leaves processes in a session of their own, one of them without a parent; ends as it is told."""

    def __init__(self, folder: str, end: str) -> None:
        self.folder, self.end = folder, end

    def fit_predict(self, data):
        write = "import os, sys, time; open(f'{sys.argv[1]}/{os.getpid()}', 'w').close(); time.sleep(600)"
        fork = "import os, sys, subprocess; subprocess.Popen(sys.argv[1:], start_new_session=True)"
        command = [sys.executable, "-S", "-c", write, self.folder]
        subprocess.Popen(command, start_new_session=True)
        subprocess.run([sys.executable, "-S", "-c", fork, *command], check=True)
        while len(os.listdir(self.folder)) < 2:
            time.sleep(0.01)
        if self.end == "hangs":
            time.sleep(600)
        if self.end == "dies":
            os.kill(os.getpid(), 9)
        return super().fit_predict(data)


def leave(begin, folder: str) -> None:
    """Hang with processes left, for :func:`deem_crowd_benchmarks.running.isolation.isolated`."""
    Leaves(folder, "hangs").fit_predict(tiny().answers)


class Eats(Vote):
    """Takes memory bit by bit."""

    def fit_predict(self, data):
        held = []
        while len(data) > 10:
            held.append(np.ones(2**20))


class EatsTorch(Vote):
    def fit_predict(self, data):
        import torch

        if len(data) > 10:
            torch.ones(2**33)


class Invents(Vote):
    def fit_predict(self, data):
        return super().fit_predict(data).replace({data["label"].iloc[0]: "unheard of"})


class Loses(Vote):
    def fit_predict(self, data):
        return super().fit_predict(data).iloc[1:]


class Lists(Vote):
    def fit_predict(self, data):
        return list(super().fit_predict(data))


class Improper(Vote):
    """Probabilities that do not sum to one."""

    def fit_predict(self, data):
        self.probas_ = data.groupby(["task", "label"]).size().unstack(fill_value=0) * 1.0
        return super().fit_predict(data)


class Peeks(Vote):
    """Writes down that it was run, and takes a moment."""

    def __init__(self, folder: str, random_state: int = 0) -> None:
        self.folder, self.random_state = folder, random_state

    def fit_predict(self, data):
        if len(data) > 10:
            name = f"{len(data)}-{self.random_state}-{os.getpid()}-{time.time_ns()}"
            (Path(self.folder) / name).touch()
            time.sleep(0.3)
        return super().fit_predict(data)


class Draws(Vote):
    """A random vote, by its seed."""

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit_predict(self, data):
        return data.sample(frac=1, random_state=self.random_state).groupby("task")["label"].first()
