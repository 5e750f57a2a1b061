"""The settings of monitoring and selection: where to start, how often to check, how long to wait.

Values only. Durations are seconds. ``options/uri.py`` builds them from the options whose names stand beside each
field (server-discovery-and-monitoring and server-selection specifications, "Client configuration").
"""

from __future__ import annotations

from dataclasses import dataclass

from wiredrv.types import Address


@dataclass(frozen=True, slots=True)
class TopologySettings:
    """The addresses of the deployment and how it is monitored.

    :param seeds: the addresses to start from; empty while ``srv_host`` still is to be looked up.
    :param set_name: ``replicaSet``: the only replica set to talk to.
    :param direct_connection: ``directConnection``: talk to the one seed, whatever it is; None when not given.
    :param load_balanced: ``loadBalanced``: the one seed is a load balancer.
    :param heartbeat_frequency: ``heartbeatFrequencyMS``: seconds between two checks of a server.
    :param min_heartbeat_frequency: seconds that two checks of a server are apart at least.
    :param server_selection_timeout: ``serverSelectionTimeoutMS``: seconds to wait for a suitable server.
    :param local_threshold: ``localThresholdMS``: seconds that a server may be slower than the fastest one.
    :param server_monitoring_mode: ``serverMonitoringMode``: ``stream``, ``poll`` or ``auto``.
    :param srv_host: the host of a ``mongodb+srv`` connection string, whose SRV records name the seeds.
    :param srv_max_hosts: ``srvMaxHosts``: how many of those to use; 0 means all.
    :param srv_service_name: ``srvServiceName``: the service to look up.
    """

    seeds: tuple[Address, ...] = (Address("localhost"),)
    set_name: str | None = None
    direct_connection: bool | None = None
    load_balanced: bool = False
    heartbeat_frequency: float = 10.0
    min_heartbeat_frequency: float = 0.5
    server_selection_timeout: float = 30.0
    local_threshold: float = 0.015
    server_monitoring_mode: str = "auto"
    srv_host: str | None = None
    srv_max_hosts: int = 0
    srv_service_name: str = "mongodb"
