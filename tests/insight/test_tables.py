"""Tables of fitted objects against pandas and against planted copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from deem_crowd import DEEM, Answers, DataError, DataWarning, DEEMAggregator
from deem_crowd.insight import contested, findings, pairs, tables
from deem_crowd.insight.results import results_of
from deem_crowd.model.worker_tables import FullTables

pytestmark = pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")


def crowd(n: int = 300, skills=(0.9, 0.8, 0.7, 0.7, 0.6, 0.5), k: int = 3, seed: int = 0):
    """Answers of independent workers (N, D), and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    right = rng.random((n, len(skills))) < np.array(skills)
    wrong = (truth[:, None] + rng.integers(1, k, size=right.shape)) % k
    return np.where(right, truth[:, None], wrong), truth


def long(matrix: np.ndarray) -> pd.DataFrame:
    task, worker = np.nonzero(matrix >= 0)
    names = np.array([f"w{i}" for i in range(matrix.shape[1])], dtype=object)
    label = np.array(list("abcdefgh"), dtype=object)[matrix[task, worker]]
    ids = np.array([f"t{n}" for n in range(len(matrix))], dtype=object)
    return pd.DataFrame({"task": ids[task], "worker": names[worker], "label": label})


@pytest.fixture(scope="module")
def sparse_crowd():
    matrix, _ = crowd()
    holes = np.random.default_rng(1).random(matrix.shape) < 0.4
    df = long(np.where(holes, -1, matrix))
    return df, DEEMAggregator().fit(df)


def test_tasks_by_pandas(sparse_crowd) -> None:
    df, agg = sparse_crowd
    table = agg.tasks_
    assert (table.index == agg.labels_.index).all()
    assert (table["label"].to_numpy() == agg.labels_.to_numpy()).all()
    ordered = np.sort(agg.probas_.to_numpy(), axis=1)
    assert table["second_probability"].to_numpy() == pytest.approx(ordered[:, -2])
    for task, row in table.iterrows():
        probabilities = agg.probas_.loc[task]
        assert row["confidence"] == pytest.approx(probabilities[row["label"]])
        assert row["second"] != row["label"]
        assert row["second_probability"] == pytest.approx(probabilities[row["second"]])
    labelled = df.assign(same=df["label"] == df["task"].map(agg.labels_))
    shares = labelled.groupby("task")["same"].agg(["size", "mean"]).reindex(table.index)
    assert (table["answers"] == shares["size"]).all()
    assert table["agreement"].to_numpy() == pytest.approx(shares["mean"].to_numpy())
    p = agg.probas_.to_numpy()
    expected = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)
    assert table["entropy"].to_numpy() == pytest.approx(expected)


def test_workers_by_pandas(sparse_crowd) -> None:
    df, agg = sparse_crowd
    table = agg.workers_
    assert table["skill"].to_numpy() == pytest.approx(agg.skills_.to_numpy())
    assert (table[["low", "high"]].to_numpy() == agg.skill_intervals_.to_numpy()).all()
    consensus = df["task"].map(agg.labels_)
    for worker, row in table.iterrows():
        mine = df["worker"] == worker
        assert row["answers"] == mine.sum()
        assert row["coverage"] == pytest.approx(mine.sum() / df["task"].nunique())
        assert row["agreement"] == pytest.approx((df["label"] == consensus)[mine].mean())
        wrong = mine & (df["label"] != consensus)
        counts = pd.crosstab(consensus[wrong], df["label"][wrong])
        assert row["confusions"] == counts.to_numpy().max()
        assert counts.loc[row["confused_label"], row["confused_answer"]] == row["confusions"]


def test_both_classes_and_a_loaded_model_say_the_same(tmp_path) -> None:
    matrix, _ = crowd()
    model = DEEM().fit(matrix)
    table = model.tasks_
    labels, posterior = model.predict(matrix, return_probs=True)
    assert (table["label"] == labels).all()
    assert table["confidence"].to_numpy() == pytest.approx(posterior.max(axis=1))
    model.save(tmp_path / "model")
    loaded = DEEM.load(tmp_path / "model")
    assert not hasattr(loaded, "tasks_")
    with pytest.raises(DataError, match="answers=df"):
        tables.workers(loaded)
    pd.testing.assert_frame_equal(tables.tasks(loaded, answers=matrix), table)
    agg = DEEMAggregator().fit(long(matrix))
    agg.save(tmp_path / "frames")
    again = DEEMAggregator.load(tmp_path / "frames")
    shuffled = long(matrix).sample(frac=1, random_state=0)
    found = tables.workers(again, answers=shuffled)
    pd.testing.assert_frame_equal(found, agg.workers_, check_dtype=False)


def test_answers_given_to_a_deem_go_by_worker_and_by_own_name(tmp_path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=(60, 1))
    matrix = np.where(rng.random((60, 4)) < [0.9, 0.8, 0.7, 0.6], truth, (truth + 1) % 3)
    own = DEEM(label_names="own").fit((matrix + np.arange(4)) % 3)
    found = tables.workers(own, answers=(matrix + np.arange(4)) % 3)
    pd.testing.assert_frame_equal(found, own.workers_)
    read = Answers.from_dense(matrix, workers=pd.Index(list("abcd")))
    model = DEEM().fit(read)
    turned = read.select(workers=(np.arange(4)[::-1], read.workers[::-1]))
    pd.testing.assert_frame_equal(tables.workers(model, answers=turned), model.workers_)
    frame = pd.DataFrame(matrix, columns=list("abcd"))
    model.fit(frame).save(tmp_path / "model")
    for one in (model, DEEM.load(tmp_path / "model")):
        found = tables.workers(one, answers=frame[list("dbca")])
        pd.testing.assert_frame_equal(found, model.workers_, check_names=False)
    model.fit(read)
    strange = read.select(workers=(np.arange(4), pd.Index(list("abcz"))))
    with pytest.warns(DataWarning), pytest.raises(DataError, match="1 worker that .*: 'z'"):
        tables.workers(model, answers=strange)


def test_answers_of_somebody_else_are_refused(sparse_crowd) -> None:
    df, agg = sparse_crowd
    for column in ("task", "worker", "label"):
        other = df.copy()
        other.loc[0, column] = "a stranger"
        with pytest.raises(DataError, match="a stranger"):
            tables.tasks(agg, answers=other)


def test_partial_fit_has_tables_of_all_answers() -> None:
    df = long(crowd()[0])
    agg = DEEMAggregator().partial_fit(df[:900]).partial_fit(df[900:])
    assert agg.workers_["answers"].sum() == len(df)
    assert len(agg.tasks_) == df["task"].nunique()


def test_known_labels_are_certain_in_the_tables() -> None:
    matrix, truth = crowd(skills=(0.6, 0.5, 0.5))
    gold = np.where(np.arange(len(truth)) < 40, truth, -1)
    model = DEEM().fit(matrix, gold=gold)
    table = model.tasks_[:40]
    assert (table["label"] == truth[:40]).all()
    assert (table["confidence"] == 1).all()
    assert not model.contested_[:40].any()


@pytest.mark.parametrize("seed", range(3))
def test_independent_workers_are_all_counted(seed) -> None:
    skills = (0.9, 0.8, 0.8, 0.7, 0.7, 0.6, 0.6, 0.5)
    model = DEEM().fit(crowd(1000, skills, seed=seed)[0])
    assert not model.agreement_["repeats"].any()
    assert model.effective_sources_ == pytest.approx(8, abs=0.3)
    assert findings.findings(model) == []


def test_copies_are_named_and_count_as_one() -> None:
    matrix, _ = crowd(600, (0.8, 0.75, 0.75, 0.7, 0.65, 0.6))
    rng = np.random.default_rng(5)
    source = matrix[:, 5]
    copies = [np.where(rng.random(600) < 0.05, rng.integers(3, size=600), source) for _ in range(3)]
    df = long(np.column_stack([matrix, *copies]))
    agg = DEEMAggregator().fit(df)
    table = agg.agreement_
    repeating = {frozenset(pair) for pair in table.index[table["repeats"]]}
    clique = ["w5", "w6", "w7", "w8"]
    assert repeating == {frozenset((a, b)) for a in clique for b in clique if a < b}
    assert table["excess"].iloc[0] > 0.7
    # Kish for five independent sources and four exact copies is 81 / (9 + 12)
    assert 81 / 21 - 0.2 < agg.effective_sources_ < 5.5
    (sentence,) = findings.findings(agg)
    assert all(name in sentence for name in clique)
    assert "w4" not in sentence


def test_kish_formula_on_exact_copies_and_independent_sources() -> None:
    shared = np.ones((4, 4)) - np.eye(4)
    nothing = np.zeros((4, 4))
    counts = pairs.Pairs(np.arange(4), nothing, nothing, nothing)
    for excess, expected in ((shared, 1.0), (nothing, 4.0)):
        found = pairs.Panel(
            counts, pairs.Excess(nothing, excess, np.where(excess > 0, 0.0, 1.0)), 4
        )
        assert found.effective_sources == pytest.approx(expected)


def test_a_majority_of_copies_is_contested() -> None:
    matrix, _ = crowd(600, (0.75, 0.75, 0.75, 0.75, 0.6), k=2)
    df = long(np.column_stack([matrix] + [matrix[:, 4]] * 3))
    agg = DEEMAggregator(auto_hyperparameters=False).fit(df)
    marks = contested.contested(agg)
    votes = df.pivot(index="task", columns="worker", values="label").loc[marks.index]
    others = (votes[["w0", "w1", "w2", "w3"]].to_numpy() == agg.labels_.to_numpy()[:, None]).sum(1)
    clique = votes["w4"].to_numpy() == agg.labels_.to_numpy()
    # the four together have one vote: the label leads with them, and without three of them does not
    expected = clique & (others + 4 > 4 - others) & (others + 1 <= 4 - others)
    assert (marks["repeated"].to_numpy() == expected).all()
    assert expected.any()


def test_contested_tasks_are_less_often_right() -> None:
    matrix, truth = crowd(1000, (0.7, 0.65, 0.6, 0.6, 0.55), k=2, seed=3)
    model = DEEM().fit(matrix)
    marks = model.contested_.to_numpy()
    right = model.predict(matrix) == truth
    assert right[~marks].mean() > right[marks].mean() + 0.1
    assert contested.contested(model, below=0.0)["contested"].sum() <= marks.sum()
    for below in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="below"):
            contested.contested(model, below=below)


def test_classes_that_nobody_tells_apart_are_named() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=800)
    answers = crowd(800, (0.9,) * 6, k=4, seed=9)[0]
    right = rng.random((800, 6)) < 0.9
    answers = np.where(right, truth[:, None], rng.integers(4, size=(800, 6)))
    coin = rng.integers(2, 4, size=(800, 6))
    answers = np.where(answers >= 2, coin, answers)  # 2 and 3 are named by a coin
    confused = results_of(DEEM().fit(answers))
    pairs_of_classes = {(label, said) for label, said, _ in findings.confused_classes(confused)}
    assert pairs_of_classes == {(2, 3), (3, 2)}
    # tables that put both classes into the same words
    model = DEEM(auto_hyperparameters=False).fit(answers)
    table = model.confusion_.copy()
    table[:, :, 2] = table[:, :, 3] = (table[:, :, 2] + table[:, :, 3]) / 2
    from dataclasses import replace

    same = replace(results_of(model), tables=FullTables(table), priors=np.full(4, 0.25))
    assert findings.merged_classes(same) == [(2, 3)]
    assert findings.merged_classes(results_of(DEEM().fit(crowd(800, k=4)[0]))) == []


def test_gold_that_contradicts_a_skill_is_named() -> None:
    # five workers share an error that looks like skill: gold says otherwise
    rng = np.random.default_rng(2)
    truth = rng.integers(2, size=500)
    shared = np.where(rng.random(500) < 0.6, truth, 1 - truth)
    flips = rng.random((500, 5)) < 0.1
    answers = np.where(flips, 1 - shared[:, None], shared[:, None])
    df = long(answers)
    agg = DEEMAggregator().fit(df)
    gold = pd.Series(np.array(["a", "b"])[truth[:200]], index=[f"t{n}" for n in range(200)])
    told = findings.findings(agg, gold=gold)
    assert sum("Gold contradicts" in sentence for sentence in told) == 5
    own = agg.labels_.iloc[:200]
    assert not any("Gold" in sentence for sentence in findings.findings(agg, gold=own))


def test_summary_is_a_screen_and_repr_is_three_lines(sparse_crowd) -> None:
    _, agg = sparse_crowd
    text = agg.summary()
    assert len(text.splitlines()) <= 24
    assert "300 tasks, 6 workers" in text
    assert repr(agg).count("\n") == 2
    assert repr(DEEM().fit(crowd()[0])).count("\n") == 2
    assert repr(DEEMAggregator(n_iter=7)) == "DEEMAggregator(n_iter=7)"
    assert repr(DEEM(hidden_dim=2)) == "DEEM(hidden_dim=2)"
    html = DEEMAggregator(gauge="<b>")._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


@pytest.mark.usefixtures("figures_left_out")
@pytest.mark.parametrize("k", [2, 10, 11, 13])
def test_the_expected_number_of_each_class_is_the_sum_of_its_probabilities(
    k: int, tmp_path: Path
) -> None:
    draw = np.random.default_rng(k)
    truth = draw.integers(k, size=400) * (draw.random(400) < 0.7)
    rows = [
        (t, w, f"c{truth[t] if draw.random() < 0.6 else draw.integers(k)}")
        for t in range(400)
        for w in range(4)
    ]
    agg = DEEMAggregator().fit(pd.DataFrame(rows, columns=["task", "worker", "label"]))
    text = agg.summary().split("as the probabilities expect it:\n")[1].splitlines()
    said = {line.split()[0]: line for line in text[: min(k, 10)]}
    assert len(said) == min(k, 10)
    expected = agg.probas_.sum()
    given = agg.labels_.value_counts()
    for name, line in said.items():
        assert f" {given.get(name, 0):,} (" in line
        assert line.endswith(f"expected {expected[name]:,.1f}")
    if k > 10:
        rest = expected.drop(said).sum()
        assert text[10].split(": ")[1] == f"{400 - given[list(said)].sum()}, expected {rest:,.1f}"
        assert text[10].split(": ")[0].strip() == f"{k - 10} more class{'es' * (k > 11)}"
    agg.report(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    for name in said:
        assert f"{expected[name]:,.1f}" in page
    assert ("with fewer labels left out" in page) == (k > 10)


def test_shares_near_1_have_as_many_digits_as_those_near_0() -> None:
    rows = [(t, w, "bad" if t < 4 else "good") for t in range(1000) for w in "abc"]
    agg = DEEMAggregator().fit(pd.DataFrame(rows, columns=["task", "worker", "label"]))
    text = agg.summary()
    good, bad = text.split("as the probabilities expect it:\n")[1].splitlines()[:2]
    assert good.split()[:4] == ["good", "996", "(99.6", "%),"]
    assert bad.split()[:4] == ["bad", "4", "(0.4", "%),"]
    independent = agg.effective_sources_ > 2.95
    assert ("Worth at most" in text) == (not independent)  # as many as there are is no news


FORMS = {
    "empty": pd.DataFrame({"task": [], "worker": [], "label": []}),
    "one task": pd.DataFrame({"task": [1, 1], "worker": ["a", "b"], "label": ["x", "y"]}),
    "one worker": pd.DataFrame({"task": [1, 2], "worker": ["a", "a"], "label": ["x", "y"]}),
    "one class": pd.DataFrame({"task": [1, 1, 2], "worker": ["a", "b", "a"], "label": ["x"] * 3}),
    "one answer": pd.DataFrame({"task": [1], "worker": ["a"], "label": ["x"]}),
}


@pytest.mark.parametrize("form", FORMS)
def test_small_data_have_tables(form) -> None:
    df = FORMS[form]
    agg = DEEMAggregator().fit(df)
    assert len(agg.tasks_) == df["task"].nunique()
    assert len(agg.workers_) == df["worker"].nunique()
    met = df.merge(df, on="task")
    assert len(agg.agreement_) == (met["worker_x"] < met["worker_y"]).sum()
    assert agg.effective_sources_ == pytest.approx(df["worker"].nunique())
    assert len(agg.contested_) == df["task"].nunique()
    assert agg.summary()
    assert repr(agg).count("\n") == 2


def test_soft_answers_have_tables() -> None:
    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(3) * 0.3, size=(50, 4)).transpose(0, 2, 1)
    model = DEEM().fit(soft)
    mass = soft[np.arange(50), model.tasks_["label"]]
    assert model.tasks_["agreement"].to_numpy() == pytest.approx(mass.mean(axis=1))
    assert model.summary()


def test_unfitted_objects_say_so() -> None:
    for model in (DEEM(), DEEMAggregator()):
        for name in ("tasks_", "workers_", "agreement_", "effective_sources_", "contested_"):
            assert not hasattr(model, name)
        with pytest.raises(NotFittedError):
            model.summary()
        with pytest.raises(NotFittedError):
            tables.tasks(model)
    with pytest.raises(DataError, match="Answers"):
        tables.tasks(Answers.from_frame(FORMS["one task"]))


def test_ids_of_any_kind_are_shown_safely() -> None:
    assert findings.shown("a\x00b\n\u202ec") == "a\\u0000b\\u000a\\u202ec"
    assert findings.shown("x" * 10_000) == "x" * 26 + "…" + "x" * 13
    long = "judge/a-very-long-name-of-a-model/with-a-prompt/"
    assert findings.shown(long + "1") != findings.shown(long + "2")
    assert findings.listed([1, 2, 3]) == "1, 2 and 3"
    assert findings.listed(range(20), 2) == "0, 1 and 18 more"


def test_predict_leaves_out_what_is_contested(tmp_path) -> None:
    matrix, _ = crowd(400, (0.75, 0.75, 0.75, 0.75, 0.6), k=2)
    df = long(np.column_stack([matrix] + [matrix[:, 4]] * 3))
    agg = DEEMAggregator(auto_hyperparameters=False).fit(df)
    kept, left = agg.predict(df), agg.predict(df, contested="missing")
    marks = agg.contested_
    assert marks.any()
    assert (left.isna() == marks.reindex(left.index)).all()
    assert (left[~marks] == kept[~marks]).all()
    some = df[df["task"].isin(kept.index[:50])]
    part = agg.predict(some.replace({"worker": {"w0": "new"}}), contested="missing")
    assert len(part) == 50
    model = DEEM().fit(matrix)
    labels = model.predict(matrix, contested="missing")
    assert ((labels < 0) == model.contested_).all()
    model.save(tmp_path / "model")
    loaded = DEEM.load(tmp_path / "model")
    unsure = model.predict_proba(matrix).max(axis=1) < 0.8
    assert ((loaded.predict(matrix, contested="missing") < 0) == unsure).all()
    for fitted in (agg, model):
        with pytest.raises(ValueError, match="contested"):
            fitted.predict(df, contested="drop")
    integers = df.assign(label=df["label"].map({"a": 1, "b": 2}))
    numbers = DEEMAggregator().fit(integers).predict(integers, contested="missing")
    assert numbers.isna().any()
    assert set(numbers.dropna()) == {1, 2}
    assert numbers.dtype == "Int64"
