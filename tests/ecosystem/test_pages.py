"""The programs on the pages about web frameworks are those that are tested here; those about object mappers run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from wiredrv.local import ReplicaSet

APPS = Path(__file__).parent / "apps"
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "web.md"
#: Under which heading of the page the parts of which program are.
SECTIONS = {
    "FastAPI": "fastapi_app.py",
    "FastAPI with def endpoints": "fastapi_threads_app.py",
    "Starlette, on trio or asyncio": "starlette_app.py",
    "Flask": "flask_app.py",
}


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


def test_the_page_about_tokens_shows_a_part_of_the_program_that_is_tested() -> None:
    [part] = re.findall(
        r"^```{.python .starlette}\n(.*?)^```$", (DOCS / "causal-tokens.md").read_text(), re.DOTALL | re.M
    )
    assert part in (APPS / "tokens_app.py").read_text(encoding="utf-8")


def test_no_part_is_under_another_heading() -> None:
    assert sum(len(_parts(section)) for section in SECTIONS) == PAGE.read_text(encoding="utf-8").count("```python\n")


MAPPERS = re.findall(r"^```python\n(.*?)^```$", (DOCS / "object-mappers.md").read_text(), re.DOTALL | re.MULTILINE)
PROGRAMS = [block for block in MAPPERS if "asyncio.run(" in block]


def test_there_is_a_program_for_each_mapper() -> None:
    assert [re.findall(r"from (\w+) import", program) for program in PROGRAMS] == [["odmantic"], ["beanie"]]


@pytest.mark.parametrize("program", PROGRAMS, ids=["odmantic", "beanie"])
def test_a_program_with_a_mapper_runs(program: str, replica_set: ReplicaSet) -> None:
    source, names = re.subn(r'"mongodb://localhost:27017/[^"]*"', repr(replica_set.uri), program)
    assert names
    finished = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", source], capture_output=True, text=True, timeout=90
    )
    assert (finished.returncode, finished.stderr) == (0, "")
