"""Gossipping the cluster time: which of two is later. Sessions specification, "Gossipping the cluster time"."""

from __future__ import annotations

from collections.abc import Mapping

from bson.timestamp import Timestamp

from wiredrv.errors import ConfigurationError
from wiredrv.types import Document
from wiredrv.wire.codec import sound_document

ClusterTime = Document


def later(one: ClusterTime | None, other: ClusterTime | None) -> ClusterTime | None:
    """The later of two cluster times; the signature is not compared."""
    if other is None or one is other:
        return one
    if one is None:
        return other
    return other if other["clusterTime"] > one["clusterTime"] else one


def check_cluster_time(value: object) -> ClusterTime:
    """Check the argument of ``advance_cluster_time``.

    :raises ConfigurationError: it is not a ``$clusterTime`` document.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("clusterTime"), Timestamp):
        raise ConfigurationError(
            "a cluster time must be a document with a Timestamp as its 'clusterTime', as another session's "
            f"cluster_time gives it, not {value!r}"
        )
    return value


class ClusterClock:
    """The highest cluster time that a client received from its deployment. Only replies advance it."""

    __slots__ = ("_signature", "latest")

    def __init__(self) -> None:
        self.latest: ClusterTime | None = None
        # The signature that was checked last. Where servers sign nothing it never changes.
        self._signature: object = None

    def learn(self, received: object) -> ClusterTime | None:
        """Adopt the cluster time of a reply, if it is later.

        :returns: the cluster time; None if the value is not one. Such a value is ignored and never sent to a server,
            which would refuse every command that contains it.
        """
        if type(received) is not dict:
            received = sound_document(received)
        if received is None or type(received.get("clusterTime")) is not Timestamp:
            return None
        try:
            signature = received["signature"]
        except KeyError:
            signature = None
        if signature != self._signature:
            if not _is_signature(signature):
                return None
            self._signature = signature
        latest = self.latest
        if latest is None or received["clusterTime"] > latest["clusterTime"]:
            self.latest = received
        return received


def _is_signature(value: object) -> bool:
    """Whether a server can read it: servers refuse every command whose cluster time is signed in another form."""
    if value is None:
        return True
    return isinstance(value, Mapping) and isinstance(value.get("hash"), bytes) and isinstance(value.get("keyId"), int)
