"""TLS over a socket transport: the context that a client's connections share, and one encrypted byte stream.

Theory of operation: OpenSSL reads from and writes to two buffers in memory, and the plain transport below carries their
bytes. A send encrypts and passes on; a receive decrypts what is there and reads more from the transport only when that
is not enough. The plain transport follows its own rules (one wait per receive, errors translated, closed after half a
send).

Rules kept here:

* The certificate and the host name are verified unless the options say otherwise; nothing older than TLS 1.2 is used,
  renegotiation is refused, and the server gets the requested name (SNI).
* Files are read once, when the :class:`TLSContext` is made. A file that cannot be used is a
  :class:`~wiredrv.errors.ConfigurationError` that names the option, and never the password.
* A failure that a retry cannot fix (a certificate, a host name, a version) is :class:`TLSRefused`, which is never a
  sign of overload; a stream that ends or breaks during the handshake is a plain AutoReconnect, which may be one (CMAP,
  "Backpressure-enabled").
* Sessions are resumed, one for each address. A handshake that fails drops its session.
* The end of the stream is announced to the peer, but not after a fork: the session is the parent's.

Neither OCSP nor revocation lists are checked: Python's ``ssl`` does not support OCSP.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, NoReturn

from wiredrv import waits
from wiredrv.errors import AutoReconnect, ConfigurationError
from wiredrv.net.settings import TLSSettings
from wiredrv.net.transport import SocketTransport, fill, reason
from wiredrv.types import Address, Buffers, ReceiveBuffer

#: The size of the largest TLS record.
_RECORD = 16_384
#: How many bytes are encrypted before they are passed to the socket, and how many of a large message are decrypted at
#: a time.
_BATCH = 262_144
_READ = 65_536
#: The number of addresses whose sessions are kept.
_MOST_SESSIONS = 200


class TLSRefused(AutoReconnect):
    """The two sides do not agree on TLS: a certificate, a host name or a version. Never a sign of an overload."""


# --- shared by a client's connections ---


class TLSContext:
    """The certificates and rules of a client, and the sessions that can be resumed."""

    __slots__ = ("_context", "_sessions")

    def __init__(self, settings: TLSSettings) -> None:
        """Read the files.

        :raises ConfigurationError: a file cannot be used.
        """
        self._context = _make_context(settings)
        self._sessions: dict[Address, ssl.SSLSession] = {}

    @classmethod
    def trusting(cls, encoded: bytes, settings: TLSSettings) -> TLSContext:
        """A context that accepts this one certificate, of whatever host: ``ssl`` describes only what it verified.

        :param encoded: the certificate in DER form.
        :param settings: those of the client's own certificate are used.
        """
        made = cls(replace(settings, ca_file=None, allow_invalid_hostnames=True, allow_invalid_certificates=False))
        made._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        made._context.load_verify_locations(cadata=encoded)
        return made

    def begin(self, address: Address, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """A TLS connection before its handshake, which resumes the last session with this address.

        :raises ConfigurationError: the host name cannot be verified, since it is not valid.
        """
        # A Unix socket has a path, which certificates do not contain.
        name = None if address.port is None else address.host.rstrip(".")
        if name is None and self._context.check_hostname:
            raise ConfigurationError(
                f"{address}: a Unix socket has no host name that the server's certificate could contain; "
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
        """Drop the session with ``address``."""
        self._sessions.pop(address, None)


def _make_context(settings: TLSSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if settings.allow_invalid_hostnames or settings.allow_invalid_certificates:
        # A host name in an untrusted certificate proves nothing.
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
        # Without a password OpenSSL would prompt on the terminal.
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
                f"tlsCertificateKeyFilePassword does not open the key in {option} {file!r}"
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
        raise ConfigurationError("tlsCertificateKeyFilePassword must be at most 1024 bytes long") from error


# --- one encrypted stream ---


class Peer(NamedTuple):
    """What TLS says of the other side.

    :param version: of the protocol.
    :param cipher: its cipher suite.
    :param certificate: as ``ssl`` describes it; empty if it was not verified.
    :param encoded: the certificate in DER form; None if there is none.
    """

    version: str
    cipher: str
    certificate: Mapping[str, object]
    encoded: bytes | None


class TLSTransport:
    """A transport that encrypts over a plain one."""

    __slots__ = ("_ahead", "_context", "_ended", "_incoming", "_known", "_object", "_outgoing", "_plain")

    def __init__(self, plain: SocketTransport, context: TLSContext) -> None:
        self._plain = plain
        self._context = context
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.begin(plain.address, self._incoming, self._outgoing)
        #: The data that :meth:`is_readable` had to decrypt.
        self._ahead = b""
        #: Whether the peer announced the end of the stream.
        self._ended = False
        #: Whether data came, and the session was kept: its ticket comes before the first reply.
        self._known = False

    @property
    def peer(self) -> Peer:
        """What was negotiated, and the certificate of the peer, once the handshake is done."""
        cipher, certificate = self._object.cipher(), self._object.getpeercert() or {}
        return Peer(
            self._object.version() or "", cipher[0] if cipher else "", certificate, self._object.getpeercert(True)
        )

    async def shake_hands(self) -> None:
        """Negotiate keys and verify the peer.

        :raises TLSRefused: the peer, or this side, does not accept the other.
        :raises AutoReconnect: the stream ended or broke.
        """
        try:
            while not waits.apart(self._step):
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
        """Continue the handshake as far as possible. Returns whether it is done."""
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

    async def send(self, data: Buffers) -> None:
        rest = memoryview(data if isinstance(data, bytes) else b"".join(data))
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
                # TLS may have messages of its own to send, such as for new keys.
                await self._flush()
                continue
            arrived = await self._plain.receive(max_bytes)
            if not arrived:
                # Everything before it was decrypted; the framer detects an end within a message.
                self._ended = True
                break
            self._incoming.write(arrived)
        return self._end()

    async def receive_into(self, buffer: ReceiveBuffer) -> bool:
        return await fill(buffer, self.receive, _BATCH)

    def _end(self) -> bytes:
        """The end of the stream; before any data it is how the server refuses a client (mongod sends no alert)."""
        if self._known:
            return b""
        raise AutoReconnect(
            f"{self._plain.address}: the server closed the connection right after the TLS handshake; it may require "
            "a client certificate, or a different one (tlsCertificateKeyFile), or be busy (see its log)"
        )

    def _decrypt(self, max_bytes: int) -> bytes:
        """Decrypt what is there, up to ``max_bytes``; empty if there is no whole record of data, or at the end."""
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
        """Whether data, or the end, wait to be read: TLS's own messages are processed and do not count."""
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
            # It waits for the peer's answer; a handshake that is not done cannot be shut down.
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
    """Start TLS on a transport; it is closed if that fails or is cancelled.

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
    **dict.fromkeys((2, 18, 19, 20, 21), "not signed by a trusted CA; name its CA with tlsCAFile"),
    9: "not valid yet; compare the clocks of both machines",
    10: "expired; the server needs a new one",
    **dict.fromkeys((62, 64), "issued for another host; connect by a name that it contains, or renew it"),
}
#: By a part of OpenSSL's name of the error.
_REASON_HINTS = (
    ("CERTIFICATE_REQUIRED", "the server requires a client certificate; give tlsCertificateKeyFile"),
    ("HANDSHAKE_FAILURE", "the server refused; it may require a client certificate (tlsCertificateKeyFile)"),
    ("ALERT_UNKNOWN_CA", "the server does not trust the authority of the certificate in tlsCertificateKeyFile"),
    ("CERTIFICATE_EXPIRED", "the certificate in tlsCertificateKeyFile has expired"),
    ("BAD_CERTIFICATE", "the server does not accept the certificate in tlsCertificateKeyFile"),
    ("CERTIFICATE_UNKNOWN", "the server does not accept the certificate in tlsCertificateKeyFile"),
    ("PROTOCOL_VERSION", "the server does not support TLS 1.2 or later"),
    ("UNSUPPORTED_PROTOCOL", "the server does not support TLS 1.2 or later"),
    ("WRONG_VERSION_NUMBER", "the server does not support TLS; check the port, or leave tls out"),
)


def tls_failure(address: Address, error: ssl.SSLError) -> AutoReconnect:
    """The error for a failure of OpenSSL, with what to do about it."""
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)):
        return AutoReconnect(
            f"{address}: the server closed the connection during the TLS handshake; it may have no TLS (see its log)"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = _CERTIFICATE_HINTS.get(error.verify_code)
        why = f"{error.verify_message}{f': {hint}' if hint else ''}"
        return TLSRefused(f"{address}: the server's certificate is not accepted: {why}")
    name = error.reason or ""
    hint = next((text for part, text in _REASON_HINTS if part in name), None)
    said = name.replace("_", " ").lower() or reason(error)
    return TLSRefused(f"{address}: TLS failed: {said}{f': {hint}' if hint else ''}")
