"""The specifications' own cases for connection strings: grammar, options, credentials, concerns."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.specs import check_count, load
from wiredrv.client.options import read_pairs
from wiredrv.client.settings import ClientSettings
from wiredrv.client.uri import parse_client_settings, parse_uri
from wiredrv.concerns import ReadConcern, WriteConcern
from wiredrv.errors import ConfigurationError, ConfigurationWarning

Case = dict[str, Any]


def _cases(*patterns: str) -> list[tuple[str, Case]]:
    return [(file.name, case) for file in load(*patterns) for case in file.data["tests"]]


def _ids(cases: list[tuple[str, Case]]) -> list[str]:
    return [f"{name.rpartition('/')[2]}:{case['description']}" for name, case in cases]


STRINGS = _cases("connection-string/tests/*.json")
OPTIONS = _cases("uri-options/tests/*.json")
AUTH = _cases("auth/tests/legacy/*.json")
CONCERN_STRINGS = _cases("read-write-concern/tests/connection-string/*.json")
CONCERN_DOCUMENTS = _cases("read-write-concern/tests/document/*.json")

#: What this driver refuses by design, wherever the data uses it.
REFUSED = ("GSSAPI", "MONGODB-OIDC", "MONGODB-AWS", "proxyHost")


@pytest.mark.parametrize(
    "cases, expected",
    [(STRINGS, 98), (OPTIONS, 159), (AUTH, 67), (CONCERN_STRINGS, 18), (CONCERN_DOCUMENTS, 20)],
    ids=["connection-string", "uri-options", "auth", "concern strings", "concern documents"],
)
def test_all_cases_were_found(cases: list[Any], expected: int) -> None:
    check_count(cases, expected)


def _read(uri: str) -> tuple[Any, dict[str, Any], list[str]]:
    """Grammar and option values, without putting them together."""
    notes: list[str] = []
    string = parse_uri(uri)
    return string, read_pairs(string.options, notes.append), notes


def _settings(uri: str) -> tuple[ClientSettings, list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        settings = parse_client_settings(uri)
    return settings, [warning for warning in caught if warning.category is ConfigurationWarning]


def _is_refused(uri: str) -> bool:
    return any(word in uri for word in REFUSED)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _check_options(values: Mapping[str, Any], expected: Mapping[str, Any] | None) -> None:
    found = {name.lower(): _plain(value) for name, value in values.items()}
    for name, value in (expected or {}).items():
        assert found[name.lower()] == value


@pytest.mark.parametrize("name, case", STRINGS, ids=_ids(STRINGS))
def test_connection_string(name: str, case: Case) -> None:
    if not case["valid"]:
        with pytest.raises(ConfigurationError):
            parse_uri(case["uri"])
        return
    string, values, notes = _read(case["uri"])
    assert bool(notes) is case["warning"], notes
    for host, expected in zip(string.hosts, case["hosts"] or string.hosts, strict=True):
        if isinstance(expected, dict):
            assert host.host == expected["host"]
            assert expected["port"] in (None, host.port)
    if case["auth"]:
        assert (string.username, string.password) == (case["auth"]["username"], case["auth"]["password"])
        assert string.database == case["auth"]["db"]
    _check_options(values, case["options"])


@pytest.mark.filterwarnings("ignore::wiredrv.errors.ConfigurationWarning")
@pytest.mark.parametrize("name, case", OPTIONS, ids=_ids(OPTIONS))
def test_uri_options(name: str, case: Case) -> None:
    uri = case["uri"]
    if not case["valid"]:
        with pytest.raises(ConfigurationError):
            parse_client_settings(uri)
        return
    _, values, notes = _read(uri)
    assert bool(notes) is bool(case["warning"]), notes
    _check_options(values, case["options"])
    if _is_refused(uri):
        with pytest.raises(ConfigurationError, match="this driver does not"):
            parse_client_settings(uri)
        return
    _, caught = _settings(uri)
    assert len(caught) == len(notes)


@pytest.mark.parametrize("name, case", AUTH, ids=_ids(AUTH))
def test_credentials(name: str, case: Case) -> None:
    uri = case["uri"]
    if not case["valid"] or _is_refused(uri):
        message = "this driver does not speak" if case["valid"] else None
        with pytest.raises(ConfigurationError, match=message):
            parse_client_settings(uri)
        return
    settings, _ = _settings(uri)
    credentials, expected = settings.connection.credentials, case["credential"]
    if expected is None:
        assert credentials is None
        return
    assert credentials is not None
    assert (credentials.username, credentials.password) == (expected["username"], expected["password"])
    assert (credentials.source, credentials.mechanism) == (expected["source"], expected["mechanism"])
    assert dict(credentials.mechanism_properties) == (expected["mechanism_properties"] or {})


@pytest.mark.parametrize("name, case", CONCERN_STRINGS, ids=_ids(CONCERN_STRINGS))
def test_concern_in_a_connection_string(name: str, case: Case) -> None:
    if not case["valid"] and case["warning"] is False:
        with pytest.raises(ConfigurationError):
            parse_client_settings(case["uri"])
        return
    settings, caught = _settings(case["uri"])
    # A value out of range is to be refused. As everywhere in a connection string, that is a warning, and the value
    # is ignored (uri-options has the same case as a warning, and these cases leave open which of both it is).
    assert bool(caught) is not case["valid"]
    _check_concern(settings.read_concern.document, case.get("readConcern"))
    _check_concern(settings.write_concern.document, case.get("writeConcern"))


_WIRE_NAMES = {"journal": "j", "wtimeoutMS": "wtimeout"}


def _check_concern(document: Mapping[str, Any], expected: Mapping[str, Any] | None) -> None:
    assert document == {_WIRE_NAMES.get(name, name): value for name, value in (expected or {}).items()}


@pytest.mark.parametrize("name, case", CONCERN_DOCUMENTS, ids=_ids(CONCERN_DOCUMENTS))
def test_concern_document(name: str, case: Case) -> None:
    def build() -> ReadConcern | WriteConcern:
        if "readConcern" in case:
            return ReadConcern(case["readConcern"].get("level"))
        given = case["writeConcern"]
        return WriteConcern(given.get("w"), given.get("wtimeoutMS"), given.get("journal"))

    if not case["valid"]:
        with pytest.raises(ConfigurationError):
            build()
        return
    concern = build()
    expected = case.get("readConcernDocument", case.get("writeConcernDocument"))
    assert concern.document == expected
    assert concern.is_server_default is case["isServerDefault"]
    if isinstance(concern, WriteConcern):
        assert concern.acknowledged is case["isAcknowledged"]
