"""Internals that the specifications' tests inspect and the public API hides. For the specification tests; not public.

Everything here only reads the driver's state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from wiredrv.client.change_streams.stream import ChangeStream
from wiredrv.client.client import Client
from wiredrv.client.cursors.base import CursorBase
from wiredrv.client.sessions.client_session import ClientSession
from wiredrv.description import TopologyDescription
from wiredrv.logs.hub import FAMILIES
from wiredrv.logs.messages import LogMessage
from wiredrv.session.transaction import TransactionState
from wiredrv.types import Address, Document

_STATE_NAMES = {
    TransactionState.NONE: "none",
    TransactionState.STARTING: "starting",
    TransactionState.IN_PROGRESS: "in_progress",
    TransactionState.COMMITTED: "committed",
    TransactionState.COMMITTED_EMPTY: "committed",
    TransactionState.ABORTED: "aborted",
}

#: Characters of a document in log messages: tests read them whole.
_WHOLE_DOCUMENTS = 10_000
#: The logging specification's levels, as Python's logging has them.
_LOG_LEVELS = {
    "emergency": logging.CRITICAL,
    "alert": logging.CRITICAL,
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "notice": logging.INFO,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}


def pinned_address(session: ClientSession) -> Address | None:
    """The router, or the load balancer, that the session is pinned to."""
    pin = session._state.pin
    return pin.address if pin is not None else None


def session_lsid(session: ClientSession) -> Document:
    """The session's id as commands carry it, also after the session has ended."""
    return session._state.lsid


def session_dirty(session: ClientSession) -> bool:
    """Whether the server session was marked dirty by a network error."""
    return session._state.server_session.dirty


def transaction_state(session: ClientSession) -> str:
    """``none``, ``starting``, ``in_progress``, ``committed`` or ``aborted``."""
    return _STATE_NAMES[session._state.transaction.state]


def topology_description(client: Client) -> TopologyDescription:
    """The client's current topology description."""
    return client.topology_description


def checked_out(client: Client) -> int:
    """How many connections are in use."""
    return sum(len(server.pool.state.in_use) for server in client._core.topology.servers.values())


def observe_logs(client: Client, levels: Mapping[str, str], sink: Callable[[str, str, Document], None]) -> None:
    """Have ``sink(component, level, data)`` take the client's log messages, beside Python's own loggers.

    :param levels: for each component, the lowest level to report, by the logging specification's names.
    """

    def take(component: str, level: int, message: LogMessage) -> None:
        sink(component, "info" if level >= logging.INFO else "debug", message.data)

    for family, (component, level) in FAMILIES.items():
        if component in levels and level >= _LOG_LEVELS[levels[component]]:
            client._core.hub.observe(family, take, _WHOLE_DOCUMENTS)


async def open_cursor(cursor: CursorBase[Any] | ChangeStream[Any]) -> None:
    """Send the first command of a cursor or change stream unless it was sent; consume no document."""
    if isinstance(cursor, ChangeStream):
        await cursor
    elif not cursor._started:
        await cursor._fetch()
