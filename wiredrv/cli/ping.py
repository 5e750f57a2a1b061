"""``wiredrv ping URI``: connects step by step, says how each step went, how long it took, and what to do if it failed.

The steps are the driver's own: its resolver, its dialer, its TLS, its handshake and authentication, one after the other
for each host; then a client that selects a server and sends it a ``ping``. Each step has a time limit. The exit status
is 0 if the client's ping was answered, and 1 otherwise.
"""

from __future__ import annotations

import argparse
import warnings
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

import anyio

from wiredrv.cli import _ping_report as report
from wiredrv.cli._ping_report import Outcome, Step
from wiredrv.cli._topology_show import ROLES, is_settled
from wiredrv.cli.topology import News
from wiredrv.client.client import Client
from wiredrv.client.connecting import ClientSettings, parse_client_settings, settings_with_srv
from wiredrv.connection.connect import establish
from wiredrv.connection.connection import Connection
from wiredrv.errors import AutoReconnect, ConfigurationError, ConfigurationWarning, DriverError
from wiredrv.events import CommandListener, CommandStartedEvent, CommandSucceededEvent
from wiredrv.net.certificate import describe_certificate
from wiredrv.net.dial import Dialer, open_target, resolve
from wiredrv.net.resolver import Resolver
from wiredrv.net.settings import NetSettings, TLSSettings
from wiredrv.net.tls import Peer, TLSContext, TLSRefused, TLSTransport, start_tls
from wiredrv.net.transport import SocketTransport, Transport
from wiredrv.server_facts import ErrorCode
from wiredrv.topology.hello import server_description_from_hello
from wiredrv.types import Address, PlainDocument

if TYPE_CHECKING:
    from wiredrv.cli._command import Subparsers

_APP_NAME = "wiredrv ping"
_LIMIT = 5.0
_LEAST_LIMIT, _MOST_LIMIT = 0.1, 600.0


def add_parser(subparsers: Subparsers) -> None:
    """Add ``ping``."""
    parser = subparsers.add_parser("ping", help="connect step by step, and say where and why it fails")
    parser.add_argument("uri", metavar="URI", nargs="?", help="the connection string (default: localhost:27017)")
    parser.add_argument(
        "--timeout", type=_seconds, default=_LIMIT, metavar="S", help="seconds for each step (default: 5)"
    )
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="the event loop")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not _LEAST_LIMIT <= seconds <= _MOST_LIMIT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from {_LEAST_LIMIT:g} to {_MOST_LIMIT:g}"
        )
    return seconds


def run(args: argparse.Namespace) -> int:
    """Connect, and print each step as it is done."""
    reached = anyio.run(Ping(args.uri, args.timeout).run, backend=args.backend)
    return 0 if reached else 1


class Ping:
    """One run.

    :param uri: the connection string; None for the default host.
    :param limit: seconds for each step.
    """

    def __init__(self, uri: str | None, limit: float) -> None:
        self._uri = uri
        self._limit = limit
        self._failures = 0
        self._needs_user = False

    async def run(self) -> bool:
        """Take all steps. Returns whether the client's ping was answered."""
        settings = self._settings()
        if settings.topology.srv_host is not None:
            found = await self._look_up(settings)
            if found is None:
                return self._sum_up(False)
            settings = found
        usable = False
        for address in settings.topology.seeds:
            print(f"{address}", flush=True)
            usable = await self._visit(address, settings) or usable
        if not usable:
            return self._sum_up(False)
        print("deployment", flush=True)
        return self._sum_up(await self._select())

    # --- the steps ---

    def _settings(self) -> ClientSettings:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConfigurationWarning)
            settings = parse_client_settings(self._uri)
        print("connection string")
        self._tell(Step("options", Outcome.OK, report.describe_settings(settings)))
        for warning in caught:
            self._tell(Step("", Outcome.NOTE, str(warning.message)))
        return settings

    async def _look_up(self, settings: ClientSettings) -> ClientSettings | None:
        """Ask DNS for the servers of a ``mongodb+srv`` string; None if that failed."""
        host, resolver = settings.topology.srv_host or "", Resolver(lifetime=self._limit)
        print(f"{host} (mongodb+srv)", flush=True)
        clock = _Clock()
        try:
            answer = await resolver.srv(host, settings.topology.srv_service_name)
        except ConfigurationError as error:
            self._failed("DNS SRV", error, clock, report.advice_on_dns(error, host))
            return None
        self._done("DNS SRV", f"{', '.join(map(str, answer.hosts))} (TTL {answer.ttl:.0f} s)", clock)
        clock = _Clock()
        try:
            records = await resolver.txt(host)
            found = settings_with_srv(settings, answer.hosts, records)
        except ConfigurationError as error:
            self._failed("DNS TXT", error, clock, "the records are those of the domain's owner, who can correct them")
            return None
        self._done("DNS TXT", "; ".join(records) or "no record, and none is needed", clock)
        return found

    async def _visit(self, address: Address, settings: ClientSettings) -> bool:
        """Connect to one server. Returns whether a client can use it."""
        plain = await self._connect(address)
        if plain is None:
            return False
        tls = settings.net.tls
        transport = plain if tls is None else await self._encrypt(address, plain, tls)
        if transport is None or not await self._shake_hands(address, transport, settings):
            return False
        return await self._authenticate(address, settings)

    async def _connect(self, address: Address) -> SocketTransport | None:
        """DNS and TCP, or the Unix socket."""
        clock = _Clock()
        try:
            with anyio.fail_after(self._limit):
                targets = await resolve(address)
        except (AutoReconnect, TimeoutError) as error:
            self._failed("DNS", error, clock, report.advice_on_dns(error, address.host))
            return None
        if address.port is not None:
            hosts = [target[0] for _, target in targets]
            self._done("DNS", "an address, no name" if hosts == [address.host] else ", ".join(hosts), clock)
        for number, (family, target) in enumerate(targets, 1):
            # As the driver does: the first that accepts is used.
            where = Address(target, None) if isinstance(target, str) else Address(*target)
            name = "socket" if where.port is None else "TCP"
            clock = _Clock()
            try:
                with anyio.fail_after(self._limit):
                    transport = await open_target(family, target, address)
            except (AutoReconnect, TimeoutError) as error:
                if number < len(targets):
                    says = f"{self._said(error)} (at {where}); the next address is tried"
                    self._tell(Step(name, Outcome.NOTE, says, clock()))
                else:
                    self._failed(name, error, clock, report.advice_on_tcp(error, unix=where.port is None))
            else:
                self._done(name, f"connected to {where}", clock)
                return transport
        return None

    async def _encrypt(self, address: Address, plain: SocketTransport, tls: TLSSettings) -> TLSTransport | None:
        clock = _Clock()
        try:
            with anyio.fail_after(self._limit):
                encrypted = await start_tls(plain, TLSContext(tls))
        except ConfigurationError as error:
            plain.close()
            self._failed("TLS", error, clock, None)
            return None
        except (AutoReconnect, TimeoutError) as error:
            facts = await self._certificate(address, tls) if isinstance(error, TLSRefused) else None
            self._failed("TLS", error, clock, report.advice_on_tls(error, facts))
            return None
        self._done("TLS", report.describe_peer(encrypted.peer, datetime.now(UTC)), clock)
        return encrypted

    async def _certificate(self, address: Address, tls: TLSSettings) -> str | None:
        """The facts of a certificate that was not accepted, read over connections that are used for nothing else."""
        lax = replace(tls, ca_file=None, allow_invalid_certificates=True)
        try:
            with anyio.fail_after(self._limit):
                peer = await self._peer(address, TLSContext(lax))
                if peer.encoded is not None:
                    with suppress(AutoReconnect):  # as for one that has expired
                        peer = await self._peer(address, TLSContext.trusting(peer.encoded, tls))
        except (DriverError, TimeoutError):
            return None
        return describe_certificate(peer, datetime.now(UTC))

    async def _peer(self, address: Address, context: TLSContext) -> Peer:
        plain = await Dialer(NetSettings()).open(address)
        assert isinstance(plain, SocketTransport)
        encrypted = await start_tls(plain, context)
        encrypted.close()
        return encrypted.peer

    async def _shake_hands(self, address: Address, transport: Transport, settings: ClientSettings) -> bool:
        """The handshake without a user, over the connection that was opened."""
        clock = _Clock()
        connection: Connection | None = None
        try:
            # Without the user, so that what fails is the handshake; the authentication follows as a step of its own.
            anonymous = replace(settings.connection, credentials=None, compressors=(), app_name=_APP_NAME)
            connection = await establish(address, _Opened(self._net(settings), transport), anonymous)
            seconds = clock()
            version = (await connection.command("admin", {"buildInfo": 1}, timeout=self._limit)).get("version")
            asked = await connection.ask("admin", {"listDatabases": 1, "nameOnly": True}, timeout=self._limit)
            self._needs_user = asked.get("code") == ErrorCode.Unauthorized
        except DriverError as error:
            self._failed("handshake", error, clock, report.advice_on_handshake(error, tls=settings.net.tls is not None))
            return False
        finally:
            transport.close()
            if connection is not None:
                connection.close()
        found = server_description_from_hello(address, connection.handshake.reply)
        role = ROLES.get(found.server_type, found.server_type.value.lower())
        of_set = f" of the replica set {found.set_name}" if found.set_name else ""
        self._tell(Step("handshake", Outcome.OK, f"{role}{of_set}, MongoDB {version}", seconds))
        wrong = report.differing_set_name(settings.topology.set_name, found.set_name)
        if wrong is not None:
            self._failures += 1
            self._tell(wrong)
        return wrong is None

    async def _authenticate(self, address: Address, settings: ClientSettings) -> bool:
        credentials = settings.connection.credentials
        if credentials is None:
            self._tell(report.without_user(self._needs_user))
            return True
        clock = _Clock()
        try:
            asked = replace(settings.connection, compressors=(), app_name=_APP_NAME)
            connection = await establish(address, Dialer(self._net(settings)), asked)
        except DriverError as error:
            self._failed("authentication", error, clock, report.advice_on_authentication(error, credentials.source))
            return False
        connection.close()
        who = "the user of the certificate" if credentials.username is None else repr(credentials.username)
        how = credentials.mechanism or "SCRAM"
        self._done("authentication", f"as {who}, {how}, on a connection of its own", clock)
        return True

    async def _select(self) -> bool:
        """Let a client do all of it, and send a ping to the server that it selects."""
        watch, news = _PingListener(), News()
        milliseconds = round(self._limit * 1000)
        options: PlainDocument = {"serverSelectionTimeoutMS": milliseconds, "connectTimeoutMS": milliseconds}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConfigurationWarning)  # they were shown
            client = Client(self._uri, **options, appName=_APP_NAME, event_listeners=[watch, news])
        async with client:
            mode, clock = client.read_preference, _Clock()
            try:
                with anyio.fail_after(3 * self._limit):
                    await client.admin.command("ping", read_preference=mode)
            except (DriverError, TimeoutError) as error:
                if watch.sent is not None:
                    self._failed("ping", error, clock, "the server was selected and then failed: its log has more")
                else:
                    advice = report.advice_on_selection(client.topology_description, mode.mode)
                    self._failed("selection", error, clock, advice)
                return False
            with anyio.move_on_after(self._limit):
                # The ping does not wait for the other servers.
                while not is_settled(client.topology_description):
                    await news.wait(self._limit)
            description = client.topology_description
        self._tell(report.selected(description, watch.address, mode.name, watch.seconds_until_sent(clock)))
        self._tell(Step("ping", Outcome.OK, f"answered by {watch.address}", watch.duration))
        for step in report.lost_members(description):
            self._failures += 1
            self._tell(step)
        return True

    # --- what is printed ---

    def _net(self, settings: ClientSettings) -> NetSettings:
        return replace(settings.net, connect_timeout=self._limit)

    def _done(self, name: str, says: str, clock: _Clock) -> None:
        self._tell(Step(name, Outcome.OK, says, clock()))

    def _failed(self, name: str, error: Exception, clock: _Clock, advice: str | None) -> None:
        self._failures += 1
        self._tell(Step(name, Outcome.FAILED, self._said(error), clock(), advice))

    def _said(self, error: Exception) -> str:
        return str(error) if isinstance(error, DriverError) else f"no answer within {self._limit:g} s (--timeout)"

    def _tell(self, step: Step) -> None:
        for line in report.lines_of(step):
            print(line, flush=True)

    def _sum_up(self, reached: bool) -> bool:
        failed = f"{self._failures} step{'' if self._failures == 1 else 's'} failed"
        if reached:
            print("The deployment answers." if not self._failures else f"The deployment answers, but {failed} above.")
        else:
            print(f"The deployment cannot be used: {failed} above.")
        return reached


class _Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.began = monotonic()

    def __call__(self) -> float:
        return monotonic() - self.began


class _Opened(Dialer):
    """Gives a connection that was opened before: what it took to open it was shown step by step."""

    __slots__ = ("_transport",)

    def __init__(self, settings: NetSettings, transport: Transport) -> None:
        super().__init__(replace(settings, tls=None))
        self._transport = transport

    async def open(self, address: Address, tls: TLSSettings | None = None) -> Transport:
        return self._transport


class _PingListener(CommandListener):
    """When the ping was sent, to which server, and how long it took."""

    def __init__(self) -> None:
        self.address: Address | None = None
        self.sent: float | None = None
        self.duration = 0.0

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "ping":
            self.sent, self.address = monotonic(), event.address

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.command_name == "ping":
            self.duration = event.duration

    def seconds_until_sent(self, clock: _Clock) -> float:
        """How long selecting the server and connecting to it took."""
        return 0.0 if self.sent is None else self.sent - clock.began
