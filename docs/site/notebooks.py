"""Markdown with code → the same page with what the code prints, shows and draws, and an executed notebook.

All pages run in one process, one after the other, each in a namespace of its own: libraries are imported once.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"(?:<!-- figure: (?P<alt>[^\n]*?) -->\n)?```python\n(?P<code>.*?)```\n", re.S)


@dataclass
class Cell:
    """A piece of text, or of code with its outputs (notebook format 4)."""

    text: str
    is_code: bool = False
    alt: str = ""
    outputs: list[dict[str, Any]] = field(default_factory=list)


def cells_of(text: str) -> list[Cell]:
    """Split a page into text and blocks of Python."""
    cells, end = [], 0
    for match in _BLOCK.finditer(text):
        cells.append(Cell(text[end : match.start()]))
        cells.append(Cell(match["code"].rstrip("\n"), True, match["alt"] or ""))
        end = match.end()
    cells.append(Cell(text[end:]))
    return [cell for cell in cells if cell.text.strip()]


def load_libraries() -> None:
    """Import what most pages use, before they run in forks of this process."""
    import matplotlib.pyplot  # noqa: F401
    import sklearn.cluster  # noqa: F401

    from deem_crowd import DEEMAggregator, plots  # noqa: F401


def run(cells: list[Cell], folder: Path) -> None:
    """Run the code of a page in a folder, and keep the outputs in its cells.

    Raises
    ------
    Exception
        Whatever the code raises.
    RuntimeError
        For warnings and other text on standard error, and for a figure without a word for who cannot see it.
    """
    import matplotlib
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from traitlets.config import Config

    quiet: Any = {"HistoryManager": {"enabled": False}}
    place = str(folder.parent / "ipython")
    shell = InteractiveShell.instance(config=Config(quiet), ipython_dir=place)
    shell.reset(new_session=True)
    matplotlib.use("Agg")
    hook = shell.display_trap.hook
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        for cell in (cell for cell in cells if cell.is_code):
            with capture_output() as got:
                shell.display_trap.hook = sys.displayhook  # which captures
                result = shell.run_cell(cell.text, store_history=True)
            result.raise_error()
            if got.stderr:
                raise RuntimeError(f"on standard error:\n{got.stderr}\nfrom:\n{cell.text}")
            # of code that draws, the figure is what it shows
            cell.outputs = _outputs(got.stdout, [] if cell.alt else got.outputs)
            cell.outputs += (drawn := _figures())
            if bool(drawn) != bool(cell.alt):
                what = "draws, and has no <!-- figure: … -->" if drawn else "draws nothing"
                raise RuntimeError(f"this code {what}:\n{cell.text}")
    finally:
        shell.display_trap.hook = hook
        os.chdir(before)


def _outputs(printed: str, shown: list[Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if printed:
        found.append({"output_type": "stream", "name": "stdout", "text": printed})
    for each in shown:
        data = dict(each.data)
        found.append({"output_type": "display_data", "data": data, "metadata": {}})
    return found


def _figures() -> list[dict[str, Any]]:
    """Return the figures that are open as outputs, and close them."""
    from matplotlib import pyplot

    found = []
    for number in pyplot.get_fignums():
        stream = io.BytesIO()
        pyplot.figure(number).savefig(stream, format="png", dpi=110, metadata={"Software": None})
        data = {"image/png": base64.b64encode(stream.getvalue()).decode()}
        found.append({"output_type": "display_data", "data": data, "metadata": {}})
    pyplot.close("all")
    return found


def notebook(cells: list[Cell]) -> str:
    """Return an executed notebook as JSON."""
    found = []
    for number, cell in enumerate(cells):
        made: dict[str, Any] = {
            "id": hashlib.sha256(f"{number}{cell.text}".encode()).hexdigest()[:8],
            "cell_type": "code" if cell.is_code else "markdown",
            "metadata": {},
            "source": cell.text.strip("\n"),
        }
        if cell.is_code:
            made |= {"execution_count": None, "outputs": cell.outputs}
        found.append(made)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps(
        {
            "cells": found,
            "metadata": {"kernelspec": kernel},
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        ensure_ascii=False,
    )


def page(cells: list[Cell], name: str, folder: Path) -> str:
    """Return the page as MyST Markdown; figures go into files of that name in the folder."""
    parts: list[str] = []
    drawn = 0
    for cell in cells:
        if not cell.is_code:
            parts.append(cell.text)
            continue
        parts.append(f"```python\n{cell.text}\n```\n")
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                drawn += 1
                file = f"{name}-{drawn}.png"
                (folder / file).write_bytes(base64.b64decode(data["image/png"]))
                parts.append(f"![{cell.alt}]({file})\n")
            elif "text/html" in data:
                bare = re.sub(r"(?s)<style.*?</style>", "", data["text/html"])
                # a blank line would end the block
                bare = "\n".join(line for line in bare.splitlines() if line.strip())
                parts.append(f'````{{raw}} html\n<div class="frame-wide">{bare}</div>\n````\n')
            else:
                text = output.get("text") or data["text/plain"]
                parts.append(f"````{{code-block}} text\n:class: output\n\n{text.rstrip()}\n````\n")
    return "\n".join(parts)
