"""Results of writes. CRUD specification, "Write Results"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from wiredrv.client.results import (
    BulkWriteResult,
    DeleteResult,
    InsertManyResult,
    InsertOneResult,
    UpdateResult,
    WriteResult,
)
from wiredrv.errors import InvalidOperation

TOTALS = {
    "writeErrors": [],
    "writeConcernErrors": [],
    "nInserted": 1,
    "nMatched": 2,
    "nModified": 3,
    "nRemoved": 4,
    "nUpserted": 1,
    "upserted": [{"index": 6, "_id": "x"}],
}


def test_bulk_counts() -> None:
    result = BulkWriteResult(TOTALS, True)
    assert result.inserted_count == 1
    assert result.matched_count == 2
    assert result.modified_count == 3
    assert result.deleted_count == 4
    assert result.upserted_count == 1
    assert result.upserted_ids == {6: "x"}
    assert result.bulk_api_result == TOTALS


COUNTS: list[tuple[WriteResult, str]] = [
    (UpdateResult({}, False), "matched_count"),
    (UpdateResult({}, False), "modified_count"),
    (UpdateResult({}, False), "upserted_id"),
    (UpdateResult({}, False), "upserted_count"),
    (UpdateResult({}, False), "did_upsert"),
    (DeleteResult({}, False), "deleted_count"),
    *(
        (BulkWriteResult(TOTALS, False), name)
        for name in (
            "inserted_count",
            "matched_count",
            "modified_count",
            "deleted_count",
            "upserted_count",
            "upserted_ids",
        )
    ),
]


@pytest.mark.parametrize("result, name", COUNTS, ids=lambda value: getattr(type(value), "__name__", ""))
def test_unacknowledged_writes_have_no_counts(result: WriteResult, name: str) -> None:
    with pytest.raises(InvalidOperation, match=name):
        getattr(result, name)


def test_ids_are_known_also_when_unacknowledged() -> None:
    assert InsertOneResult(7, False).inserted_id == 7
    assert InsertManyResult([7, 8], False).inserted_ids == [7, 8]


def test_raw_result_is_a_copy_in_pymongos_form() -> None:
    reply = {"n": 1, "nModified": 0, "ok": 1.0, "upserted": [{"index": 0, "_id": 5}]}
    result = UpdateResult(reply, True)
    assert result.raw_result == {"n": 1, "nModified": 0, "ok": 1.0, "upserted": 5, "updatedExisting": False}
    assert reply["upserted"] == [{"index": 0, "_id": 5}]
    result.raw_result["n"] = 99
    assert result.raw_result["n"] == 1


def test_update_of_something_that_was_there() -> None:
    result = UpdateResult({"n": 2, "nModified": 1, "ok": 1.0}, True)
    assert result.raw_result["updatedExisting"] is True
    assert (result.matched_count, result.modified_count, result.did_upsert) == (2, 1, False)


def test_upsert_of_the_id_none_is_an_upsert() -> None:
    result = UpdateResult({"n": 1, "nModified": 0, "upserted": [{"index": 0, "_id": None}]}, True)
    assert (result.matched_count, result.upserted_count, result.did_upsert) == (0, 1, True)


@pytest.mark.parametrize(
    "make",
    [
        lambda acknowledged: UpdateResult({"n": 1, "nModified": 1}, acknowledged),
        lambda acknowledged: DeleteResult({"n": 1}, acknowledged),
        lambda acknowledged: InsertOneResult(1, acknowledged),
        lambda acknowledged: InsertManyResult([1], acknowledged),
        lambda acknowledged: BulkWriteResult(TOTALS, acknowledged),
    ],
)
@pytest.mark.parametrize("acknowledged", [True, False])
def test_representations_tell_the_kind_and_raise_nothing(make: Callable[[bool], Any], acknowledged: bool) -> None:
    result = make(acknowledged)
    assert repr(result).startswith(type(result).__name__)
    assert f"acknowledged={acknowledged}" in repr(result)
