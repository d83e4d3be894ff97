"""Plots of fitted objects: each function takes ``ax=`` and returns the Axes it drew on.

Colours are those of Okabe and Ito, and cividis, which people with any colour vision tell apart. Needs matplotlib, which
is imported when a plot is drawn.
"""

from __future__ import annotations

from deem_crowd.plots.tasks import calibration, confidence, coverage, hard_tasks, training
from deem_crowd.plots.workers import agreement, confusion, skills

__all__ = [
    "agreement",
    "calibration",
    "confidence",
    "confusion",
    "coverage",
    "hard_tasks",
    "skills",
    "training",
]
