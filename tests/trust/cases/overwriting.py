"""Outputs that are inputs under another name: refused before anything is read, and nothing is lost."""

from __future__ import annotations

import functools
import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from cases import Case
from deem_crowd.cli.app import app

FAMILY = "outputs that are inputs"
ROWS = [(f"t{t}", f"w{w}", "xy"[(t + (w == t % 4)) % 2]) for t in range(6) for w in range(4)]
REFUSED = "status 2: which is read"


def fill() -> None:
    frame = pd.DataFrame(ROWS, columns=["task", "worker", "label"])
    frame.to_csv("a.csv", index=False)
    with gzip.open("z.csv.gz", "wt") as file:
        frame.to_csv(file, index=False)
    Path("g.csv").write_text("task,label\nt0,x\nt1,y\n")
    for folder in ("parts/deep", "other", "d"):
        os.makedirs(folder)
    frame[:12].to_parquet("parts/one.parquet")
    frame[12:].to_parquet("parts/deep/two.parquet")
    frame.to_csv("d/a.csv", index=False)


def contents() -> dict[str, bytes]:
    files = (p for p in Path().rglob("*") if p.is_file() and not p.is_symlink())
    return {str(p): p.read_bytes() for p in files}


def call(arguments: list[str]) -> tuple[int, str]:
    """Run the shell where it must not change what is there."""
    before = contents()
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "600"})
    after = contents()
    assert {name: after.get(name) for name in before} == before
    return result.exit_code, result.stderr


def linked(target: str, link: Callable[[str, str], None]) -> str:
    name = "alias" + "".join(Path(target).suffixes)
    link(target, name)
    return name


def chained(target: str, name: str) -> None:
    os.symlink(target, "first")
    os.symlink("first", name)


def parent(target: str) -> str:
    os.symlink(".", "here")
    return f"here/{target}"


ALIASES: dict[str, Callable[[str], str]] = {
    "itself": str,
    "with a dot": lambda target: f"./{target}",
    "with two slashes": lambda target: f".//{target}",
    "absolute": os.path.abspath,
    "by way of another folder": lambda target: f"d/../{target}",
    "by way of the process": lambda target: f"/proc/self/cwd/{target}",
    "a hard link": lambda target: linked(target, os.link),
    "a symbolic link": lambda target: linked(target, os.symlink),
    "an absolute link": lambda target: linked(target, lambda a, b: os.symlink(os.path.abspath(a), b)),
    "a link to a link": lambda target: linked(target, chained),
    "a linked folder": parent,
}  # fmt: skip
LINES = {
    "labels": ("aggregate {i} -o {o}", ("a.csv", "z.csv.gz", "parts/one.parquet")),
    "workers": ("aggregate {i} -o l.csv --workers {o}", ("a.csv",)),
    "errors": ("aggregate {i} -o l.csv --errors {o}", ("a.csv",)),
    "probabilities": ("aggregate {i} -o l.csv --proba {o}", ("a.csv",)),
    "gold": ("aggregate a.csv --gold {i} -o {o}", ("g.csv",)),
    "the second file": ("aggregate d/a.csv {i} -o {o}", ("a.csv",)),
    "next": ("next {i} -o {o}", ("a.csv",)),
    "suspects": ("suspects {i} -o {o}", ("a.csv",)),
    "keep": ("keep {i} -o {o}", ("a.csv",)),
    "gold of keep": ("keep a.csv --gold {i} -o {o}", ("g.csv",)),
}


def renamed(line: str, target: str, alias: str, given: bool, folder: Path) -> tuple[int, str]:
    fill()
    other = ALIASES[alias](target)
    names = {"i": other, "o": target} if given else {"i": target, "o": other}
    return call(LINES[line][0].format(**names).split())


def moved_and_linked() -> None:
    shutil.move("parts/deep/two.parquet", "other/two.parquet")
    os.symlink("../other", "parts/linked")


def file_linked() -> None:
    shutil.move("parts/deep/two.parquet", "two.parquet")
    os.symlink("../../two.parquet", "parts/deep/two.parquet")


def circled() -> None:
    os.symlink("..", "parts/deep/up")


def with_a_space() -> None:
    os.rename("parts/one.parquet", "parts/o ne.parquet")


def nothing() -> None:
    pass


PLACES: dict[str, tuple[Callable[[], object], list[str]]] = {
    "a file of a linked folder": (moved_and_linked, ["parts", "other/two.parquet"]),
    "a new file of a linked folder": (moved_and_linked, ["parts", "other/three.parquet"]),
    "a file that is linked in the folder": (file_linked, ["parts", "two.parquet"]),
    "a folder that is linked in a circle": (circled, ["parts", "parts/deep/up/x.csv"]),
    "a URI": (nothing, ["file://{}/parts/one.parquet", "parts/one.parquet"]),
    "a URI with a host": (nothing, ["file://localhost{}/parts/one.parquet", "parts/one.parquet"]),
    "a URI with three slashes more": (nothing, ["file:///{}/parts/one.parquet", "parts/one.parquet"]),
    "a URI with dots": (nothing, ["file://{}/d/../parts/one.parquet", "parts/one.parquet"]),
    "a URI with a query": (nothing, ["file://{}/parts/one.parquet?a=b", "parts/one.parquet"]),
    "a URI with a space": (with_a_space, ["file://{}/parts/o%20ne.parquet", "parts/o ne.parquet"]),
    "a URI of fsspec": (nothing, ["local://{}/parts/one.parquet", "parts/one.parquet"]),
    "a URI by way of a cache": (nothing, ["simplecache::file://{}/parts/one.parquet", "parts/one.parquet"]),
    "a URI of a folder": (nothing, ["file://{}/parts", "parts/deep/two.parquet"]),
    "a URI of a folder, a new file": (nothing, ["file://{}/parts", "parts/three.parquet"]),
    "a URI with a pattern": (nothing, ["file://{}/parts/*.parquet", "parts/one.parquet"]),
    "a URI with a pattern, a new file": (nothing, ["file://{}/parts/*.parquet", "parts/three.parquet"]),
    "a pattern through folders": (nothing, ["parts/**/*.parquet", "parts/deep/two.parquet"]),
    "a pattern of one file": (nothing, ["parts/[o]ne.parquet", "parts/one.parquet"]),
    "a pattern of folders": (nothing, ["p*/one.parquet", "parts/one.parquet"]),
    "a folder of CSV files": (nothing, ["d", "d/labels.csv"]),
    "a folder in a folder": (lambda: os.makedirs("d/e"), ["d", "d/e/labels.csv"]),
    "a hidden file": (nothing, ["d", "d/.labels.csv"]),
}  # fmt: skip


def placed(name: str, folder: Path) -> tuple[int, str]:
    fill()
    prepare, (source, output) = PLACES[name]
    prepare()
    return call(["aggregate", source.replace("{}", os.path.abspath("")), "-o", output])


def reported(link: Callable[[str, str], None], source: str, folder: Path) -> tuple[int, str]:
    fill()
    link(source, "r.html")
    return call(["report", "a.csv", "--gold", "g.csv", "-o", "r.html"])


CASES = [
    *(
        Case(FAMILY, f"{line} of {target}, {alias}, {'read' if given else 'written'}",
             functools.partial(renamed, line, target, alias, given), REFUSED)
        for line, (_, targets) in LINES.items() for target in targets
        for alias in ALIASES for given in (False, True) if alias != "itself" or not given
    ),
    *(Case(FAMILY, name, functools.partial(placed, name), REFUSED) for name in PLACES),
    *(
        Case(FAMILY, f"a report, {name} to {source}", functools.partial(reported, link, source), REFUSED)
        for name, link in (("a hard link", os.link), ("a symbolic link", os.symlink)) for source in ("a.csv", "g.csv")
    ),
]  # fmt: skip
