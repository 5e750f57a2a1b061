"""What synchronous clients need besides a socket: DNS, and name look-ups that may not take longer than a deadline."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.dns_records import DOMAIN
from tests.support.dns_server import FakeDNSServer
from tests.support.secured import tls_arguments, with_options
from wiredrv.errors import ConfigurationError, ServerSelectionTimeoutError
from wiredrv.local import Standalone
from wiredrv.net.resolver import Resolver
from wiredrv.sync import Client
from wiredrv.types import Address

NAME = f"_mongodb._tcp.test1.{DOMAIN}"
A = Address(f"localhost.test.{DOMAIN}", 27017)


def test_a_client_looks_up_srv_records() -> None:
    with FakeDNSServer({}) as dns:
        client = Client(f"mongodb+srv://test1.{DOMAIN}/", tls=False)
        client._inner._core._resolver = Resolver(dns.address)
        with pytest.raises(ConfigurationError, match="no SRV records"):
            client.open()
        dns.srv[NAME] = [A]
        with client:
            assert client._inner._core._resolved.topology.seeds == (A,)


def test_a_name_that_is_not_resolved_does_not_outlast_the_time_for_selection(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def never(*_arguments: Any, **_options: Any) -> Any:
        released.wait(20)
        raise socket.gaierror("as if")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    begin = time.monotonic()
    client = Client("mongodb://silent.example", serverSelectionTimeoutMS=300)
    with client, pytest.raises(ServerSelectionTimeoutError):
        client.admin.command("ping")
    assert time.monotonic() - begin < 10
    released.set()


def test_many_threads_share_connections_over_tls(starts_servers: None, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    arguments = tls_arguments(authority.issue("server", ["127.0.0.1"]), authority.ca_file)
    with Standalone(test_commands=True, extra_args=arguments) as server:
        uri = with_options(server.uri, tls="true", tlsCAFile=authority.ca_file, compressors="zlib")
        with Client(uri, maxPoolSize=4) as client:
            document = {"_id": 1, "text": "x" * 1_000_000}
            client.db.items.insert_one(document)
            found: list[Any] = []
            threads = [threading.Thread(target=lambda: found.append(client.db.items.find_one())) for _ in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            assert found == [document] * 16
