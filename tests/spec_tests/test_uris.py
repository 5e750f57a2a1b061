"""The variants of the connection string for the tests' clients."""

from __future__ import annotations

import pytest

from spec_tests.uris import SpecUri

SET = SpecUri("mongodb://u:p%40@a:1,b:2,c:3/?replicaSet=rs0&tls=true")
ROUTERS = SpecUri("mongodb://a:1,b:2/db?retryWrites=false")


@pytest.mark.parametrize(
    "uri, multiple, topology, direct, expected",
    [
        (SET, None, "replicaset", False, SET.text),
        (SET, False, "replicaset", False, SET.text),
        (SET, None, "replicaset", True, "mongodb://u:p%40@a:1/?tls=true"),
        (ROUTERS, True, "sharded", False, ROUTERS.text),
        (ROUTERS, None, "sharded", False, ROUTERS.text),
        (ROUTERS, False, "sharded", False, "mongodb://a:1/db?retryWrites=false"),
        (SpecUri("mongodb://x", "mongodb://one", "mongodb://two"), True, "load-balanced", False, "mongodb://two"),
        (SpecUri("mongodb://x", "mongodb://one", "mongodb://two"), None, "load-balanced", False, "mongodb://two"),
        (SpecUri("mongodb://x", "mongodb://one", "mongodb://two"), False, "load-balanced", False, "mongodb://one"),
    ],
)
def test_the_string_of_a_client_entity(
    uri: SpecUri, multiple: bool | None, topology: str, direct: bool, expected: str
) -> None:
    assert uri.for_client(multiple, topology, direct=direct) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("mongodb://a:1", "mongodb://z:9/?directConnection=true"),
        ("mongodb://a:1/", "mongodb://z:9/?directConnection=true"),
        ("mongodb://a:1/?replicaSet=rs0", "mongodb://z:9/?directConnection=true"),
        ("mongodb://a:1/db", "mongodb://z:9/db?directConnection=true"),
        ("mongodb://u:p@a:1,b/?replicaSet=rs0&tls=true", "mongodb://u:p@z:9/?tls=true&directConnection=true"),
        ("mongodb://a?loadBalanced=true&w=1", "mongodb://z:9?w=1&directConnection=true"),
    ],
)
def test_a_direct_connection_keeps_credentials_and_drops_what_contradicts_it(text: str, expected: str) -> None:
    assert SpecUri(text).direct("z:9") == expected


@pytest.mark.parametrize("text", ["mongodb://lb:1/?loadBalanced=true", "mongodb://a:1,b:2/"])
def test_a_load_balancer_is_reached_as_one(text: str) -> None:
    balanced = "mongodb://{}/?loadBalanced=true"
    uri = SpecUri(text, balanced.format("lb:1"), balanced.format("lb:2"))
    for host in ("lb:1", "lb:2"):
        assert uri.direct(host) == balanced.format(host)
    if "a:1" in uri.hosts:
        assert uri.direct("a:1") == "mongodb://a:1/?directConnection=true"


def test_no_secret_is_reported() -> None:
    assert SET.redacted == "mongodb://***@a:1,b:2,c:3/?replicaSet=rs0&tls=true"


def test_the_hosts_are_read_in_their_order() -> None:
    assert SET.hosts == ("a:1", "b:2", "c:3")
