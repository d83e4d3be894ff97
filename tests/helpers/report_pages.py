"""A report about a drawn crowd, and its page as a reader and a parser see it."""

from __future__ import annotations

import html as entities
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEMAggregator


def crowd(n: int = 300, d: int = 8, k: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    skills = np.linspace(0.35, 0.9, d)
    right = rng.random((n, d)) < skills
    matrix = np.where(right, truth[:, None], (truth[:, None] + rng.integers(1, k, (n, d))) % k)
    matrix = np.column_stack(
        [matrix, matrix[:, -2]]
    )  # the last one repeats the one before the best
    task, worker = np.nonzero(matrix >= 0)
    df = pd.DataFrame({"task": task, "worker": worker, "label": matrix[task, worker]})
    df["worker"] = [f"w{i}" for i in df["worker"]]
    return df, pd.Series(truth, name="label")


class Page(HTMLParser):
    """Tags and text of a page; fails on a tag that is not closed in order."""

    VOID = frozenset({"meta", "br", "link", "img", "use", "path", "rect", "line"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def text_of(page: str) -> str:
    bare = re.sub(r"(?s)<style.*?</style>|<svg.*?</svg>", "", page)
    return " ".join(entities.unescape(re.sub(r"<[^>]+>", " ", bare)).split())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    df, gold = crowd()
    agg = DEEMAggregator().fit(df)
    path = tmp_path_factory.mktemp("report") / "report.html"
    agg.report(path, gold=gold)
    return path, agg, df, gold
