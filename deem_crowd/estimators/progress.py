"""A progress bar for fits long enough to want one; silent when told, and where nobody is watching."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Below this many answers a fit is over before a bar could be read.
_WORTH_SHOWING = 3_000_000
_WORTH_SHOWING_SAMPLED = 10_000


@contextmanager
def reporter(
    n_answers: int, wanted: bool, sampled: bool = False
) -> Iterator[Callable[[int, float], None] | None]:
    """Yield a callback (passes, log-likelihood per task) that moves a bar on standard error, or None.

    ``sampled`` says that training is by samples, with epochs that take much longer than passes.
    """
    worth = _WORTH_SHOWING_SAMPLED if sampled else _WORTH_SHOWING
    if not wanted or n_answers < worth or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    unit = "epoch" if sampled else "pass"
    with tqdm(desc="deem", unit=unit, leave=False, file=sys.stderr) as bar:

        def show(n_passes: int, log_likelihood: float) -> None:
            bar.update(n_passes - bar.n)
            bar.set_postfix_str(f"log-likelihood per task {log_likelihood:.5f}")

        yield show
