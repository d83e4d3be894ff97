"""Plots, by the data that they draw."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM, DataError, DEEMAggregator, ParameterError, plots

pytestmark = pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def crowd(n: int, d: int, k: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    right = rng.random((n, d)) < rng.uniform(0.4, 0.9, d)
    return np.where(right, truth[:, None], rng.integers(k, size=(n, d))), truth


@pytest.fixture(scope="module")
def small():
    matrix, truth = crowd(200, 5)
    return DEEM().fit(matrix), matrix, truth


@pytest.fixture(scope="module")
def wide():
    matrix, truth = crowd(60, 500)
    return DEEM().fit(matrix), matrix, truth


def drawn_skills(ax) -> np.ndarray:
    return ax.containers[0].lines[0].get_xdata()


def test_skills_of_five_are_all_drawn_in_order(small) -> None:
    model, *_ = small
    ax = plots.skills(model)
    assert drawn_skills(ax) == pytest.approx(np.sort(model.skills_))
    order = np.argsort(model.skills_, kind="stable")
    assert [t.get_text() for t in ax.get_yticklabels()] == [str(i) for i in order]
    bars = ax.containers[0].lines[2][0].get_segments()
    ends = np.array([segment[:, 0] for segment in bars])
    assert ends == pytest.approx(model.skill_intervals_[order])
    assert "left out" not in ax.get_title(loc="left")


def test_skills_of_five_hundred_say_what_they_leave_out(wide) -> None:
    model, *_ = wide
    ax = plots.skills(model, most=40)
    ordered = np.sort(model.skills_)
    assert drawn_skills(ax) == pytest.approx(np.concatenate([ordered[:20], ordered[-20:]]))
    assert "460 in between left out" in ax.get_title(loc="left")
    with pytest.raises(ParameterError, match="most"):
        plots.skills(model, most=1)


def test_an_axes_that_is_given_is_drawn_on(small) -> None:
    model, _, truth = small
    for draw in (
        plots.skills,
        plots.confusion,
        plots.agreement,
        plots.confidence,
        plots.coverage,
        plots.hard_tasks,
        plots.training,
    ):
        _, ax = plt.subplots()
        assert draw(model, ax=ax) is ax
    _, ax = plt.subplots()
    assert plots.calibration(model, gold=truth, ax=ax) is ax


def test_confusion_has_the_true_label_in_columns(small) -> None:
    model, *_ = small
    for worker in range(5):
        ax = plots.confusion(model, worker=worker)
        shown = np.asarray(ax.collections[0].get_array())
        assert shown == pytest.approx(model.confusion_[worker])
        assert shown.sum(axis=0) == pytest.approx(1)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("true label", "answer")
    pooled = np.asarray(plots.confusion(model).collections[0].get_array())
    assert pooled == pytest.approx(model.confusion_.mean(0))
    grid = plots.confusion(model, worker=[0, 1, 2, 3, 4])
    assert [ax.get_title(loc="left") for ax in grid.flat if ax.get_visible()] == list("01234")
    with pytest.raises(ParameterError, match="no worker 9"):
        plots.confusion(model, worker=9)
    with pytest.raises(ParameterError, match="ax"):
        plots.confusion(model, worker=[0], ax=ax)


def test_agreement_puts_copies_side_by_side() -> None:
    matrix, _ = crowd(400, 7, seed=3)
    copied = np.column_stack([matrix, matrix[:, 0], matrix[:, 3]])
    model = DEEM().fit(copied)
    ax = plots.agreement(model)
    names = [t.get_text() for t in ax.get_xticklabels()]
    assert {frozenset(names[:2]), frozenset(names[2:4])} == {frozenset("07"), frozenset("38")}
    assert len(ax.patches) == 2
    kappa = np.ma.filled(ax.collections[0].get_array(), np.nan)
    table = model.agreement_["kappa"]
    for i, first in enumerate(names):
        for j, second in enumerate(names):
            if i != j:
                pair = tuple(sorted((int(first), int(second))))
                assert kappa[i, j] == pytest.approx(table.loc[pair])


def test_agreement_of_five_hundred_says_what_it_leaves_out(wide) -> None:
    model, *_ = wide
    assert "460 workers left out" in plots.agreement(model).get_title(loc="left")


def test_confidence_counts_every_label(small) -> None:
    model, matrix, _ = small
    ax = plots.confidence(model)
    heights = [patch.get_height() for patch in ax.patches]
    posterior = model.predict_proba(matrix).max(axis=1)
    expected, _ = np.histogram(posterior, np.linspace(0, 1, 21))
    assert heights == list(expected)


def test_coverage_by_the_definition(small) -> None:
    model, matrix, truth = small
    gold = np.where(np.arange(200) < 120, truth, -1)
    expected, true = plots.coverage(model, gold=gold).lines
    labels, posterior = model.predict(matrix, return_probs=True)
    sure = posterior.max(axis=1)
    order = np.argsort(-sure, kind="stable")
    for kept in (1, 50, 200):
        assert expected.get_ydata()[kept - 1] == pytest.approx(sure[order[:kept]].mean())
    rated = order[order < 120]
    assert true.get_ydata()[59] == pytest.approx((labels == truth)[rated[:60]].mean())
    assert len(true.get_ydata()) == 120


def test_calibration_by_the_definition(small) -> None:
    model, matrix, truth = small
    line = plots.calibration(model, gold=truth).containers[0].lines[0]
    labels, posterior = model.predict(matrix, return_probs=True)
    sure = posterior.max(axis=1)
    bins = np.minimum((sure * 10).astype(int), 9)
    kinds = np.unique(bins)
    assert line.get_xdata() == pytest.approx([sure[bins == b].mean() for b in kinds])
    right = labels == truth
    assert line.get_ydata() == pytest.approx([right[bins == b].mean() for b in kinds])
    with pytest.raises(DataError, match="gold"):
        plots.calibration(model, gold=None)


def test_hard_tasks_show_who_said_what(small) -> None:
    model, matrix, _ = small
    ax = plots.hard_tasks(model, most=7)
    sure = model.predict_proba(matrix).max(axis=1)
    hardest = np.argsort(sure, kind="stable")[:7]
    workers = [int(t.get_text()) for t in ax.get_xticklabels()]
    shown = np.ma.filled(ax.images[0].get_array(), -1)
    assert (shown == matrix[np.ix_(hardest, workers)]).all()


def test_training_draws_the_history(small) -> None:
    model, *_ = small
    path = model.history_["log_likelihood"]
    assert plots.training(model).lines[0].get_ydata() == pytest.approx(path)


FORMS = {
    "empty": pd.DataFrame({"task": [], "worker": [], "label": []}),
    "one task": pd.DataFrame({"task": [1, 1], "worker": ["a", "b"], "label": ["x", "y"]}),
    "one worker": pd.DataFrame({"task": [1, 2], "worker": ["a", "a"], "label": ["x", "y"]}),
    "one class": pd.DataFrame({"task": [1, 1, 2], "worker": ["a", "b", "a"], "label": ["x"] * 3}),
    "strange ids": pd.DataFrame(
        {
            "task": ["$x$", "<b>\u202e", "t" * 10_000],
            "worker": ["a\x00\n", "$\\frac$", "ü"],
            "label": ["$y", "\u0646", "y" * 10_000],
        }
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_small_and_strange_data_are_drawn_or_say_why(form) -> None:
    agg = DEEMAggregator().fit(FORMS[form])
    drawn, reasons = 0, []
    for name in plots.__all__:
        extra = {"gold": agg.labels_.dropna()} if name == "calibration" else {}
        try:
            ax = getattr(plots, name)(agg, **extra)
        except DataError as refused:
            reasons.append(str(refused))
        else:
            ax.figure.canvas.draw()
            drawn += 1
    assert all("nothing to draw" in reason for reason in reasons)
    assert drawn == 0 if form == "empty" else drawn >= 6


def test_workers_without_answers_have_no_table_together() -> None:
    silent = DEEM(n_classes=2).fit(np.full((4, 3), -1))
    with pytest.raises(DataError, match="nothing to draw: the model has no answers"):
        plots.confusion(silent)


def test_an_unfitted_model_cannot_be_drawn() -> None:
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        plots.skills(DEEM())
