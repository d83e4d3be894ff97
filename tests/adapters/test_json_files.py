"""JSON lines: values keep their types, objects have paths, and what is broken is named with its line."""

from __future__ import annotations

import json

import deem_crowd_adapters as adapters
import pytest

from deem_crowd.exceptions import DataError, FormError, MissingColumnError


def test_json_lines_keep_their_types(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    content = b'\xef\xbb\xbf{"task": "7", "worker": 7, "label": null}\n\n{"task": "8", "worker": 8, "label": true}\n'
    path.write_bytes(content)
    frame = adapters.read_long(path)
    assert frame["task"].tolist() == ["7", "8"]
    assert frame["worker"].tolist() == [7, 8]
    assert frame["label"].dtype == "boolean"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"task": 1,', "line 2, is not JSON"),
        (b"[1, 2, 3]", "line 2, is not a JSON object but list"),
        (b'{"task": "\xff"}', "byte 0xff at position 55 (line 2)"),
        (b'{"task": "\\ud800", "worker": 1, "label": 1}', "row 1: 'task' is '\\ud800'"),
        (b'{"task": ' + b"9" * 5000 + b"}", "line 2, is not JSON that can be read"),
        (b'{"task": ' + b"[" * 100_000, "line 2, is not JSON"),
    ],
    ids=["cut", "array", "latin1", "surrogate", "digits", "depth"],
)
def test_broken_json_lines_are_refused_with_the_line(tmp_path, line: bytes, words: str) -> None:
    path = tmp_path / "a.jsonl"
    first = b'{"task": "t", "worker": 1, "label": "first label"}'.ljust(44) + b"\n"
    path.write_bytes(first + line + b"\n")
    words = words.replace("position 55", f"position {len(first) + 10}")
    with pytest.raises(DataError) as caught:
        adapters.read_long(path)
    assert words in str(caught.value)


def test_json_that_would_be_read_silently_wrong(tmp_path) -> None:
    path = tmp_path / "x.jsonl"
    row = '{"task": 1, "worker": 2, "label": "a"}\n'
    path.write_text(row + '{"task": 1, "worker": 3, "label": "a", "label": "b"}\n')
    with pytest.raises(DataError, match=r"x.jsonl, line 2, holds the key 'label' twice"):
        adapters.from_file(path)
    path.write_text('{"task": 1, "worker": 2, "label": 1e400}\n')
    with pytest.raises(DataError, match=r"x.jsonl, row 0: 'label' is a number too large"):
        adapters.from_file(path)


def test_objects_within_lines_are_named_by_their_path(tmp_path) -> None:
    lines = [
        {"item": {"id": f"t{k}"}, "by": {"user": {"name": "ann"}}, "answer": {"value": k % 2}}
        for k in range(4)
    ]
    lines[3]["answer"] = None
    lines.append({"item": {"id": "t4"}, "by": {"user": {"name": "bob"}}, "answer.value": 1})
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    columns = {"task": "item.id", "worker": "by.user.name", "label": "answer.value"}
    frame = adapters.read_long(path, columns=columns)
    assert frame["task"].tolist() == ["t0", "t1", "t2", "t3", "t4"]
    assert frame["worker"].tolist() == ["ann"] * 4 + ["bob"]
    assert frame["label"].fillna(-1).tolist() == [0, 1, 0, -1, 1]
    with pytest.raises(
        FormError, match=r"holds 5 objects .*\.str\['id'\]; in JSON lines by its path, COLUMN\.id"
    ):
        adapters.from_file(path, columns={**columns, "task": "item"}, missing="drop")
    with pytest.raises(MissingColumnError, match="missing columns 'item.key'"):
        adapters.read_long(path, columns={**columns, "task": "item.key"})
