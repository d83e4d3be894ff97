"""What a fit warns of: what stands out among the answers, with names."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import processes
import pytest
from deem_crowd_benchmarks.sets import laws

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.exceptions import FindingsWarning
from deem_crowd.insight import findings
from deem_crowd.model.worker_tables import FullTables

pytestmark = pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")


def panel(seed: int = 5, n: int = 400, copies: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Answers of four independent judges of two classes and some near-copies of a weaker one, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=n)
    alone = [np.where(rng.random(n) < p, truth, 1 - truth) for p in (0.75, 0.7, 0.8, 0.75)]
    source = np.where(rng.random(n) < 0.62, truth, 1 - truth)
    near = [np.where(rng.random(n) < 0.05, rng.integers(2, size=n), source) for _ in range(copies)]
    return np.column_stack(alone + near), truth


def long(matrix: np.ndarray) -> pd.DataFrame:
    task, worker = np.nonzero(matrix >= 0)
    names = np.array([f"judge{i}" for i in range(matrix.shape[1])], dtype=object)
    return pd.DataFrame({"task": task, "worker": names[worker], "label": matrix[task, worker]})


def said(fit) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    return [str(w.message) for w in caught if w.category is FindingsWarning]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fit_names_the_judges_that_repeat_one_another(seed: int) -> None:
    matrix, truth = panel(seed)
    model = DEEMAggregator()
    (text,) = said(lambda: model.fit(long(matrix)))
    assert "Workers judge4, judge5, judge6 and judge7 repeat one another" in text
    assert text == " ".join(model.findings())
    assert (model.labels_.to_numpy() == truth).mean() > 0.8
    (by_number,) = said(lambda: DEEM().fit(matrix))
    assert "Workers 4, 5, 6 and 7 repeat one another" in by_number


@pytest.mark.parametrize("seed", range(12))
def test_half_a_panel_of_copies_is_never_silent(seed: int) -> None:
    # four copies of one weak judge among eight: where the labels follow them, confidence is 0.97 and accuracy 0.62
    matrix, _ = panel(seed)
    model = DEEM()
    (text,) = said(lambda: model.fit(matrix))
    assert text.startswith("Workers 4, 5, 6 and 7 ")
    if "The labels follow them" in text:
        agree = (matrix[:, 4:] == model.labels_[:, None]).mean()
        assert agree > (matrix[:, :4] == model.labels_[:, None]).mean()


def variants(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Answers of two good judges and of three variants of one weaker model, to three classes, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n)
    apart = [np.where(rng.random(n) < p, truth, rng.integers(3, size=n)) for p in (0.85, 0.82)]
    model = np.where(rng.random(n) < 0.7, truth, rng.integers(3, size=n))
    near = [np.where(rng.random(n) < 0.08, rng.integers(3, size=n), model) for _ in range(3)]
    return np.column_stack(apart + near), truth


@pytest.mark.parametrize("seed", range(6))
def test_two_judges_beside_three_variants_of_a_model_are_not_accused(seed: int) -> None:
    # the labels follow the variants, so that the two who know better agree more than their skills explain
    model = DEEM()
    (text,) = said(lambda: model.fit(variants(seed)[0]))
    assert text.startswith("Workers 2, 3 and 4 answer alike")
    assert "0 and 1" in text
    assert "repeat one another: they agree" not in text
    assert "groups=" in text


@pytest.mark.parametrize("seed", range(6))
def test_a_group_that_was_named_is_not_reported_and_accuses_nobody(seed: int) -> None:
    matrix, truth = variants(seed)
    model = DEEMAggregator(groups={"one model": ["judge2", "judge3", "judge4"]})
    assert not said(lambda: model.fit(long(matrix)))
    assert (model.labels_.to_numpy() == truth).mean() > 0.9
    assert model.agreement_["repeats"].loc[[("judge2", "judge3"), ("judge2", "judge4")]].all()
    assert not model.agreement_["repeats"].loc[[("judge0", "judge1")]].any()


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("skills", [(0.98,) * 4 + (0.7, 0.7, 0.75, 0.65), (0.97,) * 3 + (0.6,) * 5])
def test_experts_who_agree_by_skill_are_no_camp(skills: tuple[float, ...], k: int) -> None:
    rng = np.random.default_rng(k)
    truth = rng.integers(k, size=400)
    right = rng.random((400, len(skills))) < np.array(skills)
    wrong = (truth[:, None] + rng.integers(1, k, size=right.shape)) % k
    assert not said(lambda: DEEM().fit(np.where(right, truth[:, None], wrong)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("least", [0.9, 0.5])
def test_many_workers_who_share_few_tasks_are_no_camp(least: float, seed: int) -> None:
    # of 435 pairs a dozen share 20 tasks or more, and of these some agree on nearly all
    rng = np.random.default_rng(seed)
    n, k, d, each = 900, 298, 30, 4
    truth, skills = rng.integers(k, size=n), rng.uniform(least, 1, d)
    worker = np.argsort(rng.random((n, d)), axis=1)[:, :each]
    right = rng.random((n, each)) < skills[worker]
    label = np.where(right, truth[:, None], rng.integers(k, size=right.shape))
    columns = {"task": np.repeat(np.arange(n), each), "worker": worker.ravel()}
    model = DEEMAggregator()
    assert not said(lambda: model.fit(pd.DataFrame({**columns, "label": label.ravel()})))
    assert "! " not in model.summary()


def test_good_workers_who_agree_on_nearly_all_tasks_do_not_repeat_one_another() -> None:
    # a standard error at the share observed goes to 0 with full agreement: three panels of twenty were accused
    def accused(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        n, k, d, each = 300, 4, 8, 4
        truth, skills = rng.integers(k, size=n), rng.uniform(0.9, 0.99, d)
        matrix = np.where(
            rng.random((n, d)) < skills,
            truth[:, None],
            (truth[:, None] + rng.integers(1, k, size=(n, d))) % k,
        )
        matrix[np.argsort(np.argsort(rng.random((n, d))), axis=1) >= each] = -1
        return bool(said(lambda: DEEM().fit(matrix)))

    assert sum(map(accused, range(24))) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_said_of_workers_who_err_independently(seed: int) -> None:
    answers = laws.independent(seed).answers
    assert not said(lambda: DEEMAggregator().fit(answers))


def test_a_worker_who_swaps_labels_is_named_by_the_fit() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=400)
    right = rng.random((400, 5)) < 0.85
    matrix = np.where(right, truth[:, None], rng.integers(3, size=right.shape))
    matrix[:, 2] = np.array([1, 0, 2])[matrix[:, 2]]
    (text,) = said(lambda: DEEMAggregator().fit(long(matrix)))
    assert text.startswith("judge2 seems to have labels swapped: 0 for 1 and 1 for 0")


def test_gold_that_contradicts_a_skill_is_named_by_the_fit() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=600)
    right = rng.random((600, 6)) < 0.85
    right[:40, 0] = rng.random(40) < 0.3
    matrix = np.where(right, truth[:, None], 1 - truth[:, None])
    gold = pd.Series(truth[:40], index=np.arange(40))
    (text,) = said(lambda: DEEMAggregator().fit(long(matrix), gold))
    assert text.startswith("Gold contradicts the skill of judge0: 0.8")
    assert "judge1" not in text


@pytest.mark.parametrize("model", [DEEM(), DEEMAggregator()], ids=["DEEM", "DEEMAggregator"])
def test_where_the_warning_is_an_error_the_object_is_as_it_was(model) -> None:
    matrix, _ = panel()
    data = matrix if isinstance(model, DEEM) else long(matrix)
    less = data[: 300 * (1 if isinstance(model, DEEM) else 8)]
    before = dict(model.__dict__)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FindingsWarning)
        with pytest.raises(FindingsWarning):
            model.fit(data)
    assert model.__dict__ == before
    model.fit(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FindingsWarning)
        with pytest.raises(FindingsWarning):
            model.fit(less)
    assert len(model.labels_) == 400


def test_a_long_list_is_cut_and_says_where_the_rest_is(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [f"Sentence {i}." for i in range(5)]
    monkeypatch.setattr(findings, "of_fit", lambda *_: many)
    matrix, _ = panel()
    assert said(lambda: DEEM().fit(matrix)) == [
        "Sentence 0. Sentence 1. Sentence 2. findings() has 2 more."
    ]


@pytest.mark.parametrize("first_asked", [0, 1, 50])
def test_merged_classes_are_those_that_nobody_tells_apart(
    monkeypatch: pytest.MonkeyPatch, first_asked: int
) -> None:
    monkeypatch.setattr(findings, "_FIRST_ASKED", first_asked)
    rng = np.random.default_rng(0)
    tables = rng.dirichlet(np.ones(6), size=(9, 6)).transpose(0, 2, 1)
    tables[:, :, [1, 3]] = tables[:, :, [0, 2]]  # alike for all
    tables[:, :, 5] = tables[:, :, 4]
    tables[0, :, 5] = np.eye(6)[5]  # and for all but one
    worker = np.repeat(np.arange(8), 6)
    results = SimpleNamespace(
        answers=SimpleNamespace(worker=worker),
        hard_answer=np.tile(np.arange(6), 8),
        posterior=np.zeros((900, 6)),
        priors=np.full(6, 1 / 6),
        n_answers_of_worker=np.array([20, *range(100, 107), 0]),
        tables=FullTables(tables),
    )
    assert findings.merged_classes(results) == [(0, 1), (2, 3)]
    results.hard_answer = worker % 6  # labelling functions of one class each
    assert findings.merged_classes(results) == []


def test_a_fit_with_sparse_tables_makes_no_full_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(300, size=900)
    right = rng.random((900, 6)) < 0.8
    matrix = np.where(right, truth[:, None], rng.integers(300, size=right.shape))

    def refuse(_: object) -> None:
        raise AssertionError("full tables were made")

    monkeypatch.setattr(SparseModel, "full_confusion", refuse)
    assert not said(lambda: DEEMAggregator().fit(long(matrix)))


def test_plain_fits_do_not_count_pairs_and_findings_does() -> None:
    matrix, _ = panel()
    model = DEEM(auto_hyperparameters=False)
    assert not said(lambda: model.fit(matrix))
    assert "repeat one another" in " ".join(model.findings())


def test_the_shell_says_it_once(tmp_path: Path) -> None:
    matrix, _ = panel()
    long(matrix).to_csv(tmp_path / "answers.csv", index=False)
    command = ["-m", "deem_crowd.cli", "aggregate", "answers.csv", "-o", "o.csv"]
    done = processes.python(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("repeat one another") == 1
