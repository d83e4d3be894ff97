"""The tools that build the site of the documentation: what code shows, and that pages fetch nothing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import processes
import pytest

from deem_crowd import plots

pytest.importorskip("IPython", reason="the extra docs is not installed")
DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "site"))
try:
    import offline
finally:
    sys.path.pop(0)

PAGE = """# A page

```python
import pandas as pd
print("printed <b>")
pd.DataFrame({"a": [1, 2]})
```

Some text.

<!-- figure: A line that rises -->
```python
import matplotlib.pyplot as plt

plt.plot([0, 1])
```

```text
no code
```
"""
PROGRAM = f"""
import sys, json
from pathlib import Path
sys.path.insert(0, {str(DOCS / "site")!r})
import notebooks
faults = []
for code in ("1 / 0", "import warnings; warnings.warn('beware')", "import matplotlib.pyplot as p; p.plot([1])",
             "printed"):  # of another page
    try:
        notebooks.run(notebooks.cells_of(f"```python\\n{{code}}\\n```\\n"), Path("faulty"))
    except Exception as error:
        faults.append(f"{{type(error).__name__}}: {{error}}")
cells = notebooks.cells_of(Path("page.md").read_text())
notebooks.run(cells, Path("work"))
Path("page.ipynb").write_text(notebooks.notebook(cells))
Path("made.md").write_text(notebooks.page(cells, "page", Path(".")))
print(json.dumps(faults))
"""


def test_a_page_shows_what_its_code_prints_shows_and_draws(tmp_path) -> None:
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    done = processes.python("-c", PROGRAM, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    faults = json.loads(done.stdout.splitlines()[-1])
    kinds = [fault.split(":")[0] for fault in faults]
    assert kinds == ["ZeroDivisionError", "RuntimeError", "RuntimeError", "NameError"]
    assert "beware" in faults[1]
    assert "draws, and has no <!-- figure" in faults[2]
    made = (tmp_path / "made.md").read_text(encoding="utf-8")
    assert "printed <b>" in made.split(":class: output")[1].split("````")[0]
    assert '<table border="1" class="dataframe">' in made
    assert "![A line that rises](page-1.png)" in made
    assert "```text\nno code\n```" in made
    assert (tmp_path / "page-1.png").read_bytes().startswith(b"\x89PNG")
    notebook = json.loads((tmp_path / "page.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    kinds = [[output["output_type"] for output in cell["outputs"]] for cell in code]
    assert kinds == [["stream", "display_data"], ["display_data"]]
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


FETCHES = {
    "script": '<script src="https://cdn.example/x.js"></script>',
    "font": '<link rel="preconnect stylesheet" href="//fonts.example/css">',
    "picture": '<p><img src="http://example.org/a.png"></p>',
    "set of pictures": '<img src="a.png" srcset="b.png 1x, https://example.org/c.png 2x">',
    "style": "<style>@import 'https://example.org/a.css'; body { color: red }</style>",
    "attribute": '<p style="background: url(https://example.org/a.png)">',
}


@pytest.mark.parametrize("kind", FETCHES)
def test_what_a_page_fetches_is_seen(kind, tmp_path) -> None:
    (tmp_path / "page.html").write_text(f"<html><body>{FETCHES[kind]}", encoding="utf-8")
    (found,) = offline.fetched(tmp_path)
    assert found.startswith("page.html: ")


def test_links_and_what_comes_with_the_site_are_no_fetching(tmp_path) -> None:
    page = '<a href="https://example.org">x</a><script src="_static/x.js"></script><img src="data:,//">'
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "a.css").write_text(
        "a { background: url(x.png) } @import 'b.css';", encoding="utf-8"
    )
    assert offline.fetched(tmp_path) == []
    (tmp_path / "a.css").write_text(
        "@font-face { src: url('https://f.example/x') }", encoding="utf-8"
    )
    assert offline.fetched(tmp_path) == ["a.css: https://f.example/x"]


def test_the_gallery_has_every_plot() -> None:
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\w+)$", text, re.M)
    assert sorted(headings) == plots.__all__
    assert all(f"plots.{name}(" in text for name in plots.__all__)
