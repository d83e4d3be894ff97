"""The plugin through which the built-in adapters register themselves, by address."""

from __future__ import annotations

from collections.abc import Mapping

from deem_crowd.hookspecs import Offer, hookimpl


@hookimpl
def deem_crowd_adapters() -> Mapping[str, Offer]:
    """Offer the adapters by name, each with a line about what it takes."""
    package = __name__.rpartition(".")[0]
    offers = {
        "long": ("long:from_long", "table of answers: task, worker, label (pandas, polars, Arrow)"),
        "wide": ("wide:from_wide", "DataFrame, one row a task, one column a worker, NaN missing"),
        "dense": ("arrays:from_dense", "matrix of labels, shape (N, D), −1 missing"),
        "soft": ("arrays:from_soft", "array of distributions, shape (N, K, D)"),
        "soft-long": (
            "long:from_soft_long",
            "table of soft answers: task, worker, one probability column per class",
        ),
        "polars": ("polars:from_polars", "polars DataFrame or LazyFrame: task, worker, label"),
        "arrow": ("arrow:from_arrow", "Arrow table, batch or stream: task, worker, label"),
        "csv": ("files:from_csv", "CSV file or '-', also compressed: task, worker, label"),
        "tsv": ("files:from_tsv", "TSV file or '-', also compressed: task, worker, label"),
        "jsonl": ("files:from_jsonl", "JSON lines, also compressed: task, worker, label"),
        "parquet": ("files:from_parquet", "parquet file: task, worker, label"),
    }
    return {name: (f"{package}.{where}", line) for name, (where, line) in offers.items()}
