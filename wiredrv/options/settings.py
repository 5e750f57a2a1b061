"""The whole configuration of a client: the settings of each package, and the defaults of its handles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions

from wiredrv.concerns import DEFAULT_READ_CONCERN, DEFAULT_WRITE_CONCERN, ReadConcern, ReadPreference, WriteConcern
from wiredrv.connection.settings import ConnectionSettings
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.net.settings import NetSettings
from wiredrv.options.tracing import TracingSettings
from wiredrv.pool.settings import PoolSettings
from wiredrv.topology.settings import TopologySettings
from wiredrv.types import Address


@dataclass(frozen=True, slots=True)
class Given:
    """The user's options, each one checked, before they are combined.

    :param seeds: the hosts; none while ``srv_host`` is still to be looked up.
    :param srv_host: the host of a ``mongodb+srv`` string.
    :param username: the user's name in the connection string.
    :param password: the password there.
    :param database: the database named there.
    :param options: values by the options' names, keyword arguments having won over the connection string.
    """

    seeds: tuple[Address, ...] = ()
    srv_host: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The settings from a connection string and keyword options, checked, with all defaults.

    :param net: sockets and TLS.
    :param connection: the handshake and the credentials.
    :param pool: the limits of each server's pool.
    :param topology: the seeds, and how they are monitored.
    :param execution: retries and the deadline of operations.
    :param read_preference: the default of the client's databases.
    :param read_concern: the default of the client's databases.
    :param write_concern: the default of the client's databases.
    :param codec_options: how documents become Python objects and back.
    :param default_database: the database that the connection string names.
    :param tracing: whether operations are traced with OpenTelemetry, and how.
    :param prefetch: whether the cursors of find and aggregate read ahead, unless a call says otherwise.
    :param given: for a ``mongodb+srv`` string that is not looked up yet: the user's options, since DNS adds to these.
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
    tracing: TracingSettings = field(default_factory=TracingSettings)
    prefetch: bool = False
    given: Given | None = field(default=None, repr=False, compare=False)
