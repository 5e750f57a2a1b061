"""The recording whose timeline the documentation shows, in pictures and as a page to try."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

from wiredrv.timeline.page import SCRIPTS, page_text

IMAGES = Path(__file__).resolve().parent / "images"
RECORDING = IMAGES / "timeline.jsonl"
#: Says of which page and recording the pictures are.
STATE = IMAGES / "timeline.txt"


def example_page() -> str:
    """The page of the recording."""
    with RECORDING.open(encoding="utf-8") as lines:
        return page_text(map(json.loads, lines), title="Session timeline: transfers.jsonl")


def state() -> str:
    """A digest of what the pictures depend on: the recording, and the page's own files."""
    digest = hashlib.sha256(RECORDING.read_bytes())
    for name in ("page.html", "page.css", *SCRIPTS):
        digest.update(files("wiredrv.timeline.page").joinpath(name).read_bytes())
    return digest.hexdigest() + "\n"
