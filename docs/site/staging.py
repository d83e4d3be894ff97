"""The sources of the site, put into one folder: pages, tutorials with what their code shows, the reference."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import re
import shutil
import sys
import time
from pathlib import Path

import notebooks
import reference

SITE = Path(__file__).parent
DOCS, ROOT = SITE.parent, SITE.parents[1]
REPOSITORY = "https://github.com/deem-crowd/deem-crowd/blob/main/"
OUTSIDE = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "security": "SECURITY.md",
    "benchmarks": "benchmarks/README.md",
}
"""Pages that stand elsewhere in the repository."""


def stage(source: Path) -> None:
    """Put all sources of the site into a folder."""
    source.mkdir(parents=True)
    api = (DOCS / "api.md").read_text(encoding="utf-8")
    modules = reference.write(api, source / "reference")
    index = (SITE / "index.md").read_text(encoding="utf-8")
    listed = "\n".join(f"reference/{module}" for module in modules)
    (source / "index.md").write_text(index.replace("MODULES", listed), encoding="utf-8")
    for path in [*DOCS.glob("*.md"), *DOCS.glob("*.svg")]:
        copy(path, source / path.name)
    for name, path in OUTSIDE.items():
        copy(ROOT / path, source / f"{name}.md")
    pages = [*sorted((DOCS / "tutorials").glob("*.md")), DOCS / "gallery.md"]
    notebooks.load_libraries()
    forks = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=forks) as pool:
        jobs = [pool.submit(stage_notebook, path, source) for path in pages]
        for job in concurrent.futures.as_completed(jobs):
            sys.stdout.write(job.result())


def stage_notebook(path: Path, source: Path) -> str:
    """Run a page with code, and put it into the sources as a page and as a notebook; say how long that took."""
    begin = time.monotonic()
    place = source / path.relative_to(DOCS).parent
    place.mkdir(exist_ok=True)
    cells = notebooks.cells_of(path.read_text(encoding="utf-8"))
    work = source.parent / "work" / path.stem
    notebooks.run(cells, work)
    for made in work.iterdir():  # what the code wrote, for links to it
        shutil.copy(made, place / made.name)
    (place / f"{path.stem}.ipynb").write_text(notebooks.notebook(cells), encoding="utf-8")
    heading, *rest = cells
    title, _, text = heading.text.lstrip().partition("\n")
    heading.text = f"{title}\n\n{{download}}`As an executed notebook <{path.stem}.ipynb>`\n{text}"
    text = notebooks.page([heading, *rest], path.stem, place)
    (place / path.name).write_text(text, encoding="utf-8")
    return f"{path.relative_to(DOCS)}: {time.monotonic() - begin:.1f} s\n"


def copy(path: Path, to: Path) -> None:
    """Copy a page; links to what is no page of the site go to the repository."""
    if path.suffix != ".md":
        shutil.copy(path, to)
        return
    text = path.read_text(encoding="utf-8")
    to.write_text(
        re.sub(r"\]\(([^)\s]+)\)", lambda m: f"]({target(path, m[1])})", text), encoding="utf-8"
    )


def target(page: Path, link: str) -> str:
    """Return where a link of a page leads on the site."""
    address, mark, anchor = link.partition("#")
    if not address or re.match(r"[a-z]+:", address):
        return link
    file = (page.parent / address).resolve()
    if file.parent == DOCS:
        return f"{file.name}{mark}{anchor}"
    inside = file.relative_to(ROOT).as_posix()
    for name, path in OUTSIDE.items():
        if path == inside:
            return f"{name}.md{mark}{anchor}"
    return f"{REPOSITORY}{inside}{mark}{anchor}"
