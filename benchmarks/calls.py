"""``python -m benchmarks.calls``: how many Python calls an operation makes, and how deep the stack is when it sends.

Unlike times, these figures do not depend on the machine or its load: ``tests/test_calls.py`` limits them, so that the
path of a command does not grow gradually. They belong to one version of Python (3.11 and 3.12 differ a little).

How it is counted:

* A call is a ``call`` event of :func:`sys.setprofile`: a Python function is entered, or a coroutine is resumed. So a
  coroutine that waits once counts twice. Functions written in C do not count.
* The driver's calls are those of its modules' functions, the constructors that dataclasses generate there included. All
  calls are those of the thread: the event loop's and BSON's too.
* The frames are the driver's, from the method that was called to the one that hands the bytes to the socket.
* Each step is repeated, and the lowest count is used: a monitor's task may run in between.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any, NamedTuple

import anyio

import wiredrv
from benchmarks.deployment import deployment
from benchmarks.workload import DATABASE

BACKENDS = ("asyncio", "trio")
REPEATS = 200

Step = Callable[[], Awaitable[object]]


class Calls(NamedTuple):
    """What one operation costs in Python calls."""

    driver: int
    all: int
    frames: int


class Profile:
    """Counts while its block runs."""

    def __init__(self) -> None:
        self.driver = 0
        self.all = 0
        self.frames = 0

    def __enter__(self) -> Profile:
        sys.setprofile(self._on_event)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _on_event(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            self.all += 1
            self.driver += _is_drivers(frame)
        elif event == "c_call" and argument.__qualname__ == "socket.send":
            self.frames = max(self.frames, _depth(frame))


def _is_drivers(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == wiredrv.__name__


def _depth(frame: FrameType | None) -> int:
    """How many of the driver's frames are on the stack, down to the one that was called from outside."""
    depth = 0
    while frame is not None and _is_drivers(frame):
        depth += 1
        frame = frame.f_back
    return depth


async def count(step: Step, repeats: int = REPEATS) -> Calls:
    """The fewest calls of a step. Its first run, which makes connections, is not counted."""
    await step()
    found: list[Calls] = []
    for _ in range(repeats):
        with Profile() as profile:
            await step()
        found.append(Calls(profile.driver, profile.all, profile.frames))
    return min(found)


@asynccontextmanager
async def steps(client: wiredrv.Client) -> AsyncIterator[dict[str, Step]]:
    """What is counted, by name. The collection holds one document."""
    collection = client[DATABASE]["calls"]
    await collection.drop()
    await collection.insert_one({"_id": 1, "name": "one"})
    async with client.start_session() as session, client.start_session() as other:
        await other.start_transaction()
        yield {
            "find_one": lambda: collection.find_one({"_id": 1}),
            "find_one, session": lambda: collection.find_one({"_id": 1}, session=session),
            "find_one, transaction": lambda: collection.find_one({"_id": 1}, session=other),
            "insert_one": lambda: collection.insert_one({"name": "another"}),
            "update_one": lambda: collection.update_one({"_id": 1}, {"$inc": {"count": 1}}),
        }
        await other.abort_transaction()
    await collection.drop()


async def measure(uri: str, repeats: int) -> dict[str, Calls]:
    """Every step, on the event loop that runs."""
    async with wiredrv.Client(uri) as client, steps(client) as named:
        return {name: await count(step, repeats) for name, step in named.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description="Count operations' Python calls.")
    parser.add_argument("--uri", help="a replica set that is already there; else one is started on this machine")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="default: %(default)s")
    options = parser.parse_args(arguments)
    print(f"{'':8} {'operation':24} {'driver':>6} {'all':>6} {'frames':>6}")
    with deployment(options.uri) as uri:
        for backend in BACKENDS:
            for name, calls in anyio.run(measure, uri, options.repeats, backend=backend).items():
                print(f"{backend:8} {name:24} {calls.driver:6} {calls.all:6} {calls.frames:6}")


if __name__ == "__main__":
    main()
