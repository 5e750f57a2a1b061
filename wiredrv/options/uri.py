"""Connection strings: their grammar, and their conversion, with keyword arguments, to checked settings.

Rules kept here:

* Pure: nothing is looked up. A ``mongodb+srv`` string yields settings without seeds; :func:`settings_with_srv` adds
  what DNS answered.
* Precedence: keyword arguments, then the connection string, then a TXT record, then the defaults.
* Parts of the string that are ignored are reported with :class:`~wiredrv.errors.ConfigurationWarning`; contradictions
  raise.
* No error and no warning repeats user information, or anything that may be a misplaced part of it.

Specifications: connection-string, uri-options, initial-dns-seedlist-discovery.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from wiredrv.concerns import ReadPreference
from wiredrv.errors import ConfigurationError, ConfigurationWarning, InvalidURI
from wiredrv.options.assemble import assemble
from wiredrv.options.settings import ClientSettings, Given
from wiredrv.options.table import read_keywords, read_options
from wiredrv.origin import warn
from wiredrv.topology.srv import check_srv_hosts, pick_srv_hosts
from wiredrv.types import Address

_SCHEME = "mongodb://"
_SRV_SCHEME = "mongodb+srv://"
_MISSPELT_SCHEME = re.compile(r"mongodb(\+srv)?(:/|:(?!\d)|/+)", re.IGNORECASE)
_NUMERIC_PORT = re.compile(r"(localhost|[0-9.]+|\[[^]@]*\]):(?P<port>\d{1,6})", re.IGNORECASE)
_DOTTED_NAME_AND_NUMBER = re.compile(r"[^:@]*\.[^:@]*:\d{1,6}")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORBIDDEN_IN_DATABASE = re.compile(r'[/\\ "$]')
_SCHEME_NEEDED = "the connection string must begin with mongodb:// or mongodb+srv://"
_ENCODE_USERINFO = (
    "the user name and the password must be percent-encoded: pass each through urllib.parse.quote_plus(), "
    "or give them as the keyword arguments username and password"
)
_PARTS = {"read_concern": ("readConcernLevel",), "write_concern": ("w", "wTimeoutMS", "journal")}
_TLS_NAMES = ("tls", "ssl")
_TXT_OPTIONS = frozenset({"authsource", "replicaset", "loadbalanced"})


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """The parts of a connection string, decoded, before any option is checked.

    :param hosts: the hosts as given, or none where ``srv_host`` stands for them.
    :param srv_host: the host of a ``mongodb+srv`` string.
    :param username: the user's name, or None.
    :param password: the password; None when there was no colon.
    :param database: what follows the slash, or None.
    :param options: names and decoded values, in their order.
    """

    hosts: tuple[Address, ...]
    srv_host: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def parse_uri(uri: str, port: int | None = None) -> ConnectionString:
    """Parse a connection string (connection-string specification).

    :param port: for hosts without one; None means the default.
    :raises InvalidURI: it does not follow the grammar.
    :raises ConfigurationError: a port is given for hosts that DNS names.
    """
    srv = uri.startswith(_SRV_SCHEME)
    if not srv and not uri.startswith(_SCHEME):
        raise InvalidURI(_SCHEME_NEEDED)
    rest = uri[len(_SRV_SCHEME if srv else _SCHEME) :]
    # The slash before the options may be missing, so either of the two ends the hosts.
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    database_text, _, options_text = path.removeprefix("/").partition("?")
    if "@" not in authority and "@" in database_text:
        raise InvalidURI(_ENCODE_USERINFO)
    userinfo, at, hosts_text = authority.rpartition("@")
    username, password = _parse_userinfo(userinfo) if at else (None, None)
    hosts = _parse_hosts(hosts_text, port)
    if srv:
        _check_srv(hosts_text)
        if port is not None:
            raise ConfigurationError(
                "port has no meaning for a mongodb+srv:// string, whose SRV records name the ports"
            )
    return ConnectionString(
        hosts=() if srv else hosts,
        srv_host=hosts[0].host if srv else None,
        username=username,
        password=password,
        database=_parse_database(database_text),
        options=parse_option_text(options_text),
    )


def _parse_userinfo(text: str) -> tuple[str, str | None]:
    name, colon, password = text.partition(":")
    if "@" in text or ":" in password or _BAD_PERCENT.search(text):
        raise InvalidURI(_ENCODE_USERINFO)
    if not name:
        raise InvalidURI("the user name before '@' is empty: leave the '@' out, or give a name")
    return unquote(name), unquote(password) if colon else None


def _parse_hosts(text: str, port: int | None) -> tuple[Address, ...]:
    if not text:
        raise InvalidURI(
            "the connection string has no host; the path of a Unix domain socket must be percent-encoded, "
            "as in mongodb://%2Ftmp%2Fmongodb-27017.sock"
        )
    return tuple(_with_port(unquote(host), number, port) for number, host in enumerate(text.split(","), 1))


def _parse_host(text: str, number: int) -> Address:
    address = _address_or_none(text)
    if address is not None and ("/" not in address.host or address.port is None):
        return address
    if not text:
        raise InvalidURI(f"host {number} of the connection string is empty")
    # What follows a colon may be a password whose user information lacks its '@': it is shown only after what is a host
    # and cannot be a user's name, as jane.doe can.
    bad_port = _NUMERIC_PORT.fullmatch(text)
    if bad_port is not None:
        raise InvalidURI(
            f"host {number} of the connection string has the port {bad_port['port']}; it must be from 1 to 65535"
        )
    if _DOTTED_NAME_AND_NUMBER.fullmatch(text):
        raise InvalidURI(f"the port of host {number} of the connection string must be from 1 to 65535")
    raise InvalidURI(
        f"host {number} of the connection string is not a valid address: write host, host:port with a port from 1 to "
        "65535, [IPv6 address]:port, or the percent-encoded path of a socket that ends in .sock"
    )


def _address_or_none(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except ValueError:
        return None


def _check_srv(hosts_text: str) -> None:
    if "," in hosts_text:
        raise InvalidURI("a mongodb+srv:// connection string names exactly one host, whose SRV records name the others")
    if ":" in hosts_text or unquote(hosts_text).endswith(".sock"):
        raise InvalidURI("a mongodb+srv:// connection string names a host without a port: the SRV records give it")


def _parse_database(text: str) -> str | None:
    database = unquote(text)
    if _FORBIDDEN_IN_DATABASE.search(database):
        raise InvalidURI(
            "the database name of the connection string holds a slash, a backslash, a space, a quote or a dollar "
            "sign; options begin with '?', and a slash in a password or a socket's path must be percent-encoded"
        )
    return database or None


def parse_option_text(text: str) -> tuple[tuple[str, str], ...]:
    """Parse ``name=value&name=value``.

    :raises InvalidURI: a pair lacks its name or its equals sign.
    """
    separator = ";" if ";" in text and "&" not in text else "&"
    pairs = []
    for number, pair in enumerate(text.split(separator) if text else (), 1):
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidURI(f"option {number} of the connection string is not written name=value")
        pairs.append((unquote(name), unquote(value)))
    return tuple(pairs)


def parse_client_settings(
    uri_or_hosts: str | Sequence[str] | None = None, keyword_options: Mapping[str, Any] | None = None
) -> ClientSettings:
    """Convert a client's arguments to settings.

    :param uri_or_hosts: a connection string; a host, ``host:port`` or several with commas; a list of such hosts; None
        for this machine (an empty list names none, and is refused).
    :param keyword_options: options by the names that they have in a connection string, whatever their case; they win
        over it. None counts as not given. Beside the uri-options specification's: ``username``, ``password``,
        ``port`` (for hosts given without one), ``read_preference``, ``read_concern``, ``write_concern``,
        ``server_api``, ``driver``, ``document_class``, ``tz_aware``, ``tzinfo``, ``type_registry``,
        ``uuidRepresentation``, ``unicode_decode_error_handler``, ``datetime_conversion``.
    :returns: the settings; without seeds for a ``mongodb+srv`` string, see :func:`settings_with_srv`.
    :raises InvalidURI: the string does not follow the grammar.
    :raises ConfigurationError: options contradict each other, a keyword is unknown or has an invalid value, or an
        option is not supported by this driver.
    """
    return assemble(read_given(uri_or_hosts, keyword_options))


def read_given(
    uri_or_hosts: str | Sequence[str] | None = None, keyword_options: Mapping[str, Any] | None = None
) -> Given:
    """Read a client's arguments, and check each option by itself: the first half of :func:`parse_client_settings`."""
    keywords = dict(keyword_options or {})
    port = keywords.pop("port", None)
    string = _connection_string(uri_or_hosts, port)
    _refuse_tls_conflict(string.options, keywords)
    return Given(
        seeds=string.hosts,
        srv_host=string.srv_host,
        username=string.username,
        password=string.password,
        database=string.database,
        options=_merge(read_options(string.options, _ignored), read_keywords(keywords)),
    )


def _refuse_tls_conflict(pairs: Iterable[tuple[str, str]], keywords: Mapping[str, Any]) -> None:
    """Refuse ``tls`` and ``ssl`` that differ, wherever they are given: the driver does not guess which is meant.

    As always, a keyword takes precedence over the same name in the string.
    """
    given: dict[str, Any] = {}
    for name, text in pairs:
        if name.lower() in _TLS_NAMES:
            given |= {name.lower(): value for value in read_options([(name, text)], lambda _: None).values()}
    for name, value in keywords.items():
        if name.lower() in _TLS_NAMES:
            given |= {name.lower(): value for value in read_keywords({name: value}).values()}
    if len(set(given.values())) > 1:
        raise ConfigurationError("tls and ssl are two names of one option, and are given with different values")


def _merge(from_string: dict[str, Any], keywords: dict[str, Any]) -> dict[str, Any]:
    """Let keywords win; an object that stands for several options wins over each of them."""
    superseded = {name for whole, parts in _PARTS.items() if whole in keywords for name in parts}
    if isinstance(keywords.get("readPreference"), ReadPreference):
        superseded |= {"readPreferenceTags", "maxStalenessSeconds"}
    return {name: value for name, value in from_string.items() if name not in superseded} | keywords


def _connection_string(uri_or_hosts: str | Sequence[str] | None, port: int | None) -> ConnectionString:
    if port is not None and (isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= 65535):
        raise ConfigurationError(f"port must be a whole number from 1 to 65535, not {port!r}")
    if uri_or_hosts is not None and not isinstance(uri_or_hosts, Iterable):
        raise ConfigurationError(f"a connection string, a host or a list of hosts is needed, not {uri_or_hosts!r}")
    if uri_or_hosts is None:
        uri_or_hosts = "localhost"
    texts = [uri_or_hosts] if isinstance(uri_or_hosts, str) else list(uri_or_hosts)
    if not texts:
        raise ConfigurationError("the list of hosts is empty: name at least one, or give None for this machine")
    if not all(isinstance(text, str) for text in texts):
        raise ConfigurationError("the first argument must be a connection string, a host or a list of hosts")
    if any("://" in text for text in texts):
        if len(texts) > 1:
            raise ConfigurationError("give one connection string, with its hosts joined by commas, or a list of hosts")
        return parse_uri(texts[0], port)
    misspelt = _MISSPELT_SCHEME.match(texts[0])
    if misspelt and not texts[0].endswith(".sock"):
        raise InvalidURI(f"{_SCHEME_NEEDED}, not with {misspelt[0]!r}")
    hosts = [host.strip() for text in texts for host in text.split(",")]
    return ConnectionString(tuple(_with_port(host, number, port) for number, host in enumerate(hosts, 1)))


def _with_port(text: str, number: int, port: int | None) -> Address:
    address = _parse_host(text, number)
    has_port = text.rpartition("]")[2].startswith(":") if text.startswith("[") else ":" in text
    return address if port is None or address.port is None or has_port else Address(address.host, port)


def settings_with_srv(
    settings: ClientSettings,
    hosts: Sequence[Address],
    txt: Sequence[str] = (),
    shuffle: Callable[[list[Address]], None] | None = None,
) -> ClientSettings:
    """Add the answers of DNS to the settings of a ``mongodb+srv`` string.

    :param settings: the result of :func:`parse_client_settings`.
    :param hosts: the targets and ports of the SRV records.
    :param txt: the TXT records, each with its strings joined.
    :param shuffle: puts a list in random order, for ``srvMaxHosts``; ``random.shuffle`` when not given.
    :raises ConfigurationError: there are no hosts, one lies outside the domain, there are several TXT records, one
        holds an option that is not allowed there, or the result contradicts itself.
    """
    if settings.given is None or settings.topology.srv_host is None:
        raise ConfigurationError("only the settings of a mongodb+srv:// connection string can take SRV records")
    check_srv_hosts(settings.topology.srv_host, hosts)
    given = settings.given
    options = _read_txt(txt) | dict(given.options)
    seeds = pick_srv_hosts(hosts, options.get("srvMaxHosts", 0), shuffle)
    return assemble(replace(given, seeds=seeds, options=options))


def _read_txt(records: Sequence[str]) -> dict[str, Any]:
    if len(records) > 1:
        raise ConfigurationError("the host of the connection string has more than one TXT record; one is allowed")
    pairs = parse_option_text(records[0]) if records else ()
    for name, _ in pairs:
        if name.lower() not in _TXT_OPTIONS:
            raise ConfigurationError(
                f"the TXT record sets {name!r}; it may set authSource, replicaSet and loadBalanced only"
            )
    return read_options(pairs, _ignored)


def _ignored(text: str) -> None:
    warn(text, ConfigurationWarning)
