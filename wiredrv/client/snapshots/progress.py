"""How far a scan is. A module of its own, since ``wiredrv.sync`` loads it and nothing else of scans. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan is. This driver's own: no specification has it.

    :param documents: how many documents were given.
    :param estimated_total: about how many documents the collection has; None before the first batch, of views and time
        series, and if there is a filter.
    :param ranges: into how many ranges the collection was split; 0 before the first batch.
    :param ranges_done: how many of them were read to their end.
    :param bytes: how many bytes the documents had, as BSON.
    """

    documents: int = 0
    estimated_total: int | None = None
    ranges: int = 0
    ranges_done: int = 0
    bytes: int = 0
