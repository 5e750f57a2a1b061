"""Looks up the SRV records periodically, for as long as the deployment may be a sharded cluster.

Specification: polling-srv-records-for-mongos-discovery. ``srv`` decides what an answer changes.
"""

from __future__ import annotations

import logging
from typing import Protocol

from wiredrv import waits
from wiredrv.description import TopologyDescription, TopologyType
from wiredrv.errors import ConfigurationError
from wiredrv.net.resolver import SRVAnswer
from wiredrv.topology.settings import TopologySettings
from wiredrv.topology.srv import apply_srv_hosts, shares_srv_domain

_LOG = logging.getLogger("wiredrv.topology")

#: Seconds that two look-ups are apart at least.
MIN_RESCAN_INTERVAL = 60.0
_POLLED = frozenset({TopologyType.UNKNOWN, TopologyType.SHARDED})


class LooksUp(Protocol):
    """The part of a resolver that the poller uses."""

    async def srv(self, host: str, service: str = "mongodb") -> SRVAnswer:
        """The SRV records of a host."""
        ...


class Watched(Protocol):
    """The part of a topology that the poller uses."""

    description: TopologyDescription

    @property
    def is_open(self) -> bool:
        """Whether the topology is still monitored."""
        ...

    def take_over(self, description: TopologyDescription) -> None:
        """Make a description the current one."""
        ...


class SRVPoller:
    """Polls for one client. ``ttl`` is that of the first answer, in seconds."""

    def __init__(self, settings: TopologySettings, resolver: LooksUp, ttl: float) -> None:
        self._settings = settings
        self._resolver = resolver
        self.interval = max(ttl, MIN_RESCAN_INTERVAL)

    async def run(self, topology: Watched) -> None:
        """Poll until the topology turns out not to be a sharded cluster, or is closed."""
        while True:
            await waits.sleep(self.interval)
            if not topology.is_open or topology.description.topology_type not in _POLLED:
                return
            await self.poll(topology)

    async def poll(self, topology: Watched) -> None:
        """Look up the records once and apply them. An answer without a usable host changes nothing."""
        host = self._settings.srv_host or ""
        self.interval = self._settings.heartbeat_frequency
        try:
            answer = await self._resolver.srv(host, self._settings.srv_service_name)
        except ConfigurationError as error:
            _LOG.warning("the SRV records of %s could not be looked up: %s", host, error)
            return
        strangers = [found for found in answer.hosts if not shares_srv_domain(host, found.host)]
        if strangers:
            _LOG.warning("SRV records of %s name hosts outside of its domain: %s", host, strangers)
        hosts = [found for found in answer.hosts if found not in strangers]
        if not hosts or not topology.is_open or topology.description.topology_type not in _POLLED:
            return
        self.interval = max(answer.ttl, MIN_RESCAN_INTERVAL)
        topology.take_over(apply_srv_hosts(topology.description, hosts, self._settings.srv_max_hosts))
