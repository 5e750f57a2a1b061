"""The page about troubleshooting quotes what the driver says: every text is in its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
#: What stands for a part that differs: in the page, and in the texts of the source.
_DIFFERS, _VALUE = "…", "\0"


def texts(tree: ast.AST) -> Iterator[str]:
    """The strings of a module; a value within a string is one character."""
    parts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(part) for part in ast.walk(node)} - {id(node)}
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else _VALUE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


SOURCE = [
    text
    for path in sorted((ROOT / "wiredrv").rglob("*.py"))
    for text in texts(ast.parse(path.read_text(encoding="utf-8")))
]
QUOTES = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)


def is_said(quote: str) -> bool:
    """Whether one string of the source has all parts of a quotation, in their order."""
    pattern = ".*".join(re.escape(part) for part in quote.split(_DIFFERS))
    return any(re.search(pattern, text, re.DOTALL) for text in SOURCE)


@pytest.mark.parametrize("quote", QUOTES)
def test_every_text_that_is_quoted_is_one_of_the_drivers(quote: str) -> None:
    assert "\n" not in quote
    assert len(quote.replace(_DIFFERS, "").strip()) >= 14
    assert is_said(quote)


def test_there_are_many_and_what_nobody_says_is_found_out() -> None:
    assert len(QUOTES) == len(set(QUOTES)) > 25
    assert not is_said("no server was suitable for …; the topology is not …")


def test_every_symptom_has_words_beside_its_text() -> None:
    for symptom in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, body = symptom.partition("\n")
        words = re.sub(r"```text\n.*?\n```", "", re.split(r"^## ", body, flags=re.MULTILINE)[0], flags=re.DOTALL)
        assert len(words.split()) >= 8, heading
