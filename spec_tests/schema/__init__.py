"""Frozen models of the unified test format's files (schema 1.0 to 1.28), which reject anything else.

Unified test format specification, "Test Format". Reading is the only validation: a model that was built is valid.
"""

from spec_tests.schema.entities import (
    BucketEntity,
    ClientEncryptionEntity,
    ClientEntity,
    CollectionEntity,
    DatabaseEntity,
    Entity,
    ScopeOptions,
    ServerApiModel,
    SessionEntity,
    ThreadEntity,
    read_entities,
)
from spec_tests.schema.events import ExpectedEvent, ExpectedEvents
from spec_tests.schema.logs import ExpectedLogMessage, ExpectedLogMessages, ExpectedSpan, ExpectedSpans
from spec_tests.schema.models import (
    SUPPORTED_SCHEMA,
    CollectionData,
    ExpectedError,
    Operation,
    Requirement,
    TestCase,
    TestFile,
    is_supported_schema,
    load_file,
    parse_document,
    parse_json,
)
from spec_tests.schema.version import Version

__all__ = [
    "SUPPORTED_SCHEMA",
    "BucketEntity",
    "ClientEncryptionEntity",
    "ClientEntity",
    "CollectionData",
    "CollectionEntity",
    "DatabaseEntity",
    "Entity",
    "ExpectedError",
    "ExpectedEvent",
    "ExpectedEvents",
    "ExpectedLogMessage",
    "ExpectedLogMessages",
    "ExpectedSpan",
    "ExpectedSpans",
    "Operation",
    "Requirement",
    "ScopeOptions",
    "ServerApiModel",
    "SessionEntity",
    "TestCase",
    "TestFile",
    "ThreadEntity",
    "Version",
    "is_supported_schema",
    "load_file",
    "parse_document",
    "parse_json",
    "read_entities",
]
