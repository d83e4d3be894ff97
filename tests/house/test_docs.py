"""The code in docs/ runs, block after block, and what it defines passes the checks it names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import processes
import pytest
from peers import OLD_PANDAS
from sklearn.datasets import load_iris
from typer.testing import CliRunner

from deem_crowd import DEEMAggregator
from deem_crowd.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
PRELUDE = """
import numpy as np
_rng = np.random.default_rng(0)
_truth = _rng.integers(3, size=100)
predictions = np.where(_rng.random((100, 6)) < 0.7, _truth[:, None], _rng.integers(3, size=(100, 6)))
"""


@pytest.mark.parametrize(
    "page", ["write-a-sampler.md", "add-an-aggregator.md", "models.md", "clusterings.md"]
)
def test_the_code_of_a_page_runs(page, tmp_path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 2
    code = PRELUDE + "\n".join(blocks)
    done = processes.python("-c", code)
    assert done.returncode == 0, done.stderr


def test_the_page_on_what_next_prints_what_it_shows() -> None:
    text = (DOCS / "what-next.md").read_text(encoding="utf-8")
    found = re.search(
        r"<!-- example -->\n```python\n(.*?)```.*?<!-- output -->\n```text\n(.*?)```", text, re.S
    )
    assert found is not None
    done = processes.python("-c", found[1])
    assert done.returncode == 0, done.stderr
    assert done.stdout == found[2]
    half, whole = (float(share) for share in re.findall(r"([\d.]+)% right", found[2])[:2])
    assert half > whole


def test_the_page_on_what_next_shows_what_the_shell_makes_of_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DOCS / "what-next.md").read_text(encoding="utf-8")
    found = re.search(
        r"<!-- shell example -->\n```python\n(.*?)```\n\n(.*?)\n\n.*?```text\n(.*?)```", text, re.S
    )
    assert found is not None
    monkeypatch.chdir(tmp_path)
    done = processes.python("-c", found[1], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in found[2].splitlines()]
    assert [line[0] for line in lines] == ["deem-crowd"] * 2
    said = [CliRunner().invoke(app, line[1:]).stderr.splitlines() for line in lines]
    table = pd.read_csv("next.csv")
    assert table.iloc[:, :3].to_csv(index=False) + said[1][-1] + "\n" == found[3]
    truth = np.array(["setosa", "versicolor", "virginica"])[load_iris().target]
    kept = pd.read_csv("keep.csv")
    right = kept["label"].to_numpy() == truth[kept["task"].str.removeprefix("flower").astype(int)]
    assert f"Of the {len(kept)} labels kept {right.mean():.0%}".replace("%", " %") in text
    answered = pd.read_csv("answers.csv")
    assert not table["task"].isin(answered["task"]).any()
    alone = DEEMAggregator().fit_predict(answered)
    right = alone.to_numpy() == truth[alone.index.str.removeprefix("flower").astype(int)]
    assert f"Without features {right.mean():.0%}".replace("%", " %") in text


def test_the_sampler_is_as_short_as_its_title_says() -> None:
    text = (DOCS / "write-a-sampler.md").read_text(encoding="utf-8")
    first = re.search(r"```python\n(.*?)```", text, re.S)
    assert len([line for line in first[1].splitlines() if line.strip()]) <= 40


def comparable(text: str) -> list[str]:
    """Return the lines of an output without what pandas 2 prints otherwise than pandas 3.

    That is the dtype of text, and how crowd-kit's MajorityVote settles ties: for the first of its columns, which pandas
    2 sorts by name.
    """
    differs = r"\b(dtype: (str|object)|MajorityVote +0\.\d+)$" if OLD_PANDAS else r"(?!)"
    return [re.sub(differs, "", line).rstrip() for line in text.rstrip().splitlines()]


@pytest.mark.parametrize(
    "page",
    [
        "your-data.md",
        "from-crowd-kit.md",
        "labelling-functions.md",
        "classifiers.md",
        "write-an-adapter.md",
    ],
)
def test_a_page_shows_what_its_code_prints(page: str, tmp_path: Path) -> None:
    """Each text block is the output of the code block before it."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```(python|text)\n(.*?)```", text, re.S)
    assert sum(kind == "text" for kind, _ in blocks) >= 1
    mark = "\x01"
    code = [f"{block}\nprint({mark!r}, end='')\n" for kind, block in blocks if kind == "python"]
    done = processes.python("-c", "\n".join(code), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = iter(done.stdout.split(mark))
    last = ""
    for kind, block in blocks:
        if kind == "python":
            last = next(printed)
        else:
            assert comparable(block) == comparable(last)
