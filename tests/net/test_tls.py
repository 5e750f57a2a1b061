"""TLS: what is accepted, what is refused and with which message, and the encrypted stream itself."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st

from tests.support.certificates import Authority, Issued
from tests.support.peers import PATIENCE, listening
from wiredrv.errors import AutoReconnect, ConfigurationError
from wiredrv.net.dial import Dialer, HostNotResolved
from wiredrv.net.settings import NetSettings, TLSSettings
from wiredrv.net.tls import TLSContext, TLSRefused, TLSTransport, start_tls
from wiredrv.net.transport import SocketTransport
from wiredrv.types import Address, Buffers, ReceiveBuffer

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
TLSBehaviour = Callable[[ssl.SSLSocket], None]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(directory: Path) -> Authority:
    return Authority(directory)


@pytest.fixture(scope="module")
def server(authority: Authority) -> Issued:
    return authority.issue("server", ["localhost", "127.0.0.1"])


@pytest.fixture(scope="module")
def client(authority: Authority) -> Issued:
    return authority.issue("client")


@pytest.fixture
def trusting(authority: Authority) -> TLSSettings:
    return TLSSettings(ca_file=authority.ca_file)


def server_context(certificate: Issued, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def tls_peer(context: ssl.SSLContext, behaviour: TLSBehaviour) -> AbstractContextManager[Address]:
    """A server that speaks TLS and then follows ``behaviour``. There, a missing close_notify is an SSLEOFError."""

    def behave(connection: socket.socket) -> None:
        # By default Python treats such an end as the end of the data, and the two could not be distinguished.
        with context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False) as encrypted:
            behaviour(encrypted)

    return listening(behave)


def echo(connection: socket.socket) -> None:
    while data := connection.recv(65_536):
        connection.sendall(data)


@contextmanager
def closed(transport: object) -> Iterator[TLSTransport]:
    assert isinstance(transport, TLSTransport)
    try:
        yield transport
    finally:
        transport.close()


async def dial(address: Address, settings: TLSSettings) -> TLSTransport:
    transport = await Dialer(NetSettings(tls=settings)).open(address)
    assert isinstance(transport, TLSTransport)
    return transport


def by_name(address: Address) -> Address:
    return Address("localhost", address.port)


async def receive_exactly(transport: TLSTransport, count: int, at_once: int = 65_536) -> bytes:
    data = b""
    while len(data) < count:
        piece = await transport.receive(at_once)
        assert 0 < len(piece) <= at_once
        data += piece
    return data


# The stream


@pytest.mark.anyio
@pytest.mark.parametrize("version", VERSIONS)
async def test_bytes_go_there_and_come_back(version: ssl.TLSVersion, server: Issued, trusting: TLSSettings) -> None:
    message = bytes(range(256)) * 12_000
    with tls_peer(server_context(server, version), echo) as address, closed(await dial(address, trusting)) as stream:
        assert stream._object.version() == version.name.replace("_", ".")
        await stream.send(b"small")
        assert await receive_exactly(stream, 5, at_once=2) == b"small"
        async with anyio.create_task_group() as group:
            group.start_soon(stream.send, message)
            assert await receive_exactly(stream, len(message)) == message


@pytest.mark.anyio
async def test_a_cancelled_receive_loses_nothing(server: Issued, trusting: TLSSettings) -> None:
    with tls_peer(server_context(server), echo) as address, closed(await dial(address, trusting)) as stream:
        with anyio.move_on_after(0.02) as scope:
            await stream.receive(10)
        assert scope.cancelled_caught
        await stream.send(b"late")
        assert await receive_exactly(stream, 4) == b"late"


@pytest.mark.anyio
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_buffer_is_filled_through_cancellations(
    version: ssl.TLSVersion, server: Issued, trusting: TLSSettings
) -> None:
    message = bytes(range(256)) * 12_000
    with tls_peer(server_context(server, version), echo) as address, closed(await dial(address, trusting)) as stream:
        buffer = ReceiveBuffer(len(message), b"")
        async with anyio.create_task_group() as group:
            group.start_soon(stream.send, message + b"next")
            while buffer.missing:
                with anyio.move_on_after(0.005):
                    assert await stream.receive_into(buffer)
        assert buffer.message() == message
        assert await receive_exactly(stream, 4) == b"next"


@pytest.mark.anyio
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_farewell_and_an_abrupt_end_are_both_the_end_of_the_stream(
    version: ssl.TLSVersion, server: Issued, trusting: TLSSettings
) -> None:
    def say_farewell(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"last")
        with suppress(OSError):
            connection.unwrap().close()

    def end(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"last")

    for behaviour in (say_farewell, end):
        with (
            tls_peer(server_context(server, version), behaviour) as address,
            closed(await dial(address, trusting)) as stream,
        ):
            assert await receive_exactly(stream, 4) == b"last"
            assert await stream.receive(10) == b""
            assert stream.is_readable()


@contextmanager
def listening_peer(server: Issued) -> Iterator[tuple[Address, list[bytes | OSError]]]:
    """A peer that sends one byte and records what follows: bytes, none after a close_notify, or the stream's error."""
    heard: list[bytes | OSError] = []

    def listen(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"!")
        try:
            heard.append(connection.recv(10))
        except OSError as error:
            heard.append(error)

    with tls_peer(server_context(server), listen) as address:
        yield address, heard


async def dial_and_hear(address: Address, settings: TLSSettings) -> TLSTransport:
    """Read all that the peer sends, including session tickets: closing with unread data would reset the stream."""
    stream = await dial(address, settings)
    assert await stream.receive(10) == b"!"
    return stream


@pytest.mark.anyio
async def test_the_peer_is_told_that_the_stream_ends(server: Issued, trusting: TLSSettings) -> None:
    with listening_peer(server) as (address, heard):
        (await dial_and_hear(address, trusting)).close()
    assert heard == [b""]


@pytest.mark.anyio
async def test_after_a_fork_the_peer_is_told_nothing(server: Issued, trusting: TLSSettings) -> None:
    with listening_peer(server) as (address, heard):
        stream = await dial_and_hear(address, trusting)
        stream.close(wake=False)
        stream.close()
    # The peer sees the stream end without a close_notify.
    assert [type(what) for what in heard] == [ssl.SSLEOFError]


@pytest.mark.anyio
async def test_closing_wakes_who_waits(server: Issued, trusting: TLSSettings) -> None:
    failures: list[AutoReconnect] = []
    with tls_peer(server_context(server), echo) as address:
        stream = await dial(address, trusting)

        async def wait() -> None:
            try:
                await stream.receive(10)
            except AutoReconnect as error:
                failures.append(error)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                stream.close()
        with pytest.raises(AutoReconnect, match="closed by this client"):
            await stream.send(b"more")
    assert "closed by this client" in str(failures[0])


@pytest.mark.anyio
@pytest.mark.parametrize("version", VERSIONS)
async def test_readable_tells_of_data_but_not_of_what_tls_says_for_itself(
    version: ssl.TLSVersion, server: Issued, trusting: TLSSettings
) -> None:
    go, gone = threading.Event(), threading.Event()

    def speak_when_told(connection: ssl.SSLSocket) -> None:
        assert go.wait(PATIENCE)
        connection.sendall(b"unasked" * 1000)
        assert gone.wait(PATIENCE)

    with (
        tls_peer(server_context(server, version), speak_when_told) as address,
        closed(await dial(address, trusting)) as stream,
    ):
        if version is ssl.TLSVersion.TLSv1_3:
            # A server sends session tickets after the handshake: something has arrived, but no data.
            with anyio.fail_after(PATIENCE):
                await anyio.wait_readable(stream._plain._socket)
        assert not stream.is_readable()
        assert not stream.is_readable()
        go.set()
        with anyio.fail_after(PATIENCE):
            while not stream.is_readable():
                await anyio.wait_readable(stream._plain._socket)
        assert stream.is_readable()
        assert await receive_exactly(stream, 7000, at_once=999) == b"unasked" * 1000
        assert not stream.is_readable()
        gone.set()
        with anyio.fail_after(PATIENCE):
            await anyio.wait_readable(stream._plain._socket)
        assert stream.is_readable()


@pytest.mark.anyio
async def test_damaged_records_end_the_stream_with_an_error(server: Issued, trusting: TLSSettings) -> None:
    def damage(connection: ssl.SSLSocket) -> None:
        connection.recv(1)
        raw = socket.socket(fileno=connection.detach())
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            with suppress(OSError):
                raw.recv(100)

    with tls_peer(server_context(server), damage) as address, closed(await dial(address, trusting)) as stream:
        await stream.send(b"!")
        # The messages of older and newer releases of OpenSSL.
        reason = r"decryption failed or bad record mac|record layer failure"
        with pytest.raises(AutoReconnect, match=f"TLS failed: ({reason})"):
            await stream.receive(100)


class PlainOverMemory:
    """Stands in for the plain transport: a TLS server in memory, whose bytes arrive in pieces of given sizes."""

    def __init__(self, context: ssl.SSLContext, pieces: Iterator[int]) -> None:
        self.address = Address("127.0.0.1", 27017)
        self.closed = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaken = False
        self._pieces = pieces

    async def send(self, data: Buffers) -> None:
        assert isinstance(data, bytes), "TLS has one stream of bytes"
        self._incoming.write(data)
        if not self._shaken:
            with suppress(ssl.SSLWantReadError):
                self.server.do_handshake()
                self._shaken = True

    async def receive(self, max_bytes: int) -> bytes:
        assert self._outgoing.pending, "nothing more will come"
        return self._outgoing.read(min(max_bytes, next(self._pieces)))

    def receive_nowait(self, max_bytes: int) -> bytes | None:
        return self._outgoing.read(min(max_bytes, next(self._pieces))) if self._outgoing.pending else None

    def send_nowait(self, data: bytes) -> None:
        self._incoming.write(data)

    def close(self, *, wake: bool = True) -> None:
        self.closed = True


def run(steps: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never has to wait."""
    try:
        steps.send(None)
    except StopIteration as end:
        return end.value
    pytest.fail("it waits")


@configured(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    version=st.sampled_from(VERSIONS),
    sizes=st.lists(st.integers(1, 50_000), min_size=1, max_size=5),
    pieces=st.lists(st.integers(1, 30_000), min_size=1, max_size=20),
    at_once=st.integers(1, 70_000),
    looking=st.booleans(),
    into=st.booleans(),
)
def test_the_stream_is_whole_however_its_bytes_arrive(
    server: Issued,
    trusting: TLSSettings,
    version: ssl.TLSVersion,
    sizes: list[int],
    pieces: list[int],
    at_once: int,
    looking: bool,
    into: bool,
) -> None:
    peer = PlainOverMemory(server_context(server, version), cycle(pieces))
    stream: TLSTransport = run(start_tls(cast(SocketTransport, peer), TLSContext(trusting)))
    for number, size in enumerate(sizes):
        message = bytes([number]) * size
        run(stream.send(message))
        received = b""
        while len(received) < size:
            received += peer.server.read(size)
        assert received == message
        expected = min(size, 16_384)
        peer.server.write(message[:expected])
        answer = b""
        while len(answer) < expected:
            if looking:
                stream.is_readable()
            if into:
                buffer = ReceiveBuffer(min(at_once, expected - len(answer)), b"")
                assert run(stream.receive_into(buffer))
                answer += buffer.message()
                continue
            piece = run(stream.receive(at_once))
            assert 0 < len(piece) <= at_once
            answer += piece
        assert answer == message[:expected]
    with suppress(ssl.SSLWantReadError):
        peer.server.unwrap()
    buffer = ReceiveBuffer(10, b"")
    assert not run(stream.receive_into(buffer))
    assert buffer.missing == 10
    assert run(stream.receive(at_once)) == b""
    assert stream.is_readable()
    stream.close()
    assert peer.closed


# The handshake


@pytest.mark.anyio
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_second_connection_resumes_the_session_of_the_first(
    version: ssl.TLSVersion, server: Issued, trusting: TLSSettings
) -> None:
    dialer = Dialer(NetSettings(tls=trusting))
    with tls_peer(server_context(server, version), echo) as address:
        resumed = []
        for user in (dialer, dialer, dialer.without_socket_timeout()):
            with closed(await user.open(address)) as stream:
                await stream.send(b"hello")
                assert await receive_exactly(stream, 5) == b"hello"
                resumed.append(stream._object.session_reused)
    assert resumed == [False, True, True]


@pytest.mark.anyio
async def test_a_session_that_the_server_does_not_know_any_more_is_a_whole_handshake(
    server: Issued, trusting: TLSSettings
) -> None:
    dialer = Dialer(NetSettings(tls=trusting))
    assert dialer._contexts is not None
    port = None
    for _ in range(2):
        with tls_peer(server_context(server), echo) as address:
            if port is not None:
                # The same session under the new server's address.
                sessions = dialer._contexts.first._sessions
                sessions[address] = sessions.pop(Address("127.0.0.1", port))
            with closed(await dialer.open(address)) as stream:
                await stream.send(b"hello")
                assert await receive_exactly(stream, 5) == b"hello"
                assert not stream._object.session_reused
            port = address.port


@pytest.mark.anyio
async def test_a_failed_handshake_forgets_the_session(server: Issued, trusting: TLSSettings) -> None:
    context = server_context(server)
    connections = 0

    def once(connection: socket.socket) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            with context.wrap_socket(connection, server_side=True) as encrypted:
                echo(encrypted)

    dialer = Dialer(NetSettings(tls=trusting))
    assert dialer._contexts is not None
    with listening(once) as address:
        with closed(await dialer.open(address)) as stream:
            await stream.send(b"hello")
            await receive_exactly(stream, 5)
        assert address in dialer._contexts.first._sessions
        with pytest.raises(AutoReconnect):
            await dialer.open(address)
        assert address not in dialer._contexts.first._sessions


def test_the_sessions_kept_are_bounded(authority: Authority) -> None:
    class Session:
        has_ticket = True

    context = TLSContext(TLSSettings(ca_file=authority.ca_file))
    for port in range(1, 1000):
        context.remember(Address("host", port), Session())  # type: ignore[arg-type]
    assert len(context._sessions) == 200
    assert Address("host", 999) in context._sessions


@pytest.mark.anyio
async def test_the_server_is_told_the_name_that_is_asked_for_but_no_address(
    server: Issued, trusting: TLSSettings
) -> None:
    asked: list[str | None] = []
    context = server_context(server)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    with tls_peer(context, echo) as address:
        for target in (by_name(address), address):
            with closed(await dial(target, trusting)):
                pass
    assert asked == ["localhost", None]


@pytest.mark.anyio
async def test_a_certificate_of_an_unknown_authority_is_refused(server: Issued, directory: Path) -> None:
    other = Authority(directory, "another authority")
    with tls_peer(server_context(server), echo) as address:
        for settings in (TLSSettings(ca_file=other.ca_file), TLSSettings()):
            with pytest.raises(TLSRefused, match=rf"{address}: .*not accepted.*name its CA with tlsCAFile"):
                await dial(address, settings)


@pytest.mark.anyio
@pytest.mark.parametrize("hosts", [["elsewhere.example"], ["127.0.0.2"]])
async def test_a_certificate_of_another_host_is_refused(
    hosts: list[str], authority: Authority, trusting: TLSSettings
) -> None:
    certificate = authority.issue("elsewhere", hosts)
    with tls_peer(server_context(certificate), echo) as address:
        for target in (address, by_name(address)):
            with pytest.raises(TLSRefused, match=r"mismatch.*issued for another host"):
                await dial(target, trusting)
            for allowing in (
                replace(trusting, allow_invalid_hostnames=True),
                TLSSettings(allow_invalid_certificates=True),
            ):
                with closed(await dial(target, allowing)) as stream:
                    await stream.send(b"hello")
                    assert await receive_exactly(stream, 5) == b"hello"


@pytest.mark.anyio
async def test_invalid_host_names_allowed_do_not_allow_unknown_authorities(server: Issued) -> None:
    with tls_peer(server_context(server), echo) as address, pytest.raises(TLSRefused, match="name its CA"):
        await dial(address, TLSSettings(allow_invalid_hostnames=True))


@pytest.mark.anyio
@pytest.mark.parametrize("days, words", [((-20, -10), "expired"), ((10, 20), "not valid yet")])
async def test_a_certificate_out_of_its_time_is_refused(
    days: tuple[int, int], words: str, authority: Authority, trusting: TLSSettings
) -> None:
    certificate = authority.issue("out of time", ["127.0.0.1"], days=days)
    with tls_peer(server_context(certificate), echo) as address, pytest.raises(TLSRefused, match=words):
        await dial(address, trusting)


@pytest.mark.anyio
async def test_a_server_that_speaks_old_versions_only_is_refused(server: Issued, trusting: TLSSettings) -> None:
    def answer_in_tls_1_1(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"\x15\x03\x02\x00\x02\x02\x46")  # alert: protocol version
        connection.recv(100)

    with listening(answer_in_tls_1_1) as address, pytest.raises(TLSRefused, match=r"does not support TLS 1.2 or later"):
        await dial(address, trusting)


@pytest.mark.anyio
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_server_that_asks_for_a_client_certificate_gets_it_or_refuses(
    version: ssl.TLSVersion, server: Issued, client: Issued, authority: Authority, trusting: TLSSettings
) -> None:
    context = server_context(server, version)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    with tls_peer(context, echo) as address:
        certified = await dial(address, replace(trusting, certificate_key_file=client.file))
        with closed(certified):
            await certified.send(b"hello")
            assert await receive_exactly(certified, 5) == b"hello"
        # In TLS 1.3 the client learns of the refusal after its own handshake is complete.
        with (
            pytest.raises(TLSRefused, match=r"client certificate.*tlsCertificateKeyFile"),
            closed(await dial(address, trusting)) as stream,
        ):
            await stream.receive(10)


@pytest.mark.anyio
async def test_a_client_certificate_that_the_server_does_not_trust_is_refused_in_clear_words(
    server: Issued, directory: Path, authority: Authority, trusting: TLSSettings
) -> None:
    stranger = Authority(directory, "a strange authority").issue("stranger")
    context = server_context(server, ssl.TLSVersion.TLSv1_2)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    with (
        tls_peer(context, echo) as address,
        pytest.raises(TLSRefused, match="does not trust the authority of the certificate in tlsCertificateKeyFile"),
    ):
        await dial(address, replace(trusting, certificate_key_file=stranger.file))


@pytest.mark.anyio
async def test_a_stream_that_ends_or_breaks_in_the_handshake_is_no_refusal(trusting: TLSSettings) -> None:
    def close(connection: socket.socket) -> None:
        connection.recv(65_536)

    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    for behaviour in (close, reset):
        with listening(behaviour) as address, pytest.raises(AutoReconnect) as failure:
            await dial(address, trusting)
        assert not isinstance(failure.value, TLSRefused)
        assert str(address) in str(failure.value)


@pytest.mark.anyio
async def test_what_answers_without_tls_is_a_refusal_that_says_so(trusting: TLSSettings) -> None:
    with (
        listening(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as address,
        pytest.raises(TLSRefused, match="does not support TLS; check the port"),
    ):
        await dial(address, trusting)


@pytest.mark.anyio
async def test_a_handshake_that_is_cancelled_closes_the_socket(trusting: TLSSettings) -> None:
    ended = threading.Event()

    def hear_out(connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass
        ended.set()

    with listening(hear_out) as address:
        with anyio.move_on_after(0.05) as scope:
            await dial(address, trusting)
        assert scope.cancelled_caught
        assert await anyio.to_thread.run_sync(ended.wait, PATIENCE)


@pytest.mark.anyio
async def test_a_unix_socket_has_no_name_to_verify(trusting: TLSSettings, server: Issued, tmp_path: Path) -> None:
    path = str(tmp_path / "peer.sock")
    context = server_context(server)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            with suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                echo(connection)

        with pytest.raises(ConfigurationError, match=r"Unix socket.*tlsAllowInvalidHostnames"):
            await dial(Address(path, None), trusting)
        listener.accept()[0].close()
        thread = threading.Thread(target=serve)
        thread.start()
        with closed(await dial(Address(path, None), replace(trusting, allow_invalid_hostnames=True))) as stream:
            await stream.send(b"hello")
            assert await receive_exactly(stream, 5) == b"hello"
        await anyio.to_thread.run_sync(thread.join, PATIENCE)


@pytest.mark.anyio
async def test_a_host_that_tls_cannot_name_is_a_configuration_error(trusting: TLSSettings) -> None:
    with listening(echo) as address:
        context = TLSContext(trusting)
        with pytest.raises(ConfigurationError, match="no valid host name for TLS"):
            context.begin(Address(".leading", address.port), ssl.MemoryBIO(), ssl.MemoryBIO())


@pytest.mark.anyio
async def test_a_name_that_does_not_resolve_and_a_port_where_nobody_listens() -> None:
    dialer = Dialer(NetSettings())
    with pytest.raises(HostNotResolved, match=r"no-such-host\.invalid:27017: .*cannot be resolved"):
        await dialer.open(Address("no-such-host.invalid", 27017))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(AutoReconnect, match=f"127.0.0.1:{port}: cannot connect: Connection refused"):
        await dialer.open(Address("127.0.0.1", port))


# Files


def test_a_key_that_is_encrypted_needs_its_password_which_no_error_tells(authority: Authority) -> None:
    issued = authority.issue("secretive", password="open-sesame")
    good = TLSSettings(
        ca_file=authority.ca_file, certificate_key_file=issued.file, certificate_key_file_password="open-sesame"
    )
    TLSContext(good)
    assert "open-sesame" not in repr(good)
    with pytest.raises(ConfigurationError, match="is encrypted: give tlsCertificateKeyFilePassword"):
        TLSContext(replace(good, certificate_key_file_password=None))
    for wrong in ("shut-sesame", "x" * 2000):
        with pytest.raises(
            ConfigurationError, match=r"tlsCertificateKeyFilePassword (does not open|must be)"
        ) as failure:
            TLSContext(replace(good, certificate_key_file_password=wrong))
        cause = failure.value.__cause__
        assert wrong not in f"{failure.value!r} {cause!r}"


def test_a_password_that_the_key_does_not_need_does_no_harm(client: Issued, trusting: TLSSettings) -> None:
    TLSContext(replace(trusting, certificate_key_file=client.file, certificate_key_file_password="superfluous"))


def test_files_that_cannot_be_used_are_named_with_their_option(
    authority: Authority, server: Issued, client: Issued, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing.pem")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no certificate")
    mismatched = tmp_path / "mismatched.pem"
    certificate, _, _ = Path(server.file).read_text().partition("-----BEGIN PRIVATE")
    _, begin, key = Path(client.file).read_text().partition("-----BEGIN PRIVATE")
    mismatched.write_text(certificate + begin + key)
    cases = [
        (TLSSettings(ca_file=missing), "tlsCAFile: .*missing.pem' cannot be read: No such file"),
        (TLSSettings(ca_file=str(tmp_path)), "tlsCAFile: "),
        (TLSSettings(ca_file=str(rubbish)), "tlsCAFile: .*rubbish.pem' holds no certificate"),
        (TLSSettings(certificate_key_file=missing), "tlsCertificateKeyFile: .*missing.pem' cannot be read"),
        (TLSSettings(certificate_key_file=str(rubbish)), "tlsCertificateKeyFile: .*rubbish.pem' must hold"),
        (TLSSettings(certificate_key_file=authority.ca_file), "tlsCertificateKeyFile: .*its private key"),
        (TLSSettings(certificate_key_file=str(mismatched)), "tlsCertificateKeyFile: .*do not belong together"),
    ]
    for settings, words in cases:
        with pytest.raises(ConfigurationError, match=words):
            TLSContext(settings)


def test_by_default_everything_is_verified_and_old_versions_are_not_spoken() -> None:
    context = TLSContext(TLSSettings())._context
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
