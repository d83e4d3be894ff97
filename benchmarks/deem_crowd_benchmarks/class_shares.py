"""What it is worth to know the shares of the classes: the default without and with ``class_balance``.

    python -m deem_crowd_benchmarks.class_shares DATA ... [--sample 100] [--seed 0]

DATA as for ``deem-crowd benchmark --data``. Shares are those among the tasks with gold, exactly and in a sample.
"""

from __future__ import annotations

import warnings
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from deem_crowd import DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataWarning
from deem_crowd_benchmarks.known_labels import scores, show
from deem_crowd_benchmarks.sets.label_sets import loaded

_LEAST = 0.5
"""Tasks of each class that are added to those that were counted, so that each has a share."""


def shares(counts: pd.Series) -> dict[object, float]:
    """Return the share of each class by how many tasks were counted."""
    more = counts + _LEAST
    return dict(more / more.sum())


def run(answers: Answers, gold: pd.Series, sample: int, seed: int) -> dict[str, pd.DataFrame]:
    """Return probabilities by what is known of the shares of the classes."""
    counts = gold.value_counts().reindex(answers.classes, fill_value=0)
    truth = counts / counts.sum()
    drawn = pd.Series(np.random.default_rng(seed).multinomial(sample, truth), counts.index)
    known = {
        "nothing": None,
        f"a sample of {sample}": shares(drawn),
        "the shares": shares(counts),
    }
    return {
        name: DEEMAggregator(class_balance=balance).fit_predict_proba(answers)
        for name, balance in known.items()
    }


def main(
    data: list[str],
    sample: Annotated[int, typer.Option(min=1)] = 100,
    seed: int = 0,
) -> None:
    """Print accuracy, log-loss and expected calibration error, means over the sets of a kind."""
    rows: list[dict[str, object]] = []
    for source, label_set, answers in loaded(data):
        gold = label_set.gold[label_set.gold.isin(answers.classes)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            found = run(answers, gold, sample, seed)
        about = {"kind": source.kind, "set": source.name}
        rows += [
            {**about, "known": name, **scores(probas, label_set.gold)}
            for name, probas in found.items()
        ]
    show(rows, ["kind", "known"])


if __name__ == "__main__":
    typer.run(main)
