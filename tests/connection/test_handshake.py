"""The handshake: the command that opens a connection, and how its reply is judged (mongodb-handshake)."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.connection.handshake import declare_api, hello_command, read_handshake
from wiredrv.connection.settings import ConnectionSettings, ServerApi
from wiredrv.description import wire_version_problem
from wiredrv.errors import ConfigurationError, DriverError, OperationFailure
from wiredrv.types import Address

ADDRESS = Address("host.example", 1)
MEMBER: dict[str, Any] = {
    "ok": 1,
    "helloOk": True,
    "ismaster": True,
    "setName": "rs",
    "minWireVersion": 0,
    "maxWireVersion": 17,
    "maxBsonObjectSize": 16_777_216,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "logicalSessionTimeoutMinutes": 30,
    "connectionId": 42,
}


@pytest.mark.parametrize(
    "settings, first",
    [
        (ConnectionSettings(), "isMaster"),
        (ConnectionSettings(server_api=ServerApi("1")), "hello"),
        (ConnectionSettings(load_balanced=True), "hello"),
    ],
    ids=["plain", "Stable API", "load balanced"],
)
def test_the_legacy_hello_unless_something_needs_the_new_one(settings: ConnectionSettings, first: str) -> None:
    command = hello_command(settings, {"driver": {}})
    assert next(iter(command)) == first
    assert command["helloOk"] is True
    assert command["$db"] == "admin"
    assert command["client"] == {"driver": {}}
    assert command["backpressure"] == "2"
    assert command.get("loadBalanced") == (True if settings.load_balanced else None)
    assert command.get("apiVersion") == ("1" if settings.server_api else None)


@pytest.mark.parametrize(
    "api, fields",
    [
        (None, {}),
        (ServerApi("1"), {"apiVersion": "1"}),
        (ServerApi("1", strict=True), {"apiVersion": "1", "apiStrict": True}),
        (
            ServerApi("1", strict=False, deprecation_errors=True),
            {"apiVersion": "1", "apiStrict": False, "apiDeprecationErrors": True},
        ),
    ],
)
def test_the_stable_api_is_declared_with_what_was_given(api: ServerApi | None, fields: dict[str, Any]) -> None:
    command: dict[str, Any] = {}
    declare_api(command, api)
    assert command == fields


def test_what_a_member_says_of_itself_is_read() -> None:
    found = read_handshake(ADDRESS, MEMBER, ConnectionSettings())
    assert found.limits.max_wire_version == 17
    assert found.limits.max_message_size == 48_000_000
    assert (found.server_connection_id, found.service_id) == (42, None)
    assert (found.supports_sessions, found.is_mongos, found.is_standalone, found.hello_ok) == (True, False, False, True)


@pytest.mark.parametrize(
    "reply, mongos, standalone",
    [
        (MEMBER, False, False),
        ({**MEMBER, "msg": "isdbgrid", "setName": "rs"}, True, False),
        ({k: v for k, v in MEMBER.items() if k != "setName"}, False, True),
        ({**{k: v for k, v in MEMBER.items() if k != "setName"}, "msg": "isdbgrid"}, True, False),
        ({**{k: v for k, v in MEMBER.items() if k != "setName"}, "isreplicaset": True}, False, False),
    ],
    ids=["a member", "a mongos that says more", "a standalone", "a mongos", "a member not yet in its set"],
)
def test_what_kind_of_server_it_is(reply: dict[str, Any], mongos: bool, standalone: bool) -> None:
    found = read_handshake(ADDRESS, reply, ConnectionSettings())
    assert (found.is_mongos, found.is_standalone) == (mongos, standalone)


@pytest.mark.parametrize("least, most, works", [(0, 8, True), (0, 7, False), (29, 40, True), (30, 40, False)])
def test_wire_versions_must_meet(least: int, most: int, works: bool) -> None:
    reply = {**MEMBER, "minWireVersion": least, "maxWireVersion": most}
    assert (wire_version_problem(ADDRESS, least, most) is None) == works
    if works:
        assert read_handshake(ADDRESS, reply, ConnectionSettings()).limits.max_wire_version == most
        return
    with pytest.raises(ConfigurationError, match=r"host\.example:1") as caught:
        read_handshake(ADDRESS, reply, ConnectionSettings())
    for version in (str(most if most < 8 else least), "8" if most < 8 else "29"):
        assert version in str(caught.value)


def test_a_monitor_shakes_hands_with_a_server_of_any_age() -> None:
    reply = {**MEMBER, "maxWireVersion": 3}
    assert read_handshake(ADDRESS, reply, ConnectionSettings(any_wire_version=True)).limits.max_wire_version == 3


def test_a_refused_handshake_is_the_servers_error() -> None:
    with pytest.raises(OperationFailure, match="no") as caught:
        read_handshake(ADDRESS, {"ok": 0, "code": 18, "errmsg": "no"}, ConnectionSettings())
    assert caught.value.code == 18


def test_a_server_without_a_load_balancer_is_told_apart_from_one_behind_it() -> None:
    settings = ConnectionSettings(load_balanced=True)
    with pytest.raises(ConfigurationError, match="loadBalanced=true"):
        read_handshake(ADDRESS, MEMBER, settings)
    service = ObjectId()
    assert read_handshake(ADDRESS, {**MEMBER, "serviceId": service}, settings).service_id == service


values: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.just({})
)


@given(st.dictionaries(st.sampled_from(sorted(MEMBER)), values))
def test_any_answer_is_read_or_refused(changed: dict[str, Any]) -> None:
    try:
        found = read_handshake(ADDRESS, {**MEMBER, **changed}, ConnectionSettings())
    except DriverError:
        return
    assert found.limits.max_message_size >= 0
    assert found.limits.max_wire_version >= 8


@pytest.mark.parametrize(
    "field, limit, usual, most",
    [
        ("maxWriteBatchSize", "max_write_batch_size", 100_000, 1_000_000),
        ("maxMessageSizeBytes", "max_message_size", 48_000_000, 48_000_000),
        ("maxBsonObjectSize", "max_bson_object_size", 16 * 1024 * 1024, 48_000_000),
    ],
)
def test_a_limit_leaves_room_for_something_and_not_for_everything(
    field: str, limit: str, usual: int, most: int
) -> None:
    """Neither endless empty batches, nor a gigabyte for a reply that is a megabyte on the wire."""
    for value in (0, -1, "x", None, float("inf"), float("nan"), True):
        found = read_handshake(ADDRESS, {**MEMBER, field: value}, ConnectionSettings())
        assert getattr(found.limits, limit) == usual
    for value in (2**31 - 1, 2**40):
        found = read_handshake(ADDRESS, {**MEMBER, field: value}, ConnectionSettings())
        assert getattr(found.limits, limit) == most


@pytest.mark.parametrize("value", [5, "x", [], {"a": []}, None])
def test_a_service_id_that_is_not_one_is_none(value: object) -> None:
    """It is looked up in a table, so it must have the type that servers send."""
    assert read_handshake(ADDRESS, {**MEMBER, "serviceId": value}, ConnectionSettings()).service_id is None
    service = ObjectId()
    assert read_handshake(ADDRESS, {**MEMBER, "serviceId": service}, ConnectionSettings()).service_id == service
