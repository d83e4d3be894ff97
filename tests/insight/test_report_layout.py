"""The report in a browser: nothing overflows or is clipped, and figures keep their style."""

from __future__ import annotations

import html as entities
import json
import re
import shutil
import subprocess
from pathlib import Path

import matplotlib as mpl
import pytest
from report_pages import crowd, written

from deem_crowd import DEEMAggregator
from deem_crowd.report import figures

__all__ = ["written"]

pytestmark = pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def test_figures_do_not_follow_the_style_of_the_caller() -> None:
    def bars(ax) -> None:
        ax.barh(["a", "b"], [1, 2])

    plain = figures.draw("t", "c", bars)
    with mpl.rc_context({"ytick.labelsize": 30, "axes.spines.top": False, "figure.dpi": 40}):
        assert figures.draw("t", "c", bars) == plain
        assert mpl.rcParams["ytick.labelsize"] == 30


MEASURE = """<script>
window.addEventListener("load", () => {
  const wide = [...document.querySelectorAll("body *")].filter(e => {
    if (e.closest(".wide") && !e.classList.contains("wide")) return false;
    if (e.closest("svg") && e.tagName !== "svg") return false;
    return e.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
  }).map(e => e.tagName);
  const clipped = [...document.querySelectorAll("svg")].flatMap(s => {
    const b = s.getBoundingClientRect();
    return [...s.querySelectorAll("text")].filter(t => {
      const r = t.getBoundingClientRect();
      return r.width && (r.left < b.left - 2 || r.right > b.right + 2 || r.top < b.top - 2 || r.bottom > b.bottom + 2);
    }).map(t => t.textContent);
  });
  const page = getComputedStyle(document.body);
  const seen = JSON.parse(parent.document.title || "{}");
  seen[window.name] = {
    width: document.documentElement.clientWidth, scroll: document.documentElement.scrollWidth,
    wide, clipped, ink: page.color, ground: page.backgroundColor,
    axis: getComputedStyle(document.querySelector("svg text")).fill,
    texts: document.querySelectorAll("svg text").length,
  };
  parent.document.title = JSON.stringify(seen);
});
</script>"""
WIDTHS = (1400, 400)


def laid_out(path: Path, dark: bool, folder: Path) -> dict[int, dict]:
    """Return what chromium measures of a page, in a frame of each width."""
    text = path.read_text(encoding="utf-8")
    probe = folder / "probe.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    inner = entities.escape(text.replace("</head>", MEASURE + "</head>"))
    # in a frame, because chromium's windows have a least width
    frames = "".join(
        f'<iframe name="{width}" srcdoc="{inner}" style="border: 0; width: {width}px; height: 900px"></iframe>'
        for width in WIDTHS
    )
    head = '<!doctype html><html style="color-scheme: light dark"><title></title>'
    probe.write_text(f"{head}{frames}</html>", encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1500,1000",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--virtual-time-budget=3000",
        "--dump-dom",
        probe.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
    assert title is not None, done.stderr[-500:]
    found = {int(width): seen for width, seen in json.loads(entities.unescape(title[1])).items()}
    assert set(found) == set(WIDTHS)
    return found


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_lays_it_out_without_overflow(written, dark, tmp_path) -> None:
    for width, seen in laid_out(written[0], dark, tmp_path).items():
        assert seen["scroll"] <= seen["width"]
        assert width - 20 <= seen["width"] <= width
        assert seen["wide"] == []
        assert seen["clipped"] == []
        assert seen["texts"] > 20
        colours = [re.findall(r"\d+", seen[key])[:3] for key in ("ink", "ground")]
        lightness = [sum(map(int, colour)) / 3 for colour in colours]
        assert (lightness[0] > lightness[1]) is dark
        assert abs(lightness[0] - lightness[1]) > 150
        assert seen["axis"] == seen["ink"]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_long_names_of_many_workers_are_not_clipped(tmp_path) -> None:
    df, _ = crowd(60, 50)
    df["worker"] = "a_judge_with_a_name_that_is_long/" + df["worker"].astype(str)
    df["label"] = "a class with a long name " + df["label"].astype(str)
    DEEMAggregator().fit(df).report(tmp_path / "r.html")
    for width, seen in laid_out(tmp_path / "r.html", False, tmp_path).items():
        assert seen["scroll"] <= seen["width"], width
        assert seen["wide"] == []
        assert seen["clipped"] == []
