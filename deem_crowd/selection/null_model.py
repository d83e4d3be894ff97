"""How much the answers speak for a hidden label at all, and the model to fall back on where they do not."""

from __future__ import annotations

import math

import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.tables import label_total
from deem_crowd.model.votes import diagonal
from deem_crowd.selection import one_sided
from deem_crowd.training.digamma import digamma_sum
from deem_crowd.training.dirichlet import fixed_point, log_marginal
from deem_crowd.training.habit_centre import evidence_without_knowledge

USUAL_SKILL = 0.7
"""Of a source of which nothing is known: the mean of the prior on accuracies."""
_LOOKS = 0.5
"""Probability that a worker looks at the tasks, before anything is known."""
_CONCENTRATIONS = tuple(4.0**j for j in range(1, 11))


def label_evidence(
    counts: torch.Tensor,
    states: torch.Tensor,
    entropy: float,
    pseudo_answers: torch.Tensor,
    prior_penalty: float,
) -> float:
    """Return a lower bound, in nats, of the log evidence of a model with a hidden label over one without.

    With the label, each worker's column of answers given a state is a draw from a Dirichlet with parameters α; the
    bound is the variational one at the given posterior, in which tables and class prior are integrated out
    (Attias, UAI 1999). Without it, a worker's answers are draws from one distribution of their own, under a Dirichlet
    whose parameters are fitted to all workers: that evidence is exact.

    Parameters
    ----------
    counts : float64, shape (D, K, S)
        Expected number of answers l of worker i in state h.
    states : float64, shape (S,)
        Expected number of tasks in each state.
    entropy : float
        Of the posterior of all tasks' states, in nats.
    pseudo_answers : shape (K, S)
        α.
    prior_penalty : float
        κ, the pseudo-tasks per state.
    """
    seen = counts.sum((1, 2)) > 0
    counts = counts[seen]
    kappa = torch.full_like(states, max(prior_penalty, 1e-3))
    with_label = float(log_marginal(counts, pseudo_answers).sum())
    with_label += float(log_marginal(states[None, :, None], kappa[:, None])) + entropy
    marginal = counts.sum(2, keepdim=True)
    alone = _fit_dirichlet(marginal)
    return with_label - float(log_marginal(marginal, alone).sum())


def evidence_without_label(design: DesignMatrix) -> tuple[float, float]:
    """Return the log evidence, in nats, of two models in which a worker's answers do not depend on the task.

    In both a worker's answers are draws from one distribution of its own under a Dirichlet prior. The first prior is
    fitted to all workers, and leaves each some freedom; the second may also be the shares of all answers with any
    concentration, up to workers that are all alike. A model whose bound is above the second evidence has found a
    label; otherwise pairs of workers have to be asked (:func:`deem_crowd.selection.rank_one.departure`).
    """
    counts = design.answers_named()[:, :, None]
    counts = counts[counts.sum((1, 2)) > 0]
    if not len(counts):
        return 0.0, 0.0
    fitted = float(log_marginal(counts, _fit_dirichlet(counts)).sum())
    shares = counts.sum(0) + 0.5
    alike = [
        float(log_marginal(counts, concentration * shares / shares.sum()).sum())
        for concentration in _CONCENTRATIONS
    ]
    return fitted, max(fitted, *alike)


def evidence_of_habits(design: DesignMatrix) -> float:
    """Return the log evidence, in nats, of workers who answer by habit and know nothing."""
    answers = design.answers_named()
    return evidence_without_knowledge(answers[answers.sum(1) > 0])


def gain_of_guessers(design: DesignMatrix, by_worker: torch.Tensor) -> float:
    """Return what a bound gains where each worker may as well answer without a look at the task, in nats.

    A worker looks with probability p = ½. With e_i the evidence of its answers under a model with a label and f_i
    without one, under the first prior of :func:`evidence_without_label`, its answers add
    log(p exp e_i + (1 − p) exp f_i) to the bound instead of e_i: a few good workers then show a label, however many
    guess.

    Parameters
    ----------
    design : DesignMatrix
        N tasks, D workers, K classes.
    by_worker : float64, shape (D,)
        e, in nats.
    """
    counts = design.answers_named()[:, :, None]
    seen = counts.sum((1, 2)) > 0
    if not bool(seen.any()):
        return 0.0
    counts, looking = counts[seen], by_worker[seen]
    guessing = log_marginal(counts, _fit_dirichlet(counts)).sum(1)
    either = torch.logaddexp(looking + math.log(_LOOKS), guessing + math.log(1 - _LOOKS))
    return float((either - looking).sum())


def prefers_no_label(
    design: DesignMatrix, states: torch.Tensor, pseudo_answers: torch.Tensor
) -> bool:
    """Tell whether the answers are explained as well without a hidden label; see :func:`label_evidence`."""
    counts = design.expected_counts(states).cpu()
    entropy = -float(design.total(torch.xlogy(states, states)).sum())
    expected = design.total(states)
    return label_evidence(counts, expected, entropy, pseudo_answers, 1.0) <= 0


def _fit_dirichlet(counts: torch.Tensor) -> torch.Tensor:
    """Return the Dirichlet, shape (K, 1), that makes the workers' counts, shape (D, K, 1), most likely."""
    alpha = counts.sum(0) / counts.sum().clamp_min(1) * counts.shape[1] + 0.5
    gained, lost = digamma_sum(counts), digamma_sum(label_total(counts))
    for _ in range(50):
        before, alpha = alpha, fixed_point(alpha, gained, lost, 1.0, 1.0).clamp(1e-3, 1e6)
        if (alpha / before).log().abs().max() < 1e-3:
            break
    return alpha


def pair_agreement(design: DesignMatrix) -> tuple[float, float, float]:
    """Return how often two answers to one task agree, how often by chance, and how many pairs there are.

    Two soft answers agree with the probability that draws from them do. Chance is what two answers to unrelated tasks
    would do.
    """
    votes = design.votes.to(torch.float64)
    sizes = votes.sum(1)
    pairs = float(design.total((sizes * (sizes - 1)).clamp_min(0))) / 2
    if pairs <= 0:
        return 0.0, 0.0, 0.0
    own = float(design.reduce(torch.tensor(design.squares, dtype=torch.float64)))
    agreeing = (float(design.total(votes * votes).sum()) - own) / 2  # no answer is its own partner
    given = design.total(votes)
    share = given / given.sum()
    return agreeing / pairs, float((share**2).sum()), pairs


def common_skill(design: DesignMatrix, n_subtypes: int, least: float = 0.0) -> Energy:
    """Return the energy in which all workers have one skill: majority vote with probabilities.

    The skill p is the one that explains how often two answers to a task agree beyond chance,
    ``p² + (1 − p)²/(K − 1)``, with one pair at chance added so that few answers claim little. Errors are even over the
    other classes. Where most sources speak for one class, a wrong answer can only name a class that sources speak for:
    with s = (K p − 1)/(K − 1), a source then gives the right answer with probability s, and else one drawn from the
    shares of all answers. So the word of a class that is named rarely counts more, and decides ties. How often such
    sources agree says little, as they do so on the classes that they share alone: the skill is :data:`USUAL_SKILL` at
    least. ``least`` is a lower bound of the skill of all others.
    """
    k = design.n_classes
    named = design.answers_named()
    told = one_sided.are_most(named)
    least = max(least, USUAL_SKILL) if told else least
    skill = max(skill_from_agreement(*pair_agreement(design), k), least)
    if not told:
        skills = torch.full((design.n_workers,), skill, dtype=torch.float64)
        return energy_of_skills(skills, skill, k, n_subtypes)
    given = named.sum(0) + 1
    knows = (k * skill - 1) / (k - 1)
    table = (diagonal(k, n_subtypes) * knows + (1 - knows) * (given / given.sum())[:, None]).log()
    return _even(table.expand(design.n_workers, *table.shape).clone(), table, n_subtypes)


def energy_of_skills(skills: torch.Tensor, unseen: float, k: int, n_subtypes: int = 1) -> Energy:
    """Return the energy of workers who are right with the given probabilities, float64, shape (D,).

    Errors are even over the other classes, and all of the K classes equally probable. ``unseen`` is the skill of
    workers who are not among the D.
    """
    right = diagonal(k, n_subtypes)
    each = torch.cat([skills, skills.new_tensor([unseen])])[:, None, None]
    wrong = (1 - each) / (k - 1) if k > 1 else 1.0
    tables = (right * each + (1 - right) * wrong).log()
    return _even(tables[:-1], tables[-1], n_subtypes)


def _even(weight: torch.Tensor, table: torch.Tensor, n_subtypes: int) -> Energy:
    """Return the energy of tables in which all states are equally probable."""
    n_states = table.shape[1]
    bias = torch.full((n_states,), -math.log(n_states), dtype=torch.float64)
    return Energy(bias, weight, table, n_subtypes)


def skill_from_agreement(agreed: float, chance: float, pairs: float, k: int) -> float:
    """Return the p with ``p² + (1 − p)²/(K − 1)`` as :func:`common_skill` has it; 1 for a single class."""
    beyond = max(0.0, (agreed - chance) / (1 - chance)) if chance < 1 else 1.0
    beyond *= pairs / (pairs + 1)
    if k < 2:
        return 1.0
    rate = beyond + (1 - beyond) / k
    skill = (1 + ((k - 1) * max(0.0, k * rate - 1)) ** 0.5) / k
    # never quite chance, so that the label is still the majority's, nor quite certain
    return float(min(max(skill, 1 / k + 1e-3), 1 - 1e-6))
