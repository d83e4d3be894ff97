"""Counts of votes, which do not say who answered: never read as answers in silence."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from deem_crowd_adapters import from_wide, to_answers

from deem_crowd import DEEM, DataWarning, DEEMAggregator
from deem_crowd.exceptions import DataError, FormError, MissingColumnError

VOTES = [{"yes": 3, "no": 1}, {"no": 4}, {"yes": 1, "no": 3}, {}]
BEST = ["yes", "no", "no"]
WORDS = "counts for each class, and not who answered"


def frame() -> pd.DataFrame:
    return pd.DataFrame({"task": list("abc"), "votes": VOTES[:3]})


def remedy(message: str) -> list[str]:
    """Run the code that a message gives for the label with most votes."""
    code = message.partition("most votes is ")[2].partition(". ")[0].rstrip(".")
    df = frame()
    df = df.rename(columns={"votes": "label"}) if "'label'" in code else df
    return list(eval(code, {"df": df, "pd": pd}))


@pytest.mark.parametrize("read", [DEEMAggregator().fit, to_answers], ids=["fit", "to_answers"])
def test_dicts_of_counts_are_refused_with_code_that_takes_the_most_votes(read) -> None:
    for data in (frame(), frame().to_dict("records")):
        with pytest.raises(MissingColumnError, match=f"'votes' holds {WORDS}") as caught:
            read(data)
        assert remedy(str(caught.value)) == BEST
    with pytest.raises(FormError, match=f"'label' holds {WORDS}") as caught:
        read(frame().assign(worker="crowd").rename(columns={"votes": "label"}))
    assert remedy(str(caught.value)) == BEST


def test_other_dicts_are_no_counts() -> None:
    for each in ({"user": "ann"}, {"yes": 0.5}, {"yes": -1}, {"yes": True}, {"yes": [1]}):
        with pytest.raises(MissingColumnError) as caught:
            DEEMAggregator().fit(pd.DataFrame({"task": [1, 2], "votes": [each, each]}))
        assert WORDS not in str(caught.value)


def test_objects_with_one_number_each_are_ids_and_no_counts() -> None:
    tasks = [{"id": n} for n in range(5)]
    items = pd.DataFrame({"item": tasks, "worker": "ann", "label": "yes"})
    with pytest.raises(MissingColumnError) as missing:
        DEEMAggregator().fit(items)
    assert WORDS not in str(missing.value)
    with pytest.raises(FormError, match=r"column 'task' holds 5 objects .*\.str\['id'\]"):
        DEEMAggregator().fit(items, task="item")
    both = items.assign(item=[{"id": n, "batch": 1} for n in range(5)])
    with pytest.raises(FormError, match=r"column 'task' holds 5 objects"):
        DEEMAggregator().fit(both, task="item")


def test_records_of_json(tmp_path: Path) -> None:
    path = tmp_path / "votes.json"
    path.write_text(json.dumps(frame().to_dict("records")))
    with pytest.raises(DataError, match=f"'votes' holds {WORDS}"):
        DEEMAggregator().fit(path)


def drawn(n: int = 60, k: int = 3, votes: int = 5) -> pd.DataFrame:
    counts = np.random.default_rng(0).multinomial(votes, np.ones(k) / k, size=n)
    columns = [f"class {i}" for i in range(k)]
    return pd.DataFrame(counts, columns=columns, index=pd.RangeIndex(n, name="task"))


@pytest.mark.parametrize("votes", [1, 5])
def test_a_column_a_class_is_said_where_rows_have_one_sum(votes) -> None:
    counts = drawn(votes=votes)
    words = f"numbers of each task sum to {votes}"
    of_wide = "as one-hot labels do" if votes == 1 else words
    for read, said in ((from_wide, of_wide), (DEEM().fit, words)):
        with pytest.warns(DataWarning, match=said):
            read(counts)
    assert (counts.idxmax(axis=1) == counts.columns[counts.to_numpy().argmax(1)]).all()


def test_ratings_of_workers_are_not_taken_for_counts() -> None:
    rng = np.random.default_rng(1)
    base = rng.integers(4, size=60)
    ratings = pd.DataFrame({w: (base + rng.integers(2, size=60)) % 5 for w in "abc"})
    opposite = pd.DataFrame({"a": base % 2, "b": 1 - base % 2})
    same = pd.DataFrame(np.tile([0, 1, 2], (60, 1)), columns=list("abc"))
    for table in (
        ratings,
        opposite,
        same,
        drawn()[:10],
        drawn().assign(more=rng.integers(4, size=60)),
    ):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            from_wide(table)
        assert not [one for one in said if "sum to" in str(one.message)]
