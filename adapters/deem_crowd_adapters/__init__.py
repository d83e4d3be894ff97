"""Other people's formats → :class:`deem_crowd.Answers`, and the bridge to dense tensors.

Whatever the format, an answer that is missing is absent: it becomes no class, no vote and no count.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "DensePredictions": "arrays",
    "from_dense": "arrays",
    "from_soft": "arrays",
    "to_dense": "arrays",
    "from_arrow": "tables",
    "from_polars": "tables",
    "from_long": "frames",
    "from_soft_long": "frames",
    "from_wide": "frames",
    "from_file": "files",
    "read_long": "files",
    "write_table": "files",
    "to_answers": "dispatch",
}

__all__ = sorted(_EXPORTS)  # noqa: PLE0605 (built from one table)

if TYPE_CHECKING:
    from deem_crowd_adapters.arrays import DensePredictions as DensePredictions
    from deem_crowd_adapters.arrays import from_dense as from_dense
    from deem_crowd_adapters.arrays import from_soft as from_soft
    from deem_crowd_adapters.arrays import to_dense as to_dense
    from deem_crowd_adapters.dispatch import to_answers as to_answers
    from deem_crowd_adapters.files import from_file as from_file
    from deem_crowd_adapters.files import read_long as read_long
    from deem_crowd_adapters.files import write_table as write_table
    from deem_crowd_adapters.frames import from_long as from_long
    from deem_crowd_adapters.frames import from_soft_long as from_soft_long
    from deem_crowd_adapters.frames import from_wide as from_wide
    from deem_crowd_adapters.tables import from_arrow as from_arrow
    from deem_crowd_adapters.tables import from_polars as from_polars


def __getattr__(name: str) -> Any:
    try:
        module = importlib.import_module(f"{__name__}.{_EXPORTS[name]}")
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
