"""A client whose commands are recorded, and whose server sessions are counted: none may be out when a test ends.

Sessions specification, prose test 10: every functional test ends with the assertion that all sessions are back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio

import wiredrv
from tests.support.waiting import until
from wiredrv import events
from wiredrv.local import Deployment
from wiredrv.session.server_session import ServerSession, ServerSessionPool

DATABASE = "wiredrv_sessions"
#: What clients of these tests are called, so that fail points meet them alone.
APP_NAME = "sessions"


class CommandLog(events.CommandListener):
    """The commands of a client in the order of their events."""

    def __init__(self) -> None:
        self.events: list[events.CommandEvent] = []

    def started(self, event: events.CommandStartedEvent) -> None:
        self.events.append(event)

    def succeeded(self, event: events.CommandSucceededEvent) -> None:
        self.events.append(event)

    def failed(self, event: events.CommandFailedEvent) -> None:
        self.events.append(event)

    @property
    def started_events(self) -> list[events.CommandStartedEvent]:
        """What was sent."""
        return [event for event in self.events if isinstance(event, events.CommandStartedEvent)]

    @property
    def succeeded_events(self) -> list[events.CommandSucceededEvent]:
        """What was answered with ``ok: 1``."""
        return [event for event in self.events if isinstance(event, events.CommandSucceededEvent)]

    @property
    def failed_events(self) -> list[events.CommandFailedEvent]:
        """What failed."""
        return [event for event in self.events if isinstance(event, events.CommandFailedEvent)]

    @property
    def names(self) -> list[str]:
        """The names of what was sent."""
        return [event.command_name for event in self.started_events]

    def sent(self, name: str | None = None) -> list[Mapping[str, Any]]:
        """The commands that were sent, or those of one name."""
        return [event.command for event in self.started_events if name in (None, event.command_name)]

    def lsids(self, name: str | None = None) -> list[bytes | None]:
        """The session ids of what was sent; None where there was none."""
        return [lsid_of(command) for command in self.sent(name)]

    def clear(self) -> None:
        """Forget what was."""
        self.events.clear()


class Canceller(events.CommandListener):
    """Cancels a scope when a command is sent: it is under way then for certain, however busy the machine is."""

    def __init__(self, command_name: str) -> None:
        self._command_name = command_name
        self.scope: anyio.CancelScope | None = None

    @contextmanager
    def cancelling(self) -> Iterator[anyio.CancelScope]:
        """A scope that is cancelled when the command is sent in it."""
        with anyio.CancelScope() as self.scope:
            yield self.scope
        self.scope = None

    def started(self, event: events.CommandStartedEvent) -> None:
        if self.scope is not None and event.command_name == self._command_name:
            self.scope.cancel()


def lsid_of(command: Mapping[str, Any]) -> bytes | None:
    """The session id of a command."""
    lsid = command.get("lsid")
    return bytes(lsid["id"]) if lsid is not None else None


class CountingPool(ServerSessionPool):
    """A pool of server sessions that knows how many are out."""

    def __init__(self) -> None:
        super().__init__()
        self.out = 0

    def acquire(self, now: float, timeout_minutes: int | None) -> ServerSession:
        self.out += 1
        return super().acquire(now, timeout_minutes)

    def release(self, session: ServerSession, now: float, timeout_minutes: int | None) -> None:
        if not session.settling:  # else it stays out until its clean-up is done, and is released once more
            self.out -= 1
        super().release(session, now, timeout_minutes)


def counting(client: wiredrv.Client) -> CountingPool:
    """Have a client that was not used yet count its server sessions."""
    pool = CountingPool()
    client._core.executor.sessions = pool
    return pool


@asynccontextmanager
async def watched(
    deployment: Deployment | str, *listeners: Any, **options: Any
) -> AsyncIterator[tuple[wiredrv.Client, CommandLog]]:
    """A client of a deployment (or a URI) and the log of its commands; at the end no session may be checked out."""
    log = CommandLog()
    uri = deployment if isinstance(deployment, str) else deployment.uri
    # A server whose fail point said that it shuts down is seen again with its next heartbeat.
    options = {"appName": APP_NAME, "heartbeatFrequencyMS": 500, **options}
    async with wiredrv.Client(uri, event_listeners=(log, *listeners), **options) as client:
        pool = counting(client)
        yield client, log
        assert pool.out == 0, f"{pool.out} server sessions are still checked out"


async def sessions_back(client: wiredrv.Client, out: int = 0) -> None:
    """Wait until no more server sessions than ``out`` are checked out: what is killed in the background holds some."""
    pool = client._core.executor.sessions
    assert isinstance(pool, CountingPool)
    await until(lambda: pool.out == out, f"{out} server sessions are checked out")


async def fresh_collection(client: wiredrv.Client, name: str, documents: int = 0) -> wiredrv.Collection:
    """An existing collection that holds the documents ``{_id: 0}`` to ``{_id: documents - 1}`` and nothing else."""
    collection = client[DATABASE][name]
    names = await client[DATABASE].list_collection_names(filter={"name": name})
    if names:
        await collection.delete_many({})
    else:
        await client[DATABASE].create_collection(name)
    if documents:
        await collection.insert_many([{"_id": number} for number in range(documents)])
    return collection


def primary_of(client: wiredrv.Client) -> wiredrv.Address:
    """The primary that a client knows."""
    primary = client.primary
    assert primary is not None, "no primary is known"
    return wiredrv.Address(*primary)
