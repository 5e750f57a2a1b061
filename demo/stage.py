"""What every part of the demo is given, and the few functions that several of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

import anyio
import anyio.to_thread

from demo.bank import Bank
from demo.scale import Scale
from demo.show import Show
from demo.timeline import Recorder
from demo.verdicts import Verdict
from wiredrv.client.client import Client
from wiredrv.client.database import Database
from wiredrv.errors import ConnectionFailure
from wiredrv.local import ReplicaSet
from wiredrv.types import Document

_LOOKS_EVERY = 0.02  # seconds
_PATIENCE = 15.0  # seconds


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers, the client, what it records, and where the output goes.

    :param deployment: the servers, if the demo may disturb them; None for servers that it did not start.
    """

    client: Client
    database: Database
    deployment: ReplicaSet | None
    recorder: Recorder
    scale: Scale
    show: Show
    bank: Bank


class Part(Protocol):
    """A part of the demo. It returns None if it could not be shown here, after printing why."""

    async def __call__(self, stage: Stage) -> Verdict | None: ...


async def until(condition: Callable[[], bool], what: str, timeout: float = _PATIENCE) -> None:
    """Wait until other tasks or the servers have brought something about.

    :param timeout: seconds.
    :raises ConnectionFailure: it did not happen in time; ``what`` names it.
    """
    deadline = monotonic() + timeout
    while not condition():
        if monotonic() >= deadline:
            raise ConnectionFailure(f"{what} did not come about within {timeout:g} s")
        await anyio.sleep(_LOOKS_EVERY)


async def ask_member(stage: Stage, address: str, command: Document, timeout: float) -> Document:
    """Run an administrative command on one member of the demo's own deployment, bypassing the client.

    :param timeout: seconds for the answer.
    """
    assert stage.deployment is not None
    server = next(server for server in stage.deployment.members if str(server.address) == address)
    return await anyio.to_thread.run_sync(server.ask, command, timeout)
