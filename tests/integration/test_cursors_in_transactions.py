"""Every operation of a cursor in every state of its session's transaction: on a real replica set, and on doubles
of routers in front of one.

Each time, the transaction must continue and can be committed, its writes are there, and no cursor stays open
on the server. A server aborts a transaction when it receives a command of a cursor that does not belong to it.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from bson.binary import Binary

import wiredrv
from tests.support.commands import APP_NAME, DATABASE, CommandLog, fresh_collection, primary_of, sessions_back, watched
from tests.support.failpoints import fail_command
from tests.support.sharded_double import ShardedDouble
from tests.support.waiting import until, until_async
from wiredrv import _introspect
from wiredrv.errors import DriverError, InvalidOperation
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

NAME = "cursors_beside"
DOCUMENTS = 6
#: What a situation writes in its transaction, and what is written in it after the cursor's operation.
BEFORE, AFTER = {"_id": "before"}, {"_id": "after"}


@dataclass
class Place:
    """Where a test runs, and what its situation left there."""

    client: wiredrv.Client
    log: CommandLog
    collection: wiredrv.Collection
    session: wiredrv.ClientSession
    routers: tuple[wiredrv.Address, ...]
    written: list[Mapping[str, Any]] = field(default_factory=list)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def cursor(self, session: wiredrv.ClientSession | None) -> wiredrv.Cursor:
        """A cursor that was opened and partly read."""
        cursor = self.collection.find({"_id": {"$type": "int"}}, batch_size=2, session=session).sort("_id")
        assert await cursor.next() == {"_id": 0}
        assert await cursor.next() == {"_id": 1}
        return cursor

    async def begin(self) -> None:
        """Start a transaction and write in it."""
        self.session.start_transaction()
        await self.write(BEFORE)

    async def write(self, document: Mapping[str, Any]) -> None:
        """Write in the transaction."""
        await self.collection.insert_one(dict(document), session=self.session)
        self.written.append(document)

    async def undo(self, lsid: bytes | None = None) -> None:
        """End whatever is still open of a transaction whose commit never reached the server."""
        found = self.session.session_id if lsid is None else {"id": Binary(lsid, 4)}
        await self.client.admin.command("killSessions", [found])

    async def lose_the_answer_to_a_commit(self) -> None:
        """Commit, so that the outcome stays unknown."""
        # A mongod never receives it. A router does, and replies that it does not know whether it is majority committed.
        lost: dict[str, Any] = {"errorCode": 50}
        if self.routers:
            lost = {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}
        servers = self.routers or (primary_of(self.client),)
        async with AsyncExitStack() as points:
            for server in servers:
                point = fail_command(server, "commitTransaction", app_name=APP_NAME, data=lost)
                await points.enter_async_context(point)
            with pytest.raises(DriverError) as caught:
                await self.session.commit_transaction()
        assert caught.value.has_error_label("UnknownTransactionCommitResult")
        # The session and the log keep the error. Since Python 3.12 its traceback would keep alive the frames of our
        # callers too, and with them the cursor, which the test may want to drop.
        caught.value.__traceback__ = None


@pytest.fixture(params=["replica set", "routers"])
def deployment(starts_servers: None, request: pytest.FixtureRequest) -> ReplicaSet | ShardedDouble:
    name = {"replica set": "replica_set", "routers": "sharded_double"}[request.param]
    found: ReplicaSet | ShardedDouble = request.getfixturevalue(name)
    return found


@asynccontextmanager
async def placed(deployment: ReplicaSet | ShardedDouble) -> AsyncIterator[Place]:
    routers = tuple(router.address for router in deployment.routers) if isinstance(deployment, ShardedDouble) else ()
    async with watched(deployment.uri) as (client, log):
        collection = await fresh_collection(client, NAME, DOCUMENTS)
        async with client.start_session() as session, AsyncExitStack() as stack:
            stack.enter_context(anyio.fail_after(60))
            yield Place(client, log, collection, session, routers, stack=stack)
        await until(lambda: _introspect.checked_out(client) == 0, "every connection is back in its pool")


# --- the situations ---------------------------------------------------------------------------------------------------

Situation = Callable[[Place], Awaitable[wiredrv.Cursor]]


async def no_session(place: Place) -> wiredrv.Cursor:
    return await place.cursor(None)


async def session(place: Place) -> wiredrv.Cursor:
    return await place.cursor(place.session)


async def bound_session(place: Place) -> wiredrv.Cursor:
    await place.stack.enter_async_context(place.session.bind(end_session=False))
    return await place.cursor(None)


async def bound_session_in_transaction(place: Place) -> wiredrv.Cursor:
    await place.stack.enter_async_context(place.session.bind(end_session=False))
    await place.begin()
    return await place.cursor(None)


async def transaction_beside_no_session(place: Place) -> wiredrv.Cursor:
    cursor = await place.cursor(None)
    await place.begin()
    return cursor


async def before_a_started_transaction(place: Place) -> wiredrv.Cursor:
    cursor = await place.cursor(place.session)
    place.session.start_transaction()
    return cursor


async def before_the_transaction(place: Place) -> wiredrv.Cursor:
    cursor = await place.cursor(place.session)
    await place.begin()
    return cursor


async def in_the_transaction(place: Place) -> wiredrv.Cursor:
    await place.begin()
    return await place.cursor(place.session)


async def first_of_the_transaction(place: Place) -> wiredrv.Cursor:
    place.session.start_transaction()
    return await place.cursor(place.session)


async def before_a_commit(place: Place) -> wiredrv.Cursor:
    cursor = await before_the_transaction(place)
    await place.session.commit_transaction()
    return cursor


async def in_a_committed_transaction(place: Place) -> wiredrv.Cursor:
    cursor = await in_the_transaction(place)
    await place.session.commit_transaction()
    return cursor


async def in_an_aborted_transaction(place: Place) -> wiredrv.Cursor:
    cursor = await in_the_transaction(place)
    await place.session.abort_transaction()
    place.written.clear()
    return cursor


async def before_an_unknown_commit(place: Place) -> wiredrv.Cursor:
    cursor = await before_the_transaction(place)
    await place.lose_the_answer_to_a_commit()
    return cursor


async def in_an_unknown_commit(place: Place) -> wiredrv.Cursor:
    cursor = await in_the_transaction(place)
    await place.lose_the_answer_to_a_commit()
    return cursor


async def in_the_transaction_before(place: Place) -> wiredrv.Cursor:
    cursor = await in_a_committed_transaction(place)
    place.session.start_transaction()
    await place.write({"_id": "next"})
    return cursor


async def in_a_transaction_before_one_that_is_started(place: Place) -> wiredrv.Cursor:
    cursor = await in_a_committed_transaction(place)
    place.session.start_transaction()
    return cursor


PLAIN: frozenset[str] = frozenset()
FIELDS = frozenset({"txnNumber", "autocommit"})

#: (situation, how a further batch is refused, the transaction's fields on killCursors, whether it is sent at once)
SITUATIONS: list[tuple[Situation, str | None, frozenset[str], bool]] = [
    (no_session, None, PLAIN, True),
    (session, None, PLAIN, True),
    (bound_session, None, PLAIN, True),
    (bound_session_in_transaction, None, FIELDS, True),
    (transaction_beside_no_session, None, PLAIN, True),
    (before_a_started_transaction, "opened before", PLAIN, True),
    (before_the_transaction, "opened before", PLAIN, True),
    (in_the_transaction, None, FIELDS, True),
    (first_of_the_transaction, None, FIELDS, True),
    (before_a_commit, None, PLAIN, True),
    (in_a_committed_transaction, "has ended", PLAIN, True),
    (in_an_aborted_transaction, "has ended", PLAIN, True),
    (before_an_unknown_commit, None, PLAIN, True),
    (in_an_unknown_commit, "has ended", PLAIN, False),
    (in_the_transaction_before, "has ended", PLAIN, True),
    (in_a_transaction_before_one_that_is_started, "has ended", PLAIN, True),
]


@pytest.fixture(params=SITUATIONS, ids=lambda case: case[0].__name__)
def case(request: pytest.FixtureRequest) -> tuple[Situation, str | None, frozenset[str], bool]:
    found: tuple[Situation, str | None, frozenset[str], bool] = request.param
    return found


# --- what holds after each --------------------------------------------------------------------------------------------


async def the_transaction_goes_on(place: Place) -> None:
    """An open transaction can be continued and committed, or committed again; its writes are there."""
    session = place.session
    if session.in_transaction:
        await place.write(AFTER)
        await session.commit_transaction()
    elif "commitTransaction" in place.log.names:
        await session.commit_transaction()
    found = await place.collection.find({"_id": {"$type": "string"}}).to_list()
    assert sorted(found, key=str) == sorted(map(dict, place.written), key=str)


async def nothing_stays_open(place: Place) -> None:
    pipeline: list[dict[str, Any]] = [
        {"$currentOp": {"idleCursors": True, "allUsers": True}},
        {"$match": {"type": "idleCursor", "ns": f"{DATABASE}.{NAME}"}},
    ]

    async def closed() -> bool:
        return not await place.client.admin.aggregate(pipeline).to_list()

    await until_async(closed, "no cursor is open on the server")
    await sessions_back(place.client, 0 if place.session.has_ended else 1)


def fields_of_kill(place: Place) -> frozenset[str]:
    """The transaction's fields on the one killCursors that was sent."""
    (command,) = place.log.sent("killCursors")
    return frozenset(command) & {"txnNumber", "autocommit", "startTransaction"}


def servers_of(place: Place) -> set[Any]:
    """The servers to which the cursor's commands went."""
    cursor_commands = ("find", "getMore", "killCursors")
    return {
        event.address
        for event in place.log.started_events
        if event.command_name in cursor_commands and event.command.get("batchSize") != 0
    }


Case = tuple[Situation, "str | None", frozenset[str], bool]


async def test_a_cursor_is_closed(deployment: ReplicaSet | ShardedDouble, case: Case) -> None:
    situation, _, fields, at_once = case
    async with placed(deployment) as place:
        place.log.clear()
        cursor = await situation(place)
        pin = place.session._state.pin
        await cursor.close()
        assert place.session._state.pin is pin, "closing a cursor moves no pin"
        if at_once:
            assert fields_of_kill(place) == fields
            assert servers_of(place) == {cursor.address}
        else:
            assert place.log.sent("killCursors") == []
        await the_transaction_goes_on(place)
        await nothing_stays_open(place)
        assert fields_of_kill(place) == fields


async def test_a_cursor_is_dropped(deployment: ReplicaSet | ShardedDouble, case: Case) -> None:
    situation, _, _, at_once = case
    async with placed(deployment) as place:
        place.log.clear()
        cursor = await situation(place)
        in_its_transaction = situation in (
            in_the_transaction,
            first_of_the_transaction,
            bound_session_in_transaction,
        )
        del cursor
        gc.collect()
        if not at_once or in_its_transaction:
            # Nothing may disturb the transaction unless the user asks for it.
            with wiredrv.unbound():
                await place.client.admin.command("ping")
            assert place.log.sent("killCursors") == []
        else:
            await nothing_stays_open(place)
        await the_transaction_goes_on(place)
        await nothing_stays_open(place)
        assert fields_of_kill(place) == PLAIN


async def test_a_cursor_is_read_on(deployment: ReplicaSet | ShardedDouble, case: Case) -> None:
    situation, refusal, fields, _ = case
    async with placed(deployment) as place:
        place.log.clear()
        cursor = await situation(place)
        if refusal is None:
            assert await cursor.to_list() == [{"_id": number} for number in range(2, DOCUMENTS)]
            assert all(frozenset(sent) & FIELDS == fields for sent in place.log.sent("getMore"))
            assert servers_of(place) == {cursor.address}
        else:
            with pytest.raises(InvalidOperation, match=refusal):
                await cursor.next()
            assert place.log.sent("getMore") == [], "the server would abort the transaction"
        if situation is before_an_unknown_commit:
            # Reading uses the session, after which its commit cannot be repeated; closing does not.
            with pytest.raises(InvalidOperation, match="No transaction started"):
                await place.session.commit_transaction()
            await place.undo()
        else:
            if situation is before_a_commit:
                place.log.clear()
            await the_transaction_goes_on(place)
        if refusal == "opened before":
            assert await cursor.to_list() == [{"_id": number} for number in range(2, DOCUMENTS)]
        assert not cursor.alive or refusal == "opened before"
        await nothing_stays_open(place)


async def test_a_cursor_outlives_its_session(deployment: ReplicaSet | ShardedDouble, case: Case) -> None:
    situation, _, _, _ = case
    async with placed(deployment) as place:
        place.log.clear()
        cursor = await situation(place)
        open_ended = place.session.in_transaction
        await place.stack.aclose()
        await place.session.end_session()
        await cursor.close()
        assert fields_of_kill(place) == PLAIN
        await nothing_stays_open(place)
        if open_ended:
            committed = (in_the_transaction_before, in_a_transaction_before_one_that_is_started)
            place.written = [BEFORE] if situation in committed else []
        found = await place.collection.find({"_id": {"$type": "string"}}).to_list()
        if situation in (before_an_unknown_commit, in_an_unknown_commit):
            await place.undo(place.log.lsids("commitTransaction")[0])
        else:
            assert found == place.written


async def test_a_cursor_of_a_transaction_that_failed_is_closed(replica_set: ReplicaSet) -> None:
    """The server ends the transaction, refuses killCursors with its fields, and keeps the cursor."""
    async with placed(replica_set) as place:
        cursor = await in_the_transaction(place)
        other = await place.cursor(place.session)
        data = {"errorCode": 251, "errorLabels": ["TransientTransactionError"]}
        await place.client.admin.command("killSessions", [place.session.session_id])
        async with fail_command(primary_of(place.client), "getMore", app_name=APP_NAME, data=data):
            with pytest.raises(DriverError) as caught:
                await cursor.to_list()
        assert caught.value.has_error_label("TransientTransactionError")
        await other.close()
        await place.session.abort_transaction()
        await nothing_stays_open(place)
