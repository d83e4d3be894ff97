"""Training a network, or any classifier, on labels that are not certain."""

from deem_crowd.learning.losses import BootstrapLoss, CrowdLoss
from deem_crowd.learning.meta import CrowdClassifier
from deem_crowd.learning.targets import sample_weights, soft_targets

__all__ = ["BootstrapLoss", "CrowdClassifier", "CrowdLoss", "sample_weights", "soft_targets"]
