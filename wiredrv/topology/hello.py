"""Read a reply to hello (or its older spelling) into a ServerDescription. Pure.

A reply comes from outside, so every field is checked: one of the wrong type raises
:class:`UnreadableReply`, which a monitor treats as a failed check.

Specification: server-discovery-and-monitoring, "Parsing a hello or legacy hello response".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from wiredrv.description import ServerDescription, ServerType
from wiredrv.errors import UnreadableReply
from wiredrv.server_errors import command_error
from wiredrv.types import Address, Document, Reply

#: One more than the largest number of 64 bits.
_TOO_LARGE = 2**63


def server_description_from_hello(
    address: Address, reply: Reply, rtt: float | None = None, now: float = 0.0, min_rtt: float = 0.0
) -> ServerDescription:
    """Describe the server that sent ``reply``.

    :param address: where the client reached it, which need not be what it calls itself.
    :param reply: the decoded document.
    :param rtt: the average round trip time in seconds.
    :param now: the monotonic clock's seconds.
    :param min_rtt: the least of the recent round trip times in seconds; 0 while there are too few.
    :raises UnreadableReply: a field does not have the type that the specification gives it.
    """
    server_type = server_type_of(reply)
    if server_type is ServerType.UNKNOWN:
        return ServerDescription(address, error=command_error(reply), last_update_time=now)
    last_write = _typed(reply, "lastWrite", Mapping) or {}
    return ServerDescription(
        address=address,
        server_type=server_type,
        round_trip_time=rtt,
        min_round_trip_time=min_rtt,
        last_write_date=_seconds(last_write),
        op_time=last_write.get("opTime"),
        min_wire_version=_number(reply, "minWireVersion") or 0,
        max_wire_version=_number(reply, "maxWireVersion") or 0,
        me=_address(reply, "me"),
        hosts=_addresses(reply, "hosts"),
        passives=_addresses(reply, "passives"),
        arbiters=_addresses(reply, "arbiters"),
        tags=_tags(reply),
        set_name=_typed(reply, "setName", str),
        set_version=_number(reply, "setVersion"),
        election_id=_typed(reply, "electionId", ObjectId),
        primary=_address(reply, "primary"),
        last_update_time=now,
        logical_session_timeout_minutes=_number(reply, "logicalSessionTimeoutMinutes"),
        topology_version=topology_version_of(reply),
        i_crypt_dbs=reply.get("iscryptd") is True,
        hello_ok=reply.get("helloOk") is True,
        hello=reply,
    )


def server_type_of(reply: Reply) -> ServerType:
    """The type of the server that sent the reply."""
    if reply.get("ok") != 1:
        return ServerType.UNKNOWN
    if reply.get("isreplicaset"):
        return ServerType.RS_GHOST
    if reply.get("msg") == "isdbgrid":
        return ServerType.MONGOS
    if not reply.get("setName"):
        return ServerType.STANDALONE
    if reply.get("hidden"):
        return ServerType.RS_OTHER
    if reply.get("isWritablePrimary", reply.get("ismaster")):
        return ServerType.RS_PRIMARY
    if reply.get("secondary"):
        return ServerType.RS_SECONDARY
    return ServerType.RS_ARBITER if reply.get("arbiterOnly") else ServerType.RS_OTHER


def topology_version_of(document: Document | None) -> Document | None:
    """The ``topologyVersion`` of a reply or of an error's details, where it has a well-formed one.

    It is sent back to the server, which refuses any other: so only its two fields are kept.
    """
    version = (document or {}).get("topologyVersion")
    if not isinstance(version, Mapping):
        return None
    process, counter = version.get("processId"), version.get("counter")
    if not isinstance(process, ObjectId) or not isinstance(counter, int) or isinstance(counter, bool):
        return None
    return {"processId": process, "counter": Int64(counter)}


def _typed(reply: Reply, name: str, kind: type) -> Any:
    value = reply.get(name)
    if value is not None and not isinstance(value, kind):
        raise UnreadableReply(f"{name} in the server's hello is a {type(value).__name__}")
    return value


def _number(reply: Reply, name: str) -> int | None:
    value = reply.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise UnreadableReply(f"{name} in the server's hello is not a whole number")
    if not -_TOO_LARGE <= value < _TOO_LARGE:
        raise UnreadableReply(f"{name} in the server's hello is larger than a 64-bit number")
    return int(value)


def _address(reply: Reply, name: str) -> Address | None:
    text = _typed(reply, name, str)
    return _parse(text, name) if text else None


def _addresses(reply: Reply, name: str) -> frozenset[Address]:
    return frozenset(_parse(text, name) for text in _typed(reply, name, list) or ())


def _parse(text: object, name: str) -> Address:
    if not isinstance(text, str):
        raise UnreadableReply(f"{name} in the server's hello contains something that is not an address")
    try:
        return Address.parse(text)
    except ValueError as problem:
        raise UnreadableReply(f"{name} in the server's hello: {problem}") from problem


def _tags(reply: Reply) -> Mapping[str, str]:
    tags: Mapping[str, str] = _typed(reply, "tags", Mapping) or {}
    if not all(isinstance(value, str) for value in tags.values()):
        raise UnreadableReply("tags in the server's hello contains something other than strings")
    return tags


def _seconds(last_write: Document) -> float | None:
    date = last_write.get("lastWriteDate")
    if isinstance(date, datetime):
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    return int(date) / 1000 if isinstance(date, DatetimeMS) else None
