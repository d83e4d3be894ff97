"""Models that know features of the tasks, too: from a model of the answers to one of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.estimators import kept
from deem_crowd.estimators.balance import balanced, moved_to, shares
from deem_crowd.estimators.fit import only_used_classes
from deem_crowd.estimators.fitted import FittedModel, FloatArray, IntArray
from deem_crowd.estimators.information import answer_information
from deem_crowd.exceptions import DataError, DataWarning, UnsupportedError
from deem_crowd.features import rows as feature_rows
from deem_crowd.model.calibration import design_effect
from deem_crowd.model.design import make_design
from deem_crowd.model.energy import Energy
from deem_crowd.runtime.ambient import undisturbed
from deem_crowd.runtime.progress import watched
from deem_crowd.runtime.warning import warn
from deem_crowd.selection import one_sided
from deem_crowd.selection.opinion_pool import OpinionPool
from deem_crowd.training.em import log_average_table

FEATURES = "_features"
"""The attribute that holds a :class:`FeatureModel` after a fit with features."""


@dataclass(frozen=True)
class FeatureModel:
    """What predictions need beside the model of the answers.

    Attributes
    ----------
    classifier : object with predict and predict_proba
        What users see as ``classifier_``, where columns have no names.
    use : str
        How features are used, and why.
    predictor, scaling
        What a classifier says, and what that counts; see :mod:`deem_crowd.features`.
    used : integers, shape (K',)
        The classes, of K, that they are about.
    log_prior : shape (K',)
        Of the classes before any answer.
    correlation : float, or None
        ρ by which the model shrinks odds; None where its prior has to be taken as it is.
    n_columns : int
        Of the features.
    regional : RegionalTables, optional
        Where workers have tables in several regions.
    columns : list of str, optional
        Names of the features, where they have any.
    log_odds : shape (K',), optional
        Where the shares of the classes are known: what the model of the answers adds to its log-probabilities.
    strength : float
        What the log-odds of the answers are multiplied by.
    """

    classifier: Any
    use: str
    predictor: Any
    scaling: Any
    used: IntArray
    log_prior: FloatArray
    correlation: float | None
    n_columns: int
    regional: Any = None
    columns: list[str] | None = None
    log_odds: FloatArray | None = None
    strength: float = 1.0

    def posterior(
        self,
        by_answers: FloatArray,
        answers: Answers,
        features: Any,
        workers: IntArray | None = None,
        classes: IntArray | None = None,
    ) -> tuple[FloatArray, Any]:
        """Return p(label | answers, features), shape (N, K), and which tasks have features, shape (N,).

        Parameters
        ----------
        by_answers : shape (N, K)
            Posterior of the model of the answers.
        answers : Answers
            Of these N tasks.
        features
            As in fit.
        workers, classes : integers, optional
            The place in the model of each worker (−1 where unknown) and class of the answers; their own if omitted.

        Raises
        ------
        FormError, DataError
        """
        features = feature_rows.in_pandas(features, answers.tasks)
        features = feature_rows.in_order(features, self.columns)
        rows = feature_rows.read(features, answers.tasks)
        if rows.x.shape[1] != self.n_columns:
            raise DataError(
                f"features have {rows.x.shape[1]} columns, and the model was fitted with {self.n_columns}."
            )
        from deem_crowd.features.learned import WITHOUT

        there = np.zeros(answers.n_tasks, dtype=bool)
        if self.use.startswith(WITHOUT):
            return by_answers, there
        there[rows.place] = True
        return self.joined(by_answers, answers, rows, workers, classes), there

    def joined(
        self,
        by_answers: FloatArray,
        answers: Answers,
        rows: feature_rows.Rows,
        workers: IntArray | None = None,
        classes: IntArray | None = None,
    ) -> FloatArray:
        """Return p(label | answers, features), shape (N, K), as :meth:`posterior` does, from features that are read."""
        word = self.scaling(self.predictor.log_proba(rows.x))
        log_word = rows.spread(word, self.log_prior)
        told_by = by_answers[:, self.used]
        nothing = np.diff(answers.task_ptr) == 0
        if self.log_odds is not None:  # a task without answers has the known shares instead
            told_by[nothing] = np.exp(self.log_prior + self.log_odds)
        number = np.maximum(np.diff(answers.task_ptr), 1)[:, None].astype(np.float64)
        power = 1 / design_effect(number, self.correlation or 0.0)
        odds = 0.0 if self.log_odds is None else self.log_odds
        evidence = np.log(np.maximum(told_by, 1e-30)) - odds - power * self.log_prior
        logits = self.strength * evidence + odds + log_word
        if self.regional is not None:
            worker = np.arange(answers.n_workers) if workers is None else workers
            classes = np.arange(answers.n_classes) if classes is None else classes
            place = np.full(by_answers.shape[1], -1, dtype=np.int64)
            place[self.used] = np.arange(len(self.used))
            told = self.regional.evidence(answers, rows, worker, place[classes])
            logits = logits + power * told
        logits -= logits.max(axis=1, keepdims=True)
        joint = np.zeros_like(by_answers)
        joint[:, self.used] = np.exp(logits)
        joint /= joint.sum(axis=1, keepdims=True)
        nothing[rows.place] = False
        joint[nothing] = by_answers[nothing]
        return joint


@undisturbed
def add_features(
    answers: Answers,
    gold: IntArray | None,
    features: Any,
    settings: Mapping[str, Any],
    model: FittedModel,
    posterior: FloatArray,
    labels: Any,
) -> tuple[FittedModel, FloatArray, FeatureModel | None, IntArray | None]:
    """Learn labels and a classifier together.

    Parameters
    ----------
    answers : Answers
        N tasks, K classes.
    gold : integers, shape (N,), optional
        Known classes, −1 where unknown.
    features
        See :func:`deem_crowd.features.rows.read`.
    settings : mapping
        ``classifier``, ``class_balance``, ``regions``, ``device``, ``dtype``, ``progress`` and ``random_state``.
    model : FittedModel
    posterior : shape (N, K)
        Of the answers alone, without known shares of the classes.
    labels : array, shape (K,)
        What the classifier calls the classes.

    Returns
    -------
    FittedModel
    posterior : shape (N, K)
    FeatureModel, or None
        None where there is too little to learn a classifier from; a warning has said so.
    settled : integers, shape (N,), or None
        As ``gold``, but no −1 where the features of a task tell its label.

    Raises
    ------
    FormError, DataError, ParameterError
    """
    from deem_crowd.features.learned import WITHOUT, learn

    features = feature_rows.in_pandas(features, answers.tasks)
    rows = feature_rows.read(features, answers.tasks)
    compact, used = only_used_classes(answers, gold)
    known = None
    if gold is not None and len(used):
        position = np.full(answers.n_classes + 1, -1, dtype=np.int64)
        position[used] = np.arange(len(used))
        known = torch.from_numpy(position[gold])
    design = make_design(compact, settings["device"], settings["dtype"], len(used))
    prior = np.maximum(model.priors[used], 1e-12)
    names = np.asarray(pd.Index(np.asarray(labels)[used]).infer_objects())  # numbers as numbers
    with watched("features", "fits", settings["progress"]) as progress:
        learned = learn(
            compact,
            design,
            rows,
            posterior[:, used],
            prior / prior.sum(),
            settings["classifier"],
            known,
            settings["random_state"] or 0,
            progress,
            settings["regions"],
            one_sided.are_most(design.answers_named()),
            kept.of(model, answers.is_soft, settings["regions"] > 1),
            names,
        )
    balance = shares(settings["class_balance"], answers.classes, used)
    without = learned is None or learned.reading == WITHOUT
    if balance is not None and without:
        states = torch.from_numpy(posterior[:, used[model.class_map]])
        model, posterior = balanced(model, states, balance, design, answers, gold)
    if learned is None:
        return model, posterior, None, gold
    if learned.reading == WITHOUT:
        warn(f"the features are not used: {learned.why}.", DataWarning)
    log_prior = np.log(prior / prior.sum())
    if learned.together is not None:
        log_prior = np.log(learned.together.prior)
        model = _with_tables(model, answers, design, used, learned)
    made = FeatureModel(
        classifier=learned.classifier(names),
        use=f"{learned.reading}: {learned.why}",
        predictor=learned.predictor,
        scaling=learned.scaling,
        used=used,
        log_prior=log_prior,
        correlation=learned.correlation,
        strength=learned.strength,
        n_columns=rows.x.shape[1],
        regional=_regional(learned),
        columns=feature_rows.names(features),
    )
    whole = posterior
    if not without:
        whole = np.zeros_like(posterior)
        whole[:, used] = learned.posterior
        _as_predicted(whole, model, made, answers, rows, gold)
    if balance is not None and not without:
        told = np.diff(answers.task_ptr) > 0
        told[rows.place] = True
        model, whole = moved_to(model, whole, balance, told, answers, gold, np.exp(log_prior))
        odds = model.class_log_odds
        made = replace(made, log_odds=None if odds is None else odds[used])
    settled = gold
    if learned.reading != WITHOUT:
        settled = np.full(answers.n_tasks, -1, dtype=np.int64) if gold is None else gold.copy()
        settled[rows.place] = np.maximum(settled[rows.place], 0)
    return model, whole, made, settled


def _as_predicted(
    whole: FloatArray,
    model: FittedModel,
    made: FeatureModel,
    answers: Answers,
    rows: feature_rows.Rows,
    gold: IntArray | None,
) -> None:
    """Give tasks that lack answers or features what predictions say of them, in place, shape (N, K).

    The classifier was not trained on their answers, so no folds are needed.
    """
    lacking = np.ones(answers.n_tasks, dtype=bool)
    lacking[rows.place] = False
    lacking |= np.diff(answers.task_ptr) == 0
    if gold is not None:
        lacking &= gold < 0
    if lacking.any():
        own = np.arange(answers.n_workers), np.arange(answers.n_classes)
        whole[lacking] = made.joined(model.posterior(answers, *own), answers, rows)[lacking]


def _regional(learned: Any) -> Any:
    """Return the tables of regions; None where there is one table a worker."""
    joint = learned.together
    if learned.regions is None or joint is None:
        return None
    from deem_crowd.features.regions import RegionalTables

    return RegionalTables.learned(learned.regions, joint.tables, joint.regional, joint.prior)


def _with_tables(
    model: FittedModel, answers: Answers, design: Any, used: IntArray, learned: Any
) -> FittedModel:
    """Return the model whose tables were learned together with a classifier."""
    joint = learned.together
    energy = Energy(
        torch.log(torch.from_numpy(joint.prior)),
        joint.tables,
        log_average_table(joint.tables, design),
    )
    priors = np.zeros(answers.n_classes)
    priors[used] = joint.prior
    confusion = joint.tables.exp()
    right = torch.diagonal(confusion, dim1=1, dim2=2).numpy()
    states = torch.from_numpy(joint.posterior)
    return replace(
        model,
        energy=energy,
        used=used,
        class_map=np.arange(len(used)),
        priors=priors,
        confusion=confusion.numpy(),
        skills=(right * joint.prior).sum(axis=1),
        history={"log_likelihood": joint.history},
        network=None,
        units=None,
        label_unit=0,
        readings=(),
        pool=OpinionPool((energy,), (1.0,), 0.0, joint.correlation),
        candidates=(),
        information=answer_information(design, states),
        warm_starts={},
    )


def require(state: Mapping[str, Any]) -> FeatureModel:
    """Return what a fitted object knows of features.

    Raises
    ------
    UnsupportedError
        If it was fitted without, or read from a file that holds no classifier.
    """
    feature_model: FeatureModel | None = state.get(FEATURES)
    if feature_model is None:
        raise UnsupportedError(
            "this model knows no features: it was fitted without them, or no classifier could be learned, or its file "
            "holds none. Call fit(..., features=...), or leave out features=."
        )
    return feature_model


def in_use(state: Mapping[str, Any]) -> FeatureModel | None:
    """Return what a fitted object knows of features, from its attributes; None where its labels do not rest on them."""
    from deem_crowd.features.learned import WITHOUT

    feature_model: FeatureModel | None = state.get(FEATURES)
    if feature_model is None or feature_model.use.startswith(f"{WITHOUT}:"):
        return None
    return feature_model
