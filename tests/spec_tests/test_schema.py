"""The models of the unified test format: what they accept and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spec_tests.errors import SchemaError
from spec_tests.pace import FACTORS, paced
from spec_tests.schema import ClientEntity, Version, is_supported_schema, load_file, parse_document, parse_json
from tests.support.specs import check_count, find_spec_dir

_FORMAT = "unified-test-format/tests"


def _files(folder: str) -> list[Any]:
    source = find_spec_dir()
    paths = sorted((source / _FORMAT / folder).glob("*.json")) if source is not None else []
    return [pytest.param(path, id=path.stem) for path in paths]


_INVALID, _VALID_FAIL, _VALID_PASS = _files("invalid"), _files("valid-fail"), _files("valid-pass")


def test_the_meta_tests_are_all_there() -> None:
    check_count(_INVALID, 266)
    check_count(_VALID_FAIL, 20)
    check_count(_VALID_PASS, 34)


@pytest.mark.parametrize("path", _INVALID)
def test_an_invalid_file_is_refused_with_the_key_path(path: Path) -> None:
    with pytest.raises(SchemaError) as caught:
        load_file(path)
    whole_file = {"description-required", "schemaVersion-required", "tests-required"}
    assert bool(caught.value.path) is (path.stem not in whole_file)


@pytest.mark.parametrize("path", _VALID_PASS + _VALID_FAIL)
def test_a_valid_file_is_read(path: Path) -> None:
    if path.stem == "schemaVersion-unsupported":
        with pytest.raises(SchemaError, match="schemaVersion"):
            load_file(path)
        return
    file = load_file(path)
    assert file.tests
    assert is_supported_schema(file.schema_version)


def _file(**changes: Any) -> dict[str, Any]:
    file: dict[str, Any] = {
        "description": "d",
        "schemaVersion": "1.0",
        "tests": [{"description": "t", "operations": []}],
    }
    return {**file, **changes}


def _test(**changes: Any) -> dict[str, Any]:
    return _file(tests=[{"description": "t", "operations": [], **changes}])


def _spans(span: Any) -> dict[str, Any]:
    return _test(expectTracingMessages=[{"client": "c", "spans": [span]}])


@pytest.mark.parametrize(
    "document, path",
    [
        ([], ""),
        (_file(foo=1), ""),
        (_file(schemaVersion="2.0"), "schemaVersion"),
        (_file(schemaVersion="1.29"), "schemaVersion"),
        (_file(schemaVersion="1"), "schemaVersion"),
        (_file(runOnRequirements=[{"minServerVersion": "6"}]), "runOnRequirements[0].minServerVersion"),
        (_file(runOnRequirements=[{"serverParameters": {}}]), "runOnRequirements[0].serverParameters"),
        (
            _file(
                initialData=[
                    {"databaseName": "d", "collectionName": "c", "documents": [], "createOptions": {"writeConcern": {}}}
                ]
            ),
            "initialData[0].createOptions",
        ),
        (_test(expectError={}), "tests[0]"),
        (_test(expectEvents=[{"client": "c", "events": [{}]}]), "tests[0].expectEvents[0].events[0]"),
        (
            _test(expectEvents=[{"client": "c", "events": [{"commandFailedEvent": {"reply": {}}}]}]),
            "tests[0].expectEvents[0].events[0].commandFailedEvent",
        ),
        (_spans({"attributes": {}}), "tests[0].expectTracingMessages[0].spans[0]"),
        (_spans({"name": "n"}), "tests[0].expectTracingMessages[0].spans[0]"),
        (_spans({"name": "n", "attributes": 1}), "tests[0].expectTracingMessages[0].spans[0].attributes"),
        (
            _spans({"name": "n", "attributes": {}, "nested": []}),
            "tests[0].expectTracingMessages[0].spans[0].nested",
        ),
    ],
)
def test_what_the_format_does_not_have_is_refused_where_it_stands(document: Any, path: str) -> None:
    with pytest.raises(SchemaError) as caught:
        parse_document(document)
    assert caught.value.path == path


def test_booleans_are_no_integers_and_integers_no_booleans() -> None:
    for options in ({"awaitMinPoolSizeMS": True}, {"useMultipleMongoses": 1}):
        with pytest.raises(SchemaError):
            ClientEntity.read({"id": "c", **options}, "client")


def test_the_models_cannot_be_changed() -> None:
    file = parse_document(_file())
    with pytest.raises(AttributeError):
        file.description = "other"  # type: ignore[misc]  # that it is refused is the test


@pytest.mark.parametrize(
    "text, version",
    [("1.5", Version(1, 5, 0)), ("4.9.0-alpha4-271-g7d5cf02", Version(4, 9, 0)), ("6.0.5", Version(6, 0, 5))],
)
def test_a_server_version_is_its_first_three_numbers(text: str, version: Version) -> None:
    assert Version.of_server(text) == version


def test_versions_are_compared_number_by_number() -> None:
    assert Version.parse("3.6") < Version.parse("4.0.9") < Version.parse("4.0.10") < Version.parse("4.2.0")


@pytest.mark.parametrize("text", ["", "1.2.3.4", "a", "1.", ".1", "-1.0"])
def test_a_malformed_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="version"):
        Version.parse(text)


@pytest.mark.parametrize(
    "version, supported",
    [("1.0", True), ("1.28", True), ("1.28.1", False), ("1.29", False), ("2.0", False), ("0.1", False)],
)
def test_files_of_the_same_major_version_up_to_the_runners_own_are_run(version: str, supported: bool) -> None:
    assert is_supported_schema(Version.parse(version)) is supported


def test_extended_json_is_read_relaxed_and_canonical() -> None:
    assert parse_json('{"a": {"$numberLong": "1"}, "b": 1}') == {"a": 1, "b": 1}


def test_all_durations_of_a_file_with_short_time_limits_are_multiplied_by_one_factor() -> None:
    def document(factor: int) -> dict[str, Any]:
        data = {"failCommands": ["hello"], "blockConnection": True, "blockTimeMS": 1000 * factor}
        options = {"connectTimeoutMS": 750 * factor, "heartbeatFrequencyMS": 500 * factor, "retryWrites": False}
        return {
            "operations": [
                {"name": "wait", "arguments": {"ms": 2000 * factor}},
                {"name": "find", "arguments": {"filter": {"$where": f"sleep({2000 * factor}) || true"}}},
                {"arguments": {"mode": {"times": 4}, "data": data}},
            ],
            "createEntities": [{"client": {"id": "client", "uriOptions": options}}],
        }

    assert paced("hello-timeout.json", document(1)) == document(FACTORS["hello-timeout.json"]) != document(1)
    assert paced("find.json", document(1)) == document(1)


@pytest.mark.parametrize("name", FACTORS)
def test_files_that_are_run_at_a_pace_of_their_own_exist(name: str) -> None:
    source = find_spec_dir()
    assert source is None or list(source.glob(f"*/tests/**/{name}"))
