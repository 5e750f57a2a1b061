"""What each option of a client means, with its unit, its default and the specification that describes it.

The reference page on options is written from here and from the table (``docs/generate.py``), and so is what ``help()``
says of the client's options. Nothing else loads this module. Tests hold its names equal to those of the table, the
defaults to what the driver does without the option, and the spellings to what a connection string accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the reference says of one option, beside what the table says.

    :param text: what it does.
    :param spec: the specification that describes it: the name of a folder there, and often a section. Empty where none
        does.
    :param default: the value that it has when it is not given; None when it then has none.
    :param spelling: how it is written in a connection string, as an example; empty when it can only be a keyword.
    :param unit: what a number counts.
    :param otherwise: what happens without it, where a value alone does not say so.
    """

    text: str
    spec: str = ""
    default: Any = None
    spelling: str = ""
    unit: str = ""
    otherwise: str = ""


_MS = "milliseconds"
_CMAP = 'connection-monitoring-and-pooling, "Connection Pool Options"'
_SDAM = 'server-discovery-and-monitoring, "Configuration"'
_SELECTION = 'server-selection, "Configuration"'
_URI_TLS = 'uri-options, "List of specified options"'
_AUTH = 'auth, "Connection String Options"'
_CODEC = "a field of bson's CodecOptions"

SOCKETS: Mapping[str, Meaning] = {
    "connectTimeoutMS": Meaning(
        "How long making one connection may take, TLS and handshake included, and how long a monitor waits for an "
        "answer. 0 sets no limit.",
        "uri-options; server-discovery-and-monitoring",
        10_000,
        "connectTimeoutMS=2000",
        _MS,
    ),
    "socketTimeoutMS": Meaning(
        "How long one send or one receive of an operation may take. After that the connection is closed, and the "
        "operation fails with NetworkTimeout. 0 sets no limit.",
        "uri-options; client-side-operations-timeout (deprecated there)",
        0,
        "socketTimeoutMS=30000",
        _MS,
    ),
    "tls": Meaning(
        "Whether connections use TLS.",
        _URI_TLS,
        spelling="tls=true",
        otherwise="on if another option that begins with `tls` is given, and for `mongodb+srv://`; otherwise off",
    ),
    "tlsCAFile": Meaning(
        "A PEM file with the certificate authorities to trust.",
        _URI_TLS,
        spelling="tlsCAFile=%2Fetc%2Fssl%2Fca.pem",
        otherwise="those that the system trusts",
    ),
    "tlsCertificateKeyFile": Meaning(
        "A PEM file with the client's certificate and its private key.",
        _URI_TLS,
        spelling="tlsCertificateKeyFile=%2Fetc%2Fssl%2Fclient.pem",
    ),
    "tlsCertificateKeyFilePassword": Meaning(
        "The password of the private key in `tlsCertificateKeyFile`. It appears in no message, log or repr.",
        _URI_TLS,
        spelling="tlsCertificateKeyFilePassword=secret",
    ),
    "tlsInsecure": Meaning(
        "Accepts any certificate, of any host. For tests only: others on the network can read and change all data.",
        _URI_TLS,
        spelling="tls=true&tlsInsecure=true",
        otherwise="false",
    ),
    "tlsAllowInvalidCertificates": Meaning(
        "Accepts a certificate that is expired, or that no trusted authority signed. "
        "Cannot be combined with `tlsInsecure`.",
        _URI_TLS,
        spelling="tls=true&tlsAllowInvalidCertificates=true",
        otherwise="false",
    ),
    "tlsAllowInvalidHostnames": Meaning(
        "Accepts a certificate that was issued for another host. Cannot be combined with `tlsInsecure`.",
        _URI_TLS,
        spelling="tls=true&tlsAllowInvalidHostnames=true",
        otherwise="false",
    ),
    "tlsDisableOCSPEndpointCheck": Meaning(
        "Does not ask OCSP responders. It is understood and has no effect: Python's `ssl` never asks them.",
        _URI_TLS,
        spelling="tls=true&tlsDisableOCSPEndpointCheck=true",
        otherwise="false",
    ),
    "tlsDisableCertificateRevocationCheck": Meaning(
        "Does not check whether certificates were revoked. It is understood and has no effect: Python's `ssl` never "
        "checks.",
        _URI_TLS,
        spelling="tls=true&tlsDisableCertificateRevocationCheck=true",
        otherwise="false",
    ),
}

HANDSHAKE: Mapping[str, Meaning] = {
    "appName": Meaning(
        "The application's name, which the server writes to its logs and profiler. At most 128 bytes in UTF-8.",
        "mongodb-handshake",
        spelling="appName=shop",
    ),
    "compressors": Meaning(
        "The algorithms to compress messages with, in the order of preference; the first that the server has too is "
        "used. `snappy` and `zstd` may need an extra package.",
        "compression",
        (),
        "compressors=zstd,zlib",
    ),
    "zlibCompressionLevel": Meaning(
        "The level of `zlib`: 0 does not compress, 9 compresses most and takes longest, -1 is zlib's own default.",
        "compression",
        -1,
        "compressors=zlib&zlibCompressionLevel=6",
    ),
    "server_api": Meaning("The version of the Stable API that every command declares (server 5.0).", "versioned-api"),
    "driver": Meaning(
        "The name and version of a library that is built on wiredrv, for the server's logs.",
        'mongodb-handshake, "Supporting Wrapping Libraries"',
    ),
    "username": Meaning(
        "The user to authenticate as. In a connection string it stands before the host: `mongodb://user:password@host`.",
        _AUTH,
        otherwise="no authentication",
    ),
    "password": Meaning(
        "The user's password. In a connection string it stands before the host, percent-encoded. It appears in no "
        "message, log or repr.",
        _AUTH,
    ),
    "credentials": Meaning(
        "A function, synchronous or not, that returns ClientCredentials: the user, the password and the files for TLS "
        "of each new connection. For passwords and certificates that change while the client is open.",
        "this driver's own",
    ),
    "authMechanism": Meaning(
        "How to authenticate: `SCRAM-SHA-256`, `SCRAM-SHA-1`, `MONGODB-X509`, `PLAIN`, `MONGODB-OIDC` or "
        "`MONGODB-AWS`. Others are refused.",
        _AUTH,
        spelling="authMechanism=SCRAM-SHA-256",
        otherwise="`SCRAM-SHA-256` if the server offers it to the user, else `SCRAM-SHA-1`",
    ),
    "authMechanismProperties": Meaning(
        "Properties of a mechanism, by their names. For MONGODB-OIDC: `ENVIRONMENT` with `TOKEN_RESOURCE`, which may "
        "contain colons (one with a comma can be a keyword only); or, as keywords, `OIDC_CALLBACK`, or "
        "`OIDC_HUMAN_CALLBACK` with `ALLOWED_HOSTS`. For MONGODB-AWS: `AWS_CREDENTIAL_PROVIDER`, a keyword only. "
        "What a mechanism does not take is refused.",
        _AUTH,
        spelling="authMechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:azure,TOKEN_RESOURCE:api://cluster",
    ),
    "authSource": Meaning(
        "The database that knows the user.",
        _AUTH,
        spelling="authSource=admin",
        otherwise="the database that the connection string names, else `admin`; `$external` for "
        "mechanisms whose users are known elsewhere",
    ),
}

POOLS: Mapping[str, Meaning] = {
    "maxPoolSize": Meaning(
        "How many connections to each server there may be, those in use included. 0 sets no limit.",
        _CMAP,
        100,
        "maxPoolSize=20",
        "connections",
    ),
    "minPoolSize": Meaning(
        "How many connections to each server are kept open, idle or in use.",
        _CMAP,
        0,
        "minPoolSize=5",
        "connections",
    ),
    "maxIdleTimeMS": Meaning(
        "How long a connection may be idle in the pool before it is closed. 0 sets no limit.",
        _CMAP,
        0,
        "maxIdleTimeMS=60000",
        _MS,
    ),
    "maxConnecting": Meaning(
        "How many connections to each server may be made at the same time.",
        _CMAP,
        2,
        "maxConnecting=4",
        "connections",
    ),
    "waitQueueTimeoutMS": Meaning(
        "How long an operation may wait for a connection before it fails with WaitQueueTimeoutError. 0 sets no limit.",
        _CMAP,
        0,
        "waitQueueTimeoutMS=5000",
        _MS,
    ),
}

SERVERS: Mapping[str, Meaning] = {
    "replicaSet": Meaning(
        "The name of the replica set. Servers that do not belong to it are ignored.",
        _SDAM,
        spelling="replicaSet=rs0",
        otherwise="any set: the name that the first member reports",
    ),
    "directConnection": Meaning(
        "Whether to talk to the one given host alone, whatever it is, and not to look for others.",
        _SDAM,
        spelling="directConnection=true",
        otherwise="false",
    ),
    "loadBalanced": Meaning(
        "Whether the one given host is a load balancer in front of a sharded cluster (server 5.0).",
        "load-balancers",
        False,
        "loadBalanced=true",
    ),
    "heartbeatFrequencyMS": Meaning(
        "The time between two checks of a server by its monitor. At least 500.",
        "server-monitoring; server-discovery-and-monitoring",
        10_000,
        "heartbeatFrequencyMS=5000",
        _MS,
    ),
    "serverSelectionTimeoutMS": Meaning(
        "How long an operation waits for a suitable server before it fails with ServerSelectionTimeoutError. 0 takes "
        "what is known now.",
        _SELECTION,
        30_000,
        "serverSelectionTimeoutMS=5000",
        _MS,
    ),
    "serverSelectionTryOnce": Meaning(
        "An option of older drivers. This one always selects until `serverSelectionTimeoutMS` has passed; `true` is "
        "warned about and ignored.",
        'server-selection, "serverSelectionTryOnce"',
        False,
        "serverSelectionTryOnce=false",
    ),
    "localThresholdMS": Meaning(
        "How much longer than the nearest suitable server another one may take to answer and still be chosen.",
        _SELECTION,
        15,
        "localThresholdMS=30",
        _MS,
    ),
    "serverMonitoringMode": Meaning(
        "How monitors learn of changes: the server streams them (`stream`), the monitor asks every "
        "`heartbeatFrequencyMS` (`poll`), or it polls where functions run as a service and streams elsewhere (`auto`). "
        "Streaming needs server 4.4.",
        'server-monitoring, "serverMonitoringMode"',
        "auto",
        "serverMonitoringMode=poll",
    ),
    "srvMaxHosts": Meaning(
        "How many of the hosts that a `mongodb+srv://` name leads to are used, chosen at random. 0 uses all.",
        'initial-dns-seedlist-discovery, "srvMaxHosts"',
        0,
        "srvMaxHosts=3",
        "hosts",
    ),
    "srvServiceName": Meaning(
        "The service that is looked up in DNS for a `mongodb+srv://` name.",
        'initial-dns-seedlist-discovery, "srvServiceName"',
        "mongodb",
        "srvServiceName=customname",
    ),
}

EXECUTION: Mapping[str, Meaning] = {
    "prefetch": Meaning(
        "Whether the cursors of `find` and `aggregate` fetch the next batch in the background while the documents of "
        "the one before are read. A call's own `prefetch` wins over it.",
        "this driver's own",
        False,
        "prefetch=true",
    ),
    "retryReads": Meaning(
        "Whether a read that failed by the network, or because the primary changed, is sent once more.",
        "retryable-reads",
        True,
        "retryReads=false",
    ),
    "retryWrites": Meaning(
        "Whether a write that failed by the network, or because the primary changed, is sent once more. The server "
        "applies it once. Not retried are statements that write to many documents, and writes with `w=0`.",
        "retryable-writes",
        True,
        "retryWrites=false",
    ),
    "timeoutMS": Meaning(
        "How long each operation may take with its retries. Databases, collections, calls and sessions can have "
        "limits of their own: [Time and cancellation](../timeouts.md). 0 sets no limit, but operations are retried "
        "as often as necessary. With it, `waitQueueTimeoutMS`, `socketTimeoutMS`, `wTimeoutMS` and `maxTimeMS` are "
        "ignored.",
        "client-side-operations-timeout",
        None,
        "timeoutMS=0",
        _MS,
        "no limit",
    ),
    "maxAdaptiveRetries": Meaning(
        "How often an operation is sent again to a server that reports that it is overloaded.",
        "client-backpressure",
        2,
        "maxAdaptiveRetries=3",
        "retries",
    ),
    "enableOverloadRetargeting": Meaning(
        "Whether such a retry goes to another server if there is one.",
        "client-backpressure",
        False,
        "enableOverloadRetargeting=true",
    ),
}

OBSERVATION: Mapping[str, Meaning] = {
    "tracing": Meaning(
        "Whether the client makes OpenTelemetry spans: a dict with `enabled`, `query_text_max_length` (the characters "
        "of each command in the attribute `db.query.text`; 0 leaves it out) and `tracer_provider`. It wins over the "
        "environment variables `OTEL_PYTHON_INSTRUMENTATION_MONGODB_ENABLED` and "
        "`OTEL_PYTHON_INSTRUMENTATION_MONGODB_QUERY_TEXT_MAX_LENGTH`. Needs the extra `otel`.",
        'open-telemetry, "Enabling, Disabling, and Configuring OpenTelemetry"',
        otherwise="the environment variables decide; off without them",
    ),
}

CONCERNS: Mapping[str, Meaning] = {
    "readConcernLevel": Meaning(
        "How durable what is read must be: `local`, `majority`, `linearizable`, `available` or `snapshot`.",
        "read-write-concern",
        spelling="readConcernLevel=majority",
        otherwise="the server's default",
    ),
    "read_concern": Meaning(
        "The same as an object. Cannot be combined with `readConcernLevel`.",
        "read-write-concern",
        otherwise="the server's default",
    ),
    "w": Meaning(
        "How many members must have a write before it is acknowledged: a number, `majority`, or the name of a custom "
        "write concern. 0 does not wait for an answer.",
        "read-write-concern",
        spelling="w=majority",
        otherwise="the server's default",
    ),
    "wTimeoutMS": Meaning(
        "How long the server waits for the members that `w` asks for before it reports WTimeoutError; the write itself "
        "stays. 0 sets no limit.",
        "read-write-concern",
        spelling="w=majority&wTimeoutMS=5000",
        unit=_MS,
        otherwise="the server's default",
    ),
    "journal": Meaning(
        "Whether those members must have the write in their journal.",
        "read-write-concern",
        spelling="journal=true",
        otherwise="the server's default",
    ),
    "write_concern": Meaning(
        "The three above as an object. Cannot be combined with any of them.",
        "read-write-concern",
        otherwise="the server's default",
    ),
    "readPreference": Meaning(
        "Which members may answer reads: `primary`, `primaryPreferred`, `secondary`, `secondaryPreferred` or "
        "`nearest`. As a keyword, also a ReadPreference object.",
        'server-selection, "Read Preference"',
        "primary",
        "readPreference=secondaryPreferred",
    ),
    "readPreferenceTags": Meaning(
        "Tags that a member must have. Given several times, each is a set of its own, and the first that some member "
        "has counts.",
        'server-selection, "tag_sets"',
        (),
        "readPreference=secondary&readPreferenceTags=dc:ny,rack:1&readPreferenceTags=",
    ),
    "maxStalenessSeconds": Meaning(
        "How far a secondary may be behind to be read from. At least 90; -1 sets no limit.",
        "max-staleness",
        -1,
        "readPreference=secondary&maxStalenessSeconds=120",
        "seconds",
    ),
}

DOCUMENTS: Mapping[str, Meaning] = {
    "document_class": Meaning("The class of the documents that are returned.", _CODEC, dict),
    "tz_aware": Meaning(
        "Whether the datetimes in documents know their time zone, UTC.", _CODEC, False, "tz_aware=true"
    ),
    "tzinfo": Meaning("The time zone of the datetimes in documents. Needs `tz_aware`.", _CODEC, otherwise="UTC"),
    "type_registry": Meaning("Codecs for types of one's own.", _CODEC, otherwise="none"),
    "uuidRepresentation": Meaning(
        "How UUIDs are stored. With `unspecified`, Python's UUIDs cannot be stored.",
        "bson-binary-uuid",
        "unspecified",
        "uuidRepresentation=standard",
    ),
    "unicode_decode_error_handler": Meaning(
        "What happens with strings of documents that are not valid UTF-8.",
        _CODEC,
        "strict",
        "unicode_decode_error_handler=replace",
    ),
    "datetime_conversion": Meaning(
        "What a date becomes: a `datetime`; the nearest `datetime` (`datetime_clamp`); a `DatetimeMS`, which holds any "
        "date (`datetime_ms`); or a `DatetimeMS` only where a `datetime` cannot hold it (`datetime_auto`).",
        _CODEC,
        "datetime",
        "datetime_conversion=datetime_auto",
    ),
}

_NO_PROXY = "Refused with an error: this driver does not connect through a SOCKS5 proxy, and never goes past one."

REFUSED: Mapping[str, Meaning] = {
    "proxyHost": Meaning(_NO_PROXY, "socks5-support", spelling="proxyHost=localhost"),
    "proxyPort": Meaning(_NO_PROXY, "socks5-support", spelling="proxyPort=1080"),
    "proxyUsername": Meaning(_NO_PROXY, "socks5-support", spelling="proxyUsername=user"),
    "proxyPassword": Meaning(_NO_PROXY, "socks5-support", spelling="proxyPassword=secret"),
}

#: All of them by the headings under which the reference shows them.
GROUPS: Mapping[str, Mapping[str, Meaning]] = {
    "Sockets and TLS": SOCKETS,
    "Handshake and authentication": HANDSHAKE,
    "Connection pools": POOLS,
    "Servers: discovery, monitoring, selection": SERVERS,
    "Retries and time limits": EXECUTION,
    "Tracing": OBSERVATION,
    "Concerns and read preference": CONCERNS,
    "Documents": DOCUMENTS,
    "Not supported": REFUSED,
}

MEANINGS: Mapping[str, Meaning] = {name: meaning for group in GROUPS.values() for name, meaning in group.items()}


def options_help() -> str:
    """All options as the fields of a docstring, for ``help()``."""
    return "\n".join(f":param {name}: {_in_words(meaning)}" for name, meaning in MEANINGS.items())


def _in_words(meaning: Meaning) -> str:
    unit = f" In {meaning.unit}." if meaning.unit in (_MS, "seconds") else ""
    shown = meaning.default.__name__ if isinstance(meaning.default, type) else repr(meaning.default)
    default = "" if meaning.default in (None, ()) else f" {shown} by default."
    otherwise = f" Without it: {meaning.otherwise}." if meaning.otherwise else ""
    return meaning.text.replace("`", "``") + unit + default + otherwise
