"""The keyword options of a client, for type checkers and editors. What they mean is in the reference of the options.

The keys are the names of the table's options and their aliases, but for the outdated ones, which work and should not
be written any longer, and for those that are parameters of the client: ``document_class``, ``tz_aware`` and
``type_registry``. A test compares them.
"""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, TypeAlias, TypedDict

from bson.codec_options import DatetimeConversion

from wiredrv.concerns import ReadConcern, ReadPreference, TagSet, WriteConcern
from wiredrv.connection.settings import ClientCredentials, DriverInfo, ServerApi
from wiredrv.options.meanings import options_help
from wiredrv.options.tracing import TracingOptions

CompressorName: TypeAlias = Literal["snappy", "zlib", "zstd"]
#: Gives the user and the certificate of each new connection.
CredentialsCallback: TypeAlias = Callable[[], ClientCredentials | Awaitable[ClientCredentials]]
Mode: TypeAlias = Literal["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"]


class ClientOptions(TypedDict, total=False):
    """The options of a :class:`~wiredrv.Client`, by their names in a connection string; None counts as not given."""

    # Sockets and TLS.
    connectTimeoutMS: int | None
    socketTimeoutMS: int | None
    tls: bool | None
    ssl: bool | None
    tlsCAFile: str | None
    tlsCertificateKeyFile: str | None
    tlsCertificateKeyFilePassword: str | None
    tlsInsecure: bool | None
    tlsAllowInvalidCertificates: bool | None
    tlsAllowInvalidHostnames: bool | None
    tlsDisableOCSPEndpointCheck: bool | None
    tlsDisableCertificateRevocationCheck: bool | None
    # Handshake and authentication.
    appName: str | None
    appname: str | None
    compressors: str | Sequence[CompressorName] | None
    zlibCompressionLevel: int | None
    server_api: ServerApi | None
    driver: DriverInfo | None
    username: str | None
    password: str | None
    credentials: CredentialsCallback | None
    authMechanism: str | None
    authMechanismProperties: str | Mapping[str, object] | None
    authSource: str | None
    # Pools.
    maxPoolSize: int | None
    minPoolSize: int | None
    maxIdleTimeMS: int | None
    maxConnecting: int | None
    waitQueueTimeoutMS: int | None
    # Discovery, monitoring and selection.
    replicaSet: str | None
    directConnection: bool | None
    loadBalanced: bool | None
    heartbeatFrequencyMS: int | None
    serverSelectionTimeoutMS: int | None
    serverSelectionTryOnce: bool | None
    localThresholdMS: int | None
    serverMonitoringMode: Literal["auto", "stream", "poll"] | None
    srvMaxHosts: int | None
    srvServiceName: str | None
    # Execution.
    retryReads: bool | None
    retryWrites: bool | None
    timeoutMS: int | None
    maxAdaptiveRetries: int | None
    enableOverloadRetargeting: bool | None
    prefetch: bool | None
    tracing: TracingOptions | None
    # Concerns and preferences.
    readConcernLevel: str | None
    read_concern: ReadConcern | None
    w: int | str | None
    wTimeoutMS: int | None
    journal: bool | None
    write_concern: WriteConcern | None
    readPreference: Mode | ReadPreference | None
    read_preference: Mode | ReadPreference | None
    readPreferenceTags: str | TagSet | Sequence[str | TagSet] | None
    maxStalenessSeconds: int | None
    # How documents become Python objects.
    tzAware: bool | None
    tzinfo: datetime.tzinfo | None
    uuidRepresentation: int | Literal["unspecified", "standard", "pythonLegacy", "javaLegacy", "csharpLegacy"] | None
    unicode_decode_error_handler: Literal["strict", "replace", "backslashreplace", "surrogateescape", "ignore"] | None
    datetime_conversion: (
        DatetimeConversion | Literal["datetime", "datetime_clamp", "datetime_ms", "datetime_auto"] | None
    )
    # Refused with the reason.
    proxyHost: str | None
    proxyPort: int | None
    proxyUsername: str | None
    proxyPassword: str | None


if ClientOptions.__doc__ is not None:  # not with -OO
    ClientOptions.__doc__ = f"{inspect.cleandoc(ClientOptions.__doc__)}\n{options_help()}"
