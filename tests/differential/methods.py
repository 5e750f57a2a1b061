"""The methods that are compared, each with the strategies for its arguments; and calls of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson.dbref import DBRef
from hypothesis import strategies as st

from tests.differential import values as v
from tests.differential.calls import VALUE, Call, Make, Options, Take, Target, TheDatabase, TheSession, options
from tests.differential.values import Strategy

Draw = Callable[[Strategy], Any]

_TAKE_CURSOR: Strategy = st.one_of(
    st.just(Take("list")),
    st.builds(Take, st.just("list"), st.sampled_from((1, 2, 150, 0, -1))),
    st.builds(Take, st.just("each"), st.sampled_from((0, 1, 3, 110))),
    st.just(Take("next")),
)
_TAKE_COMMAND_CURSOR: Strategy = st.one_of(_TAKE_CURSOR, st.just(Take("try_next")))
#: Results that the server lists in no particular order.
_TAKE_ALL: Strategy = st.just(Take("list"))
_TAKE_VALUE: Strategy = st.just(VALUE)


@dataclass(frozen=True)
class Method:
    """One method.

    :param args: the strategies for its positional arguments.
    :param options: the same for its keyword arguments, without ``session``.
    :param writes: whether it may change data, or wait for a lock that a transaction holds.
    :param weight: how often it is drawn, relative to others.
    """

    kind: str
    name: str
    args: tuple[Strategy, ...] = ()
    options: Mapping[str, Strategy] = field(default_factory=dict)
    take: Strategy = _TAKE_VALUE
    writes: bool = False
    weight: int = 2
    session: bool = True
    on: Strategy | None = None


_REFERENCES = (DBRef("items", 1), DBRef("items", 99), DBRef("items", 1, "other"), 5)
_COMMENT = {"comment": v.COMMENTS}
_COLLATION_HINT = {"collation": v.COLLATIONS, "hint": v.HINTS}
_LET = {"let": v.LETS}
_BYPASS = {"bypass_document_validation": v.FLAGS}
_ARRAY_FILTERS = {"array_filters": v.ARRAY_FILTERS}
_TIME = {"max_time_ms": v.MILLISECONDS}
_WIRE_TIME = {"maxTimeMS": v.MILLISECONDS}
_UPSERT = {"upsert": v.FLAGS}

FIND_OPTIONS: Mapping[str, Strategy] = {
    "projection": v.PROJECTIONS,
    "skip": v.COUNTS,
    "limit": v.COUNTS,
    "sort": v.SORTS,
    "batch_size": v.COUNTS,
    **_COLLATION_HINT,
    **_COMMENT,
    **_LET,
    **_TIME,
    "max": st.sampled_from(([("u", 4)], {"u": 4}, [], "u")),
    "min": st.sampled_from(([("u", 2)], {"u": 2}, [])),
    "return_key": v.FLAGS,
    "show_record_id": v.FLAGS,
    "allow_disk_use": v.FLAGS,
    "allow_partial_results": v.FLAGS,
    "no_cursor_timeout": v.FLAGS,
    "oplog_replay": v.FLAGS,
    "cursor_type": st.sampled_from((0, 2, 7)),
}
_MODIFY = {"projection": v.PROJECTIONS, "sort": v.SORTS, **_COLLATION_HINT, **_LET, **_COMMENT, **_WIRE_TIME}
_AGGREGATE = {
    **_COLLATION_HINT,
    **_LET,
    **_COMMENT,
    **_WIRE_TIME,
    **_BYPASS,
    "batchSize": v.COUNTS,
    "allowDiskUse": v.FLAGS,
    "maxAwaitTimeMS": v.MILLISECONDS,
    "aggregate": st.just("many"),
}

_DOCUMENT_LISTS: Strategy = st.one_of(
    *[st.lists(v.MAYBE_BAD_DOCUMENTS, min_size=1, max_size=4)] * 8,
    st.builds(lambda documents: Make("iter", (documents,)), st.lists(v.DOCUMENTS, min_size=1, max_size=3)),
    st.builds(lambda documents: tuple(documents), st.lists(v.DOCUMENTS, max_size=2)),
    st.just([]),
    st.just(Make("list_of", ({"n": 1}, 2))),
)


def _request(kind: str, *args: Strategy, **more: Strategy) -> Strategy:
    given = st.lists(st.sampled_from(sorted(more)), max_size=2, unique=True).flatmap(
        lambda names: st.tuples(*(st.tuples(st.just(name), more[name]) for name in names))
    ) if more else st.just(())  # fmt: skip
    return st.builds(lambda args, keywords: Make(kind, args, keywords), st.tuples(*args), given)


REQUESTS: Strategy = st.one_of(
    *[
        _request("InsertOne", v.DOCUMENTS),
        _request("UpdateOne", v.GOOD_FILTERS, v.UPDATES, **_UPSERT, **_COLLATION_HINT, **_ARRAY_FILTERS),
        _request("UpdateMany", v.GOOD_FILTERS, v.UPDATES, **_UPSERT, **_COLLATION_HINT, **_ARRAY_FILTERS),
        _request("ReplaceOne", v.GOOD_FILTERS, v.REPLACEMENTS, **_UPSERT, **_COLLATION_HINT),
        _request("DeleteOne", v.GOOD_FILTERS, **_COLLATION_HINT),
        _request("DeleteMany", v.GOOD_FILTERS, **_COLLATION_HINT),
    ]
    * 5,
    _request("InsertOne", v.WRONG),
    _request("DeleteOne", v.WRONG),
    _request("UpdateOne", v.WRONG, v.UPDATES),
    _request("UpdateOne", v.GOOD_FILTERS, v.UPDATES, sort=v.SORTS),
    st.just(7),
)
_INDEX_OPTIONS = {
    "name": st.sampled_from(("called", "", "_id_")),
    "unique": v.FLAGS,
    "sparse": v.FLAGS,
    "expireAfterSeconds": st.sampled_from((60, -1)),
    "partialFilterExpression": st.sampled_from(({"n": {"$gt": 1}}, {})),
    "collation": v.COLLATIONS,
    "hidden": v.FLAGS,
    "nope": v.FLAGS,
}
INDEX_MODELS: Strategy = _request("IndexModel", v.KEYS, **_INDEX_OPTIONS)
_LIST_FILTERS = st.sampled_from(({"name": "people"}, {}, {"name": {"$regex": "^p"}}, {"type": "view"}, {"name": "no"}))

_COMMANDS: Strategy = st.sampled_from(
    (
        ("ping",),
        ({"ping": 1},),
        ("count", "people"),
        ({"count": "people", "query": {"n": 3}},),
        ({"find": "people", "filter": {"_id": 1}},),
        ({"insert": "empty", "documents": [{"_id": 1}]},),
        ({"insert": "people", "documents": [{"_id": 1}]},),
        ({"findAndModify": "people", "query": {"_id": 1}, "update": {"$set": {"n": 1}}},),
        ("nope",),
        ({},),
        ("",),
        (5,),
        ({"distinct": "people", "key": "n"},),
        ({"create": "people"},),
        (Make("SON", ({"ping": 1},)),),
        (Make("Raw", ({"ping": 1},)),),
    )
)

_CURSOR_COMMANDS: Strategy = st.sampled_from(
    ({"find": "many", "batchSize": 2}, "ping", {"listIndexes": "people"}, {"aggregate": 1}, {})
)

METHODS: Sequence[Method] = (
    # writes
    Method("collection", "insert_one", (v.MAYBE_BAD_DOCUMENTS,), {**_BYPASS, **_COMMENT}, writes=True, weight=4),
    Method("collection", "insert_many", (_DOCUMENT_LISTS,), {"ordered": v.FLAGS, **_BYPASS, **_COMMENT}, writes=True,
           weight=5),
    Method("collection", "update_one", (v.FILTERS, v.UPDATES),
           {**_UPSERT, **_COLLATION_HINT, **_ARRAY_FILTERS, **_LET, **_BYPASS, **_COMMENT, "sort": v.SORTS},
           writes=True, weight=5),
    Method("collection", "update_many", (v.FILTERS, v.UPDATES),
           {**_UPSERT, **_COLLATION_HINT, **_ARRAY_FILTERS, **_LET, **_BYPASS, **_COMMENT}, writes=True, weight=4),
    Method("collection", "replace_one", (v.FILTERS, v.REPLACEMENTS),
           {**_UPSERT, **_COLLATION_HINT, **_LET, **_BYPASS, **_COMMENT}, writes=True, weight=4),
    Method("collection", "delete_one", (v.FILTERS,), {**_COLLATION_HINT, **_LET, **_COMMENT}, writes=True, weight=3),
    Method("collection", "delete_many", (v.FILTERS,), {**_COLLATION_HINT, **_LET, **_COMMENT}, writes=True, weight=3),
    Method("collection", "find_one_and_delete", (v.FILTERS,), _MODIFY, writes=True, weight=3),
    Method("collection", "find_one_and_replace", (v.FILTERS, v.REPLACEMENTS),
           {**_MODIFY, **_UPSERT, **_BYPASS, "return_document": v.FLAGS}, writes=True, weight=3),
    Method("collection", "find_one_and_update", (v.FILTERS, v.UPDATES),
           {**_MODIFY, **_UPSERT, **_BYPASS, **_ARRAY_FILTERS, "return_document": v.FLAGS}, writes=True, weight=4),
    Method("collection", "bulk_write", (st.lists(REQUESTS, max_size=5),),
           {"ordered": v.FLAGS, **_BYPASS, **_LET, **_COMMENT}, writes=True, weight=9),
    # reads
    Method("collection", "find", (v.FILTERS,), FIND_OPTIONS, _TAKE_CURSOR, weight=9),
    Method("collection", "find_raw_batches", (v.FILTERS,), FIND_OPTIONS, _TAKE_CURSOR, weight=2),
    Method("collection", "aggregate_raw_batches", (v.PIPELINES,), _AGGREGATE, _TAKE_CURSOR, weight=2),
    Method("collection", "find_one", (st.one_of(v.FILTERS, v.SCALARS),), FIND_OPTIONS, weight=6),
    Method("collection", "aggregate", (v.PIPELINES,), _AGGREGATE, _TAKE_COMMAND_CURSOR, weight=6),
    Method("collection", "aggregate", (v.OUTPUTS,), _AGGREGATE, _TAKE_COMMAND_CURSOR, writes=True, weight=2),
    Method("collection", "count_documents", (v.FILTERS,),
           {"skip": v.COUNTS, "limit": v.COUNTS, **_COLLATION_HINT, **_COMMENT, **_WIRE_TIME}, weight=4),
    Method("collection", "estimated_document_count", (), {**_COMMENT, **_WIRE_TIME}, session=False),
    Method("collection", "distinct", (st.one_of(v.FIELDS, st.just(""), v.WRONG), v.FILTERS),
           {**_COLLATION_HINT, **_COMMENT, **_WIRE_TIME, "distinct": st.just("many")}, weight=4),
    # indexes and the collection
    Method("collection", "create_index", (v.KEYS,), {**_INDEX_OPTIONS, **_COMMENT, **_WIRE_TIME}, writes=True,
           weight=1),
    Method("collection", "create_indexes", (st.lists(INDEX_MODELS, max_size=2),), {**_COMMENT, **_WIRE_TIME},
           writes=True, weight=1),
    Method("collection", "drop_index",
           (st.sampled_from(("u_1", [("u", 1)], "no such", {"n": 1, "s": -1}, "*", "_id_", [("u", -1)], [], ["u"])),),
           _COMMENT, writes=True, weight=1),
    Method("collection", "drop_indexes", (), _COMMENT, writes=True, weight=1),
    Method("collection", "list_indexes", (), _COMMENT, _TAKE_COMMAND_CURSOR),
    Method("collection", "index_information", (), _COMMENT),
    Method("collection", "options", (), _COMMENT),
    Method("collection", "drop", (), _COMMENT, writes=True, weight=1),
    Method("collection", "rename", (v.NAMES,), {"dropTarget": v.FLAGS, **_COMMENT}, writes=True, weight=1),
    # the database
    Method("database", "command", (), {"check": v.FLAGS, "allowable_errors": st.just([59, "nope"]), **_COMMENT,
           "read_preference": v.READ_PREFERENCES, "codec_options": v.CODEC_OPTIONS, "extra": v.FLAGS},
           writes=True, weight=5),
    Method("database", "cursor_command",
           (_CURSOR_COMMANDS,),
           {**_COMMENT, "max_await_time_ms": v.MILLISECONDS}, _TAKE_COMMAND_CURSOR),
    Method("database", "aggregate", (st.sampled_from(([{"$documents": [{"n": 1}, {"n": 2}]}], [], [{"$nope": 1}])),),
           _AGGREGATE, _TAKE_COMMAND_CURSOR),
    Method("database", "list_collections", (), {"filter": _LIST_FILTERS, "nameOnly": v.FLAGS, **_COMMENT},
           _TAKE_ALL),
    Method("database", "list_collection_names", (), {"filter": _LIST_FILTERS, **_COMMENT}),
    Method("database", "create_collection", (v.NAMES,),
           {"capped": v.FLAGS, "size": st.just(4096), "max": st.just(2), "check_exists": v.FLAGS,
            "collation": v.COLLATIONS, "validator": st.just({"n": 1}), "viewOn": st.just("people"),
            "pipeline": v.PIPELINES, "nope": v.FLAGS, **_COMMENT}, writes=True, weight=2),
    Method("database", "drop_collection", (v.NAMES,), _COMMENT, writes=True, weight=1),
    Method("database", "get_collection", (v.NAMES,),
           {"read_concern": v.READ_CONCERNS, "write_concern": v.WRITE_CONCERNS}, session=False, weight=1),
    # the client
    Method("database", "validate_collection", (st.sampled_from(("items", "missing", "a$b", 5)),),
           {"full": v.FLAGS, "background": v.FLAGS, **_COMMENT}, weight=1),
    Method("database", "dereference", (st.sampled_from(_REFERENCES),), _COMMENT, weight=1),
    Method("client", "list_databases", (),
           {"filter": st.just({"name": TheDatabase()}), "nameOnly": v.FLAGS, **_COMMENT}, _TAKE_ALL, weight=1),
    Method("client", "list_database_names", (), _COMMENT, weight=1),
    Method("client", "drop_database", (st.just(TheDatabase()),), _COMMENT, writes=True, weight=1),
    Method("client", "server_info", (), {}, weight=1),
    Method("client", "get_database", (st.one_of(st.just(TheDatabase()), st.sampled_from(("", "a.b", "a b", 5, "a$"))),),
           {"write_concern": v.WRITE_CONCERNS}, session=False, weight=1),
    Method("client", "get_default_database", (), {"default": st.sampled_from((None, "other", "a.b"))}, session=False,
           weight=1),
)  # fmt: skip

COLLECTIONS: Strategy = st.sampled_from(
    (*["people"] * 10, *["many"] * 3, "empty", "empty", "checked", "checked", "capped", "view", "fresh")
)
_HANDLE_OPTIONS: Mapping[str, Strategy] = {
    "read_concern": v.READ_CONCERNS,
    "write_concern": v.WRITE_CONCERNS,
    "read_preference": v.READ_PREFERENCES,
    "codec_options": v.CODEC_OPTIONS,
}
_LIKELY = (True, *[False] * 7)

#: Methods that configure a find cursor, with their arguments.
CHAIN: Mapping[str, tuple[Strategy, ...]] = {
    "sort": (v.SORTS,),
    "limit": (v.COUNTS,),
    "skip": (v.COUNTS,),
    "batch_size": (v.COUNTS,),
    "hint": (st.one_of(v.HINTS, st.none()),),
    "max_time_ms": (st.one_of(v.MILLISECONDS, st.none()),),
    "max_await_time_ms": (st.one_of(v.MILLISECONDS, st.none()),),
    "comment": (v.COMMENTS,),
    "collation": (st.one_of(v.COLLATIONS, st.none()),),
    "min": (st.just([("u", 2)]),),
    "max": (st.just([("u", 4)]),),
    "allow_disk_use": (v.FLAGS,),
    "where": (st.sampled_from(("this._id > 1", "nope(", 5)),),
    "add_option": (st.sampled_from((4, 8, 16, 128, 16 | 128, 2)),),
    "remove_option": (st.sampled_from((4, 8, 16, 128, 16 | 128, 2)),),
    "clone": (),
    "rewind": (),
}
#: Methods of a cursor that return a result.
CHAIN_ENDS: Mapping[str, tuple[Strategy, ...]] = {"distinct": (v.FIELDS,), "explain": ()}


def methods(kinds: Sequence[str] = ("collection", "database", "client"), writes: bool = True) -> Strategy:
    """A method, drawn according to the weights."""
    chosen = [method for method in METHODS if method.kind in kinds and (writes or not method.writes)]
    return st.sampled_from([method for method in chosen for _ in range(method.weight)])


def draw_call(draw: Draw, method: Method, session: TheSession | None, target: Target | None = None) -> Call:
    """A call of a method, sometimes with an argument of the wrong kind.

    :param target: what it is called on; drawn without it.
    """
    args = list(draw(_COMMANDS)) if method.name == "command" else [draw(strategy) for strategy in method.args]
    given = _draw_options(draw, method)
    if session is not None and method.session:
        given.append(("session", session))
    args, given = _maybe_spoiled(draw, args, given)
    chain: list[tuple[str, tuple[Any, ...], Options]] = []
    take = draw(method.take)
    if method.name == "find" and method.kind == "collection" and draw(st.booleans()):
        chain, take = _draw_chain(draw, take)
    return Call(target or _draw_target(draw, method), method.name, tuple(args), tuple(given), take, tuple(chain))


def _draw_options(draw: Draw, method: Method) -> list[tuple[str, Any]]:
    if not method.options:
        return []
    names = draw(st.lists(st.sampled_from(list(method.options)), max_size=3, unique=True))
    return [(name, draw(method.options[name])) for name in names]


def _maybe_spoiled(
    draw: Draw, args: list[Any], given: list[tuple[str, Any]]
) -> tuple[list[Any], list[tuple[str, Any]]]:
    """Occasionally: another kind of argument, an unknown one, one too few."""
    if not draw(st.sampled_from(_LIKELY)):
        return args, given
    how = draw(st.sampled_from(("argument", "option", "unknown", "fewer", "more")))
    if how == "argument" and args:
        place = draw(st.integers(0, len(args) - 1))
        args = [draw(v.WRONG) if number == place else value for number, value in enumerate(args)]
    elif how == "option" and given:
        place = draw(st.integers(0, len(given) - 1))
        name = given[place][0]
        # Without its session a write would wait for the transaction that is open there.
        wrong = draw(st.just("text") if name == "session" else v.WRONG)
        given = [*given[:place], (name, wrong), *given[place + 1 :]]
    elif how == "unknown":
        given = [*given, (draw(st.sampled_from(("sesion", "nope", "max_time", "filter_"))), 1)]
    elif how == "fewer" and args:
        args = args[:-1]
    elif how == "more":
        args = [*args, draw(v.WRONG)]
    return args, given


def _draw_chain(draw: Draw, take: Take) -> tuple[list[tuple[str, tuple[Any, ...], Options]], Take]:
    chain: list[tuple[str, tuple[Any, ...], Options]] = [
        (name, tuple(draw(argument) for argument in CHAIN[name]), ())
        for name in draw(st.lists(st.sampled_from(list(CHAIN)), max_size=3))
    ]
    if draw(st.sampled_from(_LIKELY)):
        end = draw(st.sampled_from(list(CHAIN_ENDS)))
        chain.append((end, tuple(draw(argument) for argument in CHAIN_ENDS[end]), ()))
        return chain, Take("keys") if end == "explain" else VALUE
    return chain, take


def _draw_target(draw: Draw, method: Method) -> Target:
    if method.kind == "client":
        return Target("client")
    given: Options = ()
    if draw(st.sampled_from(_LIKELY)):
        name = draw(st.sampled_from(list(_HANDLE_OPTIONS)))
        given = ((name, draw(_HANDLE_OPTIONS[name])),)
    if method.kind == "database":
        return Target("database", "", given)
    return Target("collection", draw(COLLECTIONS), given)


__all__ = ["CHAIN", "CHAIN_ENDS", "METHODS", "draw_call", "methods", "options"]
