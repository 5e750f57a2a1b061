"""A client that records its commands and counts its server sessions: none may be checked out when a test ends.

Sessions specification, prose test 10: every functional test asserts at its end that all sessions were returned.
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
#: The application name of the clients in these tests, so that fail points apply to them alone.
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
        """The started events."""
        return [event for event in self.events if isinstance(event, events.CommandStartedEvent)]

    @property
    def succeeded_events(self) -> list[events.CommandSucceededEvent]:
        """The succeeded events."""
        return [event for event in self.events if isinstance(event, events.CommandSucceededEvent)]

    @property
    def failed_events(self) -> list[events.CommandFailedEvent]:
        """The failed events."""
        return [event for event in self.events if isinstance(event, events.CommandFailedEvent)]

    @property
    def names(self) -> list[str]:
        """The names of the commands that were sent."""
        return [event.command_name for event in self.started_events]

    def sent(self, name: str | None = None) -> list[Mapping[str, Any]]:
        """The commands that were sent, optionally only those with this name."""
        return [event.command for event in self.started_events if name in (None, event.command_name)]

    def lsids(self, name: str | None = None) -> list[bytes | None]:
        """The session ids of the commands that were sent; None for a command without one."""
        return [lsid_of(command) for command in self.sent(name)]

    def clear(self) -> None:
        """Forget all events so far."""
        self.events.clear()


class Canceller(events.CommandListener):
    """Cancels a scope when a command is sent: the command is certainly under way then, however busy the machine is."""

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
    """A pool of server sessions that counts how many are checked out."""

    def __init__(self) -> None:
        super().__init__()
        self.out = 0

    def acquire(self, now: float, timeout_minutes: int | None) -> ServerSession:
        self.out += 1
        return super().acquire(now, timeout_minutes)

    def release(self, session: ServerSession, now: float, timeout_minutes: int | None) -> None:
        if not session.settling:  # else it stays checked out until its clean-up is done, and is released again
            self.out -= 1
        super().release(session, now, timeout_minutes)


def counting(client: wiredrv.Client) -> CountingPool:
    """Make a client that has not been used yet count its server sessions."""
    pool = CountingPool()
    client._core.executor.sessions = pool
    return pool


@asynccontextmanager
async def watched(
    deployment: Deployment | str, *listeners: Any, **options: Any
) -> AsyncIterator[tuple[wiredrv.Client, CommandLog]]:
    """A client of a deployment (or a URI) and the log of its commands; no session may be checked out at the end."""
    log = CommandLog()
    uri = deployment if isinstance(deployment, str) else deployment.uri
    # A server whose fail point reported a shutdown becomes available again with its next heartbeat.
    options = {"appName": APP_NAME, "heartbeatFrequencyMS": 500, **options}
    async with wiredrv.Client(uri, event_listeners=(log, *listeners), **options) as client:
        pool = counting(client)
        yield client, log
        assert pool.out == 0, f"{pool.out} server sessions are still checked out"


async def sessions_back(client: wiredrv.Client, out: int = 0) -> None:
    """Wait until no more than ``out`` server sessions are checked out: cursors killed in the background hold some."""
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
    """The primary according to the client."""
    primary = client.topology.primary
    assert primary is not None, "no primary is known"
    return wiredrv.Address(*primary)
