"""The time of a new snapshot: a hello, which needs no privilege. Its reply says what a majority of the members has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from bson.timestamp import Timestamp

from wiredrv.errors import ConfigurationError
from wiredrv.operations.base import Limits, Operation, Target, Traits
from wiredrv.server_facts import SERVER_5_0
from wiredrv.types import Address, PlainDocument, Reply


class Times(NamedTuple):
    """What a server knows of its deployment's time.

    :param committed: the latest time that a majority of the members has. No failover rolls it back, and every member
        can read it, or soon can.
    :param latest: the latest time of all: what is later has not happened yet, as far as this server knows.
    """

    committed: Timestamp
    latest: Timestamp


@dataclass(frozen=True, slots=True)
class SnapshotTime(Operation[Times]):
    """Ask a server for the times of its deployment. A router knows one of them only: what it names was answered.

    :raises ConfigurationError: the server cannot read snapshots.
    """

    name: ClassVar[str] = "hello"
    traits = Traits(retryable=True, takes_session=False)

    target: Target

    def command(self, limits: Limits) -> PlainDocument:
        if limits.max_wire_version < SERVER_5_0:
            raise ConfigurationError("Snapshot reads require MongoDB 5.0 or later")
        return {"hello": 1}

    def parse(self, reply: Reply, address: Address) -> Times:
        write = reply.get("lastWrite")
        write = write if isinstance(write, Mapping) else {}
        gossiped = reply.get("$clusterTime")
        router = _time(reply.get("operationTime")) or _time_in(gossiped, "clusterTime")
        latest = _time_in(write.get("opTime"), "ts") or router
        committed = _time_in(write.get("majorityOpTime"), "ts") or latest
        if committed is None or latest is None:
            raise ConfigurationError(
                f"{address} has no cluster time: snapshots need a replica set or a sharded cluster, and this server is "
                "a standalone; `wiredrv local up` starts a replica set on this machine"
            )
        return Times(committed, max(committed, latest))


def _time_in(value: object, field: str) -> Timestamp | None:
    return _time(value.get(field)) if isinstance(value, Mapping) else None


def _time(value: object) -> Timestamp | None:
    return value if isinstance(value, Timestamp) and value.time else None
