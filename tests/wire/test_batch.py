"""The batch of a reply as bytes: cut into documents, decoded in slices, refused where its structure is broken."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions, TypeDecoder, TypeRegistry
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.errors import UnreadableReply
from wiredrv.types import Body
from wiredrv.wire.batch import Batch, cut

FAR = DatetimeMS(10**15)


class Doubled(TypeDecoder):
    """A user's decoder, for lists as well as for what is in them."""

    bson_type = list

    def transform_bson(self, value: Any) -> Any:
        return value * 2


def reply(documents: list[Any], field: str = "firstBatch", **more: Any) -> bytes:
    return bson.encode({"cursor": {field: documents, "id": bson.Int64(7), "ns": "db.c"}, "ok": 1.0, **more})


def batch_of(body: Body, options: CodecOptions[Any] = DEFAULT_CODEC_OPTIONS) -> Batch:
    found = cut(body, options)
    assert found is not None
    (batch,) = (value for value in found["cursor"].values() if isinstance(value, Batch))
    return batch


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("before", [0, 1, 21])
def test_a_batch_may_be_in_a_view_of_the_end_of_its_message(kind: type[bytes | bytearray], before: int) -> None:
    found = [{"_id": number, "text": "a" * number} for number in range(20)]
    body = memoryview(kind(b"\x04" * before + reply(found, ok=1)))[before:]
    assert batch_of(body).take(30) == found
    assert bson.decode_all(batch_of(body).take_raw()) == found
    assert batch_of(body).next_id() == 0
    batch = batch_of(body)
    assert batch.take(5) == found[:5]
    encoded = batch.take_encoded()
    assert not batch
    assert [bson.decode(bytes(one.data[one.start : one.end])) for one in encoded] == found[5:]


documents = st.lists(
    st.dictionaries(st.text("abc$_.", min_size=1), st.integers(0, 9) | st.text() | st.lists(st.integers(0, 9))),
    max_size=130,
)


@given(documents, st.sampled_from(["firstBatch", "nextBatch"]), st.integers(1, 40))
def test_slices_are_what_the_whole_decodes_to(found: list[Any], field: str, most: int) -> None:
    body = reply(found, field, operationTime=bson.Timestamp(1, 2))
    whole = bson.decode(body)
    lazily = cut(body, DEFAULT_CODEC_OPTIONS)
    assert lazily is not None
    batch = lazily["cursor"].pop(field)
    assert len(batch) == len(found)
    taken: list[Any] = []
    while batch:
        taken += batch.take(most)
    assert taken == whole["cursor"].pop(field)
    assert lazily == whole


@given(documents)
def test_raw_is_the_documents_one_after_the_other(found: list[Any]) -> None:
    batch = batch_of(reply(found))
    assert bson.decode_all(batch.take_raw()) == found
    assert len(batch) == 0


@pytest.mark.parametrize(
    "options",
    [
        CodecOptions(tz_aware=True),
        CodecOptions(document_class=bson.SON),
        CodecOptions(document_class=RawBSONDocument),
        CodecOptions(type_registry=TypeRegistry([Doubled()])),
    ],
    ids=["tz_aware", "SON", "raw", "decoder"],
)
def test_documents_are_decoded_with_the_users_options(options: CodecOptions[Any]) -> None:
    documents = [{"a": [1, 2], "b": bson.ObjectId()}, {"$ref": "c", "$id": 1}]
    taken = batch_of(reply(documents), options).take(2)
    assert taken == [bson.decode(bson.encode(document), options) for document in documents]
    assert [type(document) for document in taken] == [options.document_class] * 2


def test_keys_of_the_array_do_not_matter() -> None:
    """As for BSON's own decoder: the server may number them as it likes."""
    body = reply([{"a": 1}, {"a": 2}]).replace(b"\x030\x00", b"\x03x\x00").replace(b"\x031\x00", b"\x03x\x00")
    assert batch_of(body).take(9) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("first", [1, 2, 5])
def test_a_document_that_cannot_be_decoded_is_an_error_at_its_own_place(first: int) -> None:
    batch = batch_of(reply([{"_id": 0}, {"_id": 1}, {"_id": 2, "x": FAR}, {"_id": 3}]))
    taken: list[Any] = []
    while len(taken) < 2:
        taken += batch.take(first)
    assert taken == [{"_id": 0}, {"_id": 1}]
    for _ in range(2):
        with pytest.raises(UnreadableReply, match="year 33658 is out of range"):
            batch.take(first)
    assert batch.next_id() == 2
    assert len(batch) == 2


def test_an_id_that_cannot_be_decoded_is_not_shown() -> None:
    for document in ({"_id": FAR}, {"x": FAR}):
        with pytest.raises(UnreadableReply):
            batch_of(reply([document])).next_id()


@pytest.mark.parametrize(
    "body",
    [
        bson.encode({"ok": 0, "errmsg": "no"}),
        bson.encode({"cursor": 1, "ok": 1}),
        bson.encode({"cursor": {"id": 1}, "ok": 1}),
        bson.encode({"cursor": {"firstBatch": {}, "id": 1}, "ok": 1}),
        b"",
        b"\x05\x00\x00\x00",
    ],
)
def test_a_reply_without_a_batch(body: bytes) -> None:
    assert cut(body, DEFAULT_CODEC_OPTIONS) is None


def test_an_array_with_something_other_than_documents() -> None:
    for value in (1, "x", None, [1]):
        with pytest.raises(UnreadableReply, match="something other than documents"):
            cut(reply([{"a": 1}, value]), DEFAULT_CODEC_OPTIONS)


@given(st.integers(0), st.integers(0, 255))
def test_a_damaged_reply_is_read_or_refused(place: int, value: int) -> None:
    """Never another error, and never the documents of a batch of another length."""
    body = bytearray(reply([{"a": 1}, {"b": "text"}, {"c": FAR}], operationTime=bson.Timestamp(1, 2)))
    body[place % len(body)] = value
    try:
        found = cut(bytes(body), DEFAULT_CODEC_OPTIONS)
        if found is not None:
            batch = next(value for value in found["cursor"].values() if isinstance(value, Batch))
            while batch:
                batch.take(2)
    except UnreadableReply:
        pass
