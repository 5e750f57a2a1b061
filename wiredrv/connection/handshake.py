"""The first command of a connection, and its answer. Pure.

Specification: mongodb-handshake. The handshake travels as OP_MSG; it is the legacy hello with ``helloOk: true``, unless
a Stable API version or a load balancer is used, which need ``hello``.
"""

from __future__ import annotations

from dataclasses import dataclass

from bson import ObjectId

from wiredrv.connection.auth.negotiation import Speculation, hello_fields
from wiredrv.connection.settings import ConnectionSettings, ServerApi
from wiredrv.description import wire_version_problem
from wiredrv.errors import ConfigurationError
from wiredrv.server_errors import handshake_error
from wiredrv.types import Address, Document, Limits, PlainDocument
from wiredrv.wire.compression import available
from wiredrv.wire.op_msg import DEFAULT_MAX_MESSAGE_SIZE

LEGACY_HELLO = "isMaster"
#: Which version of the client-backpressure specification the driver follows.
BACKPRESSURE = "2"
_DEFAULT_MAX_BSON_SIZE = 16 * 1024 * 1024
_DEFAULT_MAX_WRITE_BATCH = 100_000
#: The highest accepted value of each. No server sends longer messages than the usual limit, and the driver may allocate
#: that much memory for a reply, compressed or not.
_MOST_BSON_SIZE = DEFAULT_MAX_MESSAGE_SIZE
_MOST_MESSAGE_SIZE = DEFAULT_MAX_MESSAGE_SIZE
_MOST_WRITE_BATCH = 1_000_000


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a server said about itself, and its limits, checked."""

    reply: Document
    limits: Limits
    server_connection_id: int | None
    service_id: ObjectId | None
    supports_sessions: bool
    is_mongos: bool
    is_standalone: bool
    hello_ok: bool


def hello_command(
    settings: ConnectionSettings, metadata: Document, speculation: Speculation | None = None
) -> PlainDocument:
    """The command that opens a connection.

    :param speculation: the authentication that starts with it.
    """
    if settings.server_api is not None or settings.load_balanced:
        command: PlainDocument = {"hello": 1, "helloOk": True}
    else:
        command = {LEGACY_HELLO: 1, "helloOk": True}
    command["backpressure"] = BACKPRESSURE
    command["client"] = dict(metadata)
    command["compression"] = [name for name in settings.compressors if available(name)]
    if settings.credentials is not None:
        command.update(hello_fields(settings.credentials, speculation))
    if settings.load_balanced:
        command["loadBalanced"] = True
    command["$db"] = "admin"
    declare_api(command, settings.server_api)
    return command


def declare_api(command: PlainDocument, api: ServerApi | None) -> None:
    """Add the Stable API version to a command (versioned-api specification)."""
    if api is None:
        return
    command["apiVersion"] = api.version
    if api.strict is not None:
        command["apiStrict"] = api.strict
    if api.deprecation_errors is not None:
        command["apiDeprecationErrors"] = api.deprecation_errors


def read_handshake(address: Address, reply: Document, settings: ConnectionSettings) -> Handshake:
    """Check the server's answer.

    :raises DriverError: the server refused the handshake.
    :raises ConfigurationError: its wire versions are not supported, or it is not behind a load balancer although
        ``loadBalanced=true`` was given.
    """
    if reply.get("ok") != 1:
        raise handshake_error(reply)
    least, most = _number(reply, "minWireVersion", 0), _number(reply, "maxWireVersion", 0)
    problem = wire_version_problem(address, least, most)
    if problem is not None and not settings.any_wire_version:
        raise ConfigurationError(problem)
    service_id = reply.get("serviceId")
    if not isinstance(service_id, ObjectId):
        service_id = None
    if settings.load_balanced and service_id is None:
        raise ConfigurationError(
            "Driver attempted to initialize in load balancing mode, but the server does not support this mode: "
            f"{address} says that it is not behind a load balancer; remove loadBalanced=true, or connect through the "
            "load balancer"
        )
    is_mongos = reply.get("msg") == "isdbgrid"
    return Handshake(
        reply=reply,
        limits=Limits(
            max_wire_version=most,
            max_bson_object_size=_limit(reply, "maxBsonObjectSize", _DEFAULT_MAX_BSON_SIZE, _MOST_BSON_SIZE),
            max_message_size=_limit(reply, "maxMessageSizeBytes", DEFAULT_MAX_MESSAGE_SIZE, _MOST_MESSAGE_SIZE),
            max_write_batch_size=_limit(reply, "maxWriteBatchSize", _DEFAULT_MAX_WRITE_BATCH, _MOST_WRITE_BATCH),
        ),
        server_connection_id=_number(reply, "connectionId", 0) or None,
        service_id=service_id,
        supports_sessions=_number(reply, "logicalSessionTimeoutMinutes", -1) >= 0,
        is_mongos=is_mongos,
        is_standalone=not is_mongos and "setName" not in reply and not reply.get("isreplicaset"),
        hello_ok=bool(reply.get("helloOk")),
    )


def _number(reply: Document, field: str, default: int) -> int:
    value = reply.get(field)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**63:
        return default
    return int(value)


def _limit(reply: Document, field: str, default: int, most: int) -> int:
    """A limit that the server sent. A useless one is replaced by the default."""
    return min(_number(reply, field, default) or default, most)
