"""What the tests of timelines share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import Windows
from tests.timeline.viewing import Show
from wiredrv.timeline.page import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def show(windows: Windows, tmp_path: Path) -> Show:
    """Opens the page of some records, and waits for its first frame."""

    def show(records: Sequence[Mapping[str, Any]], title: str = "Session timeline", **how: Any) -> Page:
        path = tmp_path / "timeline.html"
        write_page(records, path, title=title)
        page = windows.open(path, **how)
        page.wait_for_selector("html[data-ready]")
        return page

    return show
