"""What the README shows is what its code prints."""

from __future__ import annotations

import re
from pathlib import Path

import processes

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_readme_says() -> None:
    found = re.search(
        r"<!-- example -->\n```python\n(.*?)```.*?<!-- output -->\n```text\n(.*?)```", README, re.S
    )
    assert found is not None
    code, shown = found.groups()
    done = processes.python("-c", code)
    assert done.returncode == 0, done.stderr

    def lines(text: str) -> list[str]:  # pandas 2 and 3 name text dtypes differently
        return [line.rstrip() for line in text.splitlines() if "dtype" not in line]

    assert lines(done.stdout) == lines(shown)


def test_every_other_python_block_of_the_readme_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) >= 4
    prelude = blocks[1] + (
        "\nimport os, tempfile\nos.chdir(tempfile.mkdtemp())\n"
        "from deem_crowd_adapters import to_dense as _dense, write_table\n"
        "write_table(df, 'answers.parquet')\n"
        "wide = df.pivot(index='task', columns='worker', values='label')\n"
        "predictions = _dense(df).predictions\n"
    )
    code = "\n".join([prelude, blocks[0], *blocks[2:]])
    done = processes.python("-c", code)
    assert done.returncode == 0, done.stderr


def test_the_readme_is_short_and_its_links_work_on_a_package_index() -> None:
    assert len(README.splitlines()) <= 150
    targets = re.findall(r"\]\(([^)]+)\)", README)
    assert targets
    for target in targets:
        assert target.startswith("https://"), target
        if "/blob/main/" in target:
            assert (ROOT / target.partition("/blob/main/")[2]).is_file(), target
