"""What an error says about a server, and what is to be done: pure decisions, one for operations and one for monitors.

Rules kept here:

* Deciding is apart from doing: a :class:`Reaction` names the server's new description and the steps; the caller
  applies the description and clears the pool in one step.
* An error of an older pool generation, or of an older topologyVersion, is ignored.
* An error with the label ``SystemOverloadedError`` never marks a server and never clears a pool: the server is alive,
  and many new connections would add to its load.
* Neither does a :class:`~wiredrv.errors.CredentialsError`: the server was not asked, and the connections that are
  authenticated are needed all the more while a source of credentials is away.

Specifications: server-discovery-and-monitoring ("Application errors"; with backpressure, 2025-11-21), server-monitoring
("Network or command error during server check"), load-balancers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from bson.objectid import ObjectId

from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import (
    SYSTEM_OVERLOADED,
    BulkWriteError,
    CredentialsError,
    DriverError,
    NetworkTimeout,
    NotPrimaryError,
    WriteConcernError,
    WriteError,
)
from wiredrv.failures import FailureKind, TopologyReaction, consequences, kind_of
from wiredrv.server_facts import NOT_PRIMARY_CODES, RECOVERING_CODES, SHUTDOWN_CODES
from wiredrv.topology.hello import topology_version_of
from wiredrv.topology.update import compare_topology_versions, unknown_server
from wiredrv.types import Address, Document


class ErrorKind(Enum):
    """What an error says about the server that it came from."""

    #: The connection broke, or the server sent invalid data.
    NETWORK = "network"
    #: There was no answer in time.
    TIMEOUT = "timeout"
    #: "Not writable primary" or "node is recovering".
    STATE_CHANGE = "state change"
    #: The server answered with any other error.
    COMMAND = "command"
    #: No connection was involved: waiting for one, or for a server, failed.
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of an operation, with its place and time.

    :param address: the server.
    :param error: what was raised, with its labels.
    :param generation: that of the connection; of the pool when the attempt to connect began, if it came to none.
    :param completed_handshake: whether the connection was established, authentication included.
    :param service_id: behind a load balancer, the service that the connection leads to, once known.
    """

    address: Address
    error: BaseException
    generation: int
    completed_handshake: bool = True
    service_id: ObjectId | None = None


@dataclass(frozen=True, slots=True)
class Reaction:
    """What is to be done about an error. The default is nothing.

    :param server: the description to apply to the topology.
    :param clear_pool: clear the server's pool; behind a load balancer, that of the failure's service only.
    :param interrupt_in_use: on clearing, also close the connections that are in use.
    :param request_check: request a check immediately; of a failed check: check again without waiting.
    :param cancel_check: cancel the check in progress, and close the monitor's connection.
    """

    server: ServerDescription | None = None
    clear_pool: bool = False
    interrupt_in_use: bool = False
    request_check: bool = False
    cancel_check: bool = False


IGNORE = Reaction()


def error_kind_of(error: BaseException) -> ErrorKind:
    """Classify an error by what it says about its server."""
    if kind_of(error) is FailureKind.NO_CONNECTION:
        return ErrorKind.NONE
    reaction = consequences(error).reaction
    if reaction is TopologyReaction.NETWORK_ERROR:
        return ErrorKind.TIMEOUT if isinstance(error, NetworkTimeout) else ErrorKind.NETWORK
    if reaction is TopologyReaction.STATE_CHANGE and _is_state_change(error):
        return ErrorKind.STATE_CHANGE
    return ErrorKind.COMMAND


def _is_state_change(error: BaseException) -> bool:
    # An error of one document says nothing about its server, whatever its code (SDAM: "Errors contained within the
    # writeErrors field").
    if isinstance(error, (WriteError, BulkWriteError)):
        return False
    if isinstance(error, NotPrimaryError):
        return True
    code = _code(error)
    if code is not None:
        return code in NOT_PRIMARY_CODES or code in RECOVERING_CODES
    # Messages count only without a code, and command_error() has done this for commands.
    text = str(error) if isinstance(error, WriteConcernError) else ""
    return "not master" in text or "node is recovering" in text


def _code(error: BaseException) -> int | None:
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else None


def _topology_version(error: BaseException) -> Document | None:
    details = getattr(error, "details", None)
    return topology_version_of(details) if isinstance(details, Mapping) else None


def on_error(failure: Failure, topology: TopologyDescription, pool_generation: int) -> Reaction:
    """Decide what an operation's error, or that of establishing its connection, means for the server.

    :param topology: the current description.
    :param pool_generation: the pool's current one; behind a load balancer, that of the failure's service.
    """
    known = topology.servers.get(failure.address)
    if known is None or failure.generation < pool_generation:
        return IGNORE
    kind = error_kind_of(failure.error)
    load_balanced = topology.topology_type is TopologyType.LOAD_BALANCED
    if kind is ErrorKind.STATE_CHANGE:
        return _on_state_change(failure, known, load_balanced)
    if kind is ErrorKind.NONE or _is_overloaded(failure.error) or isinstance(failure.error, CredentialsError):
        return IGNORE
    if failure.completed_handshake and kind is not ErrorKind.NETWORK:
        # A timeout may be due to a slow operation, a command error to the command.
        return IGNORE
    if load_balanced:
        return Reaction(clear_pool=failure.service_id is not None)
    return Reaction(unknown_server(failure.address, failure.error), clear_pool=True, cancel_check=True)


def _on_state_change(failure: Failure, known: ServerDescription, load_balanced: bool) -> Reaction:
    version = _topology_version(failure.error)
    if compare_topology_versions(known.topology_version, version) >= 0:
        return IGNORE
    shutting_down = _code(failure.error) in SHUTDOWN_CODES
    if load_balanced:
        # Before the handshake it is not known which of the servers behind the load balancer answered.
        return Reaction(clear_pool=shutting_down and failure.service_id is not None)
    server = unknown_server(failure.address, failure.error, version)
    return Reaction(server, clear_pool=shutting_down, request_check=True)


def _is_overloaded(error: BaseException) -> bool:
    return isinstance(error, DriverError) and error.has_error_label(SYSTEM_OVERLOADED)


def on_failed_check(previous: ServerDescription, error: BaseException) -> Reaction:
    """Decide what a monitor's failed check means.

    :param previous: the server's description before the check.
    :param error: what ended the check: a network error, or an ``ok: 0``.
    """
    kind = error_kind_of(error)
    network = kind in (ErrorKind.NETWORK, ErrorKind.TIMEOUT)
    return Reaction(
        server=unknown_server(previous.address, error),
        clear_pool=True,
        interrupt_in_use=kind is ErrorKind.TIMEOUT,
        request_check=network and previous.server_type is not ServerType.UNKNOWN,
    )
