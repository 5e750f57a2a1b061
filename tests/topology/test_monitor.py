"""A monitor against fake servers: polling, streaming, requested checks, cancelled checks, and closing.

Server-monitoring specification. Intervals are so long here that nothing happens by itself unless the test waits for it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import bson
import pytest

from tests.support import hostile_server as hostile
from tests.support.fake_server import FakeServer, with_sessions
from tests.support.hostile_server import HostileServer
from tests.support.waiting import until
from wiredrv import events
from wiredrv.connection.settings import ConnectionSettings
from wiredrv.errors import AutoReconnect, DriverError, NetworkTimeout
from wiredrv.listeners import ListenerHub
from wiredrv.net.dial import Dialer
from wiredrv.net.settings import NetSettings
from wiredrv.topology.monitor import Monitor, MonitorSettings
from wiredrv.topology.rtt import RoundTripTimes
from wiredrv.topology.settings import TopologySettings
from wiredrv.types import Address
from wiredrv.wire.op_msg import EXHAUST_ALLOWED, MORE_TO_COME, decode_message, encode_message

pytestmark = pytest.mark.anyio

VERSION = {"processId": bson.ObjectId(bytes(12)), "counter": bson.Int64(1)}
Outcome = Mapping[str, Any] | DriverError


class StreamingServer(FakeServer):
    """A fake server that streams: a hello with a topologyVersion waits until the test pushes replies."""

    def __init__(self) -> None:
        super().__init__({**with_sessions(), "topologyVersion": VERSION})
        self.awaiting: list[tuple[socket.socket, int]] = []
        self.exhaust: list[bool] = []
        self._lock = threading.Lock()

    def _reply(self, connection: socket.socket, data: bytes) -> None:
        message = decode_message(data)
        command: dict[str, Any] = bson.decode(message.body)
        if "topologyVersion" not in command:
            super()._reply(connection, data)
            return
        self.handshakes.append(command)
        self.exhaust.append(bool(message.flags & EXHAUST_ALLOWED))
        with self._lock:
            self.awaiting.append((connection, message.request_id))

    def push(self, *, more: bool = True, **changes: Any) -> None:
        """Answer the hello that waits; it stays open if ``more`` replies are to come."""
        with self._lock:
            connection, request = self.awaiting.pop()
            if more:
                self.awaiting.append((connection, request + 1))
        reply = bson.encode({**self.hello, **changes})
        connection.sendall(encode_message(reply, request + 1, (), MORE_TO_COME if more else 0, request))

    def break_streams(self) -> None:
        """Close the connections with waiting hellos."""
        with self._lock:
            broken, self.awaiting = self.awaiting, []
        for connection, _ in broken:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Watch:
    """A running monitor, with what it reported and what it published to its listeners."""

    def __init__(self, address: Address, **options: Any) -> None:
        self.outcomes: list[Outcome] = []
        self.averages: list[float | None] = []
        self.events: list[Any] = []
        topology = TopologySettings(
            **{"heartbeat_frequency": 60.0, "min_heartbeat_frequency": 0.01, **options.pop("topology", {})}
        )
        settings = MonitorSettings(
            topology=topology,
            dialer=Dialer(NetSettings(connect_timeout=options.pop("timeout", 5.0))),
            connection=ConnectionSettings(),
            hub=ListenerHub([self.events.append]),
            in_faas=options.pop("in_faas", False),
        )
        assert not options
        self.monitor = Monitor(address, settings, self._report)

    def _report(self, address: Address, outcome: Outcome, times: RoundTripTimes) -> bool:
        """Decide like the topology: a known server that fails is checked again at once."""
        was_known = bool(self.outcomes) and not isinstance(self.outcomes[-1], DriverError)
        self.outcomes.append(outcome)
        self.averages.append(times.average)
        return was_known and isinstance(outcome, DriverError)

    def kinds(self) -> list[str]:
        """``ok`` or the error's class, of each outcome."""
        return [type(outcome).__name__ if isinstance(outcome, DriverError) else "ok" for outcome in self.outcomes]

    async def reports(self, count: int) -> None:
        await until(lambda: len(self.outcomes) >= count, f"{count} reports, having {self.kinds()}")


@asynccontextmanager
async def watching(address: Address, **options: Any) -> AsyncIterator[Watch]:
    """A running monitor; it must end by itself when it is closed."""
    watch = Watch(address, **options)
    async with anyio.create_task_group() as group:

        def spawn(function: Any, *arguments: Any) -> None:
            group.start_soon(function, *arguments)

        group.start_soon(watch.monitor.run, spawn)
        try:
            yield watch
        finally:
            watch.monitor.close()
            if watch.monitor._measuring:
                # The measuring task sleeps for a heartbeat; the client's group cancels it.
                group.cancel_scope.cancel()


# --- polling ----------------------------------------------------------------------------------------------------------


async def test_the_first_check_is_the_handshake_and_its_time_the_first_round_trip() -> None:
    with FakeServer(with_sessions()) as server:
        async with watching(server.address) as watch:
            await watch.reports(1)
            assert watch.kinds() == ["ok"]
            average = watch.averages[0]
            assert average is not None
            assert 0 < average < 5
        assert len(server.handshakes) == 1
        assert "client" in server.handshakes[0]
        assert "$clusterTime" not in server.handshakes[0]


async def test_a_request_is_followed_by_a_check_on_the_same_connection() -> None:
    with FakeServer(with_sessions()) as server:
        async with watching(server.address) as watch:
            for number in range(1, 4):
                await watch.reports(number)
                watch.monitor.request_check()
            await watch.reports(4)
        # Metadata belongs to the first hello only.
        assert ["client" in hello for hello in server.handshakes[:4]] == [True, False, False, False]
        assert all("hello" in hello for hello in server.handshakes[1:])


async def test_requests_come_no_closer_than_the_least_interval() -> None:
    with FakeServer(with_sessions()) as server:
        async with watching(server.address, topology={"min_heartbeat_frequency": 0.5}) as watch:
            await watch.reports(1)
            for _ in range(5):
                watch.monitor.request_check()
                await anyio.wait_all_tasks_blocked()
            assert len(watch.outcomes) == 1


async def test_checks_go_on_by_themselves() -> None:
    with FakeServer(with_sessions()) as server:
        async with watching(server.address, topology={"heartbeat_frequency": 0.02}) as watch:
            await watch.reports(4)
            assert set(watch.kinds()) == {"ok"}


async def test_a_server_that_was_never_there_is_reported_with_the_reason() -> None:
    with FakeServer(with_sessions()) as server:
        address = server.address
    async with watching(address) as watch:
        await watch.reports(1)
        assert watch.kinds() == ["AutoReconnect"]
        await anyio.wait_all_tasks_blocked()
        assert len(watch.outcomes) == 1, "no second try before the interval is over"


async def test_a_known_server_that_fails_is_asked_once_more_at_once() -> None:
    with HostileServer({}) as server:
        async with watching(server.address) as watch:
            await watch.reports(1)
            server._misbehaviour = {"hello": hostile.close}
            server._left = {"hello": 2}
            watch.monitor.request_check()
            await watch.reports(3)
            assert watch.kinds()[:3] == ["ok", "AutoReconnect", "AutoReconnect"]
            assert watch.averages[1] is None, "what was measured of a lost server is forgotten"


async def test_a_server_that_does_not_answer_is_reported_within_the_timeout() -> None:
    with HostileServer({"hello": hostile.say_nothing}) as server:
        async with watching(server.address, timeout=0.05) as watch:
            await watch.reports(1)
            assert isinstance(watch.outcomes[0], NetworkTimeout)


async def test_an_error_in_the_reply_is_a_failed_check() -> None:
    with FakeServer({"ok": 0, "code": 18, "errmsg": "go away"}) as server:
        async with watching(server.address) as watch:
            await watch.reports(1)
            assert watch.kinds() == ["OperationFailure"]


async def test_a_server_of_another_age_is_reported_and_not_refused_here() -> None:
    with FakeServer({**with_sessions(), "maxWireVersion": 5}) as server:
        async with watching(server.address) as watch:
            await watch.reports(1)
            outcome = watch.outcomes[0]
            assert isinstance(outcome, Mapping)
            assert outcome["maxWireVersion"] == 5


# --- streaming --------------------------------------------------------------------------------------------------------


async def test_a_server_that_can_is_asked_to_stream() -> None:
    with StreamingServer() as server:
        async with watching(server.address) as watch:
            await until(lambda: bool(server.awaiting), "the stream has begun")
            for number in (2, 3):
                server.push(setVersion=number)
                await watch.reports(number)
            latest = watch.outcomes[-1]
            assert isinstance(latest, Mapping)
            assert latest["setVersion"] == 3
        (stream,) = [hello for hello in server.handshakes if "topologyVersion" in hello]
        assert stream["topologyVersion"] == VERSION
        assert stream["maxAwaitTimeMS"] == 60_000
        assert server.exhaust == [True]


async def test_a_stream_that_the_server_ends_is_begun_again_with_the_newest_version() -> None:
    newer = {**VERSION, "counter": bson.Int64(9)}
    with StreamingServer() as server:
        async with watching(server.address) as watch:
            await until(lambda: bool(server.awaiting), "the stream has begun")
            server.push(more=False, topologyVersion=newer)
            await until(lambda: len(server.exhaust) == 2, "the stream has begun again")
            assert watch.kinds() == ["ok", "ok"]
        assert [hello["topologyVersion"] for hello in server.handshakes if "topologyVersion" in hello] == [
            VERSION,
            newer,
        ]


async def test_a_broken_stream_is_a_failed_check_and_another_follows_at_once() -> None:
    with StreamingServer() as server:
        async with watching(server.address) as watch:
            await until(lambda: bool(server.awaiting), "the stream has begun")
            server.break_streams()
            await watch.reports(3)
            assert watch.kinds() == ["ok", "AutoReconnect", "ok"]
            await until(lambda: bool(server.awaiting), "the stream goes on")


@pytest.mark.parametrize(
    "mode, in_faas, streams",
    [("auto", False, True), ("auto", True, False), ("poll", False, False), ("stream", True, True)],
)
async def test_whether_it_streams_is_for_the_mode_to_say(mode: str, in_faas: bool, streams: bool) -> None:
    with StreamingServer() as server:
        options = {"server_monitoring_mode": mode, "heartbeat_frequency": 0.02 if not streams else 60.0}
        async with watching(server.address, topology=options, in_faas=in_faas) as watch:
            if streams:
                await until(lambda: bool(server.awaiting), "the stream has begun")
            else:
                await watch.reports(3)
                assert server.exhaust == []


async def test_beside_a_stream_round_trips_are_measured_on_a_second_connection() -> None:
    with StreamingServer() as server:
        async with watching(server.address, topology={"heartbeat_frequency": 0.02}) as watch:
            await until(lambda: bool(server.awaiting), "the stream has begun")
            await until(lambda: len([h for h in server.handshakes if "client" in h]) == 2, "the second connection")
            await until(lambda: len([h for h in server.handshakes if "topologyVersion" not in h]) >= 5, "measurements")
            assert len(watch.outcomes) == 1, "measuring reports nothing by itself"
            server.push()
            await watch.reports(2)
            assert watch.averages[-1] is not None


# --- cancelling and closing -------------------------------------------------------------------------------------------


async def test_a_check_that_is_broken_off_reports_nothing_and_another_follows_when_asked_for() -> None:
    with StreamingServer() as server:
        async with watching(server.address) as watch:
            await until(lambda: bool(server.awaiting), "the stream has begun")
            watch.monitor.cancel_check()
            await until(lambda: isinstance(watch.events[-1], events.ServerHeartbeatFailedEvent), "its end is told")
            assert watch.kinds() == ["ok"]
            watch.monitor.request_check()
            await watch.reports(2)
            assert watch.kinds() == ["ok", "ok"]
            failed = [event for event in watch.events if isinstance(event, events.ServerHeartbeatFailedEvent)]
            assert len(failed) == 1, "listeners hear of the end of every check that they heard begin"


async def test_breaking_off_between_two_checks_makes_the_next_one_on_a_new_connection() -> None:
    with FakeServer(with_sessions()) as server:
        async with watching(server.address) as watch:
            await watch.reports(1)
            await anyio.wait_all_tasks_blocked()
            watch.monitor.cancel_check()
            watch.monitor.request_check()
            await watch.reports(2)
        assert watch.kinds() == ["ok", "ok"]
        assert ["client" in hello for hello in server.handshakes] == [True, True]


@pytest.mark.parametrize("when", ["connecting", "waiting", "streaming", "pausing"])
async def test_closing_ends_it_wherever_it_is(when: str) -> None:
    servers: dict[str, Any] = {
        "connecting": lambda: HostileServer({"hello": hostile.say_nothing}),
        "waiting": lambda: HostileServer({"hello": hostile.say_nothing}, times=0),
        "streaming": StreamingServer,
        "pausing": lambda: FakeServer(with_sessions()),
    }
    with servers[when]() as server:
        watch = Watch(server.address)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(watch.monitor.run, lambda *arguments: None)
                if when == "connecting":
                    await until(lambda: bool(server.handshakes), "it shakes hands")
                elif when == "streaming":
                    await until(lambda: bool(server.awaiting), "the stream has begun")
                else:
                    await watch.reports(1)
                    if when == "waiting":
                        server._left = {"hello": 1}
                        watch.monitor.request_check()
                        await until(lambda: len(server.handshakes) == 2, "it waits for an answer")
                await anyio.wait_all_tasks_blocked()
                before = len(watch.outcomes)
                watch.monitor.close()
                if when == "connecting":
                    # A connection attempt cannot be woken: the client's task group cancels it.
                    group.cancel_scope.cancel()
        assert len(watch.outcomes) == before, "a closed monitor reports nothing"
        assert watch.monitor.is_closed()


# --- events -----------------------------------------------------------------------------------------------------------


async def test_the_events_of_checks() -> None:
    with HostileServer({}) as server:
        async with watching(server.address) as watch:
            await watch.reports(1)
            server._misbehaviour, server._left = {"hello": hostile.close}, {"hello": 1}
            watch.monitor.request_check()
            await watch.reports(3)
        names = [type(event).__name__.removeprefix("ServerHeartbeat").removesuffix("Event") for event in watch.events]
        assert names[:6] == ["Started", "Succeeded", "Started", "Failed", "Started", "Succeeded"]
        failed = watch.events[3]
        assert isinstance(failed.failure, AutoReconnect)
        assert failed.awaited is False
        assert all(event.address == server.address for event in watch.events)


async def test_a_streamed_reply_is_told_as_awaited_and_is_no_measurement() -> None:
    with StreamingServer() as server:
        async with watching(server.address) as watch:
            await until(lambda: bool(server.awaiting), "the stream has begun")
            await anyio.sleep(0.5)
            server.push()
            await watch.reports(2)
            # Only the measurements beside the stream, which do not wait for news, count.
            assert watch.averages[1] is not None
            assert watch.averages[1] < 0.25
        succeeded = [event for event in watch.events if isinstance(event, events.ServerHeartbeatSucceededEvent)]
        assert [event.awaited for event in succeeded[:2]] == [False, True]
