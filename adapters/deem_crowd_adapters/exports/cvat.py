"""CVAT: tags of images, in the XML format "CVAT for images" 1.1."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree

from deem_crowd.exceptions import DataError
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import canonical, name_of_file

_ROOT = re.compile(r"<annotations[\s>/]")
_DECLARATIONS = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_SHAPES = {
    "box": "boxes",
    "polygon": "polygons",
    "polyline": "polylines",
    "points": "points",
    "cuboid": "cuboids",
    "ellipse": "ellipses",
    "mask": "masks",
    "skeleton": "skeletons",
    "track": "tracks",
}
_REGIONS = (
    "Boxes, masks and tracks are regions of an image; only tags of whole images are aggregated. crowd-kit has "
    "aggregators for segmentations."
)


def _is_cvat(content: Content) -> bool:
    return content.kind == "xml" and bool(_ROOT.search(content.value[:4096]))


def read(content: Content, collected: Collected) -> None:
    """Add the tags of each image, by the assignee of the job or task, else by the person the file is named after.

    A task is an image. Attributes of tags are questions of their own, ``tag.attribute``. Tags that a model made
    (``source="auto"``) are left out, as are shapes.

    Raises
    ------
    DataError
        If the file declares a DOCTYPE or entities, is cut off, or is a video's.
    """
    if _DECLARATIONS.search(content.value):
        raise DataError(
            f"{content.name} declares a DOCTYPE or entities, which CVAT never writes and which can make a reader "
            "fetch files or run out of memory. Export it again."
        )
    root = _parsed(content)
    collected.hint = _REGIONS
    worker = _assignee(root) or name_of_file(content)
    for shape, count in Counter(e.tag for e in root.iter() if e.tag in _SHAPES).items():
        collected.skip(_SHAPES[shape], count)
    images = root.findall("image")
    tags = {tag.get("label") for image in images for tag in image.findall("tag")}
    has_attributes = root.find("image/tag/attribute") is not None
    for number, image in enumerate(images):
        task = image.get("name") or image.get("id")
        if task is None:
            raise content.damaged(f"image {number}", "it has neither a 'name' nor an 'id'")
        collected.content[task] = canonical(
            image.get("name"), image.get("width"), image.get("height")
        )
        labels = []
        for tag in image.findall("tag"):
            label = tag.get("label")
            if not label:
                raise content.damaged(f"image {task!r}", "a tag has no 'label'")
            if tag.get("source") == "auto":
                collected.skip("tags of models")
                continue
            labels.append(label)
            for attribute in tag.findall("attribute"):
                value = (attribute.text or "").strip()
                collected.add(f"{label}.{attribute.get('name')}", task, worker, value)
        if labels and not (has_attributes and len(tags) == 1):
            collected.add("tag", task, worker, list(dict.fromkeys(labels)))
        elif not image.findall("tag") and not any(e.tag in _SHAPES for e in image):
            collected.skip("images without a tag")


def _parsed(content: Content) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(content.value.encode("utf-8", "surrogatepass"))
    except ElementTree.ParseError as error:
        line, column = error.position
        raise content.damaged(
            f"line {line}, column {column + 1}",
            f"this is no complete XML ({error})",
            "Export it again; it may be cut off.",
        ) from error
    if root.tag != "annotations":
        raise DataError(
            f"{content.name} is XML with the root <{root.tag}>, not CVAT's <annotations>."
        )
    return root


def _assignee(root: ElementTree.Element) -> str | None:
    """Return who the job, task or project is assigned to; the name, or the text itself in old files."""
    meta = root.find("meta")
    for kind in ("job", "task", "project"):
        element = None if meta is None else meta.find(f"{kind}/assignee")
        if element is None:
            continue
        name = (
            element.findtext("username")
            or element.findtext("email")
            or (element.text or "").strip()
        )
        if name:
            return name
    return None


FORMATS = (Format("cvat", "CVAT for images 1.1", _is_cvat, read),)
