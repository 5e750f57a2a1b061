"""Parsing hello replies, including some that no server should send."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from bson import Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.description import ServerType
from wiredrv.errors import DriverError, UnreadableReply
from wiredrv.topology.hello import server_description_from_hello, topology_version_of
from wiredrv.types import Address

A = Address("a")
OK: dict[str, Any] = {"ok": 1, "minWireVersion": 0, "maxWireVersion": 21}
MEMBER = {**OK, "setName": "rs"}


@pytest.mark.parametrize(
    "reply, expected",
    [
        ({"ok": 0, "errmsg": "no"}, ServerType.UNKNOWN),
        ({}, ServerType.UNKNOWN),
        (OK, ServerType.STANDALONE),
        ({**OK, "ok": 1.0, "isWritablePrimary": True}, ServerType.STANDALONE),
        ({**OK, "msg": "isdbgrid"}, ServerType.MONGOS),
        ({**OK, "isreplicaset": True}, ServerType.RS_GHOST),
        ({**MEMBER, "isreplicaset": True}, ServerType.RS_GHOST),
        ({**MEMBER, "isWritablePrimary": True}, ServerType.RS_PRIMARY),
        ({**MEMBER, "ismaster": True}, ServerType.RS_PRIMARY),
        ({**MEMBER, "isWritablePrimary": False, "ismaster": True}, ServerType.RS_OTHER),
        ({**MEMBER, "secondary": True}, ServerType.RS_SECONDARY),
        ({**MEMBER, "secondary": True, "hidden": True}, ServerType.RS_OTHER),
        ({**MEMBER, "arbiterOnly": True}, ServerType.RS_ARBITER),
        (MEMBER, ServerType.RS_OTHER),
    ],
)
def test_server_types(reply: dict[str, Any], expected: ServerType) -> None:
    description = server_description_from_hello(A, reply)
    assert description.server_type is expected
    assert (description.error is not None) is (expected is ServerType.UNKNOWN)


def test_every_field_is_read() -> None:
    election, process = ObjectId(), ObjectId()
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5)
    reply = {
        **MEMBER,
        "isWritablePrimary": True,
        "helloOk": True,
        "me": "A:1",
        "hosts": ["A:1", "[::1]:2"],
        "passives": ["P"],
        "arbiters": ["/tmp/x.sock"],
        "tags": {"dc": "ny"},
        "setVersion": Int64(7),
        "electionId": election,
        "primary": "A:1",
        "logicalSessionTimeoutMinutes": 30.0,
        "topologyVersion": {"processId": process, "counter": Int64(3)},
        "lastWrite": {"lastWriteDate": moment, "opTime": {"t": 1}},
        "iscryptd": True,
    }
    found = server_description_from_hello(A, reply, rtt=0.5, now=9.0, min_rtt=0.25)
    assert found.me == found.primary == Address("a", 1)
    assert found.hosts == {Address("a", 1), Address("::1", 2)}
    assert found.passives == {Address("p")}
    assert found.arbiters == {Address("/tmp/x.sock", None)}
    assert (found.tags, found.set_name, found.set_version, found.election_id) == ({"dc": "ny"}, "rs", 7, election)
    assert found.logical_session_timeout_minutes == 30
    assert found.topology_version == {"processId": process, "counter": 3}
    assert found.last_write_date == moment.replace(tzinfo=datetime.UTC).timestamp()
    assert found.op_time == {"t": 1}
    assert (found.round_trip_time, found.min_round_trip_time, found.last_update_time) == (0.5, 0.25, 9.0)
    assert found.hello_ok
    assert found.i_crypt_dbs


@pytest.mark.parametrize(
    "date, seconds",
    [
        (datetime.datetime(1970, 1, 1, 0, 0, 2), 2.0),
        (datetime.datetime(1970, 1, 1, 1, 0, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=1))), 2.0),
        (DatetimeMS(2500), 2.5),
        (None, None),
    ],
)
def test_last_write_dates(date: Any, seconds: float | None) -> None:
    found = server_description_from_hello(A, {**MEMBER, "secondary": True, "lastWrite": {"lastWriteDate": date}})
    assert found.last_write_date == seconds


@pytest.mark.parametrize(
    "field, value",
    [
        ("setName", 5),
        ("hosts", "a:1"),
        ("hosts", [5]),
        ("hosts", ["a:b"]),
        ("me", ":5"),
        ("primary", {}),
        ("tags", []),
        ("tags", {"a": 1}),
        ("maxWireVersion", "21"),
        ("maxWireVersion", True),
        ("setVersion", 1.5),
        ("setVersion", float("inf")),
        ("setVersion", float("nan")),
        ("setVersion", 1e300),
        ("electionId", "0" * 24),
        ("lastWrite", 5),
    ],
)
def test_a_field_of_the_wrong_kind_is_our_own_error(field: str, value: Any) -> None:
    with pytest.raises(UnreadableReply, match=field):
        server_description_from_hello(A, {**MEMBER, field: value})


@pytest.mark.parametrize(
    "version", [5, {}, {"processId": ObjectId()}, {"counter": 5}, {"processId": 1, "counter": "5"}]
)
def test_a_broken_topology_version_counts_as_none(version: Any) -> None:
    assert topology_version_of({"topologyVersion": version}) is None


_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.just(ObjectId(b"1" * 12)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_NUMBERS = ["minWireVersion", "maxWireVersion", "setVersion", "logicalSessionTimeoutMinutes", "code"]
_FLAGS = ["isreplicaset", "hidden", "secondary", "isWritablePrimary", "ismaster", "arbiterOnly", "helloOk"]
_TEXTS = ["setName", "msg", "me", "primary", "errmsg", "codeName"]
_OTHERS = ["ok", "hosts", "passives", "arbiters", "tags", "electionId", "lastWrite", "topologyVersion", "errorLabels"]
_FIELDS = st.sampled_from([*_NUMBERS, *_FLAGS, *_TEXTS, *_OTHERS])


@given(st.dictionaries(_FIELDS, _VALUES), st.booleans())
def test_any_reply_is_read_or_refused_with_our_own_error(reply: dict[str, Any], ok: bool) -> None:
    if ok:
        reply["ok"] = 1
    try:
        description = server_description_from_hello(A, reply)
    except DriverError:
        return
    assert description.address == A
