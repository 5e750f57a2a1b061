"""The HTML page of a timeline: one file that needs no network and no other file.

Rules kept here:

* Whatever a record contains, it is shown as text: it never becomes markup or a script. The records are JSON in data
  blocks without a ``<``, the script sets text and no markup, and the page's Content-Security-Policy permits this
  script alone.
* The page loads nothing: its policy forbids every request.
* A page with 50,000 commands opens quickly: the script reads columns of numbers, and a command's document only when it
  is shown.

The page's parts are the files beside this module: ``page.html``, ``page.css`` and the scripts of ``SCRIPTS``, joined in
this order. They are written by hand, without a framework, and need no build step.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable
from html import escape
from importlib.resources import files

from wiredrv.timeline.page.pack import Record, pack

#: The page's scripts, in the order in which they are joined to one.
SCRIPTS = ("model.js", "lanes.js", "theme.js", "draw.js", "head.js", "details.js", "table.js", "input.js", "main.js")

_PLACE = re.compile(r"\{\{(\w+)\}\}")


def write_page(records: Iterable[Record], path: str | os.PathLike[str], *, title: str = "Session timeline") -> None:
    """Write the records of a timeline as one self-contained HTML page.

    :param records: the decoded lines of a timeline file, in any order.
    :param path: the file; one that exists is replaced.
    :param title: the page's heading.
    :raises OSError: the file cannot be written.
    """
    text = page_text(records, title=title)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def page_text(records: Iterable[Record], *, title: str = "Session timeline") -> str:
    """Return the page that ``write_page`` writes."""
    style = _asset("page.css")
    script = '"use strict";\n(() => {\n' + "\n".join(_asset(name) for name in SCRIPTS) + "\n})();\n"
    packed = pack(records)
    parts = {
        "title": escape(title),
        "policy": f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'",
        "style": style,
        "script": script,
        "data": packed.data,
        "documents": packed.documents,
    }
    # One pass: what is put in is not searched for places again.
    return _PLACE.sub(lambda place: parts[place[1]], _asset("page.html"))


def _asset(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
