"""Snapshots and scans in threads."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from tests.support.scans import IDS, many_ranges
from tests.sync.test_many_threads import assert_idle
from wiredrv import ReadPreference
from wiredrv.errors import InvalidOperation
from wiredrv.local import ReplicaSet
from wiredrv.sync import Client, Collection

NAME = "sync_scans"


@pytest.fixture
def client(replica_set: ReplicaSet) -> Iterator[Client]:
    with Client(replica_set.uri, appName="sync scans") as client:
        client.drop_database(NAME)
        yield client
        assert_idle(client)


def filled(client: Client, documents: int) -> Collection[Any]:
    collection: Collection[Any] = client[NAME].create_collection("orders")
    collection.insert_many([{"_id": number, "text": "x" * 500} for number in range(documents)])
    return collection


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "wiredrv read ahead"]


def gone() -> None:
    end = time.monotonic() + 10
    while readers() and time.monotonic() < end:
        time.sleep(0.01)
    assert not readers()


def test_threads_read_every_type_of_id_once(client: Client) -> None:
    raw: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    collection = client[NAME].get_collection("ids", codec_options=raw)
    collection.insert_many([RawBSONDocument(bson.encode({"_id": value})) for value in IDS])
    expected = [bytes(document.raw) for document in collection.find({}, hint={"_id": 1})]
    with many_ranges(), client.snapshot() as snap:
        for ordered in (True, False):
            scan = snap.scan(collection, readers=4, ordered=ordered, batch_size=2)
            found = [bytes(document.raw) for batch in scan for document in batch]
            assert (found if ordered else sorted(found)) == (expected if ordered else sorted(expected))
            assert scan.progress.documents == len(IDS)
    gone()


def test_sessions_bindings_and_tokens(client: Client, replica_set: ReplicaSet) -> None:
    orders = filled(client, 10)
    with client.snapshot() as snap:
        orders.delete_many({})
        with snap.start_session() as session:
            assert session.client is client
            assert orders.count_documents({}, session=session) == 10
        with snap.bind() as bound:
            assert bound.snapshot_time == snap.time
            assert len(orders.find().to_list()) == 10
        with Client(replica_set.uri) as other, other.snapshot(snap.token) as same, same.bind():
            assert other[NAME]["orders"].count_documents({}) == 10


def test_a_break_and_the_end_of_the_block_stop_the_readers_and_break_no_connection(client: Client) -> None:
    orders = filled(client, 4000)
    with client.snapshot() as snap:
        for _ in snap.scan(orders, readers=4, batch_size=10, read_preference=ReadPreference.NEAREST):
            break
        gc.collect()
        gone()
        scan = snap.scan(orders, readers=4, batch_size=10)
        next(scan)
        generations = _generations(client)
    gone()
    assert _generations(client) == generations
    with pytest.raises(InvalidOperation, match="was closed"):
        next(scan)


def _generations(client: Client) -> list[int]:
    return [server.pool.state.generation for server in client._inner._core.topology.servers.values()]


def test_an_exception_and_a_closed_client_stop_the_readers(client: Client, replica_set: ReplicaSet) -> None:
    orders = filled(client, 4000)

    def fail() -> None:
        with client.snapshot() as snap:
            for _ in snap.scan(orders, readers=4, batch_size=10):
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    gone()
    with Client(replica_set.uri) as other, other.snapshot() as snap:
        scan = snap.scan(other[NAME]["orders"], readers=4, batch_size=10)
        next(scan)
        other.close()
        gone()
        with pytest.raises(InvalidOperation, match="closed"):
            next(scan)
