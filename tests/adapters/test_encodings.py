"""Text of two or four bytes a letter is called what it is, and the command that is advised makes it readable."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from deem_crowd_adapters import read_long, read_table, to_answers
from deem_crowd_adapters.exports.read import from_export
from typer.testing import CliRunner

from deem_crowd import DEEMAggregator
from deem_crowd.cli.app import app
from deem_crowd.exceptions import DataError

ROWS = [("Käse 1", "ann", "gut"), ("Käse 2", "ann", "schlecht"), ("Käse 2", "bob", "gut")]
NAMES = ("task", "worker", "label")
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
TEXTS = {
    "a.csv": "\n".join(map(",".join, [NAMES, *ROWS])) + "\n",
    "a.tsv": "\n".join(map("\t".join, [NAMES, *ROWS])) + "\n",
    "a.jsonl": "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in RECORDS),
    "a.json": json.dumps(RECORDS, ensure_ascii=False),
    "b.json": json.dumps({"results": RECORDS}, ensure_ascii=False),
    "a.xml": '<?xml version="1.0"?><annotations></annotations>',
}
CODES = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-16", "utf-32"]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("code", CODES)
def test_wide_text_is_named_with_the_way_to_convert_it(code, name, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(TEXTS[name].encode(code))
    readers = [DEEMAggregator().fit, from_export, to_answers]
    if name in ("a.csv", "a.tsv", "a.jsonl"):
        readers += [read_long, read_table]
    family = code[:6].upper()
    for read in readers:
        with pytest.raises(DataError, match=f"{name} is .*{family}") as caught:
            read(path)
        named = re.search(r"iconv -f (\S+) -t utf-8", str(caught.value))
        assert named is not None
        assert path.read_bytes().decode(named[1]).lstrip("\ufeff") == TEXTS[name]


@pytest.mark.skipif(shutil.which("iconv") is None, reason="there is no iconv here")
def test_the_command_makes_it_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXTS["a.csv"].encode("utf-16-le"))
    with pytest.raises(DataError) as caught:
        read_long(path)
    command = re.search(r"iconv .* utf-8", str(caught.value))
    assert command is not None
    done = subprocess.run([*command[0].split(), str(path)], capture_output=True, check=True)
    path.write_bytes(done.stdout)
    assert read_long(path)["task"].tolist() == [row[0] for row in ROWS]


@pytest.mark.parametrize("option", ["--gold", "--features"])
def test_other_files_of_a_command(option, tmp_path: Path) -> None:
    answers, other = tmp_path / "a.csv", tmp_path / "g.csv"
    answers.write_text(TEXTS["a.csv"], encoding="utf-8")
    other.write_bytes("task,label\nKäse 1,gut\n".encode("utf-16-le"))
    done = CliRunner().invoke(app, ["aggregate", str(answers), option, str(other)])
    assert done.exit_code == 1
    assert "g.csv is UTF-16" in done.output


def test_letters_that_are_zero_are_still_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"task,worker,label\na\x00b,w\x00,x\n\x00,w,y\n")
    assert read_long(path)["task"].tolist() == ["a\x00b", "\x00"]
    path.write_bytes("task,worker,label\nж,ж,ж\n".encode())
    assert read_long(path)["label"].tolist() == ["ж"]
