"""TLS over a socket transport: what a client's connections share, and one encrypted byte stream.

Theory of operation: OpenSSL reads from and writes to two buffers in memory, and the plain transport below carries
them. A send encrypts and hands on; a receive decrypts what is there and asks the transport for more only when that is
not enough. The plain transport keeps its rules (one wait per receive, errors translated, closed after half a send).

Rules kept here:

* The certificate and the host name are verified unless the options say otherwise; nothing older than TLS 1.2 is
  spoken, renegotiation is refused, and the server is told the name that is asked for (SNI).
* Files are read once, when the :class:`TLSContext` is made. A file that cannot be used is a
  :class:`~wiredrv.errors.ConfigurationError` that names the option, and never the password.
* What retrying cannot mend (a certificate, a host name, a version) is :class:`TLSRefused`, which tells nothing of the
  server's load; a stream that ends or breaks during the handshake is a plain AutoReconnect, which may (CMAP,
  "Backpressure-enabled").
* Sessions are resumed, one for each address. A handshake that fails forgets its session.
* The peer is told that the stream ends, but not after a fork: the session is the parent's.

Neither OCSP nor revocation lists are asked: Python's ``ssl`` offers no OCSP.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import NoReturn

from wiredrv.errors import AutoReconnect, ConfigurationError
from wiredrv.net.settings import TLSSettings
from wiredrv.net.transport import SocketTransport, reason
from wiredrv.types import Address

#: The most that one TLS record holds.
_RECORD = 16_384
#: How much is encrypted before it is handed to the socket.
_BATCH = 262_144
_READ = 65_536
#: Of how many addresses the sessions are kept.
_MOST_SESSIONS = 200


class TLSRefused(AutoReconnect):
    """The two sides do not agree on TLS: a certificate, a host name or a version. Never a sign of an overload."""


# --- what a client's connections share ---


class TLSContext:
    """The certificates and rules of a client, and the sessions that can be resumed."""

    __slots__ = ("_context", "_sessions")

    def __init__(self, settings: TLSSettings) -> None:
        """Read the files.

        :raises ConfigurationError: a file cannot be used.
        """
        self._context = _make_context(settings)
        self._sessions: dict[Address, ssl.SSLSession] = {}

    def begin(self, address: Address, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """A TLS conversation that has not begun, resuming the last session with this address.

        :raises ConfigurationError: the host name cannot be verified, being none.
        """
        # A Unix socket has a path, which no certificate bears.
        name = None if address.port is None else address.host.rstrip(".")
        if name is None and self._context.check_hostname:
            raise ConfigurationError(
                f"{address}: a Unix socket has no host name that the server's certificate could bear; "
                "connect by host name, or give tlsAllowInvalidHostnames=true"
            )
        try:
            return self._context.wrap_bio(incoming, outgoing, server_hostname=name, session=self._sessions.get(address))
        except ValueError as error:
            raise ConfigurationError(f"{address}: no valid host name for TLS: {error}") from error

    def remember(self, address: Address, session: ssl.SSLSession | None) -> None:
        """Keep a session, to be resumed by the next connection to ``address``."""
        if session is None or not session.has_ticket:
            return
        self._sessions.pop(address, None)
        self._sessions[address] = session
        if len(self._sessions) > _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]

    def forget(self, address: Address) -> None:
        """Resume nothing with ``address``."""
        self._sessions.pop(address, None)


def _make_context(settings: TLSSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if settings.allow_invalid_hostnames or settings.allow_invalid_certificates:
        # A host name in a certificate that nobody vouches for says nothing.
        context.check_hostname = False
    if settings.allow_invalid_certificates:
        context.verify_mode = ssl.CERT_NONE
    _load_authorities(context, settings.ca_file)
    if settings.certificate_key_file is not None:
        _load_certificate(context, settings.certificate_key_file, settings.certificate_key_file_password)
    return context


def _load_authorities(context: ssl.SSLContext, ca_file: str | None) -> None:
    if ca_file is None:
        context.load_default_certs()
        return
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError as error:
        raise ConfigurationError(f"tlsCAFile: {ca_file!r} holds no certificate in PEM form") from error
    except OSError as error:
        raise ConfigurationError(f"tlsCAFile: {ca_file!r} cannot be read: {reason(error)}") from error


def _load_certificate(context: ssl.SSLContext, file: str, password: str | None) -> None:
    asked = False

    def answer() -> str:
        # Without an answer OpenSSL would ask on the terminal.
        nonlocal asked
        asked = True
        return password or ""

    option = "tlsCertificateKeyFile"
    try:
        context.load_cert_chain(file, password=answer)
    except ssl.SSLError as error:
        if asked and password is None:
            raise ConfigurationError(
                f"{option}: the key in {file!r} is encrypted: give tlsCertificateKeyFilePassword"
            ) from error
        if asked:
            raise ConfigurationError(
                f"tlsCertificateKeyFilePassword: it does not open the key in {option} {file!r}"
            ) from error
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(
                f"{option}: the key and the (first) certificate in {file!r} do not belong together"
            ) from error
        raise ConfigurationError(
            f"{option}: {file!r} must hold a certificate and its private key, both in PEM form"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{option}: {file!r} cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise ConfigurationError("tlsCertificateKeyFilePassword: it must be at most 1024 bytes long") from error


# --- one encrypted stream ---


class TLSTransport:
    """A transport that encrypts over a plain one."""

    __slots__ = ("_ahead", "_context", "_ended", "_incoming", "_known", "_object", "_outgoing", "_plain")

    def __init__(self, plain: SocketTransport, context: TLSContext) -> None:
        self._plain = plain
        self._context = context
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.begin(plain.address, self._incoming, self._outgoing)
        #: What :meth:`is_readable` had to decrypt to give an answer.
        self._ahead = b""
        #: Whether the peer has said that nothing follows.
        self._ended = False
        #: Whether data came, and the session was kept: what resuming it needs comes before the first reply.
        self._known = False

    async def shake_hands(self) -> None:
        """Agree on keys and verify the peer.

        :raises TLSRefused: the peer, or this side, does not accept the other.
        :raises AutoReconnect: the stream ended or broke.
        """
        try:
            while not self._step():
                await self._flush()
                data = await self._plain.receive(_READ)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            await self._flush()
        except AutoReconnect:
            self._context.forget(self._plain.address)
            raise

    def _step(self) -> bool:
        """Take the handshake as far as it goes. Returns whether it is done."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            self._fail(error)
        return True

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._plain.send(self._outgoing.read())

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = 0
            try:
                while written < len(rest) and self._outgoing.pending < _BATCH:
                    written += self._object.write(rest[written:])
            except ssl.SSLError as error:
                self.close()
                self._fail(error)
            rest = rest[written:]
            await self._plain.send(self._outgoing.read())

    async def receive(self, max_bytes: int) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:max_bytes], self._ahead[max_bytes:]
            return data
        while not self._ended:
            if self._incoming.pending or self._object.pending():
                decrypted = self._decrypt(max_bytes)
                if decrypted:
                    return decrypted
                # TLS may have a word to say for itself, such as to take over new keys.
                await self._flush()
                continue
            arrived = await self._plain.receive(max_bytes)
            if not arrived:
                # Whatever came before was decrypted; an end inside a message is seen by who cuts messages.
                self._ended = True
                break
            self._incoming.write(arrived)
        return self._end()

    def _end(self) -> bytes:
        """The end of the stream; before any data it is the server's way to refuse who came (mongod sends no alert)."""
        if self._known:
            return b""
        raise AutoReconnect(
            f"{self._plain.address}: the server closed the connection right after the TLS handshake; it may want "
            "another client certificate, or one at all (tlsCertificateKeyFile), or be busy (see its log)"
        )

    def _decrypt(self, max_bytes: int) -> bytes:
        """Decrypt what is there, up to ``max_bytes``; empty where no whole record of data is, or at the end."""
        pieces: list[bytes] = []
        wanted = max_bytes
        try:
            while wanted > 0:
                piece = self._object.read(min(wanted, _RECORD))
                if not piece:
                    self._ended = True
                    break
                pieces.append(piece)
                wanted -= len(piece)
                if not (self._incoming.pending or self._object.pending()):
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError as error:
            self._fail(error)
        if pieces and not self._known:
            self._known = True
            self._context.remember(self._plain.address, self._object.session)
        return b"".join(pieces)

    def is_readable(self) -> bool:
        """Whether data, or the end, wait to be read: what TLS says for itself is taken in and does not count."""
        if self._ahead or self._ended:
            return True
        arrived = self._plain.receive_nowait(_READ)
        if arrived == b"":
            return True
        if arrived is not None:
            self._incoming.write(arrived)
        if not (self._incoming.pending or self._object.pending()):
            return False
        try:
            self._ahead = self._decrypt(_READ)
        except AutoReconnect:
            return True
        return self._ended or bool(self._ahead)

    def close(self, *, wake: bool = True) -> None:
        if wake and not self._plain.closed:
            # It says that it waits for the peer's answer; a handshake that is not done has nothing to end.
            with contextlib.suppress(ssl.SSLError):
                self._object.unwrap()
            if self._outgoing.pending:
                self._plain.send_nowait(self._outgoing.read())
        self._plain.close(wake=wake)

    def _fail(self, error: ssl.SSLError) -> NoReturn:
        if self._plain.closed:
            raise self._plain.broken(error) from error
        raise tls_failure(self._plain.address, error) from error


async def start_tls(plain: SocketTransport, context: TLSContext) -> TLSTransport:
    """Speak TLS on a transport from now on; it is closed where that fails or is cancelled.

    :raises TLSRefused: the two sides do not agree.
    :raises AutoReconnect: the stream ended or broke during the handshake.
    """
    transport: TLSTransport | None = None
    shaken = False
    try:
        transport = TLSTransport(plain, context)
        await transport.shake_hands()
        shaken = True
        return transport
    finally:
        if not shaken:
            (transport or plain).close()


# --- what went wrong ---

#: By OpenSSL's number of the verification error.
_CERTIFICATE_HINTS = {
    **dict.fromkeys((2, 18, 19, 20, 21), "nobody who is trusted vouches for it; name its authority with tlsCAFile"),
    9: "it is not valid yet; compare the clocks of both machines",
    10: "it has expired; the server needs a new one",
    **dict.fromkeys(
        (62, 64), "it is made out to another host; connect by a name that it bears, or have the server's renewed"
    ),
}
#: By a part of OpenSSL's name of the error.
_REASON_HINTS = (
    ("CERTIFICATE_REQUIRED", "the server asks for a client certificate; give tlsCertificateKeyFile"),
    ("HANDSHAKE_FAILURE", "the server refused; it may ask for a client certificate (tlsCertificateKeyFile)"),
    ("ALERT_UNKNOWN_CA", "the server does not trust the authority of the certificate in tlsCertificateKeyFile"),
    ("CERTIFICATE_EXPIRED", "the certificate in tlsCertificateKeyFile has expired"),
    ("BAD_CERTIFICATE", "the server does not accept the certificate in tlsCertificateKeyFile"),
    ("CERTIFICATE_UNKNOWN", "the server does not accept the certificate in tlsCertificateKeyFile"),
    ("PROTOCOL_VERSION", "the server does not speak TLS 1.2 or later"),
    ("UNSUPPORTED_PROTOCOL", "the server does not speak TLS 1.2 or later"),
    ("WRONG_VERSION_NUMBER", "what answered does not speak TLS; check the port, or leave tls out"),
)


def tls_failure(address: Address, error: ssl.SSLError) -> AutoReconnect:
    """What an error of OpenSSL means, in words that say what to do."""
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)):
        return AutoReconnect(
            f"{address}: the server closed the connection during the TLS handshake; it may speak no TLS (see its log)"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = _CERTIFICATE_HINTS.get(error.verify_code)
        why = f"{error.verify_message}{f': {hint}' if hint else ''}"
        return TLSRefused(f"{address}: the server's certificate is not accepted: {why}")
    name = error.reason or ""
    hint = next((text for part, text in _REASON_HINTS if part in name), None)
    said = name.replace("_", " ").lower() or reason(error)
    return TLSRefused(f"{address}: TLS failed: {said}{f': {hint}' if hint else ''}")
