"""Measures of the benchmark, worked out by hand and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import planted
import pytest
from deem_crowd_benchmarks.running import evaluation, measures
from deem_crowd_benchmarks.running.methods import Method
from deem_crowd_benchmarks.sets import label_sets
from deem_crowd_benchmarks.sets.label_set import LabelSet
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

# Four tasks with gold, one without. Task 2 is tied between the right class and another.
PROBAS = pd.DataFrame(
    {"a": [0.8, 0.6, 0.5, 0.1, 1.0], "b": [0.2, 0.4, 0.5, 0.9, 0.0]},
    index=pd.Index([0, 1, 2, 3, 4], name="task"),
)
GOLD = pd.Series(["a", "b", "b", "b", None], index=pd.Index([0, 1, 2, 3, 4], name="task"))
LABELS = pd.Series(["a", "a", "a", "b", "a"], index=GOLD.index)


class TooMany(planted.Vote):
    """Has labels, and probabilities that would not fit into memory."""

    @property
    def probas_(self):
        raise MemoryError


def test_labels_are_scored_where_probabilities_do_not_fit() -> None:
    found = evaluation.evaluate(planted.tiny(), Method("x", TooMany))
    assert found.status == "ok"
    assert found.measures["accuracy"] > 0
    assert "log_loss" not in found.measures
    assert any("do not fit into memory" in words for words in found.warnings)


def _beside_labels(name: str, value) -> evaluation.Evaluation:
    """Score a vote that has an attribute; one that is an error raises it."""

    def get(self):
        if isinstance(value, Exception):
            raise value
        return value

    kind = type("Odd", (planted.Vote,), {name: property(get)})
    return evaluation.evaluate(planted.tiny(), Method("odd", kind))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("skills_", RuntimeError("no such luck"), "RuntimeError: no such luck"),
        ("skills_", pd.Series("good", index=[0, 1, 2]), "could not convert string to float"),
        ("skills_", pd.Series(0.5, index=[0, 1, 2, 0]), "uplicate"),
        ("skills_", np.ones(3), "it is a ndarray, not a Series (index worker)"),
        ("errors_", RuntimeError("no such luck"), "RuntimeError: no such luck"),
        ("errors_", {}, "it is a dict, not a DataFrame (index worker and label)"),
        (
            "errors_",
            pd.DataFrame(
                0.5,
                index=pd.MultiIndex.from_product([[0, 1, 2], ["yes", "no"]]).repeat(2),
                columns=["yes", "no"],
            ),
            "duplicate",
        ),
    ],
)
def test_labels_are_scored_where_what_is_beside_them_is_broken(name, value, words) -> None:
    found = _beside_labels(name, value)
    assert (found.status, found.reason) == ("ok", "")
    assert found.measures["accuracy"] > 0
    (said,) = found.warnings
    assert said.startswith(f"{name} cannot be scored: ")
    assert words in said


def test_probabilities_that_are_none_are_no_result() -> None:
    """Left out in silence, they would look like a method that gives none."""
    found = _beside_labels("probas_", np.full((20, 2), 0.5))
    assert found.status == "invalid"
    assert (
        "probas_ is a ndarray, not a DataFrame (index task, a column for each label)"
        in found.reason
    )
    found = _beside_labels("probas_", RuntimeError("no such luck"))
    assert found.status == "failed"
    assert found.reason == "when it was asked for probas_: RuntimeError: no such luck"
    assert _beside_labels("probas_", None).status == "ok"


def test_labels_that_are_not_the_likeliest_are_named() -> None:
    data = planted.tiny()
    labels = data.answers.groupby("task")["label"].first()
    probas = pd.DataFrame({c: (labels == c) * 0.6 + 0.2 for c in ("yes", "no")})
    for wrong, words in (
        (1, "1 of 20 labels is not the likeliest class in its row of probas_ (0),"),
        (2, "2 of 20 labels are not the likeliest class in their row of probas_ (0, 1),"),
    ):
        turned = probas.copy()
        turned.iloc[:wrong] = 1 - turned.iloc[:wrong]
        (said,) = _beside_labels("probas_", turned).warnings
        assert said.startswith(words)
        assert "scores are computed from probas_" in said
    assert _beside_labels("probas_", probas).warnings == []
    assert _beside_labels("probas_", probas * 0 + 0.5).warnings == []


def test_labels_against_probabilities_are_named_only_where_scores_go_by_these() -> None:
    class Contrary(planted.Vote):
        def fit_predict(self, data):
            labels = super().fit_predict(data)
            self.probas_ = pd.get_dummies(labels.map({"yes": "no", "no": "yes"}), dtype=float)
            return labels

    data = planted.tiny()
    without = data.gold[:0]
    for label_set, said in (
        (data, True),
        (LabelSet("no gold", data.answers, without), False),
        (LabelSet("renamed", data.answers, data.gold, named=False), False),
    ):
        found = evaluation.evaluate(label_set, Method("contrary", Contrary))
        assert any("not the likeliest" in words for words in found.warnings) is said


def test_a_method_for_ordered_classes_has_its_first_fit_before_the_clock_starts() -> None:
    fitted = []

    class Ratings(planted.Vote):
        ordered = True

        def fit_predict(self, data):
            if not data["label"].cat.ordered:
                raise ValueError("names have no order")
            fitted.append(len(data))
            return super().fit_predict(data)

    evaluation._warm_up(Method("ratings", Ratings), 0)
    assert fitted


def test_ratings_of_a_file_have_their_order_as_numbers_have(tmp_path) -> None:
    """Files are read as text; a method for ordered classes gets the scale all the same, 10 above 2."""
    rng = np.random.default_rng(0)
    scale = np.array([0, 1, 2, 10])
    true = rng.integers(4, size=60)
    task, worker = np.repeat(np.arange(60), 5), np.tile(np.arange(5), 60)
    place = np.clip(true[task] + rng.integers(-1, 2, size=300), 0, 3)
    answers = pd.DataFrame({"task": task, "worker": worker, "label": scale[place]})
    gold = pd.DataFrame({"task": range(60), "label": scale[true]})
    answers.to_csv(tmp_path / "labels.csv", index=False)
    gold.to_csv(tmp_path / "truth.csv", index=False)
    method = Method("ordered", "deem", {"ordered": True})
    read = evaluation.evaluate(label_sets.read_folder(tmp_path), method)
    numbers = LabelSet("numbers", answers, gold.set_index("task")["label"])
    plain = evaluation.evaluate(numbers, method)
    assert (read.status, read.reason) == (plain.status, plain.reason) == ("ok", "")
    for name in ("accuracy", "label_accuracy", "log_loss", "brier", "ece", "macro_f1"):
        assert read.measures[name] == pytest.approx(plain.measures[name], abs=1e-12)
    named = LabelSet(
        "named", answers.assign(label="level " + answers["label"].astype(str)), gold["label"]
    )
    assert evaluation.evaluate(named, method).status == "refused"


def test_by_hand() -> None:
    assert measures.hits(PROBAS, GOLD).tolist() == [1.0, 0.0, 0.5, 1.0]
    assert measures.accuracy(PROBAS, GOLD) == pytest.approx(2.5 / 4)
    assert measures.log_loss(PROBAS, GOLD) == pytest.approx(-np.log([0.8, 0.4, 0.5, 0.9]).mean())
    squares = [2 * 0.2**2, 2 * 0.6**2, 2 * 0.5**2, 2 * 0.1**2]
    assert measures.brier(PROBAS, GOLD) == pytest.approx(np.mean(squares))
    # bins of a tenth: 0.8, 0.6, 0.5 and 0.9 stand alone
    curve = measures.reliability(PROBAS, GOLD, n_bins=10)
    assert curve.tasks.tolist() == [0, 0, 0, 0, 1, 1, 0, 1, 1, 0]
    assert curve.error == pytest.approx((0.2 + 0.6 + 0.0 + 0.1) / 4)
    # gold a b b b, labels a a a b: recall of a is 1 and of b 1/3; F1 of a 2·1/(2+2), of b 2·1/(2+2)
    found = measures.of_labels(LABELS, GOLD)
    assert found["label_accuracy"] == pytest.approx(2 / 4)
    assert found["balanced_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["macro_f1"] == pytest.approx((2 / 4 + 2 / 4) / 2)
    assert found["clustering_accuracy"] == pytest.approx(2 / 4)


def test_renamed_classes_cluster_as_well() -> None:
    renamed = GOLD.map({"a": "b", "b": "a"})
    found = measures.of_labels(renamed, GOLD)
    assert found["label_accuracy"] == 0
    assert found["clustering_accuracy"] == found["nmi"] == found["ari"] == 1


def test_a_missing_label_is_wrong() -> None:
    found = measures.of_labels(LABELS.mask(LABELS.index == 0), GOLD)
    assert found["label_accuracy"] == pytest.approx(1 / 4)


def test_gold_that_is_no_column() -> None:
    gold = pd.Series(["z"], index=[0])
    assert measures.brier(PROBAS, gold) == pytest.approx(0.8**2 + 0.2**2 + 1)
    assert measures.accuracy(PROBAS, gold) == 0


def test_no_gold_at_all() -> None:
    gold = pd.Series([None], index=[0], dtype=object)
    assert np.isnan(measures.brier(PROBAS, gold))
    assert np.isnan(measures.reliability(PROBAS, gold).error)
    assert all(np.isnan(v) for v in measures.of_labels(LABELS, gold).values())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_labels_as_scikit_learn_has_them(pairs) -> None:
    true, said = (pd.Series([p[i] for p in pairs]) for i in (0, 1))
    found = measures.of_labels(said, true)
    assert found["label_accuracy"] == pytest.approx(metrics.accuracy_score(true, said))
    recall = metrics.recall_score(true, said, average=None, labels=sorted(set(true)))
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recall))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(true, said, average="macro"))
    assert found["nmi"] == pytest.approx(metrics.normalized_mutual_info_score(true, said))
    assert found["ari"] == pytest.approx(metrics.adjusted_rand_score(true, said))
    assert found["clustering_accuracy"] >= found["label_accuracy"] - 1e-12


@given(st.integers(0, 2**32 - 1))
def test_binary_brier_is_twice_scikit_learns(seed) -> None:
    rng = np.random.default_rng(seed)
    p, true = rng.random(30), rng.integers(0, 2, 30)
    found = measures.brier(pd.DataFrame({0: 1 - p, 1: p}), pd.Series(true))
    assert found == pytest.approx(2 * metrics.brier_score_loss(true, p))


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_calibration_error_by_its_definition(seed, k) -> None:
    rng = np.random.default_rng(seed)
    values = rng.dirichlet(np.full(k, 0.5), size=50)
    true = pd.Series(rng.integers(0, k, 50))
    top, right = values.max(1), values.argmax(1) == true.to_numpy()
    expected = 0.0
    for i in range(15):
        here = (top > i / 15) & (top <= (i + 1) / 15)
        if here.any():
            expected += here.mean() * abs(top[here].mean() - right[here].mean())
    assert measures.reliability(pd.DataFrame(values), true).error == pytest.approx(expected)


def test_skills_are_compared_by_rank_with_accuracy_on_gold() -> None:
    gold = pd.Series(["a"] * 10)
    rows = [
        (t, w, "a" if t < n else "b") for w, n in (("x", 9), ("y", 5), ("z", 1)) for t in range(10)
    ]
    rows += [(0, "stranger", "b")]
    answers = pd.DataFrame(rows, columns=["task", "worker", "label"])
    skills = pd.Series({"x": 3.0, "y": 2.9, "z": -1.0, "stranger": 99.0})
    assert measures.skill_correlation(skills, answers, gold) == pytest.approx(1.0)
    assert measures.skill_correlation(-skills, answers, gold) == pytest.approx(-1.0)
    assert np.isnan(measures.skill_correlation(skills * 0, answers, gold))
    assert np.isnan(measures.skill_correlation(skills[["x", "y"]], answers, gold))
