"""The settings of one bare connection (``wiredrv.connect``), and why options of a whole client are refused there. Pure.

Rules kept here:

* An option that has no meaning for one connection is refused with the reason, wherever it is given. It is not ignored:
  who asks for ``retryWrites`` and gets none would not notice.
* Hosts, users, TLS and the handshake mean the same as for a client, and the same reader reads them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from wiredrv.connection.settings import DriverInfo
from wiredrv.errors import ConfigurationError
from wiredrv.options.assemble import assemble
from wiredrv.options.settings import ClientSettings, Given
from wiredrv.options.table import OPTIONS, Option
from wiredrv.options.uri import read_given

_NO_POOL = "one connection has no pool"
_NO_DISCOVERY = "one connection leads to one server, which is neither discovered, nor monitored, nor selected"
_NO_EXECUTION = "commands are sent once, as they are given"
_NO_CONCERNS = "commands are sent as they are given: put the read or write concern into the command"
_NO_PREFERENCE = "commands are sent as they are given: put $readPreference into the command"
_NO_CODEC = "replies are plain dicts"
_NO_TRACING = "only the operations of a client are traced"

#: The reasons by the package that uses the setting.
_REASON_OF_PACKAGE = {
    "pool": _NO_POOL,
    "topology": _NO_DISCOVERY,
    "execution": _NO_EXECUTION,
    "codec": _NO_CODEC,
}
#: The reasons of options that are combined with others.
_REASON_OF_OPTION = {
    **dict.fromkeys(("serverSelectionTryOnce",), _NO_DISCOVERY),
    "tracing": _NO_TRACING,
    "prefetch": _NO_EXECUTION,
    **dict.fromkeys(("readConcernLevel", "read_concern", "w", "wTimeoutMS", "journal", "write_concern"), _NO_CONCERNS),
    **dict.fromkeys(("readPreference", "readPreferenceTags", "maxStalenessSeconds"), _NO_PREFERENCE),
}


def reason_to_refuse(option: Option) -> str | None:
    """Why an option has no meaning for one connection; None if it has one."""
    return _REASON_OF_OPTION.get(option.name) or _REASON_OF_PACKAGE.get(option.into.partition(".")[0])


def connection_settings(address: object, keyword_options: Mapping[str, Any], app_name: object = None) -> ClientSettings:
    """Read the arguments of ``wiredrv.connect``; of the settings, one seed and those of connections are meant.

    :param address: a connection string, or what stands for a host there.
    :param keyword_options: options as those of a client; None counts as not given.
    :param app_name: ``appName`` by its other name.
    :raises InvalidURI: the connection string does not follow the grammar.
    :raises ConfigurationError: it names several hosts, or an option has no meaning for one connection, is unknown,
        has an invalid value, or contradicts another.
    """
    if not isinstance(address, str):
        raise ConfigurationError(
            f"a connection string or an address is a string, as 'localhost:27017', not {address!r}"
        )
    if app_name is not None:
        twice = next((name for name in keyword_options if name.lower() == "appname"), None)
        if twice is not None:
            raise ConfigurationError(f"app_name and {twice} are two names of one option: give one of them")
        keyword_options = {**keyword_options, "appName": app_name}
    given = read_given(address, keyword_options)
    _check(given)
    return assemble(given)


def checked_seconds(name: str, value: object) -> float | None:
    """A time limit of the connection.

    :raises ConfigurationError: it is neither a number above 0 nor None.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ConfigurationError(f"{name} must be a number of seconds above 0, or None for no limit, not {value!r}")
    return value


def checked_driver_info(value: object) -> Iterable[DriverInfo]:
    """The libraries that are built on the driver.

    :raises ConfigurationError: it is anything else than a tuple of them.
    """
    if not isinstance(value, (tuple, list)) or not all(isinstance(each, DriverInfo) for each in value):
        raise ConfigurationError(f"driver_info must be a tuple of DriverInfo objects, not {value!r}")
    return value


def _check(given: Given) -> None:
    if given.srv_host is not None:
        raise ConfigurationError(
            "wiredrv.connect() opens one connection to one server, and the name in a mongodb+srv:// string may stand "
            "for many: give the host of one of them, with tls=true"
        )
    if len(given.seeds) > 1:
        raise ConfigurationError(
            "wiredrv.connect() opens one connection to one server: give one host, or use a Client for a deployment"
        )
    for option in OPTIONS:
        if option.name not in given.options:
            continue
        reason = reason_to_refuse(option)
        if reason is not None and not _is_harmless(option.name, given.options[option.name]):
            raise ConfigurationError(
                f"wiredrv.connect() takes no {option.name}: {reason}; leave it out, or use a Client"
            )


def _is_harmless(name: str, value: object) -> bool:
    # What connection strings of single servers often say, and what holds here anyway.
    return name == "directConnection" and value is True
