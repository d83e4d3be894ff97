"""Whether pages fetch anything: scripts, styles, fonts and pictures all have to come with them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

_FETCHED = {
    "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "embed": "src",
    "object": "data", "image": "href", "use": "href", "input": "src", "track": "src",
}  # fmt: skip
_LINKS_THAT_FETCH = {
    "stylesheet", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "icon", "manifest",
}  # fmt: skip


def fetched(folder: Path) -> list[str]:
    """Return what HTML and CSS files of a folder fetch from elsewhere, as 'file: address'."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".html":
            reader = _Reader()
            reader.feed(path.read_text(encoding="utf-8"))
            addresses = reader.addresses
        elif path.suffix == ".css":
            addresses = _in_css(path.read_text(encoding="utf-8"))
        else:
            continue
        found += [f"{path.relative_to(folder)}: {a}" for a in addresses if _is_elsewhere(a)]
    return found


def _is_elsewhere(address: str) -> bool:
    return bool(re.match(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", address, re.I))


def _in_css(text: str) -> list[str]:
    return re.findall(r"url\(\s*[\"']?([^\"')]+)", text) + re.findall(
        r"@import\s+[\"']([^\"']+)", text
    )


class _Reader(HTMLParser):
    """Collects the addresses that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag fetches."""
        given = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        if tag in _FETCHED:
            self.addresses.append(given.get(_FETCHED[tag], ""))
        if tag == "link" and set(given.get("rel", "").lower().split()) & _LINKS_THAT_FETCH:
            self.addresses.append(given.get("href", ""))
        self.addresses += _in_css(given.get("style", ""))
        self.addresses += [
            part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()
        ]

    def handle_data(self, data: str) -> None:
        """Note what styles within the page fetch."""
        if self._in_style:
            self.addresses += _in_css(data)
