"""ObjectIds for many documents. ObjectID specification, "Specification" and "Test Plan"."""

from __future__ import annotations

import os
from itertools import count, islice

import pytest
from bson.objectid import ObjectId

from wiredrv.client import object_ids as module
from wiredrv.client.object_ids import object_ids


def test_ids_have_the_time_the_process_and_a_counter() -> None:
    before = ObjectId()
    first, second = islice(object_ids(), 2)
    assert 0 <= (first.generation_time - before.generation_time).total_seconds() <= 5
    assert first.binary[4:9] == second.binary[4:9] != before.binary[4:9]
    numbers = [int.from_bytes(each.binary[9:], "big") for each in (first, second)]
    assert (numbers[0] + 1) % 2**24 == numbers[1]


def test_two_users_of_the_process_get_different_ids() -> None:
    one, other = object_ids(), object_ids()
    found = [next(ids) for _ in range(20_000) for ids in (one, other)]
    assert len(set(found)) == len(found)


def test_the_counter_begins_again_after_its_last_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """ObjectID specification, "Test Plan": a counter overflow does not change the other bytes."""
    monkeypatch.setattr(module._process, "counter", count(2**24 - 1))
    last, first = islice(object_ids(), 2)
    assert last.binary[9:] == b"\xff\xff\xff"
    assert first.binary == last.binary[:9] + b"\0\0\0"


def test_the_time_is_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BETWEEN_CLOCKS", 2)
    times = [ObjectId(bytes([number]) * 12) for number in (1, 2)]
    real = ObjectId

    def clock(given: bytes | None = None) -> ObjectId:
        return times.pop(0) if given is None else real(given)

    monkeypatch.setattr(module, "ObjectId", clock)
    assert [each.binary[0] for each in islice(object_ids(), 4)] == [1, 1, 2, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_process_has_random_bytes_of_its_own() -> None:
    ids = object_ids()
    mine = next(ids).binary[4:9]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, next(object_ids()).binary[4:9])
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 5)
    os.close(reader)
    os.close(writer)
    assert len(theirs) == 5
    assert theirs != mine
