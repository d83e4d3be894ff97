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
from rich.console import Console
from rich.table import Table

from deem_crowd import DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataWarning
from deem_crowd_benchmarks import measures
from deem_crowd_benchmarks.label_sets import sources

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
    for source in sources(list(data)):
        label_set = source.load(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # of repeated answers
            answers = Answers.from_frame(label_set.answers, duplicates="last")
            gold = label_set.gold[label_set.gold.isin(answers.classes)]
            for name, probas in run(answers, gold, sample, seed).items():
                rows.append(
                    {
                        "kind": source.kind,
                        "known": name,
                        "accuracy %": 100 * measures.accuracy(probas, label_set.gold),
                        "log-loss": measures.log_loss(probas, label_set.gold),
                        "ECE %": 100 * measures.reliability(probas, label_set.gold).error,
                    }
                )
    grouped = pd.DataFrame(rows).groupby(["kind", "known"], sort=False)
    mean = grouped.mean().assign(sets=grouped.size()).reset_index()
    table = Table(box=None)
    for name in ("kind", "known", "sets", "accuracy %", "log-loss", "ECE %"):
        table.add_column(
            name, no_wrap=True, justify="left" if name in ("kind", "known") else "right"
        )
    for row in mean.to_dict("records"):
        measured = (f"{row['accuracy %']:.1f}", f"{row['log-loss']:.2f}", f"{row['ECE %']:.1f}")
        table.add_row(str(row["kind"]), str(row["known"]), str(row["sets"]), *measured)
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)
