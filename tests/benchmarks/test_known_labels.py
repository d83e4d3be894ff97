"""The benchmark of a few known labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from deem_crowd_benchmarks import known_labels
from deem_crowd_benchmarks.sets import laws

from deem_crowd import Answers, DEEMAggregator


def test_methods_are_scored_on_what_they_were_not_told() -> None:
    data = laws.independent(0, 120)
    answers = Answers.from_frame(data.answers)
    without = DEEMAggregator().fit_predict_proba(answers)
    rows = pd.DataFrame(known_labels.run(answers, data.gold, 20, 0, without)).set_index("method")
    assert set(rows.index) == {known_labels.WITHOUT, known_labels.REGRESSION, known_labels.WITH}
    assert (rows["accuracy %"] > 50).all()
    # whoever is told all labels but those to score on is right on them only as far as the answers say
    assert rows.loc[known_labels.WITH, "accuracy %"] < 100
    assert known_labels.run(answers, data.gold, 100, 0, without) == []


def test_the_regression_learns_what_it_is_told() -> None:
    data = laws.independent(1, 200)
    answers = Answers.from_frame(data.answers)
    found = known_labels.regression(answers, data.gold.iloc[:100])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found.idxmax(axis=1).loc[data.gold.index] == data.gold).mean() > 0.7
    one = data.gold[data.gold == 2].iloc[:5]
    assert (known_labels.regression(answers, one)[2] == 1).all()
