"""Connection strings and keyword arguments, beyond the specifications' own cases."""

from __future__ import annotations

import datetime
import math
import uuid
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

import pytest
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st
from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError as PyMongoConfigurationError

import wiredrv
from wiredrv.concerns import ReadConcern, ReadMode, ReadPreference, WriteConcern
from wiredrv.connection.settings import Credentials, DriverInfo, ServerApi
from wiredrv.errors import ConfigurationError, ConfigurationWarning, DriverError, InvalidURI
from wiredrv.net.settings import TLSSettings
from wiredrv.options.settings import ClientSettings
from wiredrv.options.table import OPTIONS, read_keywords
from wiredrv.options.uri import parse_client_settings, parse_uri, settings_with_srv
from wiredrv.types import Address, TimeLimit

SECRET = "hunter2secret"


def parse(uri: str | list[str] | None = None, **keywords: Any) -> ClientSettings:
    return parse_client_settings(uri, keywords)


# --- defaults and where options go ----------------------------------------------------------------------------------


def test_defaults_are_the_specifications() -> None:
    assert parse() == ClientSettings()
    assert parse("mongodb://localhost") == ClientSettings()


PLACES = [
    ("connectTimeoutMS", 0, "net.connect_timeout", None),
    ("connectTimeoutMS", 1500, "net.connect_timeout", 1.5),
    ("socketTimeoutMS", 0, "net.socket_timeout", None),
    ("socketTimeoutMS", 7500, "net.socket_timeout", 7.5),
    ("appName", "shop", "connection.app_name", "shop"),
    ("compressors", "zstd,zlib", "connection.compressors", ("zstd", "zlib")),
    ("zlibCompressionLevel", 9, "connection.zlib_compression_level", 9),
    ("loadBalanced", True, "connection.load_balanced", True),
    ("loadBalanced", True, "topology.load_balanced", True),
    ("maxPoolSize", 0, "pool.max_pool_size", 0),
    ("minPoolSize", 3, "pool.min_pool_size", 3),
    ("maxIdleTimeMS", 50, "pool.max_idle_time", 0.05),
    ("maxIdleTimeMS", 0, "pool.max_idle_time", None),
    ("maxConnecting", 7, "pool.max_connecting", 7),
    ("waitQueueTimeoutMS", 100, "pool.wait_queue_timeout", 0.1),
    ("replicaSet", "rs0", "topology.set_name", "rs0"),
    ("directConnection", True, "topology.direct_connection", True),
    ("directConnection", False, "topology.direct_connection", False),
    ("heartbeatFrequencyMS", 500, "topology.heartbeat_frequency", 0.5),
    ("serverSelectionTimeoutMS", 0, "topology.server_selection_timeout", 0.0),
    ("localThresholdMS", 3000, "topology.local_threshold", 3.0),
    ("serverMonitoringMode", "poll", "topology.server_monitoring_mode", "poll"),
    ("retryReads", False, "execution.retry_reads", False),
    ("retryWrites", False, "execution.retry_writes", False),
    ("timeoutMS", 100, "execution.timeout", 0.1),
    ("timeoutMS", 0, "execution.timeout", math.inf),
    ("maxAdaptiveRetries", 0, "execution.max_adaptive_retries", 0),
    ("enableOverloadRetargeting", True, "execution.enable_overload_retargeting", True),
    ("tz_aware", True, "codec_options.tz_aware", True),
    ("uuidRepresentation", "standard", "codec_options.uuid_representation", UuidRepresentation.STANDARD),
    ("datetime_conversion", "datetime_ms", "codec_options.datetime_conversion", DatetimeConversion.DATETIME_MS),
]


def _at(settings: Any, place: str) -> Any:
    for name in place.split("."):
        settings = getattr(settings, name)
    return settings


@pytest.mark.parametrize("name, value, place, expected", PLACES)
def test_an_option_reaches_its_setting_as_keyword_and_in_the_string(
    name: str, value: Any, place: str, expected: Any
) -> None:
    as_text = str(value).lower() if isinstance(value, bool) else value
    assert _at(parse(f"mongodb://localhost/?{name}={as_text}"), place) == expected
    assert _at(parse(**{name: value}), place) == expected
    assert _at(parse(**{name.upper(): value}), place) == expected


def test_cursors_read_ahead_if_the_client_says_so() -> None:
    assert not parse_client_settings(None, {}).prefetch
    assert parse_client_settings(None, {"prefetch": True}).prefetch
    assert parse_client_settings("mongodb://a/?prefetch=true", {}).prefetch
    assert not parse_client_settings("mongodb://a/?prefetch=true", {"prefetch": False}).prefetch


def test_every_option_with_a_place_is_tried_above() -> None:
    elsewhere = {"server_api", "driver", "document_class", "tzinfo", "type_registry", "srvMaxHosts"}
    elsewhere |= {"srvServiceName", "unicode_decode_error_handler", "credentials"}
    assert {option.name for option in OPTIONS if option.into} == {row[0] for row in PLACES} - {
        "loadBalanced"
    } | elsewhere


def test_keywords_win_over_the_string() -> None:
    settings = parse("mongodb://localhost/?maxPoolSize=5&w=2&readPreference=nearest", maxpoolsize=7)
    assert settings.pool.max_pool_size == 7
    assert settings.write_concern == WriteConcern(2)


def test_objects_win_over_the_parts_that_the_string_gives() -> None:
    settings = parse(
        "mongodb://localhost/?w=2&readConcernLevel=local&readPreference=nearest&readPreferenceTags=dc:ny",
        write_concern=WriteConcern("majority"),
        read_concern=ReadConcern("majority"),
        read_preference=ReadPreference("secondary"),
    )
    assert settings.write_concern == WriteConcern("majority")
    assert settings.read_concern == ReadConcern("majority")
    assert settings.read_preference == ReadPreference("secondary")


def test_preference_is_put_together_from_its_options() -> None:
    uri = "mongodb://a/?readPreference=secondary&readPreferenceTags=dc:ny,rack:1&readPreferenceTags=&maxStalenessSeconds=90"
    expected = ReadPreference(ReadMode.SECONDARY, [{"dc": "ny", "rack": "1"}, {}], 90)
    assert parse(uri).read_preference == expected
    assert (
        parse(
            readPreference="secondary", readPreferenceTags=[{"dc": "ny", "rack": "1"}, {}], maxStalenessSeconds=90
        ).read_preference
        == expected
    )


def test_codec_options_from_keywords() -> None:
    options = parse(document_class=RawBSONDocument, tz_aware=True, tzinfo=datetime.UTC).codec_options
    assert (options.document_class, options.tz_aware, options.tzinfo) == (RawBSONDocument, True, datetime.UTC)
    with pytest.raises(ConfigurationError, match="document_class"):
        parse(document_class=uuid.UUID)
    with pytest.raises(ConfigurationError, match="tzinfo"):
        parse(tzinfo=datetime.UTC)


def test_handshake_objects_from_keywords() -> None:
    connection = parse(server_api=ServerApi("1", strict=True), driver=DriverInfo("odm", "2")).connection
    assert connection.server_api == ServerApi("1", strict=True)
    assert connection.driver_info == (DriverInfo("odm", "2"),)


# --- hosts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hosts, port, seeds",
    [
        (None, None, [("localhost", 27017)]),
        (None, 27018, [("localhost", 27018)]),
        ("example.com", None, [("example.com", 27017)]),
        ("EXAMPLE.com:1,b", 27018, [("example.com", 1), ("b", 27018)]),
        (["a:1", "[::1]", "[::2]:5"], 7, [("a", 1), ("::1", 7), ("::2", 5)]),
        ("/tmp/mongodb-27017.sock", 7, [("/tmp/mongodb-27017.sock", None)]),
        (["mongodb://a,b:2"], None, [("a", 27017), ("b", 2)]),
    ],
)
def test_hosts_may_be_given_without_a_scheme(hosts: Any, port: int | None, seeds: list[Any]) -> None:
    assert parse(hosts, port=port).topology.seeds == tuple(Address(*seed) for seed in seeds)


@pytest.mark.parametrize("hosts", [["mongodb://a", "b"], ["mongodb://a", "mongodb://b"], [1], "", "a:0", "a,,b"])
def test_bad_hosts_are_refused(hosts: Any) -> None:
    with pytest.raises(ConfigurationError):
        parse(hosts)


@pytest.mark.parametrize("port", [0, 65536, "27017", True])
def test_a_bad_port_is_refused(port: Any) -> None:
    with pytest.raises(ConfigurationError, match="port"):
        parse("localhost", port=port)


def test_database_and_spaces_are_decoded() -> None:
    string = parse_uri("mongodb://localhost/admin%3F?w=1&appName=a%20b+c")
    assert string.database == "admin?"
    assert dict(string.options) == {"w": "1", "appName": "a b+c"}
    assert parse("mongodb://localhost/shop").default_database == "shop"


# --- warnings and errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option, words",
    [
        ("maxPolSize=5", "did you mean maxPoolSize?"),
        ("max_pool_size=5", "did you mean maxPoolSize?"),
        ("zzzz=5", "unknown"),
        ("maxPoolSize=-1", "a whole number from 0 up"),
        ("maxPoolSize=2147483648", "a whole number from 0 up"),
        ("maxPoolSize=٣", "a whole number from 0 up"),
        ("serverMonitoringMode=pol", "auto, stream, poll"),
        ("readPreference=Secondary", "secondaryPreferred"),
        ("retryWrites=1", "write true"),
        ("wtimeout=5", "wTimeoutMS"),
        ("compressors=zlib,snoopy", "'snoopy' left out"),
        ("serverSelectionTryOnce=true", "until serverSelectionTimeoutMS has passed"),
        ("maxStalenessSeconds=-2", "-1 for no limit"),
        ("heartbeatFrequencyMS=499", "from 500 up"),
        ("appName=" + "x" * 129, "128 bytes"),
        ("password=abc", "keyword argument only"),
    ],
)
def test_what_is_ignored_in_a_string_is_warned_about_at_the_callers_line(option: str, words: str) -> None:
    with pytest.warns(ConfigurationWarning) as caught:
        parse(f"mongodb://localhost/?{option}")
    assert len(caught) == 1
    assert words in str(caught[0].message)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "keywords, words",
    [
        ({"maxPolSize": 5}, "did you mean maxPoolSize?"),
        ({"max_pool_size": 5}, "did you mean maxPoolSize?"),
        ({"maxPoolSize": "5"}, "a whole number from 0 up, not '5'"),
        ({"maxPoolSize": True}, "a whole number"),
        ({"retryWrites": 1}, "true or false, not 1"),
        ({"readPreference": "fastest"}, "primaryPreferred"),
        ({"compressors": ["snoopy"]}, "snappy, zlib, zstd"),
        ({"tls": True, "ssl": True}, "two names"),
        ({"w": -1}, "from 0 up"),
        ({"readPreferenceTags": 5}, "key:value"),
        ({"server_api": "1"}, "ServerApi"),
        ({"uuidRepresentation": "classic"}, "standard"),
    ],
)
def test_a_bad_keyword_is_an_error_that_names_it_and_what_is_valid(keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(**keywords)
    assert words in str(caught.value)
    assert next(iter(keywords)).lower() in str(caught.value).lower()


@pytest.mark.parametrize(
    "uri, keywords",
    [
        ("mongodb://a,b", {"directConnection": True}),
        ("mongodb://a,b", {"loadBalanced": True}),
        ("mongodb://a", {"loadBalanced": True, "replicaSet": "rs"}),
        ("mongodb://a", {"loadBalanced": True, "directConnection": True}),
        ("mongodb+srv://a.b.c", {"directConnection": True}),
        ("mongodb+srv://a.b.c", {"srvMaxHosts": 1, "replicaSet": "rs"}),
        ("mongodb://a", {"srvMaxHosts": 1}),
        ("mongodb://a", {"srvServiceName": "x"}),
        ("mongodb://a/?tlsInsecure=true", {"tlsAllowInvalidHostnames": True}),
        ("mongodb://a", {"tls": False, "tlsCAFile": "ca.pem"}),
        ("mongodb://a", {"minPoolSize": 5, "maxPoolSize": 4}),
        ("mongodb://a", {"w": 0, "journal": True}),
        ("mongodb://a", {"w": 1, "write_concern": WriteConcern(1)}),
        ("mongodb://a", {"maxStalenessSeconds": 90}),
        ("mongodb://a", {"readPreferenceTags": [{"a": "b"}]}),
        ("mongodb://a", {"read_preference": ReadPreference("nearest"), "maxStalenessSeconds": 90}),
        ("mongodb://a", {"password": "x"}),
        ("mongodb://a", {"username": "x"}),
        ("mongodb://a", {"username": "", "password": "x"}),
        ("mongodb://a:b@c", {"authMechanism": "SCRAM-SHA-512"}),
        ("mongodb://a:b@c", {"authMechanismProperties": {"SERVICE_NAME": "x"}}),
    ],
)
def test_contradictions_are_errors(uri: str, keywords: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        parse(uri, **keywords)


def test_a_proxy_is_refused_rather_than_passed_by() -> None:
    with pytest.raises(ConfigurationError, match="proxyHost, proxyPort"):
        parse("mongodb://localhost/?proxyHost=p&proxyPort=1080")


# --- TLS and credentials --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri, tls",
    [
        ("mongodb://a", None),
        ("mongodb://a/?tls=false", None),
        ("mongodb://a/?ssl=true", TLSSettings()),
        ("mongodb://a/?tlsCAFile=%2Fca.pem", TLSSettings(ca_file="/ca.pem")),
        ("mongodb+srv://a.b.c", TLSSettings()),
        ("mongodb+srv://a.b.c/?tls=false", None),
        ("mongodb://a/?tls=true&tlsAllowInvalidHostnames=true", TLSSettings(allow_invalid_hostnames=True)),
        (
            "mongodb://a/?tlsInsecure=true",
            TLSSettings(None, None, None, True, True, True, True),
        ),
    ],
)
def test_tls_is_on_when_asked_for_or_implied(uri: str, tls: TLSSettings | None) -> None:
    assert parse(uri).net.tls == tls


def test_user_name_and_password_may_be_keywords() -> None:
    settings = parse("mongodb://localhost/db", username="u@x", password="p:/w")
    assert settings.connection.credentials == Credentials(None, "db", "u@x", "p:/w")


def _everything_said(error: BaseException) -> str:
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        parts += [str(cause), repr(cause), repr(vars(cause))]
        cause = cause.__cause__ or cause.__context__
    return " ".join(parts)


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://alice:{SECRET}",
        f"mongodb://alice:{SECRET}/x@localhost",
        f"mongodb://alice:x/{SECRET}@localhost/db",
        f"mongodb://alice:{SECRET}?x@localhost",
        f"mongodb://alice:x?{SECRET}@localhost",
        f"mongodb://alice:x@{SECRET}@localhost",
        f"mongodb://alice:{SECRET}:x@localhost",
        f"mongodb://alice:{SECRET}%zz@localhost",
        f"mongodb://alice:{SECRET}@localhost:0",
        f"mongodb://alice:{SECRET}@/db",
        f"mongodb://:{SECRET}@localhost",
        f"mongodb://alice:{SECRET}@localhost/?authMechanism=GSSAPI",
        f"mongodb://alice:{SECRET}@localhost/?authMechanism=MONGODB-X509",
        f"mongodb://alice:{SECRET}@localhost/?authMechanismProperties=TOKEN:{SECRET}",
        f"mongodb://alice:{SECRET}@localhost/a$b",
        f"mongo://alice:{SECRET}@localhost",
        f"mongodb+srv://alice:{SECRET}@a,b",
        f"mongodb://localhost/?proxyHost=a&proxyUsername=b&proxyPassword={SECRET}",
    ],
)
def test_no_error_shows_a_secret(uri: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(uri)
    assert SECRET not in _everything_said(caught.value)


@pytest.mark.parametrize("uri", ["mongodb://alice:12345/x@localhost", "mongodb://alice:12@x:y@localhost"])
def test_a_password_that_was_not_encoded_gets_a_hint(uri: str) -> None:
    with pytest.raises(InvalidURI, match="percent-encoded"):
        parse(uri)


@pytest.mark.parametrize("name", ["password", "tlsCertificateKeyFilePassword", "authMechanismProperties"])
def test_no_keyword_error_shows_a_secret(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_keywords({name: [SECRET]})
    assert SECRET not in _everything_said(caught.value)


def test_no_warning_shows_a_secret() -> None:
    with pytest.warns(ConfigurationWarning) as caught:
        parse(f"mongodb://localhost/?authMechanismProperties={SECRET}&proxyPassword=&password={SECRET}")
    assert len(caught) == 3
    assert not any(SECRET in str(warning.message) for warning in caught)


def test_no_repr_shows_a_secret() -> None:
    string = parse_uri(f"mongodb+srv://alice:{SECRET}@a.b.c/?tlsCertificateKeyFilePassword={SECRET}")
    settings = parse(f"mongodb+srv://alice:{SECRET}@a.b.c/?tlsCertificateKeyFilePassword={SECRET}")
    assert SECRET not in repr(string) + repr(settings) + repr(settings.given)
    assert settings.connection.credentials is not None
    assert settings.connection.credentials.password == SECRET


@given(st.text(min_size=1), st.text())
def test_any_user_and_password_survive_encoding(username: str, password: str) -> None:
    def encode(text: str) -> str:
        return quote_plus(text.encode("utf-8", "surrogatepass")).replace("+", "%20")

    try:
        username.encode(), password.encode()
    except UnicodeEncodeError:
        return
    string = parse_uri(f"mongodb://{encode(username)}:{encode(password)}@localhost")
    assert (string.username, string.password) == (username, password)


@given(st.text(alphabet="mongdb+srv:/@?&=%,;[]. \\$abw1", max_size=40))
def test_any_text_is_read_or_refused_with_our_own_error(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigurationWarning)
        for uri in (text, "mongodb://" + text, "mongodb+srv://" + text):
            try:
                settings = parse(uri)
            except DriverError:
                continue
            assert settings.topology.seeds or settings.topology.srv_host


# --- SRV ------------------------------------------------------------------------------------------------------------

HOSTS = [Address("h1.test.example.com", 27017), Address("h2.test.example.com", 27018)]
SRV = "mongodb+srv://cluster.test.example.com/"


def test_srv_settings_have_no_seeds_until_dns_has_answered() -> None:
    settings = parse(SRV + "?srvServiceName=custom")
    assert settings.topology.seeds == ()
    assert settings.topology.srv_host == "cluster.test.example.com"
    assert settings.topology.srv_service_name == "custom"
    resolved = settings_with_srv(settings, HOSTS)
    assert resolved.topology.seeds == tuple(HOSTS)
    assert resolved.net.tls == TLSSettings()
    assert resolved.given is None


def test_txt_options_count_where_nothing_else_was_given() -> None:
    txt = ["authSource=thisDB&replicaSet=repl0"]
    resolved = settings_with_srv(parse("mongodb+srv://u:p@cluster.test.example.com/"), HOSTS, txt)
    assert resolved.topology.set_name == "repl0"
    assert resolved.connection.credentials == Credentials(None, "thisDB", "u", "p")
    resolved = settings_with_srv(
        parse("mongodb+srv://u:p@cluster.test.example.com/?authSource=otherDB", replicaSet="mine"), HOSTS, txt
    )
    assert resolved.topology.set_name == "mine"
    assert resolved.connection.credentials == Credentials(None, "otherDB", "u", "p")


@pytest.mark.parametrize(
    "uri, hosts, txt",
    [
        (SRV, [], []),
        (SRV, [Address("h1.other.example.com")], []),
        (SRV, [Address("test.example.com")], []),
        (SRV, [Address("evil-test.example.com")], []),
        ("mongodb+srv://mongo.local/", [Address("mongo.local")], []),
        ("mongodb+srv://mongo.local/", [Address("other.local")], []),
        ("mongodb+srv://localhost/", [Address("localhost")], []),
        (SRV, HOSTS, ["replicaSet=a", "replicaSet=a"]),
        (SRV, HOSTS, ["socketTimeoutMS=500"]),
        (SRV, HOSTS, ["ssl=false"]),
        (SRV, HOSTS, ["authSource"]),
        (SRV, HOSTS, ["loadBalanced=true"]),
        (SRV + "?srvMaxHosts=1", HOSTS, ["replicaSet=a"]),
        (SRV + "?srvMaxHosts=1", HOSTS[:1], ["loadBalanced=true"]),
        (SRV + "?replicaSet=a", HOSTS[:1], ["loadBalanced=true"]),
        ("mongodb://localhost", HOSTS, []),
    ],
)
def test_what_dns_must_not_answer(uri: str, hosts: list[Address], txt: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        settings_with_srv(parse(uri), hosts, txt)


@pytest.mark.parametrize("host", ["a.mongo.local", "b.a.mongo.local"])
def test_a_short_srv_host_is_its_own_domain(host: str) -> None:
    resolved = settings_with_srv(parse("mongodb+srv://mongo.local/"), [Address(host)])
    assert resolved.topology.seeds == (Address(host),)


@pytest.mark.parametrize("limit, count", [(0, 2), (1, 1), (2, 2), (3, 2)])
def test_srv_max_hosts_picks_at_random(limit: int, count: int) -> None:
    settings = parse(f"{SRV}?srvMaxHosts={limit}")
    seeds = settings_with_srv(settings, HOSTS, shuffle=lambda hosts: hosts.reverse()).topology.seeds
    assert len(seeds) == count
    if limit == 1:
        assert seeds == (HOSTS[1],)


@pytest.mark.parametrize("uri", ["mongodb+srv://a.b.c:27017", "mongodb+srv://a.b.c,d.e.f", "mongodb+srv://"])
def test_srv_strings_name_one_host_without_a_port(uri: str) -> None:
    with pytest.raises(InvalidURI):
        parse_uri(uri)


@pytest.mark.parametrize(
    "options, limit", [({"timeoutMS": 500}, TimeLimit(0.5)), ({"timeoutMS": 0}, TimeLimit(math.inf)), ({}, None)]
)
def test_handles_take_the_time_limit_of_the_client(options: dict[str, Any], limit: TimeLimit | None) -> None:
    client = wiredrv.Client("mongodb://localhost", **options)
    assert client["shop"]["orders"]._target.limit == limit
    assert client.get_database("shop", timeout_ms=20)["orders"]._target.limit == TimeLimit(0.02)
    assert client["shop"]["orders"].with_options(timeout_ms=0)._target.limit == TimeLimit(math.inf)


@pytest.mark.parametrize(
    "call",
    [
        lambda: wiredrv.Client(5),  # type: ignore[arg-type]  # on purpose
        lambda: wiredrv.Client(b"mongodb://localhost"),  # type: ignore[arg-type]  # on purpose
        lambda: wiredrv.Client("mongodb://localhost", event_listeners=5),  # type: ignore[arg-type]  # on purpose
        lambda: wiredrv.Client().start_session(causal_consistency="a"),  # type: ignore[arg-type]  # on purpose
        lambda: wiredrv.Client().start_session(snapshot="no"),  # type: ignore[arg-type]  # on purpose
    ],
    ids=["number", "bytes", "listeners", "causal_consistency", "snapshot"],
)
def test_arguments_of_the_wrong_kind_are_refused_with_a_sentence(call: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        call()


# --- hosts and ports, TLS under two names: as in PyMongo ------------------------------------------------------------

TLS_CASES: list[tuple[str, dict[str, Any]]] = [
    ("mongodb://h/?ssl=true", {"tls": False}),
    ("mongodb://h/?SSL=true", {"TLS": False}),
    ("mongodb://h/?ssl=false", {"tls": True}),
    ("mongodb://h/?tls=true", {"ssl": False}),
    ("mongodb://h/?ssl=true&tls=true", {"tls": False}),
    ("mongodb://h/?ssl=true", {"tls": True}),
    ("mongodb://h/?ssl=false", {"tls": False}),
    ("mongodb://h/?tls=true", {"tls": False}),
    ("mongodb://h/?ssl=true", {"ssl": False}),
    ("mongodb://h/?ssl=true", {"tls": None}),
    ("mongodb://h", {"tls": True}),
]


def _tls_of_pymongo(uri: str, keywords: dict[str, Any]) -> bool | None:
    """Whether PyMongo would use TLS; None for an error."""
    try:
        client: Any = AsyncMongoClient(uri, **keywords)
    except PyMongoConfigurationError:
        return None
    return client._topology_settings.pool_options._ssl_context is not None


@pytest.mark.parametrize("uri, keywords", TLS_CASES, ids=str)
def test_tls_and_ssl_that_differ_are_a_conflict_wherever_they_stand(uri: str, keywords: dict[str, Any]) -> None:
    theirs = _tls_of_pymongo(uri, {name: value for name, value in keywords.items() if value is not None})
    if theirs is None:
        with pytest.raises(ConfigurationError, match="tls and ssl are two names of one option"):
            parse(uri, **keywords)
    else:
        assert (parse(uri, **keywords).net.tls is not None) is theirs


@pytest.mark.parametrize(
    "hosts",
    [
        "mongodb://localhost",
        "mongodb://a,b:1,c",
        "mongodb://user:pw@a:1,b/db",
        "mongodb://[::1]",
        "mongodb://[::1]:5,[::2]",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock,a",
        "a",
        "a:1,b",
        ["a", "b:2"],
        ["mongodb://a"],
        None,
    ],
    ids=str,
)
def test_port_is_that_of_every_host_without_one(hosts: Any) -> None:
    peer: Any = AsyncMongoClient(hosts, port=27401)
    assert sorted(parse(hosts, port=27401).topology.seeds) == sorted(peer._topology_settings.seeds)


def test_port_has_no_meaning_where_dns_names_the_ports() -> None:
    with pytest.raises(ConfigurationError, match="SRV records name the ports"):
        parse("mongodb+srv://cluster.example.com", port=27401)


@pytest.mark.parametrize("hosts", [[], (), {}, set(), iter([])], ids=lambda hosts: type(hosts).__name__)
def test_no_host_at_all_is_not_this_machine(hosts: Any) -> None:
    with pytest.raises(ConfigurationError, match="name at least one"):
        parse(hosts)
    with pytest.raises(PyMongoConfigurationError):
        AsyncMongoClient(list(hosts))
