"""Label matrices: Snorkel's arrays, and WRENCH's JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from by_hand import read, rows, write
from matrices import VOTES, wrench
from scipy import sparse

from deem_crowd.exceptions import DataError, ParameterError

EXPECTED = {
    (0, "LF 1", 0), (0, "LF 2", 2), (1, "LF 0", 1), (2, "LF 0", 2), (2, "LF 1", 2), (2, "LF 2", 0),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, np.float64])
def test_minus_one_abstains_in_an_npy_of_any_dtype(tmp_path, dtype) -> None:
    np.save(tmp_path / "L.npy", VOTES.astype(dtype))
    export, said = read(tmp_path / "L.npy")
    assert rows(export) == EXPECTED
    assert export.answers["label"].dtype.kind == "i"
    assert list(export.left_out.values()) == [3]
    assert "votes of -1, which abstain (3)" in said


def test_abstentions_of_several_files_are_added_up(tmp_path) -> None:
    for name, votes in (("train", VOTES), ("valid", VOTES[:2])):
        items = {f"{name} {n}": {"weak_labels": row.tolist()} for n, row in enumerate(votes)}
        (tmp_path / f"{name}.json").write_text(json.dumps(items))
    export, said = read([tmp_path / "train.json", tmp_path / "valid.json"])
    assert len(export.answers) == 9
    assert export.left_out == {"votes of -1, which abstain": 6}
    assert "votes of -1, which abstain (6)" in said


def test_nan_is_missing_and_words_are_labels(tmp_path) -> None:
    votes = np.where(VOTES == -1, np.nan, VOTES)
    np.save(tmp_path / "L.npy", votes)
    assert rows(read(tmp_path / "L.npy", abstain="none")[0]) == EXPECTED
    np.save(tmp_path / "words.npy", np.array([["spam", ""], ["ham", "spam"]]))
    assert rows(read(tmp_path / "words.npy")[0]) == {
        (0, "LF 0", "spam"),
        (1, "LF 0", "ham"),
        (1, "LF 1", "spam"),
    }


def test_an_npz_may_hold_gold_features_and_several_matrices(tmp_path) -> None:
    truth = np.array([0, 1, 2])
    np.savez(tmp_path / "a.npz", L=VOTES, Y=truth, X=np.random.default_rng(0).random((3, 4)))
    export, said = read(tmp_path / "a.npz")
    assert rows(export) == EXPECTED
    assert export.gold.to_dict() == {0: 0, 1: 1, 2: 2}
    assert "'X' holds real numbers" in said
    np.savez(tmp_path / "b.npz", L_train=VOTES, L_test=VOTES[:2])
    with pytest.raises(DataError, match="2 questions: 'L_train'.*'L_test'.*question="):
        read(tmp_path / "b.npz")
    assert len(read(tmp_path / "b.npz", question="L_test")[0].answers) == 3


def test_a_sparse_matrix_abstains_where_nothing_is_stored(tmp_path) -> None:
    votes = np.array([[0, 1, -1], [1, 0, 0]])
    for form in (sparse.csr_matrix, sparse.csc_matrix):
        sparse.save_npz(tmp_path / "L.npz", form(votes))
        assert rows(read(tmp_path / "L.npz")[0]) == {(0, "LF 1", 1), (0, "LF 2", -1), (1, "LF 0", 1)}  # fmt: skip


@pytest.mark.parametrize("votes", [[[-1, 0, 1]], [[-1, 1, 1]], [[0, -1, -1]]])
def test_two_codings_that_cannot_be_told_apart_are_a_question(tmp_path, votes) -> None:
    np.save(tmp_path / "L.npy", np.array(votes))
    with pytest.raises(DataError, match="abstain=-1 or abstain=0"):
        read(tmp_path / "L.npy")
    for abstain in (-1, 0, "-1", "0"):
        labels = {v for v in np.ravel(votes).tolist() if v != int(abstain)}
        assert set(read(tmp_path / "L.npy", abstain=abstain)[0].answers["label"]) == labels


def test_gold_tells_which_coding_it_is(tmp_path) -> None:
    votes = np.array([[-1, 0, 1], [1, 1, 0]])
    np.savez(tmp_path / "a.npz", L=votes, Y=np.array([0, 1]))
    assert set(read(tmp_path / "a.npz")[0].answers["label"]) == {0, 1}
    np.savez(tmp_path / "b.npz", L=votes, Y=np.array([-1, 1]))
    assert set(read(tmp_path / "b.npz")[0].answers["label"]) == {-1, 1}


def test_a_matrix_of_mostly_zeros_is_a_question_and_a_dense_one_is_not(tmp_path) -> None:
    votes = np.array([[0, 0, 1, 0], [0, 2, 0, 0]])
    np.save(tmp_path / "L.npy", votes)
    with pytest.raises(DataError, match="6 of 8 votes are 0.*abstain=0, or abstain='none'"):
        read(tmp_path / "L.npy")
    assert len(read(tmp_path / "L.npy", abstain=0)[0].answers) == 2
    assert len(read(tmp_path / "L.npy", abstain="none")[0].answers) == 8
    np.save(tmp_path / "dense.npy", np.array([[0, 1], [2, 1]]))
    export, said = read(tmp_path / "dense.npy")
    assert len(export.answers) == 4
    assert "0 is read as a class" in said
    np.save(tmp_path / "from_one.npy", np.array([[1, 2], [2, 2]]))
    assert len(read(tmp_path / "from_one.npy")[0].answers) == 4


def test_functions_that_know_one_class_each_make_zeros_doubtful(tmp_path) -> None:
    votes = np.array([[1, 0, 3], [1, 2, 3], [0, 2, 3], [1, 2, 0]])
    np.save(tmp_path / "L.npy", votes)
    with pytest.raises(DataError, match="3 of 12 votes are 0"):
        read(tmp_path / "L.npy")
    np.savez(tmp_path / "gold.npz", L=votes, Y=np.array([1, 2, 3, 1]))
    assert set(read(tmp_path / "gold.npz")[0].answers["label"]) == {1, 2, 3}
    np.savez(tmp_path / "zero.npz", L=votes, Y=np.array([0, 1, 2, 3]))
    assert set(read(tmp_path / "zero.npz")[0].answers["label"]) == {0, 1, 2, 3}


def test_what_is_no_matrix_of_votes_is_refused(tmp_path) -> None:
    np.save(tmp_path / "real.npy", np.array([[0.5, 1.0], [2.0, 0.25]]))
    with pytest.raises(DataError, match=r"2 of 4 entries are no whole numbers \(0.25, 0.5\)"):
        read(tmp_path / "real.npy")
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match="from_soft"):
        read(tmp_path / "cube.npy")
    np.save(tmp_path / "flat.npy", np.zeros(3))
    with pytest.raises(DataError, match="no matrix of votes"):
        read(tmp_path / "flat.npy")
    np.save(tmp_path / "object.npy", np.array([[{}, 1]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="run code"):
        read(tmp_path / "object.npy")
    np.save(tmp_path / "dates.npy", np.array([["2026-01-01"]], dtype="datetime64[D]"))
    with pytest.raises(DataError, match="datetime64"):
        read(tmp_path / "dates.npy")
    np.save(tmp_path / "low.npy", np.array([[-9, 1]]))
    with pytest.raises(DataError, match="abstain=-9"):
        read(tmp_path / "low.npy")
    np.save(tmp_path / "L.npy", VOTES)
    for wrong in ("never", 0.5, True):
        with pytest.raises(ParameterError, match="abstain="):
            read(tmp_path / "L.npy", abstain=wrong)


def test_a_file_of_arrays_that_is_cut_off_is_one_error(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", L=VOTES)
    np.save(tmp_path / "a.npy", VOTES)
    for name in ("a.npz", "a.npy"):
        whole = (tmp_path / name).read_bytes()
        for size in range(10, len(whole) - 1, 13):
            (tmp_path / f"part{name[-4:]}").write_bytes(whole[:size])
            with pytest.raises(DataError, match="part"):
                read(tmp_path / f"part{name[-4:]}")


def test_a_json_object_may_hold_the_matrix(tmp_path) -> None:
    path = write(tmp_path / "a.json", {"L": VOTES.tolist(), "Y": [0, None, 2], "name": "x"})
    export, _ = read(path)
    assert rows(export) == EXPECTED
    assert export.gold.to_dict() == {0: 0, 2: 2}
    with pytest.raises(DataError, match="1 row of 'L' has another length"):
        read(write(tmp_path / "b.json", {"L": [[1, 2], [1]]}))
    with pytest.raises(DataError, match="1 vote is a dict"):
        read(write(tmp_path / "c.json", {"L": [[1, {}]]}))


def test_wrench_splits_have_the_same_functions_and_other_tasks(tmp_path) -> None:
    votes = [[-1, 0, 1], [1, -1, -1]]
    write(tmp_path / "w" / "train.json", wrench(votes, [1, -1]))
    write(tmp_path / "w" / "valid.json", wrench(votes, [0, 1], start=2))
    write(tmp_path / "w" / "label.json", {"0": "HAM", "1": "SPAM"})
    export, _ = read(tmp_path / "w" / "train.json")
    assert rows(export) == {("0", "LF 1", 0), ("0", "LF 2", 1), ("1", "LF 0", 1)}
    assert export.gold.to_dict() == {"0": 1}
    whole, said = read(tmp_path / "w")
    assert whole.answers["task"].nunique() == 4
    assert whole.answers["worker"].nunique() == 3
    assert len(whole.gold) == 3
    assert "0 = HAM" in said


def test_wrench_records_that_are_wrong_are_named(tmp_path) -> None:
    for votes, says in (
        ([[-1, 0], [1]], "record '1': 'weak_labels' has 1 votes, and the first record 2"),
        ([[-1, 0], [[1], [0]]], "record '1': .*no classification"),
        ([[-1, 0], "x"], "record '1': 'weak_labels' is str"),
        ([[-1, 0], [1, "a"]], "some votes are text and some numbers"),
        ([[-1, 0.5]], "1 of 2 entries is no whole number"),
        ([[]], "holds no votes"),
    ):
        data = wrench(votes, [0] * len(votes))
        with pytest.raises(DataError, match=says):
            read(write(tmp_path / "train.json", data))
    lines = [{"id": 5, "weak_labels": [0, -1], "label": 0}, {"id": 7, "weak_labels": [1, 1]}]
    export, _ = read(write(tmp_path / "train.jsonl", lines))
    assert rows(export) == {(5, "LF 0", 0), (7, "LF 0", 1), (7, "LF 1", 1)}


def test_matrices_in_several_files_are_splits(tmp_path) -> None:
    np.save(tmp_path / "L_train.npy", VOTES)
    np.save(tmp_path / "L_test.npy", VOTES[:2])
    export, said = read([tmp_path / "L_train.npy", tmp_path / "L_test.npy"])
    assert export.answers["task"].nunique() == 5
    assert export.answers["worker"].nunique() == 3
    assert "no task is shared" in said
