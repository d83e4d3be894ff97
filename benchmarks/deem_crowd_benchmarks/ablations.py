"""What each part of the default model is worth: every part left out once, on label sets with gold and on laws.

    python -m deem_crowd_benchmarks.ablations DATA ... [--seeds 1]

DATA as for ``deem-crowd benchmark --data``. Gold scores alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
import torch
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd import DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataWarning
from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection import dependence
from deem_crowd.selection.opinion_pool import FLOOR, agreement_weights, smoothed_votes
from deem_crowd.training import em
from deem_crowd.training.em import Member
from deem_crowd_benchmarks import measures
from deem_crowd_benchmarks.label_sets import sources


@dataclass(frozen=True)
class Parts:
    """Which parts of the default are there."""

    path: bool = True
    coin: bool = True
    subtypes: bool = True
    votes: bool = True
    floor: bool = True
    dependence: bool = True
    weights: bool = True


VARIANTS = {
    "the default": Parts(),
    "last pass instead of the path's mean": Parts(path=False),
    "without one accuracy a worker": Parts(coin=False),
    "without easy and hard tasks": Parts(subtypes=False),
    "without the votes as a voice": Parts(votes=False),
    "without votes at all": Parts(votes=False, floor=False),
    "without dependence from pairs": Parts(dependence=False),
    "equal weights": Parts(weights=False),
}
PLAIN = "plain model (auto_hyperparameters=False)"


def assemble(answers: Answers, parts: Parts) -> pd.DataFrame:
    """Return the probabilities of the default with some parts left out, index task, columns classes, shape (N, K).

    With all parts this is what :func:`deem_crowd.selection.select.select` does; a test holds the two together.
    """
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    begin = em.vote_start(design)
    power: torch.Tensor | None = None

    def tables() -> Member:
        return em.fit_confusion(design, begin, power=power, average=parts.path)

    one = tables()
    if parts.dependence:
        between = dependence.measure(answers)
        if between.contradicts(em.chance_corrected_skills(design, one)):
            power = torch.from_numpy(between.power)
            one = tables()
    voices = [one]
    if parts.coin:
        voices.append(em.fit_one_coin(design, begin, power))
    third = one
    if parts.subtypes and power is None:
        two = em.fit_confusion(design, em.margin_start(design, begin), 2)
        third = two if two.bound > one.bound else one
    voices.append(third)
    read = [member.energy.posterior(design) for member in voices]
    votes = smoothed_votes(design)[0]
    if parts.votes:
        read.append(votes)
    weights = agreement_weights(read)[0] if parts.weights else [1 / len(read)] * len(read)
    posterior = torch.stack([w * p for w, p in zip(weights, read, strict=True)]).sum(0)
    if parts.floor:
        posterior = (1 - FLOOR) * posterior + FLOOR * votes
    return pd.DataFrame(posterior.numpy(), index=answers.tasks, columns=answers.classes)


def _plain(answers: Answers) -> pd.DataFrame:
    return DEEMAggregator(auto_hyperparameters=False).fit_predict_proba(answers)


def main(
    data: list[str],
    seeds: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Print accuracy, log-loss and expected calibration error of each variant, means over the sets of a kind."""
    runs: dict[str, Callable[[Answers], pd.DataFrame]] = {
        name: lambda answers, parts=parts: assemble(answers, parts)  # type: ignore[misc]
        for name, parts in VARIANTS.items()
    }
    runs[PLAIN] = _plain
    rows = []
    for source in sources(list(data)):
        for seed in range(seeds if source.drawn else 1):
            label_set = source.load(seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)  # of repeated answers
                answers = Answers.from_frame(label_set.answers, duplicates="last")
            for name, run in runs.items():
                probas = run(answers)
                rows.append(
                    {
                        "variant": name,
                        "kind": source.kind,
                        "accuracy %": 100 * measures.accuracy(probas, label_set.gold),
                        "log-loss": measures.log_loss(probas, label_set.gold),
                        "ECE %": 100 * measures.reliability(probas, label_set.gold).error,
                    }
                )
    found = pd.DataFrame(rows).groupby(["variant", "kind"], sort=False).mean().unstack()
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    columns = [(measure, kind) for kind in kinds for measure in ("accuracy %", "log-loss", "ECE %")]
    table = Table(box=None)
    table.add_column("variant", no_wrap=True)
    for measure, kind in columns:
        table.add_column(f"{kind} {measure}", justify="right", no_wrap=True)
    for name in runs:
        values = found.loc[name].reindex(columns).to_numpy(dtype=float).tolist()
        forms = [".3f" if measure == "log-loss" else ".2f" for measure, _ in columns]
        table.add_row(name, *(format(v, f) for v, f in zip(values, forms, strict=True)))
    Console(width=50 + 24 * len(columns)).print(table)


if __name__ == "__main__":
    typer.run(main)
