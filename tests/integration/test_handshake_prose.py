"""The prose tests of the mongodb-handshake specification (mongodb-handshake/tests/README.md), by number.

The handshakes are recorded by a proxy in front of a real server. The prose lets drivers whose library name cannot be
unset leave out case 1 of the metadata tests 7 and 8, as is done here.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.fake_server import FakeServer, with_sessions
from tests.support.proxy import RecordingProxy
from wiredrv import DriverInfo
from wiredrv.local import Standalone

pytestmark = pytest.mark.anyio

_VARIABLES = (
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "FUNCTIONS_WORKER_RUNTIME",
    "K_SERVICE",
    "FUNCTION_NAME",
    "FUNCTION_MEMORY_MB",
    "FUNCTION_TIMEOUT_SEC",
    "FUNCTION_REGION",
    "VERCEL",
    "VERCEL_REGION",
    "KUBERNETES_SERVICE_HOST",
)
_LAMBDA = "AWS_Lambda_java8"

#: number, environment, what must be in ``env`` (None: no FaaS platform may be named).
ENVIRONMENTS: list[tuple[int, dict[str, str], dict[str, Any] | None]] = [
    (
        1,
        {"AWS_EXECUTION_ENV": _LAMBDA, "AWS_REGION": "us-east-2", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024"},
        {"name": "aws.lambda", "region": "us-east-2", "memory_mb": 1024},
    ),
    (2, {"FUNCTIONS_WORKER_RUNTIME": "node"}, {"name": "azure.func"}),
    (
        3,
        {
            "K_SERVICE": "servicename",
            "FUNCTION_MEMORY_MB": "1024",
            "FUNCTION_TIMEOUT_SEC": "60",
            "FUNCTION_REGION": "us-central1",
        },
        {"name": "gcp.func", "memory_mb": 1024, "timeout_sec": 60, "region": "us-central1"},
    ),
    (4, {"VERCEL": "1", "VERCEL_REGION": "cdg1"}, {"name": "vercel", "region": "cdg1"}),
    (5, {"AWS_EXECUTION_ENV": _LAMBDA, "FUNCTIONS_WORKER_RUNTIME": "node"}, None),
    (6, {"AWS_EXECUTION_ENV": _LAMBDA, "AWS_REGION": "a" * 512}, {"name": "aws.lambda"}),
    (
        7,
        {"AWS_EXECUTION_ENV": _LAMBDA, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "big"},
        {"name": "aws.lambda"},
    ),
    (8, {"AWS_EXECUTION_ENV": "EC2"}, None),
    (
        9,
        {
            "AWS_EXECUTION_ENV": _LAMBDA,
            "AWS_REGION": "us-east-2",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "KUBERNETES_SERVICE_HOST": "1",
        },
        {"name": "aws.lambda", "region": "us-east-2", "memory_mb": 1024},
    ),
]


@pytest.mark.parametrize("number, environment, expected", ENVIRONMENTS, ids=[str(row[0]) for row in ENVIRONMENTS])
async def test_1_the_environment_is_captured(
    standalone: Standalone,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    environment: dict[str, str],
    expected: dict[str, Any] | None,
) -> None:
    """Handshake, prose test 1, with its nine environments."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setitem(os.environ, name, value)
    with RecordingProxy(standalone.members[0].address) as proxy:
        async with wiredrv.Client(proxy.uri) as client:
            assert (await client.admin.command("ping"))["ok"] == 1
        env = dict(proxy.handshake_of_last("ping")["client"].get("env", {}))
    container = env.pop("container", {})
    assert env == (expected or {})
    assert (container.get("orchestrator") == "kubernetes") == (number == 9)


async def test_2_an_unknown_mechanism_of_authentication_is_no_error() -> None:
    """Handshake, prose test 2; a fake stands in for a future server."""
    with FakeServer({**with_sessions(), "saslSupportedMechs": ["SCRAM-SHA-256", "QUANTUM-HANDSHAKE"]}) as server:
        async with wiredrv.connect(str(server.address)) as connection:
            assert (await connection.command("admin", {"ping": 1}))["ok"] == 1


# --- client metadata update prose tests -------------------------------------------------------------------------------

_LIBRARY = DriverInfo("library", "1.2", "Library Platform")


class _Pinger:
    """A client that opens a new connection, and so performs a handshake, for every ping."""

    def __init__(self, client: wiredrv.Client, proxy: RecordingProxy) -> None:
        self.client = client
        self._proxy = proxy
        self._connections: set[int] = set()

    async def ping(self) -> Mapping[str, Any]:
        """Ping on a new connection and return the ``client`` document of its handshake."""
        await anyio.sleep(0.005)  # the connection idles for longer than maxIdleTimeMS
        assert (await self.client.admin.command("ping"))["ok"] == 1
        connection = self._proxy.connection_of_last("ping")
        assert connection not in self._connections
        self._connections.add(connection)
        document: Mapping[str, Any] = self._proxy.handshake_of_last("ping")["client"]
        return document


@asynccontextmanager
async def _pinger(standalone: Standalone, **options: Any) -> AsyncIterator[_Pinger]:
    with RecordingProxy(standalone.members[0].address) as proxy:
        async with wiredrv.Client(proxy.uri, maxIdleTimeMS=1, **options) as client:
            yield _Pinger(client, proxy)


def _added(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """The name, version and platform without the driver's own parts."""
    driver = document["driver"]
    parts = driver["name"], driver["version"], document["platform"]
    name, version, platform = ("|".join(part.split("|")[1:]) for part in parts)
    return name, version, platform


def _rest(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in ("driver", "platform")}


def _joined(first: str | None, second: str | None) -> str:
    return "|".join(part for part in (first, second) if part)


SUCCESSIVE = [
    DriverInfo("framework", "2.0", "Framework Platform"),
    DriverInfo("framework", "2.0"),
    DriverInfo("framework", None, "Framework Platform"),
    DriverInfo("framework"),
]


@pytest.mark.parametrize("info", SUCCESSIVE, ids=range(1, 5))
async def test_metadata_1_what_is_appended_later_is_sent(standalone: Standalone, info: DriverInfo) -> None:
    """Handshake, client metadata update, prose test 1."""
    async with _pinger(standalone, driver=_LIBRARY) as pinger:
        initial = await pinger.ping()
        assert _added(initial) == ("library", "1.2", "Library Platform")
        pinger.client.append_metadata(info)
        updated = await pinger.ping()
        assert _added(updated) == (
            _joined("library", info.name),
            _joined("1.2", info.version),
            _joined("Library Platform", info.platform),
        )
        assert _rest(updated) == _rest(initial)


@pytest.mark.parametrize("info", SUCCESSIVE, ids=range(1, 5))
async def test_metadata_2_successive_updates_are_sent(standalone: Standalone, info: DriverInfo) -> None:
    """Handshake, client metadata update, prose test 2."""
    async with _pinger(standalone) as pinger:
        pinger.client.append_metadata(_LIBRARY)
        initial = await pinger.ping()
        pinger.client.append_metadata(info)
        updated = await pinger.ping()
        assert _added(updated) == (
            _joined("library", info.name),
            _joined("1.2", info.version),
            _joined("Library Platform", info.platform),
        )
        assert _rest(updated) == _rest(initial)


DUPLICATES = [
    _LIBRARY,
    DriverInfo("framework", "1.2", "Library Platform"),
    DriverInfo("library", "2.0", "Library Platform"),
    DriverInfo("library", "1.2", "Framework Platform"),
    DriverInfo("framework", "2.0", "Library Platform"),
    DriverInfo("framework", "1.2", "Framework Platform"),
    DriverInfo("library", "2.0", "Framework Platform"),
]


@pytest.mark.parametrize("info", DUPLICATES, ids=range(1, 8))
async def test_metadata_3_only_what_is_equal_in_all_parts_is_left_out(standalone: Standalone, info: DriverInfo) -> None:
    """Handshake, client metadata update, prose test 3."""
    async with _pinger(standalone) as pinger:
        pinger.client.append_metadata(_LIBRARY)
        initial = await pinger.ping()
        pinger.client.append_metadata(DriverInfo(info.name, info.version, info.platform))
        updated = await pinger.ping()
        if info == _LIBRARY:
            assert _added(updated) == ("library", "1.2", "Library Platform")
        else:
            assert _added(updated) == (
                f"library|{info.name}",
                f"1.2|{info.version}",
                f"Library Platform|{info.platform}",
            )
        assert _rest(updated) == _rest(initial)


async def test_metadata_4_a_duplicate_is_found_behind_another(standalone: Standalone) -> None:
    """Handshake, client metadata update, prose test 4."""
    async with _pinger(standalone) as pinger:
        pinger.client.append_metadata(_LIBRARY)
        await pinger.ping()
        pinger.client.append_metadata(DriverInfo("framework", "2.0", "Framework Platform"))
        before = await pinger.ping()
        pinger.client.append_metadata(DriverInfo("library", "1.2", "Library Platform"))
        assert await pinger.ping() == before


async def test_metadata_5_a_duplicate_of_the_first_is_left_out(standalone: Standalone) -> None:
    """Handshake, client metadata update, prose test 5."""
    async with _pinger(standalone, driver=_LIBRARY) as pinger:
        before = await pinger.ping()
        pinger.client.append_metadata(DriverInfo("library", "1.2", "Library Platform"))
        assert await pinger.ping() == before


async def test_metadata_6_a_duplicate_of_the_first_is_found_behind_another(standalone: Standalone) -> None:
    """Handshake, client metadata update, prose test 6."""
    async with _pinger(standalone, driver=_LIBRARY) as pinger:
        await pinger.ping()
        pinger.client.append_metadata(DriverInfo("framework", "1.2", "Library Platform"))
        before = await pinger.ping()
        assert _added(before)[0] == "library|framework"
        pinger.client.append_metadata(DriverInfo("library", "1.2", "Library Platform"))
        assert await pinger.ping() == before


EMPTY = [
    (DriverInfo("library", None, "Library Platform"), DriverInfo("library", "", "Library Platform")),
    (DriverInfo("library", "1.2", None), DriverInfo("library", "1.2", "")),
]


@pytest.mark.parametrize("info, same", EMPTY, ids=[2, 3])
async def test_metadata_7_an_empty_string_counts_as_unset(
    standalone: Standalone, info: DriverInfo, same: DriverInfo
) -> None:
    """Handshake, client metadata update, prose test 7."""
    async with _pinger(standalone) as pinger:
        pinger.client.append_metadata(info)
        before = await pinger.ping()
        pinger.client.append_metadata(same)
        assert await pinger.ping() == before


@pytest.mark.parametrize("info, same", EMPTY, ids=[2, 3])
async def test_metadata_8_an_empty_string_counts_as_unset_beside_the_first(
    standalone: Standalone, info: DriverInfo, same: DriverInfo
) -> None:
    """Handshake, client metadata update, prose test 8."""
    async with _pinger(standalone, driver=info) as pinger:
        before = await pinger.ping()
        pinger.client.append_metadata(same)
        assert await pinger.ping() == before


async def test_metadata_9_every_handshake_names_the_version_of_backpressure(standalone: Standalone) -> None:
    """Handshake, client metadata update, prose test 9: also in monitors' handshakes."""
    with RecordingProxy(standalone.members[0].address) as proxy:
        async with wiredrv.Client(proxy.uri) as client:
            await client.admin.command("ping")
        handshakes = [command for command in proxy.sent if "client" in command]
    assert len(handshakes) >= 2
    assert [handshake["backpressure"] for handshake in handshakes] == ["2"] * len(handshakes)
