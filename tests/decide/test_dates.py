"""Tasks that are dates are named by dates in every form; text is none of them, in pandas 2 either."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deem_crowd.decide import next_tasks
from deem_crowd.exceptions import DataError, DataWarning

DAYS = pd.date_range("2024-02-27", periods=6, unit="us")


def posterior(tasks: pd.Index) -> pd.DataFrame:
    """Return probabilities of two classes, the first task the least certain."""
    sure = np.linspace(0.55, 0.9, len(tasks))
    return pd.DataFrame({"no": sure, "yes": 1 - sure}, index=tasks)


@pytest.mark.parametrize("dtype", ["category", "timestamp[us][pyarrow]", "datetime64[s]"])
def test_tasks_are_excluded_and_added_by_their_dates(dtype: str) -> None:
    table = posterior(DAYS.astype(dtype))
    days = list(DAYS)
    assert list(next_tasks(table, 1, exclude=days[:2])["task"]) == days[2:3]
    more = [DAYS[0] - pd.Timedelta(days=1)]
    asked = next_tasks(table, 7, exclude=days[:5], unanswered=more, random_state=0)["task"]
    assert set(asked) == {*more, days[5]}
    costs = pd.Series(1.0, index=DAYS)
    assert len(next_tasks(table, 6, exclude=days[:2], costs=costs, budget=3)) == 3


def test_text_is_no_date() -> None:
    dated, text = posterior(pd.Index(DAYS)), "2024-02-28"
    for name, ids in (("exclude", [text]), ("unanswered", [text]), ("costs", {text: 1.0})):
        with pytest.raises(DataError, match=rf"{name} holds? 1 id of another kind .*'{text}'"):
            next_tasks(dated, 6, **{name: ids})
    for texts in (["2024-02-27", text], ["2023", "2024"]):
        named = posterior(pd.Index(texts))
        with pytest.warns(DataWarning, match="exclude names 2 tasks that the model does not know"):
            assert len(next_tasks(named, 2, exclude=[DAYS[1], pd.Timestamp("2024-01-01")])) == 2
