"""Projections of a scan, which needs each document's ``_id`` to continue after a failover. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wiredrv.client.validation import projection_document
from wiredrv.errors import ConfigurationError
from wiredrv.types import Document


class Shape(NamedTuple):
    """What is asked of the server, and whether the ``_id`` is left out here."""

    projection: Document | None
    hides_id: bool


def shape_of(projection: Document | Sequence[str] | None) -> Shape:
    """What to ask for, where a user wants a projection.

    :raises ConfigurationError: it is not one, or changes the ``_id``.
    """
    if projection is None:
        return Shape(None, False)
    found = projection_document("projection", projection)
    if any(name.startswith("_id.") for name in found):
        raise ConfigurationError("a scan needs whole _ids, to continue after a failover: project '_id', or leave it")
    if "_id" not in found:
        return Shape(found or None, False)
    wanted = found["_id"]
    if isinstance(wanted, (bool, int, float)):
        if wanted:
            return Shape(found, False)
        rest = {name: value for name, value in found.items() if name != "_id"}
        return Shape(rest or None, True)
    raise ConfigurationError(f"a scan cannot compute the _id, which it needs to continue: {wanted!r}")
