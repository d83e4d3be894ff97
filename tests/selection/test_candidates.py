"""The candidates of the default model: their tables against enumeration, what rules a choice out, and its table."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from deem_crowd_benchmarks.sets import laws
from scipy.special import gammaln
from small_designs import design_of, few

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.exceptions import ParameterError
from deem_crowd.selection import candidates
from deem_crowd.training import confusion, em
from deem_crowd.training.one_coin import fit_one_coin


def test_one_pass_of_tables_by_hand() -> None:
    answers = few()
    design = design_of(answers)
    begin = em.vote_start(design)
    found = confusion.fit_confusion(design, begin, n_passes=1)
    k, d = 2, 4
    table = np.zeros((d, k, k))
    for n in range(answers.n_tasks):
        for at in range(answers.task_ptr[n], answers.task_ptr[n + 1]):
            table[answers.worker[at], answers.hard_label[at]] += begin[n].numpy()
    table += np.where(np.eye(k), 2.0, 0.8)
    table /= table.sum(1, keepdims=True)
    np.testing.assert_allclose(found.energy.weight.exp().numpy(), table, atol=1e-12)
    prior = begin.sum(0).numpy() + 1
    np.testing.assert_allclose(found.energy.bias.exp().numpy(), prior / prior.sum(), atol=1e-12)


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_the_bound_is_below_the_evidence(m, seed) -> None:
    """The evidence sums the probability of answers and states over all assignments of states to tasks."""
    answers = few(seed, n=5 if m == 1 else 3, d=3)
    design = design_of(answers)
    begin = em.vote_start(design)
    if m == 2:
        begin = em.margin_start(design, begin)
    found = confusion.fit_confusion(design, begin, m)
    alpha = found.pseudo_answers
    n_states = 2 * m
    total = []
    for states in itertools.product(range(n_states), repeat=answers.n_tasks):
        hot = torch.nn.functional.one_hot(torch.tensor(states), n_states).double()
        counts = design.expected_counts(hot)
        cells = counts + alpha
        value = (torch.lgamma(cells) - torch.lgamma(alpha)).sum()
        value -= (torch.lgamma(cells.sum(1)) - torch.lgamma(alpha.sum(0))).sum()
        size = hot.sum(0).numpy()
        prior = gammaln(2) - n_states * gammaln(1 / m) + gammaln(size + 1 / m).sum()
        total.append(float(value) + prior - gammaln(answers.n_tasks + 2))
    evidence = np.logaddexp.reduce(total)
    assert found.bound <= evidence + 1e-9
    assert found.bound > evidence - 3 * answers.n_tasks


def test_the_coin_recovers_accuracies() -> None:
    data = laws.spammers(3, 4000)
    answers = Answers.from_frame(data.answers)
    design = design_of(answers)
    found = fit_one_coin(design, em.vote_start(design))
    right = torch.diagonal(found.energy.weight.exp(), dim1=1, dim2=2)
    np.testing.assert_allclose(right[:, 0], right[:, 1])
    truth = data.gold.loc[data.answers["task"]].to_numpy() == data.answers["label"].to_numpy()
    accuracy = pd.Series(truth).groupby(data.answers["worker"].to_numpy()).mean()
    np.testing.assert_allclose(right[:, 0], accuracy.loc[answers.workers], atol=0.05)


def test_what_is_named_is_not_chosen() -> None:
    data = laws.few_tasks(0).answers
    assert DEEMAggregator().fit(data).selection_ is not None
    plain = DEEMAggregator(auto_hyperparameters=False).fit(data)
    assert plain.selection_ is None
    for named in ({"hidden_dim": 2}, {"subtypes": 2}, {"penalty": 1.0}, {"n_iter": 0}):
        assert DEEMAggregator(**named).fit(data).selection_ is None
    with pytest.raises(
        ParameterError,
        match="auto_hyperparameters=True chooses the model, and hidden_dim=2 names one",
    ):
        DEEMAggregator(auto_hyperparameters=True, hidden_dim=2).fit(data)
    with pytest.raises(ParameterError, match="auto_hyperparameters='yes' is not allowed"):
        DEEM(auto_hyperparameters="yes").fit(np.zeros((3, 2), dtype=int))
    assert not hasattr(DEEMAggregator(), "selection_")


def test_the_table_of_the_choice_can_be_read() -> None:
    found = DEEMAggregator().fit(laws.few_tasks(0).answers).selection_
    assert list(found.columns) == [
        "candidate", "score", "difference", "standard_error", "agreement", "weight", "why",
    ]  # fmt: skip
    assert found["weight"].sum() == pytest.approx(1)
    chosen = found[found["why"].str.startswith(("chosen", "always"))]
    assert (chosen["weight"] > 0).all()


def test_the_table_says_when_the_answers_speak_for_no_label() -> None:
    rng = np.random.default_rng(0)
    task, worker = np.divmod(np.arange(1200), 6)
    noise = pd.DataFrame({"task": task, "worker": worker, "label": rng.integers(2, size=1200)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = DEEMAggregator().fit(noise).selection_
    assert found["candidate"].to_list()[-2:] == [candidates.COMMON, candidates.OWN]
    assert (
        found["weight"].sum() == pytest.approx(found["weight"].iloc[-2:].sum()) == pytest.approx(1)
    )
