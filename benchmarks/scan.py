"""``python -m benchmarks.scan``: how fast a collection is read at a snapshot, by one reader and by several.

The contenders take turns, and each round another one begins. Every pass reads all documents and checks their number and
the sum of a field. With ``--delay-ms`` the servers (which need test commands) wait that long before they answer each
find and getMore, as servers do that are on other machines, or read from disks: then neither the cores of this machine
nor its loopback are the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import wiredrv
from wiredrv import ReadPreference
from wiredrv.local import ReplicaSet

DATABASE = "wiredrv_bench"
_SIZE = 300


@dataclass(frozen=True)
class Contender:
    """A way to read the collection; no readers is a plain find."""

    name: str
    readers: int
    preference: ReadPreference
    ordered: bool = False


CONTENDERS = (
    Contender("find, primary", 0, ReadPreference.PRIMARY),
    Contender("1 reader, primary", 1, ReadPreference.PRIMARY),
    Contender("4 readers, primary", 4, ReadPreference.PRIMARY),
    Contender("1 reader, nearest", 1, ReadPreference.NEAREST),
    Contender("4 readers, nearest", 4, ReadPreference.NEAREST),
    Contender("8 readers, nearest", 8, ReadPreference.NEAREST),
    Contender("4 readers, nearest, ordered", 4, ReadPreference.NEAREST, ordered=True),
)


@dataclass(frozen=True)
class Pass:
    """One reading of the collection: seconds, and microseconds of this process's CPU time for each document."""

    seconds: float
    cpu: float


async def fill(client: wiredrv.Client, documents: int) -> None:
    """Make the collection, on all members; with ``j`` a majority has it as of the next snapshot too."""
    collection = client[DATABASE].get_collection("scanned", write_concern=wiredrv.WriteConcern(w=3, j=True))
    await collection.drop()
    for start in range(0, documents, 10_000):
        stop = min(start + 10_000, documents)
        await collection.insert_many([{"_id": n, "n": n, "text": "x" * _SIZE} for n in range(start, stop)])


async def measure(client: wiredrv.Client, contender: Contender, documents: int) -> Pass:
    """Read everything once.

    :raises AssertionError: it was not everything.
    """
    collection = client[DATABASE].get_collection("scanned", read_preference=contender.preference)
    count = total = 0
    started, cpu = time.perf_counter(), time.process_time()
    if contender.readers:
        async with client.snapshot() as snap:
            async for batch in snap.scan(collection, readers=contender.readers, ordered=contender.ordered):
                count += len(batch)
                total += sum(document["n"] for document in batch)
    else:
        async for batch in collection.find({}, batch_size=3000).batches():
            count += len(batch)
            total += sum(document["n"] for document in batch)
    seconds = time.perf_counter() - started
    assert (count, total) == (documents, documents * (documents - 1) // 2), contender
    return Pass(seconds, (time.process_time() - cpu) / documents * 1e6)


@asynccontextmanager
async def delayed(client: wiredrv.Client, milliseconds: int) -> AsyncIterator[None]:
    """Have every member wait before it answers the commands of a scan."""
    if not milliseconds:
        yield
        return
    commands = ["find", "getMore", "aggregate"]
    data = {"failCommands": commands, "blockConnection": True, "blockTimeMS": milliseconds, "appName": "scan"}
    members = [wiredrv.Address(*node) for node in client.topology.nodes]

    async def set_up(point: dict[str, object]) -> None:
        for member in members:
            async with wiredrv.connect(str(member)) as connection:
                await connection.command("admin", {"configureFailPoint": "failCommand", **point})

    await set_up({"mode": "alwaysOn", "data": data})
    try:
        yield
    finally:
        await set_up({"mode": "off"})


async def run(uri: str, documents: int, rounds: int, delay: int) -> None:
    """Measure, and print a table."""
    async with wiredrv.Client(uri, appName="scan") as client:
        await fill(client, documents)
        passes: dict[Contender, list[Pass]] = {contender: [] for contender in CONTENDERS}
        async with delayed(client, delay):
            for contender in CONTENDERS:
                await measure(client, contender, documents)  # caches and pools
            for number in range(rounds):
                start = number % len(CONTENDERS)
                for contender in (*CONTENDERS[start:], *CONTENDERS[:start]):
                    passes[contender].append(await measure(client, contender, documents))
        await client.drop_database(DATABASE)
    base = [found.seconds for found in passes[CONTENDERS[1]]]
    print(f"{documents:,} documents of about {_SIZE + 40} bytes, {os.cpu_count()} cores, {rounds} rounds, ", end="")
    print(f"{delay} ms before each answer, load {os.getloadavg()[0]:.1f}")
    print(f"{'':30}{'documents/s':>14}{'of 1 reader':>14}{'CPU us/document':>18}")
    for contender, found in passes.items():
        speed = documents / statistics.median(one.seconds for one in found)
        ratio = statistics.median(other / one.seconds for one, other in zip(found, base, strict=True))
        cpu = statistics.median(one.cpu for one in found)
        print(f"{contender.name:30}{speed:>14,.0f}{ratio:>14.2f}{cpu:>18.2f}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scan", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--uri", help="the deployment; one is started if none is given. Its database is dropped.")
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--delay-ms", type=int, default=0, help="what the servers wait before each answer")
    options = parser.parse_args()
    arguments = (options.documents, options.rounds, options.delay_ms)
    if options.uri is not None:
        asyncio.run(run(options.uri, *arguments))
        return
    with ReplicaSet(members=3, test_commands=True) as servers:
        asyncio.run(run(servers.uri, *arguments))


if __name__ == "__main__":
    main()
