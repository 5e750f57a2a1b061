"""The settings of a pool: how many connections it may have, and how long each may wait or be idle.

Values only. Durations are seconds; None means without limit. ``options/uri.py`` builds them from the options whose
names stand beside each field (connection-monitoring-and-pooling specification, "Connection Pool Options").
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """The limits of one server's pool.

    :param max_pool_size: ``maxPoolSize``: how many connections there may be, those checked out included; 0 means no
        limit.
    :param min_pool_size: ``minPoolSize``: how many there should be, idle ones included.
    :param max_idle_time: ``maxIdleTimeMS``: seconds that a connection may idle; None for no limit.
    :param max_connecting: ``maxConnecting``: how many may be established at a time.
    :param wait_queue_timeout: ``waitQueueTimeoutMS``: seconds that an operation may wait for a connection; None for
        no limit.
    """

    max_pool_size: int = 100
    min_pool_size: int = 0
    max_idle_time: float | None = None
    max_connecting: int = 2
    wait_queue_timeout: float | None = None
