"""What ``wiredrv ping`` prints: a line for each step, and for a step that failed what to do next. Pure.

No line repeats the connection string, or anything of its user but the name.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import NamedTuple

from wiredrv.client.connecting import ClientSettings
from wiredrv.concerns import ReadMode
from wiredrv.description import ServerDescription, ServerType, TopologyDescription
from wiredrv.errors import AutoReconnect, ConfigurationError, NetworkTimeout, OperationFailure, ProtocolError
from wiredrv.net.certificate import describe_certificate
from wiredrv.net.tls import Peer
from wiredrv.server_facts import ErrorCode
from wiredrv.types import Address

_NAME_WIDTH = 15


class Outcome(Enum):
    """How a step ended."""

    OK = "ok"
    FAILED = "FAILED"
    NOTE = "-"


class Step(NamedTuple):
    """One step of connecting.

    :param seconds: how long it took; None if it was not timed.
    :param says: what was found, or the error.
    :param advice: what to do next.
    """

    name: str
    outcome: Outcome
    says: str
    seconds: float | None = None
    advice: str | None = None


def lines_of(step: Step) -> list[str]:
    """The step as it is printed."""
    took = "" if step.seconds is None else f"{step.seconds * 1000:.1f} ms"
    first = f"  {step.name:{_NAME_WIDTH}} {step.outcome.value:6} {took:>10}  {step.says}"
    return [first] if step.advice is None else [first, f"  {'':{_NAME_WIDTH}} next: {step.advice}"]


# --- what was found ---


def describe_settings(settings: ClientSettings) -> str:
    """What the connection string asks for, without its password."""
    topology, credentials = settings.topology, settings.connection.credentials
    if topology.srv_host is not None and not topology.seeds:
        parts = [f"SRV records of {topology.srv_host}"]
    else:
        count = len(topology.seeds)
        parts = [f"{count} host{'' if count == 1 else 's'}"]
    if topology.set_name is not None:
        parts.append(f"replica set {topology.set_name}")
    if topology.direct_connection:
        parts.append("this server alone (directConnection)")
    if topology.load_balanced:
        parts.append("behind a load balancer")
    parts.append("with TLS" if settings.net.tls is not None else "without TLS")
    if credentials is None:
        parts.append("no user")
    else:
        parts.append(f"user {credentials.username!r}" if credentials.username else "the user of the certificate")
    return ", ".join(parts)


def describe_peer(peer: Peer, now: datetime) -> str:
    """What TLS negotiated, and the facts of the server's certificate."""
    return f"{peer.version}, {peer.cipher}; {describe_certificate(peer, now)}"


def describe_deployment(description: TopologyDescription) -> str:
    """What the servers said of the deployment."""
    count = len(description.servers)
    name = f" {description.set_name}" if description.set_name else ""
    return f"{description.topology_type.value}{name} of {count} server{'' if count == 1 else 's'}"


def selected(description: TopologyDescription, address: Address | None, preference: str, seconds: float) -> Step:
    """The step that says which server a client selects."""
    says = f"{address}, for the read preference {preference}; {describe_deployment(description)}"
    return Step("selection", Outcome.OK, says, seconds)


def lost_members(description: TopologyDescription) -> list[Step]:
    """A step for each server of the deployment that did not answer."""
    return [
        Step("member", Outcome.FAILED, f"{server.address}: {server.error or 'no answer yet'}")
        for server in unreachable(description)
    ]


def unreachable(description: TopologyDescription) -> list[ServerDescription]:
    """The servers of the deployment that did not answer."""
    return [server for server in description.servers.values() if server.server_type is ServerType.UNKNOWN]


def without_user(needed: bool) -> Step:
    """The step of the authentication where the connection string has no user.

    :param needed: whether the server refuses commands without one.
    """
    says = "no user in the connection string"
    if not needed:
        return Step("authentication", Outcome.NOTE, says)
    advice = "add a user: mongodb://name:password@host/, with authSource if it was not created in 'admin'"
    return Step(
        "authentication", Outcome.NOTE, f"{says}, and the server refuses most commands without one", advice=advice
    )


def differing_set_name(wanted: str | None, found: str | None) -> Step | None:
    """A step that says that a server belongs to another replica set than the one that was asked for."""
    if wanted is None or found == wanted:
        return None
    where = "it belongs to no replica set" if found is None else f"it belongs to the replica set {found!r}"
    fix = "leave replicaSet out" if found is None else f"write replicaSet={found}"
    return Step(
        "replica set",
        Outcome.FAILED,
        f"{where}, and replicaSet={wanted} was asked for",
        advice=f"{fix}, or name the hosts of {wanted!r}",
    )


# --- what to do next ---


def advice_on_dns(error: Exception, name: str) -> str:
    """After a look-up of a name that failed."""
    if isinstance(error, ConfigurationError) and "SRV" in str(error):
        return (
            f"ask DNS yourself: dig SRV _mongodb._tcp.{name}. Where there are no such records, write "
            "mongodb:// and the hosts with their ports"
        )
    if isinstance(error, (ConfigurationError, TimeoutError)):
        return "the DNS server gave no usable answer: check the network, a VPN, /etc/resolv.conf"
    return (
        f"check the spelling of {name!r}. It must be known on this machine: the names of containers and of private "
        "networks often are not"
    )


def advice_on_tcp(error: Exception, *, unix: bool) -> str:
    """After a connection that was not accepted.

    :param unix: whether it was to a Unix socket.
    """
    cause = error.__cause__
    if unix:
        return (
            "check the path of the socket (net.unixDomainSocket of the server's configuration), that the server runs, "
            "and that this user may open the file"
        )
    if isinstance(cause, ConnectionRefusedError):
        return (
            "nothing listens there: check the port, that the server runs, and that it listens on this address "
            "(net.bindIp)"
        )
    if isinstance(error, (NetworkTimeout, TimeoutError)) or isinstance(cause, TimeoutError):
        return (
            "nothing comes back: a firewall, a security group or a list of allowed addresses may drop it, or the "
            "machine is off"
        )
    return "this machine has no way to that address: check the network, a VPN, and whether IPv6 works here"


def advice_on_tls(error: Exception, certificate: str | None) -> str:
    """After a TLS handshake that failed.

    :param certificate: the facts of the certificate that the server sent.
    """
    if certificate is not None:
        return f"the server sent a {certificate}; compare its names with the host, its issuer with tlsCAFile"
    if isinstance(error, TimeoutError):
        return "the server takes connections and does not speak TLS: check the port, or leave tls out"
    return "check that the server has TLS on this port (net.tls.mode), and its log"


def advice_on_handshake(error: Exception, *, tls: bool) -> str:
    """After a server that was reached and gave no MongoDB handshake."""
    if isinstance(error, ProtocolError):
        return "what listens there is not a MongoDB server: check the port"
    if isinstance(error, NetworkTimeout):
        return "check that a MongoDB server listens there, and that it is not suspended or overloaded"
    if isinstance(error, AutoReconnect) and not tls:
        return "the server closed the connection: it may require TLS (add tls=true); its log has the reason"
    if isinstance(error, AutoReconnect):
        return "the server closed the connection: it may require a client certificate; its log has the reason"
    return "the server's log has more"


def advice_on_authentication(error: Exception, source: str) -> str:
    """After a user that was not accepted.

    :param source: the database that was asked for the user.
    """
    if isinstance(error, OperationFailure) and error.code == ErrorCode.AuthenticationFailed:
        return (
            f"check the name, the password (percent-encoded in a connection string), and authSource: the database that "
            f"the user was created in, now {source!r}"
        )
    if isinstance(error, NetworkTimeout):
        return "the server was too slow: check its load"
    return "check authMechanism and what it needs; the server's log has the reason"


def advice_on_selection(description: TopologyDescription, mode: ReadMode) -> str:
    """After a deployment without a suitable server."""
    servers = description.servers.values()
    if not servers:
        return "check replicaSet, and that the hosts belong to this deployment"
    lost = unreachable(description)
    if len(lost) == len(description.servers):
        return (
            "the servers call one another by these names (the configuration of the replica set): they must be known "
            "and reachable here too; directConnection=true connects to one server alone"
        )
    if mode is ReadMode.PRIMARY and not any(server.is_writable for server in servers):
        return (
            "no server is primary, so nothing can be written: look at rs.status() on a member that answers; "
            "readPreference=primaryPreferred still reads"
        )
    return "compare readPreference, its tags and maxStalenessSeconds with what `wiredrv topology` shows"
