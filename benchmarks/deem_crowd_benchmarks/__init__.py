"""Aggregators side by side: label sets, measures, runs in processes of their own, reports.

``benchmark(data="folder", methods="deem, ds, mv")`` compares on many label sets and writes a report;
``compare(frame, ["deem", "ds", "mv"], gold)`` on one frame, in this process; ``make_ensemble("digits")`` gives
something to compare on.
Names are imported on first use.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
