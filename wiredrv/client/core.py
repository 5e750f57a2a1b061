"""The internals of a client: settings, topology, executor and background tasks.

A ``Client`` refers to its core and never the other way round, so that a client that was never closed can be collected
and warn.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from wiredrv import listeners, waits
from wiredrv.client.background import Background
from wiredrv.client.cursors.prefetch import Ahead, ReadingTask
from wiredrv.client.recording import record_if_wanted
from wiredrv.client.sessions.ambient import Ambient
from wiredrv.client.sessions.binding import bound_state
from wiredrv.client.sessions.started import StartedSessions
from wiredrv.client.tracing import executor_class
from wiredrv.connection.authenticate import Authenticator
from wiredrv.connection.connect import establish
from wiredrv.connection.connection import Connection
from wiredrv.connection.metadata import client_metadata, runs_in_faas
from wiredrv.connection.settings import DriverInfo
from wiredrv.errors import InvalidOperation
from wiredrv.execution import budget, recording
from wiredrv.execution.executor import CleanUp, Executor
from wiredrv.logs.hub import LoggingHub
from wiredrv.net.dial import Dialer
from wiredrv.net.resolver import Resolver
from wiredrv.options.settings import ClientSettings
from wiredrv.options.uri import settings_with_srv
from wiredrv.session.state import SessionState
from wiredrv.topology.monitor import MonitorSettings
from wiredrv.topology.srv_poller import SRVPoller
from wiredrv.topology.topology import Topology
from wiredrv.types import Address, ServerCursor, Spawn, foreign_note
from wiredrv.wire.compression import usable

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession

_LOG = logging.getLogger("wiredrv.client")

#: Seconds that closing a client may take to clean up on the servers.
_FAREWELL_SECONDS = 2.0
#: Seconds that its tasks may take to end. More than they need: the clean-up has a shorter limit of its own.
_STOP_SECONDS = 10.0

_cores: weakref.WeakSet[ClientCore] = weakref.WeakSet()


class Closable(Protocol):
    """What is closed with the client."""

    async def close(self) -> None:
        """Close it, here and on the server."""
        ...


class ClientCore:
    """The internals of one client."""

    def __init__(self, settings: ClientSettings, hub: LoggingHub) -> None:
        offered = usable(settings.connection.compressors)
        settings = replace(settings, connection=replace(settings.connection, compressors=offered))
        self.settings = settings
        self.hub = hub
        self._driver_info: tuple[DriverInfo, ...] = settings.connection.driver_info
        self.metadata = client_metadata(settings.connection.app_name, self._driver_info, os.environ)
        #: With ``mongodb+srv``: the settings with what DNS answered when the client was opened.
        self._resolved = settings
        self._resolver = Resolver()
        self._dialer = Dialer(settings.net)
        self._background: Background | None = None
        #: How its users write a block, for warnings; ``with`` in ``wiredrv.sync``.
        self.block = "async with"
        #: The package that its class is in.
        self.package = "wiredrv"
        #: Whether the user closed it: only :meth:`open` opens it again.
        self._closed = False
        #: Set when a close that is in progress is done.
        self._closing: waits.Event | None = None
        self._closer: object = None
        #: Executes operations.
        record_if_wanted(os.environ)
        make: Callable[..., Executor] = executor_class(settings.tracing, os.environ)
        self.executor = make(
            self._new_topology(),
            settings.execution,
            hub,
            settings.connection.server_api,
            self.ensure_open,
            self._in_background,
            self._unfinished,
        )
        self.started_sessions = StartedSessions(
            self.executor, settings.write_concern, self.is_open, self._in_background, self._post
        )
        #: The session that all operations use, in a test whose writes are rolled back; None elsewhere.
        self.ambient: Ambient | None = None
        #: The change streams that were opened, or are being opened, and not closed.
        self.open_streams: weakref.WeakSet[Closable] = weakref.WeakSet()
        _cores.add(self)

    @property
    def topology(self) -> Topology:
        """The current topology."""
        return self.executor.topology

    # --- life ---

    def is_open(self) -> bool:
        """Whether the client is open, in the event loop of the caller."""
        loop = self.executor.loop
        return loop is not None and waits.running_loop() is loop

    @property
    def was_opened(self) -> bool:
        """Whether the client was opened and not closed since, in any loop."""
        return self._background is not None and not self._closed

    async def open(self) -> None:
        """Open the client in this event loop, unless it is open here. A closed client is opened again.

        :raises InvalidOperation: it is open in another event loop that is not closed, or was closed meanwhile.
        """
        if self._closing is not None:
            await self._closing.wait()
        self._closed = False
        await self.ensure_open()

    async def ensure_open(self) -> None:
        """Open the client for an operation if it is new or its event loop is closed, but not if it was closed.

        :raises InvalidOperation: it was closed, or is open in another event loop that is not closed.
        """
        self.refuse_if_closed()
        background = self._background
        if background is not None and not background.in_owning_loop:
            if not background.owning_loop_is_closed:
                raise InvalidOperation(
                    "this client is open in another event loop: close it there first, or create a client for each loop"
                )
            self.abandon()
            background = None
        if background is None:
            background = self._background = Background()
            background.start(self._begin, self._has_open_work, self.started_sessions.abort_all)
        # A cancellation here is harmless: opening continues in its own task, for which others may wait too.
        try:
            await background.wait_ready()
        except Exception:
            if self._background is background:
                self._background = None
            raise
        if self._background is background:
            self.executor.loop = waits.running_loop()
        self.refuse_if_closed()

    def refuse_if_closed(self) -> None:
        """Raise if the client was closed.

        :raises InvalidOperation: the client was closed, and not opened again since.
        """
        if self._closed:
            raise InvalidOperation(
                "Cannot use Client after close: open it again with `await client.open()` or `async with client:`"
            )

    async def _begin(self, spawn: Spawn) -> None:
        """Called first in the background: look up the seeds of a ``mongodb+srv`` string and start monitoring."""
        settings = self.settings
        poller: SRVPoller | None = None
        if settings.topology.srv_host is not None:
            found = settings.topology
            answer = await self._resolver.srv(settings.topology.srv_host, found.srv_service_name)
            txt = await self._resolver.txt(settings.topology.srv_host)
            self._resolved = settings = settings_with_srv(settings, answer.hosts, txt)
            poller = SRVPoller(settings.topology, self._resolver, answer.ttl)
        topology = self.executor.topology = self._new_topology()
        topology.open(spawn)
        if poller is not None:
            spawn(poller.run, topology)

    def begin_to_close(self) -> None:
        """Refuse further operations, and begin to close in the background, if this is the client's event loop."""
        background = self._background
        self._closed = True
        if background is not None and background.in_owning_loop and self._closing is None:
            closing = self._closing = waits.Event()
            self._closer = waits.spawn(self._shut, background, name="wiredrv closing", done=closing.set)

    def drop_if_open(self) -> None:
        """Drop everything, and send nothing, unless the client is being closed or is closed."""
        if self._background is not None and self._closing is None:
            self.abandon()

    async def close(self) -> None:
        """Clean up on the servers, close every connection, stop every task. May be called twice.

        It takes a few seconds at most; in a task that is cancelled, no longer than the budget for cleaning up.
        """
        background = self._background
        self.begin_to_close()
        closing = self._closing
        if background is None or closing is None or not background.in_owning_loop:
            self.drop_if_open()
            return
        budget.begin_operation()
        if not await budget.bounded(closing.wait, _STOP_SECONDS, self.executor.grace):
            _LOG.warning("the client is closed in the background; still to be done: %s", self._to_do(background))

    async def _shut(self, background: Background) -> None:
        """Clean up and close: in a task of its own, so that it continues when its caller may not wait any longer."""
        try:
            if self.executor.loop is not None and not await waits.run_shielded(self._take_leave, _FAREWELL_SECONDS):
                _LOG.warning(
                    "the client was closed before everything was cleaned up: %s; the server will end these by itself",
                    self._to_do(background),
                )
        except Exception:
            _LOG.exception("cleaning up before a client was closed failed")
        finally:
            self.executor.loop = None
            self._background = None
            self._closing = None
            self.topology.close()
            await waits.run_shielded(background.stop, _STOP_SECONDS)

    async def clean_up_at_exit(self, seconds: float) -> None:
        """Abort open transactions and end the sessions, in this thread alone: the interpreter ends.

        The client stays open, for threads that still use it until the process ends.

        :param seconds: how long that may take.
        """
        try:
            if self.executor.loop is not None:
                await waits.run_shielded(self._end_sessions, seconds)
        except Exception:
            _LOG.exception("cleaning up before the end of the interpreter failed")

    async def _end_sessions(self) -> None:
        await self.started_sessions.abort_all()
        await self.started_sessions.end_pooled()

    async def _take_leave(self) -> None:
        """Clean up on the servers: transactions first, since they hold locks; then cursors; then sessions."""
        await self.started_sessions.abort_all()
        async with waits.create_task_group() as group:
            for stream in list(self.open_streams):
                group.start_soon(stream.close)
        if self._background is not None:
            await self._background.stop_reading_ahead()
            await self._background.wait_clean()
        await self.started_sessions.end_pooled()

    def _to_do(self, background: Background) -> str:
        return (
            f"{len(self.started_sessions.open_transactions())} open transactions, "
            f"{background.unfinished} cancelled operations or unclosed cursors, "
            f"{len(self.executor.sessions)} pooled sessions"
        )

    def abandon(self, *, forked: bool = False, finalizing: bool = False) -> None:
        """Drop everything without sending anything: after a fork, when the loop is closed, or a client is collected.

        :param finalizing: whether a finalizer calls this, in any thread: then the owning loop does it, soon.
        """
        background, self._background, self.executor.loop = self._background, None, None
        topology = self.topology
        self.executor.sessions.forget()

        def drop() -> None:
            topology.abandon()
            if background is not None:
                background.cancel()

        call: Callable[[], bool] | None = None
        if background is not None and not forked:
            later = partial(self._drop_when_clean, background, drop)
            call = partial(background.post, later) if finalizing else partial(background.call_in_owning_loop, drop)
        # A task that waits on a socket is woken in its own loop, or not at all if that is closed.
        if call is None or not call():
            topology.abandon(wake=False)

    @staticmethod
    def _drop_when_clean(background: Background, drop: Callable[[], None]) -> None:
        async def work(seconds: float) -> None:
            with waits.shield(seconds):
                await background.stop_reading_ahead()
                await background.wait_clean(besides=1)
            drop()

        if background.clean_up(work) is None:
            drop()

    # --- cleaning up ---

    def _in_background(self, work: CleanUp) -> waits.Event | None:
        background = self._background
        return background.clean_up(work) if background is not None and background.in_owning_loop else None

    def _unfinished(self) -> int:
        return self._background.unfinished if self._background is not None else 0

    def _has_open_work(self) -> bool:
        return self.topology.has_connections_in_use

    # --- for handles ---

    def session_state(self, session: ClientSession | None) -> SessionState | None:
        """The session of a call: the one given, else the one bound here, else None for an implicit session.

        An ambient session takes the place of each.

        :raises InvalidOperation: the session belongs to another client, or is bound in another task.
        """
        if self._closed:
            self.refuse_if_closed()
        if session is None:
            bound = bound_state(self.executor)
            return bound if self.ambient is None else self.ambient.join(bound)
        state = getattr(session, "_state", None)
        if not isinstance(state, SessionState):
            raise InvalidOperation(
                f"session= takes what client.start_session() returns, not {type(session).__name__}"
                f"{foreign_note(session)}"
            )
        if state.owner is not self.executor:
            raise InvalidOperation("a session can only be used with the client that started it")
        return state if self.ambient is None else self.ambient.join(state)

    def ambient_state(self) -> SessionState | None:
        """The ambient session, for a call that takes no session."""
        return None if self.ambient is None else self.ambient.join(None)

    def orphan_cursor(self, cursor: ServerCursor, ahead: Ahead | None = None) -> None:
        """Kill, in the background, a server cursor whose Cursor object is gone; release its session and connection.

        May be called by a finalizer, in any thread.
        """
        self.started_sessions.orphan_cursor(cursor, ahead)

    @property
    def prefetch(self) -> bool:
        """Whether cursors read ahead, unless a call says otherwise."""
        return self.settings.prefetch

    def read_ahead(self, ahead: ReadingTask) -> bool:
        """Start to read ahead for a cursor, or a reader of a scan. False if the background has ended."""
        background = self._background
        return background is not None and background.in_owning_loop and background.read_ahead(ahead)

    def clean_up_later(self, work: CleanUp) -> None:
        """Clean up in the background, if the client is still open then. May be called by a finalizer, in any thread."""

        def begin() -> None:
            self._in_background(work)

        self._post(begin)

    def _post(self, function: Callable[[], None], exiting: Callable[[], bool] = sys.is_finalizing) -> None:
        if exiting():
            return  # what modules have imported may be gone
        background = self._background
        if background is None or not background.post(function):
            # There is no event loop any more: only resources of this process are released.
            function()

    def append_metadata(self, info: DriverInfo) -> None:
        """Add a library that is built on the driver to the handshakes of new connections."""
        if info not in self._driver_info:
            self._driver_info = (*self._driver_info, info)
            self.metadata = client_metadata(self.settings.connection.app_name, self._driver_info, os.environ)

    # --- making connections ---

    def _new_topology(self) -> Topology:
        settings = self._resolved
        credentials = settings.connection.credentials
        # One for each opening: what it knows, as access tokens, is neither kept in a closed client nor passed to a
        # forked process.
        self._authenticator = None if credentials is None else Authenticator(credentials)
        monitoring = MonitorSettings(
            settings.topology, self._dialer, settings.connection, self.hub, runs_in_faas(os.environ)
        )
        return Topology(monitoring, settings.pool, self._connect)

    async def _connect(
        self, address: Address, number: int, generation: int, scope: waits.CancelScope | None
    ) -> Connection:
        settings = self._resolved
        timeout = settings.execution.timeout
        return await establish(
            address,
            self._dialer,
            settings.connection,
            connection_id=number,
            generation=generation,
            metadata=self.metadata,
            authenticator=self._authenticator,
            operation=scope,
            command_timeout=timeout if scope is None and timeout != math.inf else None,
        )


def _after_fork() -> None:
    """A child process must not use its parent's sockets and session ids, and its locks have no owner there."""
    recording.after_fork()
    listeners.after_fork()
    for core in list(_cores):
        core.abandon(forked=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
