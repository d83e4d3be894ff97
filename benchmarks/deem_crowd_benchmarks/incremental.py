"""More answers later: ``partial_fit`` with the last answers, beside ``fit`` with all of them, in the same run.

    python -m deem_crowd_benchmarks.incremental [--mixed] [--known 2000]

The generated crowd of the scaling suite, K = 4; its last answers are about new tasks, or, with ``--mixed``, answers in
random order, most of them about tasks that have answers. With ``--known`` so many labels are known; as many per cent of
them as of the answers come with the last answers, and the answers of a stream bring none. Times are CPU time, from
DataFrame to labels: with ``OMP_NUM_THREADS=1`` other work on the machine disturbs them little. The gap is how far
p(label | answers) differs between the two. The stream is a tenth of the answers in 100 calls, three times; labels are
read at the end, and, in separate streams, after each call.
"""

from __future__ import annotations

import statistics
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd import DEEMAggregator
from deem_crowd_benchmarks.cpu_time import cpu_seconds
from deem_crowd_benchmarks.sets.laws import crowd_of

REPEATS = 5
STREAMS = 3


def rows_of(n_answers: int, mixed: bool) -> pd.DataFrame:
    """Return the answers, in the order of their tasks or in random order."""
    rows = crowd_of(n_answers, 0).answers
    return rows.sample(frac=1, random_state=0) if mixed else rows


def known_of(n_answers: int, n_known: int, rows: pd.DataFrame) -> pd.Series | None:
    """Return the labels of random tasks among those of ``rows``, as many as given; None for 0."""
    if not n_known:
        return None
    truth = crowd_of(n_answers, 0).gold
    return truth[truth.index.isin(rows["task"])].sample(n_known, random_state=0)


def stream(
    n_answers: int, automatic: bool | None, mixed: bool, n_known: int = 0
) -> dict[str, float]:
    """Return the seconds of 100 calls with 0.1 % of the answers each, labels read at the end, and of one fit of all.

    ``reads`` is what reading the labels after each call takes besides, in another stream. Seconds are medians.
    ``in fits`` and ``most`` are the median and the largest of the streams' times as multiples of the fit, and
    ``same labels`` is the share of labels that are those of the fit.
    """
    rows = rows_of(n_answers, mixed)
    pieces = np.array_split(np.arange(round(0.9 * len(rows)), len(rows)), 100)
    batches = [rows.iloc[piece] for piece in pieces]
    first = rows.iloc[: pieces[0][0]]
    known = known_of(n_answers, n_known, first)
    seconds: dict[str, list[float]] = {"fit": [], "stream": [], "reads": [], "in fits": []}
    for _ in range(STREAMS):
        model, read = (
            DEEMAggregator(auto_hyperparameters=automatic, progress=False).partial_fit(
                first, gold=known
            )
            for _ in range(2)
        )
        total = sum(cpu_seconds(model.partial_fit, batch) for batch in batches)
        total += cpu_seconds(lambda model=model: model.labels_)
        reads = 0.0
        for batch in batches:
            read.partial_fit(batch)
            reads += cpu_seconds(lambda read=read: read.labels_)
        whole = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
        fit = statistics.median(cpu_seconds(whole.fit, rows, known) for _ in range(3))
        for name, value in zip(seconds, (fit, total, reads, total / fit), strict=True):
            seconds[name].append(value)
    same = pd.Series(model.labels_) == pd.Series(whole.labels_).reindex(model.probas_.index)
    return {
        **{name: statistics.median(values) for name, values in seconds.items()},
        "most": max(seconds["in fits"]),
        "same labels": float(same.mean()),
    }


def measure(
    n_answers: int, share: float, automatic: bool | None, mixed: bool = False, n_known: int = 0
) -> dict[str, float]:
    """Return the median seconds of both ways and of ``predict``, and how far apart the two ways end."""
    rows = rows_of(n_answers, mixed)
    cut = len(rows) - round(share * len(rows))
    old, new = rows.iloc[:cut], rows.iloc[cut:]
    known = known_of(n_answers, n_known, old)
    earlier, later = known, None
    if known is not None:
        n_earlier = round((1 - share) * n_known)
        earlier, later = known[:n_earlier], known[n_earlier:]
    seconds: dict[str, list[float]] = {"fit": [], "partial": [], "predict": []}
    for _ in range(REPEATS):
        model = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
        model.partial_fit(old, gold=earlier)
        seconds["predict"].append(cpu_seconds(model.predict, new))
        partial = cpu_seconds(model.partial_fit, new, later)
        seconds["partial"].append(partial + cpu_seconds(lambda model=model: model.labels_))
        whole = DEEMAggregator(auto_hyperparameters=automatic, progress=False)
        seconds["fit"].append(cpu_seconds(whole.fit, rows, known))
    order = model.probas_.index
    gap = np.abs(model.probas_.to_numpy() - whole.probas_.reindex(order).to_numpy())
    return {
        **{name: statistics.median(values) for name, values in seconds.items()},
        "largest gap": float(gap.max()),
        "mean gap": float(gap.mean()),
        "same labels": float(
            (pd.Series(model.labels_) == pd.Series(whole.labels_).reindex(order)).mean()
        ),
    }


def main(
    answers: Annotated[
        list[float] | None, typer.Option(help="How many, as often as needed.")
    ] = None,
    mixed: Annotated[bool, typer.Option(help="Answers in random order.")] = False,
    known: Annotated[int, typer.Option(help="How many labels are known.")] = 0,
) -> None:
    """Print the tables."""
    table = Table(
        "answers", "new", "model", "fit s", "partial_fit s", "share of the time", "largest gap",
        "mean gap", "same labels", "predict s",
        box=None,
    )  # fmt: skip
    for n_answers in answers or (1e5, 1e6):
        for share in (0.1, 0.01):
            for name, automatic in (("plain", False), ("default", None)):
                row = measure(int(n_answers), share, automatic, mixed, known)
                table.add_row(
                    f"{int(n_answers):,}",
                    f"{share:.0%}",
                    name,
                    f"{row['fit']:.3f}",
                    f"{row['partial']:.3f}",
                    f"{row['partial'] / row['fit']:.0%}",
                    f"{row['largest gap']:.4f}",
                    f"{row['mean gap']:.1e}",
                    f"{row['same labels']:.2%}",
                    f"{row['predict']:.4f}",
                )
    Console(width=120).print(table)
    streams = Table(
        "answers", "model", "fit s", "100 calls s", "in fits", "at most", "same labels",
        "reading each time, fits",
        box=None,
    )  # fmt: skip
    for n_answers in answers or (1e5, 1e6):
        for name, automatic in (("plain", False), ("default", None)):
            row = stream(int(n_answers), automatic, mixed, known)
            streams.add_row(
                f"{int(n_answers):,}",
                name,
                f"{row['fit']:.3f}",
                f"{row['stream']:.3f}",
                f"{row['in fits']:.1f}",
                f"{row['most']:.1f}",
                f"{row['same labels']:.2%}",
                f"{row['reads'] / row['fit']:.1f}",
            )
    Console(width=120).print(streams)


if __name__ == "__main__":
    typer.run(main)
