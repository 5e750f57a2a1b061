"""``wiredrv ping``: each step that can fail, what is said then, and that no password is ever shown."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest

from tests.support.certificates import Authority, Issued
from tests.support.dns_server import FakeDNSServer
from tests.support.fake_server import FakeServer, with_sessions
from tests.support.peers import listening
from tests.support.secured import ROOT, ROOT_PASSWORD, create_users, tls_arguments, with_options, with_user
from wiredrv.cli import ping
from wiredrv.cli._ping_report import Outcome, Step, lines_of
from wiredrv.cli.main import main
from wiredrv.local import ReplicaSet, Standalone
from wiredrv.net.certificate import describe_certificate
from wiredrv.net.resolver import Resolver
from wiredrv.net.tls import Peer
from wiredrv.types import Address

PASSWORD = "open-sesame"
SECONDARY = {**with_sessions(), "ismaster": False, "isWritablePrimary": False, "secondary": True, "setName": "rs0"}


def run(capsys: pytest.CaptureFixture[str], uri: str, *arguments: str) -> tuple[int, str]:
    """The exit status, and what was printed; nothing goes to standard error."""
    status = main(["ping", uri, *arguments])
    printed = capsys.readouterr()
    assert printed.err == ""
    assert PASSWORD not in printed.out
    assert ROOT_PASSWORD not in printed.out
    assert quote(ROOT_PASSWORD, safe="") not in printed.out
    return status, printed.out


def steps(shown: str) -> list[tuple[str, str]]:
    """The steps and how they ended."""
    found = re.findall(r"^  (\S.{13}) +(ok|FAILED|-) ", shown, re.MULTILINE)
    return [(name.strip(), outcome) for name, outcome in found]


def advice(shown: str) -> str:
    """What to do next, after the one step that failed."""
    (found,) = re.findall(r"^ +next: (.*)$", shown, re.MULTILINE)
    return str(found)


def user_at(address: object, options: str = "") -> str:
    return f"mongodb://ada:{PASSWORD}@{address}/?{options}"


# --- what works -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_replica_set_that_answers(replica_set: ReplicaSet, backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = run(capsys, replica_set.uri, "--backend", backend)
    assert status == 0
    each = [("DNS", "ok"), ("TCP", "ok"), ("handshake", "ok"), ("authentication", "-")]
    assert steps(shown) == [("options", "ok"), *each * 3, ("selection", "ok"), ("ping", "ok")]
    primary = replica_set.primary().address
    assert f"  {primary}, for the read preference primary; ReplicaSetWithPrimary rs0 of 3 servers" in shown
    assert "primary of the replica set rs0, MongoDB " in shown
    assert shown.endswith("The deployment answers.\n")


def test_a_seed_that_does_not_answer_beside_others_that_do(
    replica_set: ReplicaSet, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = run(capsys, replica_set.uri.replace("mongodb://", "mongodb://127.0.0.1:1,"))
    assert status == 0
    assert "The deployment answers, but 1 step failed above." in shown


def test_a_unix_socket(standalone: Standalone, capsys: pytest.CaptureFixture[str]) -> None:
    path = standalone.members[0].socket_path
    status, shown = run(capsys, f"mongodb://{quote(str(path), safe='')}/")
    assert (status, steps(shown)[1]) == (0, ("socket", "ok"))
    assert f"connected to {path}" in shown


def test_ipv6(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        server = FakeServer(with_sessions(), host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback address")
    with server:
        status, shown = run(capsys, f"mongodb://{server.address}/")
        assert f"connected to [::1]:{server.address.port}" in shown
    assert status == 0


# --- DNS ------------------------------------------------------------------------------------------------------------


def test_a_name_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = run(capsys, user_at("no-such-host.invalid"))
    assert status == 1
    assert steps(shown) == [("options", "ok"), ("DNS", "FAILED")]
    assert "no-such-host.invalid:27017: the host name cannot be resolved" in shown
    assert "check the spelling of 'no-such-host.invalid'" in advice(shown)


@contextmanager
def srv(
    monkeypatch: pytest.MonkeyPatch, records: Mapping[str, Sequence[Address]], txt: Sequence[Sequence[str]] = ()
) -> Iterator[FakeDNSServer]:
    """A DNS server of the test's own, and names below ``test.example`` that lead to this machine."""
    genuine, configured = socket.getaddrinfo, Resolver._configured

    def here(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        return genuine("127.0.0.1" if name.endswith(".test.example") else host, *arguments, **options)

    with FakeDNSServer(records, {"db.test.example": txt} if txt else None) as dns:

        def ours(self: Resolver, make: Any) -> Any:
            self._nameserver = dns.address
            return configured(self, make)

        monkeypatch.setattr(Resolver, "_configured", ours)
        monkeypatch.setattr(socket, "getaddrinfo", here)
        yield dns


_SERVICE = "_mongodb._tcp.db.test.example"


def test_srv_and_txt_records(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer({**SECONDARY, "ismaster": True, "isWritablePrimary": True, "secondary": False}) as server:
        port = server.address.port
        server.hello |= {"hosts": [f"a.test.example:{port}"], "me": f"a.test.example:{port}"}
        with srv(monkeypatch, {_SERVICE: [Address("a.test.example", port)]}, [["replicaSet=rs0"]]):
            status, shown = run(capsys, "mongodb+srv://db.test.example/?tls=false")
    assert status == 0, shown
    assert steps(shown)[1:4] == [("DNS SRV", "ok"), ("DNS TXT", "ok"), ("DNS", "ok")]
    assert f"a.test.example:{port} (TTL 300 s)" in shown
    assert " ms  replicaSet=rs0\n" in shown
    assert f"connected to 127.0.0.1:{port}" in shown


def test_srv_records_that_do_not_exist(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with srv(monkeypatch, {}):
        status, shown = run(capsys, f"mongodb+srv://ada:{PASSWORD}@db.test.example/")
    assert (status, steps(shown)) == (1, [("options", "ok"), ("DNS SRV", "FAILED")])
    assert f"DNS has no SRV records for '{_SERVICE}'" in shown
    assert f"dig SRV {_SERVICE}" in advice(shown)


def test_a_txt_record_that_sets_what_it_must_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with srv(monkeypatch, {_SERVICE: [Address("a.test.example", 1)]}, [["tls=false"]]):
        status, shown = run(capsys, "mongodb+srv://db.test.example/")
    assert (status, steps(shown)[-1]) == (1, ("DNS TXT", "FAILED"))
    assert "the TXT record sets 'tls'" in shown


# --- TCP ------------------------------------------------------------------------------------------------------------


def test_a_port_where_nothing_listens(capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = run(capsys, user_at("127.0.0.1:1"))
    assert (status, steps(shown)[-1]) == (1, ("TCP", "FAILED"))
    assert "cannot connect: Connection refused" in shown
    assert advice(shown).startswith("nothing listens there: check the port")
    assert shown.endswith("The deployment cannot be used: 1 step failed above.\n")


def test_an_address_that_refuses_is_a_note_where_the_next_one_accepts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    genuine = socket.getaddrinfo

    def two(host: Any, *arguments: Any, **options: Any) -> Any:
        return [found for each in ("::1", "127.0.0.1") for found in genuine(each, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with FakeServer(with_sessions()) as server:
        status, shown = run(capsys, f"mongodb://localhost:{server.address.port}/")
    assert status == 0
    assert steps(shown)[1:4] == [("DNS", "ok"), ("TCP", "-"), ("TCP", "ok")]
    assert re.search(r"cannot connect: .* \(at \[::1\]:\d+\); the next address is tried", shown)
    assert shown.endswith("The deployment answers.\n")


def test_packets_that_are_dropped_end_the_step_at_its_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def never(*arguments: Any) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(ping, "open_target", never)
    begun = time.monotonic()
    status, shown = run(capsys, user_at("127.0.0.1:1"), "--timeout", "0.2")
    assert time.monotonic() - begun < 10
    assert (status, steps(shown)[-1]) == (1, ("TCP", "FAILED"))
    assert "no answer within 0.2 s (--timeout)" in shown
    assert "nothing comes back: a firewall" in advice(shown)


def test_a_socket_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = run(capsys, f"mongodb://{quote(str(tmp_path / 'mongodb-1.sock'), safe='')}/")
    assert (status, steps(shown)[-1]) == (1, ("socket", "FAILED"))
    assert "check the path of the socket" in advice(shown)


# --- TLS, and users, of a real server -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "another authority")


@pytest.fixture(scope="module")
def secured(starts_servers: None, authority: Authority) -> Iterator[Standalone]:
    """A server with a user, and with TLS for 127.0.0.1 alone."""
    certificate = authority.issue("server", ["127.0.0.1", "db.example"])
    with Standalone(extra_args=[*tls_arguments(certificate, authority.ca_file), "--auth"]) as deployment:
        create_users(deployment.uri, [])
        yield deployment


def test_a_server_with_tls_and_a_user(
    secured: Standalone, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = run(capsys, with_options(with_user(secured.uri), tls="true", tlsCAFile=authority.ca_file))
    assert status == 0
    wanted = ["options", "DNS", "TCP", "TLS", "handshake", "authentication", "selection", "ping"]
    assert steps(shown) == [(name, "ok") for name in wanted]
    assert re.search(r"TLSv1\.\d, TLS_\S+; certificate for 127\.0\.0\.1, db\.example, issued by test authority", shown)
    assert re.search(r"valid until 20\d\d-\d\d-\d\d \(\d+ days\), SHA-256 [0-9a-f]{16}\.\.\.", shown)
    assert f"as {ROOT!r}, SCRAM" in shown


def test_a_certificate_for_another_name(
    secured: Standalone, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = secured.uri.replace("127.0.0.1", "localhost")
    status, shown = run(capsys, with_options(uri, tls="true", tlsCAFile=authority.ca_file))
    assert (status, steps(shown)[-1]) == (1, ("TLS", "FAILED"))
    assert "issued for another host" in shown
    assert "certificate for 127.0.0.1, db.example, issued by test authority" in advice(shown)


def test_an_authority_that_is_not_trusted(
    secured: Standalone, other_authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = run(capsys, with_options(secured.uri, tls="true", tlsCAFile=other_authority.ca_file))
    assert (status, steps(shown)[-1]) == (1, ("TLS", "FAILED"))
    assert "name its CA with tlsCAFile" in shown
    assert "issued by test authority" in advice(shown)


def test_a_file_of_authorities_that_cannot_be_read(secured: Standalone, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = run(capsys, with_options(secured.uri, tls="true", tlsCAFile="/no/such/file.pem"))
    assert (status, steps(shown)[-1]) == (1, ("TLS", "FAILED"))
    assert "tlsCAFile: '/no/such/file.pem' cannot be read" in shown


def test_a_certificate_that_has_expired(authority: Authority, capsys: pytest.CaptureFixture[str]) -> None:
    with tls_peer(authority.issue("late", ["127.0.0.1"], days=(-9, -2))) as address:
        status, shown = run(capsys, f"mongodb://{address}/?tls=true&tlsCAFile={quote(authority.ca_file, safe='')}")
    assert (status, steps(shown)[-1]) == (1, ("TLS", "FAILED"))
    assert "expired; the server needs a new one" in shown


@contextmanager
def tls_peer(certificate: Issued) -> Iterator[Address]:
    """A server that does nothing but the handshake of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file)

    def behave(connection: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1)

    with listening(behave) as address:
        yield address


def test_tls_with_a_server_that_has_none(standalone: Standalone, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = run(capsys, with_options(standalone.uri, tls="true"))
    assert (status, steps(shown)[-1]) == (1, ("TLS", "FAILED"))
    assert "check that the server has TLS on this port" in advice(shown)


def test_a_server_that_requires_a_user_where_none_is_given(
    secured: Standalone, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = run(capsys, secured.uri)
    assert (status, steps(shown)[-3:]) == (0, [("authentication", "-"), ("selection", "ok"), ("ping", "ok")])
    assert "no user in the connection string, and the server refuses most commands without one" in shown
    assert advice(shown).startswith("add a user: mongodb://name:password@host/")


def test_a_wrong_password(secured: Standalone, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = run(capsys, with_user(secured.uri, password=PASSWORD))
    assert (status, steps(shown)[-2:]) == (1, [("handshake", "ok"), ("authentication", "FAILED")])
    assert "Authentication failed" in shown
    assert "authSource: the database that the user was created in, now 'admin'" in advice(shown)


# --- what is no MongoDB server, or not the right one ----------------------------------------------------------------


def test_a_server_of_another_kind(capsys: pytest.CaptureFixture[str]) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n" * 4)
        connection.recv(4096)

    with listening(greet) as address:
        status, shown = run(capsys, user_at(address))
    assert (status, steps(shown)[-1]) == (1, ("handshake", "FAILED"))
    assert advice(shown) == "what listens there is not a MongoDB server: check the port"


def test_a_server_that_says_nothing_ends_the_step_at_its_limit(capsys: pytest.CaptureFixture[str]) -> None:
    def listen(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    with listening(listen) as address:
        status, shown = run(capsys, user_at(address), "--timeout", "0.3")
    assert (status, steps(shown)[-1]) == (1, ("handshake", "FAILED"))
    assert "no answer to the handshake" in shown
    assert "check that a MongoDB server listens there" in advice(shown)


def test_a_server_that_hangs_up(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(lambda connection: None) as address:
        status, shown = run(capsys, user_at(address))
    assert (status, steps(shown)[-1]) == (1, ("handshake", "FAILED"))
    assert "it may require TLS (add tls=true)" in advice(shown)


@pytest.mark.parametrize("found, fix", [("rs0", "write replicaSet=rs0"), (None, "leave replicaSet out")])
def test_another_replica_set_than_the_one_that_was_asked_for(
    found: str | None, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeServer({**SECONDARY, "setName": found} if found else with_sessions()) as server:
        status, shown = run(capsys, user_at(server.address, "replicaSet=orders").replace(f"ada:{PASSWORD}@", ""))
    assert (status, steps(shown)[-1]) == (1, ("replica set", "FAILED"))
    assert "replicaSet=orders was asked for" in shown
    assert advice(shown).startswith(fix)


def test_a_replica_set_without_a_primary(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer(SECONDARY) as server:
        server.hello |= {"hosts": [str(server.address)], "me": str(server.address)}
        uri = f"mongodb://{server.address}/?replicaSet=rs0"
        status, shown = run(capsys, uri, "--timeout", "0.5")
        assert (status, steps(shown)[-1]) == (1, ("selection", "FAILED"))
        assert "not the primary" in shown
        assert "no server is primary, so nothing can be written" in advice(shown)
        assert run(capsys, f"{uri}&readPreference=secondary")[0] == 0


def test_members_that_can_be_reached_only_from_where_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer(SECONDARY) as server:
        server.hello |= {"hosts": ["mongo1.invalid:27017"], "me": "mongo1.invalid:27017"}
        status, shown = run(capsys, f"mongodb://{server.address}/?replicaSet=rs0", "--timeout", "0.5")
    assert (status, steps(shown)[-1]) == (1, ("selection", "FAILED"))
    assert "mongo1.invalid:27017" in shown
    assert "the servers call one another by these names" in advice(shown)


# --- arguments, and what is printed ---------------------------------------------------------------------------------


def test_a_connection_string_that_cannot_be_read_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ping", f"mongodb://ada:{PASSWORD}/x@host"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("wiredrv: ")
    assert PASSWORD not in printed.out + printed.err


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf", "1e9"])
def test_a_time_limit_that_cannot_be_kept_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["ping", "mongodb://localhost", f"--timeout={text}"])
    assert ended.value.code == 2
    assert "is not a number of seconds" in capsys.readouterr().err


def test_options_that_are_ignored_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    _, shown = run(capsys, "mongodb://127.0.0.1:1/?replicaset=a&tlss=true")
    assert "the option 'tlss' is unknown and ignored" in shown


def test_a_step_is_one_line_and_its_advice_another() -> None:
    assert lines_of(Step("TCP", Outcome.FAILED, "refused", 0.0021, "look")) == [
        "  TCP             FAILED     2.1 ms  refused",
        "                  next: look",
    ]


def test_the_facts_of_a_certificate() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    facts = {
        "subjectAltName": tuple(("DNS", f"{letter}.example") for letter in "abcdefgh"),
        "notAfter": "Jan 11 12:00:00 2026 GMT",
        "issuer": ((("organizationName", "Example"),),),
    }
    assert describe_certificate(Peer("TLSv1.3", "AES", facts, b"x"), now) == (
        "certificate for a.example, b.example, c.example, d.example, e.example, f.example and 2 more, "
        "issued by Example, valid until 2026-01-11 (10 days), SHA-256 2d711642b726b044..."
    )
    late = describe_certificate(Peer("", "", {**facts, "notAfter": "Dec 11 12:00:00 2025 GMT"}, b"x"), now)
    assert "expired on 2025-12-11" in late
    assert describe_certificate(Peer("", "", {}, b"x"), now) == "certificate not verified, SHA-256 2d711642b726b044..."
    assert describe_certificate(Peer("", "", {}, None), now) == "the server sent no certificate"
