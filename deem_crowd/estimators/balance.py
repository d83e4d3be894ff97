"""Shares of the classes that the user knows: checked, matched with the classes, and applied to a model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from deem_crowd.data import index
from deem_crowd.data.answers import Answers
from deem_crowd.estimators.fitted import FittedModel, FloatArray, IntArray
from deem_crowd.exceptions import DataWarning, ParameterError, counted, first_few
from deem_crowd.model import class_balance
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.group import ALONE
from deem_crowd.runtime.warning import warn

_ROUNDED = 0.011
"""How far from 1 the sum of shares may be, since they may be rounded to two digits: three of 0.33, say."""
_FAR = 0.4
"""Share of the tasks in other classes than by the answers from which known shares raise a warning."""


def check(balance: Any) -> None:
    """Check that ``class_balance`` holds shares above 0 that sum to 1, or is None.

    Raises
    ------
    ParameterError
    """
    if balance is not None:
        _named(balance)


def shares(
    balance: Any, every: pd.Index, used: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64] | None:
    """Return the share of each class that occurs, shape (K',); they sum to 1. None where none are given.

    Parameters
    ----------
    balance : mapping, Series or sequence
        Shares by class, or in the order of the classes.
    every : Index, length K
    used : integers, shape (K',)
        Which of these an answer or a known label names.

    Raises
    ------
    ParameterError
        If a class has no share, or a list is not as long as there are classes.

    Warns
    -----
    DataWarning
        Of shares of classes that no answer names.
    """
    if balance is None or not len(used):
        return None
    names, values = _named(balance)
    if names is None:
        if len(values) != len(every):
            raise ParameterError(
                f"class_balance has {counted(len(values), 'share')}, and there are {len(every)} classes: "
                f"{first_few(every, 10)}. Give one share a class, or a dict class → share."
            )
        names = list(every)
    classes = every.take(used)
    labels = list(every)
    place = index.class_places(every, pd.Index(names, tupleize_cols=False))
    names = [name if at < 0 else labels[at] for name, at in zip(names, place.tolist(), strict=True)]
    by_name = dict(zip(names, values.tolist(), strict=True))
    by_text = {str(name): value for name, value in by_name.items()}
    exact = all(one in by_name for one in classes) or len(by_text) < len(by_name)
    found = [by_name.get(one) if exact else by_text.get(str(one)) for one in classes]
    lacking = [one for one, value in zip(classes, found, strict=True) if value is None]
    if lacking:
        raise ParameterError(
            f"class_balance has no share for {counted(len(lacking), 'label')} of the answers: {first_few(lacking)}. "
            f"It has shares for {first_few(names, 10)}. Give each label a share, or leave out the answers that name it."
        )
    known = set(classes) if exact else {str(one) for one in classes}
    elsewhere = [one for one in names if (one if exact else str(one)) not in known]
    if elsewhere:
        warn(
            f"class_balance names {counted(len(elsewhere), 'label')} that no answer names: {first_few(elsewhere)}. "
            "Left out; the shares of the others are scaled to a sum of 1.",
            DataWarning,
        )
    result = np.array(found, dtype=np.float64)
    return result / result.sum()


def balanced(
    model: FittedModel,
    states: torch.Tensor,
    balance: FloatArray,
    design: DesignMatrix,
    answers: Answers,
    gold: IntArray | None,
) -> tuple[FittedModel, FloatArray]:
    """Return a model whose probabilities have a mean close to known shares of the classes, and its posterior.

    In a pool, the mean of its voices is moved before votes count more for answers that err together, and the votes are
    smoothed by the known shares. Else smoothing would give a rare class too much on tasks on which all votes are for
    another class, and what is moved would be taken from tasks that have it.

    Parameters
    ----------
    model : FittedModel
    states : shape (N, K')
        Its posterior over the classes that occur.
    balance : shape (K',)
    design, answers
        Of N tasks.
    gold : integers, shape (N,), optional
        Known classes, −1 where unknown. Tasks with known classes have no part in it.

    Returns
    -------
    FittedModel
    posterior : shape (N, K)
    """
    posterior, used = model.spread(states), model.used
    known = np.zeros(len(posterior), dtype=bool) if gold is None else gold >= 0
    open_ = ~known & (np.diff(answers.task_ptr) > 0)
    if design.group is ALONE:  # else these are a part of the tasks
        _warn_if_far(posterior[open_][:, used], balance, answers.classes[used])
    priors, right = np.zeros(model.n_classes), np.diagonal(model.confusion, axis1=1, axis2=2)
    priors[used], skills = balance, model.skills
    if np.allclose(skills, right @ model.priors[used]):  # those of tables
        skills = right @ balance
    if model.pool is not None:
        shares = torch.from_numpy(balance[model.class_map])
        pool = model.pool.with_shares(shares, design, torch.from_numpy(open_))
        model = replace(model, pool=pool, priors=priors, skills=skills)
        moved = model.spread(pool.posterior(design))
    else:
        odds, prior = np.zeros(model.n_classes), torch.from_numpy(model.priors[used])
        some = torch.from_numpy(posterior[open_][:, used])
        found = class_balance.log_odds(some, prior, torch.from_numpy(balance), design.group)
        odds[used] = found.numpy()
        model = replace(model, class_log_odds=odds, priors=priors, skills=skills)
        moved = model.balanced(posterior, answers)
    moved[known] = posterior[known]
    return model, moved


def moved_to(
    model: FittedModel,
    posterior: FloatArray,
    balance: FloatArray,
    told: npt.NDArray[np.bool_],
    answers: Answers,
    gold: IntArray | None,
    prior: FloatArray,
) -> tuple[FittedModel, FloatArray]:
    """Return a model of the answers and a posterior of answers and features, both moved towards known shares.

    What a classifier says of a task is part of its posterior, so that the shares cannot be brought into the pool of the
    answers before. The same is added to the log-probabilities of all tasks, with features or without.

    Parameters
    ----------
    model : FittedModel
        Of the answers, without known shares.
    posterior : shape (N, K)
        p(label | answers, features).
    balance : shape (K',)
    told : booleans, shape (N,)
        Which tasks have answers or features; others have the known shares.
    answers : Answers
    gold : integers, shape (N,), optional
        Known classes, −1 where unknown.
    prior : shape (K',)
        Of the model, over the classes that occur.

    Returns
    -------
    FittedModel
    posterior : shape (N, K)
    """
    used = model.used
    known = np.zeros(len(posterior), dtype=bool) if gold is None else gold >= 0
    open_ = torch.from_numpy(posterior[told & ~known][:, used])
    _warn_if_far(open_.numpy(), balance, answers.classes[used])
    known_shares, odds = torch.from_numpy(balance), np.zeros(model.n_classes)
    odds[used] = class_balance.log_odds(open_, torch.from_numpy(prior), known_shares).numpy()
    priors, right = np.zeros(model.n_classes), np.diagonal(model.confusion, axis1=1, axis2=2)
    priors[used], skills = balance, model.skills
    if np.allclose(skills, right @ model.priors[used]):  # those of tables
        skills = right @ balance
    result = class_balance.moved(torch.from_numpy(posterior), torch.from_numpy(odds)).numpy()
    result[~told] = priors
    result[known] = posterior[known]
    return replace(model, class_log_odds=odds, priors=priors, skills=skills), result


def _warn_if_far(posterior: FloatArray, balance: FloatArray, classes: pd.Index) -> None:
    """Warn if known shares are far from the mean of a posterior, shape (N, K'), as those of exchanged classes are."""
    if not len(posterior):
        return
    found = posterior.mean(axis=0)
    if np.abs(found - balance).sum() / 2 < _FAR:
        return
    most = np.argsort(-np.abs(found - balance), kind="stable")[:3]
    told = ", ".join(
        f"{first_few(classes[[i]])} {balance[i]:.2f} instead of {found[i]:.2f}" for i in most
    )
    warn(
        f"class_balance is far from what the answers say without it ({told}), and most labels that are not certain "
        "follow it. If the shares belong to other classes, exchange them; if they are right, nothing has to change.",
        DataWarning,
    )


def _named(balance: Any) -> tuple[list[Hashable] | None, npt.NDArray[np.float64]]:
    """Return labels and their shares; no labels where shares are in the order of the classes."""
    names: list[Hashable] | None = None
    given: Any = balance
    if isinstance(balance, pd.Series):
        names, given = list(balance.index), balance.to_numpy()
    elif isinstance(balance, Mapping):
        names, given = list(balance), list(balance.values())
    elif hasattr(balance, "detach"):
        given = balance.detach().cpu().numpy()
    wrong = ParameterError(
        f"class_balance={balance!r} is not allowed: it is a dict from label to share, such as "
        '{"yes": 0.1, "no": 0.9}, a list with one share a class, or None.'
    )
    if isinstance(given, str):
        raise wrong
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise wrong from error
    if values.ndim != 1 or not len(values):
        raise wrong
    unusable = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(unusable):
        where = [i if names is None else names[i] for i in unusable]
        raise ParameterError(
            f"class_balance: {counted(len(unusable), 'share is', 'shares are')} not above 0: {first_few(where)}. Leave "
            "out the answers that name a class that no task has, or give it a small share."
        )
    total = float(values.sum())
    if abs(total - 1) > _ROUNDED:
        raise ParameterError(
            f"class_balance: the shares sum to {total:.6g} instead of 1. Give every class its share, and divide counts "
            "or percentages by their sum."
        )
    if names is not None and len(set(names)) < len(names):
        raise ParameterError("class_balance names a label twice. Give each label one share.")
    return names, values
