"""What the companions of the consensus reach on small data: ``python -m deem_crowd_benchmarks.companions NAME``.

``names FOLDER …``: names shuffled for each worker against true names; ``kingdra``, ``dec``, ``hume`` and
``hume-neighbours``: on scikit-learn's digits; ``kingdra-mnist`` and ``dec-mnist``: on 5,000 images of MNIST. The
figures of docs/clusterings.md come from here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from deem_crowd.exceptions import DataError
from deem_crowd_benchmarks.running.measures import of_labels
from deem_crowd_benchmarks.sets import things
from deem_crowd_benchmarks.sets.clusterings import renamed
from deem_crowd_benchmarks.sets.label_set import LabelSet
from deem_crowd_benchmarks.sets.label_sets import sources

FloatArray = npt.NDArray[np.float64]


def names(folders: Sequence[str], seeds: int = 1) -> pd.DataFrame:
    """Return the accuracy under the best one-to-one map with true and with shuffled names, a row a set and seed.

    True names go to DEEMAggregator, shuffled ones to ClusteringAggregator with the number of classes.
    """
    rows = []
    for source in sources(list(folders)):
        for seed in range(seeds):
            label_set = source.load(seed)
            row = {"set": source.name, "seed": seed, "answers": len(label_set.answers)}
            try:
                rows.append({**row, **_own_against_true(label_set, seed)})
            except DataError as error:
                rows.append({**row, "reason": str(error)})
    return pd.DataFrame(rows)


def _own_against_true(label_set: LabelSet, seed: int) -> dict[str, float]:
    from deem_crowd import DEEMAggregator
    from deem_crowd.clustering import ClusteringAggregator

    k = label_set.answers["label"].nunique()
    private = renamed(label_set, seed).answers
    consensus = ClusteringAggregator(k, random_state=seed).fit_predict(private)
    common = DEEMAggregator(progress=False).fit_predict(label_set.answers)
    true, own = (
        100 * of_labels(labels, label_set.gold)["clustering_accuracy"]
        for labels in (common, consensus)
    )
    return {"true names": true, "shuffled": own, "difference": own - true}


def kingdra(seeds: int = 5) -> pd.DataFrame:
    """Return first and last round of Kingdra (5 models, 5 rounds, edges 5 and 4 of 5), and training alone."""
    from deem_crowd.clustering import Kingdra

    X, y = _digits()
    rows = []
    for seed in range(seeds):
        model = Kingdra(10, n_models=5, n_iter=5, negative=0.8, random_state=seed)
        history = model.fit(X, truth=y).history_
        first, last = history.iloc[0], history.iloc[-1]
        alone = Kingdra(10, n_models=5, n_iter=0, epochs=30, random_state=seed).fit(X, truth=y)
        rows.append(
            {
                "seed": seed,
                "one model": first["model_accuracy"],
                "ensemble": first["accuracy"],
                "one model, iterated": last["model_accuracy"],
                "Kingdra": last["accuracy"],
                "ensemble, as many epochs without pseudo-labels": alone.history_["accuracy"].iloc[
                    0
                ],
                "coverage, first": first["coverage"],
                "coverage, last": last["coverage"],
                "purity, first": first["purity"],
                "purity, last": last["purity"],
            }
        )
    return pd.DataFrame(rows)


def kingdra_mnist(seeds: int = 5) -> pd.DataFrame:
    """Return what iterations gain on MNIST's 5,000: five models and one, against as many epochs without pseudo-labels.

    Layers 128-128, a first round of 20 epochs, and five rounds of five; edges 5 and 4 of 5. Each seed is written out as
    soon as it is there.
    """
    from deem_crowd.clustering import Kingdra

    X, y = _mnist()
    rows = []
    for seed in range(seeds):
        row: dict[str, Any] = {"seed": seed}
        for n_models in (5, 1):
            kind: dict[str, Any] = {
                "n_models": n_models,
                "layers": (128, 128),
                "random_state": seed,
            }
            negative = 0.8 if n_models > 1 else 1.0
            model = Kingdra(10, n_iter=5, first_epochs=20, negative=negative, **kind)
            history = model.fit(X, truth=y).history_
            alone = Kingdra(10, n_iter=0, first_epochs=45, **kind).fit(X, truth=y).history_
            parts = {"first": history.iloc[0], "iterated": history.iloc[-1], "alone": alone.iloc[0]}
            for part, of in parts.items():
                for what in ("model_accuracy", "accuracy", "coverage", "purity"):
                    row[f"{n_models} {part} {what}"] = of[what]
        rows.append(row)
        sys.stdout.write(pd.Series(row).round(4).to_json() + "\n")
        sys.stdout.flush()
    return pd.DataFrame(rows)


def dec(seeds: int = 10) -> pd.DataFrame:
    """Return ACC, NMI and ARI of k-means, the autoencoder with k-means, and DEC."""
    X, y = _digits()
    return _embedded(X, y, seeds, batch_size=64, update_interval=28, max_iter=280)


def dec_mnist(seeds: int = 5) -> pd.DataFrame:
    """Return the same on MNIST's 5,000 images: 50 epochs of pretraining, and 15 of DEC."""
    X, y = _mnist()
    return _embedded(
        X, y, seeds, pretrain_epochs=50, batch_size=128, update_interval=39, max_iter=585
    )


def _embedded(X: FloatArray, y: npt.NDArray[np.int64], seeds: int, **settings: Any) -> pd.DataFrame:
    """Fit DEC (layers 200-200-800-10) with each seed; each is written out as soon as it is there."""
    from deem_crowd.clustering import DEC

    rows = []
    for seed in range(seeds):
        model = DEC(10, (200, 200, 800, 10), **settings, random_state=seed).fit(X)
        plain = KMeans(10, n_init=20, random_state=seed).fit_predict(X)
        parts = {
            "k-means": plain,
            "autoencoder + k-means": model.initial_labels_,
            "DEC": model.labels_,
        }
        row: dict[str, Any] = {"seed": seed}
        for name, labels in parts.items():
            row[f"{name} ACC"] = _accuracy(labels, y)
            row[f"{name} NMI"] = metrics.normalized_mutual_info_score(y, labels)
            row[f"{name} ARI"] = metrics.adjusted_rand_score(y, labels)
        rows.append(row)
        sys.stdout.write(pd.Series(row).round(4).to_json() + "\n")
        sys.stdout.flush()
    return pd.DataFrame(rows)


def hume(n_labelings: int = 50) -> pd.DataFrame:
    """Return score and ACC of each labelling of HUME; in the last rows those of the vote and of reliable rows.

    The first representation is of 20 principal components.
    """
    X, y = _digits()
    return _labelings(*representations(X), y, n_labelings)


def hume_neighbours(n_labelings: int = 50) -> pd.DataFrame:
    """Return the same with 20 eigenvectors of the graph of nearest neighbours as first representation, 250 steps.

    Self-supervised features, as the paper has them, bring neighbours together; these do so for pixels.
    """
    X, y = _digits()
    return _labelings(neighbourhood(X), representations(X)[1], y, n_labelings, n_steps=250, cv=5)


def _labelings(
    first: FloatArray,
    second: FloatArray,
    y: npt.NDArray[np.int64],
    n_labelings: int,
    **settings: Any,
) -> pd.DataFrame:
    from deem_crowd.clustering import HUME

    model = HUME(10, n_labelings, **settings).fit(first, second)
    single = [_accuracy(labels, y) for labels in model.labelings_.T]
    frame = pd.DataFrame({"what": "labelling", "score": model.scores_, "ACC": single})
    reliable = model.reliable_
    missed = _missed(model, first, second)
    objective = missed - model.entropy * model.entropies_

    def correlation(what: FloatArray) -> float:
        return float(np.corrcoef(what, single)[0, 1])

    more = [
        ("correlation of score and ACC", np.nan, correlation(model.scores_)),
        ("correlation of − loss held out and ACC", np.nan, correlation(-missed)),
        ("correlation of − objective and ACC", np.nan, correlation(-objective)),
        ("mean labelling", model.scores_.mean(), float(np.mean(single))),
        ("vote", np.nan, _accuracy(model.labels_, y)),
        ("reliable rows, share", np.nan, float(reliable.mean())),
        ("reliable rows", np.nan, _accuracy(model.labels_[reliable], y[reliable])),
    ]
    return pd.concat([frame, pd.DataFrame(more, columns=frame.columns)], ignore_index=True)


def _missed(model: Any, first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the loss of eq. 7 of each labelling on a tenth of all rows, after 300 inner steps as in the paper."""
    from deem_crowd.clustering.deep.hume import labelling, outer_loss
    from deem_crowd.clustering.deep.inner import largest_rate

    spaces, _ = model._spaces(first.astype(np.float32), second.astype(np.float32))
    generator = torch.Generator().manual_seed(0)
    n, d, k = len(first), spaces.second.shape[1], model.n_clusters
    rate, values = model.inner_rate * largest_rate(spaces.second), []
    for _ in range(2):
        rows = torch.randperm(n, generator=generator)
        soft = labelling(model._heads, spaces.first[rows], model.temperature)
        start = torch.randn(model.n_labelings, d, k, generator=generator) / d**0.5
        with torch.no_grad():
            loss = outer_loss(soft, spaces.second[rows], int(0.9 * n), start, rate, 300, 0.0)
        values.append(loss.numpy().astype(np.float64))
    out: FloatArray = np.mean(values, axis=0)
    return out


def neighbourhood(X: FloatArray) -> FloatArray:
    """Return 20 leading eigenvectors of the graph of each row's ten nearest ones, standardised."""
    from sklearn.manifold import SpectralEmbedding

    model = SpectralEmbedding(20, affinity="nearest_neighbors", n_neighbors=10, random_state=0)
    found = model.fit_transform(X)
    standardised: FloatArray = (found - found.mean(0)) / found.std(0)
    return standardised


def representations(X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return 20 whitened principal components of 8 × 8 images, and pooled features of 32 random 3 × 3 filters."""
    first = PCA(20, whiten=True, random_state=0).fit_transform(X)
    drawn = np.random.default_rng(0).normal(size=(32, 1, 3, 3))
    filters = torch.tensor(drawn, dtype=torch.float32)
    images = torch.tensor(X.reshape(-1, 1, 8, 8), dtype=torch.float32)
    first_layer = torch.relu(torch.nn.functional.conv2d(images - images.mean(), filters, padding=1))
    return first, torch.nn.functional.avg_pool2d(first_layer, 4).flatten(1).numpy()


def _mnist() -> tuple[FloatArray, npt.NDArray[np.int64]]:
    X, y = things.mnist()
    return X / 255, y


def _digits() -> tuple[FloatArray, npt.NDArray[np.int64]]:
    X, y = things.of_sklearn("digits")
    return X / 16, y


def _accuracy(labels: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> float:
    tasks = pd.RangeIndex(len(y))
    return of_labels(pd.Series(labels, tasks), pd.Series(y, tasks))["clustering_accuracy"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of them and write its table to standard output."""
    runs: dict[str, Callable[[int], pd.DataFrame]] = {
        "kingdra": kingdra, "kingdra-mnist": kingdra_mnist, "dec": dec, "dec-mnist": dec_mnist,
        "hume": hume, "hume-neighbours": hume_neighbours,
    }  # fmt: skip
    parser = argparse.ArgumentParser(prog="deem_crowd_benchmarks.companions")
    parser.add_argument("name", choices=["names", *runs])
    parser.add_argument("folders", nargs="*", help="label sets, for names")
    parser.add_argument("--seeds", type=int, help="how many (labelings, for hume)")
    given = parser.parse_args(arguments)
    more = [] if given.seeds is None else [given.seeds]
    run = runs.get(given.name)
    frame = names(given.folders, *more) if run is None else run(*more)
    sys.stdout.write(frame.round(4).to_string() + "\n")


if __name__ == "__main__":
    main()
