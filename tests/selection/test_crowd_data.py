"""Real crowds beside crowd-kit's Dawid-Skene (published with them), and a large one in little memory."""

from __future__ import annotations

import textwrap
import warnings
from pathlib import Path

import pandas as pd
import processes
import pytest

from deem_crowd import DEEMAggregator

CROWDS = Path(__file__).parents[3] / "shared" / "data" / "crowd"
NAMES = ["bluebird", "dog", "web", "ms", "sp_amt", "cf_amt", "zencrowd_us", "product"]
NAMES += ["face", "adult", "fact_eval"]


@pytest.mark.slow
@pytest.mark.skipif(
    not CROWDS.is_dir(), reason=f"the label sets are not there: {CROWDS.name} folder"
)
def test_mean_accuracy_on_real_crowds_is_at_least_dawid_skenes() -> None:
    peers = pd.read_csv(CROWDS.parent / "peers.csv").set_index("name")["DawidSkene (crowd-kit)"]
    ours = []
    for name in NAMES:
        answers = pd.read_csv(CROWDS / name / "labels.csv.gz", dtype=str, keep_default_na=False)
        answers = answers.drop_duplicates(["task", "worker"], keep="last")
        truth = pd.read_csv(CROWDS / name / "truth.csv.gz", dtype=str, keep_default_na=False)
        gold = truth.set_index("task")["label"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            labels = DEEMAggregator().fit_predict(answers)
        assert set(labels.index) == set(answers["task"])
        ours.append(100 * (labels.reindex(gold.index) == gold).mean())
    assert sum(ours) / len(ours) >= peers[NAMES].mean()


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
