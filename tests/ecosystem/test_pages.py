"""The programs on the pages about web frameworks are those that are tested here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

APPS = Path(__file__).parent / "apps"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "web.md"
#: Under which heading of the page the parts of which program are.
SECTIONS = {"FastAPI": "fastapi_app.py", "Starlette, on trio or asyncio": "starlette_app.py"}


def _parts(section: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2]
    return re.findall(r"^```python\n(.*?)^```$", re.split(r"\n## ", text)[0], re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_shows_parts_of_the_program_that_is_tested(section: str) -> None:
    program = (APPS / SECTIONS[section]).read_text(encoding="utf-8")
    parts = _parts(section)
    assert parts
    for part in parts:
        assert part in program


def test_no_part_is_under_another_heading() -> None:
    assert sum(len(_parts(section)) for section in SECTIONS) == PAGE.read_text(encoding="utf-8").count("```python\n")
