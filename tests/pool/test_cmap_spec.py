"""The specification's own cases for connection pools (cmap-format), with connections to a real server.

``spec_tests.data.cmap`` interprets them and, in the runner, runs them with stand-ins for connections.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from spec_tests.data.cmap import run_case
from tests.support.specs import SpecFile, check_count, load
from wiredrv.connection.connect import establish
from wiredrv.connection.connection import Connection
from wiredrv.connection.settings import ConnectionSettings
from wiredrv.local import Standalone
from wiredrv.net.dial import Dialer
from wiredrv.net.settings import NetSettings
from wiredrv.types import Address

pytestmark = pytest.mark.anyio

FILES = load("connection-monitoring-and-pooling/tests/cmap-format/*.json")


@asynccontextmanager
async def _fail_point(address: Address, command: dict[str, Any] | None) -> AsyncIterator[None]:
    if command is None:
        yield
        return
    async with wiredrv.connect(str(address)) as connection:
        await connection.command("admin", command)
        try:
            yield
        finally:
            with anyio.move_on_after(5, shield=True):
                await connection.command("admin", {"configureFailPoint": command["configureFailPoint"], "mode": "off"})


def test_all_cases_were_found() -> None:
    check_count(FILES, 33)


@pytest.mark.parametrize("file", FILES, ids=[file.name.rpartition("/")[2] for file in FILES])
async def test_specification(file: SpecFile, standalone: Standalone) -> None:
    address = standalone.primary().address
    settings = ConnectionSettings(app_name=file.data.get("poolOptions", {}).get("appName"))
    dialer = Dialer(NetSettings())

    async def connect(number: int, generation: int, scope: object) -> Connection:
        return await establish(address, dialer, settings, connection_id=number, generation=generation)

    async with _fail_point(address, file.data.get("failPoint")):
        await run_case(file.data, address, connect)
