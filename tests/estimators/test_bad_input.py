"""The rows of the contract for awkward data that concern a whole fit; test_awkward_answers has those about reading."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import DawidSkene

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.exceptions import DataError, DataWarning, FormError, MemoryNeedError


def frame_of(matrix: np.ndarray) -> pd.DataFrame:
    task, worker = np.nonzero(matrix >= 0)
    return pd.DataFrame({"task": task, "worker": worker, "label": matrix[task, worker]})


def test_row_empty_frame() -> None:
    empty = pd.DataFrame({"task": [], "worker": [], "label": []}).astype(
        {"task": "int64", "label": str}
    )
    agg = DEEMAggregator().fit(empty)
    assert agg.labels_.empty
    assert agg.labels_.index.dtype == "int64"
    assert agg.probas_.empty
    assert agg.skills_.empty


@pytest.mark.parametrize(
    ("label", "dtype"),
    [
        ([True, False, True], "bool"),
        (["", "a\tb", "a\nb"], "str"),
        ([("a", 1), ("b", 2), ("a", 1)], "object"),
        (["é", "漢", "🦊"], "str"),
        ([2**62 + 1, 2**62 + 3, 5], "int64"),
        ([10**25, 3, 10**25], "object"),
        (pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-01"]), None),
        (pd.Categorical(["b", "a", "b"], categories=["z", "b", "a"]), "category"),
        (pd.array(["x", "y", "x"], dtype="string[pyarrow]"), None),
    ],
    ids=lambda x: str(x)[:20],
)
def test_row_any_dtype_comes_back_in_the_callers(label, dtype) -> None:
    column = pd.Series(label) if dtype is None else pd.Series(label, dtype=dtype)
    frame = pd.DataFrame({"task": [("t", 1), "u", "v"], "worker": ["w"] * 3, "label": column})
    agg = DEEMAggregator().fit(frame)
    assert agg.labels_.tolist() == column.tolist()
    assert agg.labels_.dtype == column.dtype
    assert agg.labels_.index.tolist() == [("t", 1), "u", "v"]


def test_row_labels_called_like_columns() -> None:
    names = ["task", "worker", "label", "posterior"]
    frame = pd.DataFrame({"task": names * 3, "worker": np.repeat([1, 2, 3], 4), "label": names * 3})
    agg = DEEMAggregator().fit(frame)
    assert agg.labels_.to_dict() == {n: n for n in names}
    assert set(agg.probas_.columns) == set(names)


def test_row_tied_votes_give_the_same_answer_in_every_row_order() -> None:
    frame = pd.DataFrame({"task": [1, 1, 2, 2], "worker": [1, 2, 1, 2], "label": list("abba")})
    found = {
        tuple(DEEMAggregator().fit_predict(frame.sample(frac=1, random_state=s)).sort_index())
        for s in range(8)
    }
    assert found == {("a", "a")}


@pytest.mark.parametrize(
    ("rows", "label", "probability"),
    [
        ([(1, 1, "a")], "a", 1.0),
        ([(1, 1, "a"), (1, 2, "a")], "a", 1.0),
        ([(1, 1, "a"), (1, 2, "b")], "a", 0.5),
        ([(1, 1, "a"), (1, 2, "b"), (1, 3, "c")], "a", 1 / 3),
    ],
)
def test_row_one_task_one_worker_one_class_all_disagree(rows, label, probability) -> None:
    agg = DEEMAggregator().fit(pd.DataFrame(rows, columns=["task", "worker", "label"]))
    assert agg.labels_[1] == label
    assert agg.probas_.loc[1, label] == pytest.approx(probability, abs=0.01)


def test_row_one_worker_and_one_answer_per_task_are_taken_at_their_word() -> None:
    labels = ["a", "b", "a", "c"]
    one_worker = pd.DataFrame({"task": range(4), "worker": 1, "label": labels})
    one_answer = pd.DataFrame({"task": range(4), "worker": range(4), "label": labels})
    for frame in (one_worker, one_answer):
        agg = DEEMAggregator().fit(frame)
        assert agg.labels_.tolist() == labels
        assert agg.probas_.max(axis=1).max() < 0.9  # nobody confirmed anything


def test_row_three_thousand_answers_on_a_task() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"task": np.repeat([0, 1], 3000), "worker": np.tile(np.arange(3000), 2)}
    ).assign(label=lambda f: np.where(rng.random(6000) < 0.6, f["task"], 1 - f["task"]))
    agg = DEEMAggregator().fit(frame)
    assert agg.labels_.tolist() == [0, 1]
    assert np.isfinite(agg.probas_.to_numpy()).all()


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("n_workers", [5, 10, 30])
def test_row_random_workers_give_confidence_near_chance_and_a_warning(k, n_workers) -> None:
    matrix = np.random.default_rng(7).integers(0, k, (500, n_workers))
    with pytest.warns(DataWarning, match="expected by chance: the answers carry hardly any"):
        model = DEEM(n_classes=k).fit(matrix)
    confidence = model.predict_proba(matrix).max(1).mean()
    assert confidence < 1 / k + 0.2


def test_answers_that_say_something_bring_no_such_warning() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    matrix = np.where(rng.random((200, 5)) < 0.5, truth[:, None], rng.integers(0, 3, (200, 5)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DEEM().fit(matrix)


def test_row_a_minority_of_always_wrong_workers() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    matrix = np.where(rng.random((400, 9)) < 0.85, truth[:, None], 1 - truth[:, None])
    matrix[:, :4] = 1 - matrix[:, :4]
    frame = frame_of(matrix)
    ours = (DEEMAggregator().fit_predict(frame) == truth).mean()
    theirs = (DawidSkene(100).fit_predict(frame).sort_index() == truth).mean()
    vote = ((matrix.mean(1) > 0.5) == truth).mean()
    assert ours >= theirs - 0.005
    assert ours > vote + 0.1


def test_row_tables_of_ten_thousand_classes_and_fifty_thousand_workers_are_refused_early(
    monkeypatch,
) -> None:
    monkeypatch.setattr("deem_crowd.data.memory.available_bytes", lambda: 8 * 2**30)

    def crowd(n: int, n_classes: int) -> pd.DataFrame:
        each = np.arange(n)
        return pd.DataFrame({"task": each // 5, "worker": each, "label": each % n_classes})

    with pytest.raises(
        MemoryNeedError, match=r"50,000 workers × 10,000 answers .* would need .* TiB.*Merge rare"
    ):
        DEEMAggregator(subtypes=2).fit(crowd(50_000, 10_000))
    fewer = crowd(5000, 1000)  # no table of these fits either
    with pytest.warns(DataWarning, match="hardly any information"):
        model = DEEMAggregator().fit(fewer)
    with pytest.raises(MemoryNeedError, match="confusion matrices of 5,000 workers"):
        _ = model.errors_
    assert len(DEEMAggregator().fit_predict(fewer.assign(label=fewer["task"] % 4))) == 1000


def test_row_wide_frames_and_arrays_are_refused_with_the_right_call() -> None:
    wide = pd.DataFrame({"ann": ["x", "y"], "bob": ["x", "x"]}, index=["t1", "t2"])
    with pytest.raises(KeyError, match="deem_crowd_adapters.from_wide"):
        DEEMAggregator().fit(wide)
    with pytest.raises(FormError, match="of the frame hold no numbers .*from_wide"):
        DEEM().fit(wide)
    with pytest.raises(FormError, match="got ndarray.*a matrix of labels goes to deem_crowd.DEEM"):
        DEEMAggregator().fit(np.zeros((3, 2), dtype=int))
    with pytest.raises(FormError, match="shape \\(4,\\)"):
        DEEM().fit(np.zeros(4, dtype=int))
    with pytest.raises(FormError, match="numbers, −1 where an answer is missing; got dtype"):
        DEEM().fit(np.array([["a", "b"]]))


def test_row_soft_array_of_the_wrong_number_of_classes() -> None:
    soft = np.full((4, 2, 3), 0.5)
    with pytest.raises(
        DataError, match=r"shape \(4, 2, 3\) have 2 classes on axis 1, but n_classes=3"
    ):
        DEEM(n_classes=3).fit(soft)


def test_row_a_column_of_nothing_is_an_average_worker() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 300)
    matrix = np.where(rng.random((300, 6)) < 0.8, truth[:, None], 1 - truth[:, None])
    matrix[:, 5] = -1
    with pytest.warns(DataWarning, match="1 worker without answers .*counts as an average worker"):
        model = DEEM().fit(matrix)
    assert model.skills_[:5].min() - 0.05 < model.skills_[5] < model.skills_[:5].max() + 0.05


def test_row_read_only_and_copied_frames_are_left_alone() -> None:
    frame = frame_of(np.array([[0, 1, 1], [1, 1, 0]]))
    before = frame.copy(deep=True)
    DEEMAggregator().fit(frame)
    pd.testing.assert_frame_equal(frame, before)


SMALL = pd.DataFrame({"task": list("aabb"), "worker": [1, 2, 1, 2], "label": list("xyyx")})


@pytest.mark.parametrize("column", ["task", "worker", "label"])
def test_row_a_column_missing_or_renamed(column) -> None:
    with pytest.raises(KeyError, match=f"missing columns '{column}'; found .*'other'.*df.rename"):
        DEEMAggregator().fit(SMALL.rename(columns={column: "other"}))


@pytest.mark.parametrize("column", ["task", "worker"])
def test_row_nan_or_none_task_or_worker(column) -> None:
    frame = SMALL.astype({column: object})
    frame.loc[[1, 3], column] = [None, np.nan]
    with pytest.raises(
        DataError, match=f"column '{column}' is missing in 2 of 4 rows .*1, 3.*dropna"
    ):
        DEEMAggregator().fit(frame)


def test_row_nan_or_none_label() -> None:
    frame = SMALL.astype({"label": object})
    frame.loc[[2, 3], "label"] = [None, np.nan]
    with pytest.raises(DataError, match="column 'label' is missing in 2 of 4 rows .*2, 3.*'drop'"):
        DEEMAggregator().fit(frame)
    with pytest.warns(DataWarning, match="1 task has no answers"):
        agg = DEEMAggregator(missing="drop").fit(frame)
    assert agg.labels_.isna().tolist() == [False, True]
    assert set(agg.probas_.columns) == {"x", "y"}


@pytest.mark.parametrize(
    ("labels", "pairs"),
    [([1, "1", 2, "2"], 2), ([True, 1, 1, True], 1), ([1, 1.0, 2, 2], 1)],
    ids=["1 and '1'", "True and 1", "1.0 and 1"],
)
def test_row_labels_that_collide(labels, pairs) -> None:
    frame = SMALL.assign(label=pd.Series(labels, dtype=object))
    with pytest.raises(DataError, match=f"column 'label' mixes kinds.*{pairs} such pair.*astype"):
        DEEMAggregator().fit(frame)


def test_row_one_numeric_dtype_is_one_label_space() -> None:
    agg = DEEMAggregator().fit(SMALL.assign(label=pd.Series([1, 2.0, 2, 1.0])))
    assert agg.probas_.columns.tolist() == [1.0, 2.0]


def test_row_the_same_answer_twice_is_one_answer() -> None:
    twice = pd.concat([SMALL, SMALL.iloc[:1], SMALL.iloc[:1]])
    with pytest.warns(DataWarning, match="2 answers repeat .* same label: each counts once"):
        agg = DEEMAggregator().fit(twice)
    pd.testing.assert_frame_equal(agg.probas_, DEEMAggregator().fit(SMALL).probas_)


@pytest.mark.parametrize(("duplicates", "row"), [("last", 4), ("first", 0)])
def test_row_another_answer_of_the_same_worker(duplicates, row) -> None:
    changed = pd.DataFrame({"task": ["a"], "worker": [1], "label": ["y"]})
    both = pd.concat([SMALL, changed], ignore_index=True)
    words = f"1 answer repeats .* another label .*task a, worker 1.*the {duplicates} one counts"
    with pytest.warns(DataWarning, match=words):
        agg = DEEMAggregator(duplicates=duplicates).fit(both)
    kept = both.drop(index=4 - row)
    expected = DEEMAggregator().fit(kept).probas_.loc[["a", "b"]]
    pd.testing.assert_frame_equal(agg.probas_, expected)
    with pytest.raises(DataError, match=r"duplicates="):
        DEEMAggregator(duplicates="error").fit(both)


def test_row_output_order_is_first_appearance_everywhere() -> None:
    agg = DEEMAggregator().fit(SMALL.iloc[[3, 0, 1, 2]])
    assert agg.labels_.index.tolist() == ["b", "a"]
    assert agg.probas_.index.tolist() == ["b", "a"]
    assert agg.skills_.index.tolist() == [2, 1]
    assert agg.errors_.index.get_level_values("worker").unique().tolist() == [2, 1]
    assert agg.predict(SMALL).index.tolist() == ["a", "b"]


@pytest.mark.parametrize("view", ["read-only", "reversed", "every second", "fortran"])
def test_row_read_only_strided_and_reversed_arrays(view) -> None:
    base = np.random.default_rng(0).integers(0, 3, (40, 10))
    matrix = {
        "read-only": base.copy(),
        "reversed": base[::-1, ::-1],
        "every second": base[::2, ::2],
        "fortran": np.asfortranarray(base),
    }[view]
    matrix.flags.writeable = view != "read-only"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        plain = DEEM().fit(matrix.copy()).predict_proba(matrix.copy())
        np.testing.assert_array_equal(DEEM().fit(matrix).predict_proba(matrix), plain)


def test_row_a_long_integer_array_passed_as_a_matrix() -> None:
    task, worker = np.divmod(np.arange(480), 12)
    long = np.column_stack([task, worker, (task + worker) % 4])
    with pytest.raises(FormError, match=r"looks like the long format.*DEEMAggregator\(\).fit"):
        DEEM().fit(long)


@pytest.mark.parametrize(
    ("matrix", "n_classes", "words"),
    [
        ([[0, 3], [1, 0]], 3, "n_classes=3"),
        ([[0, -2], [1, 0]], None, "-2"),
        ([[0, np.nan], [1, 0]], None, "NaN"),
        ([[0, 1.5], [1, 0]], None, "1.5"),
        ([[1, 2], [2, 1]], None, "n_classes"),
        ([[0, 10], [20, 0]], None, "n_classes"),
    ],
    ids=["not below n_classes", "below -1", "NaN", "1.5", "1..K", "0-10-20"],
)
def test_row_entries_that_are_no_labels(matrix, n_classes, words) -> None:
    with pytest.raises(DataError, match=words):
        DEEM(n_classes=n_classes).fit(np.array(matrix))


def test_row_label_gaps_are_fine_in_frames() -> None:
    agg = DEEMAggregator().fit(SMALL.assign(label=[0, 20, 20, 0]))
    assert agg.probas_.columns.tolist() == [0, 20]


def soft(change) -> np.ndarray:
    array = np.random.default_rng(0).dirichlet(np.ones(3), (6, 4)).transpose(0, 2, 1).copy()
    return change(array)


def put(value: float):
    def change(array: np.ndarray) -> np.ndarray:
        array[2, 1, 3] = value
        return array

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a * 2, r"24 slices do not sum to 1.*axis 1"),
        (put(-0.5), "1 slices hold negative"),
        (put(np.nan), "1 slices hold NaN beside numbers"),
        (lambda a: a.transpose(0, 2, 1), "axis 2 sums to 1: are the axes swapped"),
    ],
    ids=["sums", "negative", "NaN", "axes swapped"],
)
def test_row_soft_slices_that_are_no_distributions(change, words) -> None:
    with pytest.raises(DataError, match=words):
        DEEM().fit(soft(change))


def test_row_soft_slices_nearly_one_are_normalised() -> None:
    exact, near = soft(lambda a: a), soft(lambda a: a * 1.0009)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        expected = DEEM().fit(exact).predict_proba(exact)
        np.testing.assert_allclose(DEEM().fit(near).predict_proba(near), expected, atol=1e-9)


def test_row_gold_of_the_wrong_length_or_form() -> None:
    matrix = np.array([[0, 1], [1, 1], [0, 0]])
    with pytest.raises(FormError, match=r"gold has shape \(2,\).*shape \(3,\)"):
        DEEM().fit(matrix, gold=[0, 1])
    with pytest.raises(FormError, match=r"gold.*Series indexed by task"):
        DEEMAggregator().fit(SMALL, np.array(["x", "y"]))
    hidden = np.ma.masked_array([1, 1, 0], [True, False, False])
    with pytest.raises(
        FormError, match=r"classes of gold are .* 1 masked entry.*gold.filled\(-1\)"
    ):
        DEEM().fit(matrix, gold=hidden)


@pytest.mark.parametrize("error", [KeyError, ValueError])
def test_row_errors_are_of_kinds_that_callers_catch_already(error) -> None:
    bad = SMALL.drop(columns="label") if error is KeyError else SMALL.assign(worker=None)
    with pytest.raises(error):
        DEEMAggregator().fit(bad)


@pytest.mark.parametrize("soft", [False, True])
def test_masked_entries_are_no_answers(soft) -> None:
    """What a mask hides was not answered: it is read as missing, or the array is refused."""
    rng = np.random.default_rng(0)
    truth, hidden = rng.integers(0, 2, 60), rng.random((60, 4)) < 0.3
    matrix = np.where(rng.random((60, 4)) < 0.85, truth[:, None], 1 - truth[:, None])
    values, mask, expected = matrix, hidden, np.where(hidden, -1, matrix)
    if soft:
        values = np.eye(2)[matrix].transpose(0, 2, 1)
        mask = np.repeat(hidden[:, None, :], 2, axis=1)
        expected = np.where(mask, 0, values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        model = DEEM(n_classes=2).fit(expected)
        try:
            found = model.predict_proba(np.ma.masked_array(values, mask))
        except FormError as error:
            if "mask" not in str(error):
                raise
        else:
            np.testing.assert_allclose(found, model.predict_proba(expected))
