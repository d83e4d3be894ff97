"""Tables, decisions and learning take answers and known labels in the forms that fit takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from deem_crowd import DEEM, DEEMAggregator, decide
from deem_crowd.exceptions import FormError, MissingAnswersError
from deem_crowd.insight import contested, findings, ordered, tables
from deem_crowd.learning import sample_weights, soft_targets

rng = np.random.default_rng(0)
TRUTH = pd.Series(rng.integers(1, 4, 40), index=pd.Index([f"t{i}" for i in range(40)], name="task"))
TASK, WORKER = np.nonzero(rng.random((40, 6)) < 0.8)
RIGHT = rng.random(len(TASK)) < 0.75
ANSWERS = pd.DataFrame(
    {
        "task": TRUTH.index[TASK],
        "worker": [f"w{i}" for i in WORKER],
        "label": np.where(RIGHT, TRUTH.iloc[TASK], rng.integers(1, 4, len(TASK))),
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("forms")
    DEEMAggregator().fit(ANSWERS).save(place / "model")
    ANSWERS.to_csv(place / "answers.csv", index=False)
    return place


@pytest.mark.parametrize("form", ["frame", "polars", "lazy", "rows", "path", "pivoted"])
def test_a_model_from_a_file_takes_its_answers_as_fit_does(folder: Path, form: str) -> None:
    loaded, model = DEEMAggregator.load(folder / "model.safetensors"), DEEMAggregator().fit(ANSWERS)
    answers: Any = {
        "frame": lambda: ANSWERS,
        "polars": lambda: pl.from_pandas(ANSWERS),
        "lazy": lambda: pl.from_pandas(ANSWERS).lazy(),
        "rows": lambda: ANSWERS.to_dict("records"),
        "path": lambda: folder / "answers.csv",
        "pivoted": lambda: ANSWERS.pivot(index="task", columns="worker", values="label"),
    }[form]()
    for call in (tables.tasks, tables.workers, contested.contested, ordered.median_labels):
        told, known = call(loaded, answers), call(model)
        pd.testing.assert_index_equal(told.sort_index().index, known.sort_index().index)
    assert findings.findings(loaded, answers) == findings.findings(model)
    expected = decide.suspect_labels(model, 9)
    pd.testing.assert_frame_equal(decide.suspect_labels(loaded, 9, answers=answers), expected)
    assert len(decide.next_pairs(loaded, 3, answers=answers)) == len(decide.next_pairs(model, 3))


@pytest.mark.parametrize("form", ["series", "polars", "one column", "two columns", "arrow"])
def test_known_labels_come_in_every_form_of_gold(form: str) -> None:
    model = DEEMAggregator().fit(ANSWERS)
    named = TRUTH.rename("label")
    gold = {
        "series": named,
        "polars": pl.from_pandas(named.reset_index()),
        "one column": named.to_frame(),
        "two columns": named.reset_index(),
        "arrow": pl.from_pandas(named.reset_index()).to_arrow(),
    }[form]
    curve = decide.coverage_curve(model, TRUTH)
    pd.testing.assert_frame_equal(decide.coverage_curve(model, gold), curve)
    kept = decide.reliable(model, 0.6, gold=gold).labels
    pd.testing.assert_series_equal(kept, decide.reliable(model, 0.6, gold=TRUTH).labels)
    suspects = decide.suspect_labels(model, 5, labels=gold)
    pd.testing.assert_frame_equal(suspects, decide.suspect_labels(model, 5, labels=TRUTH))
    assert findings.findings(model, gold=gold) == findings.findings(model, gold=TRUTH)
    assert (
        DEEMAggregator()
        .fit(ANSWERS, gold=gold)
        .labels_.equals(DEEMAggregator().fit(ANSWERS, gold=TRUTH).labels_)
    )


def test_a_table_of_tasks_is_refused_with_its_column() -> None:
    model = DEEMAggregator().fit(ANSWERS)
    asked = model.next_tasks(3)
    with pytest.raises(FormError, match=r"exclude=frame\['task'\]"):
        model.next_tasks(3, exclude=asked)
    left = model.next_tasks(3, exclude=asked["task"])
    assert not left["task"].isin(asked["task"]).any()


def test_targets_of_a_model_from_a_file_say_that_it_holds_none(tmp_path: Path) -> None:
    matrix = rng.integers(2, size=(30, 4))
    DEEM().fit(matrix).save(tmp_path / "model")
    loaded = DEEM.load(tmp_path / "model.safetensors")
    for call in (soft_targets, sample_weights):
        with pytest.raises(MissingAnswersError, match="a file of a model holds none"):
            call(loaded)
