"""The specification's own cases for mongodb+srv, with the answers of DNS handed to the pure functions.

Whether the hosts are then found (``hosts``, ``ping``) needs servers, and is tried elsewhere.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.dns_records import DOMAIN, SRV_RECORDS, TXT_RECORDS
from tests.support.specs import SpecFile, check_count, load
from wiredrv.client.settings import ClientSettings
from wiredrv.client.uri import parse_client_settings, settings_with_srv
from wiredrv.errors import ConfigurationError

CASES = load("initial-dns-seedlist-discovery/tests/*/*.json")


def _resolve(uri: str, **keywords: Any) -> ClientSettings:
    settings = parse_client_settings(uri, keywords)
    topology = settings.topology
    assert topology.srv_host is not None
    name = topology.srv_host.removesuffix(f".{DOMAIN}")
    txt = ["".join(strings) for strings in TXT_RECORDS.get(name, ())]
    return settings_with_srv(settings, SRV_RECORDS.get(f"_{topology.srv_service_name}._tcp.{name}", ()), txt)


def _options(settings: ClientSettings) -> dict[str, Any]:
    topology, credentials = settings.topology, settings.connection.credentials
    return {
        "replicaSet": topology.set_name,
        "ssl": settings.net.tls is not None,
        "directConnection": topology.direct_connection,
        "loadBalanced": topology.load_balanced,
        "srvMaxHosts": topology.srv_max_hosts,
        "srvServiceName": topology.srv_service_name,
        "authSource": credentials and credentials.source,
    }


def _parsed(settings: ClientSettings) -> dict[str, Any]:
    credentials, database = settings.connection.credentials, settings.default_database
    return {
        "user": credentials and credentials.username,
        "password": credentials and credentials.password,
        "db": database,
        "defaultDatabase": database,
        "auth_database": database,
    }


def test_all_cases_were_found() -> None:
    check_count(CASES, 53)


@pytest.mark.parametrize("file", CASES, ids=[file.name.partition("/tests/")[2] for file in CASES])
def test_specification(file: SpecFile) -> None:
    case = file.data
    if case.get("error"):
        with pytest.raises(ConfigurationError):
            _resolve(case["uri"])
        return
    settings = _resolve(case["uri"])
    seeds = {str(seed) for seed in settings.topology.seeds}
    if "seeds" in case:
        assert seeds == set(case["seeds"])
    if "numSeeds" in case:
        assert len(seeds) == case["numSeeds"]
    expected = case.get("options") or {}
    # authSource has a meaning for somebody who authenticates only.
    keywords = {"username": "u", "password": "p"} if "authSource" in expected else {}
    found = _options(_resolve(case["uri"], **keywords))
    assert {name: found[name] for name in expected} == expected
    parsed = _parsed(settings)
    for name, value in (case.get("parsed_options") or {}).items():
        assert parsed[name] == value
