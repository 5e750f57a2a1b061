"""The auth specification's prose tests of MONGODB-OIDC, against a double of a server that takes access tokens.

What the server's part is: it accepts the tokens that a test names. Everything else is the driver's.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.event_log import EventLog
from tests.support.metadata_service import fake_metadata_service
from tests.support.oidc_double import ISSUER, OIDCDouble
from tests.support.waiting import until
from wiredrv import OIDCCallback, OIDCCallbackContext, OIDCCallbackResult, OIDCIdPInfo, events
from wiredrv.errors import (
    AutoReconnect,
    ConfigurationError,
    CredentialsError,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    OperationTimeout,
)

pytestmark = pytest.mark.anyio

GOOD, BETTER, BAD = "hush: good", "hush: better", "hush: bad"
REAUTHENTICATE = 391


class Tokens(OIDCCallback):
    """Gives these tokens one after the other, the last one again and again; notes how it was called."""

    def __init__(self, *tokens: str, refresh: str | None = None) -> None:
        self.contexts: list[OIDCCallbackContext] = []
        self._tokens = list(tokens)
        self._refresh = refresh

    @property
    def calls(self) -> int:
        return len(self.contexts)

    async def fetch(self, context: OIDCCallbackContext) -> OIDCCallbackResult:
        self.contexts.append(context)
        token = self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]
        return OIDCCallbackResult(token, 3600, self._refresh)


@pytest.fixture
def server() -> OIDCDouble:
    return OIDCDouble(GOOD, BETTER)


@pytest.fixture
def uri(server: OIDCDouble) -> Iterator[str]:
    with server.serving() as uri:
        yield uri


def machine(uri: str, callback: object, **options: Any) -> wiredrv.Client:
    return wiredrv.Client(uri, authMechanismProperties={"OIDC_CALLBACK": callback}, **options)


def human(uri: str, callback: object, **options: Any) -> wiredrv.Client:
    properties = {"OIDC_HUMAN_CALLBACK": callback, **options.pop("properties", {})}
    return wiredrv.Client(uri, authMechanismProperties=properties, **options)


async def find(client: wiredrv.Client) -> None:
    assert await client.shop.orders.find({}).to_list() == []


# --- the machine's tests ---


async def test_1_1_the_callback_is_called_during_authentication(uri: str) -> None:
    callback = Tokens(GOOD)
    async with machine(uri, callback) as client:
        await find(client)
    assert callback.calls == 1


async def test_1_2_the_callback_is_called_once_for_many_connections(uri: str, server: OIDCDouble) -> None:
    callback = Tokens(GOOD)

    async def find_often() -> None:
        for _ in range(20):
            await find(client)

    async with machine(uri, callback, maxConnecting=10) as client, anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(find_often)
    assert callback.calls == 1
    assert set(server.presented) == {GOOD}


async def test_2_1_what_the_callback_is_given(uri: str) -> None:
    callback = Tokens(GOOD)
    async with machine(uri, callback, username="ann") as client:
        await find(client)
    assert callback.contexts == [OIDCCallbackContext(60.0, "ann", 1)]


@pytest.mark.parametrize("result", [None, {"access_token": GOOD}], ids=["2.2 nothing", "2.3 missing data"])
async def test_2_2_and_2_3_what_is_no_result_fails(uri: str, result: object) -> None:
    async with machine(uri, lambda context: result) as client:
        with pytest.raises(CredentialsError, match="OIDC_CALLBACK must return an OIDCCallbackResult"):
            await find(client)


async def test_2_4_a_callback_and_an_environment_exclude_one_another(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="ENVIRONMENT and OIDC_CALLBACK exclude one another"):
        wiredrv.Client(uri, authMechanismProperties={"OIDC_CALLBACK": Tokens(GOOD), "ENVIRONMENT": "test"})


async def test_2_5_allowed_hosts_are_for_humans(uri: str) -> None:
    properties = {"ENVIRONMENT": "azure", "TOKEN_RESOURCE": "a", "ALLOWED_HOSTS": []}
    with pytest.raises(ConfigurationError, match="ALLOWED_HOSTS has a meaning with OIDC_HUMAN_CALLBACK only"):
        wiredrv.Client(uri, authMechanismProperties=properties)


async def test_3_1_a_cached_token_that_is_refused_is_replaced(uri: str, server: OIDCDouble) -> None:
    callback = Tokens(BAD, GOOD)
    server.accepted.add(BAD)
    async with machine(uri, callback) as client:
        await find(client)
        server.accepted.remove(BAD)  # so the client's token is poisoned
        server.fail("find")
        with pytest.raises(AutoReconnect):
            await find(client)
        server.presented.clear()
        await find(client)
    assert callback.calls == 2
    assert server.presented == [BAD, BAD, GOOD]  # the first with the handshake


async def test_3_2_a_new_token_that_is_refused_is_an_error(uri: str) -> None:
    callback = Tokens(BAD)
    async with machine(uri, callback) as client:
        with pytest.raises(OperationFailure, match="MONGODB-OIDC as the token's subject") as failure:
            await find(client)
    assert failure.value.code == 18
    assert callback.calls == 1


async def test_3_3_another_error_keeps_the_token(uri: str, server: OIDCDouble) -> None:
    callback = Tokens(GOOD)
    server.fail("saslStart", 20)
    async with machine(uri, callback) as client:
        with pytest.raises(OperationFailure) as failure:
            await find(client)
        assert failure.value.code == 20
        assert callback.calls == 1
        await find(client)
    assert callback.calls == 1


async def test_4_1_a_read_is_sent_again_after_authenticating_again(uri: str, server: OIDCDouble) -> None:
    callback = Tokens(GOOD, BETTER)
    async with machine(uri, callback) as client:
        server.fail("find", REAUTHENTICATE)
        await find(client)
    assert callback.calls == 2
    assert server.names == ["saslStart", "find", "saslStart", "find"]
    assert server.presented == [GOOD, BETTER]


@pytest.mark.parametrize("command", ["find", "insert"], ids=["4.2 a read", "4.3 a write"])
async def test_4_2_and_4_3_authenticating_again_may_fail(uri: str, server: OIDCDouble, command: str) -> None:
    callback = Tokens(GOOD, BAD)
    async with machine(uri, callback, maxPoolSize=1) as client:

        async def call() -> None:
            await (find(client) if command == "find" else client.shop.orders.insert_one({}))

        await call()
        server.fail(command, REAUTHENTICATE)
        with pytest.raises(OperationFailure) as failure:
            await call()
        assert failure.value.code == 18
        assert callback.calls == 2
        # That connection is not used again.
        server.accepted.add(BAD)
        server.commands.clear()
        await call()
        assert "isMaster" in [next(iter(sent)) for sent in server.commands]


async def test_4_4_authenticating_again_is_no_speculation(uri: str, server: OIDCDouble) -> None:
    callback = Tokens(GOOD, BETTER)
    async with machine(uri, callback, maxPoolSize=1) as client:
        await find(client)
        server.fail("find")
        with pytest.raises(AutoReconnect):
            await find(client)
        # The client has a token, so the new connection authenticates with its handshake.
        server.commands.clear()
        await client.shop.orders.insert_one({})
        assert server.names == ["insert"]
        assert callback.calls == 1
        server.fail("insert", REAUTHENTICATE)
        await client.shop.orders.insert_one({})
        assert server.names == ["insert", "insert", "saslStart", "insert"]
    assert callback.calls == 2


async def test_4_5_in_a_session_too(uri: str, server: OIDCDouble) -> None:
    callback = Tokens(GOOD, BETTER)
    async with machine(uri, callback) as client, client.start_session() as session:
        server.fail("find", REAUTHENTICATE)
        assert await client.shop.orders.find({}, session=session).to_list() == []
    assert callback.calls == 2
    first, second = (command["lsid"] for command in server.commands if "find" in command)
    assert first == second


@pytest.mark.parametrize("username", [None, "bad"], ids=["5.1 no name", "5.2 a bad name"])
async def test_5_1_and_5_2_azure(
    uri: str, server: OIDCDouble, monkeypatch: pytest.MonkeyPatch, username: str | None
) -> None:
    properties = {"ENVIRONMENT": "azure", "TOKEN_RESOURCE": "api://ours"}
    with fake_metadata_service(monkeypatch) as service:
        if username is None:
            service.answers.append((200, json.dumps({"access_token": GOOD}).encode()))
        else:
            service.answers.append((400, b"Identity not found"))
        async with wiredrv.Client(uri, username=username, authMechanismProperties=properties) as client:
            if username is None:
                await find(client)
            else:
                with pytest.raises(CredentialsError, match="Identity not found"):
                    await find(client)
        ((path, _),) = service.asked
    assert path.endswith("&resource=api%3A%2F%2Fours" if username is None else "&client_id=bad")


# --- the human's tests ---


@pytest.mark.parametrize("username", [None, "test_user1@example.com"])
async def test_human_1_1_and_1_2_one_principal(uri: str, server: OIDCDouble, username: str | None) -> None:
    async with human(uri, Tokens(GOOD), username=username) as client:
        await find(client)
    assert server.names[:2] == ["saslStart", "saslContinue"]


SECOND = {"issuer": "https://second.example.com", "clientId": "efgh"}


@pytest.mark.parametrize("number, token, issuer", [(1, GOOD, ISSUER["issuer"]), (2, BETTER, SECOND["issuer"])])
async def test_human_1_3_and_1_4_the_name_chooses_a_provider(number: int, token: str, issuer: str) -> None:
    names = [f"test_user{n}@example.com" for n in (1, 2)]
    callback = Tokens(token)
    with OIDCDouble(token, providers=dict(zip(names, (ISSUER, SECOND), strict=True))).serving() as uri:
        async with human(uri, callback, username=f"test_user{number}@example.com") as client:
            await find(client)
    (context,) = callback.contexts
    assert context.idp_info is not None
    assert context.idp_info.issuer == issuer


async def test_human_1_5_without_a_name_none_of_several_is_chosen() -> None:
    callback = Tokens(GOOD)
    with OIDCDouble(GOOD, providers={"test_user1": ISSUER, "test_user2": SECOND}).serving() as uri:
        async with human(uri, callback) as client:
            with pytest.raises(OperationFailure):
                await find(client)
    assert callback.calls == 0


async def test_human_1_6_a_host_that_is_not_allowed_gets_nothing(uri: str, server: OIDCDouble) -> None:
    callback = Tokens(GOOD)
    for hosts in ([], ["example.com"]):
        async with human(uri, callback, properties={"ALLOWED_HOSTS": hosts}) as client:
            with pytest.raises(ConfigurationError, match="not among the ALLOWED_HOSTS"):
                await find(client)
    assert callback.calls == 0
    assert server.names == []


async def test_human_1_7_allowed_hosts_are_not_taken_from_the_string() -> None:
    uri = (
        "mongodb+srv://example.com/?authMechanism=MONGODB-OIDC"
        "&authMechanismProperties=ALLOWED_HOSTS:%5B%22example.com%22%5D"
    )
    with pytest.raises(ConfigurationError):
        wiredrv.Client(uri)


async def test_human_1_8_a_provider_for_machines_has_no_client_id() -> None:
    server = OIDCDouble(GOOD, provider={"issuer": "https://issuer.example.com"})
    callback = Tokens(GOOD)
    with server.serving() as uri:
        async with human(uri, callback, username="test_machine") as client:
            await find(client)
    assert callback.contexts[0].idp_info == OIDCIdPInfo("https://issuer.example.com")


async def test_human_2_1_what_the_callback_is_given(uri: str) -> None:
    callback = Tokens(GOOD)
    async with human(uri, callback, username="ann") as client:
        await find(client)
    provider = OIDCIdPInfo(ISSUER["issuer"], ISSUER["clientId"], ISSUER["requestScopes"])  # type: ignore[arg-type]
    assert callback.contexts == [OIDCCallbackContext(300.0, "ann", 1, None, provider)]


async def test_human_2_2_missing_data_fails(uri: str) -> None:
    async with human(uri, lambda context: {}) as client:
        with pytest.raises(CredentialsError, match="OIDC_HUMAN_CALLBACK must return"):
            await find(client)


async def test_human_2_3_the_refresh_token_is_passed_to_the_callback(uri: str, server: OIDCDouble) -> None:
    callback = Tokens(GOOD, BETTER, refresh="refresh")
    async with human(uri, callback) as client:
        await find(client)
        server.fail("find", REAUTHENTICATE)
        await find(client)
    assert [context.refresh_token for context in callback.contexts] == [None, "refresh"]


async def test_human_3_1_a_cached_token_is_presented_with_the_handshake(uri: str, server: OIDCDouble) -> None:
    async with human(uri, Tokens(GOOD)) as client:
        await find(client)
        server.fail("find")
        with pytest.raises(AutoReconnect):
            await find(client)
        server.fail("saslStart", 18)
        await find(client)


async def test_human_3_2_without_one_there_is_no_speculation(uri: str, server: OIDCDouble) -> None:
    server.fail("saslStart", 18)
    async with human(uri, Tokens(GOOD)) as client:
        with pytest.raises(OperationFailure) as failure:
            await find(client)
    assert failure.value.code == 18
    assert not any("speculativeAuthenticate" in command for command in server.commands)


async def test_human_4_1_authenticating_again_succeeds(uri: str, server: OIDCDouble) -> None:
    callback, log = Tokens(GOOD, BETTER, refresh="refresh"), EventLog()
    async with human(uri, callback, event_listeners=[log]) as client:
        await find(client)
        assert callback.calls == 1
        log.clear()
        server.fail("find", REAUTHENTICATE)
        await find(client)
    assert callback.calls == 2
    started = [event.command_name for event in log.of(events.CommandStartedEvent)]
    succeeded = [event.command_name for event in log.of(events.CommandSucceededEvent)]
    failed = [event.command_name for event in log.of(events.CommandFailedEvent)]
    assert (started[:2], succeeded[:1], failed) == (["find", "find"], ["find"], ["find"])


async def test_human_4_2_also_without_a_refresh_token(uri: str, server: OIDCDouble) -> None:
    callback = Tokens(GOOD, BETTER)
    async with human(uri, callback) as client:
        await find(client)
        server.fail("find", REAUTHENTICATE)
        await find(client)
    assert callback.calls == 2
    assert server.names == ["saslStart", "saslContinue", "find", "find", "saslStart", "saslContinue", "find"]


async def test_human_4_3_also_if_the_refresh_token_is_bad(uri: str, server: OIDCDouble) -> None:
    callback = Tokens(GOOD, refresh="bad")
    async with human(uri, callback) as client:
        await find(client)
        server.fail("find", REAUTHENTICATE)
        await find(client)
    assert callback.calls == 2


async def test_human_4_4_fails_if_every_token_is_bad(uri: str, server: OIDCDouble) -> None:
    callback = Tokens(GOOD, BAD, refresh="bad")
    async with human(uri, callback) as client:
        await find(client)
        server.fail("find", REAUTHENTICATE)
        with pytest.raises(OperationFailure) as failure:
            await find(client)
        assert failure.value.code == 18
        assert [context.refresh_token for context in callback.contexts] == [None, "bad", None]


# --- what users see ---


async def test_the_time_of_a_callback_is_no_time_of_connecting(uri: str, server: OIDCDouble) -> None:
    async def slowly(context: OIDCCallbackContext) -> OIDCCallbackResult:
        await anyio.sleep(0.7)
        return OIDCCallbackResult(GOOD)

    async with machine(uri, slowly, connectTimeoutMS=500) as client:
        await find(client)
        server.fail("find", REAUTHENTICATE)
        await find(client)


async def test_a_time_limit_of_the_operation_covers_the_callback(uri: str, server: OIDCDouble) -> None:
    given: list[float] = []
    forever = False

    async def callback(context: OIDCCallbackContext) -> OIDCCallbackResult:
        given.append(context.timeout_seconds)
        if forever:
            await anyio.sleep_forever()
        return OIDCCallbackResult(GOOD)

    async with machine(uri, callback) as client:
        with wiredrv.timeout(5):
            await find(client)
        assert 0 < given[0] <= 5
        forever = True
        server.fail("find", REAUTHENTICATE)
        with (
            pytest.raises(OperationTimeout, match="while the connection was authenticated again"),
            wiredrv.timeout(0.6),
        ):
            await find(client)
        with pytest.raises(OperationTimeout, match="while a connection was opened"), wiredrv.timeout(0.6):
            await find(client)
        forever = False
        await find(client)


async def test_a_person_may_take_longer_than_the_operation(uri: str, server: OIDCDouble) -> None:
    """ "OIDC Human Callback": it is not subject to timeoutMS. Neither does its time count afterwards."""

    class Slow(Tokens):
        async def fetch(self, context: OIDCCallbackContext) -> OIDCCallbackResult:
            await anyio.sleep(1.0)
            return await super().fetch(context)

    callback = Slow(GOOD, BETTER)
    async with human(uri, callback, timeoutMS=700, connectTimeoutMS=500) as client:
        await find(client)
        server.fail("find", REAUTHENTICATE)
        await find(client)
        assert [context.timeout_seconds for context in callback.contexts] == [300.0, 300.0]
        server.delay = 1.5
        with pytest.raises(NetworkTimeout, match="the time limit of 700 ms"):
            await find(client)


@pytest.mark.parametrize(
    "options, most",
    [
        ({}, 60.0),
        ({"connectTimeoutMS": 5000}, 60.0),
        ({"timeoutMS": 9000}, 9.0),
        ({"timeoutMS": 9000, "connectTimeoutMS": 4000}, 4.0),
        ({"timeoutMS": 0, "connectTimeoutMS": 4000}, 4.0),
    ],
    ids=str,
)
async def test_how_long_a_program_may_take(uri: str, options: dict[str, Any], most: float) -> None:
    """ "OIDC Callback": min(connectTimeoutMS, timeoutMS); a minute without timeoutMS."""
    callback = Tokens(GOOD)
    async with machine(uri, callback, **options) as client:
        await find(client)
    (given,) = (context.timeout_seconds for context in callback.contexts)
    assert most - 2 < given <= most


async def test_a_program_that_takes_longer_than_connecting_may_is_given_up(uri: str) -> None:
    async def forever(context: OIDCCallbackContext) -> None:
        await anyio.sleep_forever()

    async with machine(uri, forever, timeoutMS=20_000, connectTimeoutMS=300) as client:
        with pytest.raises(CredentialsError, match=r"OIDC_CALLBACK gave nothing within 0\.\d+ s"):
            await find(client)


async def test_a_callback_that_fails_fails_the_operation_and_not_the_client(uri: str) -> None:
    calls = 0

    def callback(context: OIDCCallbackContext) -> OIDCCallbackResult:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("the identity provider is away")
        return OIDCCallbackResult(GOOD)

    async with machine(uri, callback) as client:
        with pytest.raises(CredentialsError, match="OIDC_CALLBACK raised OSError") as failure:
            await find(client)
        assert isinstance(failure.value.__cause__, OSError)
        await find(client)


async def test_an_operation_may_be_cancelled_while_the_callback_runs(uri: str) -> None:
    forever = True

    async def callback(context: OIDCCallbackContext) -> OIDCCallbackResult:
        if forever:
            await anyio.sleep_forever()
        return OIDCCallbackResult(GOOD)

    async with machine(uri, callback, maxPoolSize=1) as client:
        with anyio.move_on_after(0.3) as scope:
            await find(client)
        assert scope.cancelled_caught
        forever = False
        await find(client)


async def test_closing_the_client_ends_operations_whose_callback_runs(uri: str) -> None:
    called = anyio.Event()
    errors: list[InvalidOperation] = []

    async def callback(context: OIDCCallbackContext) -> OIDCCallbackResult:
        called.set()
        await anyio.sleep_forever()
        raise AssertionError("never reached")

    async def refused() -> None:
        with pytest.raises(InvalidOperation) as error:
            await find(client)
        errors.append(error.value)

    async with machine(uri, callback, maxConnecting=2) as client:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(refused)
                await called.wait()
                await client.close()
    assert len(errors) == 3


async def test_connections_of_the_background_ask_too(uri: str, server: OIDCDouble) -> None:
    """``minPoolSize``: a callback that fails there does not end the client's background."""
    tokens = Tokens(GOOD)
    calls = 0

    async def callback(context: OIDCCallbackContext) -> OIDCCallbackResult:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError
        return await tokens.fetch(context)

    async with machine(uri, callback, minPoolSize=2):
        await until(lambda: server.presented == [GOOD, GOOD], "two connections")


async def test_connections_that_must_authenticate_again_at_once_share_one_call(uri: str, server: OIDCDouble) -> None:
    callback = Tokens(GOOD, BETTER)
    async with machine(uri, callback, maxPoolSize=8, maxConnecting=8) as client:

        async def all_at_once() -> None:
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(find, client)

        server.delay = 0.05  # so that each find needs a connection of its own
        await all_at_once()
        for _ in range(8):
            server.fail("find", REAUTHENTICATE)
        server.presented.clear()
        await all_at_once()
    assert callback.calls == 2
    assert server.presented.count(BETTER) == 8


async def test_a_callback_written_for_pymongo_works_as_it_is(uri: str) -> None:
    from pymongo import auth_oidc_shared

    class Callback(auth_oidc_shared.OIDCCallback):
        def fetch(self, context: Any) -> auth_oidc_shared.OIDCCallbackResult:
            assert context.version == 1
            assert context.timeout_seconds == 60
            return auth_oidc_shared.OIDCCallbackResult(GOOD, expires_in_seconds=60)

    async with machine(uri, Callback()) as client:
        await find(client)


async def test_a_client_that_is_opened_again_asks_again(uri: str) -> None:
    callback = Tokens(GOOD)
    client = machine(uri, callback)
    for _ in range(2):
        async with client:
            await find(client)
    assert callback.calls == 2


async def test_a_bare_connection_authenticates_by_a_callback(uri: str) -> None:
    address = uri.removeprefix("mongodb://").partition("/")[0]
    properties = {"OIDC_CALLBACK": Tokens(GOOD)}
    async with wiredrv.connect(address, authMechanism="MONGODB-OIDC", authMechanismProperties=properties) as connection:
        assert (await connection.command("admin", {"ping": 1}))["ok"] == 1


async def test_no_event_log_or_error_shows_a_token(
    uri: str, server: OIDCDouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    callback, log = Tokens(GOOD, BAD, refresh="hush: refresh"), EventLog()
    async with human(uri, callback, event_listeners=[log]) as client:
        await find(client)
        server.fail("find", REAUTHENTICATE)
        with pytest.raises(OperationFailure) as failure:
            await find(client)
    told = "".join(traceback.format_exception(failure.value))
    assert caplog.records
    for text in (repr(log.events), caplog.text, told, repr(client), repr(vars(failure.value))):
        assert "hush" not in text
