"""Label sets of known law in which sources give probabilities, as classifiers and language models do.

As in :mod:`deem_crowd_benchmarks.sets.laws`, each function draws one label set from a seed. Logits are normal, with a
signal for the true class, and a source's own scale.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd_benchmarks.sets import laws
from deem_crowd_benchmarks.sets.label_set import LabelSet, numbered

Numbers = npt.NDArray[np.float64]


def scales(seed: int, n_tasks: int = 600) -> LabelSet:
    """Six classifiers, K = 5: signals U(0.5, 2), scales from timid to overconfident (log-normal, σ = 1)."""
    rng = np.random.default_rng(seed)
    return _probabilities("scales", rng, n_tasks, 5, rng.uniform(0.5, 2, 6), rng.lognormal(0, 1, 6))


def guessers(seed: int, n_tasks: int = 600) -> LabelSet:
    """Three classifiers with signals U(1, 2.2) and three that guess, K = 4, all of the same scale."""
    rng = np.random.default_rng(seed)
    signal = np.append(rng.uniform(1, 2.2, 3), np.zeros(3))
    return _probabilities("guessers", rng, n_tasks, 4, signal, np.full(6, 1.5))


def offsets(seed: int, n_tasks: int = 600) -> LabelSet:
    """Six classifiers with signals U(0.8, 2), K = 3, each with its own offset N(0, 1.5²) for each class."""
    rng = np.random.default_rng(seed)
    favour = rng.normal(0, 1.5, (3, 6))
    return _probabilities(
        "offsets", rng, n_tasks, 3, rng.uniform(0.8, 2, 6), np.ones(6), favour=favour
    )


def some_certain(seed: int, n_tasks: int = 600) -> LabelSet:
    """Six classifiers with signals U(0.8, 1.6), K = 4: three give probabilities close to 0 or 1, three do not."""
    rng = np.random.default_rng(seed)
    scale = np.tile([100.0, 1.0], 3)
    return _probabilities("some-certain", rng, n_tasks, 4, rng.uniform(0.8, 1.6, 6), scale)


def common_errors(seed: int, n_tasks: int = 1000) -> LabelSet:
    """Six classifiers with signals U(0.8, 2), K = 3: 30 % of the variance of their noise is the same for all."""
    rng = np.random.default_rng(seed)
    signal = rng.uniform(0.8, 2, 6)
    return _probabilities("common-errors", rng, n_tasks, 3, signal, np.ones(6), common=0.3)


SOFT = laws.by_name(scales, guessers, offsets, some_certain, common_errors)


def _probabilities(
    name: str,
    rng: np.random.Generator,
    n_tasks: int,
    n_classes: int,
    signal: Numbers,
    scale: Numbers,
    favour: Numbers | float = 0.0,
    common: float = 0.0,
) -> LabelSet:
    """Draw probabilities of D sources of these signals and scales, shape (D,), for all tasks."""
    shape = n_tasks, n_classes, len(signal)
    truth = rng.choice(n_classes, n_tasks, p=rng.dirichlet([3.0] * n_classes))
    noise = np.sqrt(1 - common) * rng.normal(size=shape)
    noise += np.sqrt(common) * rng.normal(size=(n_tasks, n_classes, 1))
    logits = (noise + favour + np.eye(n_classes)[truth][:, :, None] * signal) * scale
    odds = np.exp(logits - logits.max(1, keepdims=True))
    told = (odds / odds.sum(1, keepdims=True)).transpose(0, 2, 1).reshape(-1, n_classes)
    task, worker = np.divmod(np.arange(n_tasks * len(signal)), len(signal))
    both = pd.DataFrame({"task": task, "worker": worker})
    soft = pd.concat([both, pd.DataFrame(told)], axis=1)
    return LabelSet(name, both.assign(label=told.argmax(1)), numbered(truth), "law", soft)
