"""What is shown of models of every kind, and of data that are hardly any: it works or says why."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM, DataError, DEEMAggregator, DeemCrowdError, agreement, judge_report
from deem_crowd.insight import contested, findings, tables
from deem_crowd.insight.results import results_of
from deem_crowd.report.page import html

pytestmark = [
    pytest.mark.usefixtures("few_fits_throughout"),
    pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
LONG = "t" * 10_000
FORMS = {
    "empty": pd.DataFrame({"task": [], "worker": [], "label": []}),
    "one task": pd.DataFrame({"task": [1, 1], "worker": ["a", "b"], "label": ["x", "y"]}),
    "one worker": pd.DataFrame({"task": [1, 2], "worker": ["a", "a"], "label": ["x", "y"]}),
    "one class": pd.DataFrame({"task": [1, 1, 2], "worker": ["a", "b", "a"], "label": ["x"] * 3}),
    "one answer": pd.DataFrame({"task": [1], "worker": ["a"], "label": ["x"]}),
    "hostile": pd.DataFrame(
        {
            "task": ["<b>", "<b>", "\x1b[31m", "\u202e", LONG, "\u05e9"],
            "worker": ["<i>", "\x00", "w" * 10_000, "\u0645", "a\nb", "z"],
            "label": ["<s>", "$x", "y" * 10_000, "\x07", "\u0633", "e"],
        }
    ),
}


def positions(frame: pd.DataFrame) -> np.ndarray:
    """Return answers as an array, shape (N, D), −1 where there is none."""
    matrix = np.full((frame["task"].nunique(), max(frame["worker"].nunique(), 1)), -1)
    codes = [pd.factorize(frame[name])[0] for name in ("task", "worker", "label")]
    matrix[codes[0], codes[1]] = codes[2]
    return matrix


def everything(model, gold, answers=None) -> list[str]:
    """Ask a model for all there is to see, and return what it says where it cannot."""
    asked = [
        lambda: tables.tasks(model, answers),
        lambda: tables.workers(model, answers),
        lambda: tables.pair_agreement(model, answers),
        lambda: tables.effective_sources(model, answers),
        lambda: contested.contested(model, answers),
        lambda: findings.findings(model, answers, gold),
        lambda: findings.summary(model, answers),
        lambda: repr(model) + model._repr_html_(),
        lambda: repr(judge_report(model, gold, answers=answers)),
        lambda: html(results_of(model, answers), gold),
    ]
    said = []
    for ask in asked:
        try:
            ask()
        except DeemCrowdError as refused:
            said.append(str(refused))
    return said


@pytest.mark.parametrize("form", FORMS)
def test_data_that_are_hardly_any_are_shown_or_refused_with_a_reason(form, tmp_path) -> None:
    frame = FORMS[form]
    gold = frame.drop_duplicates("task").set_index("task")["label"]
    model = DEEMAggregator().fit(frame)
    array = (
        DEEM(n_classes=2).fit(positions(frame)) if form == "empty" else DEEM().fit(positions(frame))
    )
    model.save(tmp_path / "model")
    loaded = DEEMAggregator.load(tmp_path / "model")
    partial = DEEMAggregator().partial_fit(frame[:1]).partial_fit(frame[1:])
    said = [
        everything(model, gold),
        everything(array, np.zeros(frame["task"].nunique(), dtype=int)),
        everything(loaded, gold, frame),
        everything(partial, gold),
    ]
    reasons = (
        "no answers to report on",
        "gold that fit has not seen",
        "gold names none of the tasks",
    )
    for texts in said:
        assert all(any(reason in text for reason in reasons) for text in texts)
        assert len(texts) <= (2 if form == "empty" else 1)
    without = everything(loaded, gold)
    assert len(without) == 9
    assert all("does not have its answers" in text for text in without)
    if frame.groupby("task").size().max() > 1:
        assert repr(agreement(frame, n_resamples=5))
    else:
        with pytest.raises(DataError, match="two answers"):
            agreement(frame)


RNG = np.random.default_rng(0)
TRUTH = RNG.integers(3, size=40)
MATRIX = np.where(RNG.random((40, 5)) < 0.7, TRUTH[:, None], RNG.integers(3, size=(40, 5)))
KINDS = {
    "several units": {"hidden_dim": 2, "epochs": 10},
    "layers": {"use_preprocessing": True, "epochs": 2},
    "sampled": {"sampler": "gibbs", "epochs": 2},
    "subtypes": {"subtypes": 2},
    "plain": {"auto_hyperparameters": False},
    "ordered": {"ordered": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_every_kind_are_shown(kind) -> None:
    assert everything(DEEM(**KINDS[kind]).fit(MATRIX), TRUTH) == []


def test_soft_answers_features_and_a_task_without_answers_are_shown() -> None:
    soft = RNG.dirichlet(np.ones(3) * 0.3, size=(30, 4)).transpose(0, 2, 1)
    assert everything(DEEM().fit(soft), TRUTH[:30]) == []
    features = np.eye(3)[TRUTH] + RNG.normal(size=(40, 3))
    assert everything(DEEM().fit(MATRIX, features=features), TRUTH) == []
    silent = np.vstack([MATRIX, np.full((1, 5), -1)])
    assert everything(DEEM().fit(silent), np.append(TRUTH, 0)) == []
