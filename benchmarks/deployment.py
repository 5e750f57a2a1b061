"""The servers that all contenders are measured against: the user's, or an embedded replica set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wiredrv.local import ReplicaSet

MEMBERS = 3


@contextmanager
def deployment(uri: str | None, members: int = MEMBERS) -> Iterator[str]:
    """The URI to measure at: `uri` itself, or that of an embedded replica set which stops at the block's end."""
    if uri is not None:
        yield uri
        return
    with ReplicaSet(members=members) as servers:
        yield servers.uri
