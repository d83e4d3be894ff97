"""Build the site of the documentation: ``python docs/site/build.py [FOLDER]``; any warning is an error.

Sources are staged in ``FOLDER/source``: the pages of docs/, tutorials with what their code shows, the gallery of plots,
and the reference of every public name. The site is ``FOLDER/html``. It fetches nothing when it is read.
"""

from __future__ import annotations

import gc
import shutil
import sys
import time
from pathlib import Path

SITE = Path(__file__).parent
ROOT = SITE.parents[1]


def main() -> int:
    """Build the site; the exit status is that of Sphinx."""
    sys.path.insert(0, str(SITE))
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs"
    source, html = folder / "source", folder / "html"
    for old in (source, html, folder / "work"):
        shutil.rmtree(old, ignore_errors=True)
    gc.disable()  # Sphinx makes many objects and keeps them: a quarter of its time went into looking for garbage
    begin = time.monotonic()
    import staging

    staging.stage(source)
    staged = time.monotonic()
    from sphinx.cmd.build import build_main

    status = build_main(
        [
            "-q",
            "-W",
            "--keep-going",
            "-b",
            "html",
            "-c",
            str(SITE),
            str(source),
            str(html),
        ]
    )
    if status:
        return status
    import offline

    if from_elsewhere := offline.fetched(html):
        sys.stderr.write("\n".join(["the site fetches:", *from_elsewhere, ""]))
        return 1
    end = time.monotonic()
    sys.stdout.write(
        f"Written: {html}/index.html (notebooks {staged - begin:.0f} s, pages {end - staged:.0f} s)\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
