from .comparison import Result as Result
from .comparison import compare as compare
from .ensembles import Ensemble as Ensemble
from .ensembles import make_ensemble as make_ensemble
from .label_set import LabelSet as LabelSet
from .measures import accuracy as accuracy
from .measures import agreement as agreement
from .measures import log_loss as log_loss
from .methods import Method as Method
from .reports import write_report as write_report
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
