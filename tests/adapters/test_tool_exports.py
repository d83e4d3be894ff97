"""What labelling tools export is read with the right tasks, workers, answers and classes, or refused as no export."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deem_crowd_adapters as adapters
import pytest
from by_hand import triples
from deem_crowd_adapters.exports import known
from label_tools import (
    MTURK,
    TOLOKA,
    argilla,
    argilla_first,
    argilla_flat,
    label_studio,
    label_studio_min,
    prodigy_binary,
    prodigy_choice,
    read,
    written,
)

from deem_crowd.exceptions import DataError, DataWarning, ParameterError

CASES: dict[str, tuple[str, Callable[[], Any], set[tuple[Any, ...]], dict[str, int]]] = {
    "label-studio": (
        "x.json", label_studio,
        {(11, "ann@lab.org", "pos"), (11, "7", "pos"), (12, "ann@lab.org", "neg")},
        {"skipped tasks": 1, "predictions of models": 1,
         "answers marked as ground truth, which are used as known labels, not as answers": 1},
    ),
    "label-studio min": (
        "x.json", label_studio_min, {(11, 1, "pos"), (11, 2, "neg"), (12, 1, "neg"), (12, 2, "neg")}, {},
    ),
    "label-studio csv": (
        "x.csv", label_studio_min, {(11, 1, "pos"), (11, 2, "neg"), (12, 1, "neg"), (12, 2, "neg")}, {},
    ),
    "prodigy": (
        "x.jsonl", prodigy_choice,
        {(1, "db-ann", "A"), (1, "db-bob", "B"), (2, "db-ann", "B")},
        {"ignored tasks": 1, "accepted tasks without a choice": 1, "rejected tasks of a choice": 1},
    ),
    "prodigy binary": (
        "x.jsonl", prodigy_binary, {(1, "ann", "accept"), (1, "bob", "reject"), (2, "ann", "reject")},
        {"ignored tasks": 1},
    ),
    "argilla": (
        "x.json", argilla, {("r1", "u1", "yes"), ("r1", "u2", "no"), ("r2", "u1", "yes")}, {"suggestions of models": 1},
    ),
    "argilla dataset": (
        "x.jsonl", argilla_flat, {("r1", "u1", "yes"), ("r1", "u2", "no"), ("r2", "u1", "yes")},
        {"discarded responses": 1},
    ),
    "argilla 1": (
        "x.json", argilla_first, {("r1", "u1", "yes"), ("r1", "u2", "no"), ("r2", "u1", "yes")},
        {"discarded responses": 1},
    ),
    "toloka": (
        "x.tsv", lambda: TOLOKA, {("t1", "w1", "cat"), ("t2", "w1", "dog"), ("t1", "w2", "dog")},
        {"rows of skipped assignments": 1, "rows of rejected assignments": 1},
    ),
    "mturk": (
        "x.csv", lambda: MTURK, {("h1", "A1", "pos"), ("h1", "A2", "neg"), ("h2", "A1", "neg")},
        {"rejected assignments": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_tools_export_is_read_without_an_option(tmp_path: Path, case: str) -> None:
    name, make, expected, left_out = CASES[case]
    path = written(tmp_path, name, make())
    export, said = read(path)
    assert triples(export.answers) == {
        tuple(v if isinstance(v, int) or case != "label-studio" else str(v) for v in row)
        for row in expected
    }
    assert export.left_out == left_out
    for reason, n in left_out.items():
        assert f"{reason} ({n})" in said
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        answers = adapters.to_answers(path)
    assert triples(answers.to_frame()) == triples(export.answers)


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("toloka", "mturk")])
def test_the_order_of_records_changes_nothing(tmp_path: Path, case: str) -> None:
    name, make, *_ = CASES[case]
    value = make()
    shuffled = random.Random(0).sample(value, len(value))
    one, _ = read(written(tmp_path, name, value))
    other, _ = read(written(tmp_path, f"other_{name}", shuffled))
    assert triples(one.answers) == triples(other.answers)


@pytest.mark.parametrize(
    "case", [case for case in CASES if CASES[case][0].endswith((".json", ".jsonl"))]
)
@pytest.mark.parametrize("seed", range(6))
def test_files_that_are_cut_off_or_of_wrong_types_are_one_error(
    tmp_path: Path, case: str, seed: int
) -> None:
    name, make, *_ = CASES[case]
    text = written(tmp_path, name, make()).read_text()
    draw = random.Random(seed)
    cut = written(tmp_path, f"cut_{name}", text[: draw.randrange(2, len(text) - 3)])
    value = make()
    spoiled = draw.choice(value)
    key = draw.choice(sorted(spoiled))
    spoiled[key] = draw.choice([7, "x", None, [], {}, [1], [[1]], {"a": 1}, True])
    wrong = written(tmp_path, f"wrong_{name}", value)
    for path in (cut, wrong):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            said = path.name
            try:
                adapters.read_export(path)
            except DataError as error:
                said = str(error)
            assert path.name in said


def test_what_is_no_export_is_described(tmp_path: Path) -> None:
    path = written(tmp_path, "x.json", [{"foo": 1, "bar": 2}])
    with pytest.raises(
        DataError, match=r"no format that is known: JSON records with keys 'bar', 'foo'"
    ):
        adapters.to_answers(path)
    pickled = tmp_path / "x.pkl"
    pickled.write_bytes(b"\x80\x04\x95rest")
    with pytest.raises(DataError, match="is a Python pickle, which runs code"):
        adapters.to_answers(pickled)


def test_an_option_that_a_format_does_not_take_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "x.json", label_studio())
    with pytest.raises(
        ParameterError, match=r"no options 'abstain'; it takes 'question', 'multiple'"
    ):
        adapters.read_export(path, abstain=0)


def test_json_that_would_be_read_silently_wrong(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"id": 1, "id": 2, "data": {}, "annotations": []}]')
    with pytest.raises(DataError, match=r"x.json holds the key 'id' twice"):
        adapters.read_export(path)
    path.write_text('[{"id": 1e400, "data": {}, "annotations": []}]')
    with pytest.raises(DataError, match=r"1e400, which no float can hold"):
        adapters.read_export(path)


def test_every_tool_is_an_adapter_that_takes_a_path(tmp_path: Path) -> None:
    from deem_crowd import adapters as offered
    from deem_crowd.plugins.registry import get_adapter

    tools = {each.name for each in known.formats()} - {"long", "files"}
    assert tools <= set(offered())
    path = written(tmp_path, "x.json", label_studio())
    with pytest.warns(DataWarning, match="left out"):
        assert get_adapter("label-studio")(path).n_answers == 3
    with pytest.raises(DataError, match="no format that is known"):
        get_adapter("prodigy")(path)
