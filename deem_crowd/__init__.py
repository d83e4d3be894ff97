"""deem-crowd: what is true, when several fallible sources label the same things.

``DEEMAggregator().fit_predict(df)`` takes a crowd-kit frame (task, worker, label);
``DEEM().fit(predictions).predict(predictions)`` takes arrays. Names are imported on first use, so that
``import deem_crowd`` costs next to nothing.
"""

from __future__ import annotations

import lazy_loader

__version__ = "0.1.0"

_attached, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["__version__", *__all__]  # noqa: PLE0604 (the names of the stub)


def __getattr__(name: str) -> object:
    from deem_crowd.runtime.deferred import uncollected

    with uncollected():
        return _attached(name)
