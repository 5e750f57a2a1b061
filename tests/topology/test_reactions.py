"""What an error means for its server: the whole table, and what never happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import (
    SYSTEM_OVERLOADED,
    AutoReconnect,
    BulkWriteError,
    CredentialsError,
    DriverError,
    NetworkTimeout,
    OperationFailure,
    PoolClearedError,
    ProtocolError,
    UnreadableReply,
    WaitQueueTimeoutError,
    WriteConcernError,
    WriteError,
)
from wiredrv.server_errors import command_error
from wiredrv.topology.reactions import IGNORE, Failure, Reaction, on_error, on_failed_check
from wiredrv.types import Address

A = Address("a")
GENERATION = 3
VERSION = {"processId": ObjectId(b"1" * 12), "counter": 5}


def _topology(kind: TopologyType, version: Any = None) -> TopologyDescription:
    server_type = ServerType.LOAD_BALANCER if kind is TopologyType.LOAD_BALANCED else ServerType.RS_PRIMARY
    return TopologyDescription(kind, {A: ServerDescription(A, server_type, topology_version=version)})


REPLICA_SET = _topology(TopologyType.REPLICA_SET_WITH_PRIMARY)
BALANCED = _topology(TopologyType.LOAD_BALANCED)


def _labelled(error: DriverError) -> DriverError:
    error.add_error_label(SYSTEM_OVERLOADED)
    return error


@dataclass(frozen=True)
class Expected:
    """A reaction, without the error that its server description carries."""

    unknown: bool = False
    clear: bool = False
    request: bool = False
    cancel: bool = False


def _expected(reaction: Reaction) -> Expected:
    assert not reaction.interrupt_in_use
    return Expected(reaction.server is not None, reaction.clear_pool, reaction.request_check, reaction.cancel_check)


NOTHING = Expected()
LOST = Expected(unknown=True, clear=True, cancel=True)
NOT_PRIMARY = {"ok": 0, "errmsg": "not primary", "code": 10107}
SHUTDOWN = {"ok": 0, "errmsg": "going down", "code": 91}

CASES: list[tuple[str, DriverError, bool, Expected, Expected]] = [
    # what, the error, after the handshake?, on a replica set, behind a load balancer
    ("network", AutoReconnect("broke"), True, LOST, Expected(clear=True)),
    ("timeout", NetworkTimeout("slow"), True, NOTHING, NOTHING),
    ("nonsense", ProtocolError("nonsense"), True, LOST, Expected(clear=True)),
    ("an unreadable reply", UnreadableReply("a far date"), True, NOTHING, NOTHING),
    ("command", OperationFailure("no", 13), True, NOTHING, NOTHING),
    ("network, authenticating", AutoReconnect("broke"), False, LOST, Expected(clear=True)),
    ("timeout, authenticating", NetworkTimeout("slow"), False, LOST, Expected(clear=True)),
    ("wrong password", OperationFailure("no", 18), False, LOST, Expected(clear=True)),
    ("no credentials", CredentialsError("away"), False, NOTHING, NOTHING),
    ("no credentials, authenticating again", CredentialsError("away"), True, NOTHING, NOTHING),
    ("network, overloaded", _labelled(AutoReconnect("broke")), False, NOTHING, NOTHING),
    ("timeout, overloaded", _labelled(NetworkTimeout("slow")), False, NOTHING, NOTHING),
    ("command, overloaded", _labelled(OperationFailure("no", 462)), False, NOTHING, NOTHING),
    ("not primary", command_error(NOT_PRIMARY), True, Expected(unknown=True, request=True), NOTHING),
    ("shutdown", command_error(SHUTDOWN), True, Expected(True, True, True), Expected(clear=True)),
    ("shutdown, authenticating", command_error(SHUTDOWN), False, Expected(True, True, True), Expected(clear=True)),
    (
        "not primary by its words",
        command_error({"ok": 0, "errmsg": "not master"}),
        True,
        Expected(unknown=True, request=True),
        NOTHING,
    ),
    ("the code counts, not the words", command_error({**NOT_PRIMARY, "code": 1}), True, NOTHING, NOTHING),
    ("write concern", WriteConcernError("x", 91), True, Expected(True, True, True), Expected(clear=True)),
    (
        "write concern by its words",
        WriteConcernError("node is recovering"),
        True,
        Expected(unknown=True, request=True),
        NOTHING,
    ),
    ("write error", WriteError("x", 91), True, NOTHING, NOTHING),
    ("bulk write error", BulkWriteError({"writeErrors": [{"code": 91}]}), True, NOTHING, NOTHING),
    ("pool cleared", PoolClearedError("x"), False, NOTHING, NOTHING),
    ("no connection free", WaitQueueTimeoutError("x"), False, NOTHING, NOTHING),
]


@pytest.mark.parametrize("what, error, completed, replica_set, balanced", CASES, ids=[case[0] for case in CASES])
def test_reactions(what: str, error: DriverError, completed: bool, replica_set: Expected, balanced: Expected) -> None:
    failure = Failure(A, error, GENERATION, completed, service_id=ObjectId())
    reaction = on_error(failure, REPLICA_SET, GENERATION)
    assert _expected(reaction) == replica_set
    if reaction.server is not None:
        assert reaction.server.error is error
        assert reaction.server.server_type is ServerType.UNKNOWN
    assert _expected(on_error(failure, BALANCED, GENERATION)) == balanced


@pytest.mark.parametrize("error", [case[1] for case in CASES], ids=[case[0] for case in CASES])
@pytest.mark.parametrize("completed", [True, False])
def test_an_older_generation_tells_nothing(error: DriverError, completed: bool) -> None:
    assert on_error(Failure(A, error, GENERATION - 1, completed), REPLICA_SET, GENERATION) is IGNORE
    assert on_error(Failure(Address("gone"), error, GENERATION, completed), REPLICA_SET, GENERATION) is IGNORE


@pytest.mark.parametrize(
    "counter, process, ignored", [(4, b"1", True), (5, b"1", True), (6, b"1", False), (1, b"2", False)]
)
def test_a_state_change_counts_only_with_a_newer_topology_version(counter: int, process: bytes, ignored: bool) -> None:
    version = {"processId": ObjectId(process * 12), "counter": counter}
    error = command_error({**NOT_PRIMARY, "topologyVersion": version})
    topology = _topology(TopologyType.REPLICA_SET_WITH_PRIMARY, VERSION)
    reaction = on_error(Failure(A, error, GENERATION), topology, GENERATION)
    assert (reaction is IGNORE) is ignored
    if reaction.server is not None:
        assert reaction.server.topology_version == version


@pytest.mark.parametrize("error", [AutoReconnect("broke"), command_error(SHUTDOWN)], ids=["network", "shutdown"])
def test_behind_a_load_balancer_nothing_is_cleared_before_the_service_is_known(error: DriverError) -> None:
    failure = Failure(A, error, GENERATION, completed_handshake=False)
    assert on_error(failure, BALANCED, GENERATION) == IGNORE


@given(st.sampled_from([case[1] for case in CASES]), st.booleans())
def test_a_load_balancer_is_never_marked_nor_checked(error: DriverError, completed: bool) -> None:
    reaction = on_error(Failure(A, error, GENERATION, completed, ObjectId()), BALANCED, GENERATION)
    assert (reaction.server, reaction.request_check, reaction.cancel_check) == (None, False, False)


@pytest.mark.parametrize(
    "error, known, interrupt, again",
    [
        (AutoReconnect("x"), True, False, True),
        (AutoReconnect("x"), False, False, False),
        (NetworkTimeout("x"), True, True, True),
        (NetworkTimeout("x"), False, True, False),
        (OperationFailure("x", 1234), True, False, False),
        (command_error(SHUTDOWN), True, False, False),
    ],
)
def test_failed_checks(error: DriverError, known: bool, interrupt: bool, again: bool) -> None:
    previous = ServerDescription(A, ServerType.RS_PRIMARY if known else ServerType.UNKNOWN)
    reaction = on_failed_check(previous, error)
    assert reaction.server is not None
    assert reaction.server.error is error
    assert (reaction.clear_pool, reaction.interrupt_in_use, reaction.request_check) == (True, interrupt, again)
