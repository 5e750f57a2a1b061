"""Checks that the built site asks no other host: ``python -m docs.offline site`` lists the requests, and exits with 1.

Links that a reader may follow are not requests. The addresses that the theme's scripts request under some condition are
listed here, with the text in a page that meets the condition; an address that is not listed is reported, so that a new
version of the theme cannot add one unnoticed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

_ELSEWHERE = re.compile(r"\s*(?:https?:|wss?:|//)", re.IGNORECASE)
_STYLE_REQUEST = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)
_SCRIPT_ADDRESS = re.compile(r"https?://[\w.-]+(?:/[\w.-]+)*")

#: Attributes by which an element makes the browser load something.
_LOADING: Mapping[str, Sequence[str]] = {
    "audio": ("src",),
    "embed": ("src",),
    "form": ("action",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "input": ("src",),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "track": ("src",),
    "use": ("href", "xlink:href"),
    "video": ("src", "poster"),
}
#: Relations of ``<link>`` that only say where something is, without loading it.
_TELLING = frozenset({"canonical", "next", "prev", "alternate", "license", "author"})

#: Addresses in the theme's scripts, and what a page must contain for them to be requested. None: no page can.
_CONDITIONAL: Mapping[str, str | None] = {
    "https://api.github.com": 'data-md-component="source"',
    "https://unpkg.com/mermaid": 'class="mermaid"',
    # Only a browser without ResizeObserver, from before 2020, would request it.
    "https://unpkg.com/resize-observer-polyfill": None,
    # The text of a message in the console, and the names of namespaces.
    "https://bit.ly/2s3ChXG": None,
    "http://www.w3.org": None,
}
#: Stemmers for languages that the site does not use: no page loads them.
_NEVER_LOADED = "assets/javascripts/lunr/"
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


class _Page(HTMLParser):
    """Collects what a page would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "link" and values.get("rel", "") in _TELLING:
            return
        for name in _LOADING.get(tag, ()):
            if any(_ELSEWHERE.match(part) for part in values.get(name, "").split(",")):
                self.found.append(f"<{tag} {name}={values[name]!r}>")
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh" and "//" in values.get("content", ""):
            self.found.append(f"<meta refresh {values['content']!r}>")
        self.found += _in_styles(values.get("style", ""))


def in_page(text: str) -> Iterator[str]:
    """The requests of an HTML page to other hosts."""
    page = _Page()
    page.feed(text)
    yield from page.found
    for style in re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL | re.IGNORECASE):
        yield from _in_styles(style)
    for address, mark in _CONDITIONAL.items():
        if mark is not None and mark in text:
            yield f"{mark}, for which the theme asks {address}"


def _in_styles(text: str) -> list[str]:
    return [f"url({address})" for address in _STYLE_REQUEST.findall(text)]


def in_script(text: str) -> Iterator[str]:
    """Addresses in a script that are not known to be harmless."""
    for address in sorted(set(_SCRIPT_ADDRESS.findall(_COMMENT.sub("", text)))):
        if not any(address.startswith(known) for known in _CONDITIONAL):
            yield address


def requests(site: Path) -> Iterator[str]:
    """The requests of a site's files to other hosts, one line for each."""
    for path in sorted(site.rglob("*")):
        if path.suffix not in (".html", ".css", ".js", ".svg") or "search_index" in path.name:
            continue
        if path.relative_to(site).as_posix().startswith(_NEVER_LOADED):
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".css":
            found: Iterator[str] = iter(_in_styles(text))
        else:
            found = in_script(text) if path.suffix == ".js" else in_page(text)
        yield from (f"{path.relative_to(site)}: {what}" for what in found)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the result is the exit status."""
    (folder,) = sys.argv[1:] if arguments is None else arguments
    site = Path(folder)
    if not (site / "index.html").exists():
        print(f"{site} holds no site: build it with `mkdocs build`", file=sys.stderr)
        return 1
    found = list(requests(site))
    for line in found:
        print(f"{line}: the site must not ask another host", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
