"""Suites and reports: numbers that are right, text that is escaped, a page that needs nothing and runs nothing."""

from __future__ import annotations

import html.parser
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import planted
import pytest
from deem_crowd_benchmarks import LabelSet, Method, benchmark, suites, write_report
from deem_crowd_benchmarks.pages import figures, reports, summary
from deem_crowd_benchmarks.running import runs
from rich.console import Console
from typer.testing import CliRunner

from deem_crowd.cli.app import app
from deem_crowd.exceptions import DataError, ParameterError

CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
SHORT_DS = Method("ds", "ds", {"n_iter": 3})
HOSTILE = "<script>document.title='run'</script>"
MARK = "| **bold** [link](javascript:alert(1)) $x_1$ é中"


def hostile_set(name: str, seed: int = 0) -> LabelSet:
    """Twelve workers with names to be afraid of, right three times out of four."""
    rng = np.random.default_rng(seed)
    names = np.array([HOSTILE, MARK, *(f"w{i}" for i in range(10))], dtype=object)
    classes = np.array(["<b>yes</b>", "no|$", "'\"&"], dtype=object)
    truth = classes[rng.integers(3, size=60)]
    task, worker = np.repeat(np.arange(60), 5), rng.integers(12, size=300)
    label = np.where(rng.random(300) < 0.75, truth[task], classes[rng.integers(3, size=300)])
    frame = pd.DataFrame({"task": task, "worker": names[worker], "label": label})
    return LabelSet(
        name, frame.drop_duplicates(["task", "worker"]), pd.Series(truth, index=range(60))
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    data = [hostile_set(f"{HOSTILE} {i}", i) for i in range(2)] + [hostile_set(MARK, 9)]
    chosen = ["deem", SHORT_DS, "mv", Method("raises", planted.Raises)]
    chosen.append(Method(HOSTILE, planted.Vote))
    benchmark(data=data, methods=chosen, out=folder)
    return folder


def test_the_overview_holds_what_the_rows_say(out) -> None:
    rows = runs.read_rows(out)
    found = summary.summarise(rows, out)
    by_method = {row[0]: row for row in found.overview.rows}
    for method in ("deem", "ds", "mv"):
        mean = np.mean([row["accuracy"] for row in rows if row["method"] == method])
        assert by_method[method][1] == f"{100 * mean:.1f}"
    assert by_method["raises"][1:] == [summary.DASH] * 8
    first = float(by_method["deem"][1])
    for method in ("ds", "mv"):
        value, low, high = re.findall(r"[+−][\d.]+", by_method[method][2])
        signed = [float(v.replace("−", "-")) for v in (low, value, high)]
        assert signed == sorted(signed)
        assert signed[1] == pytest.approx(float(by_method[method][1]) - first, abs=0.11)
    ((method, what, why, n, sets),) = found.failures.rows
    assert (method, what, n) == ("raises", "failed", "3")
    assert "no such luck" in why
    assert HOSTILE in sets


def test_a_method_that_fails_on_the_hard_sets_gains_nothing(tmp_path) -> None:
    """Worse wherever it was scored, it stands below, and each of its means says that it is of fewer sets."""
    hard = {"fails"}
    rows = []
    for n, accuracy in enumerate((0.9, 0.8, 0.85, 0.4, 0.3)):
        for method, lower in (("fails", 0.02), ("good", 0.0), ("level", 0.03)):
            row = {
                "kind": "easy" if n < 3 else "hard",
                "set": f"s{n}",
                "method": method,
                "seed": 0,
                "digest": "",
            }
            row["key"] = f"{n}{method}"
            if n >= 3 and method in hard:
                rows.append({**row, "status": "failed", "reason": "too hard"})
                continue
            worse = 1 - accuracy + lower
            measured = {"accuracy": 1 - worse, "log_loss": worse, "ece": worse, "seconds": worse}
            rows.append({**row, "status": "ok", "reason": "", "coverage": 0.99, **measured})
    found = summary.summarise(rows, tmp_path, "good").overview
    assert [row[0] for row in found.rows] == ["good", "fails", "level"]
    cells = dict(zip(found.header, found.rows[1], strict=True))
    for heading, value in {
        "accuracy %": "83.0 (3)", "easy %": "83.0", "hard %": summary.DASH, "log-loss": "0.170 (3)",
        "ECE %": "17.0 (3)", "coverage %": "99.0 (3)",
    }.items():  # fmt: skip
        assert cells[heading] == value
    assert cells["seconds"] == f"{np.prod([0.12, 0.22, 0.17]) ** (1 / 3):.3f} (3)"
    assert "Methods that failed on some sets are ranked by" in found.note


def test_warnings_of_runs_are_not_for_the_page_alone(tmp_path) -> None:
    row = {
        "key": "k",
        "kind": "k",
        "set": "s",
        "method": "m",
        "seed": 0,
        "threads": 1,
        "digest": "",
    }
    rows = [
        {**row, "status": "ok", "accuracy": 0.5, "warnings": ["1 label is\n\nnot *the* likeliest"]}
    ] * 2
    found = summary.summarise(rows, tmp_path)
    assert found.warnings == ["s, m: 1 label is not *the* likeliest"]  # one line of a list each
    written = reports.markdown(found, rows)
    assert written.endswith("## Warnings\n\n- s, m: 1 label is not \\*the\\* likeliest\n")
    assert found.warnings[0] in reports.html(found, rows, tmp_path)


def test_all_numbers_of_the_details_come_from_rows(out) -> None:
    rows = runs.read_rows(out)
    table = next(t for t in summary.summarise(rows, out).details if t.title.startswith("Log-loss"))
    column = table.header.index("deem")
    for name, *cells in table.rows[:3]:
        (row,) = [r for r in rows if r["set"] == name and r["method"] == "deem"]
        assert cells[column - 1] == f"{row['log_loss']:.3f}"


class Page(html.parser.HTMLParser):
    """Which tags there are, and the text of cells."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]
        assert not any(k.startswith("on") for k, _ in attrs)

    def handle_data(self, data) -> None:
        self.text += data


def test_names_cannot_become_code(out) -> None:
    text = (out / reports.HTML).read_text()
    page = Page()
    page.feed(text)
    assert "script" not in page.tags
    assert not {"img", "image", "iframe", "object", "link"} & set(page.tags)
    assert all(link.startswith("#") for link in page.links)
    assert HOSTILE in page.text
    assert MARK in page.text
    assert "<b>" not in text.replace("<body>", "")
    markdown = (out / reports.MARKDOWN).read_text()
    assert re.search(r"(?<!\\)<", markdown) is None  # every bracket is escaped
    for block in markdown.split("\n\n"):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert not block.startswith("|") or len(bars) == 1  # as many cells in every row


def test_every_picture_that_belongs_there(out) -> None:
    found = reports.pictures(summary.summarise(runs.read_rows(out), out), runs.read_rows(out), out)
    assert [p.title for p in found] == [
        "Accuracy per set", "Accuracy against time", "Critical differences", "Reliability", "Confusion matrices",
    ]  # fmt: skip
    assert all(p.svg.startswith("<svg") and "<image" not in p.svg for p in found)


@pytest.mark.parametrize("ratio", [1, 1.0001, 1.02, 3, 1e6])
def test_methods_as_fast_as_one_another_are_drawn(ratio) -> None:
    """However close two times are, there is room for axes beside the names."""
    accuracies = pd.DataFrame({"one": [0.7, 0.8], "the other": [0.7, 0.9]})
    seconds = pd.DataFrame({"one": [0.02, 0.03], "the other": [0.02 * ratio, 0.03 * ratio]})
    assert "the other" in figures.accuracy_against_time(accuracies, seconds)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_opens_it_without_errors_and_without_a_network(out, tmp_path, width) -> None:
    asked = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            if (
                re.search(r"google|gstatic|chromium|gvt1", self.path) is None
            ):  # the browser's own housekeeping
                asked.append(self.path)
            self.send_error(502)

        do_GET = do_CONNECT = do_POST = _refuse

        def log_message(self, *_) -> None:
            pass

    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
            "--disable-background-networking", "--disable-component-update",
            f"--user-data-dir={tmp_path / 'profile'}", f"--proxy-server=127.0.0.1:{proxy.server_port}",
            f"--window-size={width},3000", f"--screenshot={tmp_path / 'page.png'}", "--dump-dom",
            (out / reports.HTML).as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    finally:
        proxy.shutdown()
    assert "CONSOLE" not in done.stderr, done.stderr  # neither errors nor blocked content
    assert asked == []
    assert "<title>Aggregators side by side</title>" in done.stdout
    from matplotlib.image import imread

    picture = imread(tmp_path / "page.png")
    assert picture.shape[1] == width
    assert (picture[..., :3].min(axis=2) < 0.5).mean() > 0.005  # something is on it


def test_reports_are_written_whole_or_not_at_all(out, monkeypatch) -> None:
    before = (out / reports.HTML).read_text()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_report(out)
    assert (out / reports.HTML).read_text() == before
    assert not [p for p in out.iterdir() if p.name.startswith(".")]


def test_a_folder_without_results(tmp_path) -> None:
    with pytest.raises(DataError, match="holds no results"):
        write_report(tmp_path)


# -------------------------------------------------------------------------- suites


def test_scaling_measures_what_follows_the_answers(tmp_path) -> None:
    from deem_crowd_benchmarks.sets.label_set import Source
    from deem_crowd_benchmarks.sets.label_sets import CrowdOf

    sizes = (2000, 4000, 8000)
    data = [
        Source(f"{n:,} answers", summary.SCALE, CrowdOf(n), drawn=True, large=True) for n in sizes
    ]
    found = benchmark(data=data, methods=["deem", SHORT_DS], out=tmp_path)
    assert found.overview is None
    at = found.scaling.header.index("ds / deem")
    assert all(float(row[at]) > 0 for row in found.scaling.rows[:-1])
    assert "ds / ds" not in found.scaling.header
    assert [row[0] for row in found.scaling.rows] == ["2,000", "4,000", "8,000", "slope"]
    rows = runs.read_rows(tmp_path)
    assert all(row["seconds"] > 0 for row in rows)
    assert not list((tmp_path / runs.HITS).iterdir())
    assert "Scaling" in (tmp_path / reports.HTML).read_text()


def test_a_size_that_the_peer_fails_on_has_no_ratio() -> None:
    failed = {"status": "memory", "reason": "the limit is 8 GB"}
    rows = [
        {"kind": summary.SCALE, "set": f"{n:,} answers", "method": method, "seed": 0}
        | (
            failed
            if (method, n) == ("ds", 4000)
            else {"status": "ok", "n_answers": n, "seconds": 2}
        )
        for n in (2000, 4000)
        for method in ("deem", "ds")
    ]
    found = summary.summarise(rows, Path("nowhere")).scaling
    at = found.header.index("ds / deem")
    assert [row[at] for row in found.rows[:2]] == ["1.0", summary.DASH]


def test_named_suites_fit_what_there_is() -> None:
    from deem_crowd_benchmarks.running import methods
    from deem_crowd_benchmarks.sets import label_sets

    for suite in suites.SUITES.values():
        if suite.data:
            assert label_sets.sources(suite.data)
        if suite.methods:
            assert methods.methods(suite.methods)
    assert suites.everything().startswith("deem, ds, glad")


def test_arguments_that_make_no_sense(tmp_path) -> None:
    for arguments, words in (
        ({"suite": "quik"}, "did you mean 'quick'"),
        ({"suite": "crowd"}, "needs data"),
        ({"data": "law:tree", "seeds": 0}, "seeds=0"),
        ({"data": "law:tree", "limit_seconds": 0}, "limit_seconds=0"),
        ({"suite": "samplers", "methods": "gibs"}, "no sampler is called 'gibs'"),
    ):
        with pytest.raises(ParameterError, match=words):
            benchmark(out=tmp_path / "new", **arguments)
    assert not (tmp_path / "new" / runs.RESULTS).exists()


def test_the_shell_command(tmp_path) -> None:
    folder = tmp_path / "data" / "one"
    folder.mkdir(parents=True)
    data = hostile_set("x")
    data.answers.to_csv(folder / "labels.csv", index=False)
    data.gold.rename_axis("task").rename("label").to_csv(folder / "truth.csv")
    arguments = ["benchmark", "--data", str(tmp_path / "data"), "--methods", "mv, ds(n_iter=3)"]
    arguments += ["--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "Overview" in done.output
    assert "ds(n_iter=3)" in done.output
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["method"] for line in lines] == ["mv", "ds(n_iter=3)"]
    assert CliRunner().invoke(app, ["benchmark", "--data", "nowhere"]).exit_code == 2
    assert (
        CliRunner().invoke(app, ["benchmark", "--data", str(folder.parent.parent)]).exit_code == 1
    )


def test_one_of_a_kind_is_counted_in_the_singular() -> None:
    row = {"kind": "k", "set": "s", "method": "m", "seed": 0, "threads": 1}
    assert reports.facts([row]).startswith("1 run; 1 method on 1 label set; 1 seed; ")
    two = [{**row, "set": s, "method": m, "seed": i} for i, (s, m) in enumerate(("ab", "cd"))]
    assert reports.facts(two).startswith("2 runs; 2 methods on 2 label sets; 2 seeds; ")


def test_tables_for_the_terminal_take_any_text(out) -> None:
    console = Console(width=250, record=True, file=io.StringIO())
    for table in reports.tables_of(summary.summarise(runs.read_rows(out), out)):
        for part in reports.rich_tables(table, console.width):
            console.print(part)
    assert HOSTILE in console.export_text()
