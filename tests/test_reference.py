"""The reference is complete: everything public is described, and on a page. ``docs.public`` defines what is public."""

from __future__ import annotations

import re
from pathlib import Path

import griffe
import pytest

from docs.extension import HANDED_OUT, LISTED_APART, Reference, markdown
from docs.public import INTERNAL, package, public, report
from wiredrv.client.signatures import described_in

PAGES = Path(__file__).resolve().parents[1] / "docs" / "reference"
_SOURCE = re.compile(r"\b[Ss]pecifications?\b|this driver's own")
_ON_A_PAGE = re.compile(r"^::: ([\w.]+)", re.MULTILINE)


def test_every_public_parameter_result_and_error_is_described() -> None:
    found = report()
    assert found.parameters[0] > 700
    assert found.results[0] > 90
    assert not found.gaps, "\n".join(map(str, found.gaps))
    assert len(set(found.parameters)) == len(set(found.results)) == 1


def test_what_is_handed_out_counts_as_public() -> None:
    paths = {entry.path for entry in public()}
    assert {
        "wiredrv.client.client.Client",
        "wiredrv.client.sessions.client_session.ClientSession",
        "wiredrv.client.sessions.client_transaction.ClientTransaction",
        "wiredrv.client.collection.Collection",
        "wiredrv.client.cursors.command_cursor.CommandCursor",
        "wiredrv.client.cursors.cursor.Cursor",
        "wiredrv.client.database.Database",
        "wiredrv.client.sessions.blocks.SessionBinding",
        "wiredrv.client.sessions.blocks.TransactionContext",
        "wiredrv.connection.connection.Connection",
        "wiredrv.description.ServerDescription",
        "wiredrv.description.TopologyDescription",
        "wiredrv.errors.OperationFailure",
        "wiredrv.events.CommandStartedEvent",
        "wiredrv.local.server.Server",
        "wiredrv.operations.results.BulkWriteResult",
        "wiredrv.session.options.TransactionOptions",
    } <= paths


def test_what_is_left_out_exists() -> None:
    for path in INTERNAL | HANDED_OUT | LISTED_APART:
        assert package()[path.removeprefix("wiredrv.")].is_class, path


def test_everything_public_stands_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    shown = [package().modules_collection[path] for path in _ON_A_PAGE.findall(text)]
    modules = {entry.canonical_path for entry in shown if entry.is_module}
    paths = {entry.canonical_path for entry in shown}
    missing = [entry.path for entry in public() if entry.path not in paths and entry.module.path not in modules]
    assert not missing


def test_everything_public_names_its_specification_or_says_that_there_is_none() -> None:
    silent = []
    for entry in public():
        bases = entry.mro() if isinstance(entry, griffe.Class) else []
        docstrings = [known.docstring.value for known in (entry, *bases) if known.docstring is not None]
        if not entry.path.startswith(("wiredrv.local.", "wiredrv.testing.")) and not _SOURCE.search(
            "\n".join(docstrings)
        ):
            silent.append(entry.path)
    assert not silent


@pytest.mark.parametrize(
    "name, version",
    [
        ("Client.list_databases(comment)", "4.4"),
        ("Client.start_session(snapshot)", "5.0"),
        ("Collection.find(allow_disk_use)", "4.4"),
        ("Collection.find(let)", "5.0"),
        ("Collection.find(raw_data)", "8.2"),
        ("Collection.aggregate(let)", "5.0"),
        ("Collection.distinct(hint)", "7.1"),
        ("Collection.insert_one(comment)", "4.4"),
        ("Collection.update_one(sort)", "8.0"),
        ("Collection.update_one(update)", "4.2"),
        ("Collection.replace_one(sort)", "8.0"),
        ("Collection.delete_one(hint)", "4.4"),
        ("Collection.delete_many(let)", "5.0"),
        ("Collection.find_one_and_update(hint)", "4.4"),
        ("Collection.find_one_and_delete(let)", "5.0"),
        ("Collection.bulk_write(let)", "5.0"),
        ("UpdateOne(sort)", "8.0"),
        ("DeleteOne(hint)", "4.4"),
        ("SessionOptions(snapshot)", "5.0"),
    ],
)
def test_a_parameter_that_needs_a_newer_server_says_which(name: str, version: str) -> None:
    path, _, parameter = name.rstrip(")").partition("(")
    first, _, member = path.partition(".")
    owner = package()[package()[first].canonical_path.removeprefix("wiredrv.")]
    entry = owner.all_members[member] if member else owner
    assert entry.docstring is not None
    assert f"server {version}" in described_in(entry.docstring.value)[parameter]


# --- the counting itself --------------------------------------------------------------------------------------------

_SOURCES = '''
from typing import TypedDict, Unpack
from wiredrv.errors import ConfigurationError

class Base(TypedDict, total=False):
    """Options.

    :param limit: how many.
    """
    limit: int

class Options(Base, total=False):
    """More options."""
    wait_ms: int

def good(name: str, **options: Unpack[Base]) -> int:
    """Count.

    :param name: whose.
    :param options: the others.
    :returns: the number.
    :raises ConfigurationError: there is no such name.
    """
    raise ConfigurationError(name)

def no_parameter(name: str) -> None:
    """Count."""

def no_option(**options: Unpack[Options]) -> None:
    """Count."""

def no_unit(wait_ms: int) -> None:
    """Wait.

    :param wait_ms: how long.
    """

def no_result() -> int:
    """Count."""

def no_error() -> None:
    """Count."""
    raise ConfigurationError("no")

def no_error_of_a_check(name: str) -> None:
    """Count.

    :param name: whose.
    """
    check.collection_name(name)

async def no_error_of_the_server() -> None:
    """Count."""

def nothing() -> None:
    pass

class NoField:
    """A class."""

    #: What it is called.
    name: str
    size: int
'''


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> griffe.Module:
    """A package with gaps of every kind."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "made_up.py").write_text(_SOURCES, encoding="utf-8")
    loaded = griffe.load("made_up", search_paths=[folder], extensions=griffe.load_extensions(Reference))
    assert isinstance(loaded, griffe.Module)
    return loaded


@pytest.mark.parametrize(
    "name, gaps",
    [
        ("good", []),
        ("no_parameter", ["does not describe name"]),
        ("no_option", ["does not describe wait_ms"]),
        ("no_unit", ["does not say the unit of wait_ms"]),
        ("no_result", ["does not say what it returns"]),
        ("no_error", ["does not say when it raises ConfigurationError"]),
        ("no_error_of_a_check", ["does not say when it raises InvalidName"]),
        ("no_error_of_the_server", ["waits, and does not say which errors it raises"]),
        ("nothing", ["has no docstring"]),
    ],
)
def test_a_gap_is_found(made_up: griffe.Module, name: str, gaps: list[str]) -> None:
    entry = made_up[name]
    assert isinstance(entry, griffe.Function)
    assert [gap.what for gap in report([entry]).gaps] == gaps


def test_options_count_as_parameters(made_up: griffe.Module) -> None:
    entry = made_up["good"]
    assert isinstance(entry, griffe.Function)
    assert [parameter.name for parameter in entry.parameters] == ["name", "limit"]
    assert report([entry]).parameters == (2, 2)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("Use ``find`` here.", "Use `find` here."),
        ("Use :class:`nowhere.Nothing`.", "Use `nowhere.Nothing`."),
        ("Use :meth:`~nowhere.Nothing.much`.", "Use `much`."),
        ("So::\n\n    await it\n\nand more", "So:\n\n~~~python\nawait it\n~~~\n\nand more"),
    ],
)
def test_docstrings_become_markdown(made_up: griffe.Module, text: str, shown: str) -> None:
    assert markdown(text, made_up) == shown


def test_a_role_becomes_a_link() -> None:
    collection = package()["client.collection.Collection"]
    link = markdown("See :meth:`find`.", collection)
    assert 'identifier="wiredrv.client.collection_reads.CollectionReads.find"' in link
