from .data.answers import Answers as Answers
from .estimators.aggregator import DEEMAggregator as DEEMAggregator
from .estimators.deem import DEEM as DEEM
from .exceptions import DataError as DataError
from .exceptions import DataWarning as DataWarning
from .exceptions import DeemCrowdError as DeemCrowdError
from .exceptions import ParameterError as ParameterError
from .exceptions import PluginError as PluginError
from .exceptions import PluginWarning as PluginWarning
from .insight.agreement import agreement as agreement
from .insight.judges import judge_report as judge_report
from .plugins.hookspecs import hookimpl as hookimpl
from .plugins.registry import adapters as adapters
from .plugins.registry import aggregators as aggregators
from .plugins.registry import create as create
from .plugins.registry import samplers as samplers

__version__: str

__all__ = [
    "DEEM",
    "Answers",
    "DEEMAggregator",
    "DataError",
    "DataWarning",
    "DeemCrowdError",
    "ParameterError",
    "PluginError",
    "PluginWarning",
    "__version__",
    "adapters",
    "aggregators",
    "agreement",
    "create",
    "hookimpl",
    "judge_report",
    "samplers",
]
