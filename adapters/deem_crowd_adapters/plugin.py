"""Registers the built-in adapters, by the same hook that a stranger's package uses."""

from __future__ import annotations

from deem_crowd.hookspecs import hookimpl

_HERE = "deem_crowd_adapters"


@hookimpl
def deem_crowd_adapters() -> dict[str, tuple[str, str]]:
    """Return name → (where it is, what it reads), so that listing imports nothing."""
    offers = {
        "long": ("frames:from_long", "pandas frame, one row an answer: task, worker, label"),
        "wide": ("frames:from_wide", "pandas frame, tasks × workers, NaN where missing"),
        "soft-long": ("frames:from_soft_long", "pandas frame, one probability column per class"),
        "dense": ("arrays:from_dense", "integer matrix (N, D), −1 where missing"),
        "soft": ("arrays:from_soft", "probabilities (N, K, D), zeros where missing"),
        "arrow": ("tables:from_arrow", "Arrow table or record batch in the long format"),
        "polars": ("tables:from_polars", "polars frame in the long format"),
    }
    for kind in ("csv", "tsv", "jsonl", "parquet"):
        offers[kind] = ("files:from_file", f"{kind} file in the long format")
    return {name: (f"{_HERE}.{where}", what) for name, (where, what) in offers.items()}
