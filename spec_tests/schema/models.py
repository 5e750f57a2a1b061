"""Models of a whole file: requirements, initial data, tests, operations, expected errors and outcome.

Unified test format specification, "Top-level Fields", "test", "operation", "expectedError".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bson import json_util
from bson.json_util import JSONMode, JSONOptions

from spec_tests.errors import SchemaError
from spec_tests.pace import paced
from spec_tests.schema.entities import Entity, read_entity
from spec_tests.schema.events import ExpectedEvents
from spec_tests.schema.logs import ExpectedLogMessages, ExpectedSpans
from spec_tests.schema.reader import Fields, read_choice, read_document, read_text
from spec_tests.schema.version import Version

#: The newest schema version that this runner supports; it supports all versions from 1.0 to this one.
SUPPORTED_SCHEMA = Version(1, 28)
TOPOLOGIES = frozenset({"single", "replicaset", "sharded", "sharded-replicaset", "load-balanced"})
_JSON = JSONOptions(json_mode=JSONMode.RELAXED, tz_aware=False)


@dataclass(frozen=True, slots=True)
class Requirement:
    """``runOnRequirement``: what a deployment must be for a test to apply."""

    min_server_version: Version | None = None
    max_server_version: Version | None = None
    topologies: tuple[str, ...] = ()
    serverless: str | None = None
    server_parameters: Mapping[str, Any] = field(default_factory=dict)
    auth: bool | None = None
    auth_mechanism: str | None = None
    csfle: bool | None = None

    @classmethod
    def read(cls, value: Any, path: str) -> Requirement:
        fields = Fields(value, path, min_properties=1)
        parameters = fields.optional_document("serverParameters")
        if parameters is not None and not parameters:
            raise SchemaError(f"{path}.serverParameters", "must name at least one parameter")
        model = cls(
            _version(fields, "minServerVersion"),
            _version(fields, "maxServerVersion"),
            fields.array("topologies", read_choice(TOPOLOGIES), min_items=1),
            fields.choice("serverless", ("require", "forbid", "allow")),
            parameters or {},
            fields.flag("auth"),
            fields.optional_text("authMechanism"),
            fields.nested("csfle", _read_csfle),
        )
        fields.done()
        return model


def _read_csfle(value: Any, path: str) -> bool:
    if isinstance(value, bool):
        return value
    fields = Fields(value, path, min_properties=1)
    _version(fields, "minLibmongocryptVersion")
    fields.done()
    return True


def _version(fields: Fields, key: str) -> Version | None:
    text = fields.optional_text(key)
    # The schema requires at least major and minor in a file.
    if text is None:
        return None
    try:
        version = Version.parse(text)
    except ValueError as error:
        raise SchemaError(f"{fields.path}.{key}" if fields.path else key, str(error)) from None
    if "." not in text:
        raise SchemaError(f"{fields.path}.{key}" if fields.path else key, f"{text!r} lacks its minor number")
    return version


@dataclass(frozen=True, slots=True)
class CollectionData:
    """The contents of one collection, before or after a test."""

    database_name: str
    collection_name: str
    documents: tuple[Mapping[str, Any], ...]
    create_options: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, value: Any, path: str) -> CollectionData:
        fields = Fields(value, path)
        fields.require("documents")
        options = fields.optional_document("createOptions")
        if options is not None and "writeConcern" in options:
            raise SchemaError(f"{path}.createOptions", "must not have a writeConcern")
        model = cls(
            fields.text("databaseName"),
            fields.text("collectionName"),
            fields.array("documents", read_document),
            options,
        )
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class ExpectedError:
    """What is asserted of an operation's error."""

    is_error: bool | None = None
    is_client_error: bool | None = None
    is_timeout_error: bool | None = None
    error_contains: str | None = None
    error_code: int | None = None
    error_code_name: str | None = None
    error_labels_contain: tuple[str, ...] = ()
    error_labels_omit: tuple[str, ...] = ()
    write_errors: Mapping[str, Any] | None = None
    write_concern_errors: tuple[Mapping[str, Any], ...] | None = None
    error_response: Mapping[str, Any] | None = None
    has_expect_result: bool = False
    expect_result: Any = None

    @classmethod
    def read(cls, value: Any, path: str) -> ExpectedError:
        fields = Fields(value, path, min_properties=1)
        is_error = fields.flag("isError")
        if is_error is False:
            raise SchemaError(f"{path}.isError", "can only be true")
        model = cls(
            is_error=is_error,
            is_client_error=fields.flag("isClientError"),
            is_timeout_error=fields.flag("isTimeoutError"),
            error_contains=fields.optional_text("errorContains"),
            error_code=fields.integer("errorCode"),
            error_code_name=fields.optional_text("errorCodeName"),
            error_labels_contain=fields.array("errorLabelsContain", read_text, min_items=1),
            error_labels_omit=fields.array("errorLabelsOmit", read_text, min_items=1),
            write_errors=fields.optional_document("writeErrors"),
            write_concern_errors=fields.array("writeConcernErrors", read_document)
            if fields.has("writeConcernErrors")
            else None,
            error_response=fields.optional_document("errorResponse"),
            has_expect_result=fields.has("expectResult"),
            expect_result=fields.raw("expectResult"),
        )
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class Operation:
    """One call on an entity, or a special operation of the test runner."""

    name: str
    object: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    ignore_result_and_error: bool = False
    expect_error: ExpectedError | None = None
    has_expect_result: bool = False
    expect_result: Any = None
    save_result_as_entity: str | None = None

    @classmethod
    def read(cls, value: Any, path: str) -> Operation:
        fields = Fields(value, path)
        fields.forbid_together(
            ("expectError", "expectResult"),
            ("expectError", "saveResultAsEntity"),
            ("ignoreResultAndError", "expectResult"),
            ("ignoreResultAndError", "expectError"),
            ("ignoreResultAndError", "saveResultAsEntity"),
        )
        model = cls(
            name=fields.text("name"),
            object=fields.text("object"),
            arguments=fields.optional_document("arguments") or {},
            ignore_result_and_error=bool(fields.flag("ignoreResultAndError")),
            expect_error=fields.nested("expectError", ExpectedError.read),
            has_expect_result=fields.has("expectResult"),
            expect_result=fields.raw("expectResult"),
            save_result_as_entity=fields.optional_text("saveResultAsEntity"),
        )
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class TestCase:
    """One test of a file."""

    __test__ = False

    description: str
    operations: tuple[Operation, ...]
    run_on: tuple[Requirement, ...] = ()
    skip_reason: str | None = None
    expect_events: tuple[ExpectedEvents, ...] | None = None
    expect_log_messages: tuple[ExpectedLogMessages, ...] = ()
    expect_tracing_messages: tuple[ExpectedSpans, ...] = ()
    outcome: tuple[CollectionData, ...] = ()

    @classmethod
    def read(cls, value: Any, path: str) -> TestCase:
        fields = Fields(value, path)
        fields.require("operations")
        model = cls(
            description=fields.text("description"),
            operations=fields.array("operations", Operation.read),
            run_on=fields.array("runOnRequirements", Requirement.read, min_items=1),
            skip_reason=fields.optional_text("skipReason"),
            expect_events=fields.array("expectEvents", ExpectedEvents.read, min_items=1)
            if fields.has("expectEvents")
            else None,
            expect_log_messages=fields.array("expectLogMessages", ExpectedLogMessages.read, min_items=1),
            expect_tracing_messages=fields.array("expectTracingMessages", ExpectedSpans.read, min_items=1),
            outcome=fields.array("outcome", CollectionData.read, min_items=1),
        )
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class TestFile:
    """A whole file."""

    __test__ = False

    description: str
    schema_version: Version
    tests: tuple[TestCase, ...]
    run_on: tuple[Requirement, ...] = ()
    create_entities: tuple[Entity, ...] = ()
    initial_data: tuple[CollectionData, ...] = ()

    @classmethod
    def read(cls, value: Any, path: str = "") -> TestFile:
        fields = Fields(value, path)
        fields.require("schemaVersion", "tests")
        fields.optional_document("_yamlAnchors")
        version = _version(fields, "schemaVersion")
        assert version is not None
        model = cls(
            description=fields.text("description"),
            schema_version=version,
            tests=fields.array("tests", TestCase.read, min_items=1),
            run_on=fields.array("runOnRequirements", Requirement.read, min_items=1),
            create_entities=fields.array("createEntities", read_entity, min_items=1),
            initial_data=fields.array("initialData", CollectionData.read, min_items=1),
        )
        fields.done()
        return model


def is_supported_schema(version: Version) -> bool:
    """Whether this runner may run files of that version ("Test Runner Support": same major, not newer)."""
    return version.major == SUPPORTED_SCHEMA.major and version <= SUPPORTED_SCHEMA


def parse_json(text: str) -> Any:
    """Read Extended JSON, relaxed or canonical, into BSON values."""
    return json_util.loads(text, json_options=_JSON)


def parse_document(value: Any) -> TestFile:
    """Build the model of a file that is already parsed.

    :raises SchemaError: it does not follow the format, or its schemaVersion is newer than this runner.
    """
    version = value.get("schemaVersion") if isinstance(value, Mapping) else None
    if isinstance(version, str):
        try:
            parsed = Version.parse(version)
        except ValueError as error:
            raise SchemaError("schemaVersion", str(error)) from None
        if not is_supported_schema(parsed):
            raise SchemaError(
                "schemaVersion", f"{version} is not among 1.0 to {SUPPORTED_SCHEMA}, which this runner runs"
            )
    return TestFile.read(value)


def load_file(path: Path) -> TestFile:
    """Read and check a test file."""
    return parse_document(paced(path.name, parse_json(path.read_text(encoding="utf-8"))))
