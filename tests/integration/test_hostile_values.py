"""Against a fake server whose replies are well-formed but have wrong values.

No value from a peer breaks a client, raises an error other than the driver's, or is sent on to other servers. And
once a commit was sent, only a clear reply settles its outcome.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf, nan
from time import monotonic
from typing import Any

import anyio
import bson
import pytest
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.timestamp import Timestamp

import wiredrv
from tests.support import hostile_server as hostile
from tests.support.event_log import EventLog
from tests.support.fake_server import FakeServer, fine, with_sessions
from tests.support.hostile_server import EndlessHellos, HostileServer, Misbehaviour
from tests.support.waiting import PATIENCE, until
from wiredrv import _introspect, events
from wiredrv.errors import (
    UNKNOWN_COMMIT_RESULT,
    BulkWriteError,
    DriverError,
    DuplicateKeyError,
    OperationFailure,
    UnreadableReply,
)
from wiredrv.topology.monitor import LEAST_DISTANCE

pytestmark = pytest.mark.anyio

_GRACE = 5.0

#: A member of a replica set, so that transactions are sent.
MEMBER = {**with_sessions(), "setName": "rs"}
CLUSTER_TIME = {"clusterTime": Timestamp(5, 1), "signature": {"hash": bytes(20), "keyId": bson.Int64(0)}}


@asynccontextmanager
async def client_of(server: FakeServer, **options: Any) -> AsyncIterator[wiredrv.Client]:
    async with wiredrv.Client(server.uri, serverSelectionTimeoutMS=4000, **options) as client:
        with anyio.fail_after(_GRACE):
            yield client
        assert _introspect.checked_out(client) == 0


# --- the stream ---


async def test_a_connection_on_which_two_replies_came_is_not_used_again() -> None:
    log = EventLog()
    with HostileServer({"ping": hostile.answer_twice}, times=1) as server:
        async with client_of(server, event_listeners=[log]) as client:
            assert await client.admin.command("ping") == {"ok": 1}
            assert [event.reason for event in log.of(events.ConnectionClosedEvent)] == ["error"]
            assert await client.admin.command("ping") == {"ok": 1}


async def test_a_stream_of_hellos_without_end_leaves_time_for_operations() -> None:
    """Server-monitoring, "Streaming": the server sends a hello when its state changes. Here it always does."""
    log = EventLog()
    with EndlessHellos() as server:
        async with client_of(server, event_listeners=[log]) as client:
            await client.admin.command("ping")
            await log.wait_for(events.ServerHeartbeatSucceededEvent, 5)
            heartbeats, started = len(log.of(events.ServerHeartbeatSucceededEvent)), monotonic()
            with anyio.fail_after(PATIENCE):
                for _ in range(100):
                    await client.db.c.find_one({})
            passed = monotonic() - started
            heard = len(log.of(events.ServerHeartbeatSucceededEvent)) - heartbeats
            # How many finds that leaves time for depends on the machine; that few hellos are read does not.
            assert heard <= passed / LEAST_DISTANCE + 2


# --- values -----------------------------------------------------------------------------------------------------------


BAD_CLUSTER_TIMES: dict[str, Any] = {
    "a number": 5,
    "a list": [1],
    "empty": {},
    "no time in it": {"clusterTime": 5},
    "a nested one": {"clusterTime": {"clusterTime": Timestamp(5, 1)}},
}


@pytest.mark.parametrize("options", [None, CodecOptions(tz_aware=True)], ids=["plain", "codec options"])
@pytest.mark.parametrize("name", BAD_CLUSTER_TIMES)
async def test_a_bad_cluster_time_is_ignored_and_never_sent(name: str, options: Any) -> None:
    """Sessions specification, "Gossipping the cluster time"."""
    times = [BAD_CLUSTER_TIMES[name], CLUSTER_TIME, BAD_CLUSTER_TIMES[name]]

    def answer(command: dict[str, Any]) -> dict[str, Any]:
        return {**fine(command), "$clusterTime": times[min(len(server.commands), 3) - 1]}

    with FakeServer(MEMBER, answer) as server:
        async with client_of(server) as client, client.start_session() as session:
            collection = client.db.get_collection("c", codec_options=options)
            for _ in range(4):
                await collection.find_one({}, session=session)
            assert session.cluster_time == CLUSTER_TIME
    assert [command.get("$clusterTime") for command in server.commands if "find" in command] == [
        None,
        None,
        CLUSTER_TIME,
        CLUSTER_TIME,
    ]


GOSSIP: dict[str, Any] = {
    "operationTime": [5, "x", {}, None, []],
    "recoveryToken": [5, "x", []],
    "topologyVersion": [5, {"processId": 1, "counter": "x"}, {"counter": 5}],
}


@pytest.mark.parametrize("field, value", [(field, value) for field in GOSSIP for value in GOSSIP[field]])
async def test_other_gossip_of_the_wrong_kind_is_ignored(field: str, value: Any) -> None:
    with FakeServer(MEMBER, lambda command: {**fine(command), field: value}) as server:
        async with client_of(server) as client, client.start_session() as session:
            async with session.start_transaction():
                await client.db.c.insert_one({}, session=session)
            await client.db.c.find_one({}, session=session)
            assert session.operation_time is None
    sent = [key for command in server.commands for key in command]
    assert "recoveryToken" not in sent
    assert all("afterClusterTime" not in command.get("readConcern", {}) for command in server.commands)


async def test_a_snapshot_time_of_the_wrong_kind_is_an_error_and_not_another_snapshot() -> None:
    with FakeServer(MEMBER, lambda command: {**fine(command), "atClusterTime": 5}) as server:
        async with client_of(server) as client, client.start_session(snapshot=True) as session:
            with pytest.raises(UnreadableReply, match="atClusterTime"):
                await client.db.c.find_one({}, session=session)


HELLOS: dict[str, list[Any]] = {
    "maxWriteBatchSize": [0, -1, "x", inf, nan, 2**62],
    "maxMessageSizeBytes": [0, -5, "x", inf, 2**31 - 1, 2**62],
    "maxBsonObjectSize": [0, "x", inf, 2**62],
    "logicalSessionTimeoutMinutes": [0, 2**40],
    "serviceId": [5, [], {"a": []}],
    "connectionId": ["x", inf, -1, {}],
    "topologyVersion": [5, {"processId": 1, "counter": 2}],
    "compression": [5, ["x"], "zlib"],
}


@pytest.mark.parametrize("field, value", [(field, value) for field in HELLOS for value in HELLOS[field]])
async def test_a_handshake_with_a_senseless_value_serves_all_the_same(field: str, value: Any) -> None:
    with FakeServer({**MEMBER, field: value}) as server:
        async with client_of(server, compressors="zlib") as client:
            result = await client.db.c.insert_many([{"x": number} for number in range(3)])
            assert len(result.inserted_ids) == 3
            await client.db.c.find_one({})
    assert sum(len(command["documents"]) for command in server.commands if "insert" in command) == 3


@pytest.mark.parametrize("host", ["a\x00b:1", "x\x00.sock", "a b:1", "a..b:1", "x" * 300 + ":1", "\x7f:1"])
async def test_a_host_that_is_none_leaves_the_monitors_alive(host: str) -> None:
    """The topology description shows the error of such a member; once it is no longer listed, the client works."""
    with FakeServer(MEMBER) as server:
        right = {**MEMBER, "hosts": [str(server.address)], "me": str(server.address)}
        server.hello = {**right, "hosts": [str(server.address), host]}
        uri = f"mongodb://{server.address}/?replicaSet=rs&heartbeatFrequencyMS=500"
        async with wiredrv.Client(uri, serverSelectionTimeoutMS=400) as client:
            with anyio.fail_after(_GRACE):
                try:
                    await client.admin.command("ping")
                except DriverError as error:
                    assert "not a valid address" in str(error) or "cannot be" in str(error)  # noqa: PT017
                server.hello = right
                await until(lambda: len(client.nodes) == 1, "the monitor has asked again")
                await client.admin.command("ping")


# --- replies ----------------------------------------------------------------------------------------------------------

Call = Callable[[wiredrv.Client], Awaitable[Any]]
ODD: list[Any] = [None, 5, "x", [], {}, [1], [[]], ["x"], {"a": 1}, inf, nan, -1]


async def _bulk(client: wiredrv.Client) -> Any:
    return await client.db.c.bulk_write([wiredrv.UpdateOne({}, {"$set": {"a": 1}}, upsert=True)])


async def _update(client: wiredrv.Client) -> Any:
    result = await client.db.c.update_one({}, {"$set": {"a": 1}})
    return result.matched_count, result.modified_count, result.upserted_id, result.raw_result, repr(result)


async def _delete(client: wiredrv.Client) -> Any:
    result = await client.db.c.delete_one({})
    return result.deleted_count, result.raw_result, repr(result)


#: A call, and the field of its command's reply that gets an odd value.
CALLS: dict[str, tuple[Call, str]] = {
    "find_one": (lambda client: client.db.c.find_one({}), "cursor.firstBatch"),
    "find": (lambda client: client.db.c.find({}).to_list(), "cursor.firstBatch"),
    "find, cursor": (lambda client: client.db.c.find({}).to_list(), "cursor"),
    "count": (lambda client: client.db.c.estimated_document_count(), "n"),
    "count_documents": (lambda client: client.db.c.count_documents({}), "cursor.firstBatch"),
    "distinct": (lambda client: client.db.c.distinct("x"), "values"),
    "list_index_names": (lambda client: client.db.c.list_index_names(), "cursor.firstBatch"),
    "index_information": (lambda client: client.db.c.index_information(), "cursor.firstBatch"),
    "options": (lambda client: client.db.c.options(), "cursor.firstBatch"),
    "list_collection_names": (lambda client: client.db.list_collection_names(), "cursor.firstBatch"),
    "list_database_names": (lambda client: client.list_database_names(), "databases"),
    "update, n": (_update, "n"),
    "update, nModified": (_update, "nModified"),
    "update, upserted": (_update, "upserted"),
    "update, writeErrors": (_update, "writeErrors"),
    "update, writeConcernError": (_update, "writeConcernError"),
    "delete": (_delete, "n"),
    "bulk, n": (_bulk, "n"),
    "bulk, upserted": (_bulk, "upserted"),
    "bulk, writeErrors": (_bulk, "writeErrors"),
    "bulk, writeConcernError": (_bulk, "writeConcernError"),
    "find_and_modify": (lambda client: client.db.c.find_one_and_delete({}), "value"),
    "drop": (lambda client: client.db.c.drop(), "writeConcernError"),
    "ok": (lambda client: client.db.command("ping"), "ok"),
    "server_info": (lambda client: client.server_info(), "ok"),
}


@pytest.mark.parametrize("options", [None, CodecOptions(tz_aware=True)], ids=["plain", "codec options"])
@pytest.mark.parametrize("name", CALLS)
async def test_an_odd_reply_is_a_result_or_an_error_of_the_driver(name: str, options: Any) -> None:
    call, field = CALLS[name]
    current: list[Any] = [None]

    def answer(command: dict[str, Any]) -> dict[str, Any]:
        outer, _, inner = field.partition(".")
        return {**fine(command), outer: {"id": bson.Int64(0), "ns": "db.c", inner: current[0]} if inner else current[0]}

    with FakeServer(MEMBER, answer) as server:
        more = {} if options is None else {"tz_aware": True}
        async with client_of(server, **more) as client:
            for current[0] in ODD:
                try:
                    await call(client)
                except DriverError as error:
                    repr(error), str(error), error.timeout
            servers = client.topology_description.servers.values()
            assert all(known.error is None for known in servers), "the server did what it was told"


async def test_a_refusal_whose_text_is_not_utf_8_is_told_as_the_refusal_that_it_is() -> None:
    """Servers truncate the duplicate key in the message in the middle of a character."""
    whole = {"ok": 1, "n": 0, "writeErrors": [{"index": 0, "code": 11000, "errmsg": "E11000 abcd", "keyValue": {}}]}
    failed = {"ok": 0, "code": 13, "errmsg": "not abcd", "codeName": "Unauthorized"}
    cut = {
        "insert": hostile.saying_bytes(bson.encode(whole).replace(b"abcd", b"ab\xc3\x00"[:3] + b"d")),
        "ping": hostile.saying_bytes(bson.encode(failed).replace(b"abcd", b"ab\xc3d")),
    }
    with HostileServer(cut) as server:
        async with client_of(server) as client:
            with pytest.raises(DuplicateKeyError, match="E11000 ab�d"):
                await client.db.c.insert_one({})
            with pytest.raises(OperationFailure, match="not ab�d") as caught:
                await client.admin.command("ping")
            assert caught.value.code == 13
            with pytest.raises(BulkWriteError, match="E11000 ab�d"):
                await client.db.c.insert_many([{}])


async def test_a_command_that_should_answer_with_a_cursor_and_does_not_disturbs_nobody() -> None:
    log = EventLog()
    with FakeServer(MEMBER) as server:
        async with client_of(server, event_listeners=[log]) as client:
            await client.admin.command("ping")
            with pytest.raises(UnreadableReply, match=r"'ping' on db .*no cursor") as caught:
                await client.db.cursor_command("ping")
            assert caught.value.namespace == "db"
    assert not log.of(events.PoolClearedEvent)
    assert [event.reason for event in log.of(events.ConnectionClosedEvent)] == ["poolClosed"]
    assert log.of(events.CommandFailedEvent) == []


# --- commits and aborts -----------------------------------------------------------------------------------------------

UNCLEAR: dict[str, Misbehaviour] = {
    "closed": hostile.close,
    "another op code": hostile.another_op_code,
    "another request answered": hostile.answer_another_request,
    "two gigabytes promised": hostile.promise_two_gigabytes,
    "a broken document": hostile.break_the_document,
    "a far date": hostile.saying({"ok": 1, "at": DatetimeMS(10**15)}),
    "an empty document": hostile.saying({}),
    "no ok": hostile.saying({"n": 1}),
    "a strange ok": hostile.saying({"ok": "yes"}),
    "a refusal without a code": hostile.saying({"ok": 0, "errmsg": "no"}),
    "a strange write concern error": hostile.saying({"ok": 1, "writeConcernError": 5}),
}


class Hooks:
    """Which hooks of a session's transaction were called."""

    def __init__(self, session: wiredrv.ClientSession) -> None:
        self.called: list[str] = []
        session.on_commit(lambda: self.called.append("commit"))
        session.on_abort(lambda: self.called.append("abort"))
        session.on_unknown(lambda: self.called.append("unknown"))


@pytest.mark.parametrize("name", UNCLEAR)
async def test_a_commit_that_is_not_answered_clearly_is_sent_again_with_a_majority(name: str) -> None:
    """Transactions specification, "Drivers commands retry behaviour"; only the server's reply ends a transaction."""
    with HostileServer({"commitTransaction": UNCLEAR[name]}, MEMBER, times=1) as server:
        async with client_of(server, socketTimeoutMS=3000) as client, client.start_session() as session:
            session.start_transaction()
            await client.db.c.insert_one({}, session=session)
            hooks = Hooks(session)
            await session.commit_transaction()
            assert hooks.called == ["commit"]
    first, second = [command for command in server.commands if "commitTransaction" in command]
    assert "writeConcern" not in first
    assert second["writeConcern"]["w"] == "majority"
    assert first["txnNumber"] == second["txnNumber"]


@pytest.mark.parametrize("name", UNCLEAR)
async def test_a_commit_that_is_never_answered_clearly_is_unknown_and_never_aborted(name: str) -> None:
    with HostileServer({"commitTransaction": UNCLEAR[name]}, MEMBER) as server:
        async with client_of(server, socketTimeoutMS=3000) as client, client.start_session() as session:
            session.start_transaction()
            await client.db.c.insert_one({}, session=session)
            hooks = Hooks(session)
            with pytest.raises(DriverError) as caught:
                await session.commit_transaction()
            assert caught.value.has_error_label(UNKNOWN_COMMIT_RESULT)
            assert hooks.called == ["unknown"]
    names = [next(iter(command)) for command in server.commands]
    assert names.count("commitTransaction") == 2
    assert "abortTransaction" not in names


@pytest.mark.parametrize("name", ["another op code", "a broken document", "no ok"])
async def test_with_transaction_repeats_a_commit_until_it_is_answered_clearly(name: str) -> None:
    with HostileServer({"commitTransaction": UNCLEAR[name]}, MEMBER, times=5) as server:
        async with client_of(server) as client, client.start_session() as session:
            calls: list[Hooks] = []

            async def callback(session: wiredrv.ClientSession) -> None:
                calls.append(Hooks(session))
                await client.db.c.insert_one({}, session=session)

            await session.with_transaction(callback)
            (hooks,) = calls
            assert hooks.called == ["unknown", "commit"]


@pytest.mark.parametrize("name", UNCLEAR)
async def test_an_abort_whose_reply_cannot_be_read_is_harmless(name: str) -> None:
    with HostileServer({"abortTransaction": UNCLEAR[name]}, MEMBER) as server:
        async with client_of(server, socketTimeoutMS=3000) as client, client.start_session() as session:
            session.start_transaction()
            await client.db.c.insert_one({}, session=session)
            hooks = Hooks(session)
            await session.abort_transaction()
            assert hooks.called == ["abort"]
            await client.db.c.insert_one({}, session=session)
