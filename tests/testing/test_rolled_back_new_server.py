"""Operations of servers that are newer than those of the other tests, in a transaction that is rolled back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.fake_server import FakeServer, fine, with_sessions
from wiredrv import Client, InsertOne
from wiredrv.errors import ClientBulkWriteException
from wiredrv.testing.joined import RollbackError
from wiredrv.testing.rollback import rolled_back

pytestmark = pytest.mark.anyio


def answer(command: dict[str, Any]) -> Mapping[str, Any]:
    if "bulkWrite" not in command:
        return fine(command)
    duplicate = any(document["document"]["_id"] == 1 for document in command["ops"])
    entry = {"ok": 0, "idx": 0, "code": 11000, "errmsg": "E11000"} if duplicate else {"ok": 1, "idx": 0, "n": 1}
    counts = {"nErrors": int(duplicate), "nInserted": int(not duplicate)}
    zeros = {"nMatched": 0, "nModified": 0, "nUpserted": 0, "nDeleted": 0}
    cursor = {"id": 0, "firstBatch": [entry], "ns": "admin.$cmd.bulkWrite"}
    return {"ok": 1, "cursor": cursor, **counts, **zeros}


async def test_a_bulk_of_a_client_takes_part_and_its_errors_end_the_transaction() -> None:
    with FakeServer({**with_sessions(), "maxWireVersion": 25}, answer) as server:
        server.hello.update(setName="rs", hosts=[str(server.address)], me=str(server.address))
        async with Client(f"mongodb://{server.address}/?replicaSet=rs") as client, rolled_back(client):
            await client.bulk_write([InsertOne({"_id": 2}, namespace="shop.orders")])
            with pytest.raises(ClientBulkWriteException):
                await client.bulk_write([InsertOne({"_id": 1}, namespace="shop.orders")])
            with pytest.raises(RollbackError, match="'bulkWrite' failed") as refused:
                await client.shop.orders.find_one()
            assert isinstance(refused.value.__cause__, ClientBulkWriteException)
        sent = [command for command in server.commands if next(iter(command)) in ("bulkWrite", "abortTransaction")]
        assert [next(iter(command)) for command in sent] == ["bulkWrite", "bulkWrite", "abortTransaction"]
        assert sent[0]["startTransaction"] is True
        assert all(command["autocommit"] is False and command["lsid"] == sent[0]["lsid"] for command in sent)
        assert len({command["txnNumber"] for command in sent}) == 1
