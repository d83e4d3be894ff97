"""Result files of the benchmark that nobody's benchmark wrote: one line and a status."""

from __future__ import annotations

import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from cases import Case
from deem_crowd.cli.app import app

FAMILY = "result files"
LINE = ["benchmark", "--data", "law:few-tasks", "--methods", "mv", "--seeds", "1"]
NO_RESULT = "status 1: is no result: remove the line or the file"
NOT_OURS = "status 2: not a folder of benchmark results"
SOUND = "status 0"


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*LINE, *arguments], env={"COLUMNS": "400"})
    return result.exit_code, result.stderr


@functools.cache
def original() -> tempfile.TemporaryDirectory[str]:
    """Return a folder with the results of one run."""
    folder = tempfile.TemporaryDirectory()
    assert call("--out", f"{folder.name}/out")[0] == 0
    return folder


def copied() -> tuple[Path, bytes]:
    """Copy the results here; return where, and their only line."""
    shutil.copytree(f"{original().name}/out", "out")
    return Path("out"), Path("out/results.jsonl").read_bytes().strip()


CURVE = {"tasks": [1], "confidence": [0.5]}
WORKER = {"worker": "a", "answers": 1, "classes": ["a"]}
FIELDS: dict[str, tuple[Any, str]] = {
    **{f"{name} is null": ({name: None}, NO_RESULT)
       for name in ("kind", "set", "method", "status", "origin", "digest", "seed", "accuracy", "seconds", "workers",
                    "parameters", "reliability", "warnings")},
    **{f"{name} is text": ({name: "x"}, NO_RESULT)
       for name in ("seed", "accuracy", "seconds", "workers", "parameters", "reliability", "warnings")},
    **{f"{name} is a list": ({name: [1]}, NO_RESULT)
       for name in ("kind", "set", "method", "status", "seed", "accuracy", "parameters", "reliability")},
    "not a number": ({"accuracy": float("nan")}, NO_RESULT),
    "infinite": ({"accuracy": float("inf")}, NO_RESULT),
    "half a character": ({"reason": "\ud800"}, NO_RESULT),
    "a curve without its bins": ({"reliability": {"a": [1]}}, NO_RESULT),
    "a curve of text": ({"reliability": CURVE | {"accuracy": ["x"]}}, NO_RESULT),
    "a curve cut short": ({"reliability": CURVE | {"accuracy": [0.5, 0.5]}}, NO_RESULT),
    "workers that are numbers": ({"workers": [5]}, NO_RESULT),
    "a worker without tables": ({"workers": [WORKER]}, NO_RESULT),
    "tables of text": ({"workers": [WORKER | {"gold": [["x"]], "estimated": [["x"]]}]}, NO_RESULT),
    "tables of another shape": ({"workers": [WORKER | {"gold": 5, "estimated": 5}]}, NO_RESULT),
    "a name that paints": ({"method": "<script>\x1b[2J"}, SOUND),
    "a long reason": ({"reason": "x" * 10**6, "status": "failed"}, SOUND),
    "a large number": ({"accuracy": 1e308}, SOUND),
}  # fmt: skip


def field(change: dict[str, Any], folder: Path) -> tuple[int, str]:
    out, line = copied()
    (out / "results.jsonl").write_text(json.dumps(json.loads(line) | change) + "\n")
    return checked(call("--out", "out"))


def checked(found: tuple[int, str]) -> tuple[int, str]:
    assert "unexpected" not in found[1], found[1]
    assert "\x1b" not in found[1]
    return found


DEEP = b"[" * 100_000
LINES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "deep": (lambda line: line[:-1] + b', "x": ' + DEEP + b"]" * 100_000 + b"}\n", NO_RESULT),
    "deep without an end": (lambda line: line[:-1] + b', "x": ' + DEEP + b"\n", NO_RESULT),
    **{f"a line {content!r}": (lambda line, content=content: line + b"\n" + content + b"\n", NO_RESULT)
       for content in (b"[1]", b'"x"', b"5", b"null", b"{}", b"{", b"\xff\xfe", bytes(99), b"9" * 5000)},
    "a byte order mark": (lambda line: b"\xef\xbb\xbf" + line + b"\n", NOT_OURS),
    "a key that is a number": (lambda line: b'{"key": 5}\n', NOT_OURS),
    "lines ended twice": (lambda line: line + b"\r\n", SOUND),
    "empty lines": (lambda line: b"\n" + line + b"\n\n\n", NOT_OURS),
    "cut short": (lambda line: line + b"\n" + line[:50], SOUND),
    "without an end": (lambda line: line, SOUND),
    "a key twice": (lambda line: line[:-1] + b', "accuracy": "x"}\n', NO_RESULT),
    "empty": (lambda line: b"", NOT_OURS),
}  # fmt: skip


def lines(change: Callable[[bytes], bytes], folder: Path) -> tuple[int, str]:
    out, line = copied()
    (out / "results.jsonl").write_bytes(change(line))
    return checked(call("--out", "out"))


LOCKS: dict[bytes, str] = {
    b"": SOUND,
    b"0": SOUND,
    b"1": "status 2: being written to by process 1",
    **dict.fromkeys((b"-1", b" 1 ", b"text", b"\xff\x00", "²".encode(), b"9" * 400, b"9" * 5000), NOT_OURS),
}  # fmt: skip


def lock(content: bytes, folder: Path) -> tuple[int, str]:
    out, _ = copied()
    (out / "running").write_bytes(content)
    return checked(call("--out", "out"))


def hits(change: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda out: [change(path) for path in (out / "hits").iterdir()]


HUGE = b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000,), }".ljust(117)
FOLDERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a lock that is a folder": (lambda out: (out / "running").mkdir(), NOT_OURS),
    "a lock that is a pipe": (lambda out: os.mkfifo(out / "running"), NOT_OURS),
    "a lock that leads nowhere": (lambda out: (out / "running").symlink_to("nowhere"), SOUND),
    "hits that are no array": (hits(lambda path: path.write_bytes(b"\x93NUMPYxx")), SOUND),
    "hits of two axes": (hits(lambda path: np.save(path, np.zeros((3, 3)))), SOUND),
    "hits that are text": (hits(lambda path: np.save(path, np.array(["a"]))), SOUND),
    "hits that are objects": (hits(lambda path: np.save(path, np.array([{}]), allow_pickle=True)), SOUND),
    "hits of 400 GB": (hits(lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v\x00" + HUGE + b"\n")), SOUND),
    "hits gone": (lambda out: shutil.rmtree(out / "hits"), SOUND),
}  # fmt: skip


def inside(change: Callable[[Path], Any], folder: Path) -> tuple[int, str]:
    out, _ = copied()
    change(out)
    return checked(call("--out", "out"))


CASES = [
    *(Case(FAMILY, name, functools.partial(field, change), expected) for name, (change, expected) in FIELDS.items()),
    *(Case(FAMILY, name, functools.partial(lines, change), expected) for name, (change, expected) in LINES.items()),
    *(Case(FAMILY, f"lock {content[:9]!r} of {len(content)}", functools.partial(lock, content), expected)
      for content, expected in LOCKS.items()),
    *(Case(FAMILY, name, functools.partial(inside, change), expected) for name, (change, expected) in FOLDERS.items()),
]  # fmt: skip
