"""Label sets of known law that are like what labelling functions, panels of language models and raters give.

As in :mod:`deem_crowd_benchmarks.sets.laws`, each function draws one label set from a seed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd_benchmarks.sets import laws
from deem_crowd_benchmarks.sets.label_set import LabelSet, numbered

Labels = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


# -------------------------------------------------------------------------------- labelling functions


def unipolar(seed: int, n_tasks: int = 2000) -> LabelSet:
    """Twenty labelling functions, K = 2, each for one class: it speaks of a task or abstains.

    Precision U(0.6, 0.95), coverage U(0.03, 0.3); given the class, functions speak independently. The class-conditional
    rule of Ratner et al., *Data Programming*, NeurIPS 2016.
    """
    rng = np.random.default_rng(seed)
    truth = rng.choice(2, n_tasks, p=rng.dirichlet([5.0, 5.0]))
    return _weak("unipolar", _one_sided(rng, truth, 2, 20), truth)


def unipolar_four(seed: int, n_tasks: int = 2000) -> LabelSet:
    """The law of :func:`unipolar` with K = 4."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(4, n_tasks, p=rng.dirichlet([5.0] * 4))
    return _weak("unipolar-four", _one_sided(rng, truth, 4, 20), truth)


def synonyms(seed: int, n_tasks: int = 2000) -> LabelSet:
    """Twenty labelling functions, K = 2, that share keywords: ten keywords, two functions for each.

    A function speaks where its keyword stands, with probability 0.8, and for its keyword's class; keywords are as the
    functions of :func:`unipolar`. Dependence as between the functions of WRENCH (Zhang et al., NeurIPS 2021).
    """
    rng = np.random.default_rng(seed)
    truth = rng.choice(2, n_tasks, p=rng.dirichlet([5.0, 5.0]))
    keywords = _one_sided(rng, truth, 2, 10)
    said = [np.where(rng.random(n_tasks) < 0.8, keyword, -1) for keyword in keywords for _ in "ab"]
    return _weak("synonyms", said, truth)


def rules(seed: int, n_tasks: int = 2000) -> LabelSet:
    """Twelve rules, K = 3, that may name any class: accuracy U(0.5, 0.9), coverage U(0.1, 0.6), even errors."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n_tasks, p=rng.dirichlet([5.0] * 3))
    said = []
    for _ in range(12):
        right = rng.random(n_tasks) < rng.uniform(0.5, 0.9)
        answer = np.where(right, truth, (truth + rng.integers(1, 3, n_tasks)) % 3)
        said.append(np.where(rng.random(n_tasks) < rng.uniform(0.1, 0.6), answer, -1))
    return _weak("rules", said, truth)


# ----------------------------------------------------------------------------------------- judges


def family(seed: int, n_tasks: int = 300) -> LabelSet:
    """Nine judges of pairs, K = 2: four prompts of one model share its verdict, and five are models of their own.

    The model is right in 60 %; a prompt repeats it with probability 0.85, else judges anew. The five are right in
    U(0.65, 0.8).
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=n_tasks)
    model = _judged(rng, truth, np.full(n_tasks, 0.6))
    said = [
        np.where(rng.random(n_tasks) < 0.85, model, _judged(rng, truth, np.full(n_tasks, 0.6)))
        for _ in range(4)
    ]
    said += [_judged(rng, truth, np.full(n_tasks, rng.uniform(0.65, 0.8))) for _ in range(5)]
    return laws._dense("family", said, truth)


def variants(seed: int, n_tasks: int = 400) -> LabelSet:
    """Eight judges, K = 3: three variants of one model, which is as good as the five others.

    A variant repeats the model with probability 0.85, else judges anew. Judges are right in U(0.6, 0.8), with even
    errors.
    """
    rng = np.random.default_rng(seed)
    truth, skill = rng.integers(3, size=n_tasks), rng.uniform(0.6, 0.8, 6)
    free = [_judged(rng, truth, np.full(n_tasks, a), 3) for a in skill[[0, 0, 0, *range(6)]]]
    said = [np.where(rng.random(n_tasks) < 0.85, free[3], one) for one in free[:3]]
    return laws._dense("variants", said + free[4:], truth)


def strong_few(seed: int, n_tasks: int = 400) -> LabelSet:
    """Eight judges, K = 3: three that are right in U(0.9, 0.97), and five in U(0.6, 0.75) that share a weakness.

    On two items in ten one wrong answer tempts the five, who give it with probability 0.6 there.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n_tasks)
    trap, bait = rng.random(n_tasks) < 0.2, (truth + rng.integers(1, 3, n_tasks)) % 3
    skill = [*rng.uniform(0.9, 0.97, 3), *rng.uniform(0.6, 0.75, 5)]
    said = [_judged(rng, truth, np.full(n_tasks, a), 3) for a in skill]
    weak = [np.where(trap & (rng.random(n_tasks) < 0.6), bait, one) for one in said[3:]]
    return laws._dense("strong-few", said[:3] + weak, truth)


def repeated(seed: int, n_tasks: int = 300) -> LabelSet:
    """Four models that are each asked six times, K = 4: 24 judges, of whom the answers of a model are like draws.

    A model's answer has probability ∝ exp(2 z_k) of class k, with z ~ N(0, 1), and U(0.5, 2) more for the true one.
    """
    rng = np.random.default_rng(seed)
    truth, said = rng.integers(4, size=n_tasks), []
    for _ in range(4):
        z = rng.normal(size=(n_tasks, 4))
        z[np.arange(n_tasks), truth] += rng.uniform(0.5, 2)
        up_to = np.exp(2 * z).cumsum(1)
        said += [(up_to < rng.random((n_tasks, 1)) * up_to[:, -1:]).sum(1) for _ in range(6)]
    return laws._dense("repeated", said, truth)


def hard_items(seed: int, n_tasks: int = 500) -> LabelSet:
    """Nine judges, K = 3, and items that are hard for all of them: P(right) = σ(a_i − d_n).

    a_i ~ N(0.8, 0.5), d_n ~ N(0, 1.5); even errors. The Rasch model with guessing left out.
    """
    rng = np.random.default_rng(seed)
    truth, difficulty = rng.integers(3, size=n_tasks), rng.normal(0, 1.5, n_tasks)
    said = [
        _judged(rng, truth, 1 / (1 + np.exp(difficulty - rng.normal(0.8, 0.5))), 3)
        for _ in range(9)
    ]
    return laws._dense("hard-items", said, truth)


def tempting(seed: int, n_tasks: int = 500) -> LabelSet:
    """Nine judges, K = 4: three items in ten have one wrong answer that all find tempting.

    On those a judge gives it with probability U(0.3, 0.6); elsewhere, and else, a judge is right in U(0.6, 0.85), with
    even errors.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=n_tasks)
    trap, bait = rng.random(n_tasks) < 0.3, (truth + rng.integers(1, 4, n_tasks)) % 4
    said = []
    for _ in range(9):
        free = _judged(rng, truth, np.full(n_tasks, rng.uniform(0.6, 0.85)), 4)
        said.append(np.where(trap & (rng.random(n_tasks) < rng.uniform(0.3, 0.6)), bait, free))
    return laws._dense("tempting", said, truth)


def few_judges(seed: int, n_tasks: int = 300) -> LabelSet:
    """Seven judges of whom each sees three items in ten, K = 10, skills Beta(4, 3), even errors."""
    rng = np.random.default_rng(seed)
    return laws._sparse("few-judges", rng, n_tasks, 10, 3, rng.beta(4, 3, 7))


# --------------------------------------------------------------------------------------- ordered classes


def ratings(seed: int, n_tasks: int = 800) -> LabelSet:
    """Forty raters of whom four rate each item, K = 5: the true level, a bias and noise of the rater's, rounded.

    Bias N(0, 0.5²), standard deviation of the noise U(0.4, 1.3), levels as frequent as a Dirichlet(5, …) draw.
    """
    rng = np.random.default_rng(seed)
    truth = rng.choice(5, n_tasks, p=rng.dirichlet([5.0] * 5))
    asked = np.argsort(rng.random((n_tasks, 40)), axis=1)[:, :4]
    return _rated("ratings", rng, truth, asked, 5, 0.5, (0.4, 1.3))


def stars(seed: int, n_tasks: int = 500) -> LabelSet:
    """Six raters who rate every item, K = 7: as :func:`ratings`, with bias N(0, 0.8²) and noise U(0.6, 1.6)."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(7, n_tasks, p=rng.dirichlet([5.0] * 7))
    asked = np.tile(np.arange(6), (n_tasks, 1))
    return _rated("stars", rng, truth, asked, 7, 0.8, (0.6, 1.6))


# ------------------------------------------------------------------------------------------ rare classes


def moderation(seed: int, n_tasks: int = 10_000) -> LabelSet:
    """Fifty moderators, three of whom see each item, K = 2, one item in a hundred bad.

    A moderator sees U(0.6, 0.8) of the bad ones, and takes U(0.005, 0.03) of the others for bad.
    """
    return _screened("moderation", seed, n_tasks, 0.01, 50, (0.6, 0.8), (0.005, 0.03))


def needles(seed: int, n_tasks: int = 20_000) -> LabelSet:
    """As :func:`moderation`, three items in a thousand bad, and U(0.001, 0.01) of the others taken for bad."""
    return _screened("needles", seed, n_tasks, 0.003, 50, (0.6, 0.8), (0.001, 0.01))


def screening(seed: int, n_tasks: int = 2000) -> LabelSet:
    """As :func:`moderation`, twenty readers, one item in twenty bad, U(0.05, 0.15) of the others taken for bad."""
    return _screened("screening", seed, n_tasks, 0.05, 20, (0.6, 0.8), (0.05, 0.15))


def false_alarms(seed: int, n_tasks: int = 5000) -> LabelSet:
    """As :func:`moderation`, thirty readers, one item in fifty bad, of which they see U(0.5, 0.7).

    They take U(0.02, 0.08) of the others for bad, so that most answers that name the rare class are wrong.
    """
    return _screened("false-alarms", seed, n_tasks, 0.02, 30, (0.5, 0.7), (0.02, 0.08))


WEAK = laws.by_name(unipolar, unipolar_four, synonyms, rules)
JUDGES = laws.by_name(family, variants, strong_few, repeated, hard_items, tempting, few_judges)
ORDERED = laws.by_name(ratings, stars)
RARE = laws.by_name(moderation, needles, screening, false_alarms)


def _screened(
    name: str,
    seed: int,
    n_tasks: int,
    share: float,
    n_workers: int,
    sees: tuple[float, float],
    alarms: tuple[float, float],
) -> LabelSet:
    """Draw three answers a task of workers who each see a share of the bad ones, and give a share of false alarms."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(n_tasks) < share).astype(np.int64)
    worker = np.argsort(rng.random((n_tasks, n_workers)), axis=1)[:, :3].ravel()
    task = np.repeat(np.arange(n_tasks), 3)
    seen, alarmed = rng.uniform(*sees, n_workers)[worker], rng.uniform(*alarms, n_workers)[worker]
    said = rng.random(len(task)) < np.where(truth[task] == 1, seen, alarmed)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": said.astype(np.int64)})
    return LabelSet(name, frame, numbered(truth), "law")


def _one_sided(
    rng: np.random.Generator, truth: Labels, n_classes: int, n_functions: int
) -> list[Labels]:
    """Draw what functions for one class each say, −1 where they abstain."""
    shares = np.bincount(truth, minlength=n_classes) / len(truth)
    said = []
    for j in range(n_functions):
        own = j % n_classes
        precision, coverage = rng.uniform(0.6, 0.95), rng.uniform(0.03, 0.3)
        here = precision * coverage / max(shares[own], 1e-9)
        elsewhere = (1 - precision) * coverage / max(1 - shares[own], 1e-9)
        speaks = rng.random(len(truth)) < np.where(truth == own, here, elsewhere)
        said.append(np.where(speaks, own, -1))
    return said


def _judged(rng: np.random.Generator, truth: Labels, right: Numbers, n_classes: int = 2) -> Labels:
    """Draw answers that are right with the probabilities ``right``, shape (N,), and err evenly."""
    wrong = (truth + rng.integers(1, n_classes, len(truth))) % n_classes
    return np.where(rng.random(len(truth)) < right, truth, wrong)


def _rated(
    name: str,
    rng: np.random.Generator,
    truth: Labels,
    asked: Labels,
    n_classes: int,
    bias: float,
    noise: tuple[float, float],
) -> LabelSet:
    """Draw ratings by the raters asked, shape (N, M): what they see, with bias and noise, is rounded to a level."""
    n_raters = int(asked.max()) + 1
    biases, scales = rng.normal(0, bias, n_raters), rng.uniform(*noise, n_raters)
    seen = truth[:, None] + biases[asked] + scales[asked] * rng.normal(size=asked.shape)
    said = np.clip(np.rint(seen), 0, n_classes - 1).astype(np.int64)
    task = np.repeat(np.arange(len(truth)), asked.shape[1])
    frame = pd.DataFrame({"task": task, "worker": asked.ravel(), "label": said.ravel()})
    return LabelSet(name, frame, numbered(truth), "law")


def _weak(name: str, said: list[Labels], truth: Labels) -> LabelSet:
    """Return a label set without the answers that are −1; tasks of which nobody speaks have no gold to score."""
    table = np.stack(said, axis=1)
    task, worker = np.nonzero(table >= 0)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": table[task, worker]})
    spoken_of = np.flatnonzero((table >= 0).any(1))
    return LabelSet(name, frame, numbered(truth).iloc[spoken_of], "law")
