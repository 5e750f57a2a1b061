"""Values for arguments: documents, filters, updates, pipelines, sort orders, concerns; and ones of the wrong kind."""

from __future__ import annotations

import datetime
from typing import Any

from bson import Binary, Decimal128, Int64, MaxKey, MinKey, Regex, Timestamp
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.differential.calls import Make, options
from tests.differential.world import fixed_id

Strategy = SearchStrategy[Any]

FIELDS = st.sampled_from(("n", "s", "tags", "sub.x", "sub", "list.k", "u", "missing", "_id"))
SMALL = st.integers(-3, 9)

SCALARS: Strategy = st.one_of(
    SMALL,
    st.sampled_from(("", "ada", "ADA", "zoë", "$n", "x" * 40)),
    st.booleans(),
    st.none(),
    st.sampled_from(
        (
            1.5,
            -0.0,
            2**40,
            Int64(3),
            Decimal128("1.50"),
            b"bytes",
            Binary(b"\x01", 5),
            fixed_id(7),
            datetime.datetime(2024, 1, 1),
            datetime.datetime(2024, 1, 1, 0, 0, 0, 1999),
            Regex("^a", 2),
            Timestamp(1, 1),
            MinKey(),
            MaxKey(),
        )
    ),
)
VALUES: Strategy = st.one_of(
    SCALARS,
    st.lists(SMALL, max_size=3),
    st.fixed_dictionaries({"k": SMALL}, optional={"v": SCALARS}),
)
#: Values that BSON cannot represent, or that the server rejects.
UNENCODABLE: Strategy = st.sampled_from(
    (
        {"x": 2**64},
        {"x": Make("Sentinel")},
        {1: "a number as a key"},
        {"nul\0": 1},
        {"x": {1, 2}},
        {"$bad": 1},
        {"x": {"$bad": 1}},
        {"": 1},
        {"_id": [1]},
        {"_id": Regex("a")},
        {"x": "\ud800"},
    )
)

_IDS = st.one_of(SMALL, st.integers(20, 40), st.just(fixed_id(9)), st.none())
DOCUMENTS: Strategy = st.one_of(
    st.fixed_dictionaries({}, optional={"_id": _IDS, "n": VALUES, "u": SMALL}),
    st.fixed_dictionaries({"n": SMALL}, optional={"_id": _IDS, "s": SCALARS, "sub": VALUES}),
    st.fixed_dictionaries({"a": VALUES, "_id": _IDS}),
    st.builds(lambda document: Make("SON", (document,)), st.fixed_dictionaries({"n": SMALL}, optional={"_id": _IDS})),
    st.builds(lambda number: Make("Raw", ({"_id": number, "n": 1},)), st.integers(20, 40)),
)
MAYBE_BAD_DOCUMENTS: Strategy = st.one_of(*[DOCUMENTS] * 9, UNENCODABLE)

_CONDITIONS: Strategy = st.one_of(
    SCALARS,
    st.builds(lambda operator, value: {operator: value}, st.sampled_from(("$gt", "$lte", "$ne", "$eq")), SCALARS),
    st.builds(lambda values: {"$in": values}, st.lists(SMALL, max_size=3)),
    st.builds(lambda yes: {"$exists": yes}, st.booleans()),
    st.builds(lambda condition: {"$elemMatch": condition}, st.fixed_dictionaries({"k": SMALL})),
    st.just({"$type": "number"}),
)
GOOD_FILTERS: Strategy = st.one_of(
    st.just({}),
    st.builds(lambda number: {"_id": number}, st.integers(-1, 8)),
    st.builds(lambda number: {"_id": {"$lt": number}}, st.integers(0, 8)),
    st.dictionaries(FIELDS, _CONDITIONS, min_size=1, max_size=2),
    st.builds(lambda a, b: {"$or": [{"n": a}, {"_id": b}]}, SMALL, SMALL),
    st.builds(lambda a: {"$expr": {"$gt": ["$n", a]}}, SMALL),
    st.builds(lambda a: Make("SON", ({"n": a},)), SMALL),
    st.builds(lambda a: Make("Raw", ({"_id": a},)), SMALL),
)
#: Filters; the server refuses some, others cannot be encoded.
FILTERS: Strategy = st.one_of(
    *[GOOD_FILTERS] * 12, st.sampled_from(({"$nope": 1}, {"n": {"$nope": 1}}, {"$or": []})), UNENCODABLE
)

_PLAIN = st.sampled_from(("n", "s", "sub.x", "new", "list.0.v"))
_CHANGES: Strategy = st.one_of(
    st.builds(lambda field, value: {"$set": {field: value}}, _PLAIN, VALUES),
    st.builds(lambda field, value: {"$set": {field: value}}, _PLAIN, SMALL),
    st.builds(lambda field, value: {"$inc": {field: value}}, _PLAIN, SMALL),
    st.builds(lambda field: {"$unset": {field: ""}}, _PLAIN),
    st.builds(lambda value: {"$push": {"tags": value}}, SCALARS),
    st.builds(lambda value: {"$set": {"n": value}, "$setOnInsert": {"s": "new"}}, SMALL),
    st.builds(lambda value: {"$set": {"u": value}}, SMALL),
    st.builds(lambda value: {"$set": {"_id": value}}, SMALL),
    st.builds(lambda value: [{"$set": {"n": value}}], SMALL),
    st.just([{"$set": {"n": "$$v"}}]),
    st.just({"$set": {"list.$[e].v": 9}}),
    st.builds(lambda value: Make("SON", ({"$set": {"n": value}},)), SMALL),
)
UPDATES: Strategy = st.one_of(
    *[_CHANGES] * 8,
    st.sampled_from(
        (
            {},
            [],
            {"n": 1},
            {"$nope": {"n": 1}},
            {"$set": {"n": 1}, "n": 2},
            {"n": 1, "$set": {"n": 2}},
            [{"$nope": 1}],
            {"$set": {}},
            {"$set": {"n": 2**70}},
        )
    ),
)
REPLACEMENTS: Strategy = st.one_of(
    *[st.fixed_dictionaries({}, optional={"n": VALUES, "u": SMALL, "s": SCALARS})] * 6,
    st.sampled_from(({"$set": {"n": 1}}, {"_id": 99}, {"n": 1, "$set": 2}, [], [{"$set": {"n": 1}}])),
    st.builds(lambda value: Make("Raw", ({"n": value},)), SMALL),
)
DIRECTIONS: Strategy = st.sampled_from((1, -1, 1, -1, "text", 0, 2, 1.0, True, "hashed", {"$meta": "textScore"}))
SORTS: Strategy = st.one_of(
    *[
        st.lists(st.tuples(FIELDS, st.sampled_from((1, -1))), min_size=1, max_size=2, unique_by=lambda pair: pair[0]),
        st.dictionaries(FIELDS, st.sampled_from((1, -1)), min_size=1, max_size=2),
    ]
    * 4,
    FIELDS,
    st.builds(lambda field, direction: [(field, direction)], FIELDS, DIRECTIONS),
    st.builds(lambda field: [field], FIELDS),
    st.builds(lambda pair: Make("SON", ({pair: 1},)), FIELDS),
    st.sampled_from(([], {}, [("a",)], ["a", ("b", -1)], (("n", 1),), [["n", 1]])),
)
KEYS: Strategy = st.one_of(
    *[SORTS] * 3, st.sampled_from(("new", [("new", 1), ("n", -1)], {"s": "text"}, {"sub": "hashed"}, [("$**", 1)]))
)
HINTS: Strategy = st.sampled_from(
    ("_id_", "u_1", "n_1_s_-1", "no such index", [("u", 1)], {"_id": 1}, [("n", 1), ("s", -1)], {"n": 1}, "", [], {})
)
PROJECTIONS: Strategy = st.one_of(
    st.lists(FIELDS, max_size=2, unique=True),
    st.dictionaries(FIELDS, st.sampled_from((0, 1, True, False)), max_size=2),
    st.sampled_from(
        ({"_id": 0}, ("n", "s"), Make("set", (["n"],)), {"n": {"$slice": 1}}, {"x": "$n"}, {"n": 1, "s": 0})
    ),
)
COLLATIONS: Strategy = st.sampled_from(
    (
        {"locale": "en", "strength": 2},
        {"locale": "simple"},
        Make("Collation", ("en",), options(strength=2)),
        Make("Collation", ("fr",), options(caseLevel=True)),
        {"locale": "no such"},
        {},
    )
)
COMMENTS: Strategy = st.sampled_from(("a comment", {"k": 1}, 7, "", None, ["x"]))
LETS: Strategy = st.sampled_from(({"v": 3}, {}, {"v": "$n"}, {"1bad": 1}))
ARRAY_FILTERS: Strategy = st.sampled_from(([{"e.k": 1}], [{"e.k": 9}], [], [{"x": 1}], [{"e.k": 1}, {"e.v": 1}]))
MILLISECONDS: Strategy = st.sampled_from((10_000, 10_000, 0, 10_000.0, -1))
COUNTS: Strategy = st.sampled_from((0, 1, 2, 3, 100, 2**31, -1, 1.0))
FLAGS: Strategy = st.booleans()

_STAGES: Strategy = st.one_of(
    st.builds(lambda condition: {"$match": condition}, GOOD_FILTERS),
    st.builds(lambda keys: {"$sort": keys}, st.dictionaries(FIELDS, st.sampled_from((1, -1)), min_size=1, max_size=1)),
    st.builds(lambda count: {"$limit": count}, st.integers(1, 4)),
    st.just({"$project": {"n": 1}}),
    st.just({"$match": {"$expr": {"$eq": ["$n", "$$v"]}}}),
    st.just({"$nope": 1}),
    st.just({"$unwind": "$tags"}),
)
#: The server returns groups in no particular order.
_GROUPED: Strategy = st.builds(
    lambda stages: [*stages, {"$group": {"_id": "$n", "c": {"$sum": 1}}}, {"$sort": {"_id": 1}}],
    st.lists(_STAGES, max_size=1),
)
PIPELINES: Strategy = st.one_of(
    st.lists(_STAGES, max_size=3),
    _GROUPED,
    st.builds(lambda stage: (stage,), _STAGES),
)
OUTPUTS: Strategy = st.builds(
    lambda stages, last: [*stages, last],
    st.lists(_STAGES, max_size=1),
    st.sampled_from(
        (
            {"$out": "out"},
            {"$out": "empty"},
            {"$merge": "out"},
            {"$merge": {"into": "people", "whenMatched": "keepExisting"}},
            {"$out": ""},
        )
    ),
)

READ_CONCERNS: Strategy = st.sampled_from(
    (*[Make("ReadConcern", (level,)) for level in ("local", "majority", "available", "linearizable", "snapshot")],
     Make("ReadConcern"), Make("ReadConcern", ("nope",)))
)  # fmt: skip
WRITE_CONCERNS: Strategy = st.sampled_from(
    (
        Make("WriteConcern", (), options(w=0)),
        Make("WriteConcern", (), options(w=1)),
        Make("WriteConcern", (), options(w="majority", wtimeout=5000)),
        Make("WriteConcern", (), options(w=1, j=True)),
        Make("WriteConcern", (), options(w=3, wtimeout=1)),
        Make("WriteConcern", (), options(w="nope")),
        Make("WriteConcern"),
    )
)
READ_PREFERENCES: Strategy = st.sampled_from(
    tuple(
        Make("ReadPreference", (name,)) for name in ("PRIMARY", "PRIMARY_PREFERRED", "NEAREST", "SECONDARY_PREFERRED")
    )
)
CODEC_OPTIONS: Strategy = st.sampled_from(
    (
        Make("CodecOptions", (), options(tz_aware=True)),
        Make("CodecOptions", (), options(uuid_representation=4)),
        Make("CodecOptions"),
    )
)

#: Arguments of the wrong kind, for any place.
WRONG: Strategy = st.sampled_from(
    (
        None,
        5,
        0,
        -1,
        True,
        1.5,
        "text",
        "",
        b"bytes",
        [],
        {},
        {"a": 1},
        [1],
        [{"a": 1}],
        (),
        Make("Sentinel"),
        [[]],
        "a\0b",
    )
)

NAMES: Strategy = st.sampled_from(
    (
        "people",
        "empty",
        "fresh",
        "a.b",
        "out",
        "missing",
        "",
        ".a",
        "a.",
        "a..b",
        "$a",
        "a$b",
        "a\0b",
        "system.x",
        5,
        None,
    )
)
