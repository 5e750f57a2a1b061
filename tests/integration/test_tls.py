"""TLS to real servers, through clients: what works, and the error messages of what fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

import wiredrv
from tests.support.certificates import Authority, Issued
from tests.support.commands import Canceller
from tests.support.secured import tls_arguments, with_options
from wiredrv.connection.connect import establish
from wiredrv.connection.settings import ConnectionSettings
from wiredrv.errors import ConfigurationError, ServerSelectionTimeoutError
from wiredrv.local import Deployment, ReplicaSet, Standalone
from wiredrv.net.dial import Dialer
from wiredrv.net.settings import NetSettings, TLSSettings
from wiredrv.net.tls import TLSTransport

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server_certificate(authority: Authority) -> Issued:
    return authority.issue("server", ["127.0.0.1"])


@pytest.fixture(scope="module", params=["TLS1_2", "TLS1_3"])
def encrypted(
    starts_servers: None, request: pytest.FixtureRequest, authority: Authority, server_certificate: Issued
) -> Iterator[Standalone]:
    """A server that supports a single version of TLS."""
    other = {"TLS1_2": "TLS1_3", "TLS1_3": "TLS1_2"}[request.param]
    arguments = [
        *tls_arguments(server_certificate, authority.ca_file),
        "--tlsDisabledProtocols",
        f"TLS1_0,TLS1_1,{other}",
    ]
    with Standalone(test_commands=True, extra_args=arguments) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def encrypted_set(starts_servers: None, authority: Authority, server_certificate: Issued) -> Iterator[ReplicaSet]:
    """A replica set whose members also use TLS with one another, and require a certificate from every client."""
    arguments = tls_arguments(server_certificate, authority.ca_file, anybody=False)
    with ReplicaSet(members=2, test_commands=True, extra_args=arguments) as deployment:
        yield deployment


def over_tls(deployment: Deployment, authority: Authority, **options: str) -> str:
    return with_options(deployment.uri, tls="true", tlsCAFile=authority.ca_file, **options)


async def failure_of(uri: str) -> str:
    """The TLS problem, as shown by the error of an operation that finds no server."""
    async with wiredrv.Client(uri, serverSelectionTimeoutMS=500) as client:
        with pytest.raises(ServerSelectionTimeoutError) as failure:
            await client.shop.orders.find_one({})
    return str(failure.value)


async def test_small_and_large_documents_travel_both_ways(encrypted: Standalone, authority: Authority) -> None:
    documents = [{"_id": number, "text": "x" * size} for number, size in enumerate((10, 20_000, 5_000_000, 15_000_000))]
    async with wiredrv.Client(over_tls(encrypted, authority)) as client:
        await client.shop.orders.drop()
        await client.shop.orders.insert_many(documents)
        assert [document async for document in client.shop.orders.find({}).sort("_id")] == documents


async def test_many_operations_share_a_few_connections(encrypted: Standalone, authority: Authority) -> None:
    async with wiredrv.Client(over_tls(encrypted, authority), maxPoolSize=4) as client:
        counted: list[int] = []

        async def count(number: int) -> None:
            counters = client.shop.counters
            await counters.insert_one({"number": number})
            counted.append(await counters.count_documents({"number": number}))

        await client.shop.counters.drop()
        async with anyio.create_task_group() as group:
            for number in range(60):
                group.start_soon(count, number)
    assert counted == [1] * 60


async def test_a_cancelled_operation_leaves_a_client_that_works(encrypted: Standalone, authority: Authority) -> None:
    canceller = Canceller("sleep")
    async with wiredrv.Client(over_tls(encrypted, authority), maxPoolSize=1, event_listeners=[canceller]) as client:
        for _ in range(5):
            with canceller.cancelling() as scope:
                await client.admin.command({"sleep": 1, "millis": 300, "lock": "none"})
            assert scope.cancelled_caught
            assert (await client.admin.command({"ping": 1}))["ok"] == 1


async def test_sessions_are_resumed_with_a_real_server(encrypted: Standalone, authority: Authority) -> None:
    dialer = Dialer(NetSettings(tls=TLSSettings(ca_file=authority.ca_file)))
    resumed = []
    for _ in range(3):
        connection = await establish(encrypted.members[0].address, dialer, ConnectionSettings())
        transport = connection._transport
        assert isinstance(transport, TLSTransport)
        resumed.append(transport._object.session_reused)
        connection.close()
    assert resumed == [False, True, True]


async def test_an_unknown_authority_is_named(encrypted: Standalone) -> None:
    told = await failure_of(with_options(encrypted.uri, tls="true"))
    assert "the server's certificate is not accepted" in told
    assert "name its CA with tlsCAFile" in told


async def test_another_host_name_is_refused_unless_that_is_allowed(encrypted: Standalone, authority: Authority) -> None:
    uri = over_tls(encrypted, authority).replace("127.0.0.1", "localhost")
    assert "issued for another host" in await failure_of(uri)
    async with wiredrv.Client(with_options(uri, tlsAllowInvalidHostnames="true")) as client:
        await client.admin.command("ping")


@pytest.mark.parametrize("option", ["tlsAllowInvalidCertificates", "tlsInsecure"])
async def test_any_certificate_is_accepted_where_that_is_allowed(encrypted: Standalone, option: str) -> None:
    uri = with_options(encrypted.uri.replace("127.0.0.1", "localhost"), **{option: "true"})
    async with wiredrv.Client(uri) as client:
        await client.admin.command("ping")


async def test_a_server_without_tls_is_told_from_one_with_another_certificate(standalone: Standalone) -> None:
    told = await failure_of(with_options(standalone.uri, tls="true"))
    assert "during the TLS handshake; it may have no TLS" in told


@pytest.mark.usefixtures("starts_servers")
async def test_a_client_without_tls_is_told_that_the_server_hung_up(
    authority: Authority, server_certificate: Issued
) -> None:
    arguments = tls_arguments(server_certificate, authority.ca_file)
    async with Standalone(extra_args=arguments) as deployment:
        async with wiredrv.Client(over_tls(deployment, authority)) as client:
            await client.admin.command({"setParameter": 1, "tlsMode": "requireTLS"})
            assert (await client.admin.command({"ping": 1}))["ok"] == 1
        assert "AutoReconnect" in await failure_of(deployment.uri)


async def test_a_replica_set_wants_a_certificate_whose_key_may_be_encrypted(
    encrypted_set: ReplicaSet, authority: Authority
) -> None:
    client_certificate = authority.issue("client", password="open-sesame")
    uri = over_tls(encrypted_set, authority, tlsCertificateKeyFile=client_certificate.file)
    async with wiredrv.Client(uri, tlsCertificateKeyFilePassword="open-sesame") as client:
        async with client.start_session() as session, session.bind(), session.start_transaction():
            await client.shop.orders.insert_one({"sku": "abc"})
        assert await client.shop.orders.count_documents({"sku": "abc"}) >= 1
    with pytest.raises(ConfigurationError, match="is encrypted: give tlsCertificateKeyFilePassword"):
        wiredrv.Client(uri)
    with pytest.raises(ConfigurationError, match="does not open the key") as failure:
        wiredrv.Client(uri, tlsCertificateKeyFilePassword="shut-sesame")
    assert "shut-sesame" not in repr(failure.value)


async def test_without_a_certificate_that_replica_set_refuses(
    encrypted_set: ReplicaSet, authority: Authority, tmp_path: Path
) -> None:
    refusal = (
        "closed the connection right after the TLS handshake; it may require a client certificate, or a different one"
    )
    assert refusal in await failure_of(over_tls(encrypted_set, authority))
    stranger = Authority(tmp_path, "a stranger").issue("stranger")
    assert refusal in await failure_of(over_tls(encrypted_set, authority, tlsCertificateKeyFile=stranger.file))


async def test_files_are_looked_at_when_the_client_is_made(encrypted: Standalone) -> None:
    with pytest.raises(ConfigurationError, match=r"tlsCAFile: '/no/such/file\.pem' cannot be read"):
        wiredrv.Client(encrypted.uri, tlsCAFile="/no/such/file.pem")
