"""A server that requires its connections to authenticate again (auth specification, "Reauthentication").

Only servers with access tokens require it by themselves. Here a real server with passwords is made to, by fail
points: the mechanism does not matter to the driver.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.event_log import EventLog
from tests.support.secured import create_users, key_file_arguments, with_user
from wiredrv import events
from wiredrv.errors import OperationFailure
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

APP = "reauthentication"


@pytest.fixture(scope="module")
def secured(starts_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    arguments = key_file_arguments(tmp_path_factory.mktemp("key"))
    with ReplicaSet(members=1, test_commands=True, extra_args=arguments) as deployment:
        create_users(deployment.uri, [])
        yield deployment


class Scene:
    """A client without retries, on one connection, whose events are noted; and fail points for it."""

    def __init__(self, client: wiredrv.Client, root: wiredrv.Client, log: EventLog) -> None:
        self.client = client
        self.orders = client.shop.orders
        self.log = log
        self._root = root

    async def fail(self, *commands: str, times: int = 1, **data: Any) -> None:
        """Make the server answer these commands with ReauthenticationRequired, or with what ``data`` says."""
        what = {"failCommands": list(commands), "errorCode": 391, "appName": APP, **data}
        await self._root.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": what})

    def outcomes(self) -> list[str]:
        """The commands that were sent, and what became of each."""
        told = []
        for event in self.log.events:
            if isinstance(event, events.CommandSucceededEvent):
                told.append(event.command_name)
            elif isinstance(event, events.CommandFailedEvent):
                told.append(f"{event.command_name} {getattr(event.failure, 'code', event.failure)}")
        return told

    def sent(self, name: str) -> list[dict[str, Any]]:
        return [dict(event.command) for event in self.log.of(events.CommandStartedEvent, command_name=name)]


@asynccontextmanager
async def scene_on(secured: ReplicaSet, **options: Any) -> AsyncIterator[Scene]:
    settings = {"appName": APP, "retryReads": False, "retryWrites": False, "maxPoolSize": 1, **options}
    log = EventLog()
    async with (
        wiredrv.Client(with_user(secured.uri)) as root,
        wiredrv.Client(with_user(secured.uri), event_listeners=[log], **settings) as client,
    ):
        await root.shop.orders.drop()
        await root.shop.orders.insert_many([{"_id": number} for number in range(5)])
        await client.shop.orders.find_one({})
        log.clear()
        try:
            yield Scene(client, root, log)
        finally:
            await root.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


async def test_a_read_is_sent_again_on_the_same_connection(secured: ReplicaSet) -> None:
    async with scene_on(secured) as scene:
        await scene.fail("find")
        assert await scene.orders.find_one({"_id": 1}) == {"_id": 1}
        assert scene.outcomes() == ["find 391", "find"]
        assert not scene.log.of(events.ConnectionClosedEvent)
        first, second = scene.sent("find")
        assert first == second


@pytest.mark.parametrize("retried", [True, False])
async def test_a_write_is_sent_again_with_its_number_whether_or_not_retries_are_on(
    secured: ReplicaSet, retried: bool
) -> None:
    async with scene_on(secured, retryWrites=retried) as scene:
        await scene.fail("insert")
        await scene.orders.insert_one({"_id": "new"})
        assert scene.outcomes() == ["insert 391", "insert"]
        first, second = scene.sent("insert")
        assert first == second
        assert ("txnNumber" in first) is retried


async def test_a_bulk_and_a_further_batch_of_a_cursor(secured: ReplicaSet) -> None:
    async with scene_on(secured) as scene:
        await scene.fail("insert")
        await scene.orders.insert_many([{"_id": f"n{number}"} for number in range(3)])
        await scene.fail("getMore")
        assert len(await scene.orders.find({}, batch_size=4).to_list()) == 8
        assert scene.outcomes() == ["insert 391", "insert", "find", "getMore 391", "getMore", "getMore"]


async def test_every_command_of_a_transaction(secured: ReplicaSet) -> None:
    async with scene_on(secured) as scene, scene.client.start_session() as session:
        async with session.start_transaction():
            for name, statement in (
                ("insert", scene.orders.insert_one({"_id": "one"}, session=session)),
                ("update", scene.orders.update_one({"_id": "one"}, {"$set": {"a": 1}}, session=session)),
            ):
                await scene.fail(name)
                await statement
            await scene.fail("commitTransaction")
        assert scene.outcomes() == [
            "insert 391",
            "insert",
            "update 391",
            "update",
            "commitTransaction 391",
            "commitTransaction",
        ]
        # The server never saw the first one, so the second starts the transaction too.
        assert [command.get("startTransaction") for command in scene.sent("insert")] == [True, True]
        assert await scene.orders.find_one({"_id": "one"}) == {"_id": "one", "a": 1}


async def test_an_abort(secured: ReplicaSet) -> None:
    async with scene_on(secured) as scene, scene.client.start_session() as session:
        await session.start_transaction()
        await scene.orders.insert_one({"_id": "one"}, session=session)
        await scene.fail("abortTransaction")
        await session.abort_transaction()
        assert scene.outcomes() == ["insert", "abortTransaction 391", "abortTransaction"]
        assert await scene.orders.find_one({"_id": "one"}) is None


async def test_a_second_such_answer_is_the_operations_error(secured: ReplicaSet) -> None:
    async with scene_on(secured) as scene:
        await scene.fail("find", times=2)
        with pytest.raises(OperationFailure) as failure:
            await scene.orders.find_one({})
        assert failure.value.code == 391
        assert scene.outcomes() == ["find 391", "find 391"]
        await scene.orders.find_one({})
        assert not scene.log.of(events.ConnectionClosedEvent)


async def test_if_authenticating_fails_that_is_the_error_and_the_connection_is_closed(secured: ReplicaSet) -> None:
    async with scene_on(secured) as scene:
        await scene.fail("find", "saslStart", times=2)
        with pytest.raises(OperationFailure, match="authentication failed") as failure:
            await scene.orders.find_one({})
        assert failure.value.code == 391
        assert [event.reason for event in scene.log.of(events.ConnectionClosedEvent)] == ["error"]
        assert await scene.orders.find_one({"_id": 1}) == {"_id": 1}


async def test_cancelled_while_it_authenticates_nothing_stays_behind(secured: ReplicaSet) -> None:
    async with scene_on(secured) as scene:
        await scene.fail("find", "saslStart", times=2, blockConnection=True, blockTimeMS=200)
        async with anyio.create_task_group() as group:
            group.start_soon(scene.orders.find_one, {})
            await scene.log.wait_for(events.CommandFailedEvent)
            group.cancel_scope.cancel()
        # The conversation was under way, so its connection cannot be used again.
        assert scene.outcomes() == ["find 391"]
        assert len(scene.log.of(events.ConnectionClosedEvent)) == 1
        assert await scene.orders.find_one({"_id": 1}) == {"_id": 1}


async def test_without_a_user_the_answer_is_an_error(secured: ReplicaSet) -> None:
    address = str(secured.members[0].address)
    async with wiredrv.Client(with_user(secured.uri)) as root, wiredrv.Client(address, appName=APP) as client:
        data = {"failCommands": ["ping"], "errorCode": 391, "appName": APP}
        await root.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})
        with pytest.raises(OperationFailure) as failure:
            await client.admin.command("ping")
        assert failure.value.code == 391
