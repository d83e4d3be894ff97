"""The report: what it says, that it says it of any answers, and that it fetches and runs nothing."""

from __future__ import annotations

import itertools
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_pages import Page, crowd, text_of, written
from sklearn.exceptions import NotFittedError

from deem_crowd import DEEM, DataError, DEEMAggregator, plots
from deem_crowd.exceptions import ParameterError
from deem_crowd.insight import reliability
from deem_crowd.report.figures import draw
from deem_crowd.report.page import isolated as page_isolated
from deem_crowd.report.page import write_report

__all__ = ["written"]

pytestmark = pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
SHARED = Path(__file__).parents[3] / "shared" / "data"


def test_it_says_what_the_tables_say(written) -> None:
    path, agg, _, gold = written
    text = text_of(path.read_text(encoding="utf-8"))
    tasks = agg.tasks_
    sure = tasks["confidence"] >= 0.95
    assert f"{sure.sum()} labels of 300" in text
    right = (agg.labels_ == gold.reindex(agg.labels_.index)).mean()
    assert f"On 300 tasks with gold {100 * right:.0f} %" in text or f"{100 * right:.1f} %" in text
    assert "Workers w6 and w8 repeat one another" in text
    contested = int(agg.contested_.sum())
    assert f"{contested} tasks of 300" in text
    worst = agg.workers_["skill"].idxmin()
    unreliable = text[text.index("Who is unreliable?", text.index("Details")) :]
    assert worst in unreliable[: unreliable.index("Who repeats whom?")]


def test_it_fetches_and_runs_nothing(written) -> None:
    text = written[0].read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "image", "iframe", "object", "embed", "form"}
    policy = [a["content"] for t, a in page.tags if a.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"href", "src", "xlink:href"}:
                assert value.startswith("#"), (tag, value)
    assert not re.search(r"url\((?!#)", text.replace('"', "").replace("'", ""))
    assert "@import" not in text


def test_names_that_no_font_has_here_are_left_to_the_browser() -> None:
    model = DEEMAggregator().fit(crowd(seed=0, n=40)[0].replace({"w1": "山田"}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "山田" in draw("Skills", "Of workers.", plots.skills, model).svg


def test_headings_and_pictures_have_texts(written) -> None:
    page = Page(written[0].read_text(encoding="utf-8"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    pictures = [a for _, a in page.tags if a.get("role") == "img"]
    assert len(pictures) >= 4
    assert all(len(a["aria-label"]) > 20 for a in pictures)
    assert sum(tag == "svg" for tag, _ in page.tags) == len(pictures)
    targets = {a["id"] for _, a in page.tags if a.get("id")}
    links = [a["href"][1:] for t, a in page.tags if t == "a"]
    assert len(links) >= 6
    assert set(links) <= targets
    assert [a["lang"] for t, a in page.tags if t == "html"] == ["en"]


def test_it_says_what_to_do_next(written) -> None:
    path, agg, _, gold = written
    text = text_of(path.read_text(encoding="utf-8"))
    text = text[text.index("Details") :]  # behind the contents
    kept = agg.reliable(0.95)
    truth = gold.reindex(kept.labels.index)
    share = (
        f"{100 * kept.coverage:.0f} %" if kept.coverage > 0.1 else f"{100 * kept.coverage:.1f} %"
    )
    section = text[text.index("Which labels can be kept?") :]
    assert 0 < len(kept.labels) < 300
    assert f"0.95 {len(kept.labels)} {share}" in section[: section.index("0.99 ")]
    right = f"{100 * (kept.labels == truth).mean():.1f}"
    assert right.removesuffix(".0") in section[: section.index("0.99 ")]
    suspects = agg.suspect_answers()
    section = text[text.index("Which answers are suspect?") :]
    assert f"{(suspects['score'] > 0.5).sum():,} answers of {len(suspects):,}" in section
    assert "chance that it is wrong" not in section  # the score ranks; the chance is another number
    worst = suspects.iloc[0]
    row = f"{worst['task']} {worst['worker']} {worst['label']} {worst['suggested']} "
    assert row + f"{worst['score']:.3f}" in section
    tasks = agg.next_tasks(20)
    section = text[text.index("Which tasks should be answered next?") :]
    gain = tasks["expected_gain"].sum()
    word = f"expected to set {gain:.1f} labels right" if gain >= 0.05 else "No single answer"
    assert word in section
    first = next(tasks.itertuples())
    assert f"{first.task} {first.label} {first.confidence:.3f} 9 " in section


@pytest.mark.usefixtures("figures_left_out")
def test_where_all_labels_are_known_nothing_is_asked(tmp_path) -> None:
    df, gold = crowd(60)
    agg = DEEMAggregator().fit(df, gold=gold)
    agg.report(tmp_path / "r.html")
    text = text_of((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "Which tasks should be answered next? None: every label is known." in text
    wrong = int((df["label"] != gold.reindex(df["task"]).to_numpy()).sum())
    assert f"{wrong} answers of {len(df)}" in text


def test_labels_that_fit_was_given_are_not_counted_as_right(written, tmp_path) -> None:
    """They are right whatever the fit does: only the others tell how many labels are right, if there are any."""
    _, _, df, gold = written
    path = tmp_path / "r.html"
    agg = DEEMAggregator().fit(df, gold=gold[:100])
    agg.report(path, gold=gold)
    text = text_of(path.read_text(encoding="utf-8"))
    right = (agg.labels_ == gold.reindex(agg.labels_.index))[100:].mean()
    found = re.search(
        r"On (\d+) tasks with gold that the fit has not seen ([\d.]+) % are right", text
    )
    assert found is not None
    assert int(found[1]) == 200
    assert float(found[2]) == pytest.approx(100 * right, abs=0.5)
    assert "true, on 200 tasks with gold" in path.read_text(encoding="utf-8")
    agg.report(path, gold=gold[:100])
    text = text_of(path.read_text(encoding="utf-8"))
    assert "all of it was given to the fit" in text
    assert "right on gold" not in text
    assert "On gold" not in text
    assert "Workers against gold" in text
    with pytest.raises(DataError, match="fit has not seen"):
        plots.calibration(agg, gold=gold[:100])


def test_one_task_has_no_interval_of_agreement(tmp_path) -> None:
    df = pd.DataFrame({"task": 1, "worker": range(8), "label": list("aaaaaabc")})
    DEEMAggregator().fit(df).report(tmp_path / "r.html")
    assert "nan" not in text_of((tmp_path / "r.html").read_text(encoding="utf-8"))


FORMS = {
    "one task": pd.DataFrame({"task": [1, 1], "worker": ["a", "b"], "label": ["x", "y"]}),
    "one worker": pd.DataFrame({"task": [1, 2], "worker": ["a", "a"], "label": ["x", "y"]}),
    "one class": pd.DataFrame({"task": [1, 1, 2], "worker": ["a", "b", "a"], "label": ["x"] * 3}),
    "one answer": pd.DataFrame({"task": [1], "worker": ["a"], "label": ["x"]}),
}


@pytest.mark.parametrize("form", FORMS)
def test_small_data_are_reported(form, tmp_path) -> None:
    DEEMAggregator().fit(FORMS[form]).report(tmp_path / "r.html", gold={1: "x"})
    assert "How many labels can I trust?" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_what_cannot_be_reported_says_why_and_writes_nothing(tmp_path) -> None:
    path = tmp_path / "r.html"
    df, gold = crowd(60)
    empty = DEEMAggregator().fit(df[:0])
    with pytest.raises(DataError, match="no answers"):
        empty.report(path)
    with pytest.raises(NotFittedError):
        DEEM().report(path)
    agg = DEEMAggregator().fit(df)
    with pytest.raises(ParameterError, match=r"r\.txt'.* ends in \.html"):
        agg.report(tmp_path / "r.txt")
    with pytest.raises(DataError, match="gold"):
        agg.report(path, gold=gold[:0])
    agg.save(tmp_path / "model")
    loaded = DEEMAggregator.load(tmp_path / "model")
    with pytest.raises(DataError, match="answers=df"):
        loaded.report(path)
    assert not path.exists()
    loaded.report(path, answers=df)
    agg.report(tmp_path / "again.html")
    assert path.read_text(encoding="utf-8") == (tmp_path / "again.html").read_text(encoding="utf-8")
    partial = DEEMAggregator().partial_fit(df[:300]).partial_fit(df[300:])
    partial.report(path)
    assert "60 tasks" in path.read_text(encoding="utf-8")


def test_hostile_ids_are_escaped_and_shortened(tmp_path) -> None:
    hostile = [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "\u202egnp.exe\x00\x1b[31m\r\n",
        "y" * 10_000,
        "{{ 7 * 7 }}",
    ]
    rng = np.random.default_rng(0)
    rows = [(t, w, hostile[rng.integers(3)]) for t in hostile for w in hostile]
    agg = DEEMAggregator().fit(pd.DataFrame(rows, columns=["task", "worker", "label"]))
    agg.report(tmp_path / "r.html")
    raw = (tmp_path / "r.html").read_bytes()
    text = raw.decode("utf-8")
    names = {tag for tag, _ in Page(text).tags}
    assert not names & {"script", "img"}
    assert "&lt;script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy" not in text
    assert not set(text) & {"\u202e", "\x00", "\x1b", "\r"}


def test_words_from_right_to_left_stay_in_their_place(tmp_path) -> None:
    names = ["\u05d0\u05dc\u05d3\u05d3 1", "\u0645\u0631\u062d\u0628\u0627", "ann"]
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=60)
    rows = [
        (n, who, int(t if rng.random() < p else 1 - t))
        for n, t in enumerate(truth)
        for who, p in zip(names, (0.5, 0.9, 0.9), strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    DEEMAggregator().fit(frame).report(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    bare = re.sub(r"(?s)<svg.*?</svg>", "", text)
    found = re.findall(r"(<bdi>)?([\u0590-\u06ff]+)(</bdi>)?", bare)
    assert len(found) > 4
    assert all(begin and end for begin, _, end in found)
    assert page_isolated("<b> \u05d0") == "&lt;b&gt; <bdi>\u05d0</bdi>"


def test_a_large_report_stays_small(tmp_path) -> None:
    rng = np.random.default_rng(0)
    n, d = 100_000, 300
    truth = rng.integers(3, size=n).repeat(3)
    label = np.where(rng.random(3 * n) < 0.6, truth, rng.integers(3, size=3 * n))
    df = pd.DataFrame(
        {"task": np.arange(n).repeat(3), "worker": rng.integers(d, size=3 * n), "label": label}
    ).drop_duplicates(["task", "worker"])
    agg = DEEMAggregator(auto_hyperparameters=False, n_iter=5).fit(df)
    agg.report(tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size < 5e6


@pytest.mark.parametrize("name", ["crowd/web", "ensemble/csgo", "judges/llmbar_adversarial"])
def test_real_sets_are_reported(name, tmp_path) -> None:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not among the shared data")
    df = pd.read_csv(folder / "labels.csv.gz")
    gold = pd.read_csv(folder / "truth.csv.gz").set_index("task")["label"]
    gold = gold[gold.isin(df["label"].unique())]
    agg = DEEMAggregator().fit(df)
    write_report(agg, tmp_path / "r.html", gold=gold)
    right = (agg.labels_.reindex(gold.index) == gold).mean()
    text = text_of((tmp_path / "r.html").read_text(encoding="utf-8"))
    said = re.search(r"On [\d,]+ tasks with gold ([\d.]+) % are right", text)
    assert float(said[1]) == pytest.approx(100 * right, abs=0.51)


@pytest.mark.usefixtures("figures_left_out")
def test_workers_are_rated_once(monkeypatch, tmp_path) -> None:
    rated = []
    whole = reliability.dependence_on_tasks

    def counted(*arguments):
        rated.append(whole(*arguments))
        return rated[-1]

    monkeypatch.setattr(reliability, "dependence_on_tasks", counted)
    df, truth = crowd(n=60)
    write_report(DEEMAggregator().fit(df), tmp_path / "r.html", gold=truth)
    assert len(rated) == 1
