"""Connection strings, their options, credentials and concerns."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spec_tests.data.case import Case, DataCase, equal, listed, refused
from spec_tests.errors import Unsupported
from wiredrv.concerns import ReadConcern, WriteConcern
from wiredrv.errors import ConfigurationWarning
from wiredrv.options.settings import ClientSettings
from wiredrv.options.table import read_options
from wiredrv.options.uri import parse_client_settings, parse_uri

#: What this driver refuses by design wherever the data uses it, and why.
_REFUSED = {
    "GSSAPI": "the mechanism GSSAPI needs a library of the system's",
    "proxyHost": "traffic must not bypass a proxy unseen, and this driver speaks to none",
}
#: Data that contradicts the prose (auth, "Obtaining Credentials"; changelog of 2025-09-30) and other data of the same
#: file, which refuses AWS credentials in connection strings.
_CONTRADICTED = frozenset(
    {
        "should use username and password if specified (MONGODB-AWS)",
        "should use username, password and session token if specified (MONGODB-AWS)",
    }
)
_WIRE_NAMES = {"journal": "j", "wtimeoutMS": "wtimeout"}


def connection_string(tests: Path) -> Iterator[DataCase]:
    """The grammar and the values of options, before they are put together."""
    return listed(tests, "*.json", _check_grammar)


def uri_options(tests: Path) -> Iterator[DataCase]:
    """What the options mean, alone and together."""
    return listed(tests, "*.json", _check_uri_options)


def auth(tests: Path) -> Iterator[DataCase]:
    """The credentials of connection strings."""
    return listed(tests, "legacy/*.json", _check_credentials)


def concerns(tests: Path) -> Iterator[DataCase]:
    """Read and write concerns, in connection strings and as documents."""
    yield from listed(tests, "connection-string/*.json", _check_concern_string)
    yield from listed(tests, "document/*.json", _check_concern_document)


def _settings(uri: str) -> tuple[ClientSettings, int]:
    """The settings, and how many warnings the driver gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        settings = parse_client_settings(uri)
    return settings, sum(warning.category is ConfigurationWarning for warning in caught)


def _read(uri: str) -> tuple[Any, dict[str, Any], list[str]]:
    notes: list[str] = []
    string = parse_uri(uri)
    return string, read_options(string.options, notes.append), notes


def _refuse_by_design(uri: str) -> None:
    """Check that the driver refuses what it does not support by design, with a reason; then raise Unsupported."""
    for word, why in _REFUSED.items():
        if word in uri:
            refused("uri", lambda: _settings(uri), "this driver does not")
            raise Unsupported(f"{word} (refused by design)", why)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _check_options(values: Mapping[str, Any], expected: Mapping[str, Any] | None) -> None:
    found = {name.lower(): _plain(value) for name, value in values.items()}
    for name, value in (expected or {}).items():
        equal(f"options.{name}", found.get(name.lower()), value)


def _check_grammar(case: Case) -> None:
    if not case["valid"]:
        refused("valid", lambda: parse_uri(case["uri"]))
        return
    string, values, notes = _read(case["uri"])
    equal("warning", bool(notes), case["warning"])
    hosts = case["hosts"]
    if hosts is not None:
        equal("hosts", len(string.hosts), len(hosts))
        for number, (host, expected) in enumerate(zip(string.hosts, hosts, strict=True)):
            equal(f"hosts[{number}].host", host.host, expected["host"])
            if expected["port"] is not None:
                equal(f"hosts[{number}].port", host.port, expected["port"])
    if case["auth"]:
        equal("auth.username", string.username, case["auth"]["username"])
        equal("auth.password", string.password, case["auth"]["password"])
        equal("auth.db", string.database, case["auth"]["db"])
    _check_options(values, case["options"])


def _check_uri_options(case: Case) -> None:
    uri = case["uri"]
    if not case["valid"]:
        refused("valid", lambda: _settings(uri))
        return
    _, values, notes = _read(uri)
    equal("warning", bool(notes), bool(case["warning"]))
    _check_options(values, case["options"])
    _refuse_by_design(uri)
    _, warned = _settings(uri)
    equal("warnings", warned, len(notes))


def _check_credentials(case: Case) -> None:
    uri = case["uri"]
    if not case["valid"]:
        refused("valid", lambda: _settings(uri))
        return
    _refuse_by_design(uri)
    if case["description"] in _CONTRADICTED:
        refused("valid", lambda: _settings(uri), "takes no user name, password or AWS_SESSION_TOKEN")
        raise Unsupported(
            "AWS credentials in the connection string", "the specification's prose refuses them since 2025"
        )
    credentials = _settings(uri)[0].connection.credentials
    expected = case["credential"]
    if expected is None or credentials is None:
        equal("credential", credentials, expected)
        return
    for name in ("username", "password", "source", "mechanism"):
        equal(f"credential.{name}", getattr(credentials, name), expected[name])
    # Others may be there too.
    wanted = expected["mechanism_properties"] or {}
    found = {name: credentials.properties.get(name) for name in wanted}
    equal("credential.mechanism_properties", found, wanted)


def _check_concern_string(case: Case) -> None:
    if not case["valid"] and case["warning"] is False:
        refused("valid", lambda: _settings(case["uri"]))
        return
    settings, warned = _settings(case["uri"])
    # A value out of range is to be refused. As everywhere in a connection string, that is a warning, and the value
    # is ignored (uri-options has the same case as a warning, and these cases leave open which of the two it is).
    equal("valid", not warned, case["valid"])
    _check_concern("readConcern", settings.read_concern.document, case.get("readConcern"))
    _check_concern("writeConcern", settings.write_concern.document, case.get("writeConcern"))


def _check_concern(path: str, document: Mapping[str, Any], expected: Mapping[str, Any] | None) -> None:
    equal(path, document, {_WIRE_NAMES.get(name, name): value for name, value in (expected or {}).items()})


def _concern(case: Case) -> ReadConcern | WriteConcern:
    if "readConcern" in case:
        return ReadConcern(case["readConcern"].get("level"))
    given = case["writeConcern"]
    return WriteConcern(given.get("w"), given.get("wtimeoutMS"), given.get("journal"))


def _check_concern_document(case: Case) -> None:
    if not case["valid"]:
        refused("valid", lambda: _concern(case))
        return
    concern = _concern(case)
    equal("document", concern.document, case.get("readConcernDocument", case.get("writeConcernDocument")))
    equal("isServerDefault", concern.is_server_default, case["isServerDefault"])
    if isinstance(concern, WriteConcern):
        equal("isAcknowledged", concern.acknowledged, case["isAcknowledged"])
