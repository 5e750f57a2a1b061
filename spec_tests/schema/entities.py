"""Models of the entities that a file creates. Unified test format specification, "entity"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from spec_tests.errors import SchemaError
from spec_tests.schema.events import OBSERVABLE_EVENTS, STORABLE_EVENTS
from spec_tests.schema.logs import LOG_COMPONENTS, LOG_LEVELS
from spec_tests.schema.reader import Fields, read_choice, read_document, read_text


@dataclass(frozen=True, slots=True)
class ServerApiModel:
    """The Stable API version that a client entity requests."""

    version: str
    strict: bool | None = None
    deprecation_errors: bool | None = None

    @classmethod
    def read(cls, value: Any, path: str) -> ServerApiModel:
        fields = Fields(value, path)
        model = cls(fields.text("version"), fields.flag("strict"), fields.flag("deprecationErrors"))
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class StoredEvents:
    """Deprecated since 1.24: names of events that go into an entity."""

    id: str
    events: tuple[str, ...]

    @classmethod
    def read(cls, value: Any, path: str) -> StoredEvents:
        fields = Fields(value, path)
        fields.require("events")
        model = cls(fields.text("id"), fields.array("events", read_choice(STORABLE_EVENTS), min_items=1))
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class ClientEntity:
    """A client, its options, and what is observed of it."""

    id: str
    uri_options: Mapping[str, Any] = field(default_factory=dict)
    use_multiple_mongoses: bool | None = None
    observe_events: tuple[str, ...] = ()
    ignore_command_monitoring_events: tuple[str, ...] = ()
    observe_sensitive_commands: bool = False
    observe_log_messages: Mapping[str, str] = field(default_factory=dict)
    observe_tracing: bool = False
    tracing_command_payload: bool = False
    server_api: ServerApiModel | None = None
    auto_encrypt_opts: Mapping[str, Any] | None = None
    await_min_pool_size_ms: int | None = None
    store_events: tuple[StoredEvents, ...] = ()

    @classmethod
    def read(cls, value: Any, path: str) -> ClientEntity:
        fields = Fields(value, path)
        model = cls(
            id=fields.text("id"),
            uri_options=fields.optional_document("uriOptions") or {},
            use_multiple_mongoses=fields.flag("useMultipleMongoses"),
            observe_events=fields.array("observeEvents", read_choice(OBSERVABLE_EVENTS), min_items=1),
            ignore_command_monitoring_events=fields.array("ignoreCommandMonitoringEvents", read_text, min_items=1),
            observe_sensitive_commands=bool(fields.flag("observeSensitiveCommands")),
            observe_log_messages=fields.nested("observeLogMessages", _read_log_levels) or {},
            observe_tracing=fields.has("observeTracingMessages"),
            tracing_command_payload=bool(fields.nested("observeTracingMessages", _read_tracing)),
            server_api=fields.nested("serverApi", ServerApiModel.read),
            auto_encrypt_opts=fields.nested("autoEncryptOpts", _read_auto_encryption),
            await_min_pool_size_ms=fields.integer("awaitMinPoolSizeMS"),
            store_events=fields.array("storeEventsAsEntities", StoredEvents.read, min_items=1),
        )
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class ScopeOptions:
    """``collectionOrDatabaseOptions``."""

    read_concern: Mapping[str, Any] | None = None
    read_preference: Mapping[str, Any] | None = None
    write_concern: Mapping[str, Any] | None = None
    timeout_ms: int | None = None

    @classmethod
    def read(cls, value: Any, path: str) -> ScopeOptions:
        fields = Fields(value, path)
        model = cls(
            fields.optional_document("readConcern"),
            fields.optional_document("readPreference"),
            fields.optional_document("writeConcern"),
            fields.integer("timeoutMS"),
        )
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class DatabaseEntity:
    """A database of a client entity."""

    id: str
    client: str
    database_name: str
    options: ScopeOptions | None = None

    @classmethod
    def read(cls, value: Any, path: str) -> DatabaseEntity:
        fields = Fields(value, path)
        model = cls(
            fields.text("id"),
            fields.text("client"),
            fields.text("databaseName"),
            fields.nested("databaseOptions", ScopeOptions.read),
        )
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class CollectionEntity:
    """A collection of a database entity."""

    id: str
    database: str
    collection_name: str
    options: ScopeOptions | None = None

    @classmethod
    def read(cls, value: Any, path: str) -> CollectionEntity:
        fields = Fields(value, path)
        model = cls(
            fields.text("id"),
            fields.text("database"),
            fields.text("collectionName"),
            fields.nested("collectionOptions", ScopeOptions.read),
        )
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class SessionEntity:
    """An explicit session of a client entity."""

    id: str
    client: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any, path: str) -> SessionEntity:
        fields = Fields(value, path)
        model = cls(fields.text("id"), fields.text("client"), fields.optional_document("sessionOptions") or {})
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class BucketEntity:
    """A GridFS bucket of a database entity."""

    id: str
    database: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any, path: str) -> BucketEntity:
        fields = Fields(value, path)
        model = cls(fields.text("id"), fields.text("database"), fields.optional_document("bucketOptions") or {})
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class ThreadEntity:
    """A thread that runs operations beside the test's own."""

    id: str

    @classmethod
    def read(cls, value: Any, path: str) -> ThreadEntity:
        fields = Fields(value, path)
        model = cls(fields.text("id"))
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class ClientEncryptionEntity:
    """A ClientEncryption object. It is read, so that malformed files are refused; this driver has none."""

    id: str
    options: Mapping[str, Any]

    @classmethod
    def read(cls, value: Any, path: str) -> ClientEncryptionEntity:
        fields = Fields(value, path)
        fields.require("clientEncryptionOpts")
        options = fields.nested("clientEncryptionOpts", _read_encryption_options)
        model = cls(fields.text("id"), options or {})
        fields.done()
        return model


Entity: TypeAlias = (
    ClientEntity
    | DatabaseEntity
    | CollectionEntity
    | SessionEntity
    | BucketEntity
    | ThreadEntity
    | ClientEncryptionEntity
)

_ENTITIES: Mapping[str, Callable[[Any, str], Entity]] = {
    "client": ClientEntity.read,
    "clientEncryption": ClientEncryptionEntity.read,
    "database": DatabaseEntity.read,
    "collection": CollectionEntity.read,
    "session": SessionEntity.read,
    "bucket": BucketEntity.read,
    "thread": ThreadEntity.read,
}


def read_entity(value: Any, path: str) -> Entity:
    """Read ``{kind: {...}}``, with exactly one key."""
    document = read_document(value, path)
    if len(document) != 1:
        raise SchemaError(path, f"must have exactly one key, the entity's kind, and has {len(document)}")
    ((kind, body),) = document.items()
    if kind not in _ENTITIES:
        raise SchemaError(path, f"{kind!r} is no kind of entity: they are {', '.join(_ENTITIES)}")
    return _ENTITIES[kind](body, f"{path}.{kind}")


def read_entities(value: Any, path: str = "entities") -> tuple[Entity, ...]:
    """Read the argument of a ``createEntities`` operation."""
    return Fields({"entities": value}, path).array("entities", read_entity, min_items=1)


def _read_log_levels(value: Any, path: str) -> Mapping[str, str]:
    fields = Fields(value, path, min_properties=1)
    levels = {name: fields.choice(name, LOG_LEVELS) for name in LOG_COMPONENTS}
    fields.done()
    return {name: level for name, level in levels.items() if level is not None}


def _read_tracing(value: Any, path: str) -> bool:
    fields = Fields(value, path)
    payload = bool(fields.flag("enableCommandPayload"))
    fields.done()
    return payload


def _read_auto_encryption(value: Any, path: str) -> Mapping[str, Any]:
    fields = Fields(value, path)
    fields.require("kmsProviders")
    fields.text("keyVaultNamespace")
    fields.nested("kmsProviders", _read_kms_providers)
    for flag in ("bypassAutoEncryption", "bypassQueryAnalysis"):
        fields.flag(flag)
    for document in ("schemaMap", "extraOptions", "encryptedFieldsMap"):
        fields.optional_document(document)
    fields.integer("keyExpirationMS")
    fields.done()
    return read_document(value, path)


def _read_encryption_options(value: Any, path: str) -> Mapping[str, Any]:
    fields = Fields(value, path)
    fields.require("kmsProviders")
    fields.text("keyVaultClient")
    fields.text("keyVaultNamespace")
    fields.nested("kmsProviders", _read_kms_providers)
    fields.integer("keyExpirationMS")
    fields.done()
    return read_document(value, path)


# For each provider, the sets of keys that it may have; an access token excludes all other keys.
_KMS_KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "aws": (("accessKeyId", "secretAccessKey", "sessionToken"),),
    "azure": (("tenantId", "clientId", "clientSecret", "identityPlatformEndpoint"), ("accessToken",)),
    "gcp": (("email", "privateKey", "endpoint"), ("accessToken",)),
    "kmip": (("endpoint",),),
    "local": (("key",),),
}
_KMS_NAME = re.compile(r"(aws|azure|gcp|kmip|local)(:[a-zA-Z0-9_]+)?")


def _read_kms_providers(value: Any, path: str) -> Mapping[str, Any]:
    providers = read_document(value, path)
    for name, options in providers.items():
        found = _KMS_NAME.fullmatch(name)
        if found is None:
            raise SchemaError(path, f"{name!r} is no KMS provider")
        keys = read_document(options, f"{path}.{name}")
        if not any(set(keys) <= set(allowed) for allowed in _KMS_KEYS[found.group(1)]):
            raise SchemaError(f"{path}.{name}", f"unknown or contradicting key(s) among {', '.join(sorted(keys))}")
        for key, secret in keys.items():
            placeholder = isinstance(secret, Mapping) and list(secret) == ["$$placeholder"]
            if not isinstance(secret, str) and not placeholder:
                raise SchemaError(f"{path}.{name}.{key}", "must be a string or a placeholder")
    return providers
