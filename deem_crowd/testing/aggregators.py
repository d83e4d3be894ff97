"""What every aggregator has to do: crowd-kit's contract, and answers that do not depend on accidents of the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.exceptions import counted
from deem_crowd.testing.awkward_input import _InputChecks, differing
from deem_crowd.testing.conformance import Checks, check, global_randomness, name_of


def _undecided() -> pd.DataFrame:
    """Return 40 tasks of three labels with two or three answers each, many of them tied."""
    rng = np.random.default_rng(11)
    rows = []
    for task in range(40):
        for worker in rng.choice(6, size=2 + task % 2, replace=False):
            right = rng.random() < 0.65
            label = task % 3 if right else rng.integers(3)
            rows.append((f"t{task}", f"w{worker}", "abc"[label]))
    return pd.DataFrame(rows, columns=["task", "worker", "label"])


def check_aggregator(
    factory: Callable[[], Any], *, accuracy: float = 0.9, skip: dict[str, str] | None = None
) -> list[str]:
    """Check that an aggregator keeps crowd-kit's contract, and ours on awkward data.

    Parameters
    ----------
    factory : callable
        Makes an aggregator with default parameters, its class for example.
    accuracy : float
        Share of an easy crowd's tasks it has to get right.
    skip : dict of str to str, optional
        Checks to leave out, each with the reason.

    Returns
    -------
    list of str
        The checks that passed.

    Raises
    ------
    ConformanceError
        Naming the check, what was seen and what to correct.
    """
    checks = Checks(name_of(factory), skip)
    checks.run_all(_AggregatorChecks(checks, factory, accuracy))
    return checks.finish()


class _AggregatorChecks(_InputChecks):
    """Of results: labels, probabilities, skills, and what they do not depend on."""

    @check("labels")
    def labels(self) -> None:
        labels = self.expected
        tasks = set(self.data["task"])
        self.checks.require(
            self.are_tasks(labels),
            f"labels for {counted(len(labels), 'entry', 'entries')}, {len(set(labels.index) & tasks)} of them tasks, "
            f"where there are {len(tasks)} tasks.",
            "Label every task once, under its own id; a method that leaves tasks open says abstains = True.",
        )
        self.checks.require(
            labels.index.name == "task" and labels.name == "agg_label",
            f"the Series is called {labels.name!r} and its index {labels.index.name!r}.",
            "Name the Series 'agg_label' and its index 'task'.",
        )
        missing = int(labels.isna().sum())
        self.checks.require(
            not missing or self.abstains,
            f"{counted(missing, 'task has', 'tasks have')} a missing label.",
            "Label every task, or say abstains = True.",
        )
        strangers = set(labels.dropna()) - set(self.data["label"])
        self.checks.require(
            not strangers, f"labels nobody gave: {sorted(map(repr, strangers))}.", "Give labels."
        )

    @check("accuracy")
    def right(self) -> None:
        share = float((self.expected.reindex(self.truth.index) == self.truth).mean())
        self.checks.require(
            share >= self.accuracy,
            f"{share:.0%} of the labels of an easy crowd are right.",
            f"{self.accuracy:.0%} are expected; if classes have come out exchanged, align them with the vote.",
        )

    @check("probabilities")
    def probabilities(self) -> None:
        made = self.fitted
        probas = self.shown("probas_", pd.DataFrame, "Index it by task, with one column per label")
        if probas is None:
            return
        values = self.numbers("probas_", probas)
        self.checks.require(
            bool(np.isfinite(values).all() and (values >= -1e-9).all()),
            "probas_ holds values that are no probabilities.",
            "Probabilities are finite and not negative.",
        )
        off = np.abs(values.sum(1) - 1).max()
        self.checks.require(off < 1e-6, f"a row of probas_ is {off:.2g} away from 1.", "Normalise.")
        self.checks.require(
            probas.index.is_unique
            and set(probas.index) <= set(self.data["task"])
            and set(made.labels_.dropna().index) <= set(probas.index)
            and set(probas.columns) == set(self.data["label"]),
            f"probas_ has columns {list(probas.columns)} and {len(probas)} rows.",
            "Index it by task, with one column per label.",
        )
        clear = np.sort(values, 1)[:, -1] - np.sort(values, 1)[:, -2] > 1e-6
        best = probas.columns.to_numpy()[values.argmax(1)]
        labels = made.labels_.reindex(probas.index)
        against = clear & labels.notna().to_numpy() & (best != labels.to_numpy())
        n = int(against.sum())
        self.checks.require(
            n == 0,
            f"{counted(n, 'label is', 'labels are')} not the likeliest class in "
            f"{'its' if n == 1 else 'their'} row of probas_.",
            "Take labels and probabilities from one posterior.",
        )

    def shown(self, attribute: str, kind: type, form: str) -> Any:
        """Return an attribute of an aggregator fitted to the easy crowd; None if it has no such thing."""
        value = getattr(self.fitted, attribute, None)
        self.checks.require(
            value is None or isinstance(value, kind),
            f"{attribute} is a {type(value).__name__}, not a {kind.__name__}.",
            f"{form}, or leave it out.",
        )
        return value

    def numbers(self, attribute: str, values: pd.Series | pd.DataFrame) -> Any:
        """Return the values of an attribute as float64."""
        try:
            return values.to_numpy(dtype=float)
        except (TypeError, ValueError) as error:
            self.checks.require(False, f"{attribute} holds no numbers: {error}.", "Give numbers.")

    @check("skills")
    def skills(self) -> None:
        skills = self.shown("skills_", pd.Series, "Index it by worker")
        if skills is None:
            return
        right = self.data["label"].to_numpy() == self.truth.reindex(self.data["task"]).to_numpy()
        accuracy = pd.Series(right).groupby(self.data["worker"].to_numpy()).mean()
        self.checks.require(
            set(skills.index) == set(accuracy.index) and skills.index.is_unique,
            f"skills_ has {len(skills)} entries for {len(accuracy)} workers.",
            "Give every worker one skill, under their own id.",
        )
        values = self.numbers("skills_", skills.reindex(accuracy.index))
        self.checks.require(
            bool(np.isfinite(values).all()),
            "skills_ holds values that are not finite.",
            "Give numbers.",
        )
        if np.ptp(values) > 0:
            correlation = float(
                pd.Series(values).rank().corr(accuracy.reset_index(drop=True).rank())
            )
            self.checks.require(
                correlation > 0,
                f"the rank correlation of skills_ with the workers' accuracy is {correlation:.2f}.",
                "A higher skill stands for a better worker; errors belong in errors_.",
            )

    @check("errors")
    def errors(self) -> None:
        errors = self.shown("errors_", pd.DataFrame, "Index it by worker and given label")
        if errors is None:
            return
        classes = set(self.data["label"])
        self.checks.require(
            errors.index.nlevels == 2
            and set(errors.index.get_level_values(0)) == set(self.data["worker"])
            and set(errors.index.get_level_values(1)) <= classes
            and set(errors.columns) == classes,
            f"errors_ has index levels {list(errors.index.names)} and columns {list(errors.columns)}.",
            "Index it by worker and given label, with one column per true label.",
        )
        values = self.numbers("errors_", errors)
        self.checks.require(
            bool((np.isfinite(values) & (values >= -1e-9)).all()),
            "errors_ holds values that are no probabilities.",
            "Probabilities are finite and not negative.",
        )
        sums = errors.groupby(level=0).sum().to_numpy(dtype=float)
        self.checks.require(
            bool((np.abs(sums - 1) < 1e-6).all()),
            f"for one worker and true label errors_ sums to {sums.flat[np.abs(sums - 1).argmax()]:.3g}.",
            "For each true label the probabilities of what a worker gives sum to 1.",
        )
        right = np.mean([errors.xs(label, level=1)[label].mean() for label in sorted(classes)])
        self.checks.require(
            right > 1 / len(classes),
            f"by errors_ the workers of an easy crowd are right with probability {right:.2f}.",
            "Rows are what was given, columns what is true; check that they are not exchanged.",
        )

    @check("priors")
    def priors(self) -> None:
        priors = self.shown("priors_", pd.Series, "Index it by label")
        if priors is None:
            return
        values = self.numbers("priors_", priors)
        self.checks.require(
            set(priors.index) == set(self.data["label"])
            and bool((np.isfinite(values) & (values >= -1e-9)).all())
            and abs(values.sum() - 1) < 1e-6,
            f"priors_ is {priors.to_dict()}.",
            "Give every label its share; shares are not negative and sum to 1.",
        )

    @check("fit and fit_predict agree")
    def fit(self) -> None:
        made = self.factory()
        self.checks.require(
            not hasattr(made, "labels_"), "labels_ is there before fit.", "Set it in fit."
        )
        returned = made.fit(self.data.copy())
        self.checks.require(returned is made, "fit does not return self.", "Return self.")
        self.checks.require(
            hasattr(made, "labels_"), "fit sets no labels_.", "Set it to the Series of labels."
        )
        try:
            pd.testing.assert_series_equal(made.labels_, self.expected)
        except AssertionError as error:
            self.checks.require(
                False,
                f"labels_ after fit differ from what fit_predict returned for the same frame ({_first_line(error)}).",
                "Return labels_ from fit_predict; where you draw, use a generator seeded by a parameter, anew in each "
                "fit.",
            )

    @check("repeatable")
    def repeatable(self) -> None:
        made = self.factory()
        first = made.fit_predict(self.data.copy()).copy()
        second = made.fit_predict(self.data.copy())
        self.checks.require(
            first.equals(second),
            "a second fit to the same frame gave other labels.",
            "Start each fit anew, with a generator seeded by a parameter.",
        )
        with global_randomness(self.checks):
            self.labelled(self.data)

    @check("order of rows")
    def rows(self) -> None:
        first = self.expected
        for seed in range(3):
            shuffled = self.data.sample(frac=1.0, random_state=seed)
            changed = differing(self.labelled(shuffled), first)
            self.checks.require(
                changed == 0,
                f"with the rows in another order {counted(changed, 'label differs', 'labels differ')}.",
                "Let nothing depend on the order of rows: sort ids, break ties by label.",
            )

    @check("ties")
    def ties(self) -> None:
        data = _undecided()
        made = self.factory()
        first = made.fit_predict(data)
        probas = getattr(made, "probas_", None)
        for seed in range(3):
            again = self.factory()
            labels = again.fit_predict(data.sample(frac=1.0, random_state=seed))
            changed = differing(labels, first)
            self.checks.require(
                changed == 0,
                f"on a crowd with tied votes {counted(changed, 'label differs', 'labels differ')} when the rows "
                "come in another order.",
                "Break ties by label, not by row, and do not let rounding decide: of the labels within 1e-6 of the "
                "best take the first.",
            )
            if isinstance(probas, pd.DataFrame):
                other = again.probas_.reindex(index=probas.index, columns=probas.columns)
                off = float(np.abs(other.to_numpy(float) - probas.to_numpy(float)).max())
                self.checks.require(
                    off < 1e-5,
                    f"probas_ differ by up to {off:.2g} when the rows come in another order.",
                    "Start from something that belongs to tasks and workers, not to rows.",
                )


def _first_line(error: AssertionError) -> str:
    """Return what pandas says of two Series in the line before their values, on one line."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("[")]
    return "; ".join(lines[:2])
