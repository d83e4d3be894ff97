"""docs/api.md → pages with the whole documentation of every public name, for Sphinx's autodoc."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

_NOT_OURS = (
    "BaseEstimator, ClassifierMixin, ClusterMixin, MetaEstimatorMixin, BaseClassificationAggregator, Module, "
    "Exception"
)
_OF_SKLEARN = r"get_metadata_routing|set_\w+_request"


def write(api: str, folder: Path) -> list[str]:
    """Write a page for each module that ``api`` (the text of api.md) has a section on, and return their names."""
    folder.mkdir(parents=True)
    sections = dict(re.findall(r"^## `([\w.]+)`\n(.*?)(?=^## |\Z)", api, re.S | re.M))
    for module, section in sections.items():
        names = re.findall(r"^\| `(\w+)` \|", section, re.M)
        (folder / f"{module}.rst").write_text(_page(module, names, set(sections)), encoding="utf-8")
    return list(sections)


def _page(module: str, names: list[str], modules: set[str]) -> str:
    parts = [module, "=" * len(module), "", f".. automodule:: {module}", "   :no-members:", ""]
    found = importlib.import_module(module)
    for name in names:
        value = getattr(found, name)
        home = getattr(value, "__module__", module)
        if home != module and home in modules:  # documented there
            parts += [f":obj:`{module}.{name} <{home}.{name}>`", ""]
        elif inspect.isclass(value):
            excluded = [member for member in dir(value) if re.fullmatch(_OF_SKLEARN, member)]
            parts += [
                f".. autoclass:: {module}.{name}",
                "   :members:",
                f"   :inherited-members: {_NOT_OURS}",
                f"   :exclude-members: {', '.join(excluded)}",
                "",
            ]
        elif inspect.isroutine(value):
            parts += [f".. autofunction:: {module}.{name}", ""]
        elif inspect.ismodule(value):
            parts += [f"- :doc:`{module}.{name}`", ""]
        elif not name.startswith("__"):
            parts += [f".. autodata:: {module}.{name}", "   :no-value:", ""]
    return "\n".join(parts)
