"""Authenticates connections: runs conversations, whose decisions are in ``wiredrv.connection.auth``.

Theory of operation: an :class:`Authenticator` belongs to a client, and keeps what its connections share: the access
tokens of MONGODB-OIDC. For each connection it begins a :class:`Login`, before the handshake, since that may contain the
first command. The login ends when the handshake is answered, and is kept: the server may require that the connection
authenticates again (auth, "Reauthentication").

The caller limits the time (:class:`Allowance`) and closes the connection if this fails. Nothing here is published to
listeners, and no error contains a password, a token, a proof or a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from wiredrv import waits
from wiredrv.connection.auth.conversation import (
    Conversation,
    KeysRequest,
    Request,
    Step,
    StepResult,
    TokenRequest,
    advance,
    denied,
    object_to,
)
from wiredrv.connection.auth.keys import Derivation, KeyCache, ScramKeys
from wiredrv.connection.auth.mechanisms import begin_again
from wiredrv.connection.auth.negotiation import Speculation, choose_mechanism, speculate, take_up
from wiredrv.connection.connection import Connection
from wiredrv.connection.settings import ClientCredentials, Credentials
from wiredrv.errors import DriverError, NetworkTimeout
from wiredrv.types import Address, Document
from wiredrv.waits import monotonic

if TYPE_CHECKING:  # loaded where they are used
    from wiredrv.connection.auth.oidc import Tokens
    from wiredrv.connection.aws_source import AWSSource
    from wiredrv.connection.token_source import TokenSource

_cache = KeyCache()


class Authenticator:
    """Authenticates the connections of one client.

    :param credentials: the user.
    """

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        #: What gives access tokens, for MONGODB-OIDC.
        self.tokens: TokenSource | None = None
        self._aws: AWSSource | None = None
        if credentials.mechanism == "MONGODB-OIDC":
            from wiredrv.connection.token_source import TokenSource

            self.tokens = TokenSource(credentials)
        elif credentials.mechanism == "MONGODB-AWS":
            from wiredrv.connection.aws_source import AWSSource

            self._aws = AWSSource(credentials)

    def begin(self, address: Address, seconds: float | None, current: ClientCredentials | None = None) -> Login | None:
        """Begin to authenticate a connection, before its handshake; None if there is no user.

        :param seconds: how long it may take to authenticate again; None sets no limit.
        :param current: what the callback ``credentials`` gave for this connection.
        :raises CredentialsError: that does not fit the mechanism.
        :raises ConfigurationError: the user's token must not be sent to this host.
        """
        if self.tokens is None:
            credentials: Credentials | None = self.credentials
            if current is not None:
                from wiredrv.connection.auth.current import with_user

                credentials = with_user(self.credentials, current)
            if credentials is None:
                return None
            return Login(credentials, speculate(credentials), seconds, aws=self._aws)
        from wiredrv.connection.auth.oidc import check_host

        if current is not None:
            from wiredrv.connection.auth.current import with_user

            with_user(self.credentials, current)
        check_host(address, self.credentials)
        tokens = self.tokens.for_connection()
        return Login(self.credentials, speculate(self.credentials, tokens), seconds, self.tokens, tokens)


class Allowance(NamedTuple):
    """How long an authentication may take.

    :param whole: the block that limits all of it (``connectTimeoutMS``).
    :param operation: the block with the time limit of the operation that waits for it; None if there is no such
        operation, or it has none.
    :param each: seconds for each command; None for no limit of its own.
    """

    whole: waits.CancelScope
    operation: waits.CancelScope | None = None
    each: float | None = None


class Login:
    """The authentication of one connection.

    :param credentials: the user.
    :param speculation: the conversation that is started with the handshake.
    :param seconds: how long it may take to authenticate again; None sets no limit.
    :param source: what gives access tokens.
    :param tokens: the client's, and the one that the connection authenticates with.
    :param aws: what gives AWS credentials.
    """

    __slots__ = ("_aws", "_mechanism", "_seconds", "_source", "_tokens", "credentials", "speculation")

    def __init__(
        self,
        credentials: Credentials,
        speculation: Speculation | None,
        seconds: float | None,
        source: TokenSource | None = None,
        tokens: Tokens | None = None,
        aws: AWSSource | None = None,
    ) -> None:
        self.credentials = credentials
        self.speculation = speculation
        self._seconds = seconds
        self._source = source
        self._tokens = tokens
        self._aws = aws
        self._mechanism = ""

    async def finish(self, connection: Connection, hello: Document, allowance: Allowance) -> None:
        """Authenticate the connection, whose handshake is done.

        :param hello: the server's answer to the handshake.
        :param allowance: how long it may take.
        :raises OperationFailure: the server does not accept the user (code 18), or does not prove its identity.
        :raises ConfigurationError: the password cannot be used with the mechanism.
        :raises CredentialsError: a callback gave no token.
        :raises ProtocolError: a reply cannot be read.
        :raises AutoReconnect: the connection broke, or the server is shutting down.
        """
        speculation, self.speculation = self.speculation, None
        self._mechanism = choose_mechanism(self.credentials, hello)
        _, conversation, step = take_up(self.credentials, speculation, hello, self._tokens)
        await self._converse(connection, conversation, step, allowance)
        connection.login = self

    async def again(self, connection: Connection, operation: waits.CancelScope | None) -> None:
        """Authenticate the connection once more, as the server requires. If that fails, it is closed.

        :param operation: the block with the time limit of the operation that waits for it; None if it has none.
        :raises DriverError: as :meth:`finish`.
        """
        seconds, done = self._seconds, False
        try:
            with waits.fail_after(seconds) as limit:
                conversation = begin_again(self._mechanism, self.credentials, self._tokens)
                await self._converse(connection, conversation, next(conversation), Allowance(limit, operation))
            done = True
        except TimeoutError as error:
            raise NetworkTimeout(
                f"{connection.address}: the connection was not authenticated again within "
                f"{(seconds or 0) * 1000:.0f} ms"
            ) from error
        finally:
            if not done:
                connection.close()

    async def _converse(
        self, connection: Connection, conversation: Conversation, step: Step | None, allowance: Allowance
    ) -> None:
        """Take the steps of a conversation, until the connection is authenticated."""
        try:
            while step is not None:
                if not isinstance(step, dict):
                    step = advance(conversation, await self._obtain(step, connection, allowance))
                    continue
                reply = await connection.ask(self.credentials.source, step, timeout=allowance.each)
                if reply.get("ok"):
                    step = advance(conversation, reply)
                else:
                    wire_version = connection.handshake.limits.max_wire_version
                    step = object_to(conversation, denied(self._mechanism, self.credentials, reply, wire_version))
        except DriverError:
            if self._aws is not None:
                self._aws.refused()
            raise

    async def _obtain(self, request: Request, connection: Connection, allowance: Allowance) -> StepResult:
        if isinstance(request, Derivation):
            return await _derive(request)
        if isinstance(request, KeysRequest):
            assert self._aws is not None  # only MONGODB-AWS requests them
            with _untimed(allowance.whole):
                return await self._aws.answer()
        assert isinstance(request, TokenRequest)
        assert self._source is not None  # only MONGODB-OIDC requests tokens
        if self._source.asks_a_person:
            return await self._ask_person(self._source, request, connection, allowance)
        # Auth specification, "OIDC Callback": for an operation with a time limit, what is left of that and of
        # connectTimeoutMS; else one minute. That it was too slow is not an error of the server.
        most = inf if allowance.operation is None else waits.seconds_left()
        with _untimed(allowance.whole):
            return await self._source.answer(request, most)

    async def _ask_person(
        self, source: TokenSource, request: TokenRequest, connection: Connection, allowance: Allowance
    ) -> StepResult:
        """Ask a person, who has five minutes whatever the operation's time limit is ("OIDC Human Callback")."""
        started = monotonic()
        with ExitStack() as untimed:
            untimed.enter_context(_untimed(allowance.whole))
            if allowance.operation is not None:
                untimed.enter_context(_untimed(allowance.operation))
            token = await source.answer(request)
        connection.person_seconds += monotonic() - started
        return token


@contextmanager
def _untimed(limit: waits.CancelScope) -> Iterator[None]:
    """A block whose time does not count: it has a limit of its own."""
    deadline, started = limit.deadline, monotonic()
    limit.deadline = inf
    try:
        yield
    finally:
        limit.deadline = deadline + (monotonic() - started)


async def _derive(request: Derivation) -> ScramKeys:
    keys = _cache.get(request)
    if keys is None:
        # Thousands of hashes would block the event loop; a thread that is no longer waited for does no harm.
        keys = await waits.to_thread(request.derive)
        _cache.put(request, keys)
    return keys
