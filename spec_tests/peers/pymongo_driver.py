"""PyMongo Async as the runner's driver: its public names, and what the specifications' tests inspect.

Only the differences are here; every other public name is PyMongo's own. What is inspected are private attributes of
PyMongo, as its own runner reads them. The runner looks these names up as it does those of ``wiredrv`` (see ``seam``).
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakValueDictionary

import gridfs
import pymongo
import pymongo.client_session_shared
import pymongo.driver_info
import pymongo.operations
import pymongo.read_concern
import pymongo.server_api
from bson import json_util
from bson.errors import BSONError
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.errors import NotPrimaryError, OperationFailure, PyMongoError
from pymongo.read_preferences import make_read_preference, read_pref_mode_from_name

from spec_tests.errors import Unsupported
from spec_tests.peers.pymongo_events import Listener, address_of, topology_of, translators
from wiredrv.description import TopologyDescription
from wiredrv.types import Address

#: PyMongo refuses some arguments with a ValueError.
OPERATION_ERRORS: tuple[type[BaseException], ...] = (PyMongoError, BSONError, ValueError)
SERVER_ERRORS: tuple[type[BaseException], ...] = (OperationFailure, NotPrimaryError)

DriverInfo = pymongo.driver_info.DriverInfo
GridFSBucket = gridfs.AsyncGridFSBucket
ReadConcern = pymongo.read_concern.ReadConcern
SearchIndexModel = pymongo.operations.SearchIndexModel
ServerApi = pymongo.server_api.ServerApi
TransactionOptions = pymongo.client_session_shared.TransactionOptions
Sink = Callable[[str, str, Any], None]
#: By PyMongo's numbers of the states.
_STATES = {1: "none", 2: "starting", 3: "in_progress", 4: "committed", 5: "committed", 6: "aborted"}
#: By the id that PyMongo's log messages have.
_CLIENTS: WeakValueDictionary[Any, Client] = WeakValueDictionary()


def __getattr__(name: str) -> Any:
    return getattr(pymongo, name)


class Client(pymongo.AsyncMongoClient[Any]):
    """A client that takes this project's listeners, and monitors its deployment from the start."""

    def __init__(self, uri: str, *, event_listeners: list[Listener], **options: Any) -> None:
        if "tracing" in options:
            raise Unsupported("tracing (OpenTelemetry)", "this driver has none")
        super().__init__(uri, event_listeners=translators(event_listeners), **options)
        self.log_sinks: dict[str, Sink] = {}
        _CLIENTS[self._topology_settings._topology_id] = self

    async def __aenter__(self) -> Any:
        await self.aconnect()
        return self


class ReadPreference:
    """Called as this project's class is; the result is one of PyMongo's read preferences."""

    PRIMARY = pymongo.ReadPreference.PRIMARY

    def __new__(cls, mode: str, tag_sets: Any = None, max_staleness: int = -1, hedge: Any = None) -> Any:
        if hedge is not None:
            raise Unsupported("hedge", "the adapter does not hand it on")
        return make_read_preference(read_pref_mode_from_name(mode), tag_sets, max_staleness)


@contextmanager
def time_limit(arguments: dict[str, Any]) -> Iterator[None]:
    """``timeoutMS`` of one operation: PyMongo limits blocks, and its methods have no such argument."""
    milliseconds = arguments.pop("timeoutMS", None)
    if milliseconds is None:
        yield
    else:
        with pymongo.timeout(milliseconds / 1000):
            yield


def options_of(function: Callable[..., Any]) -> frozenset[str] | None:
    """The options that a method passes on to the cursor, which has them as parameters; None for other methods."""
    if function.__name__ in ("find", "find_one"):
        return frozenset(inspect.signature(AsyncCursor.__init__).parameters)
    return None


# --- what tests inspect ---


def pinned_address(session: Any) -> Address | None:
    """The router that the session's transaction is pinned to."""
    pinned = session._pinned_address
    return address_of(pinned) if pinned is not None else None


def session_lsid(session: Any) -> Mapping[str, Any]:
    """The session's id as commands carry it."""
    lsid: Mapping[str, Any] = session.session_id
    return lsid


def session_dirty(session: Any) -> bool:
    """Whether the server session was marked dirty by a network error."""
    return bool(session._server_session.dirty)


def transaction_state(session: Any) -> str:
    """The transaction's state by the specification's name."""
    return _STATES[session._transaction.state]


def topology_description(client: Any) -> TopologyDescription:
    """What the client knows about its deployment."""
    return topology_of(client.topology_description)


async def open_cursor(cursor: Any) -> None:
    """Send the cursor's first command. That of command cursors and change streams was sent when they were made."""
    if isinstance(cursor, AsyncCursor):
        await cursor._refresh()


def observe_logs(client: Any, levels: Mapping[str, str], sink: Sink) -> None:
    """Hand on the client's log messages until it is closed."""
    os.environ["MONGOB_LOG_MAX_DOCUMENT_LENGTH"] = "10000"  # tests read documents whole
    client.log_sinks.update(dict.fromkeys(levels, sink))
    for component in levels:
        logger = logging.getLogger(f"pymongo.{component}")
        if not any(isinstance(handler, _LogHandler) for handler in logger.handlers):
            logger.setLevel(logging.DEBUG)
            logger.addHandler(_LogHandler(component))


class _LogHandler(logging.Handler):
    """Finds the client that a message of one component is about; PyMongo has one logger for all clients."""

    def __init__(self, component: str) -> None:
        super().__init__()
        self._component = component

    def emit(self, record: logging.LogRecord) -> None:
        data = json_util.loads(record.getMessage())
        if not isinstance(data, dict):
            return
        if isinstance(data.get("failure"), str):
            with suppress(ValueError):
                data["failure"] = json_util.loads(data["failure"])
        client = _CLIENTS.get(data.pop("clientId", None) or data.get("topologyId"))
        sink = client.log_sinks.get(self._component) if client is not None else None
        if sink is not None:
            sink(self._component, record.levelname.lower(), data)
