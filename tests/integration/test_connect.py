"""``wiredrv.connect`` to real servers with users and TLS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import wiredrv
from tests.support.certificates import Authority, Issued
from tests.support.secured import ROOT, ROOT_PASSWORD, create_users, tls_arguments, with_options, with_user
from wiredrv import DriverInfo, ServerApi
from wiredrv.errors import AutoReconnect, ConfigurationError, NetworkTimeout, OperationFailure
from wiredrv.local import Standalone

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def ann(authority: Authority) -> Issued:
    return authority.issue("ann")


@pytest.fixture(scope="module")
def secured(starts_servers: None, authority: Authority, ann: Issued) -> Iterator[Standalone]:
    """One server with users and optional TLS."""
    certificate = authority.issue("server", ["127.0.0.1"])
    arguments = ["--auth", *tls_arguments(certificate, authority.ca_file)]
    with Standalone(test_commands=True, extra_args=arguments) as deployment:
        create_users(deployment.uri, [{"createUser": ann.subject, "db": "$external"}])
        yield deployment


async def user_of(address: str, **options: Any) -> list[str]:
    async with wiredrv.connect(address, **options) as connection:
        status = await connection.command("admin", {"connectionStatus": 1})
    return [user["user"] for user in status["authInfo"]["authenticatedUsers"]]


def over_tls(secured: Standalone, authority: Authority, **options: str) -> str:
    return with_options(secured.uri, tls="true", tlsCAFile=authority.ca_file, **options)


async def test_a_connection_string_may_name_a_user(secured: Standalone) -> None:
    assert await user_of(with_user(secured.uri)) == [ROOT]


async def test_an_address_may_come_with_a_user_in_keywords(secured: Standalone) -> None:
    address = str(secured.members[0].address)
    assert await user_of(address, username=ROOT, password=ROOT_PASSWORD, authMechanism="SCRAM-SHA-1") == [ROOT]
    assert await user_of(address) == []


async def test_user_and_tls_go_together(secured: Standalone, authority: Authority) -> None:
    assert await user_of(with_user(over_tls(secured, authority))) == [ROOT]


async def test_a_client_certificate_is_who_the_user_is(secured: Standalone, authority: Authority, ann: Issued) -> None:
    uri = over_tls(secured, authority)
    assert await user_of(uri, authMechanism="MONGODB-X509", tlsCertificateKeyFile=ann.file) == [ann.subject]


async def test_a_wrong_password_is_told_by_code_and_leaves_no_connection(secured: Standalone) -> None:
    with pytest.raises(OperationFailure, match="authentication failed") as failure:
        await user_of(with_user(secured.uri, ROOT, "guessed"))
    assert failure.value.code == 18
    assert "guessed" not in repr(failure.value)


async def test_an_untrusted_certificate_is_refused(secured: Standalone) -> None:
    with pytest.raises(AutoReconnect, match="the server's certificate is not accepted"):
        await user_of(with_options(secured.uri, tls="true"))


async def test_handshake_options_reach_the_server(secured: Standalone) -> None:
    uri = with_user(secured.uri, appName="probe", compressors="zlib")
    async with wiredrv.connect(
        uri, driver_info=(DriverInfo("ours"),), driver=DriverInfo("theirs"), server_api=ServerApi("1")
    ) as connection:
        assert connection.compressor is not None
        assert connection.compressor.name == "zlib"
        assert connection.api == ServerApi("1")
    # currentOp is not part of the Stable API.
    async with wiredrv.connect(with_user(secured.uri), app_name="probe", driver_info=(DriverInfo("ours"),)) as other:
        pipeline = [
            {"$currentOp": {}},
            {"$match": {"appName": "probe"}},
            {"$project": {"clientMetadata.driver.name": 1}},
        ]
        reply = await other.command("admin", {"aggregate": 1, "pipeline": pipeline, "cursor": {}})
    names = [document["clientMetadata"]["driver"]["name"] for document in reply["cursor"]["firstBatch"]]
    assert names
    assert all(name.endswith("|ours") for name in names)


async def test_the_string_sets_the_time_limits_unless_the_call_does(secured: Standalone) -> None:
    slow = {"sleep": 1, "millis": 2000, "lock": "none"}
    uri = with_user(secured.uri, socketTimeoutMS="100", connectTimeoutMS="3000")
    async with wiredrv.connect(uri) as connection:
        with pytest.raises(NetworkTimeout, match=r"socketTimeoutMS \(100 ms\)"):
            await connection.command("admin", slow)
    async with wiredrv.connect(uri, socket_timeout=None, connect_timeout=None) as connection:
        assert connection.socket_timeout is None


async def test_the_block_closes_the_connection(secured: Standalone) -> None:
    async with wiredrv.connect(with_user(secured.uri)) as connection:
        pass
    assert connection.closed


async def test_options_of_a_whole_client_are_refused(secured: Standalone) -> None:
    with pytest.raises(ConfigurationError, match="takes no maxPoolSize: one connection has no pool"):
        await user_of(with_options(secured.uri, maxPoolSize="3"))
