"""How a collection can be read: in ranges of its ids, by one reader, or not at a snapshot. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from wiredrv.errors import InvalidOperation
from wiredrv.types import Document


class Layout(Enum):
    """The ways of reading a collection. The values say why there is one reader."""

    #: In ranges of the index on ``_id``.
    RANGES = ""
    #: By one reader in the order of ``_id``. It is continued after a failover.
    CLUSTERED = "the collection is clustered, and is read in its own order"
    #: By one reader, in no certain order. It cannot be continued.
    VIEW = "a view has no index on _id"
    TIME_SERIES = "a time series collection has no index on _id"

    @property
    def has_index(self) -> bool:
        """Whether it can be read in the order of ``_id``, and continued."""
        return self in (Layout.RANGES, Layout.CLUSTERED)


def layout_of(namespace: str, entry: Document | None) -> Layout:
    """How to read a collection.

    :param entry: what ``listCollections`` says about it; None if it does not exist, or was not allowed to say.
    :raises InvalidOperation: servers do not read such a collection at a snapshot.
    """
    found = entry or {}
    if found.get("type") == "view":
        return Layout.VIEW
    if found.get("type") == "timeseries":
        return Layout.TIME_SERIES
    options = found.get("options")
    options = options if isinstance(options, Mapping) else {}
    if options.get("capped"):
        raise InvalidOperation(
            f"{namespace} is a capped collection, which servers do not read at a snapshot: read it with find()"
        )
    return Layout.CLUSTERED if options.get("clusteredIndex") else Layout.RANGES


class Identity(NamedTuple):
    """What tells a collection from another that takes its name later. What is not known is None.

    :param kind: whether it is a collection, a view or a time series.
    :param uuid: that of an ordinary collection.
    :param view: what a view reads.
    """

    kind: object
    uuid: object
    view: object


def identity_of(entry: Document | None) -> Identity | None:
    """Which collection it is; None if there is none.

    :param entry: as of :func:`layout_of`.
    """
    if entry is None:
        return None
    info, options = entry.get("info"), entry.get("options")
    uuid = info.get("uuid") if isinstance(info, Mapping) else None
    view = (options.get("viewOn"), options.get("pipeline")) if isinstance(options, Mapping) else None
    return Identity(entry.get("type"), uuid, view)
