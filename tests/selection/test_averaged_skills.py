"""Averaged skills of two classes: exact where answers make a tree, by enumeration; and what they are worth."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit, logit, logsumexp

from deem_crowd import DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataWarning
from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection import averaged_skills, candidates, select
from deem_crowd.selection.averaged_skills import Messages, Prior
from deem_crowd.selection.parts import Parts

WHO = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 2), (4, 0), (4, 4)]


def drawn(
    seed: int, n_tasks: int, of_task: int, of_worker: int, apart: bool, share: float = 0.5
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return answers of workers with skills Beta(4, 2), drawn for each class apart or not, and the truth."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(n_tasks) < share).astype(int)
    n = n_tasks * of_task
    n_workers = n // of_worker
    task, worker = np.repeat(np.arange(n_tasks), of_task), rng.permutation(np.arange(n) % n_workers)
    skill = rng.beta(4, 2, (n_workers, 2))
    if not apart:
        skill[:, 1] = skill[:, 0]
    right = rng.random(n) < skill[worker, truth[task]]
    frame = pd.DataFrame(
        {"task": task, "worker": worker, "label": np.where(right, truth[task], 1 - truth[task])}
    )
    return frame.drop_duplicates(["task", "worker"]), truth


def laid_out(frame: pd.DataFrame) -> tuple[Answers, DesignMatrix]:
    answers = Answers.from_frame(frame)
    return answers, DesignMatrix(answers, torch.device("cpu"), torch.float64)


def right_share(labels: pd.Series, truth: np.ndarray) -> float:
    return float((labels.to_numpy() == truth[labels.index]).mean())


def vote_share(frame: pd.DataFrame, truth: np.ndarray) -> float:
    """Return the share of tasks that most answers name rightly; ties count half."""
    for_one = frame.groupby("task")["label"].mean()
    won = np.sign(for_one.to_numpy() - 0.5) * (2 * truth[for_one.index] - 1)
    return float(((won + 1) / 2).mean())


def weights(model: DEEMAggregator) -> dict[str, float]:
    """Return what each candidate counts."""
    chosen = model.selection_
    assert chosen is not None
    return dict(zip(chosen["candidate"].tolist(), chosen["weight"].tolist(), strict=True))


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_messages_are_exact_where_answers_make_a_tree(apart: bool, seed: int) -> None:
    label = np.random.default_rng(seed).integers(2, size=len(WHO))
    label[:2] = 0, 1  # both classes are named
    frame = pd.DataFrame(
        [(t, w, x) for (t, w), x in zip(WHO, label, strict=True)],
        columns=["task", "worker", "label"],
    )
    answers, design = laid_out(frame)
    messages = Messages(answers, design, apart)
    place = np.array([logit(0.6), logit(0.8), np.log(5.0)] if apart else [logit(0.7), np.log(5.0)])
    messages.prior = Prior(place, 0.3)
    found = messages.settled(learned=False)

    zero, one, mass = messages._zero, messages._one, messages.masses(place)
    joint, means = [], []
    for labels in itertools.product(range(2), repeat=5):
        said = np.zeros((5, len(mass)))
        for (t, w), x in zip(WHO, label, strict=True):
            skill = one if labels[t] else zero
            said[w] += np.log(skill if labels[t] == x else 1 - skill)
        said += np.log(mass)
        share = np.exp(said - logsumexp(said, axis=1, keepdims=True))
        joint.append(logsumexp(said, axis=1).sum() + np.log(np.where(labels, 0.3, 0.7)).sum())
        means.append(np.stack([share @ zero, share @ one], 1))
    probability = np.exp(np.array(joint) - logsumexp(joint))
    assert found.bound == pytest.approx(logsumexp(joint), abs=1e-6)
    tables = found.energy.weight.exp().numpy()
    expected = np.tensordot(probability, np.array(means), 1)
    assert np.stack([tables[:, 0, 0], tables[:, 1, 1]], 1) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("apart", "share"), [(False, 0.5), (False, 0.2), (True, 0.5), (True, 0.3)])
def test_the_prior_is_found(apart: bool, share: float) -> None:
    frame, _ = drawn(1, 4000, 5, 40 if apart else 10, apart, share)
    answers, design = laid_out(frame)
    found = averaged_skills.find(answers, design)
    assert found is not None
    name, member = found
    assert name == (candidates.AVERAGED_BY_CLASS if apart else candidates.AVERAGED)
    alpha = member.pseudo_answers.numpy()
    right = np.diag(alpha) if apart else alpha[:1]
    assert right / alpha.sum(0) == pytest.approx(2 / 3, abs=0.05)
    assert (np.abs(np.log(alpha.sum(0) / 6)) < np.log(2)).all()
    # of skills that differ by class the share is known less well, and passes do not wait for it
    near = 0.1 if apart else 0.05
    assert member.energy.bias.exp().numpy()[1] == pytest.approx(share, abs=near)


@pytest.mark.parametrize("seed", [4, 10, 13])
def test_few_answers_a_worker_do_not_give_one_class_all_tasks(seed: int) -> None:
    """Of fourteen draws these are the three in which tables take most tasks for one class."""
    frame, truth = drawn(seed, 1333, 3, 20, apart=True)
    answers, design = laid_out(frame)
    tables = select.select(answers, design, parts=Parts(averaged=False)).posterior
    assert tables is not None
    before = pd.Series(tables.argmax(1).numpy(), index=answers.tasks)
    votes = vote_share(frame, truth)
    assert right_share(before, truth) < votes - 0.05
    model = DEEMAggregator().fit(frame)
    assert weights(model)[candidates.AVERAGED_BY_CLASS] > 0
    assert right_share(model.labels_, truth) > votes - 0.01


@pytest.mark.parametrize(("of_task", "of_worker"), [(3, 20), (5, 20)])
def test_where_skills_differ_labels_are_better_than_those_of_the_votes(
    of_task: int, of_worker: int
) -> None:
    frame, truth = drawn(5, 4000, of_task, of_worker, apart=False)
    model = DEEMAggregator().fit(frame)
    assert right_share(model.labels_, truth) > vote_share(frame, truth) + 0.03
    assert weights(model)[candidates.AVERAGED] > 0.5
    assert model.skills_.notna().all()


def test_labels_follow_answers_in_any_order_and_under_other_names() -> None:
    frame, _ = drawn(4, 1333, 3, 20, apart=True)
    model = DEEMAggregator().fit(frame)
    assert weights(model)[candidates.AVERAGED_BY_CLASS] > 0
    mixed = DEEMAggregator().fit(frame.sample(frac=1, random_state=0)).probas_
    pd.testing.assert_frame_equal(
        mixed.loc[model.probas_.index], model.probas_, atol=1e-7, check_like=True
    )
    renamed = DEEMAggregator().fit(frame.assign(label=np.where(frame["label"] == 0, "b", "a")))
    assert renamed.probas_["b"].to_numpy() == pytest.approx(model.probas_[0].to_numpy(), abs=1e-7)


def test_many_answers_are_gone_through_in_pieces_and_single_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers, design = laid_out(drawn(2, 600, 3, 12, apart=True)[0])
    whole = Messages(answers, design, apart=True).settled()
    monkeypatch.setattr(averaged_skills, "_PIECE", 640)
    pieces = Messages(answers, design, apart=True)
    assert len(pieces._blocks) > 20
    assert pieces.settled().bound == pytest.approx(whole.bound, abs=1e-9)
    monkeypatch.setattr(averaged_skills, "_FEW", 0)
    single = Messages(answers, design, apart=True).settled()
    assert single.bound == pytest.approx(whole.bound, abs=1e-2)
    assert single.states.numpy() == pytest.approx(whole.states.numpy(), abs=1e-3)


@pytest.mark.parametrize("apart", [False, True])
def test_somebody_whom_the_prior_does_not_expect_is_read_in_single_precision(
    apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 200)
    right = rng.random((400, 6)) < [0.9, 0.9, 0.9, 0.9, 0.9, 0.2]
    dense = np.where(right, truth[:, None], 1 - truth[:, None])
    answers = Answers.from_dense(dense, 2)
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    place = np.array([logit(0.9)] * (2 if apart else 1) + [np.log(300.0)])
    found = []
    for few in (averaged_skills._FEW, 0):
        monkeypatch.setattr(averaged_skills, "_FEW", few)
        messages = Messages(answers, design, apart)
        messages.prior = Prior(place, 0.5)
        found.append(messages.settled(learned=False))
    double, single = (one.energy.weight.exp().numpy() for one in found)
    assert single == pytest.approx(double, abs=1e-3)
    assert np.isfinite(found[1].bound)
    assert found[1].states.numpy() == pytest.approx(found[0].states.numpy(), abs=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_a_saved_model_comes_back(tmp_path: Path, seed: int) -> None:
    """What two voices count may round to more than one in all, which files do not hold."""
    frame, _ = drawn(seed, 200, 5, 20, apart=True)
    model = DEEMAggregator().fit(frame)
    model.save(tmp_path / "model")
    back = DEEMAggregator.load(tmp_path / "model.safetensors")
    pd.testing.assert_frame_equal(back.predict_proba(frame), model.predict_proba(frame))


def test_where_skills_are_not_averaged() -> None:
    frame, _ = drawn(0, 300, 3, 10, apart=True)
    assert averaged_skills.find(*laid_out(frame)) is not None
    three = frame.assign(label=frame["label"].where(frame["task"] % 3 > 0, 2))
    assert averaged_skills.find(*laid_out(three)) is None
    many, _ = drawn(0, 600, 3, 2 * averaged_skills.MOST_ANSWERS, apart=True)
    assert averaged_skills.find(*laid_out(many)) is None


def test_tasks_and_workers_without_answers_change_nothing() -> None:
    frame, _ = drawn(4, 400, 5, 20, apart=True)
    dense = Answers.from_frame(frame).dense()
    empty = np.full((len(dense) + 200, dense.shape[1] + 1), -1)
    empty[: len(dense), :-1] = dense
    with pytest.warns(DataWarning):
        answers = Answers.from_dense(empty, 2)
    whole = Messages(*laid_out(frame), apart=True)
    more = Messages(answers, DesignMatrix(answers, torch.device("cpu"), torch.float64), apart=True)
    one, two = whole.settled(), more.settled()
    assert two.bound == pytest.approx(one.bound, abs=1e-8)
    assert more.prior.share == pytest.approx(whole.prior.share, abs=1e-9)
    assert two.states[: len(dense)].numpy() == pytest.approx(one.states.numpy(), abs=1e-8)


def test_priors_next_to_what_is_not_allowed_are_left_in_that_direction() -> None:
    """Skills that hardly exceed one half: a step beyond is no number, and the climb ended nowhere."""
    frame, _ = drawn(0, 600, 3, 12, apart=False)
    messages = Messages(*laid_out(frame), apart=False)
    messages.prior = Prior(np.array([logit(0.56), np.log(5.0)]), 0.5)
    assert np.isfinite(messages.settled().bound)


@pytest.mark.parametrize("seed", range(3))
def test_a_class_too_rare_to_be_averaged_over_is_left_to_tables(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = (rng.random(4000) < 0.005).astype(int)
    task = np.repeat(np.arange(4000), 5)
    worker = rng.permutation(np.arange(20_000) % 666)
    skill = np.stack([rng.beta(60, 2, 666), rng.beta(6, 3, 666)], 1)
    right = rng.random(20_000) < skill[worker, truth[task]]
    label = np.where(right, truth[task], 1 - truth[task])
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    assert averaged_skills.find(*laid_out(frame.drop_duplicates(["task", "worker"]))) is None


@pytest.mark.parametrize("apart", [False, True])
def test_a_few_more_answers_move_means_of_skills(apart: bool) -> None:
    frame, truth = drawn(3, 4000, 5, 20, apart, 0.3)
    mixed = frame.sample(frac=1, random_state=0)
    n_later = len(mixed) // 100
    model = DEEMAggregator()
    model.partial_fit(mixed.iloc[n_later:])
    shares = model.priors_.copy()
    model.partial_fit(mixed.iloc[:1])
    # passes end before shares of classes are those of an M-step, which would be 0.006 to 0.01 from there
    assert (model.priors_ - shares).abs().max() < 1e-3
    model.partial_fit(mixed.iloc[1:n_later])
    name = candidates.AVERAGED_BY_CLASS if apart else candidates.AVERAGED
    assert weights(model)[name] > 0
    assert model.update_.startswith("tables of")
    whole = DEEMAggregator().fit(frame)
    labels = model.labels_.loc[whole.labels_.index]
    assert (labels == whole.labels_).mean() > 0.99
    assert right_share(labels, truth) > right_share(whole.labels_, truth) - 0.004
    moved = (model.skills_ - whole.skills_).abs()
    assert moved.mean() < 0.01


def test_many_more_answers_are_averaged_anew() -> None:
    frame, _ = drawn(4, 1333, 3, 20, apart=True)
    model = DEEMAggregator()
    model.partial_fit(frame.iloc[:3500])
    model.partial_fit(frame.iloc[3500:])
    assert weights(model)[candidates.AVERAGED_BY_CLASS] > 0
    whole = DEEMAggregator().fit(frame)
    pd.testing.assert_frame_equal(model.probas_.loc[whole.probas_.index], whole.probas_, atol=1e-6)


def test_means_of_skills_stay_within_their_prior() -> None:
    """A worker of whom one answer is known is near the mean of all."""
    answers, design = laid_out(drawn(6, 2000, 5, 10, apart=False)[0])
    _, member = averaged_skills.find(answers, design) or ("", None)
    assert member is not None
    skill = member.energy.weight.exp().numpy()[:, 0, 0]
    alpha = member.pseudo_answers.numpy()
    spread = np.sqrt(np.prod(alpha / alpha.sum()) / (alpha.sum() + 1))
    assert 0 < skill.std() < spread
    assert expit(logit(skill).mean()) == pytest.approx(alpha[0] / alpha.sum(), abs=0.05)
