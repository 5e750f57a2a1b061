"""``client.options``: the options that are in force, under PyMongo's names. Pure."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

from bson.codec_options import CodecOptions

from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.connection.settings import DriverInfo, ServerApi
from wiredrv.options.settings import ClientSettings
from wiredrv.types import Document


class EffectivePoolOptions:
    """The options of a client's pools and connections, under PyMongo's names: ``client.options.pool_options``.

    This driver's own: no specification has it.

    :param settings: where they come from.
    :param metadata: what new connections tell servers about this client.
    """

    __slots__ = ("_metadata", "_settings")

    def __init__(self, settings: ClientSettings, metadata: Document) -> None:
        self._settings = settings
        self._metadata = metadata

    @property
    def max_pool_size(self) -> int:
        """The most connections to one server; 0 for no limit."""
        return self._settings.pool.max_pool_size

    @property
    def min_pool_size(self) -> int:
        """How many connections are kept to each server."""
        return self._settings.pool.min_pool_size

    @property
    def max_connecting(self) -> int:
        """How many connections to one server are made at a time."""
        return self._settings.pool.max_connecting

    @property
    def max_idle_time_seconds(self) -> float | None:
        """Seconds after which a connection that is not used is closed; None for no limit."""
        return self._settings.pool.max_idle_time

    @property
    def wait_queue_timeout(self) -> float | None:
        """Seconds that an operation waits for a connection; None for no limit."""
        return self._settings.pool.wait_queue_timeout

    @property
    def connect_timeout(self) -> float | None:
        """Seconds that making a connection may take; None for no limit."""
        return self._settings.net.connect_timeout

    @property
    def socket_timeout(self) -> float | None:
        """Seconds that an answer may take; None for no limit."""
        return self._settings.net.socket_timeout

    @property
    def appname(self) -> str | None:
        """The application's name, as servers log it."""
        return self._settings.connection.app_name

    @property
    def driver(self) -> DriverInfo | None:
        """The library that was given as ``driver``."""
        return next(iter(self._settings.connection.driver_info), None)

    @property
    def metadata(self) -> Document:
        """What new connections tell servers about this client, with what :meth:`Client.append_metadata` added."""
        return deepcopy(self._metadata)

    @property
    def server_api(self) -> ServerApi | None:
        """The version of the Stable API that commands declare."""
        return self._settings.connection.server_api

    @property
    def load_balanced(self) -> bool:
        """Whether a load balancer stands before the servers."""
        return self._settings.connection.load_balanced


class EffectiveOptions:
    """The options that are in force, under PyMongo's names: ``client.options``.

    This driver's own: no specification has it.

    :param settings: where they come from.
    :param metadata: what new connections tell servers about this client.
    """

    __slots__ = ("_metadata", "_settings")

    def __init__(self, settings: ClientSettings, metadata: Document) -> None:
        self._settings = settings
        self._metadata = metadata

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents become Python objects and back."""
        return self._settings.codec_options

    @property
    def read_preference(self) -> ReadPreference:
        """Which members may answer reads."""
        return self._settings.read_preference

    @property
    def read_concern(self) -> ReadConcern:
        """How durable what is read must be."""
        return self._settings.read_concern

    @property
    def write_concern(self) -> WriteConcern:
        """What a write waits for."""
        return self._settings.write_concern

    @property
    def direct_connection(self) -> bool:
        """Whether the client talks to the one host that it was given."""
        return bool(self._settings.topology.direct_connection)

    @property
    def load_balanced(self) -> bool:
        """Whether a load balancer stands before the servers."""
        return self._settings.topology.load_balanced

    @property
    def replica_set_name(self) -> str | None:
        """The name of the replica set, if it was given."""
        return self._settings.topology.set_name

    @property
    def local_threshold_ms(self) -> int:
        """Milliseconds by which a server may be slower than the nearest one, and still be chosen."""
        return round(self._settings.topology.local_threshold * 1000)

    @property
    def server_selection_timeout(self) -> float:
        """Seconds that an operation waits for a suitable server."""
        return self._settings.topology.server_selection_timeout

    @property
    def heartbeat_frequency(self) -> float:
        """Seconds between two checks of a server."""
        return self._settings.topology.heartbeat_frequency

    @property
    def server_monitoring_mode(self) -> str:
        """``"auto"``, ``"stream"`` or ``"poll"``."""
        return self._settings.topology.server_monitoring_mode

    @property
    def timeout(self) -> float | None:
        """Seconds for each operation and its retries (``timeoutMS``); 0 for no limit, None if it was not given."""
        seconds = self._settings.execution.timeout
        return 0 if seconds == math.inf else seconds

    @property
    def retry_reads(self) -> bool:
        """Whether reads are sent once more after a failure."""
        return self._settings.execution.retry_reads

    @property
    def retry_writes(self) -> bool:
        """Whether writes are sent once more after a failure."""
        return self._settings.execution.retry_writes

    @property
    def max_adaptive_retries(self) -> int:
        """How often an operation is tried again while a server is overloaded."""
        return self._settings.execution.max_adaptive_retries

    @property
    def enable_overload_retargeting(self) -> bool:
        """Whether such an attempt goes to another server."""
        return self._settings.execution.enable_overload_retargeting

    @property
    def pool_options(self) -> EffectivePoolOptions:
        """The options of the pools and connections."""
        return EffectivePoolOptions(self._settings, self._metadata)
