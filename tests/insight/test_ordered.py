"""The median and the mean of ordered classes."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_pages import text_of

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.cli.remedies import in_shell_words
from deem_crowd.exceptions import DataError
from deem_crowd.insight import ordered
from deem_crowd.insight.findings import summary


def stars(seed: int = 0, n: int = 300) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, 6, n)
    task, worker = np.repeat(np.arange(n), 4), np.tile(np.arange(4), n)
    said = np.clip(np.round(truth[task] + rng.normal(0, 1.0 + 0.3 * worker)), 1, 5).astype(int)
    return pd.DataFrame({"task": task, "worker": worker, "label": said}), pd.Series(truth)


def test_median_and_mean_are_those_of_the_probabilities() -> None:
    answers, truth = stars()
    model = DEEMAggregator(ordered=True).fit(answers)
    probas, classes = model.probas_.to_numpy(), model.probas_.columns.to_numpy()
    np.testing.assert_allclose(model.mean_, probas @ classes)
    distance = np.abs(classes[:, None] - classes[None, :])
    best = classes[(probas @ distance).argmin(1)]  # the least expected absolute error
    assert (model.median_ == best).mean() > 0.99
    assert np.abs(model.median_ - truth).mean() <= np.abs(model.labels_ - truth).mean() + 0.01
    assert ((model.mean_ - truth) ** 2).mean() < ((model.labels_ - truth) ** 2).mean()


def test_categories_have_a_median_and_steps() -> None:
    answers, _ = stars(1, 60)
    words = ["awful", "bad", "fair", "good", "great"]
    named = pd.Categorical(answers["label"].map(dict(enumerate(words, 1))), words, ordered=True)
    found = DEEMAggregator().fit(answers.assign(label=named))
    numbers = DEEMAggregator(ordered=True).fit(answers)
    assert found.median_.astype(str).tolist() == [words[i - 1] for i in numbers.median_]
    np.testing.assert_allclose(found.mean_, numbers.mean_ - 1, atol=1e-9)


def test_tasks_without_a_label_have_neither() -> None:
    answers, _ = stars(2, 40)
    wide = answers.pivot(index="task", columns="worker", values="label").to_numpy() - 1
    wide[3] = -1
    with pytest.warns(match="without answers"):
        model = DEEM(ordered=True).fit(wide)
    assert model.median_.isna().tolist() == model.mean_.isna().tolist()
    assert np.flatnonzero(model.mean_.isna()).tolist() == [3]


def test_names_have_no_middle() -> None:
    answers, _ = stars(3, 30)
    model = DEEMAggregator().fit(answers.assign(label="l" + answers["label"].astype(str)))
    assert model.median_ is None
    assert model.mean_ is None
    with pytest.raises(DataError, match="have no order"):
        ordered.median_labels(model)
    with pytest.raises(AttributeError, match="available after fit"):
        DEEMAggregator().median_  # noqa: B018


@pytest.mark.parametrize("kind", [bool, "boolean", object])
def test_no_and_yes_have_a_middle_where_their_order_is_asked_for(kind: type | str) -> None:
    answers, _ = stars(5, 60)
    answers = answers.assign(label=(answers["label"] > 3).astype(kind))
    model = DEEMAggregator(ordered=True).fit(answers)
    assert model.median_.tolist() == (model.probas_[False] < 0.5).tolist()
    np.testing.assert_allclose(model.mean_, model.probas_[True])
    assert DEEMAggregator().fit(answers).median_ is None


def test_numbers_come_with_a_hint() -> None:
    answers, _ = stars(4, 60)
    assert "ordered=True" in DEEMAggregator().fit(answers).summary()
    assert "ordered=True" not in DEEMAggregator(ordered=True).fit(answers).summary()
    names = answers.assign(label="l" + answers["label"].astype(str))
    assert "Labels are numbers" not in DEEMAggregator().fit(names).summary()


def test_an_order_that_the_answers_show_is_told(tmp_path: Path) -> None:
    answers, _ = stars(5, 400)
    numbers = DEEMAggregator().fit(answers)
    for said in (numbers.summary(), numbers.findings()[-1]):
        assert (
            "an order: 1, 2, 3, 4, 5, and the fit uses it. If they are ratings, fit with ordered=True"
            in said
        )
        assert "fit with ordered=False" in said
    numbers.save(tmp_path / "model")
    assert "order: 1, 2, 3, 4, 5" in summary(DEEMAggregator.load(tmp_path / "model"), answers)
    assert "order: 0, 1, 2, 3, 4" in DEEM().fit(wide(answers) - 1).summary()
    for ordered_ in (True, False):
        told = DEEMAggregator(ordered=ordered_).fit(answers)
        assert "an order" not in told.summary() + "".join(told.findings())


@pytest.mark.usefixtures("figures_left_out")
def test_the_order_of_words_comes_with_the_categorical_to_pass(tmp_path: Path) -> None:
    answers, _ = stars(5, 400)
    words = dict(enumerate(["poor", "fair", "good", "so; order: fine", "best"], 1))
    model = DEEMAggregator().fit(answers.assign(label=answers["label"].map(words)))
    advice = model.summary().splitlines()[-1]
    order = ast.literal_eval(
        advice.split("pd.Categorical(df['label'], ")[1].split(", ordered=True)")[0]
    )
    assert order in (list(words.values()), list(words.values())[::-1])
    model.report(tmp_path / "page.html")
    assert advice in text_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    shell = in_shell_words(advice)
    assert (
        "write a number for each label in the file and pass --set ordered=true; if not, pass --set ordered=false"
        in shell
    )
    assert "pd." not in shell


def test_names_that_a_message_shortens_are_not_in_code_to_copy() -> None:
    answers, _ = stars(5, 400)
    names = {
        star: f"{'a longer description of what is meant by it, ' * 2}{star}" for star in range(1, 6)
    }
    said = DEEMAggregator().fit(answers.assign(label=answers["label"].map(names))).summary()
    assert "The answers put the classes in an order: 'a longer description" in said
    assert "pd.Categorical(df['label'], […], ordered=True)" in said


def test_numbers_that_are_text_are_said_to_be_numbers() -> None:
    answers, _ = stars(5, 400)
    text = answers.assign(label=answers["label"].map("{:.1f}".format))
    model = DEEMAggregator().fit(text)
    advice = model.summary().splitlines()[-1]
    assert "'1.0', '2.0', '3.0', '4.0', '5.0', and the fit uses it. If they are ratings, " in advice
    assert "convert them, df['label'] = pd.to_numeric(df['label']), fit with ordered=True" in advice
    shell = "If they are ratings, pass --set ordered=true; if not, pass --set ordered=false."
    assert in_shell_words(advice).endswith(shell)
    few = DEEMAggregator(auto_hyperparameters=False).fit(text.iloc[:40]).summary().splitlines()[-1]
    assert in_shell_words(few) == "Labels are numbers: if they are ratings, pass --set ordered=true"


@pytest.mark.usefixtures("figures_left_out")
def test_a_report_says_that_numbers_may_be_ratings(tmp_path: Path) -> None:
    answers, _ = stars(6, 12)
    for ordered_, said in ((None, True), (True, False)):
        model = DEEMAggregator(ordered=ordered_).fit(answers)
        model.report(tmp_path / "page.html")
        text = text_of((tmp_path / "page.html").read_text(encoding="utf-8"))
        assert ("Labels are numbers: if they are ratings, fit with ordered=True" in text) == said
    written = answers.assign(label=answers["label"].map("{:.1f}".format))
    DEEMAggregator().fit(written).report(tmp_path / "page.html")
    text = text_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "if the classes are taken as ordered" in text


def test_an_order_that_is_not_that_of_the_numbers_is_said_to_be_another() -> None:
    answers, _ = stars(5, 400)
    for number in (int, str):
        mixed = answers["label"].map({1: 10, 2: 9, 3: 30, 4: 4, 5: 5}).map(number)
        said = DEEMAggregator().fit(answers.assign(label=mixed)).summary()
        assert ", which is not that of the numbers, and the fit uses it" in said
        falling = answers["label"].map({1: 10, 2: 9, 3: 7, 4: 4, 5: 3}).map(number)
        said = DEEMAggregator().fit(answers.assign(label=falling)).summary()
        assert "The answers put the classes in an order: " in said
        assert "not that of the numbers" not in said


def wide(answers: pd.DataFrame) -> np.ndarray:
    return answers.pivot(index="task", columns="worker", values="label").to_numpy()
