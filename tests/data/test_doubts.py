"""What looks like something else is said; ordinary answers are read in silence."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from deem_crowd_adapters import from_wide

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.exceptions import DataWarning, MissingColumnError

SETS = Path(__file__).parents[3] / "shared" / "data"


def frame(labels, workers=None, tasks=None) -> pd.DataFrame:
    n = len(labels)
    return pd.DataFrame(
        {
            "task": np.arange(n) // 2 if tasks is None else tasks,
            "worker": np.arange(n) % 2 if workers is None else workers,
            "label": labels,
        }
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (frame(["Yes", "yes", "no", "no"]), "group of labels differs only by case.*'Yes' and 'yes'"),
        (frame(["yes", "yes ", "no", "no"]), "group of labels differs only by case, spaces"),
        (frame(["caf\xe9", "cafe\u0301", "no", "no"]), r"labels differs.*'caf.*' and 'caf"),
        (
            frame(["a", "a", "b", "b"], workers=["\xe9", "e\u0301", "x", "y"]),
            "group of workers differs only by spaces or Unicode form",
        ),
        (frame(["a", "a", "b", "b"], tasks=["x", " x", "y", "z"]), "group of tasks differs.*' x'"),
        (frame([f"the text of answer {i}" for i in range(100)]), "100 of 100 labels.*free text"),
        (frame(np.linspace(0, 1, 40).tolist()), "40 real numbers.*look like ratings"),
        (frame([f"{i // 2},{i % 2 * 5}" for i in range(40)]), "40 real numbers.*adapter 'scores'"),
        (frame([f"{i / 97:.3f}" for i in range(96)]), "96 real numbers.*look like ratings"),
        (frame([0.0, 0.1, 0.3, 0.8, 0.9, 1.0]), "6 real numbers.*look like ratings"),
        (frame(["0.25", "0.5", "0.75", "1"]), "4 real numbers.*look like ratings"),
        (frame(["a", "a", "N/A", "nan"]), r"2 labels \('N/A', 'nan'\) may stand for a missing answer"),
        (frame(["a", "a", "", " "]), r"2 labels \('', ' '\) may stand for a missing answer"),
        (frame([0, 1, 99, 1]), r"1 label \(99\) may be a code for a missing answer.*isin\(\[99\]\)"),
        (frame(["1", "5", "-9", "99"]), r"2 labels \('-9', '99'\) may be a code"),
        (frame(["a", "a", "\\N", "b"]), r"1 label \('\\\\N'\) may stand for a missing answer"),
        (frame([-1, 0, 1, 1]), r"label −1 counts as a class.*classes=\[-1, 0, 1\]"),
        (frame(["-1", "0", "1", "1"]), r"label −1 counts as a class.*!= '-1'.*classes=\['-1', '0', '1'\]"),
        (frame(["cat", "c\u200bat", "no", "no"]), r"labels differs.*'cat' and 'c.*str.replace"),
        (frame(["cat", "\uff43at", "no", "no"]), "labels differs.*normalize.'NFKC'"),
        (frame(["a", "a", "b", "b"], workers=["x", "x\ufe0f", "y", "z"]), "group of workers differs"),
        (frame(["a", "a", "b", "b"], tasks=["x y", "x  y", "y", "z"]), "group of tasks differs.*'x  y'"),
        (
            frame(["red", "blue", "red;blue", "blue;red;big"]),
            "2 of 4 labels join others by ';'.*'red;blue'.*BinaryRelevance",
        ),
        (
            frame(["['a', 'b']", "['a']", "['b']", "['b', 'a']"]),
            "2 of 4 labels join others by ','",
        ),
        (
            frame(["a", "a", "b", "b"], workers=["nan", "x", "", "y"]),
            "2 workers .*may stand for people who are not known, and 2 answers",
        ),
    ],
    ids=["case", "blank", "unicode", "worker", "task", "text", "ratings", "ratings in text",
         "ratings, all distinct", "scores", "scores in text", "not applicable", "empty", "code", "codes in text",
         "null of a dump", "minus one", "text of minus one",
         "no width", "full width", "variant", "blanks", "joined", "lists as text", "nobody"],
)  # fmt: skip
def test_a_doubt_is_said_whoever_reads(tmp_path, data, words) -> None:
    with pytest.warns(DataWarning, match=words):
        Answers.from_frame(data)
    data.to_parquet(tmp_path / "x.parquet")
    with pytest.warns(DataWarning, match=words):
        Answers.from_parquet(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    "data",
    [
        frame(["a", "b", "A b", "c"]),
        frame(["a", "a", "b", "b"], workers=["aB", "Ab", "ab", "AB"]),
        frame([1.0, 1.5, 2.0, 2.5]),
        frame(["none", "other", "none", "?"]),
        frame([f"{i:03}" for i in range(40)]),
        frame([-1, 1, 1, -1]),
        frame([0, 0.5, 1, 0.5]),
        frame(["1.1", "1.2", "2.1", "2.2"]),
        frame([0, 9, 0, 9]),
        frame([0, 1, 2, 3, 4, 5, 7, 9]),
        frame([*range(90, 100), 0]),
        frame(["-1", "1", "1", "-1"]),
        frame([f"text {i}" for i in range(20)]),
        frame([f"text {i % 60}" for i in range(600)]),
        frame([]),
        frame(["Paris, France", "Lyon, France", "Rome, Italy", "Nice"]),
        frame(["1,0", "1,5", "2,0", "2,5", "3,0", "3,5"]),
        frame(["a", "a", "b", "b"], workers=["na", "No", "x", "y"]),
    ],
    ids=[
        "labels",
        "ids of mixed case",
        "halves",
        "none",
        "numbers as names",
        "signs",
        "a half",
        "sections",
        "two numbers",
        "numbers up to 9",
        "numbers up to 99",
        "texts of signs",
        "few",
        "many classes",
        "empty",
        "places",
        "decimals",
        "initials",
    ],
)
def test_ordinary_answers_are_read_in_silence(data) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Answers.from_frame(data)


@pytest.mark.parametrize(
    "name", ["gold", "Ground truth", "adjudicated", "true_label", "majority vote"]
)
def test_a_column_of_known_labels_among_the_sources_is_said(name) -> None:
    wide = pd.DataFrame({"ann": [0, 1, 1], "bob": [0, 1, 0], name: [0, 1, 1]})
    words = f"By name, 1 worker .'{name}'. may hold known labels"
    with pytest.warns(DataWarning, match=words):
        from_wide(wide)
    with pytest.warns(DataWarning, match=words):
        DEEM().fit(wide)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_wide(wide.rename(columns={name: "goldie"}))


def test_named_classes_leave_no_doubt() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Answers.from_frame(frame([-1, 0, 1, 1]), classes=[-1, 0, 1])


@pytest.mark.skipif(not SETS.is_dir(), reason="the collection of real label sets is not here")
def test_no_real_label_set_is_doubtful() -> None:
    paths = sorted(SETS.rglob("labels.csv.gz"))
    assert paths
    for path in paths:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            Answers.from_frame(pd.read_csv(path), missing="drop")
        assert all(" a (task, worker) pair with " in str(w.message) for w in said), path


def test_well_known_names_are_suggested_and_not_taken() -> None:
    data = frame(["a", "b"]).rename(
        columns={"task": "item_id", "worker": "Annotator", "label": "verdict"}
    )
    with pytest.raises(MissingColumnError) as error:
        Answers.from_frame(data)
    suggested = {"item_id": "task", "Annotator": "worker", "verdict": "label"}
    assert f"df.rename(columns={suggested!r})" in str(error.value)
    assert Answers.from_frame(data.rename(columns=suggested)).n_answers == 2
    read = {"task": "StudyID", "worker": "Reader", "label": "Finding"}
    with pytest.raises(MissingColumnError, match="'StudyID': 'task', 'Reader': 'worker'"):
        Answers.from_frame(frame(["a", "b"]).rename(columns=read))
    read = {"task": "item_id", "worker": "moderator", "label": "decision"}
    with pytest.raises(MissingColumnError, match="'moderator': 'worker', 'decision': 'label'"):
        Answers.from_frame(frame(["a", "b"]).rename(columns=read))


def test_zero_for_no_answer_is_doubted() -> None:
    """Functions of one class each: 0 where they say nothing. Sources that name every class raise no doubt."""
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=90)
    own = np.arange(9) % 3
    speaks = (own == truth[:, None]) & (rng.random((90, 9)) < 0.6)
    with pytest.warns(DataWarning, match="9 of 9 columns hold 0 and one other class alone.*L - 1"):
        DEEM().fit(np.where(speaks, own + 1, 0))
    noisy = np.where(rng.random((90, 9)) < 0.7, truth[:, None], rng.integers(3, size=(90, 9)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        DEEM().fit(np.where(speaks, own, -1))
        DEEM().fit(noisy)
    assert caught
    assert not [w for w in caught if "stands for no answer" in str(w.message)]


def test_texts_are_counted_without_answers_that_were_given_twice() -> None:
    texts = frame([f"the text of answer {i}" for i in range(60)])
    twice = pd.concat([texts, texts.assign(label="another " + texts["label"])])
    with pytest.warns(DataWarning, match="60 of 60 labels are distinct"):
        Answers.from_frame(twice)


@pytest.mark.parametrize(
    ("labels", "said"), [(range(100), True), ("abcdefghijklmno", False), ((1, 2, 3), False)]
)
def test_many_numbers_that_nobody_agrees_on_may_be_scores(labels, said: bool) -> None:
    draw = np.random.default_rng(0)
    data = pd.DataFrame(
        {
            "task": np.repeat(np.arange(40), 4),
            "worker": np.tile(np.arange(4), 40),
            "label": draw.choice(list(labels), 160),
        }
    )
    with pytest.warns(DataWarning, match="expected by chance") as caught:
        DEEMAggregator().fit(data)
    assert any("from_scores" in str(each.message) for each in caught) == said


@pytest.mark.parametrize(
    ("labels", "pairs"),
    [
        (["TRUE", "1", "FALSE", "0"], "'0' and 'FALSE'; '1' and 'TRUE'"),
        (["yes", "no", "1"], "'1' and 'yes'"),
        (["True", "true", "1", "0"], "'1' and 'True'"),
        (["T", "F", "false"], "'F' and 'false'"),
        (["yes", "no"], None),
        (["1", "2", "true"], None),
        (["1", "0"], None),
    ],
)
def test_words_of_one_truth_value_may_be_one_label(labels: list[str], pairs: str | None) -> None:
    frame = pd.DataFrame({"task": range(len(labels)), "worker": "w", "label": labels})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Answers.from_frame(frame)
    said = [str(w.message) for w in caught if "same truth value" in str(w.message)]
    assert len(said) == (pairs is not None)
    if pairs is not None:
        assert pairs in said[0]
        assert "each counts as a label of its own" in said[0]


def test_real_numbers_are_no_doubt_where_labels_are_said_to_have_an_order() -> None:
    """The warning advises ordered=True, which is there."""
    rows = [(t, w, (t + w) % 20 + 0.5) for t in range(20) for w in range(3)]
    ratings = pd.DataFrame(rows, columns=["task", "worker", "label"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        DEEMAggregator(ordered=True).fit(ratings)
    assert not [w for w in caught if "real numbers" in str(w.message)]
    with pytest.warns(DataWarning, match="real numbers"):
        DEEMAggregator().fit(ratings)
