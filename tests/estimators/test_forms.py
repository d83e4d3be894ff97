"""Tables, decisions and learning take answers and known labels in the forms that fit takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import deem_crowd_adapters
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from deem_crowd import DEEM, DEEMAggregator, agreement, decide
from deem_crowd.exceptions import DataError, FormError, MissingAnswersError
from deem_crowd.insight import contested, findings, ordered, tables
from deem_crowd.learning import BootstrapLoss, CrowdLoss, sample_weights, soft_targets

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
def folder(untaught: DEEMAggregator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("forms")
    untaught.save(place / "model")
    ANSWERS.to_csv(place / "answers.csv", index=False)
    return place


@pytest.mark.parametrize("form", ["frame", "polars", "lazy", "rows", "path", "pivoted"])
def test_a_model_from_a_file_takes_its_answers_as_fit_does(
    folder: Path, untaught: DEEMAggregator, form: str
) -> None:
    loaded, model = DEEMAggregator.load(folder / "model.safetensors"), untaught
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


@pytest.fixture(scope="module")
def taught() -> DEEMAggregator:
    """Return a model that was fitted with known labels, which no test changes."""
    return DEEMAggregator(auto_hyperparameters=False).fit(ANSWERS, gold=TRUTH)


@pytest.fixture(scope="module")
def untaught() -> DEEMAggregator:
    """Return a model that was fitted without known labels, which no test changes."""
    return DEEMAggregator().fit(ANSWERS)


@pytest.mark.parametrize("form", ["series", "polars", "one column", "two columns", "arrow"])
def test_known_labels_come_in_every_form_of_gold(
    form: str, taught: DEEMAggregator, untaught: DEEMAggregator
) -> None:
    model = untaught
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
    again = DEEMAggregator(auto_hyperparameters=False).fit(ANSWERS, gold=gold)
    assert again.labels_.equals(taught.labels_)


def test_a_table_of_tasks_is_refused_with_its_column(untaught: DEEMAggregator) -> None:
    asked = untaught.next_tasks(3)
    with pytest.raises(FormError, match=r"exclude=frame\['task'\]"):
        untaught.next_tasks(3, exclude=asked)
    left = untaught.next_tasks(3, exclude=asked["task"])
    assert not left["task"].isin(asked["task"]).any()


def test_targets_of_a_model_from_a_file_say_that_it_holds_none(tmp_path: Path) -> None:
    matrix = rng.integers(2, size=(30, 4))
    DEEM().fit(matrix).save(tmp_path / "model")
    loaded = DEEM.load(tmp_path / "model.safetensors")
    for call in (soft_targets, sample_weights):
        with pytest.raises(MissingAnswersError, match="a file of a model holds none"):
            call(loaded)


@pytest.mark.parametrize("form", ["index", "column", "polars"])
def test_features_of_decisions_are_matched_by_task(untaught: DEEMAggregator, form: str) -> None:
    model = untaught
    x = pd.DataFrame(rng.normal(size=(40, 2)), index=TRUTH.index, columns=["a", "b"])
    shuffled = x.sample(frac=1, random_state=1)
    given: Any = {
        "index": shuffled,
        "column": shuffled.reset_index(),
        "polars": pl.from_pandas(shuffled.reset_index()),
    }[form]
    expected = decide.next_tasks(model, 5, features=x.loc[model.labels_.index].to_numpy())
    pd.testing.assert_frame_equal(decide.next_tasks(model, 5, features=given), expected)
    with pytest.raises(DataError, match="1 task more than one row: 't0'"):
        decide.next_tasks(model, 5, features=pd.concat([x, x[:1]]))


def test_ids_that_only_read_like_tasks_are_refused() -> None:
    numbered = ANSWERS.assign(task=ANSWERS["task"].str[1:])  # '0', '1', …
    model = DEEMAggregator().fit(numbered)
    with pytest.raises(
        DataError, match="exclude holds 2 ids of another kind .*: 1, 2 instead of '1', '2'"
    ):
        model.next_tasks(3, exclude=[1, 2])
    with pytest.raises(
        DataError, match="unanswered holds 1 id of another kind .*: 1 instead of '1'"
    ):
        model.next_tasks(3, unanswered=[1, 100])
    assert len(model.next_tasks(3, exclude=["1", "no task"])) == 3  # of no task: ignored
    by_number = DEEMAggregator().fit(numbered.astype({"task": int}))
    assert 1 not in by_number.next_tasks(40, exclude=[1.0], settled=0)["task"].tolist()


def test_losses_say_how_a_table_becomes_a_tensor(untaught: DEEMAggregator) -> None:
    targets = soft_targets(untaught)
    logits = torch.zeros(targets.shape)
    with pytest.raises(
        FormError, match=r"target is a DataFrame; .* torch\.tensor\(np\.asarray\(target\)\)"
    ):
        BootstrapLoss()(logits, targets)
    assert torch.isfinite(BootstrapLoss()(logits, torch.tensor(np.asarray(targets))))
    matrix = np.zeros((len(targets), 2), dtype=np.int64)
    with pytest.raises(FormError, match="answers is a ndarray"):
        CrowdLoss(np.stack([np.eye(3)] * 2))(logits, matrix)


FORMS = {
    "named": (["task", "worker"], "label", r"series\.reset_index\(name='label'\)"),
    "turned": (["worker", "task"], None, r"series\.reset_index\(name='label'\)"),
    "other names": (
        ["item", "who"],
        "said",
        r"series\.rename_axis\(\['task', 'worker'\]\)\.reset_index\(name='label'\)",
    ),
    "no names": (
        [None, None],
        None,
        r"series\.rename_axis\(\['task', 'worker'\]\)\.reset_index\(name='label'\)",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_series_by_task_and_worker_is_refused_with_code_that_makes_a_table(form) -> None:
    levels, name, code = FORMS[form]
    rng = np.random.default_rng(0)
    pairs = [(f"t{t}", f"w{w}") for t in range(20) for w in range(3)]
    pairs = [pair[::-1] for pair in pairs] if form == "turned" else pairs
    index = pd.MultiIndex.from_tuples(pairs, names=levels)
    series = pd.Series(rng.integers(2, size=len(pairs)), index=index, name=name)
    readers = {
        "fit": DEEMAggregator().fit,
        "DEEM": DEEM().fit,
        "to_answers": deem_crowd_adapters.to_answers,
        "from_long": deem_crowd_adapters.from_long,
        "agreement": agreement,
    }
    read = {}
    for reader_name, reader in readers.items():
        with pytest.raises(FormError, match=f"(?s)a Series .* pass {code}") as caught:
            reader(series)
        found = re.search(code, str(caught.value))
        assert found is not None
        made = eval(found[0], {"series": series})
        read[reader_name] = reader(made)
    assert set(read["fit"].skills_.index) == {"w0", "w1", "w2"}


def test_a_series_without_workers_says_what_is_missing() -> None:
    series = pd.Series([0, 1], index=pd.Index(["a", "b"], name="task"), name="label")
    for read in (DEEMAggregator().fit, deem_crowd_adapters.to_answers):
        with pytest.raises(FormError, match="a Series holds no workers: pass a table"):
            read(series)
