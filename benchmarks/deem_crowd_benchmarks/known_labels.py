"""What a few known labels are worth: the default with gold beside a classifier that is trained on the same gold.

    python -m deem_crowd_benchmarks.known_labels DATA ... [--labels 10,30,100,300] [--draws 3]

DATA as for ``deem-crowd benchmark --data``. The labels are drawn from the gold, and methods are scored on the rest.
"""

from __future__ import annotations

import warnings
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression

from deem_crowd import DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataWarning
from deem_crowd.selection.known_labels.regression import indicators
from deem_crowd_benchmarks.running import measures
from deem_crowd_benchmarks.sets.label_sets import loaded

WITHOUT, REGRESSION, WITH = "DEEM without gold", "logistic regression", "DEEM with gold"
SCORES = ("accuracy %", "log-loss", "ECE %")
"""The last is the expected calibration error."""
_LEAST_OTHERS = 50
"""Tasks with gold that have to be left to score on."""


def regression(answers: Answers, known: pd.Series) -> pd.DataFrame:
    """Return the probabilities of scikit-learn's regression (C = 1) on indicators of (worker, answer), shape (N, K).

    Parameters
    ----------
    answers : Answers
        Hard ones.
    known : Series, index task
        What it is trained on; if all are of one class, that class gets probability 1.
    """
    features = indicators(answers, np.arange(answers.n_tasks))
    truth = answers.classes.get_indexer(pd.Index(known))
    posterior = np.zeros((answers.n_tasks, answers.n_classes))
    if len(set(truth)) < 2:
        posterior[:, truth[0]] = 1.0
    else:
        model = LogisticRegression(max_iter=500)
        model.fit(features[answers.tasks.get_indexer(known.index)], truth)
        posterior[:, model.classes_] = model.predict_proba(features)
    return pd.DataFrame(posterior, index=answers.tasks, columns=answers.classes)


def run(
    answers: Answers, gold: pd.Series, n_labels: int, draw: int, without: pd.DataFrame
) -> list[dict[str, object]]:
    """Return a row for each method with one draw of known labels; none where too little gold is left to score on."""
    gold = gold[gold.isin(answers.classes) & gold.index.isin(answers.tasks)]
    if len(gold) < n_labels + _LEAST_OTHERS:
        return []
    order: npt.NDArray[np.int64] = np.random.default_rng(draw).permutation(len(gold))
    known, others = gold.iloc[order[:n_labels]], gold.iloc[order[n_labels:]]
    posteriors = {
        WITHOUT: without,
        REGRESSION: regression(answers, known),
        WITH: DEEMAggregator().fit_predict_proba(answers, known),
    }
    return [
        {"method": name, "labels": n_labels, **scores(probas, others)}
        for name, probas in posteriors.items()
    ]


def scores(probas: pd.DataFrame, gold: pd.Series) -> dict[str, float]:
    """Return the :data:`SCORES` of probabilities, shape (N, K)."""
    accuracy, error = measures.accuracy(probas, gold), measures.reliability(probas, gold).error
    values = (100 * accuracy, measures.log_loss(probas, gold), 100 * error)
    return dict(zip(SCORES, values, strict=True))


def show(rows: list[dict[str, object]], by: list[str]) -> None:
    """Print the :func:`scores` in rows that name their ``set``: means over draws, then over sets."""
    of_sets = pd.DataFrame(rows).groupby([*by, "set"], sort=False)[list(SCORES)].mean()
    grouped = of_sets.groupby(by, sort=False)
    mean = grouped.mean().assign(sets=grouped.size()).reset_index()
    table = Table(box=None)
    for name in (*by, "sets", *SCORES):
        table.add_column(name, no_wrap=True, justify="left" if name in by else "right")
    for row in mean.to_dict("records"):
        measured = (f"{row['accuracy %']:.1f}", f"{row['log-loss']:.2f}", f"{row['ECE %']:.1f}")
        table.add_row(*(str(row[name]) for name in (*by, "sets")), *measured)
    Console(width=110).print(table)


def main(
    data: list[str],
    labels: str = "10,30,100,300",
    draws: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Print accuracy, log-loss and expected calibration error, means over the sets of a kind and the draws."""
    rows: list[dict[str, object]] = []
    for source, label_set, answers in loaded(data):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            without = DEEMAggregator().fit_predict_proba(answers)
            for n_labels in map(int, labels.split(",")):
                for draw in range(draws):
                    scored = run(answers, label_set.gold, n_labels, draw, without)
                    rows += [{"kind": source.kind, "set": source.name, **row} for row in scored]
    show(rows, ["kind", "labels", "method"])


if __name__ == "__main__":
    typer.run(main)
