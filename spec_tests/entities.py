"""The entity map of one test, and the factory that creates entities from their models.

Names are unique, look-ups are typed, and both fail with RunnerError. Unified test format specification, "Entity Map".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from spec_tests import seam
from spec_tests.capture import EventLog, Trace
from spec_tests.errors import RunnerError, Unsupported
from spec_tests.schema import (
    BucketEntity,
    ClientEncryptionEntity,
    ClientEntity,
    CollectionEntity,
    DatabaseEntity,
    Entity,
    Operation,
    ScopeOptions,
    SessionEntity,
    ThreadEntity,
)
from spec_tests.uris import SpecUri
from wiredrv.description import TopologyDescription
from wiredrv.errors import ConfigurationError

if TYPE_CHECKING:
    from spec_tests.spans import SpanLog

T = TypeVar("T")

# The smallest value that the option may have; the format allows runners to reduce it where fail points are in play.
_QUICK_HEARTBEAT_MS = 500


@dataclass(slots=True)
class ClientHandle:
    """A client and what is observed of it."""

    kind = "client"
    model: ClientEntity
    client: Any
    log: EventLog
    spans: SpanLog | None = None


@dataclass(slots=True)
class DatabaseHandle:
    kind = "database"
    client: ClientHandle
    database: Any


@dataclass(slots=True)
class CollectionHandle:
    kind = "collection"
    client: ClientHandle
    collection: Any


@dataclass(slots=True)
class SessionHandle:
    kind = "session"
    client: ClientHandle
    session: Any
    lsid: Any = None

    def known_lsid(self) -> Any:
        """The session's lsid, kept so that it is known after the session has ended."""
        if self.lsid is None:
            self.lsid = seam.introspect("session_lsid")(self.session)
        return self.lsid


@dataclass(slots=True)
class BucketHandle:
    kind = "bucket"
    client: ClientHandle
    bucket: Any


@dataclass(slots=True)
class CursorHandle:
    """A find or command cursor, or a change stream, whose first command was sent already."""

    kind = "cursor"
    client: ClientHandle
    cursor: Any


@dataclass(slots=True)
class ThreadHandle:
    """A task that carries out operations one after the other."""

    kind = "thread"
    send: MemoryObjectSendStream[Operation]
    receive: MemoryObjectReceiveStream[Operation]
    done: anyio.Event = field(default_factory=anyio.Event)
    error: Exception | None = None


@dataclass(slots=True)
class TopologyHandle:
    kind = "topology description"
    description: TopologyDescription


class EntityMap:
    """Entities by name. The matcher's operators look up values in it."""

    def __init__(self) -> None:
        self._entities: dict[str, Any] = {}

    def add(self, name: str, entity: Any) -> None:
        """Store an entity under a name that is free."""
        if name in self._entities:
            raise RunnerError(f"there is an entity {name!r} already")
        self._entities[name] = entity

    def get(self, name: Any, wanted: type[T]) -> T:
        """The entity of that name, if it is of that type."""
        entity = self.any(name)
        if not isinstance(entity, wanted):
            raise RunnerError(f"the entity {name!r} is a {kind_of(entity)}, not a {getattr(wanted, 'kind', wanted)}")
        return entity

    def any(self, name: Any) -> Any:
        """The entity of that name."""
        if not isinstance(name, str) or name not in self._entities:
            raise RunnerError(f"there is no entity {name!r}")
        return self._entities[name]

    def all(self, wanted: type[T]) -> list[T]:
        """Every entity of a type."""
        return [entity for entity in self._entities.values() if isinstance(entity, wanted)]

    def value(self, name: str) -> Any:
        """A BSON value, for ``$$matchesEntity`` and ``snapshotTime``."""
        entity = self.any(name)
        if hasattr(entity, "kind"):
            raise RunnerError(f"the entity {name!r} is a {entity.kind}, not a BSON value")
        return entity

    def lsid(self, name: str) -> Any:
        """The lsid of a session entity, for ``$$sessionLsid``."""
        return self.get(name, SessionHandle).known_lsid()


def kind_of(entity: Any) -> str:
    """What an entity is, for messages and for the table of operations."""
    return getattr(entity, "kind", "BSON value")


@dataclass(slots=True)
class EntityFactory:
    """Makes entities for one test."""

    entities: EntityMap
    uri: SpecUri
    trace: Trace
    topology: str
    cluster_time: Mapping[str, Any] | None = None
    fail_points: bool = False

    async def create(self, model: Entity) -> None:
        """Make one entity and store it."""
        match model:
            case ClientEntity():
                self.entities.add(model.id, await self._client(model))
            case DatabaseEntity():
                client = self.entities.get(model.client, ClientHandle)
                database = _scoped(client.client, "get_database", model.database_name, model.options)
                self.entities.add(model.id, DatabaseHandle(client, database))
            case CollectionEntity():
                owner = self.entities.get(model.database, DatabaseHandle)
                collection = _scoped(owner.database, "get_collection", model.collection_name, model.options)
                self.entities.add(model.id, CollectionHandle(owner.client, collection))
            case SessionEntity():
                self.entities.add(model.id, await self._session(model))
            case ThreadEntity():
                send, receive = anyio.create_memory_object_stream[Operation](max_buffer_size=1000)
                self.entities.add(model.id, ThreadHandle(send, receive))
            case BucketEntity():
                self.entities.add(model.id, self._bucket(model))
            case ClientEncryptionEntity():
                raise Unsupported("client-side encryption", "this driver has none")

    async def _client(self, model: ClientEntity) -> ClientHandle:
        if model.auto_encrypt_opts is not None:
            raise Unsupported("client-side encryption", "this driver has none")
        api = model.server_api
        server_api = api and seam.make_server_api(api.version, api.strict, api.deprecation_errors)
        options = {name: _placeholder(name, value) for name, value in model.uri_options.items()}
        if self.fail_points and "heartbeatFrequencyMS" not in options:
            # A server that a fail point made unknown would otherwise not be checked again for ten seconds.
            options["heartbeatFrequencyMS"] = _QUICK_HEARTBEAT_MS
        direct = options.get("directConnection") is True
        uri = self.uri.for_client(model.use_multiple_mongoses, self.topology, direct=direct)
        log = EventLog(model, self.trace)
        spans = _span_log() if model.observe_tracing else None
        if spans is not None:
            options["tracing"] = spans.option(model.tracing_command_payload)
        handle = ClientHandle(model, _known_options(uri, options, log, server_api), log, spans)
        if model.observe_log_messages:
            seam.introspect("observe_logs")(handle.client, model.observe_log_messages, log.hear_log)
        # The specifications expect a client to monitor its deployment as soon as it is created.
        await handle.client.__aenter__()
        if model.await_min_pool_size_ms is not None:
            await _await_pools(handle, model.await_min_pool_size_ms / 1000)
        return handle

    async def _session(self, model: SessionEntity) -> SessionHandle:
        handle = self.entities.get(model.client, ClientHandle)
        start = seam.method(handle.client, "start_session")
        options = {name: self._session_option(name, value) for name, value in model.options.items()}
        keywords = {}
        for name, value in options.items():
            keyword = _SESSION_KEYWORDS[name]
            if not seam.accepts(start, keyword):
                raise Unsupported(f"sessionOptions {name}", f"start_session has no {keyword}")
            keywords[keyword] = value
        session = start(**keywords)
        if not hasattr(type(session), "start_transaction"):
            session = await seam.settle(session)
        if self.cluster_time is not None:
            session.advance_cluster_time(self.cluster_time)
        return SessionHandle(handle, session)

    def _session_option(self, name: str, value: Any) -> Any:
        if name not in _SESSION_KEYWORDS:
            raise RunnerError(f"there is no session option {name!r}")
        if name == "snapshotTime":
            return self.entities.value(value)
        if name == "defaultTransactionOptions":
            return seam.public("TransactionOptions")(**transaction_options(value))
        return value

    def _bucket(self, model: BucketEntity) -> BucketHandle:
        owner = self.entities.get(model.database, DatabaseHandle)
        if not seam.has_public("GridFSBucket"):
            raise Unsupported("GridFS", "this driver has none yet")
        keywords: dict[str, Any] = {}
        for name, value in model.options.items():
            keywords[_BUCKET_KEYWORDS[name]] = concern(name, value)
        return BucketHandle(owner.client, seam.public("GridFSBucket")(owner.database, **keywords))


_SESSION_KEYWORDS = {
    "causalConsistency": "causal_consistency",
    "snapshot": "snapshot",
    "snapshotTime": "snapshot_time",
    "defaultTransactionOptions": "default_transaction_options",
    "defaultTimeoutMS": "default_timeout_ms",
}
_BUCKET_KEYWORDS = {
    "bucketName": "bucket_name",
    "chunkSizeBytes": "chunk_size_bytes",
    "disableMD5": "disable_md5",
    "readConcern": "read_concern",
    "readPreference": "read_preference",
    "writeConcern": "write_concern",
    "timeoutMS": "timeout_ms",
}
_TRANSACTION_KEYWORDS = {
    "readConcern": "read_concern",
    "writeConcern": "write_concern",
    "readPreference": "read_preference",
    "maxCommitTimeMS": "max_commit_time_ms",
}


def transaction_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Transaction options as keyword arguments."""
    unknown = set(options) - set(_TRANSACTION_KEYWORDS)
    if unknown:
        raise RunnerError(f"there is no transaction option {', '.join(sorted(unknown))}")
    return {_TRANSACTION_KEYWORDS[name]: concern(name, value) for name, value in options.items()}


def concern(name: str, value: Any) -> Any:
    """The object that a common option stands for; other values are returned unchanged."""
    builders = {
        "readConcern": seam.read_concern,
        "writeConcern": seam.write_concern,
        "readPreference": seam.read_preference,
    }
    return builders[name](value) if name in builders else value


def _scoped(owner: Any, method: str, name: str, options: ScopeOptions | None) -> Any:
    make = seam.method(owner, method)
    keywords: dict[str, Any] = {}
    if options is not None:
        for key, value in (
            ("readConcern", options.read_concern),
            ("writeConcern", options.write_concern),
            ("readPreference", options.read_preference),
        ):
            if value is not None:
                keywords[_TRANSACTION_KEYWORDS[key]] = concern(key, value)
        if options.timeout_ms is not None:
            if not seam.accepts(make, "timeout_ms"):
                raise Unsupported("timeoutMS", f"{method} has no timeout_ms")
            keywords["timeout_ms"] = options.timeout_ms
    return make(name, **keywords)


def _span_log() -> SpanLog:
    try:
        from spec_tests.spans import SpanLog
    except ModuleNotFoundError:
        raise Unsupported("tracing (OpenTelemetry)", "the package opentelemetry-sdk is not installed") from None
    return SpanLog()


def _known_options(uri: str, options: Mapping[str, Any], log: EventLog, server_api: Any) -> Any:
    try:
        return seam.make_client(uri, options, [log], server_api)
    except ConfigurationError as error:
        for name in options:
            if f"unknown option {name!r}" in str(error):
                raise Unsupported(f"URI option {name}", "the driver refuses it") from error
        raise


def _placeholder(name: str, value: Any) -> Any:
    if not (isinstance(value, Mapping) and "$$placeholder" in str(value)):
        return value
    if list(value) == ["$$placeholder"] and f"WIREDRV_SPEC_{name}" in os.environ:
        return os.environ[f"WIREDRV_SPEC_{name}"]
    raise Unsupported("placeholder in uriOptions", f"nothing is configured for {name}")


async def _await_pools(handle: ClientHandle, seconds: float) -> None:
    size = int(handle.model.uri_options.get("minPoolSize", 0))
    if size == 0:
        return
    log = handle.log

    def filled() -> bool:
        bearing = [address for address, server in log.topology.servers.items() if server.is_data_bearing]
        wanted_all = not log.topology.topology_type.value.endswith("NoPrimary")
        return bool(bearing) and wanted_all and all(log.ready_connections.get(a, 0) >= size for a in bearing)

    if not await log.wait_until(filled, seconds):
        raise RunnerError(f"the pools of {handle.model.id} did not reach {size} connection(s) in {seconds} s")
    log.forget()
