"""Gossip of the cluster time: which of two is later. Sessions specification, "Gossipping the cluster time"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.timestamp import Timestamp

from wiredrv.errors import ConfigurationError

ClusterTime = Mapping[str, Any]


def later(one: ClusterTime | None, other: ClusterTime | None) -> ClusterTime | None:
    """The later of two cluster times; the signature takes no part in the comparison."""
    if other is None or one is other:
        return one
    if one is None:
        return other
    return other if other["clusterTime"] > one["clusterTime"] else one


def check_cluster_time(value: object) -> ClusterTime:
    """Check what an application hands to ``advance_cluster_time``.

    :raises ConfigurationError: it is no ``$clusterTime`` document.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("clusterTime"), Timestamp):
        raise ConfigurationError(
            "a cluster time must be a document with a Timestamp as its 'clusterTime', as another session's "
            f"cluster_time gives it, not {value!r}"
        )
    return value


class ClusterClock:
    """The highest cluster time that a client received from its deployment. Only replies advance it."""

    __slots__ = ("latest",)

    def __init__(self) -> None:
        self.latest: ClusterTime | None = None

    def learn(self, received: ClusterTime) -> None:
        """Take over what a reply brought, if it is later."""
        latest = self.latest
        if latest is None or received["clusterTime"] > latest["clusterTime"]:
            self.latest = received
