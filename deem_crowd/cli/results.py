"""What a fitted aggregator says → the tables that ``deem-crowd aggregate`` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from deem_crowd.cli import shell
from deem_crowd.exceptions import DataError, DataWarning, MemoryNeedError, counted, first_few
from deem_crowd.runtime.warning import warn

if TYPE_CHECKING:
    import pandas as pd

    from deem_crowd.data.answers import Answers


def answered(answers: Answers) -> pd.Index:
    """Return the tasks that have answers."""
    import numpy as np

    there = np.diff(answers.task_ptr) > 0
    return answers.tasks if there.all() else answers.tasks[there]


def require_labels(labels: Any, aggregator: Any, answers: Answers, method: str) -> None:
    """Check what a method returned; it may leave tasks open if it says that it abstains.

    Raises
    ------
    PluginError
    """
    from deem_crowd.plugins import contract

    def fault() -> str:
        abstains = bool(getattr(aggregator, "abstains", False))
        return contract.fault(labels, answered(answers), answers.classes, abstains)

    contract.require(method, shell.asked(method, "labels", fault))


def labels(labels: pd.Series, answers: Answers) -> pd.DataFrame:
    """Return columns task, label, shape (N, 2), tasks by first appearance.

    Tasks without answers, and those that the method leaves open, have no label.
    """
    import pandas as pd

    from deem_crowd.data import index

    given = labels.notna().to_numpy()
    if labels.index.is_(answers.tasks) and given.all():
        return pd.DataFrame({"task": answers.tasks, "label": labels.array})
    named = labels.index[given]
    same = named.dtype == answers.tasks.dtype
    lacking = answers.tasks[
        ~(index.among(answers.tasks, named) if same else answers.tasks.isin(named))
    ]
    if len(lacking):
        unasked = ~lacking.isin(answered(answers))
        reasons = {
            ("has no answers", "have no answers"): lacking[unasked],
            ("is left open", "are left open"): lacking[~unasked],
        }
        for (one, many), tasks in reasons.items():
            if len(tasks):
                number = counted(len(tasks), f"task {one}", f"tasks {many}")
                text = f"{number}: the label is missing ({first_few(tasks)})."
                warn(text, DataWarning)
        labels = labels.astype(object).reindex(answers.tasks)
    else:
        labels = labels.loc[answers.tasks]
    return pd.DataFrame({"task": answers.tasks, "label": labels.array})


def with_middles(table: pd.DataFrame, aggregator: Any, answers: Answers) -> pd.DataFrame:
    """Return the labels, with columns ``median`` and ``mean`` beside them where DEEM fitted ordered classes."""
    from deem_crowd.estimators.aggregator import DEEMAggregator
    from deem_crowd.estimators.ordering import classes_in_order

    if not isinstance(aggregator, DEEMAggregator) or not aggregator.__sklearn_is_fitted__():
        return table
    if not classes_in_order(answers, aggregator.ordered):
        return table
    middles = {"median": aggregator.median_, "mean": aggregator.mean_}
    return table.assign(
        **{name: m.reindex(table["task"]).array for name, m in middles.items() if m is not None}
    )


def without_contested(table: pd.DataFrame, aggregator: Any, method: str) -> pd.DataFrame:
    """Return the labels without those that the aggregator says need another look."""
    contested = _said(aggregator, method, "contested_")
    if contested is None:
        raise typer.BadParameter(
            f"{method} does not say which labels are contested", param_hint="--contested"
        )
    marks = contested.reindex(table["task"], fill_value=False).to_numpy()
    blank = {name: table[name].astype(object).mask(marks, None) for name in table.columns[1:]}
    return table.assign(**blank)


def probabilities(
    aggregator: Any, labels: pd.Series, answers: Answers, method: str
) -> pd.DataFrame:
    """Return task and one column a class, shape (N, 1 + K); the prior where a task has no answers.

    A task that the method leaves open has the probabilities that the method gives, if it gives any.
    """
    import pandas as pd

    from deem_crowd.data.lookup import written_shortly
    from deem_crowd.plugins import contract

    probas = shell.asked(method, "probas_", lambda: contract.probabilities(aggregator))
    if probas is not None and (answers.n_answers or not isinstance(probas, pd.DataFrame)):
        contract.require(method, contract.improper(probas, labels, answered(answers)))
    if probas is None:
        if answers.n_answers:
            raise DataError(f"method {method!r} gives no probabilities: leave out --proba.")
        probas = pd.DataFrame(index=answers.tasks[:0])
    whole = probas.reindex(answers.tasks)
    priors = _said(aggregator, method, "priors_")
    unanswered = ~answers.tasks.isin(probas.index) & ~answers.tasks.isin(answered(answers))
    if unanswered.any() and isinstance(priors, pd.Series):
        whole.loc[unanswered] = priors.reindex(whole.columns).to_numpy()
    names = [str(name) for name in written_shortly(whole.columns)]
    if "task" in names or len(set(names)) < len(names):
        raise DataError(
            "the classes cannot be names of columns beside 'task': "
            f"{first_few(whole.columns, 10)}. Rename them, or leave out --proba."
        )
    table = whole.set_axis(names, axis=1).reset_index(drop=True)
    table.insert(0, "task", answers.tasks)
    return table


def workers(aggregator: Any, answers: Answers, method: str) -> pd.DataFrame:
    """Return columns worker, skill, low, high, answers, shape (D, 5), workers by first appearance.

    ``low`` and ``high`` bound a 95 % interval of the skill; they are empty where the method has none.
    """
    import numpy as np
    import pandas as pd

    def numbers() -> dict[str, Any]:
        skills = getattr(aggregator, "skills_", None)
        bounds = getattr(aggregator, "skill_intervals_", None)
        if not isinstance(skills, pd.Series):
            warn(f"method {method!r} gives no skills: that column is empty.", DataWarning)
            skills = pd.Series(dtype=np.float64)
        if not isinstance(bounds, pd.DataFrame):
            bounds = pd.DataFrame(columns=["low", "high"], dtype=np.float64)
        columns = {"skill": skills, "low": bounds["low"], "high": bounds["high"]}
        return {
            name: column.reindex(answers.workers).to_numpy(dtype=np.float64)
            for name, column in columns.items()
        }

    return pd.DataFrame(
        {
            "worker": answers.workers,
            **shell.asked(method, "skills_ and skill_intervals_", numbers),
            "answers": np.bincount(answers.worker, minlength=answers.n_workers),
        }
    )


def errors(aggregator: Any, answers: Answers, method: str) -> pd.DataFrame:
    """Return columns worker, label, and one a class, shape (D·K, 2 + K): p(label answered | true class).

    Rows are what a worker answered, columns what is true; each worker's columns sum to 1.
    """
    import pandas as pd

    from deem_crowd.data.lookup import written_shortly

    table = _said(aggregator, method, "errors_")
    if not isinstance(table, pd.DataFrame) or table.index.nlevels != 2:
        if answers.n_answers:
            raise DataError(f"method {method!r} gives no confusion matrices: leave out --errors.")
        return pd.DataFrame({"worker": [], "label": []})
    names = [str(name) for name in written_shortly(table.columns)]
    if {"worker", "label"} & set(names) or len(set(names)) < len(names):
        raise DataError(
            "the classes cannot be names of columns beside 'worker' and 'label': "
            f"{first_few(table.columns, 10)}. Rename them, or leave out --errors."
        )
    flat = table.set_axis(names, axis=1).reset_index()
    return flat.set_axis(["worker", "label", *names], axis=1)


def summary(aggregator: Any, method: str) -> str:
    """Return one screen of text about a fit."""
    if not hasattr(aggregator, "summary"):
        raise typer.BadParameter(f"{method} has no summary", param_hint="--summary")
    return shell.asked(method, "a summary", lambda: str(aggregator.summary()))


def _said(aggregator: Any, method: str, attribute: str) -> Any:
    """Return an attribute of a fitted aggregator, whose code may be somebody else's; None if it has none."""
    return shell.asked(method, attribute, lambda: getattr(aggregator, attribute, None))


def findings(aggregator: Any, gold: pd.Series | None) -> list[str]:
    """Return what a person should be told about the answers, with names; nothing for other aggregators than DEEM."""
    from deem_crowd.data.doubts import ONE_CLASS
    from deem_crowd.estimators.aggregator import DEEMAggregator

    if not isinstance(aggregator, DEEMAggregator) or not aggregator.__sklearn_is_fitted__():
        return []
    known = gold if gold is not None and len(gold) else None
    try:
        found = aggregator.findings(known)
    except MemoryNeedError:
        return []  # the labels need no confusion matrices, which thousands of workers and classes fill memory with
    # that all answers name one class was said when they were read
    return [sentence for sentence in found if not sentence.startswith(ONE_CLASS)]
