"""Seed lists from DNS: clients are opened against a DNS server on loopback that serves the records of the data.

Whether the client then finds the hosts (``hosts``, ``ping``) cannot be tested without servers, and is tested elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from spec_tests.data.case import Case, DataCase, equal, files
from spec_tests.errors import SpecFailure
from tests.support.dns_records import DOMAIN, SRV_RECORDS, TXT_RECORDS
from tests.support.dns_server import FakeDNSServer
from wiredrv import Client
from wiredrv.errors import ConfigurationError
from wiredrv.net.resolver import Resolver
from wiredrv.options.settings import ClientSettings


def seedlists(tests: Path) -> Iterator[DataCase]:
    """The cases of replica sets, sharded clusters and load balancers."""
    for name, case in files(tests, "*/*.json"):
        yield DataCase(name, case.get("comment") or name, partial(_check, case))


async def _opened(uri: str, **options: Any) -> ClientSettings:
    """The settings that a client uses once it is open."""
    srv = {f"{name}.{DOMAIN}": targets for name, targets in SRV_RECORDS.items()}
    txt = {f"{name}.{DOMAIN}": records for name, records in TXT_RECORDS.items()}
    with FakeDNSServer(srv, txt) as dns:
        client = Client(uri, **options)
        client._core._resolver = Resolver(dns.address)
        async with client:
            return client._core._resolved


async def _check(case: Case) -> None:
    if case.get("error"):
        try:
            settings = await _opened(case["uri"])
        except ConfigurationError:
            return
        raise SpecFailure("expected an error", "error", True, settings)
    expected = case.get("options") or {}
    # authSource has a meaning only together with a user.
    credentials = {"username": "u", "password": "p"} if "authSource" in expected else {}
    settings = await _opened(case["uri"], **credentials)
    seeds = {str(seed) for seed in settings.topology.seeds}
    if "seeds" in case:
        equal("seeds", seeds, set(case["seeds"]))
    if "numSeeds" in case:
        equal("numSeeds", len(seeds), case["numSeeds"])
    found = _options(settings)
    for name, value in expected.items():
        equal(f"options.{name}", found[name], value)
    if not credentials:
        parsed = _parsed(settings)
        for name, value in (case.get("parsed_options") or {}).items():
            equal(f"parsed_options.{name}", parsed[name], value)


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
