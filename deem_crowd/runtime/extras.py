"""The optional packages: which extra of deem-crowd installs which, and the error where one is missing."""

from __future__ import annotations

import importlib.util

from deem_crowd.exceptions import UnsupportedError

PACKAGES = {
    "plots": ("matplotlib",),
    "report": ("jinja2", "matplotlib"),
    "benchmarks": ("jinja2", "matplotlib"),
    "excel": ("openpyxl",),
    "classifier": ("skops",),
    "skorch": ("skorch",),
    "spark": ("pyspark",),
    "dask": ("dask", "distributed"),
    "ray": ("ray",),
}
"""The modules that each extra brings."""


def require(extra: str, what: str) -> None:
    """Check that the packages of an extra are there.

    Parameters
    ----------
    extra : str
        A name in ``PACKAGES``.
    what : str
        What needs them, as the subject of a sentence in the plural.

    Raises
    ------
    UnsupportedError
        Names what is missing and the command that installs it.
    """
    missing = [name for name in PACKAGES[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise UnsupportedError(
            f"{what} need {' and '.join(missing)}: pip install 'deem-crowd[{extra}]'."
        )
