"""Formats of boxes, polygons and spans, which are no labels of whole tasks: known in order to be refused by name."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any

_TOOLS = (
    ("COCO annotations", "boxes and polygons", {"images", "annotations", "categories"}),
    ("a VGG Image Annotator project", "regions of images", {"_via_img_metadata"}),
    ("LabelMe annotations", "polygons", {"shapes", "imagePath"}),
    ("SuperAnnotate annotations", "boxes, polygons and tags of an image", {"metadata", "instances"}),
    ("V7 (Darwin) annotations", "boxes, polygons and tags of an image", {"item", "annotations", "version"}),
    ("tagtog annotations", "entities in a text", {"annotatable", "entities"}),
    ("a LightTag export", "spans and classes of texts", {"examples"}),
    ("a UIMA CAS (INCEpTION)", "annotations of spans", {"%FEATURE_STRUCTURES", "%VIEWS"}),
)  # fmt: skip
_XML = (
    ("a UIMA CAS (INCEpTION)", "annotations of spans", "<xmi:XMI"),
    ("Pascal VOC annotations", "boxes", "<bndbox>"),
)
_TEXTS = (
    ("a WebAnno TSV (INCEpTION)", "labels of tokens and spans", re.compile(r"#FORMAT=WebAnno")),
    ("a BRAT .ann file", "spans and relations", re.compile(r"T\d+\t\S+ \d+ \d+")),
    ("a CoNLL file", "labels of tokens", re.compile(r"\S+([ \t]\S+)*[ \t](O|[BIES]-[A-Z]{2,})$")),
)


def named(kind: str, keys: Set[str], value: Any) -> str:
    """Return what a file of regions or spans is, and what to do about it; empty if it is none.

    Parameters
    ----------
    kind, keys, value
        Of the file's content, as it was opened.
    """
    found = None
    if kind in ("object", "records"):
        found = next((tool[:2] for tool in _TOOLS if tool[2] <= keys), None)
    elif kind == "xml":
        found = next((tool[:2] for tool in _XML if tool[2] in value), None)
    return "" if found is None else _said(*found)


def named_by_line(first: str) -> str:
    """Return the same for a text whose first line is ``first``, with tabs between its fields."""
    found = next((tool[:2] for tool in _TEXTS if tool[2].match(first)), None)
    return "" if found is None else _said(*found)


def _said(tool: str, what: str) -> str:
    return (
        f"It looks like {tool}, which hold{'' if tool.endswith('s') else 's'} {what}. Only labels of whole tasks are "
        "aggregated. If each task has one, put them into a table with columns task, worker, label. "
        "docs/what-it-is-not-for.md names tools for boxes and spans."
    )
