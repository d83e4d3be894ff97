"""Votes of labelling functions as a matrix, and as WRENCH writes them."""

from __future__ import annotations

import numpy as np

VOTES = np.array([[-1, 0, 2], [1, -1, -1], [2, 2, 0]])


def wrench(votes, labels, start=0):
    return {
        str(i): {"label": label, "weak_labels": row, "data": {"text": f"text {start + i}"}}
        for i, (row, label) in enumerate(zip(votes, labels, strict=True))
    }
