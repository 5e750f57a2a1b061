"""GridFS in scenarios: the methods of buckets, those of the streams of files, and their arguments.

Both drivers store the same documents, but send other commands for it: how many finds and inserts a call needs is up to
each. So of the commands of such a step only the sessions are compared, and whether they are in a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from tests.differential import values as v
from tests.differential.calls import Call, Make, Take, Target, TheSession, options
from tests.differential.methods import Draw, Method, draw_call
from tests.differential.values import Strategy

_IDS: Strategy = st.sampled_from((0, 0, 1, 2, 3, 99, "text", None, {"a": 1}))
_NAMES: Strategy = st.sampled_from((*["a"] * 6, *["b", "new", "torn"] * 2, "", "missing", 5, None))
_BYTES = (b"", b"0123", b"0123456789", b"one\ntwo\nthree", bytes(30))
_SOURCES: Strategy = st.one_of(
    *[st.sampled_from(_BYTES)] * 8,
    st.builds(lambda data: Make("BytesIO", (data,)), st.sampled_from(_BYTES)),
    st.sampled_from(("text", 5, None, [b"a", b"b"])),
)
_CHUNK_SIZES: Strategy = st.sampled_from((1, 4, 4, 1000, 261120))
_METADATA: Strategy = st.one_of(*[st.sampled_from(({"k": 1}, {}, {"sub": {"x": [1]}}))] * 9, v.WRONG)
_UPLOAD = {"chunk_size_bytes": st.one_of(*[_CHUNK_SIZES] * 6, st.sampled_from((0, -1, "4"))), "metadata": _METADATA}
_REVISION = {"revision": st.sampled_from((0, 1, 2, -1, -2, -3, "1"))}
_FILTERS: Strategy = st.sampled_from(({}, {"filename": "a"}, {"length": {"$gt": 4}}, {"$nope": 1}))
_FIND = {"limit": v.COUNTS, "skip": v.COUNTS, "batch_size": v.COUNTS, "sort": st.just([("_id", -1)])}
_INTO: Strategy = st.just(Make("BytesIO"))
_WRITTEN: Strategy = st.just(Take("written"))

METHODS = (
    Method("bucket", "upload_from_stream", (_NAMES, _SOURCES), _UPLOAD, writes=True, weight=3),
    Method("bucket", "upload_from_stream_with_id", (_IDS, _NAMES, _SOURCES), _UPLOAD, writes=True, weight=3),
    Method("bucket", "open_download_stream", (_IDS,), weight=3),
    Method("bucket", "open_download_stream_by_name", (_NAMES,), _REVISION, weight=3),
    Method("bucket", "download_to_stream", (_IDS, _INTO), take=_WRITTEN),
    Method("bucket", "download_to_stream_by_name", (_NAMES, _INTO), _REVISION, _WRITTEN),
    Method("bucket", "find", (_FILTERS,), _FIND, st.just(Take("files"))),
    Method("bucket", "delete", (_IDS,), writes=True),
    Method("bucket", "delete_by_name", (_NAMES,), writes=True),
    Method("bucket", "rename", (_IDS, _NAMES), writes=True),
    Method("bucket", "rename_by_name", (_NAMES, _NAMES), writes=True),
)
#: The methods of a stream that a file is read from, with their arguments; and its attributes.
READING: Mapping[str, tuple[Strategy, ...]] = {
    "read": (st.sampled_from((-1, 0, 1, 4, 5, 100)),),
    "readline": (st.sampled_from((-1, 0, 2, 100)),),
    "readchunk": (),
    "readlines": (),
    "seek": (st.sampled_from((0, 3, 4, 10, 50, -1)), st.sampled_from((0, 0, 1, 2))),
    "tell": (),
    "close": (),
    "readable": (),
    "seekable": (),
    "writable": (),
}
READ_ATTRIBUTES = ("_id", "filename", "name", "length", "chunk_size", "upload_date", "metadata", "content_type",
                   "aliases", "md5")  # fmt: skip
#: The same of a stream that a file is written to.
WRITING: Mapping[str, tuple[Strategy, ...]] = {
    "write": (_SOURCES,),
    "writelines": (st.sampled_from(([b"ab", b"cd"], [], [b"0123456789"] * 2)),),
    "close": (),
    "abort": (),
    "readable": (),
    "seekable": (),
    "writeable": (),
}
WRITE_ATTRIBUTES = ("_id", "filename", "name", "closed", "chunk_size", "length")
BUCKETS: Strategy = st.builds(
    lambda name, given: Target("bucket", name, given),
    st.sampled_from(("fs", "fs", "fs", "fresh")),
    st.sampled_from((options(chunk_size_bytes=4), options(chunk_size_bytes=4), ())),
)


def draw_bucket_call(draw: Draw, session: TheSession | None, writes: bool) -> Call:
    """A call of a bucket's method."""
    chosen = [method for method in METHODS if writes or not method.writes]
    method = draw(st.sampled_from([method for method in chosen for _ in range(method.weight)]))
    call = draw_call(draw, method, session, draw(BUCKETS))
    if not method.name.startswith("open_"):
        return call
    name, args = draw_use(draw, READING)
    return Call(call.target, call.method, call.args, call.options, call.take, ((name, args, ()),))


def draw_opening(draw: Draw, session: TheSession | None, number: int, writes: bool) -> tuple[Call, bool]:
    """A call that opens a stream, from now on called ``number``; and whether it is one that is written to."""
    uploads = writes and draw(st.booleans())
    # With ids of no other file: when PyMongo aborts an upload it deletes all chunks with the id. And of files that can
    # be read: after an error PyMongo's position is the place of the error, ours where the read began.
    table = (
        Method("bucket", "open_upload_stream", (_NAMES,), _UPLOAD, writes=True),
        Method("bucket", "open_upload_stream_with_id", (st.just(100 + number), _NAMES), _UPLOAD, writes=True),
        Method("bucket", "open_download_stream", (st.sampled_from((0, 1, 2, 99)),)),
        Method("bucket", "open_download_stream_by_name", (st.sampled_from(("a", "a", "b", "missing")),), _REVISION),
    )
    method = draw(st.sampled_from(table[:2] if uploads else table[2:]))
    call = draw_call(draw, method, session, draw(BUCKETS))
    return Call(call.target, call.method, call.args, call.options, Take("keep", number)), uploads


def draw_use(draw: Draw, table: Mapping[str, tuple[Strategy, ...]]) -> tuple[str, tuple[object, ...]]:
    """A method of a stream, and its arguments."""
    name = draw(st.sampled_from(list(table)))
    return name, tuple(draw(argument) for argument in table[name])
