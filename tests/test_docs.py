"""The documentation is correct: its examples run, the names in it exist, what is generated from the code is current."""

from __future__ import annotations

import ast
import inspect
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import anyio
import pytest

import wiredrv
from docs import generate
from docs.drawings import Arrow, lifelines
from tests.test_layers import LAYERS
from wiredrv.local import ReplicaSet
from wiredrv.session.transaction import TRANSITIONS, TransactionEvent, TransactionState

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Example(NamedTuple):
    """A block of Python in a page. A program brings its own event loop; a fragment continues the one before it."""

    page: Path
    line: int
    source: str

    @property
    def is_program(self) -> bool:
        return "anyio.run(" in self.source

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def _examples(page: Path) -> Iterator[Example]:
    text = page.read_text(encoding="utf-8")
    for block in _BLOCK.finditer(text):
        yield Example(page, text[: block.start(1)].count("\n") + 1, block[1])


EXAMPLES = [example for page in PAGES for example in _examples(page)]


# --- examples ---


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_names_in_an_example_exist(example: Example) -> None:
    tree = ast.parse(example.source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "wiredrv":
            assert node.attr in wiredrv.__all__ or node.attr == "local", f"{example}: wiredrv.{node.attr}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "wiredrv":
            module = __import__(node.module or "", fromlist=["*"])
            for alias in node.names:
                assert hasattr(module, alias.name), f"{example}: {node.module}.{alias.name}"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("example", [example for example in EXAMPLES if example.is_program], ids=str)
def test_a_program_runs(example: Example, backend: str, replica_set: ReplicaSet) -> None:
    source = re.sub(r"anyio\.run\((\w+)\)", rf'anyio.run(\1, backend="{backend}")', example.source)
    source = re.sub(r'"mongodb://localhost:27017/[^"]*"', repr(replica_set.uri), source)
    source = source.replace('"localhost:27017"', repr(str(replica_set.primary().address)))
    environment = {**os.environ, "MONGODB_URI": replica_set.uri}
    _empty(replica_set.uri)
    finished = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", source],
        capture_output=True,
        text=True,
        timeout=90,
        env=environment,
    )
    assert finished.returncode == 0, finished.stderr
    assert not finished.stderr


def _empty(uri: str) -> None:
    """Drop what an earlier example left."""

    async def drop() -> None:
        async with wiredrv.Client(uri) as client:
            for name in ("shop", "bank"):
                await client.drop_database(name)

    anyio.run(drop)


@pytest.fixture
def log_levels() -> Iterator[None]:
    """Restore the levels that an example sets."""
    loggers = [logging.getLogger(), logging.getLogger("wiredrv.command")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.mark.anyio
@pytest.mark.usefixtures("log_levels")
@pytest.mark.parametrize(
    "name",
    ["cursors.md", "sessions.md", "causal-tokens.md", "snapshots.md", "transactions.md", "monitoring.md", "types.md"],
)
async def test_the_fragments_of_a_page_run_one_after_the_other(
    name: str, replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_KEY", "of the tests, and long enough for one")
    async with wiredrv.Client(replica_set.uri) as client:
        await client.drop_database("shop")
        await client.shop.accounts.insert_many([{"_id": "ada", "amount": 100}, {"_id": "bob", "amount": 0}])
        scope: dict[str, Any] = {
            "anyio": anyio,
            "wiredrv": wiredrv,
            "client": client,
            "uri": replica_set.uri,
            "orders": client.shop.orders,
            "stock": client.shop.stock,
            "accounts": client.shop.accounts,
        }
        examples = list(_examples(ROOT / "docs" / name))
        assert examples
        for example in examples:
            code = compile(example.source, str(example), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, scope)
            if inspect.isawaitable(result):
                await result


# --- what is generated from the code ---


def test_what_is_drawn_from_the_code_is_up_to_date() -> None:
    assert not generate.outdated(), "run `python -m docs.generate`"


def test_every_part_is_on_a_page_and_every_marker_has_its_part() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    begun = re.findall(r"<!-- generated: ([A-Za-z ]+) -->", text)
    assert sorted(begun) == sorted(re.findall(r"<!-- end of ([A-Za-z ]+) -->", text)) == sorted(generate.PARTS)


def test_a_page_that_is_out_of_date_is_noticed_and_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generated: pin table -->\nold\n<!-- end of pin table -->\nafter\n")
    pages = {page: generate.regenerate(page.read_text())}
    monkeypatch.setattr(generate, "outdated", lambda: pages)
    assert generate.main(["--check"]) == 1
    assert "page.md is out of date" in capsys.readouterr().err
    assert "old" in page.read_text()
    assert generate.main([]) == 0
    assert generate.pin_table() in page.read_text()
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("\nafter\n")


def test_the_drawings_follow_the_tables() -> None:
    changed = {**TRANSITIONS, (TransactionState.NONE, TransactionEvent.ABORT): TransactionState.COMMITTED}
    arrow = "<title>no transaction → transaction committed: abort_transaction</title>"
    assert arrow in generate.state_drawing(changed)
    assert arrow not in generate.state_drawing()
    assert generate.state_table(changed) != generate.state_table()


@pytest.mark.parametrize("name", generate.DRAWINGS)
def test_a_drawing_is_on_a_page_and_needs_nothing_from_elsewhere(name: str) -> None:
    assert any(f"]({name})" in page.read_text(encoding="utf-8") for page in PAGES)
    drawing = ElementTree.fromstring(generate.DRAWINGS[name]())
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert not {node.tag.rpartition("}")[2] for node in drawing.iter()} & {"script", "image", "use", "foreignObject"}


def test_the_words_of_a_drawing_keep_within_it() -> None:
    arrows = [Arrow("a", "b", "a long label between two short names"), Arrow("b", "b", "a loop at the right edge")]
    drawing = ElementTree.fromstring(lifelines("title", ["a", "b"], arrows))
    width = float(drawing.attrib["width"])
    for text in drawing.iter("{http://www.w3.org/2000/svg}text"):
        length = len(text.text or "") * 6
        share = {"middle": 0.5, "end": 1.0}.get(text.attrib.get("text-anchor", "start"), 0.0)
        left = float(text.attrib["x"]) - length * share
        assert 0 <= left <= left + length <= width


# --- names and links ---


def test_the_layers_are_those_that_the_imports_are_held_to() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)
    layers = {int(number): tuple(re.findall(r"`(\w+)`", packages)) for number, packages in rows}
    assert layers == dict(enumerate(tuple(packages) for packages in LAYERS))


def test_every_package_is_described() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "wiredrv"
    packages = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    missing = {name for name in packages - {"__init__"} if not re.search(rf"\b{name}\b", text)}
    assert not missing


@pytest.mark.parametrize("section", ["Reads", "Writes"])
def test_the_operations_in_the_lists_of_retries_exist(section: str) -> None:
    text = (ROOT / "docs" / "retries.md").read_text(encoding="utf-8")
    body = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
    names = set(re.findall(r"`([a-z_]+)(?:\(\))?`", body))
    assert len(names) >= 8
    holders = (wiredrv.Collection, wiredrv.Database, wiredrv.Client, wiredrv.ClientSession)
    assert not {name for name in names if not any(hasattr(holder, name) for holder in holders)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_row_of_a_table_is_one_line(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert [line for line in text.splitlines() if line.startswith("|") and not line.rstrip().endswith("|")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
