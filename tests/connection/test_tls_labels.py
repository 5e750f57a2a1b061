"""Which TLS failures may indicate an overloaded server (CMAP, "Backpressure-enabled")."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.peers import HELLO, Behaviour, answering, listening
from wiredrv.connection.connect import establish
from wiredrv.connection.settings import ConnectionSettings
from wiredrv.errors import RETRYABLE, SYSTEM_OVERLOADED, AutoReconnect
from wiredrv.net.dial import Dialer
from wiredrv.net.settings import NetSettings, TLSSettings
from wiredrv.net.tls import TLSRefused
from wiredrv.types import Address

pytestmark = pytest.mark.anyio


def hang_up_in_the_handshake(connection: socket.socket) -> None:
    connection.recv(5)


def hang_up_after_the_clients_first_words(connection: socket.socket) -> None:
    connection.recv(65_536)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def encrypted(authority: Authority, hosts: list[str], behaviour: Behaviour) -> Behaviour:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("server", hosts).file)

    def behave(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            behaviour(wrapped)

    return behave


async def attempt(address: Address, settings: TLSSettings) -> None:
    dialer = Dialer(NetSettings(tls=settings, connect_timeout=10))
    (await establish(address, dialer, ConnectionSettings())).close()


@pytest.mark.parametrize("behaviour", [hang_up_in_the_handshake, hang_up_after_the_clients_first_words])
async def test_a_stream_that_ends_in_the_handshake_may(behaviour: Behaviour, authority: Authority) -> None:
    with listening(behaviour) as address, pytest.raises(AutoReconnect) as failure:
        await attempt(address, TLSSettings(ca_file=authority.ca_file))
    assert failure.value.error_labels == {SYSTEM_OVERLOADED, RETRYABLE}


async def test_a_server_that_hangs_up_before_the_hello_is_answered_may(authority: Authority) -> None:
    behaviour = encrypted(authority, ["127.0.0.1"], answering(lambda _: None))
    with listening(behaviour) as address, pytest.raises(AutoReconnect) as failure:
        await attempt(address, TLSSettings(ca_file=authority.ca_file))
    assert failure.value.error_labels == {SYSTEM_OVERLOADED, RETRYABLE}


@pytest.mark.parametrize("hosts, trusted", [(["127.0.0.1"], False), (["elsewhere.example"], True)])
async def test_a_certificate_or_a_host_name_does_not(
    hosts: list[str], trusted: bool, authority: Authority, tmp_path: Path
) -> None:
    trust = authority if trusted else Authority(tmp_path, "another")
    with listening(encrypted(authority, hosts, answering(lambda _: HELLO))) as address:
        with pytest.raises(TLSRefused) as failure:
            await attempt(address, TLSSettings(ca_file=trust.ca_file))
        assert failure.value.error_labels == frozenset()


async def test_a_certificate_that_is_accepted_leads_to_a_connection(authority: Authority) -> None:
    with listening(encrypted(authority, ["127.0.0.1"], answering(lambda _: HELLO))) as address:
        await attempt(address, TLSSettings(ca_file=authority.ca_file))
