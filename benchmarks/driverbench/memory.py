"""Memory: what an open client, an idle connection and 100,000 documents in a list add to a process.

``python -m benchmarks.driverbench.memory DRIVER URI`` measures one driver, in a fresh process, and prints JSON. It
reads the resident memory of the process before and after; so it runs on Linux.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio

from benchmarks.driverbench.drivers import DRIVERS, Document

#: Those that are measured: their documents are Python objects that Python's memory holds.
MEASURED = ("wiredrv", "pymongo", "motor")
_CLIENTS = 20
_CONNECTIONS = 200
#: How many milliseconds the commands take that make a pool grow.
_WAITS = (300, 1000, 3000)
_DOCUMENTS = 100_000
_PAGE = 4096


@dataclass(frozen=True)
class Footprint:
    """Bytes for each."""

    driver: str
    client: float
    connection: float
    documents: float


def footprints(drivers: Sequence[str], uri: str) -> list[Footprint]:
    """The footprint of each driver that is measured and installed."""
    found = []
    for driver in drivers:
        if driver in MEASURED:
            command = [sys.executable, "-m", __name__, driver, uri]
            finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
            if finished.returncode == 0:
                found.append(Footprint(**json.loads(finished.stdout)))
            else:
                print(f"memory of {driver} was not measured: {finished.stderr.splitlines()[-1]}", file=sys.stderr)
    return found


def resident() -> int:
    """The bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


async def measure(driver: str, uri: str) -> Footprint:
    """Measure one driver in this process."""
    async with AsyncExitStack() as stack:
        # The first client loads modules and fills caches; it is not counted.
        await _opened(stack, driver, uri)
        before = resident()
        for _ in range(_CLIENTS):
            await _opened(stack, driver, uri)
        clients = resident()
        many = await _opened(stack, driver, f"{uri}&maxPoolSize={_CONNECTIONS}")
        single = resident()
        added = await fill_pool(many)
        connections = resident()
        collection: Any = many.collection
        await collection.drop()
        await collection.insert_many([_document(number) for number in range(_DOCUMENTS)])
        gc.collect()
        empty = resident()
        documents = await collection.find().to_list(None)
        full = resident()
        assert len(documents) == _DOCUMENTS
        await collection.drop()
    return Footprint(driver, (clients - before) / _CLIENTS, (connections - single) / added, full - empty)


async def _opened(stack: AsyncExitStack, driver: str, uri: str) -> Any:
    client: Any = await stack.enter_async_context(DRIVERS[driver].open(uri))
    await client.run_command({"ping": 1})
    return client


async def fill_pool(client: Any) -> int:
    """Make the pool grow to all of its connections: as many commands that the server answers after a moment.

    On a busy machine the first of them end before the last has its connection, and leave theirs to the others; then
    they are sent again and take longer.

    :returns: how many connections were added, according to the server.
    :raises RuntimeError: the pool did not grow to nearly all.
    """
    hello = await client.run_command({"hello": 1})
    before = await _connections(client)
    added = 0
    for milliseconds in _WAITS:
        # The server waits until its topology changes, and does nothing else meanwhile.
        wait = {"hello": 1, "topologyVersion": hello["topologyVersion"], "maxAwaitTimeMS": milliseconds}
        async with anyio.create_task_group() as tasks:
            for _ in range(_CONNECTIONS):
                tasks.start_soon(client.run_command, wait)
        added = await _connections(client) - before
        # The client had one connection before.
        if added >= 0.95 * (_CONNECTIONS - 1):
            return added
    raise RuntimeError(f"the pool has {added + 1} connections, and {_CONNECTIONS} were wanted")


async def _connections(client: Any) -> int:
    """How many connections the server has."""
    status = await client.run_command({"serverStatus": 1})
    return int(status["connections"]["current"])


def _document(number: int) -> Document:
    return {"_id": number, "name": f"name {number}", "size": number / 7, "tags": ["blue", "small"], "stock": number % 9}


if __name__ == "__main__":
    print(json.dumps(asdict(anyio.run(measure, sys.argv[1], sys.argv[2]))))
