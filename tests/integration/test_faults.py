"""A real replica set behind a failing network: each operation ends as specified, and in time.

The network is a fault proxy in front of each member. Whatever happened, the client works again afterwards, no
connection or session is checked out, and no transaction is open on any member (``tests/support/fault_scene.py``
checks that).

Failures of the primaries themselves are in ``test_failover.py``. A purely hostile server, without a deployment
behind it, is in ``test_hostile.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import anyio
import pytest

import wiredrv
from tests.support.commands import primary_of
from tests.support.event_log import EventLog
from tests.support.fault_proxy import Fault, FaultProxies, cut, drip, hold
from tests.support.fault_scene import (
    GRACE,
    LATE,
    REPLIES,
    SOCKET_TIMEOUT,
    SOME,
    SPOILED,
    Scene,
    Spoiled,
    each,
    scene,
    taking,
)
from tests.support.waiting import until
from wiredrv import ReadPreference, events
from wiredrv.description import ServerType
from wiredrv.errors import (
    RETRYABLE_WRITE,
    TRANSIENT_TRANSACTION,
    UNKNOWN_COMMIT_RESULT,
    AutoReconnect,
    NetworkTimeout,
    ServerSelectionTimeoutError,
)
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio


@pytest.fixture
def proxies(replica_set: ReplicaSet) -> Iterator[FaultProxies]:
    """Proxies in front of the replica set's members."""
    with FaultProxies(replica_set) as running:
        yield running


# --- reads and writes -------------------------------------------------------------------------------------------------


@each(*REPLIES)
async def test_a_read_is_tried_again(proxies: FaultProxies, spoiled: Spoiled) -> None:
    """Retryable reads, "Executing Retryable Read Commands"."""
    async with scene(proxies, **spoiled.options) as it:
        with it.primary.doing(spoiled.fault("find", times=1)) as fault, taking(spoiled.least, spoiled.least + GRACE):
            assert await it.accounts.find_one({"_id": 0}) == {"_id": 0, "balance": 100}
        assert fault.met == 1
        assert it.log.names == ["find"] * 2


@each(*SPOILED)
async def test_a_retryable_write_is_tried_again_and_done_once(proxies: FaultProxies, spoiled: Spoiled) -> None:
    """Retryable writes, "Executing Retryable Write Commands"."""
    async with scene(proxies, **spoiled.options) as it:
        with it.primary.doing(spoiled.fault("update", times=1)) as fault, taking(spoiled.least, spoiled.least + GRACE):
            result = await it.accounts.update_one({"_id": 0}, {"$inc": {"balance": 1}})
        assert result.modified_count == 1
        assert fault.met == 1
        first, second = it.log.sent("update")
        assert (first["lsid"], first["txnNumber"]) == (second["lsid"], second["txnNumber"])
        assert await it.balances() == [101, 100, 100, 100]


@pytest.mark.parametrize("command, name", [("find", "reply cut"), ("update", "never answered")])
async def test_what_fails_twice_is_an_error(proxies: FaultProxies, name: str, command: str) -> None:
    spoiled = SPOILED[name]
    async with scene(proxies, **spoiled.options) as it:
        with (
            it.primary.doing(spoiled.fault(command)) as fault,
            taking(2 * spoiled.least, 2 * spoiled.least + GRACE),
            pytest.raises(spoiled.error, match=spoiled.says) as caught,
        ):
            await it.find_or_update(command)
        await until(lambda: fault.met == 2, "both replies were spoiled")
        assert it.log.names == [command] * 2
        assert caught.value.has_error_label(RETRYABLE_WRITE) == (command == "update")
        assert await it.balances() == [101 if command == "update" else 100, 100, 100, 100]


@each(*REPLIES)
async def test_a_write_that_may_not_be_retried_is_an_error_and_sent_once(
    proxies: FaultProxies, spoiled: Spoiled
) -> None:
    """Retryable writes, "Supported Write Operations": an update of many documents is not one.

    Server discovery and monitoring, "Network error when reading or writing": the operation may merely be slow.
    """
    async with scene(proxies, **spoiled.options) as it:
        primary = primary_of(it.client)
        with (
            it.primary.doing(spoiled.fault("update", times=1)),
            taking(spoiled.least, spoiled.least + GRACE),
            pytest.raises(spoiled.error, match=spoiled.says) as caught,
        ):
            await it.accounts.update_many({}, {"$inc": {"balance": 1}})
        known = it.client.topology_description.servers[primary].server_type
        assert known is (ServerType.RS_PRIMARY if spoiled.error is NetworkTimeout else ServerType.UNKNOWN)
        assert not caught.value.has_error_label(RETRYABLE_WRITE)
        assert it.log.names == ["update"]
        assert "txnNumber" not in it.log.sent("update")[0]
        assert await it.balances() == [101 if spoiled.done else 100] * 4


# --- cursors ----------------------------------------------------------------------------------------------------------


@each(*REPLIES)
async def test_a_cursor_whose_next_batch_is_lost_is_dead(proxies: FaultProxies, spoiled: Spoiled) -> None:
    """Retryable reads, "Unsupported Read Operations": getMore is one."""
    async with scene(proxies, **spoiled.options) as it:
        cursor = it.accounts.find({}, batch_size=2).sort("_id", 1)
        assert [(await cursor.next())["_id"] for _ in range(2)] == [0, 1]
        with (
            it.primary.doing(spoiled.fault("getMore", times=1)),
            taking(spoiled.least, spoiled.least + GRACE),
            pytest.raises(spoiled.error, match=spoiled.says),
        ):
            await cursor.next()
        assert it.log.names[:2] == ["find", "getMore"]
        assert "getMore" not in it.log.names[2:]
        assert not cursor.alive
        with pytest.raises(StopAsyncIteration):
            await cursor.next()


async def test_a_cursor_lives_on_when_all_connections_were_closed_between_two_batches(proxies: FaultProxies) -> None:
    happened = EventLog()
    async with scene(proxies, happened) as it:
        cursor = it.accounts.find({}, batch_size=2).sort("_id", 1)
        await cursor.next()
        primary = it.primary
        primary.close_connections()
        await happened.wait_for(events.PoolClearedEvent, address=primary.address)
        with anyio.fail_after(GRACE):
            await it.client.admin.command("ping")
            assert [found["_id"] async for found in cursor] == [1, 2, 3]


# --- transactions -----------------------------------------------------------------------------------------------------


@each("reply cut", "never delivered")
async def test_a_statement_of_a_transaction_is_not_retried_and_its_error_is_transient(
    proxies: FaultProxies, spoiled: Spoiled
) -> None:
    """Transactions, "Error Labels"; "Interaction with Retryable Writes"."""
    async with scene(proxies, **spoiled.options) as it, it.client.start_session() as session:
        with taking(spoiled.least, spoiled.least + GRACE), pytest.raises(spoiled.error) as caught:  # noqa: PT012
            async with session.start_transaction():
                await it.accounts.update_one({"_id": 0}, {"$inc": {"balance": -10}}, session=session)
                with it.primary.doing(spoiled.fault("update", times=1)):
                    await it.accounts.update_one({"_id": 1}, {"$inc": {"balance": 10}}, session=session)
        assert caught.value.error_labels == {TRANSIENT_TRANSACTION}
        record = caught.value.transaction
        assert record is not None
        assert record.cause is caught.value
        assert it.log.names == ["update", "update", "abortTransaction"]
        assert await it.balances() == [100] * 4


@pytest.mark.parametrize("command, name", [("update", "reply cut"), ("insert", "never answered")])
async def test_with_transaction_starts_over(proxies: FaultProxies, command: str, name: str) -> None:
    """Convenient API for transactions: the first lost statement, or the last one."""
    spoiled = SPOILED[name]
    async with scene(proxies, **spoiled.options) as it, it.client.start_session() as session:
        with it.primary.doing(spoiled.fault(command, times=1)), taking(spoiled.least, spoiled.least + GRACE):
            await session.with_transaction(it.transfer)
        assert session.attempt == 2
        assert it.log.names.count("commitTransaction") == 1
        assert await it.balances() == [90, 110, 100, 100]
        assert await it.lines() == 1


@each(*SPOILED)
async def test_a_commit_is_tried_again_and_counts_once(proxies: FaultProxies, spoiled: Spoiled) -> None:
    """Transactions, "commitTransaction": retried once, and then for a majority, whether it was carried out or not."""
    async with scene(proxies, **spoiled.options) as it, it.client.start_session() as session:
        session.start_transaction()
        await it.transfer(session)
        with (
            it.primary.doing(spoiled.fault("commitTransaction", times=1)) as fault,
            taking(spoiled.least, spoiled.least + GRACE),
        ):
            await session.commit_transaction()
        assert fault.met == 1
        first, second = it.log.sent("commitTransaction")
        assert first["txnNumber"] == second["txnNumber"]
        assert second["writeConcern"]["w"] == "majority"
        assert await it.balances() == [90, 110, 100, 100]
        assert await it.lines() == 1


async def test_a_commit_whose_reply_is_lost_twice_is_unknown_until_it_is_asked_for_again(
    proxies: FaultProxies,
) -> None:
    """Transactions, "UnknownTransactionCommitResult"."""
    async with scene(proxies) as it, it.client.start_session() as session:
        session.start_transaction()
        await it.transfer(session)
        unknown: list[bool] = []
        session.on_unknown(lambda: unknown.append(True))
        with (
            it.primary.doing(cut("commitTransaction", after=SOME)),
            anyio.fail_after(GRACE),
            pytest.raises(AutoReconnect, match="in the middle of a reply") as caught,
        ):
            await session.commit_transaction()
        assert caught.value.has_error_label(UNKNOWN_COMMIT_RESULT)
        assert not caught.value.has_error_label(TRANSIENT_TRANSACTION)
        assert unknown == [True]
        with anyio.fail_after(GRACE):
            await session.commit_transaction()
        assert it.log.names.count("commitTransaction") == 3
        assert it.log.names.count("abortTransaction") == 0
        assert await it.balances() == [90, 110, 100, 100]
        assert await it.lines() == 1


async def test_an_abort_is_tried_again_and_its_errors_are_nobodys(proxies: FaultProxies) -> None:
    """Transactions, "abortTransaction"."""
    async with scene(proxies) as it, it.client.start_session() as session:
        session.start_transaction()
        await it.transfer(session)
        it.log.clear()
        with it.primary.doing(cut("abortTransaction")) as fault, anyio.fail_after(GRACE):
            await session.abort_transaction()
        assert it.log.names == ["abortTransaction"] * 2
        assert fault.met == 2
        assert await it.balances() == [100] * 4


# --- slow members, and members that cannot be reached -----------------------------------------------------------------


async def test_members_that_answer_byte_by_byte_are_slow_but_understood(proxies: FaultProxies) -> None:
    with proxies.doing(drip()) as fault:
        async with scene(proxies) as it, it.client.start_session() as session:
            with anyio.fail_after(GRACE):
                await session.with_transaction(it.transfer)
                assert len([found async for found in it.accounts.find({}, batch_size=2)]) == 4
            assert session.attempt == 1
            assert fault.met > len(it.log.names), "the handshakes were slow too"
            assert await it.balances() == [90, 110, 100, 100]


async def test_a_reply_whose_bytes_come_too_slowly_ends_with_the_sockets_timeout(proxies: FaultProxies) -> None:
    """The deadline applies to the whole reply: each byte arrives in time, but not all of them together."""
    async with scene(proxies, socketTimeoutMS=500) as it:
        with (
            it.primary.doing(drip("update", pause=0.05)) as fault,
            taking(SOCKET_TIMEOUT, SOCKET_TIMEOUT + GRACE),
            pytest.raises(NetworkTimeout, match=LATE),
        ):
            await it.accounts.update_many({}, {"$inc": {"balance": 1}})
        assert fault.met == 1


@pytest.mark.parametrize(
    "fault, says",
    [(hold, r"connectTimeoutMS \(200 ms\)"), (partial(cut, after=SOME), "in the middle of a reply")],
    ids=["never answering", "closing in mid-reply"],
)
async def test_members_whose_handshakes_fail_end_the_selection_in_time(
    proxies: FaultProxies, fault: Callable[..., Fault], says: str
) -> None:
    with proxies.doing(fault()):
        await _selection_fails(proxies, says)


async def test_members_that_refuse_connections_end_the_selection_in_time(proxies: FaultProxies) -> None:
    with proxies.refusing():
        await _selection_fails(proxies, "cannot connect")


async def _selection_fails(proxies: FaultProxies, says: str) -> None:
    async with wiredrv.Client(proxies.uri, serverSelectionTimeoutMS=400, connectTimeoutMS=200) as client:
        with taking(0.4, 0.4 + GRACE), pytest.raises(ServerSelectionTimeoutError, match=says) as caught:
            await client.admin.command("ping")
        assert all(str(proxy.address) in str(caught.value) for proxy in proxies.members)


async def test_a_primary_that_falls_silent_interrupts_what_waits_for_it(proxies: FaultProxies) -> None:
    """Server monitoring: a check that times out clears the pool with ``interruptInUseConnections``.

    Without ``socketTimeoutMS`` only the monitor can tell that no reply will arrive.
    """
    # On a busy machine checks of a responsive server take time, too.
    options = {"connectTimeoutMS": 2500, "serverSelectionTimeoutMS": 1500, "heartbeatFrequencyMS": 500}
    async with scene(proxies, **options) as it:
        primary = it.primary
        with primary.doing(hold()):
            with anyio.fail_after(3.0 + 1.5 + GRACE), pytest.raises(AutoReconnect) as caught:
                await it.accounts.update_one({"_id": 0}, {"$inc": {"balance": 1}})
            # The retry found no primary, and the error of the attempt that was sent is more informative.
            assert not isinstance(caught.value, ServerSelectionTimeoutError)
            assert caught.value.has_error_label(RETRYABLE_WRITE)
            assert it.log.names == ["update"]
            with anyio.fail_after(GRACE):
                secondary = it.accounts.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
                assert await secondary.find_one({"_id": 1}) is not None
        assert await it.balances() == [101, 100, 100, 100]


async def test_connections_that_were_closed_meanwhile_do_no_harm(proxies: FaultProxies) -> None:
    async with scene(proxies) as it:
        it.primary.close_connections()
        with anyio.fail_after(GRACE):
            await it.accounts.update_one({"_id": 0}, {"$inc": {"balance": 1}})
        assert await it.balances() == [101, 100, 100, 100]


async def test_a_primary_that_refuses_connections_is_waited_for(proxies: FaultProxies) -> None:
    async with scene(proxies) as it:
        primary = it.primary
        outcome: list[int] = []

        async def update() -> None:
            result = await it.accounts.update_one({"_id": 0}, {"$inc": {"balance": 1}})
            outcome.append(result.modified_count)

        with anyio.fail_after(4 + GRACE):
            async with anyio.create_task_group() as group:
                with primary.refusing():
                    primary.close_connections()
                    await until(lambda: it.client.topology.primary is None, "the client has lost its primary")
                    group.start_soon(update)
                    with anyio.fail_after(GRACE):
                        assert await _secondary_preferred(it).find_one({"_id": 1}) is not None
                    assert outcome == []
        assert outcome == [1]


def _secondary_preferred(it: Scene) -> wiredrv.Collection:
    return it.accounts.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
