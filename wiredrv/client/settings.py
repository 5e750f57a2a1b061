"""Everything that a client is configured with: one settings value of each room, and the defaults of its handles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions

from wiredrv.concerns import DEFAULT_READ_CONCERN, DEFAULT_WRITE_CONCERN, ReadConcern, ReadPreference, WriteConcern
from wiredrv.connection.settings import ConnectionSettings
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.net.settings import NetSettings
from wiredrv.pool.settings import PoolSettings
from wiredrv.topology.settings import TopologySettings


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What a connection string and keyword options say, checked, with every default filled in.

    :param net: sockets and TLS.
    :param connection: the handshake and the credentials.
    :param pool: the limits of each server's pool.
    :param topology: the seeds, and how they are watched.
    :param execution: retries and the deadline of operations.
    :param read_preference: the default of the client's databases.
    :param read_concern: the default of the client's databases.
    :param write_concern: the default of the client's databases.
    :param codec_options: how documents become Python objects and back.
    :param default_database: the database that the connection string names.
    """

    net: NetSettings = field(default_factory=NetSettings)
    connection: ConnectionSettings = field(default_factory=ConnectionSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)
    topology: TopologySettings = field(default_factory=TopologySettings)
    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    read_preference: ReadPreference = ReadPreference.PRIMARY
    read_concern: ReadConcern = DEFAULT_READ_CONCERN
    write_concern: WriteConcern = DEFAULT_WRITE_CONCERN
    codec_options: CodecOptions[Any] = DEFAULT_CODEC_OPTIONS
    default_database: str | None = None
