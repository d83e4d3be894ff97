"""Intervals of skills: how often they cover, and what makes them wide."""

from __future__ import annotations

import numpy as np
import pytest
from deem_crowd_benchmarks.sets import laws

from deem_crowd import DEEMAggregator


@pytest.mark.parametrize("per_task", [3, 6])
def test_intervals_of_skills_cover_as_often_as_they_say(per_task) -> None:
    covered, widths = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        skills = rng.beta(4, 2, 40)
        data = laws._sparse("x", rng, 800, 3, per_task, skills)
        agg = DEEMAggregator().fit(data.answers)
        intervals = agg.skill_intervals_.sort_index()
        here = skills[intervals.index]
        covered.append(((intervals["low"] <= here) & (here <= intervals["high"])).mean())
        widths.append((intervals["high"] - intervals["low"]).mean())
        inside = agg.skills_.sort_index().between(intervals["low"], intervals["high"])
        assert inside.all()
    assert 0.88 < np.mean(covered) <= 1.0
    assert np.mean(widths) < 0.5


def test_few_answers_and_unsure_labels_make_intervals_wide() -> None:
    def width(n_tasks, per_task):
        rng = np.random.default_rng(0)
        data = laws._sparse("x", rng, n_tasks, 2, per_task, np.full(10, 0.75))
        found = DEEMAggregator().fit(data.answers).skill_intervals_
        return (found["high"] - found["low"]).mean()

    assert width(2000, 5) < width(200, 5)
    answers_alike = width(1000, 3), width(500, 6)
    assert answers_alike[0] > answers_alike[1]
