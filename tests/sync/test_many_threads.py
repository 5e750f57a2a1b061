"""One client, 64 threads, and servers that fail: nothing is lost, mixed up or left behind."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from wiredrv import events
from wiredrv.errors import AutoReconnect, DriverError, PoolClearedError
from wiredrv.local import ReplicaSet
from wiredrv.pool.pool import Pool
from wiredrv.sync import Client, ClientSession

THREADS = 64


def in_threads(work: Callable[[int], object]) -> None:
    """Run ``work`` in 64 threads; raise the first error."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def assert_idle(client: Client) -> None:
    """No connection is in use, and no thread waits or holds the lock."""
    core, threads = client._inner._core, client._threads
    end = time.monotonic() + 5
    while time.monotonic() < end:
        servers = core.topology.servers.values()
        if not any(server.pool.state.in_use or server.operations for server in servers) and not core._unfinished():
            break
        time.sleep(0.01)
    assert not [server for server in servers if server.pool.state.in_use or server.operations]
    assert not threads.lock._is_owned()
    assert threads.delivered == threads.queued


@pytest.fixture
def client(replica_set: ReplicaSet) -> Iterator[Client]:
    with Client(replica_set.uri, maxPoolSize=16, appName="many threads") as client:
        client.drop_database("sync_threads")
        client.sync_threads.create_collection("accounts")
        yield client
        client.drop_database("sync_threads")


@contextmanager
def failing(client: Client, *commands: str) -> Iterator[None]:
    """The primary closes the connection on the next thirty of these commands."""
    what = {"failCommands": list(commands), "closeConnection": True, "appName": "many threads"}
    client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 30}, "data": what})
    yield
    client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def test_transfers_of_64_threads_keep_the_sum_while_commands_fail(client: Client) -> None:
    accounts = client.sync_threads.accounts
    accounts.insert_many([{"_id": number, "balance": 100} for number in range(20)])
    done: list[int] = []

    def transfer(number: int) -> None:
        draw = random.Random(number)
        for _ in range(4):
            source, target = draw.sample(range(20), 2)

            def move(session: ClientSession, source: int = source, target: int = target) -> None:
                accounts.update_one({"_id": source}, {"$inc": {"balance": -1}}, session=session)
                accounts.update_one({"_id": target}, {"$inc": {"balance": 1}}, session=session)

            with client.start_session() as session:
                session.with_transaction(move)
            assert accounts.find_one({"_id": source}) is not None
            done.append(number)

    with failing(client, "update", "commitTransaction", "find"):
        in_threads(transfer)
    assert len(done) == 4 * THREADS
    assert sum(found["balance"] for found in accounts.find()) == 2000
    assert_idle(client)


def test_cursors_time_limits_and_cleared_pools_leave_nothing(client: Client) -> None:
    items = client.sync_threads.items
    items.insert_many([{"_id": number} for number in range(300)])

    def interrupt(pool: Pool) -> None:
        pool.clear(interrupt=True)
        pool.ready()

    def step(kind: int, number: int) -> None:
        if kind == 0:
            assert len(items.find({}, batch_size=40).to_list()) == 300
        elif kind == 1:
            with items.find({}, batch_size=10) as cursor:
                next(cursor)
        elif kind == 2:
            items.find_one({"$where": "sleep(30) || true"}, timeout_ms=20)
        else:
            server = client._inner._core.topology.pick(None)
            if server is not None and number % 8 == 0:
                client._threads.call(interrupt, server.pool)

    def work(number: int) -> None:
        draw = random.Random(number)
        for _ in range(6):
            try:
                step(draw.randrange(4), number)
            except DriverError as error:  # out of time, or its connection was interrupted, and that of the retry too
                failures.append(error)

    failures: list[DriverError] = []
    in_threads(work)
    assert all(error.timeout or isinstance(error, (AutoReconnect, PoolClearedError)) for error in failures)
    assert items.count_documents({}) == 300
    assert_idle(client)


def test_sessions_of_64_threads_are_not_mixed_up(client: Client, replica_set: ReplicaSet) -> None:
    """Implicit sessions belong to one operation at a time, also where 64 threads share 16 connections."""
    busy: dict[Any, int] = {}
    clashes: list[Any] = []

    def listen(event: Any) -> None:
        lsid = getattr(event, "command", {}).get("lsid") if isinstance(event, events.CommandStartedEvent) else None
        if lsid is not None:
            owner = busy.setdefault(lsid["id"], event.operation_id)
            if owner != event.operation_id:
                clashes.append((lsid, owner, event.operation_id))
            requests[event.request_id] = lsid["id"]
        elif isinstance(event, (events.CommandSucceededEvent, events.CommandFailedEvent)):
            busy.pop(requests.pop(event.request_id, None), None)

    requests: dict[int, Any] = {}
    with Client(replica_set.uri, maxPoolSize=16, event_listeners=[listen]) as heard:
        in_threads(lambda number: [heard.sync_threads.items.find_one({"_id": number}) for _ in range(10)])
    assert clashes == []


def test_events_of_64_threads_come_in_order(replica_set: ReplicaSet) -> None:
    """CMAP and SDAM: each connection is created, ready, checked out and in, and closed, one after the other."""
    seen: list[Any] = []
    together: list[Any] = []
    inside = threading.Lock()

    def listen(event: Any) -> None:
        if inside.acquire(blocking=False):
            seen.append(event)
            inside.release()
        else:
            together.append(event)  # an error raised here would be logged, and fail no test

    with Client(replica_set.uri, maxPoolSize=8, event_listeners=[listen]) as client:
        in_threads(lambda number: [client.admin.command("ping") for _ in range(10)])
    assert together == [], "two threads delivered events at once"
    states: dict[Any, str] = {}
    allowed = {
        "ConnectionCreatedEvent": (None,),
        "ConnectionReadyEvent": ("ConnectionCreatedEvent",),
        "ConnectionCheckedOutEvent": ("ConnectionReadyEvent", "ConnectionCheckedInEvent"),
        "ConnectionCheckedInEvent": ("ConnectionCheckedOutEvent",),
        "ConnectionClosedEvent": ("ConnectionCreatedEvent", "ConnectionReadyEvent", "ConnectionCheckedInEvent"),
    }
    pools: dict[Any, str] = {}
    for event in seen:
        name = type(event).__name__
        if name in allowed:
            key = (event.address, event.connection_id)
            assert states.get(key) in allowed[name], (name, states.get(key))
            states[key] = name
            if name != "ConnectionClosedEvent":
                assert pools.get(event.address) != "PoolClosedEvent"
        elif name.startswith("Pool"):
            pools[event.address] = name
    assert sum(name == "ConnectionClosedEvent" for name in states.values()) == len(states)
    commands = [event for event in seen if isinstance(event, events.CommandEvent)]
    started = {event.request_id for event in commands if isinstance(event, events.CommandStartedEvent)}
    assert len(commands) == 2 * len(started)
    assert type(seen[-1]).__name__ == "TopologyClosedEvent"
    names = [type(event).__name__ for event in seen]
    assert names.index("TopologyOpenedEvent") < names.index("ServerOpeningEvent") < names.index("PoolReadyEvent")
