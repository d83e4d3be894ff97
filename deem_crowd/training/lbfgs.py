"""Climbing an objective over full passes: the log of a fit, and L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


class Monitor:
    """Counts passes, keeps the histories and decides when to stop.

    Parameters
    ----------
    n_tasks, n_answers : int
        N and R.
    n_iter : int
        Most passes over the answers.
    tol : float
        Stop when a pass gains less than this, in nats per answer.
    progress : callable, optional
        Called with (passes so far, log-likelihood per task) after each pass.
    """

    def __init__(
        self,
        n_tasks: int,
        n_answers: int,
        n_iter: int,
        tol: float,
        progress: Callable[[int, float], None] | None,
    ) -> None:
        self.n_tasks = max(n_tasks, 1)
        self.threshold = tol * max(n_answers, 1)
        self.n_iter, self.progress = n_iter, progress
        self.log_likelihood: list[float] = []
        self.objective: list[float] = []
        self.n_passes = 0
        self.converged = False

    def resume(self, log_likelihood: list[float], objective: list[float]) -> None:
        """Go on after passes that an interrupted fit has noted, per task."""
        self.log_likelihood, self.objective = list(log_likelihood), list(objective)
        self.n_passes = len(log_likelihood)

    @property
    def left(self) -> int:
        """How many passes are left."""
        return self.n_iter - self.n_passes

    def passed(self, log_likelihood: float) -> None:
        """Note a pass and its log-likelihood."""
        self.n_passes += 1
        self.log_likelihood.append(log_likelihood / self.n_tasks)
        if self.progress is not None:
            self.progress(self.n_passes, self.log_likelihood[-1])

    def accept(self, objective: float) -> None:
        """Note the objective at an accepted point."""
        self.objective.append(objective / self.n_tasks)


class _Spent(Exception):
    """There are no passes left."""


def lbfgs(
    objective: Callable[[Vector], tuple[float, float, Vector]],
    begin: Vector,
    curvature: Vector,
    log: Monitor,
) -> Vector:
    """Maximise by scipy's L-BFGS, each parameter scaled by its curvature at the start.

    Parameters
    ----------
    objective : callable
        Returns objective, log-likelihood and gradient at a vector.
    begin, curvature : float64 arrays, shape (P,)
    log : Log
        Each evaluation is one pass.

    Returns
    -------
    float64 array, shape (P,)
    """
    from scipy.optimize import OptimizeResult, minimize

    scale = 1.0 / np.sqrt(np.maximum(curvature, 1e-2))

    best: list[Any] = [-np.inf, begin / scale]

    def negative(vector: Vector) -> tuple[float, Vector]:
        if log.left <= 0:  # a line search counts on more evaluations than there are passes
            raise _Spent
        value, log_likelihood, gradient = objective(vector * scale)
        log.passed(log_likelihood)
        if value > best[0]:
            best[:] = value, vector.copy()
        return -value, -gradient * scale

    def watch(intermediate_result: OptimizeResult) -> None:
        log.accept(-float(intermediate_result.fun))
        if len(log.objective) > 1:
            gained = (log.objective[-1] - log.objective[-2]) * log.n_tasks
            if gained < log.threshold:
                log.converged = True
                raise StopIteration

    options: dict[str, Any] = {
        "maxfun": log.left,
        "maxiter": log.left,
        "maxcor": 10,
        "ftol": 0.0,
        "gtol": 1e-9,
    }
    try:
        outcome = minimize(
            negative, begin / scale, jac=True, method="L-BFGS-B", callback=watch, options=options
        )
    except _Spent:
        reached: Vector = best[1] * scale
        return reached
    log.converged = log.converged or bool(outcome.success)
    point: Vector = outcome.x * scale
    return point
