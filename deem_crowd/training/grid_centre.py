"""What centres share whose numbers are integrated over a grid with a learned prior."""

from __future__ import annotations

import torch


class GridCentre:
    """The state of such a centre; see :class:`~deem_crowd.training.hierarchical.Centre`.

    Parameters
    ----------
    log_prior : float64, shape (G,)
        Of the grid's points, before anything is learned.
    """

    def __init__(self, log_prior: torch.Tensor) -> None:
        self._log_prior, self._gain = log_prior, 0.0

    def log_evidence(self) -> float:
        """See :class:`~deem_crowd.training.hierarchical.Centre`."""
        return self._gain

    @property
    def carried(self) -> torch.Tensor:
        """See :class:`~deem_crowd.training.hierarchical.Centre`: the prior of the grid."""
        return self._log_prior

    def resume(self, carried: torch.Tensor) -> None:
        """See :class:`~deem_crowd.training.hierarchical.Centre`."""
        self._log_prior = carried
