"""``python -m benchmarks.recording``: what a recording costs ``find_one``, in instructions and in processor time.

* Instructions are counted by ``valgrind --tool=callgrind``: of two runs that differ in the number of operations alone,
  so that starting the interpreter and the client cancels out. They do not depend on the machine's load.
* Processor time is that of the process, in rounds with and without a recording by turns; the median of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import anyio

import wiredrv
from benchmarks.deployment import deployment
from benchmarks.workload import DATABASE

#: What a recording may cost: a share of the processor time of ``find_one``.
LIMIT = 0.15

_ROUNDS = 15
_OPERATIONS = 400
#: Operations of the two runs whose instructions are compared.
_FEW, _MANY = 200, 1_200
_TOTAL = re.compile(rb"^(?:summary|totals): (\d+)", re.MULTILINE)


async def _find(collection: wiredrv.Collection, operations: int) -> None:
    for _ in range(operations):
        await collection.find_one({"_id": 1})


async def cpu_ratio(uri: str, rounds: int = _ROUNDS, operations: int = _OPERATIONS) -> float:
    """The processor time of ``find_one`` while it is recorded, as a multiple of that without."""
    spent: dict[bool, list[float]] = {False: [], True: []}
    async with wiredrv.Client(uri) as client:
        collection = client[DATABASE]["recording"]
        await _find(collection, operations)
        for number in range(2 * rounds):
            recorded = bool(number % 2)
            with wiredrv.record() if recorded else contextlib.nullcontext():
                before = time.process_time()
                await _find(collection, operations)
                spent[recorded].append(time.process_time() - before)
    return statistics.median(spent[True]) / statistics.median(spent[False])


def instruction_ratio(uri: str, folder: Path) -> float:
    """The instructions of ``find_one`` while it is recorded, as a multiple of those without."""
    counts = {
        (recorded, operations): _instructions(uri, folder, recorded, operations)
        for recorded in (False, True)
        for operations in (_FEW, _MANY)
    }
    each = {recorded: counts[recorded, _MANY] - counts[recorded, _FEW] for recorded in (False, True)}
    return each[True] / each[False]


def _instructions(uri: str, folder: Path, recorded: bool, operations: int) -> int:
    out = folder / "callgrind.out"
    command = [
        "valgrind",
        "--tool=callgrind",
        f"--callgrind-out-file={out}",
        sys.executable,
        "-m",
        "benchmarks.recording",
    ]
    command += ["--uri", uri, "--only", "recorded" if recorded else "plain", "--operations", str(operations)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=300)
    found = _TOTAL.search(out.read_bytes())
    assert found is not None
    return int(found[1])


async def _run(uri: str, recorded: bool, operations: int) -> None:
    # No check of the server may fall into one run and not into the other.
    async with wiredrv.Client(uri, heartbeatFrequencyMS=600_000, serverMonitoringMode="poll") as client:
        with wiredrv.record() if recorded else contextlib.nullcontext():
            await _find(client[DATABASE]["recording"], operations)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both ratios; 1 if a recording costs more than it may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recording", description="What a recording costs.")
    parser.add_argument("--uri", help="a replica set that is already there; else one is started on this machine")
    parser.add_argument("--only", choices=("plain", "recorded"), help=argparse.SUPPRESS)
    parser.add_argument("--operations", type=int, default=_OPERATIONS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.only:
        anyio.run(_run, options.uri, options.only == "recorded", options.operations)
        return 0
    with deployment(options.uri) as uri:
        ratios = {
            f"processor time, {backend}": anyio.run(cpu_ratio, uri, backend=backend) for backend in ("asyncio", "trio")
        }
        if shutil.which("valgrind"):
            with tempfile.TemporaryDirectory() as folder:
                ratios["instructions, asyncio"] = instruction_ratio(uri, Path(folder))
    for name, ratio in ratios.items():
        print(f"{name:24} +{ratio - 1:.1%}")
    return int(max(ratios.values()) > 1 + LIMIT)


if __name__ == "__main__":
    sys.exit(main())
