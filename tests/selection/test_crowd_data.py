"""A large crowd in little memory."""

from __future__ import annotations

import textwrap

import processes


def test_many_workers_stay_below_a_gigabyte() -> None:
    script = textwrap.dedent(
        """
        import resource, warnings
        import numpy as np, pandas as pd
        from deem_crowd import DEEMAggregator
        warnings.simplefilter("ignore")
        small = pd.DataFrame({"task": [0, 0], "worker": [0, 1], "label": [0, 1]})
        DEEMAggregator().fit(small)
        rng = np.random.default_rng(0)
        n = 215_000
        worker = np.concatenate([np.arange(37_000), (37_000 * rng.random(n - 37_000) ** 3).astype(int)])
        frame = pd.DataFrame({"task": rng.integers(0, 1_900, n), "worker": worker, "label": rng.integers(0, 4, n)})
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        agg = DEEMAggregator().fit(frame)
        assert agg.errors_.shape == (37_000 * 4, 4), agg.errors_.shape
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
        """
    )
    done = processes.python("-c", script)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2**30
