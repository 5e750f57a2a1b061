"""Compression with real servers: negotiated, used in both directions, and never used for excluded commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
import pytest

import wiredrv
from tests.support.certificates import Authority
from tests.support.secured import ROOT, create_users, tls_arguments, users_of, with_options, with_user
from wiredrv import WriteConcern
from wiredrv.local import Standalone

pytestmark = pytest.mark.anyio

NAMES = ("zlib", "zstd", "snappy")
DOCUMENTS = [{"_id": number, "text": "again and again " * 500} for number in range(300)]


@pytest.fixture(scope="module")
def compressing(starts_servers: None) -> Iterator[Standalone]:
    with Standalone(test_commands=True, extra_args=["--networkMessageCompressors", "snappy,zstd,zlib"]) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def compressing_with_zlib(starts_servers: None) -> Iterator[Standalone]:
    with Standalone(extra_args=["--networkMessageCompressors", "zlib"]) as deployment:
        yield deployment


async def bytes_handled(deployment: Standalone) -> dict[str, tuple[int, int]]:
    """How many bytes of requests the server has decompressed so far, and of replies compressed, by compressor."""
    async with wiredrv.Client(deployment.uri) as client:
        status = await client.admin.command({"serverStatus": 1})
    counters = status["network"]["compression"]
    return {
        name: (int(counters[name]["decompressor"]["bytesOut"]), int(counters[name]["compressor"]["bytesIn"]))
        for name in NAMES
        if name in counters
    }


async def use(uri: str) -> None:
    """Write and read more than two megabytes, in several batches."""
    async with wiredrv.Client(uri) as client:
        orders = client.shop.orders
        await orders.drop()
        await orders.insert_many(DOCUMENTS)
        assert [document async for document in orders.find({}, batch_size=100).sort("_id")] == DOCUMENTS
        # So large a document is a buffer of its own, until it is compressed with the rest of its message.
        large = {"_id": "large", "text": "abc" * 500_000}
        await orders.insert_one(large)
        assert await orders.find_one("large") == large


@pytest.mark.parametrize("name", NAMES)
async def test_requests_and_replies_are_compressed(compressing: Standalone, name: str) -> None:
    before = await bytes_handled(compressing)
    await use(with_options(compressing.uri, compressors=name))
    after = await bytes_handled(compressing)
    inflated, deflated = (new - old for new, old in zip(after[name], before[name], strict=True))
    assert inflated > 2_000_000
    assert deflated > 2_000_000
    assert [other for other in NAMES if other != name and after[other] != before[other]] == []


async def test_the_first_compressor_that_the_server_has_is_used(
    compressing: Standalone, compressing_with_zlib: Standalone
) -> None:
    for deployment, expected in ((compressing, "zstd"), (compressing_with_zlib, "zlib")):
        before = await bytes_handled(deployment)
        await use(with_options(deployment.uri, compressors="zstd,zlib,snappy"))
        after = await bytes_handled(deployment)
        assert [name for name in after if after[name] != before[name]] == [expected]


async def test_a_server_without_the_compressor_is_spoken_to_as_ever(compressing_with_zlib: Standalone) -> None:
    before = await bytes_handled(compressing_with_zlib)
    await use(with_options(compressing_with_zlib.uri, compressors="snappy"))
    assert await bytes_handled(compressing_with_zlib) == before


async def test_without_the_option_nothing_is_compressed(compressing: Standalone) -> None:
    before = await bytes_handled(compressing)
    await use(compressing.uri)
    assert await bytes_handled(compressing) == before


@pytest.mark.parametrize("level", ["-1", "0", "9"])
async def test_every_level_of_zlib_is_understood(compressing: Standalone, level: str) -> None:
    await use(with_options(compressing.uri, compressors="zlib", zlibCompressionLevel=level))


async def test_unacknowledged_writes_are_compressed_too(compressing: Standalone) -> None:
    before = await bytes_handled(compressing)
    async with wiredrv.Client(with_options(compressing.uri, compressors="zlib"), maxPoolSize=1) as client:
        orders = client.shop.get_collection("unacknowledged", write_concern=WriteConcern(w=0))
        await orders.insert_one({"text": "again and again " * 10_000})
        # On the same connection: the server has handled the write before this command.
        await client.admin.command("ping")
    after = await bytes_handled(compressing)
    assert after["zlib"][0] - before["zlib"][0] > 160_000


async def test_a_command_that_creates_a_user_is_not_compressed(compressing: Standalone) -> None:
    async with wiredrv.Client(with_options(compressing.uri, compressors="zlib"), maxPoolSize=1) as client:
        await client.admin.command("ping")
        before = await bytes_handled(compressing)
        await client.admin.command(
            {"createUser": "hidden", "pwd": "x" * 100, "roles": [], "customData": {"padding": "x" * 50_000}}
        )
        middle = await bytes_handled(compressing)
        await client.admin.command({"dropUser": "hidden", "comment": "x" * 50_000})
        after = await bytes_handled(compressing)
    assert middle["zlib"][0] - before["zlib"][0] < 10_000
    assert after["zlib"][0] - middle["zlib"][0] > 50_000


@pytest.mark.usefixtures("starts_servers")
async def test_compression_encryption_and_a_user_together(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.issue("server", ["127.0.0.1"])
    arguments = ["--auth", *tls_arguments(certificate, authority.ca_file)]
    async with Standalone(extra_args=arguments) as deployment:
        await anyio.to_thread.run_sync(create_users, deployment.uri, [])
        uri = with_user(deployment.uri, tls="true", tlsCAFile=authority.ca_file, compressors="zstd")
        await use(uri)
        async with wiredrv.Client(uri) as client:
            assert await users_of(client) == [{"user": ROOT, "db": "admin"}]
