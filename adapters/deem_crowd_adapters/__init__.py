"""Other people's formats → :class:`deem_crowd.Answers`, and back.

``to_answers(data)`` recognises what it is given; the other functions are there for whoever knows what he has.
``to_dense(data)`` is the bridge for people with a model of their own. Names are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "DensePredictions": "bridge",
    "from_arrow": "arrow",
    "from_csv": "files",
    "from_dense": "arrays",
    "from_file": "files",
    "from_jsonl": "files",
    "from_long": "long",
    "from_parquet": "files",
    "from_polars": "polars",
    "from_soft": "arrays",
    "from_soft_long": "long",
    "from_tsv": "files",
    "from_wide": "wide",
    "read_gold": "files",
    "read_long": "files",
    "read_soft_long": "files",
    "read_table": "files",
    "to_answers": "dispatch",
    "to_dense": "bridge",
    "write_table": "writing",
}

__all__ = [*_EXPORTS]  # noqa: PLE0604 (built from one table)

if TYPE_CHECKING:
    from deem_crowd_adapters.arrays import from_dense as from_dense
    from deem_crowd_adapters.arrays import from_soft as from_soft
    from deem_crowd_adapters.arrow import from_arrow as from_arrow
    from deem_crowd_adapters.bridge import DensePredictions as DensePredictions
    from deem_crowd_adapters.bridge import to_dense as to_dense
    from deem_crowd_adapters.dispatch import to_answers as to_answers
    from deem_crowd_adapters.files import from_csv as from_csv
    from deem_crowd_adapters.files import from_file as from_file
    from deem_crowd_adapters.files import from_jsonl as from_jsonl
    from deem_crowd_adapters.files import from_parquet as from_parquet
    from deem_crowd_adapters.files import from_tsv as from_tsv
    from deem_crowd_adapters.files import read_gold as read_gold
    from deem_crowd_adapters.files import read_long as read_long
    from deem_crowd_adapters.files import read_soft_long as read_soft_long
    from deem_crowd_adapters.files import read_table as read_table
    from deem_crowd_adapters.long import from_long as from_long
    from deem_crowd_adapters.long import from_soft_long as from_soft_long
    from deem_crowd_adapters.polars import from_polars as from_polars
    from deem_crowd_adapters.wide import from_wide as from_wide
    from deem_crowd_adapters.writing import write_table as write_table


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
