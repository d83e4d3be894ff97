"""Sphinx's settings for the staged sources; see build.py."""

from __future__ import annotations

import sys
from pathlib import Path

import deem_crowd

sys.path.insert(0, str(Path(__file__).parent))

project = "deem-crowd"
author = "deem-crowd contributors"
copyright = author
version = release = deem_crowd.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "myst_parser",
    "mathml",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

html_theme = "furo"
html_title = f"deem-crowd {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False

autodoc_typehints = "signature"
autodoc_member_order = "groupwise"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
# a word such as "tasks" as the type of a parameter may be the name of several attributes
suppress_warnings = ["ref.python"]
