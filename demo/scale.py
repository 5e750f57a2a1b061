"""How much the demo does. Values only; the tests use smaller ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of the parts.

    :param hold: seconds for which replication is held back.
    :param rounds: writes that are read back from a secondary where replication cannot be held back.
    :param transfers: in the second part, made by ``workers`` concurrent workers between ``accounts`` accounts.
    :param failover_transfers: in the third part; the primary is killed when a quarter of them is done.
    :param writers: workers that make transfers while snapshots are read.
    :param snapshots: how many snapshots are taken, each read ``reads`` times.
    :param part_limit: seconds after which a part counts as failed.
    """

    hold: float = 1.0
    rounds: int = 50
    accounts: int = 64
    opening_balance: int = 1_000
    workers: int = 32
    transfers: int = 2_000
    failover_transfers: int = 800
    writers: int = 4
    snapshots: int = 5
    reads: int = 20
    part_limit: float = 120.0
