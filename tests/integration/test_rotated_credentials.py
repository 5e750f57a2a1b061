"""Passwords and certificates that change while a client is open, with real servers."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import wiredrv
from tests.support.certificates import Authority, Issued
from tests.support.event_log import EventLog
from tests.support.secured import create_users, tls_arguments, users_of, with_options, with_user
from wiredrv import ClientCredentials, events
from wiredrv.errors import AutoReconnect, CredentialsError, OperationFailure, ServerSelectionTimeoutError
from wiredrv.local import Standalone

pytestmark = pytest.mark.anyio

APP = "rotated"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def ann(authority: Authority) -> Issued:
    return authority.issue("ann")


@pytest.fixture(scope="module")
def bob(authority: Authority) -> Issued:
    return authority.issue("bob")


@pytest.fixture(scope="module")
def secured(starts_servers: None, authority: Authority, ann: Issued, bob: Issued) -> Iterator[Standalone]:
    """One server with users, which demands a certificate from clients that use TLS."""
    certificate = authority.issue("server", ["127.0.0.1"])
    arguments = ["--auth", *tls_arguments(certificate, authority.ca_file, anybody=False)]
    with Standalone(test_commands=True, extra_args=arguments) as deployment:
        certificates = [{"createUser": who.subject, "db": "$external"} for who in (ann, bob)]
        create_users(deployment.uri, [{"createUser": "app", "pwd": "first"}, *certificates])
        yield deployment


@asynccontextmanager
async def root_of(secured: Standalone) -> AsyncIterator[wiredrv.Client]:
    async with wiredrv.Client(with_user(secured.uri)) as root:
        yield root


async def set_password(root: wiredrv.Client, password: str) -> None:
    await root.admin.command({"updateUser": "app", "pwd": password})


async def break_connection(root: wiredrv.Client, client: wiredrv.Client) -> None:
    """Have the server close the client's connection."""
    data = {"failCommands": ["ping"], "closeConnection": True, "appName": APP}
    await root.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})
    with pytest.raises(AutoReconnect):
        await client.admin.command("ping")


class Vault:
    """Has the password of now."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.calls = 0

    async def __call__(self) -> ClientCredentials:
        self.calls += 1
        await anyio.lowlevel.checkpoint()
        return ClientCredentials(username="app", password=self.password)


async def test_a_password_is_changed_while_the_client_is_open(secured: Standalone) -> None:
    vault = Vault("first")
    async with (
        root_of(secured) as root,
        wiredrv.Client(secured.uri, credentials=vault, appName=APP, retryReads=False, maxPoolSize=1) as client,
    ):
        await set_password(root, "first")
        await client.shop.orders.find_one({})
        vault.password = "second"
        await set_password(root, "second")
        # A connection that is authenticated stays so.
        await client.shop.orders.find_one({})
        assert vault.calls == 1
        await break_connection(root, client)
        await client.shop.orders.find_one({})
        assert vault.calls == 2
        (user,) = await users_of(client)
        assert user["user"] == "app"


async def test_many_connections_each_ask(secured: Standalone) -> None:
    vault, log = Vault("many"), EventLog()
    options: dict[str, Any] = {"credentials": vault, "maxConnecting": 5, "event_listeners": [log]}
    async with root_of(secured) as root, wiredrv.Client(secured.uri, **options) as client:
        await set_password(root, "many")

        async def slowly() -> None:
            await client.admin.command({"sleep": 1, "millis": 100, "lock": "none"})

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(slowly)
        # The monitor's connections, without TLS, need nothing from it.
        assert vault.calls == len(log.of(events.ConnectionReadyEvent))


async def test_a_password_that_is_outdated_fails_until_the_callback_gives_the_new_one(secured: Standalone) -> None:
    vault = Vault("outdated")
    async with root_of(secured) as root, wiredrv.Client(secured.uri, credentials=vault) as client:
        await set_password(root, "third")
        with pytest.raises(OperationFailure, match="as user 'app' of 'admin'") as failure:
            await client.shop.orders.find_one({})
        assert failure.value.code == 18
        vault.password = "third"
        await client.shop.orders.find_one({})


async def test_a_synchronous_callback_that_fails_once(secured: Standalone) -> None:
    calls = 0

    def callback() -> ClientCredentials:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("the vault is away")
        return ClientCredentials(username="app", password="fourth")

    async with root_of(secured) as root, wiredrv.Client(secured.uri, credentials=callback) as client:
        await set_password(root, "fourth")
        with pytest.raises(CredentialsError, match="credentials raised OSError") as failure:
            await client.shop.orders.find_one({})
        assert isinstance(failure.value.__cause__, OSError)
        await client.shop.orders.find_one({})


async def test_while_a_callback_fails_the_connections_that_there_are_stay_in_use(secured: Standalone) -> None:
    away, log = False, EventLog()

    def callback() -> ClientCredentials:
        if away:
            raise OSError("the vault is away")
        return ClientCredentials(username="app", password="steady")

    async with root_of(secured) as root:
        await set_password(root, "steady")
        async with wiredrv.Client(secured.uri, credentials=callback, event_listeners=[log]) as client:
            await client.shop.orders.find_one({})
            away = True
            async with anyio.create_task_group() as group:
                group.start_soon(client.admin.command, {"sleep": 1, "millis": 500, "lock": "none"})
                await log.wait_for(events.CommandStartedEvent, command_name="sleep")
                with pytest.raises(CredentialsError):
                    await client.shop.orders.find_one({})
            assert not log.of(events.PoolClearedEvent)
            await client.shop.orders.find_one({})
        assert len(log.of(events.ConnectionReadyEvent)) == 1


async def test_a_callback_that_hangs_has_the_time_for_connecting(secured: Standalone) -> None:
    async def callback() -> ClientCredentials:
        await anyio.sleep_forever()
        raise AssertionError

    async with wiredrv.Client(secured.uri, credentials=callback, connectTimeoutMS=200) as client:
        with pytest.raises(CredentialsError, match=r"credentials gave nothing within 0\.2 s"):
            await client.shop.orders.find_one({})
        with anyio.move_on_after(0.1) as scope:
            await client.shop.orders.find_one({})
        assert scope.cancelled_caught


async def test_a_bare_connection_asks_too(secured: Standalone) -> None:
    async with root_of(secured) as root:
        await set_password(root, "fifth")
    async with wiredrv.connect(str(secured.members[0].address), credentials=Vault("fifth")) as connection:
        status = await connection.command("admin", {"connectionStatus": 1})
    assert [user["user"] for user in status["authInfo"]["authenticatedUsers"]] == ["app"]


async def test_a_certificate_is_replaced_while_the_client_is_open(
    secured: Standalone, authority: Authority, ann: Issued, bob: Issued, tmp_path: Path
) -> None:
    file = tmp_path / "current.pem"
    shutil.copy(ann.file, file)
    uri = with_options(secured.uri, tls="true", tlsCAFile=authority.ca_file, authMechanism="MONGODB-X509")

    def callback() -> ClientCredentials:
        return ClientCredentials(tls_certificate_key_file=str(file))

    async with (
        root_of(secured) as root,
        wiredrv.Client(uri, credentials=callback, appName=APP, retryReads=False, maxPoolSize=1) as client,
    ):
        assert [user["user"] for user in await users_of(client)] == [ann.subject]
        shutil.copy(bob.file, tmp_path / "new.pem")
        os.replace(tmp_path / "new.pem", file)
        await break_connection(root, client)
        assert [user["user"] for user in await users_of(client)] == [bob.subject]


async def test_monitors_show_the_certificate_of_the_callback(
    secured: Standalone, authority: Authority, ann: Issued
) -> None:
    """The server demands one from every connection with TLS."""
    uri = with_options(secured.uri, tls="true", tlsCAFile=authority.ca_file)
    async with wiredrv.Client(uri, serverSelectionTimeoutMS=700) as without:
        with pytest.raises(ServerSelectionTimeoutError):
            await without.admin.command("ping")
    async with wiredrv.Client(uri, credentials=lambda: ClientCredentials(tls_certificate_key_file=ann.file)) as client:
        assert (await client.admin.command("ping"))["ok"] == 1
        assert await users_of(client) == []  # no mechanism and no user


async def test_a_file_that_is_not_there_is_named(secured: Standalone, authority: Authority, tmp_path: Path) -> None:
    uri = with_options(secured.uri, tls="true", tlsCAFile=authority.ca_file)
    missing = str(tmp_path / "missing.pem")
    async with wiredrv.Client(
        uri,
        credentials=lambda: ClientCredentials(tls_certificate_key_file=missing),
        serverSelectionTimeoutMS=500,
    ) as client:
        with pytest.raises(ServerSelectionTimeoutError, match=r"tlsCertificateKeyFile: .*missing\.pem' cannot be read"):
            await client.admin.command("ping")


async def test_no_log_or_error_shows_a_password(secured: Standalone, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "wiredrv")
    async with wiredrv.Client(secured.uri, credentials=Vault("hush-hush")) as client:
        with pytest.raises(OperationFailure) as failure:
            await client.shop.orders.find_one({})
        assert caplog.records
        assert "hush" not in f"{caplog.text} {failure.value!r} {vars(failure.value)} {client!r}"
