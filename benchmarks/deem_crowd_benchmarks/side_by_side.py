"""Accuracy, log-loss and seconds of several aggregators on a folder of label sets, in one run.

    python -m deem_crowd_benchmarks.side_by_side FOLDER [--methods deem,ds,mv] [--repeat 3]

FOLDER holds one folder per set: ``NAME/labels.csv[.gz]`` (task, worker, label) and ``NAME/truth.csv[.gz]``
(task, label).
Every method gets the very same frame. Seconds are from DataFrame to labels, the best of ``--repeat`` runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from deem_crowd_adapters import read_long
from rich.console import Console
from rich.table import Table

from deem_crowd.exceptions import DataError
from deem_crowd_benchmarks import comparison


def label_sets(folder: Path) -> Iterator[tuple[str, pd.DataFrame, pd.Series]]:
    """Yield (name, answers, gold) for each set in ``folder``, by name.

    Raises
    ------
    DataError
        If the folder holds no label set.
    """
    found = False
    for path in sorted(folder.iterdir()):
        files = [_either(path / stem) for stem in ("labels.csv", "truth.csv")]
        if None in files:
            continue
        found = True
        answers = read_long(str(files[0]))
        truth = pd.read_csv(str(files[1]), dtype=str, keep_default_na=False)
        # text on both sides: whether a label looks like a number is then no difference
        text = answers[["task", "worker", "label"]].astype(str)
        yield path.name, text, truth.set_index("task")["label"]
    if not found:
        raise DataError(f"{folder} holds no folder with labels.csv[.gz] and truth.csv[.gz].")


def _either(path: Path) -> Path | None:
    return next((p for p in (path, path.with_suffix(".csv.gz")) if p.is_file()), None)


def rows(folder: Path, methods: list[str], repeat: int) -> Iterator[dict[str, object]]:
    """Yield one row per set: accuracy in %, log-loss in nats and seconds of each method."""
    for name, answers, gold in label_sets(folder):
        row: dict[str, object] = {"set": name}
        for run in range(repeat):
            for result in comparison.each(answers, methods, gold if run == 0 else None):
                if result.error:
                    row[f"{result.method} error"] = result.error
                    continue
                if run == 0:
                    row[f"{result.method} %"] = 100 * float(result.accuracy or 0)
                    row[f"{result.method} nats"] = result.log_loss
                key = f"{result.method} s"
                seconds = float(result.seconds or 0)
                row[key] = min(seconds, float(str(row.get(key, seconds))))
        yield row


def main(
    folder: Path,
    methods: Annotated[str, typer.Option(help="names in the registry")] = "deem,ds,mv",
    repeat: Annotated[int, typer.Option(min=1, help="timed runs; the best counts")] = 3,
) -> None:
    """Compare aggregators on every label set of FOLDER."""
    names = methods.split(",")
    frame = pd.DataFrame(rows(folder, names, repeat)).set_index("set")
    columns = [f"{m} {what}" for what in ("%", "nats", "s") for m in names]
    frame = frame.reindex(columns=columns)
    frame.loc["mean"] = frame.mean()
    table = Table(box=None)
    for column in ("set", *columns):
        table.add_column(column, justify="left" if column == "set" else "right")
    for name, row in frame.iterrows():
        table.add_row(str(name), *(_text(c, float(row[c])) for c in columns))
    Console(width=max(100, 14 * len(columns))).print(table)


def _text(column: str, value: float) -> str:
    form = ".1f" if column.endswith("%") else ".3f"
    return "–" if np.isnan(value) else format(value, form)


if __name__ == "__main__":
    typer.run(main)
