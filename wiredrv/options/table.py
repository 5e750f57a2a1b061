"""The table of options: the name of each, the kind of its value, and the setting that it sets.

Rules kept here:

* Names are the uri-options specification's own, and their case does not matter. An option without ``into`` depends on
  others: ``assemble.py`` handles these.
* In a connection string, an unknown option or an invalid value is warned about and ignored (connection-string
  specification, "Keys" and "Values"): the string may be written for another driver. A keyword argument is written
  for this one: there, both are errors.
* Values of options marked ``secret`` are never shown in a warning or an error.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion, TypeRegistry

from wiredrv.concerns import ReadConcern, ReadMode, ReadPreference, WriteConcern
from wiredrv.connection.settings import DriverInfo, ServerApi
from wiredrv.errors import ConfigurationError, UnknownOption
from wiredrv.options import kinds
from wiredrv.options.kinds import BadValue, Notice, OptionKind
from wiredrv.options.tracing import TRACING
from wiredrv.types import foreign_note, near_match


def _same(value: Any) -> Any:
    return value


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1000


def _limit(milliseconds: int) -> float | None:
    """Seconds; 0 means no limit."""
    return milliseconds / 1000 if milliseconds else None


def _deadline(milliseconds: int) -> float:
    """Seconds; 0 means a deadline without limit, which differs from none (client-side-operations-timeout)."""
    return milliseconds / 1000 if milliseconds else math.inf


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table.

    :param name: the specification's name.
    :param kind: what values it has.
    :param into: ``package.field`` of the setting; empty if it depends on other options.
    :param convert: converts the value to the setting.
    :param secret: whether the value must never be shown.
    :param listed: whether a connection string may repeat it, each time adding to a tuple.
    :param aliases: other names for it.
    :param outdated: earlier names, which are warned about.
    """

    name: str
    kind: OptionKind
    into: str = ""
    convert: Callable[[Any], Any] = _same
    secret: bool = False
    listed: bool = False
    aliases: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()


_NATURAL = kinds.integer(0)
_TEXT = kinds.text()
_SHOWN_TEXT = kinds.text("a string", empty=True)
_MODES = tuple(mode.value for mode in ReadMode)
_DECODERS = ("strict", "replace", "backslashreplace", "surrogateescape", "ignore")
_DATETIMES = {conversion.name.lower(): conversion for conversion in DatetimeConversion}
_UUIDS = {
    "unspecified": UuidRepresentation.UNSPECIFIED,
    "standard": UuidRepresentation.STANDARD,
    "pythonLegacy": UuidRepresentation.PYTHON_LEGACY,
    "javaLegacy": UuidRepresentation.JAVA_LEGACY,
    "csharpLegacy": UuidRepresentation.CSHARP_LEGACY,
}

OPTIONS: tuple[Option, ...] = (
    # Sockets and TLS.
    Option("connectTimeoutMS", _NATURAL, "net.connect_timeout", _limit),
    Option("socketTimeoutMS", _NATURAL, "net.socket_timeout", _limit),
    Option("tls", kinds.BOOLEAN, aliases=("ssl",)),
    Option("tlsCAFile", _TEXT),
    Option("tlsCertificateKeyFile", _TEXT),
    Option("tlsCertificateKeyFilePassword", _SHOWN_TEXT, secret=True),
    Option("tlsInsecure", kinds.BOOLEAN),
    Option("tlsAllowInvalidCertificates", kinds.BOOLEAN),
    Option("tlsAllowInvalidHostnames", kinds.BOOLEAN),
    Option("tlsDisableOCSPEndpointCheck", kinds.BOOLEAN),
    Option("tlsDisableCertificateRevocationCheck", kinds.BOOLEAN),
    # Handshake and authentication.
    Option(
        "appName", kinds.text("a string of 1 to 128 bytes", max_bytes=128), "connection.app_name", aliases=("appname",)
    ),
    Option("compressors", kinds.names(("snappy", "zlib", "zstd")), "connection.compressors"),
    Option("zlibCompressionLevel", kinds.integer(-1, 9), "connection.zlib_compression_level"),
    Option("server_api", kinds.value_object(ServerApi), "connection.server_api"),
    Option("driver", kinds.value_object(DriverInfo), "connection.driver_info", lambda info: (info,)),
    Option("username", kinds.instance("a string", str)),
    Option("password", kinds.instance("a string", str), secret=True),
    Option("credentials", kinds.FUNCTION, "connection.credentials_callback", secret=True),
    Option("authMechanism", _TEXT),
    Option("authMechanismProperties", kinds.PAIRS, secret=True),
    Option("authSource", _SHOWN_TEXT),
    # Pools.
    Option("maxPoolSize", _NATURAL, "pool.max_pool_size"),
    Option("minPoolSize", _NATURAL, "pool.min_pool_size"),
    Option("maxIdleTimeMS", _NATURAL, "pool.max_idle_time", _limit),
    Option("maxConnecting", kinds.integer(1), "pool.max_connecting"),
    Option("waitQueueTimeoutMS", _NATURAL, "pool.wait_queue_timeout", _limit),
    # Discovery, monitoring and selection.
    Option("replicaSet", _TEXT, "topology.set_name"),
    Option("directConnection", kinds.BOOLEAN, "topology.direct_connection"),
    Option("loadBalanced", kinds.BOOLEAN),
    Option("heartbeatFrequencyMS", kinds.integer(500), "topology.heartbeat_frequency", _seconds),
    Option("serverSelectionTimeoutMS", _NATURAL, "topology.server_selection_timeout", _seconds),
    Option("serverSelectionTryOnce", kinds.TRY_ONCE),
    Option("localThresholdMS", _NATURAL, "topology.local_threshold", _seconds),
    Option("serverMonitoringMode", kinds.choice("auto", "stream", "poll"), "topology.server_monitoring_mode"),
    Option("srvMaxHosts", _NATURAL, "topology.srv_max_hosts"),
    Option("srvServiceName", kinds.SERVICE_NAME, "topology.srv_service_name"),
    # Execution.
    Option("retryReads", kinds.BOOLEAN, "execution.retry_reads"),
    Option("retryWrites", kinds.BOOLEAN, "execution.retry_writes"),
    Option("timeoutMS", _NATURAL, "execution.timeout", _deadline),
    Option("maxAdaptiveRetries", _NATURAL, "execution.max_adaptive_retries"),
    Option("enableOverloadRetargeting", kinds.BOOLEAN, "execution.enable_overload_retargeting"),
    Option("tracing", TRACING),
    Option("prefetch", kinds.BOOLEAN),
    # Concerns and preferences.
    Option("readConcernLevel", _TEXT),
    Option("read_concern", kinds.value_object(ReadConcern)),
    Option("w", kinds.W),
    Option("wTimeoutMS", kinds.integer(0, kinds.INT64), outdated=("wtimeout",)),
    Option("journal", kinds.BOOLEAN, outdated=("j",)),
    Option("write_concern", kinds.value_object(WriteConcern)),
    Option("readPreference", kinds.either(kinds.choice(*_MODES), ReadPreference), aliases=("read_preference",)),
    Option("readPreferenceTags", kinds.TAG_SETS, listed=True),
    Option(
        "maxStalenessSeconds", kinds.integer(0, also=-1, words="a whole number (of 90 and more), or -1 for no limit")
    ),
    # How documents become Python objects (bson's CodecOptions).
    Option("document_class", kinds.DOCUMENT_CLASS, "codec.document_class"),
    Option("tz_aware", kinds.BOOLEAN, "codec.tz_aware", aliases=("tzAware",)),
    Option("tzinfo", kinds.instance("a datetime.tzinfo", datetime.tzinfo), "codec.tzinfo"),
    Option("type_registry", kinds.instance("a bson TypeRegistry", TypeRegistry), "codec.type_registry"),
    Option("uuidRepresentation", kinds.named(_UUIDS), "codec.uuid_representation"),
    Option("unicode_decode_error_handler", kinds.choice(*_DECODERS), "codec.unicode_decode_error_handler"),
    Option("datetime_conversion", kinds.named(_DATETIMES), "codec.datetime_conversion"),
    # Refused by design, with an error, rather than ignored: traffic must not bypass a proxy unnoticed.
    Option("proxyHost", _TEXT),
    Option("proxyPort", kinds.integer(0, 65535)),
    Option("proxyUsername", _TEXT),
    Option("proxyPassword", _TEXT, secret=True),
)

_BY_NAME = {name.lower(): option for option in OPTIONS for name in (option.name, *option.aliases, *option.outdated)}
_OUTDATED = {name.lower() for option in OPTIONS for name in option.outdated}

#: Keywords of PyMongo's client that have no counterpart among the options, and what to write instead.
_ELSEWHERE = {
    "auto_encryption_opts": "client-side encryption is not supported yet",
}


def read_options(pairs: Iterable[tuple[str, str]], warn: Callable[[str], None]) -> dict[str, Any]:
    """Read the options of a connection string or of a TXT record.

    :param pairs: names and percent-decoded values in their order.
    :param warn: called for everything that is ignored, outdated or given twice.
    :returns: the values by the options' own names.
    :raises ConfigurationError: ``tls`` and ``ssl`` differ.
    """
    values: dict[str, Any] = {}
    given_as: dict[str, str] = {}
    for given, text in pairs:
        option = _BY_NAME.get(given.lower())
        if option is None:
            warn(f"the option {given!r} is unknown and ignored{_near_match(given)}")
            continue
        if given.lower() in _OUTDATED:
            warn(f"the option {given!r} is outdated: write {option.name}")
            if option.name in values:
                continue
        value = _read_value(option, text, warn)
        if value is None:
            continue
        if option.listed:
            values[option.name] = (*values.get(option.name, ()), *value)
            continue
        if option.name in values:
            _check_repetition(option, values[option.name], value, same_name=given_as[option.name] == given, warn=warn)
        values[option.name], given_as[option.name] = value, given
    return values


def _read_value(option: Option, text: str, warn: Callable[[str], None]) -> Any:
    try:
        value = option.kind.from_text(text)
    except BadValue as problem:
        shown = "" if option.secret else f" {text!r}"
        warn(f"the value{shown} of {option.name} is ignored: it {_must_be(option, problem)}")
        return None
    if isinstance(value, Notice):
        warn(f"{option.name}: {value.warning}")
        return value.value
    return value


def _check_repetition(
    option: Option, before: object, now: object, *, same_name: bool, warn: Callable[[str], None]
) -> None:
    if option.name == "tls" and before is not now:
        raise ConfigurationError("tls and ssl are two names of one option, and are given with different values")
    if same_name:
        warn(f"the option {option.name} is given more than once; the last value counts")


def read_keywords(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Check keyword arguments; those that are None count as not given.

    :returns: the values by the options' own names.
    :raises UnknownOption: an option is unknown.
    :raises ConfigurationError: an option is given under two names, or has an invalid value.
    """
    values: dict[str, Any] = {}
    for given, value in keywords.items():
        option = _BY_NAME.get(given.lower())
        if option is None:
            advice = f": {_ELSEWHERE[given]}" if given in _ELSEWHERE else _near_match(given)
            raise UnknownOption(f"unknown option {given!r}{advice}")
        if value is None:
            continue
        if option.name in values:
            raise ConfigurationError(f"the option {option.name} is given under two names")
        values[option.name] = _check_keyword(option, value)
    return values


def _check_keyword(option: Option, value: object) -> object:
    problem: BadValue
    try:
        return option.kind.from_keyword(value)
    except BadValue as caught:
        problem = caught
    # Raised outside of the handler, so that no chained error contains the value.
    shown = "" if option.secret else f", not {value!r}{foreign_note(value)}"
    raise ConfigurationError(f"{option.name} {_must_be(option, problem)}{shown}")


def _must_be(option: Option, problem: BadValue) -> str:
    addition = f" ({problem})" if str(problem) else ""
    return f"must be {option.kind.accepts}{addition}"


def _near_match(given: str) -> str:
    """The option that was probably meant, as the end of a message."""
    near = near_match(given, _BY_NAME)
    return f"; did you mean {_BY_NAME[near].name}?" if near else ""
