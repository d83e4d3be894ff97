"""deem-crowd: what is true, when several fallible sources label the same things.

``DEEMAggregator().fit_predict(df)`` takes a crowd-kit frame (task, worker, label);
``DEEM().fit(predictions).predict(predictions)`` takes arrays. Names are imported on first use, so that
``import deem_crowd`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "Answers": "deem_crowd.data.answers",
    "DEEM": "deem_crowd.estimators.deem",
    "DEEMAggregator": "deem_crowd.estimators.aggregator",
    "DataError": "deem_crowd.exceptions",
    "DataWarning": "deem_crowd.exceptions",
    "DeemCrowdError": "deem_crowd.exceptions",
    "ParameterError": "deem_crowd.exceptions",
    "PluginError": "deem_crowd.exceptions",
    "PluginWarning": "deem_crowd.exceptions",
    "adapters": "deem_crowd.registry",
    "agreement": "deem_crowd.insight.agreement",
    "aggregators": "deem_crowd.registry",
    "create": "deem_crowd.registry",
    "hookimpl": "deem_crowd.hookspecs",
    "samplers": "deem_crowd.registry",
}

__all__ = ["__version__", *sorted(_EXPORTS)]  # noqa: PLE0604 (built from one table)

if TYPE_CHECKING:
    from deem_crowd.data.answers import Answers as Answers
    from deem_crowd.estimators.aggregator import DEEMAggregator as DEEMAggregator
    from deem_crowd.estimators.deem import DEEM as DEEM
    from deem_crowd.exceptions import DataError as DataError
    from deem_crowd.exceptions import DataWarning as DataWarning
    from deem_crowd.exceptions import DeemCrowdError as DeemCrowdError
    from deem_crowd.exceptions import ParameterError as ParameterError
    from deem_crowd.exceptions import PluginError as PluginError
    from deem_crowd.exceptions import PluginWarning as PluginWarning
    from deem_crowd.hookspecs import hookimpl as hookimpl
    from deem_crowd.insight.agreement import agreement as agreement
    from deem_crowd.registry import adapters as adapters
    from deem_crowd.registry import aggregators as aggregators
    from deem_crowd.registry import create as create
    from deem_crowd.registry import samplers as samplers


def __getattr__(name: str) -> Any:
    try:
        module = _EXPORTS[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
