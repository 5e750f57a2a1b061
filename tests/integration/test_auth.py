"""Authentication against real servers: the auth specification's prose tests, and what users see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest

import wiredrv
from tests.support.certificates import Authority, Issued
from tests.support.secured import (
    ROOT,
    ROOT_PASSWORD,
    create_users,
    key_file_arguments,
    tls_arguments,
    users_of,
    with_options,
    with_user,
)
from wiredrv import events
from wiredrv.errors import OperationFailure
from wiredrv.local import ReplicaSet, Standalone

pytestmark = pytest.mark.anyio

SHA_1, SHA_256 = "SCRAM-SHA-1", "SCRAM-SHA-256"
USERS: list[dict[str, Any]] = [
    {"createUser": "sha1", "pwd": "sha1", "mechanisms": [SHA_1]},
    {"createUser": "sha256", "pwd": "sha256", "mechanisms": [SHA_256]},
    {"createUser": "both", "pwd": "both", "mechanisms": [SHA_1, SHA_256]},
    {"createUser": "IX", "pwd": "IX", "mechanisms": [SHA_256]},
    {"createUser": "\u2168", "pwd": "\u2163", "mechanisms": [SHA_256]},
    {"createUser": "a=b,c:/@%", "pwd": ",=n,r=", "mechanisms": [SHA_256]},
    {"createUser": "bell", "pwd": "ring\u0007", "mechanisms": [SHA_1]},
    {"createUser": "local", "pwd": "local", "db": "shop"},
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def ann(authority: Authority) -> Issued:
    return authority.issue("ann")


@pytest.fixture(scope="module")
def secured(starts_servers: None, authority: Authority, ann: Issued) -> Iterator[Standalone]:
    """One server with users and optional TLS."""
    certificate = authority.issue("server", ["127.0.0.1", "localhost"])
    arguments = ["--auth", *tls_arguments(certificate, authority.ca_file)]
    with Standalone(test_commands=True, extra_args=arguments) as deployment:
        create_users(deployment.uri, [*USERS, {"createUser": ann.subject, "db": "$external"}])
        yield deployment


async def works(uri: str, **options: Any) -> str:
    """Run a command that needs authentication. Returns the user name."""
    async with wiredrv.Client(uri, **options) as client:
        await client.shop.command({"dbStats": 1})
        (user,) = await users_of(client)
        return str(user["user"])


async def fails(uri: str, **options: Any) -> OperationFailure:
    with pytest.raises(OperationFailure) as failure:
        await works(uri, **options)
    return failure.value


async def counts(secured: Standalone, mechanism: str) -> tuple[int, int]:
    """How often the mechanism was used successfully so far: in total, and with speculative authentication."""
    async with wiredrv.Client(with_user(secured.uri, authMechanism=SHA_1)) as client:
        status = await client.admin.command({"serverStatus": 1})
    of_mechanism = status["security"]["authentication"]["mechanisms"][mechanism]
    return int(of_mechanism["authenticate"]["successful"]), int(of_mechanism["speculativeAuthenticate"]["successful"])


# auth specification, "SCRAM-SHA-256 and mechanism negotiation"


@pytest.mark.parametrize("user, mechanism", [("sha1", SHA_1), ("sha256", SHA_256), ("both", SHA_1), ("both", SHA_256)])
async def test_each_mechanism_that_a_user_has_works_when_it_is_given(
    secured: Standalone, user: str, mechanism: str
) -> None:
    assert await works(with_user(secured.uri, user, user, authMechanism=mechanism)) == user
    assert await works(secured.uri, username=user, password=user, authMechanism=mechanism) == user


@pytest.mark.parametrize("user", ["sha1", "sha256", "both"])
async def test_without_a_mechanism_one_that_the_user_has_is_found(secured: Standalone, user: str) -> None:
    assert await works(with_user(secured.uri, user, user)) == user
    assert await works(secured.uri, username=user, password=user) == user


async def test_sha_256_is_preferred_where_a_user_has_both_and_begun_with_the_handshake(secured: Standalone) -> None:
    all_before, begun_before = await counts(secured, SHA_256)
    async with wiredrv.Client(with_user(secured.uri, "both", "both"), maxPoolSize=1) as client:
        await client.shop.command({"dbStats": 1})
        await client.shop.command({"dbStats": 1})
    all_after, begun_after = await counts(secured, SHA_256)
    # Once, for the pool's one connection: the monitor's connections never authenticate.
    assert (all_after - all_before, begun_after - begun_before) == (1, 1)


@pytest.mark.parametrize("user, mechanism", [("sha1", SHA_256), ("sha256", SHA_1)])
async def test_a_mechanism_that_the_user_does_not_have_fails(secured: Standalone, user: str, mechanism: str) -> None:
    error = await fails(with_user(secured.uri, user, user, authMechanism=mechanism))
    assert error.code == 18
    assert f"{mechanism} as user '{user}' of 'admin'" in str(error)


async def test_an_unknown_user_and_a_wrong_password_fail_alike(secured: Standalone) -> None:
    unknown = await fails(with_user(secured.uri, "nobody", "guessed"))
    wrong = await fails(with_user(secured.uri, "both", "guessed"))
    assert (type(unknown), unknown.code, unknown.code_name) == (type(wrong), wrong.code, wrong.code_name)
    assert (unknown.code, unknown.code_name) == (18, "AuthenticationFailed")
    assert "as user 'nobody' of 'admin'" in str(unknown)
    assert f"{SHA_256} as user 'both' of 'admin'" in str(wrong)
    assert "guessed" not in f"{unknown!r} {wrong!r} {unknown.details} {wrong.details}"


@pytest.mark.parametrize(
    "user, password", [("IX", "IX"), ("IX", "I\u00adX"), ("\u2168", "IV"), ("\u2168", "I\u00adV"), ("\u2168", "\u2163")]
)
async def test_passwords_are_prepared_and_names_are_not(secured: Standalone, user: str, password: str) -> None:
    assert await works(with_user(secured.uri, user, password)) == user


# What users see


async def test_names_and_passwords_with_the_mechanisms_own_characters(secured: Standalone) -> None:
    assert await works(with_user(secured.uri, "a=b,c:/@%", ",=n,r=")) == "a=b,c:/@%"


async def test_a_password_that_sha_256_does_not_take_still_works_with_sha_1(secured: Standalone) -> None:
    assert await works(with_user(secured.uri, "bell", "ring\u0007")) == "bell"


async def test_the_source_is_the_database_that_knows_the_user(secured: Standalone) -> None:
    assert await works(with_user(secured.uri, "local", "local", authSource="shop")) == "local"
    host = secured.members[0].address
    assert await works(f"mongodb://local:local@{host}/shop") == "local"
    error = await fails(with_user(secured.uri, "local", "local"))
    assert "as user 'local' of 'admin'" in str(error)


async def test_without_credentials_nothing_is_allowed(secured: Standalone) -> None:
    async with wiredrv.Client(secured.uri) as client:
        with pytest.raises(OperationFailure) as failure:
            await client.shop.orders.find_one({})
        assert failure.value.code == 13
        assert await users_of(client) == []


async def test_many_connections_are_authenticated_at_once(secured: Standalone) -> None:
    answers: list[Any] = []

    async with wiredrv.Client(with_user(secured.uri, "both", "both"), maxPoolSize=20, maxConnecting=10) as client:

        async def ask() -> None:
            answers.append(await client.shop.command({"dbStats": 1}))

        async with anyio.create_task_group() as group:
            for _ in range(60):
                group.start_soon(ask)
    assert len(answers) == 60


async def test_a_client_whose_password_was_wrong_works_once_it_is_set(secured: Standalone) -> None:
    async with (
        wiredrv.Client(with_user(secured.uri)) as root,
        wiredrv.Client(with_user(secured.uri, "late", "set later")) as late,
    ):
        with pytest.raises(OperationFailure, match="authentication failed"):
            await late.shop.command({"dbStats": 1})
        await root.admin.command({"createUser": "late", "pwd": "set later", "roles": ["root"]})
        try:
            assert (await late.shop.command({"dbStats": 1}))["ok"] == 1
        finally:
            await root.admin.command({"dropUser": "late"})


async def test_listeners_never_hear_of_an_authentication_nor_of_passwords(secured: Standalone) -> None:
    heard: list[Any] = []

    class Listener(events.CommandListener):
        def started(self, event: events.CommandStartedEvent) -> None:
            heard.append(event)

        def succeeded(self, event: events.CommandSucceededEvent) -> None:
            heard.append(event)

        def failed(self, event: events.CommandFailedEvent) -> None:
            heard.append(event)

    async with wiredrv.Client(with_user(secured.uri, "both", "both"), event_listeners=[Listener()]) as client:
        await client.admin.command({"createUser": "short-lived", "pwd": "hush-hush", "roles": []})
        await client.admin.command({"dropUser": "short-lived"})
    names = [event.command_name for event in heard]
    assert names[:4] == ["createUser", "createUser", "dropUser", "dropUser"]
    assert not {"hello", "isMaster", "saslStart", "saslContinue", "authenticate"} & set(names)
    assert "hush-hush" not in repr(heard)


# MONGODB-X509


def by_certificate(secured: Standalone, authority: Authority, certificate: Issued, **options: str) -> str:
    files = {"tlsCAFile": authority.ca_file, "tlsCertificateKeyFile": certificate.file}
    return with_options(secured.uri, tls="true", authMechanism="MONGODB-X509", **files, **options)


async def test_a_client_certificate_is_who_the_user_is(secured: Standalone, authority: Authority, ann: Issued) -> None:
    uri = by_certificate(secured, authority, ann)
    assert await works(uri) == ann.subject
    assert await works(uri, username=ann.subject) == ann.subject


async def test_connections_that_resume_a_tls_session_are_authenticated_too(
    secured: Standalone, authority: Authority, ann: Issued
) -> None:
    async with wiredrv.Client(by_certificate(secured, authority, ann), maxPoolSize=10) as client:
        await client.shop.command({"dbStats": 1})
        seen: list[Any] = []

        async def ask() -> None:
            seen.extend(await users_of(client))

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ask)
    assert [user["user"] for user in seen] == [ann.subject] * 20


async def test_a_certificate_that_is_no_users_fails_and_so_does_another_name(
    secured: Standalone, authority: Authority, ann: Issued
) -> None:
    stranger = authority.issue("stranger")
    error = await fails(by_certificate(secured, authority, stranger))
    assert "MONGODB-X509 as the client certificate's subject of '$external'" in str(error)
    error = await fails(by_certificate(secured, authority, ann), username="CN=somebody else")
    assert "MONGODB-X509 as user 'CN=somebody else' of '$external'" in str(error)


# A replica set


@pytest.fixture(scope="module")
def secured_set(starts_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    arguments = key_file_arguments(tmp_path_factory.mktemp("key"))
    with ReplicaSet(members=3, test_commands=True, extra_args=arguments) as deployment:
        create_users(deployment.uri, [])
        yield deployment


async def test_sessions_and_transactions_of_a_user_on_a_replica_set(secured_set: ReplicaSet) -> None:
    async with wiredrv.Client(secured_set.uri, username=ROOT, password=ROOT_PASSWORD, authSource="admin") as client:
        orders = client.shop.orders
        await orders.delete_many({})
        async with client.start_session() as session:
            async with session.start_transaction():
                await orders.insert_one({"_id": 1}, session=session)
                assert await orders.find_one({"_id": 1}) is None
            assert await orders.find_one({"_id": 1}, session=session) == {"_id": 1}


async def test_after_a_failover_the_new_primary_is_authenticated_with(secured_set: ReplicaSet) -> None:
    async with wiredrv.Client(with_user(secured_set.uri)) as client:
        await client.shop.orders.insert_one({"before": True})
        first = secured_set.primary()
        await anyio.to_thread.run_sync(first.kill)
        try:
            await client.shop.orders.insert_one({"after": True})
            assert {"user": ROOT, "db": "admin"} in await users_of(client)
        finally:
            await anyio.to_thread.run_sync(secured_set.heal)
