"""Aggregators side by side: label sets, measures, runs in processes of their own, reports.

``benchmark(data="folder", methods="deem, ds, mv")`` compares on many label sets and writes a report;
``compare(frame, ["deem", "ds", "mv"], gold)`` on one frame, in this process; ``make_ensemble("digits")`` gives
something to compare on.
Names are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "Ensemble": "ensembles",
    "LabelSet": "label_sets",
    "Method": "methods",
    "Result": "comparison",
    "accuracy": "measures",
    "agreement": "measures",
    "benchmark": "suites",
    "compare": "comparison",
    "log_loss": "measures",
    "make_ensemble": "ensembles",
    "write_report": "reports",
}

__all__ = [*_EXPORTS]  # noqa: PLE0604 (built from one table)

if TYPE_CHECKING:
    from deem_crowd_benchmarks.comparison import Result as Result
    from deem_crowd_benchmarks.comparison import compare as compare
    from deem_crowd_benchmarks.ensembles import Ensemble as Ensemble
    from deem_crowd_benchmarks.ensembles import make_ensemble as make_ensemble
    from deem_crowd_benchmarks.label_sets import LabelSet as LabelSet
    from deem_crowd_benchmarks.measures import accuracy as accuracy
    from deem_crowd_benchmarks.measures import agreement as agreement
    from deem_crowd_benchmarks.measures import log_loss as log_loss
    from deem_crowd_benchmarks.methods import Method as Method
    from deem_crowd_benchmarks.reports import write_report as write_report
    from deem_crowd_benchmarks.suites import benchmark as benchmark


def __getattr__(name: str) -> Any:
    try:
        module = _EXPORTS[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
