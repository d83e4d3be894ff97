"""A learned skill lies inside its own interval, whatever the law of the answers."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from deem_crowd_benchmarks.sets.laws import LAWS

from cases import Case
from deem_crowd import DEEMAggregator
from deem_crowd.estimators.fitted import beta_intervals

MODELS: dict[str, dict[str, Any]] = {
    "default": {},
    "plain": {"auto_hyperparameters": False},
    "free gauge": {"gauge": "free"},
}


def inside(skills: Any, intervals: Any) -> None:
    low, high = np.asarray(intervals).T
    assert (low <= skills).all()
    assert (skills <= high).all()
    assert (low >= 0).all()
    assert (high <= 1).all()


def law(name: str, n_tasks: int, model: str, folder: Path) -> None:
    draw = LAWS[name]
    sized = "n_tasks" in inspect.signature(draw).parameters
    rows = (draw(0, n_tasks) if sized else draw(0)).answers  # type: ignore[call-arg]
    fitted = DEEMAggregator(**MODELS[model]).fit(rows)
    inside(fitted.skills_.to_numpy(), fitted.skill_intervals_)


def chain(wrong: bool, folder: Path) -> None:
    """Two workers a task, each beside the next: nobody is met by all; the last is always wrong, or not."""
    task = np.repeat(np.arange(60), 2)
    worker = (task // 5 + np.tile([0, 1], 60)) % 13
    label = np.where(wrong & (worker == 12), 1 - task % 2, task % 2)
    fitted = DEEMAggregator().fit(pd.DataFrame({"task": task, "worker": worker, "label": label}))
    inside(fitted.skills_.to_numpy(), fitted.skill_intervals_)


def numbers(information: float, folder: Path) -> None:
    skills = np.array(
        [0, 1e-12, 1e-6, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1 - 1e-6, 1 - 1e-12, 1]
    )
    inside(skills, beta_intervals(skills, np.full(len(skills), information)))


CASES = [
    *(
        Case("intervals of skills", f"{name}, {n_tasks} tasks, {model}", functools.partial(law, name, n_tasks, model))
        for name in LAWS for n_tasks in (20, 200) for model in MODELS
    ),
    *(Case("intervals of skills", f"a chain, {wrong}", functools.partial(chain, wrong)) for wrong in (True, False)),
    *(
        Case("intervals of skills", f"worth {information:g} answers", functools.partial(numbers, information))
        for information in (0, 0.01, 1, 10, 1e3, 1e6)
    ),
]  # fmt: skip
