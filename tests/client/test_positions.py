"""Options by position: what is sent is what is sent for the same options by their names."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from bson.dbref import DBRef
from bson.timestamp import Timestamp

import wiredrv
from tests.support.fake_server import FakeServer, with_sessions
from wiredrv.client import positions
from wiredrv.errors import ConfigurationError, UnknownOption

pytestmark = pytest.mark.anyio

SET = {"$set": {"a": 1}}
#: For each method: its arguments, and the order of what follows.
METHODS: dict[str, tuple[tuple[Any, ...], tuple[str, ...]]] = {
    "insert_one": (({"_id": 1},), positions.INSERT),
    "insert_many": (([{"_id": 1}], True), positions.INSERT),
    "update_one": (({}, SET, False), positions.UPDATE_ONE),
    "update_many": (({}, SET, False), positions.UPDATE_MANY),
    "replace_one": (({}, {"a": 1}, False), positions.REPLACE_ONE),
    "delete_one": (({},), positions.DELETE),
    "delete_many": (({},), positions.DELETE),
    "find_one_and_delete": (({},), positions.FIND_AND_DELETE),
    "find_one_and_replace": (({}, {"a": 1}), positions.FIND_AND_REPLACE),
    "find_one_and_update": (({}, SET), positions.FIND_AND_UPDATE),
    "bulk_write": (([wiredrv.InsertOne({"_id": 1})], True), positions.BULK_WRITE),
    "find": (({}, None), positions.FIND),
    "find_one": (({}, None), positions.FIND),
    "find_raw_batches": (({}, None), positions.FIND),
    "aggregate": (([], None), positions.AGGREGATE),
    "aggregate_raw_batches": (([], None), positions.COMMENT),
    "count_documents": (({}, None), positions.COMMENT),
    "distinct": (("a", None, None), positions.DISTINCT),
    "estimated_document_count": ((), positions.COMMENT),
    "drop_index": (("a_1", None), positions.COMMENT),
    "drop_indexes": ((None,), positions.COMMENT),
    "list_search_indexes": ((None, None), positions.COMMENT),
    "watch": ((None, None), positions.WATCH),
    "dereference": ((DBRef("orders", 1), None), positions.COMMENT),
}
VALUES: dict[str, Any] = {
    "allow_disk_use": True,
    "allow_partial_results": True,
    "array_filters": [{"x": 1}],
    "batch_size": 3,
    "bypass_document_validation": True,
    "collation": {"locale": "en"},
    "comment": "why",
    "cursor_type": wiredrv.CursorType.TAILABLE,
    "full_document_before_change": "required",
    "hint": "a_1",
    "let": {"x": 1},
    "limit": 4,
    "max": {"a": 9},
    "max_await_time_ms": 20,
    "max_time_ms": 500,
    "min": {"a": 1},
    "no_cursor_timeout": True,
    "oplog_replay": True,
    "projection": ["a"],
    "resume_after": {"_data": "00"},
    "return_document": True,
    "return_key": True,
    "show_expanded_events": True,
    "show_record_id": True,
    "skip": 2,
    "sort": [("a", -1)],
    "start_after": {"_data": "00"},
    "start_at_operation_time": Timestamp(5, 1),
    "upsert": True,
}
_NOISE = ("lsid", "$clusterTime", "txnNumber")


def _methods() -> list[tuple[str, int]]:
    return [(name, place) for name, (_, order) in METHODS.items() for place in range(len(order))]


def test_every_method_that_takes_more_is_tried() -> None:
    taking = set()
    for kind in (wiredrv.Collection, wiredrv.Database, wiredrv.Client):
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if "more" in method.__code__.co_varnames[: method.__code__.co_argcount + 4]:
                taking.add(name)
    assert taking == set(METHODS)


async def _sent(server: FakeServer, handle: Any, method: str, arguments: Any, options: Any) -> Any:
    """The first command of a call, without what belongs to the session; or why it was refused."""
    del server.commands[:]
    try:
        result = getattr(handle, method)(*arguments, **options)
        if inspect.isawaitable(result):
            await result
        elif hasattr(result, "to_list"):
            await result.to_list()
    except Exception as error:
        if not server.commands:
            return f"{type(error).__name__}: {error}"
    return {name: value for name, value in server.commands[0].items() if name not in _NOISE}


async def test_what_is_sent_is_the_same_as_by_name() -> None:
    different: list[str] = []
    with FakeServer(with_sessions()) as server:
        async with wiredrv.Client(server.uri) as client, client.start_session() as session:
            values = {**VALUES, "session": session}
            for method, place in _methods():
                arguments, order = METHODS[method]
                name = order[place]
                if name not in values:
                    continue
                handle: Any = client.shop if method == "dereference" else client.shop.orders
                placed = (*arguments, *[None] * place, values[name])
                by_position = await _sent(server, handle, method, placed, {})
                session_used = bool(server.commands) and server.commands[0].get("lsid") == session.session_id
                by_name = await _sent(server, handle, method, arguments, {name: values[name]})
                if by_position != by_name or (name == "session" and not session_used):
                    different.append(f"{method}({name}): {by_position} and not {by_name}")
    assert different == []


async def test_what_cannot_be_is_refused_with_a_sentence() -> None:
    orders: Any = wiredrv.Client().shop.orders
    with pytest.raises(UnknownOption, match="insert_one takes 3 options by position, bypass_document_validation, "):
        await orders.insert_one({}, None, None, None, None)
    with pytest.raises(ConfigurationError, match="'comment' is given by position and by its name"):
        await orders.insert_one({}, None, None, "a", comment="b")
    with pytest.raises(ConfigurationError, match="'session' is given by position and by its name"):
        await orders.insert_one({}, None, object(), session=object())
    with pytest.raises(ConfigurationError, match="bypass_document_validation must be True or False"):
        await orders.insert_one({}, object())
    for gone in ("max_scan", "snapshot"):
        with pytest.raises(UnknownOption, match=f"unknown option '{gone}'"):
            orders.find({}, None, *[None] * positions.FIND.index(gone), 1)
