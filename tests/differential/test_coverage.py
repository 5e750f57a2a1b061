"""Which public methods the generated scenarios call, of all that PyMongo's classes and ours have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from gridfs.asynchronous.grid_file import AsyncGridFSBucket, AsyncGridIn, AsyncGridOut
from hypothesis import HealthCheck, Phase, given, seed, settings
from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.command_cursor import AsyncCommandCursor
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.asynchronous.mongo_client import AsyncMongoClient

import wiredrv
from tests.differential import files, watching
from tests.differential.calls import Block, Call, Get, Scenario, StartSession, Step, TheSession
from tests.differential.methods import CHAIN, CHAIN_ENDS, METHODS
from tests.differential.sequences import (
    ADVANCES,
    BLOCKS,
    CURSOR_ATTRIBUTES,
    CURSOR_METHODS,
    SESSION_ATTRIBUTES,
    SESSION_METHODS,
    scenarios,
)

PAIRS: Mapping[str, tuple[type[Any], type[Any]]] = {
    "collection": (AsyncCollection, wiredrv.Collection),
    "database": (AsyncDatabase, wiredrv.Database),
    "client": (AsyncMongoClient, wiredrv.Client),
    "session": (AsyncClientSession, wiredrv.ClientSession),
    "cursor": (AsyncCursor, wiredrv.Cursor),
    "command cursor": (AsyncCommandCursor, wiredrv.CommandCursor),
    "bucket": (AsyncGridFSBucket, wiredrv.GridFSBucket),
    "file that is read": (AsyncGridOut, wiredrv.GridOut),
    "file that is written": (AsyncGridIn, wiredrv.GridIn),
    "change stream": (AsyncChangeStream, wiredrv.ChangeStream),
}

_TAKEN = {"next", "to_list", "try_next", "close"}
#: The methods that scenarios use, by the tables that they are drawn from.
EXERCISED: Mapping[str, set[str]] = {
    **{kind: {m.name for m in METHODS if m.kind == kind} for kind in ("collection", "database", "client")},
    "session": {*SESSION_METHODS, *SESSION_ATTRIBUTES, *ADVANCES.values(), *BLOCKS, "session_id"} - {"transaction"},
    "cursor": {*CHAIN, *CHAIN_ENDS, *CURSOR_METHODS, *CURSOR_ATTRIBUTES},
    "command cursor": {*_TAKEN, "alive", "cursor_id", "address", "session", "batch_size"},
    "bucket": {*(m.name for m in files.METHODS), "open_upload_stream", "open_upload_stream_with_id"},
    "file that is read": {*files.READING, *files.READ_ATTRIBUTES},
    "file that is written": {*files.WRITING, *files.WRITE_ATTRIBUTES},
    "change stream": {*watching.EVENT_METHODS, *watching.EVENT_ATTRIBUTES},
}
EXERCISED["collection"] |= {"with_options", "watch"}
EXERCISED["database"] |= {"with_options", "watch"}
EXERCISED["client"] |= {"start_session", "watch"}

_OPTIONS = {"codec_options", "read_concern", "read_preference", "write_concern"}
#: The methods that they do not use, and why.
LEFT_OUT: Mapping[str, Mapping[str, str]] = {
    "collection": {
        **dict.fromkeys(sorted(_OPTIONS), "an attribute: with_options and the commands show it"),
        **dict.fromkeys(("name", "full_name", "database"), "an attribute without behaviour"),
        **dict.fromkeys(
            (
                "create_search_index",
                "create_search_indexes",
                "drop_search_index",
                "list_search_indexes",
                "update_search_index",
            ),
            "servers without search refuse them all; tests/integration/test_collection_helpers.py",
        ),
    },
    "database": {
        **dict.fromkeys(sorted(_OPTIONS), "an attribute: with_options and the commands show it"),
        **dict.fromkeys(("name", "client"), "an attribute without behaviour"),
    },
    "client": {
        **dict.fromkeys(sorted(_OPTIONS), "an attribute: the commands show it"),
        "bulk_write": "needs server 8.0; both refuse it before (tests/integration/test_client_bulk_write.py)",
        "append_metadata": "changes the handshakes of later connections, not what calls do",
        "close": "both clients are used again; tests/integration/test_closed_client.py",
        **dict.fromkeys(("aclose", "aconnect"), "as close, and as the first operation; tests/client/test_closing.py"),
        **dict.fromkeys(
            ("address", "arbiters", "is_mongos", "is_primary", "nodes", "primary", "secondaries"),
            "of the topology; tests/integration/test_client_properties.py compares them",
        ),
        "options": "an attribute; tests/client/test_effective_options.py compares it",
        "topology_description": "the drivers' own classes",
    },
    "session": {
        "client": "an attribute without behaviour",
        "options": "the drivers' own classes",
    },
    "cursor": {},
    "command cursor": {},
    "bucket": {},
    "file that is read": {},
    "file that is written": {"upload_date": "the time of the call"},
    "change stream": {"next": "waits for an event, if there is none"},
}


def _common(kind: str) -> set[str]:
    theirs, ours = PAIRS[kind]
    return {name for name in dir(theirs) if not name.startswith("_")} & set(dir(ours))


@pytest.mark.parametrize("kind", PAIRS)
def test_every_method_that_both_have_is_called_or_left_out_for_a_reason(kind: str) -> None:
    assert _common(kind) - EXERCISED[kind] - set(LEFT_OUT[kind]) == set()


@pytest.mark.parametrize("kind", PAIRS)
def test_nothing_is_left_out_that_is_called_or_does_not_exist(kind: str) -> None:
    assert set(LEFT_OUT[kind]) & EXERCISED[kind] == set()
    assert set(LEFT_OUT[kind]) <= _common(kind)


# --- what is generated ---


def _generated(first_seed: int, count: int) -> list[Scenario]:
    found: list[Scenario] = []

    @seed(first_seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios())
    def collect(scenario: Scenario) -> None:
        found.append(scenario)

    collect()
    return found


@pytest.fixture(scope="module")
def generated() -> list[Scenario]:
    """Some scenarios, always the same."""
    # Hypothesis varies what it generated before: several seeds yield more variety than many scenarios of one.
    return [scenario for number in range(12) for scenario in _generated(number, 40)]


def _steps(scenario: Scenario) -> list[Step]:
    return [inner for step in scenario for inner in ([step, *step.steps] if isinstance(step, Block) else [step])]


def test_what_the_tables_hold_is_generated(generated: list[Scenario]) -> None:
    called = {(s.target.kind, s.method) for each in generated for s in _steps(each) if isinstance(s, Call)}
    missing = {(method.kind, method.name) for method in METHODS if method.weight > 3} - called
    assert not missing
    for kind, names in (("session", SESSION_METHODS[:3]), ("cursor", ("next", "to_list", "close"))):
        assert not {(kind, name) for name in names} - called
    assert {s.kind for each in generated for s in _steps(each) if isinstance(s, Block)} == set(BLOCKS)
    asked = {s.attribute for each in generated for s in _steps(each) if isinstance(s, Get)}
    assert asked
    attributes = {*SESSION_ATTRIBUTES, *CURSOR_ATTRIBUTES, *files.READ_ATTRIBUTES, *files.WRITE_ATTRIBUTES}
    assert asked <= {*attributes, *watching.EVENT_ATTRIBUTES}


def test_the_same_seed_generates_the_same() -> None:
    assert list(map(repr, _generated(5, 40))) == list(map(repr, _generated(5, 40)))


def test_nothing_waits_for_a_transaction_of_its_own_scenario(generated: list[Scenario]) -> None:
    """While a transaction is open, a write outside of it would wait for it for ever."""
    writes = {(method.kind, method.name) for method in METHODS if method.writes} - {("collection", "aggregate")}
    for scenario in generated:
        active: set[int] = set()
        for step in scenario:
            if isinstance(step, Call) and step.target.kind == "session":
                number = int(step.target.name)
                (active.add if step.method == "start_transaction" else active.discard)(number)
            elif isinstance(step, Call) and active and (step.target.kind, step.method) in writes:
                session = dict(step.options).get("session")
                # A value that is not a session at all is refused at once.
                assert session == "text" or (isinstance(session, TheSession) and {session.number} == active), scenario
            assert not (isinstance(step, Block) and active), scenario
            assert not (isinstance(step, StartSession) and step.number in active), scenario
