"""What is specific to each driver: how its client is made, how it reports commands, and the classes of its values."""

from __future__ import annotations

import collections
import io
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import bson
import gridfs
import pymongo
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from pymongo import monitoring
from pymongo.client_session_shared import TransactionOptions
from pymongo.collation import Collation
from pymongo.read_concern import ReadConcern

import wiredrv
from wiredrv import events


class Watcher(Protocol):
    """Is notified of commands and their replies."""

    def started(self, request: int, command: Mapping[str, Any]) -> None:
        """A command was sent."""
        ...

    def succeeded(self, request: int, reply: Mapping[str, Any]) -> None:
        """A command was answered."""
        ...


class Adapter(Protocol):
    """One driver."""

    name: str

    def client(self, uri: str, watcher: Any) -> Any:
        """A client that reports its commands to ``watcher``."""
        ...

    def make(self, kind: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A value of one of the driver's classes."""
        ...

    def bucket(self, database: Any, name: str, options: dict[str, Any]) -> Any:
        """A GridFS bucket."""
        ...


class Sentinel:
    """A type that neither driver supports."""

    def __repr__(self) -> str:
        return "Sentinel()"


#: Kinds that are the same for both drivers.
_SHARED: Mapping[str, Callable[..., Any]] = {
    "SON": SON,
    "OrderedDict": collections.OrderedDict,
    "Raw": lambda document: RawBSONDocument(bson.encode(document)),
    "iter": iter,
    "BytesIO": io.BytesIO,
    "set": set,
    "Sentinel": Sentinel,
    "CodecOptions": bson.CodecOptions,
    "list_of": lambda document, times: [document] * times,
}

_REQUESTS = ("InsertOne", "UpdateOne", "UpdateMany", "ReplaceOne", "DeleteOne", "DeleteMany", "IndexModel")

_THEIRS: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(pymongo, name) for name in _REQUESTS},
    "WriteConcern": pymongo.WriteConcern,
    "ReadConcern": ReadConcern,
    "ReadPreference": lambda name: getattr(pymongo.ReadPreference, name),
    "TransactionOptions": TransactionOptions,
    "Collation": Collation,
}
_OURS: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(wiredrv, name) for name in _REQUESTS},
    "WriteConcern": wiredrv.WriteConcern,
    "ReadConcern": wiredrv.ReadConcern,
    "ReadPreference": lambda name: getattr(wiredrv.ReadPreference, name),
    "TransactionOptions": wiredrv.TransactionOptions,
    "Collation": Collation,
}


class _PyMongoListener(monitoring.CommandListener):
    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self._watcher.started(event.request_id, event.command)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._watcher.succeeded(event.request_id, event.reply)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


class _OurListener(events.CommandListener):
    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def started(self, event: events.CommandStartedEvent) -> None:
        self._watcher.started(event.request_id, event.command)

    def succeeded(self, event: events.CommandSucceededEvent) -> None:
        self._watcher.succeeded(event.request_id, event.reply)


class PyMongo:
    """PyMongo's asynchronous API."""

    name = "PyMongo"

    def client(self, uri: str, watcher: Watcher) -> Any:
        """An AsyncMongoClient."""
        return pymongo.AsyncMongoClient[dict[str, Any]](uri, event_listeners=[_PyMongoListener(watcher)])

    def make(self, kind: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A PyMongo value."""
        return (_SHARED.get(kind) or _THEIRS[kind])(*args, **options)

    def bucket(self, database: Any, name: str, options: dict[str, Any]) -> Any:
        """An AsyncGridFSBucket."""
        return gridfs.AsyncGridFSBucket(database, name, **options)


class Wiredrv:
    """This driver."""

    name = "wiredrv"

    def client(self, uri: str, watcher: Watcher) -> Any:
        """A Client."""
        return wiredrv.Client(uri, event_listeners=[_OurListener(watcher)])

    def make(self, kind: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A wiredrv value."""
        return (_SHARED.get(kind) or _OURS[kind])(*args, **options)

    def bucket(self, database: Any, name: str, options: dict[str, Any]) -> Any:
        """A GridFSBucket."""
        return wiredrv.GridFSBucket(database, name, **options)
