"""What each part of the default model is worth: every part left out once, on label sets with gold and on laws.

    python -m deem_crowd_benchmarks.ablations DATA ... [--seeds 1]

DATA as for ``deem-crowd benchmark --data``. Gold scores alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import pandas as pd
import torch
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd import DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection.opinion_pool import without_label
from deem_crowd.selection.parts import Parts
from deem_crowd.selection.select import select
from deem_crowd_benchmarks.known_labels import SCORES, scores
from deem_crowd_benchmarks.sets.label_sets import loaded

VARIANTS = {
    "the default": Parts(),
    "last pass instead of the path's mean": Parts(path=False),
    "without one accuracy a worker": Parts(structured=False),
    "without easy and hard tasks": Parts(subtypes=False),
    "without the votes as a voice": Parts(votes=False),
    "without votes at all": Parts(votes=False, floor=False),
    "without tables around accuracies": Parts(hierarchy=False),
    "without averaged skills": Parts(averaged=False),
    "without habits": Parts(habits=False),
    "without an order of the classes": Parts(in_order=False),
    "without dependence from pairs": Parts(dependence=False),
    "without fields": Parts(fields=False),
    "without who answered": Parts(presence=False),
    "equal weights": Parts(weights=False),
    "odds as the model gives them": Parts(correlated=False),
}
PLAIN = "plain model (auto_hyperparameters=False)"


def probabilities(answers: Answers, parts: Parts) -> pd.DataFrame:
    """Return the probabilities of the default with some parts left out, index task, columns classes, shape (N, K)."""
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    selected = select(answers, design, parts=parts)
    posterior = selected.posterior
    if posterior is None:  # the answers speak for no label
        posterior = without_label(answers, design).posterior(design)
    return pd.DataFrame(posterior.numpy(), index=answers.tasks, columns=answers.classes)


def main(
    data: list[str],
    seeds: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Print accuracy, log-loss and expected calibration error of each variant, means over the sets of a kind."""
    runs: dict[str, Callable[[Answers], pd.DataFrame]] = {
        **{name: partial(probabilities, parts=parts) for name, parts in VARIANTS.items()},
        PLAIN: DEEMAggregator(auto_hyperparameters=False).fit_predict_proba,
    }
    rows = []
    for source, label_set, answers in loaded(data, seeds):
        for name, run in runs.items():
            scored = scores(run(answers), label_set.gold)
            rows.append({"variant": name, "kind": source.kind, **scored})
    means = pd.DataFrame(rows).groupby(["variant", "kind"], sort=False).mean().unstack()
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    columns = [(measure, kind) for kind in kinds for measure in SCORES]
    table = Table(box=None)
    table.add_column("variant", no_wrap=True)
    for measure, kind in columns:
        table.add_column(f"{kind} {measure}", justify="right", no_wrap=True)
    for name in runs:
        values = means.loc[name].reindex(columns).to_numpy(dtype=float).tolist()
        forms = [".3f" if measure == "log-loss" else ".2f" for measure, _ in columns]
        table.add_row(name, *(format(v, f) for v, f in zip(values, forms, strict=True)))
    Console(width=50 + 24 * len(columns)).print(table)


if __name__ == "__main__":
    typer.run(main)
