from .pages.reports import write_report as write_report
from .running.comparison import Result as Result
from .running.comparison import compare as compare
from .running.measures import accuracy as accuracy
from .running.measures import agreement as agreement
from .running.measures import log_loss as log_loss
from .running.methods import Method as Method
from .sets.ensembles import Ensemble as Ensemble
from .sets.ensembles import make_ensemble as make_ensemble
from .sets.label_set import LabelSet as LabelSet
from .suites import benchmark as benchmark

__all__ = [
    "Ensemble",
    "LabelSet",
    "Method",
    "Result",
    "accuracy",
    "agreement",
    "benchmark",
    "compare",
    "log_loss",
    "make_ensemble",
    "write_report",
]
