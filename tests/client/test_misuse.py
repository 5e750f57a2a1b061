"""Frequent mistakes get an error or a warning that names them and says what to write instead."""

from __future__ import annotations

import gc
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import pymongo
import pymongo.read_concern
import pytest
from bson.codec_options import TypeRegistry
from bson.raw_bson import RawBSONDocument

import wiredrv
from wiredrv.errors import ConfigurationError, DriverError, InvalidURI

pytestmark = pytest.mark.anyio


# --- connection strings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri, scheme",
    [
        ("mongodb:/localhost", "mongodb:/"),
        ("mongodb:/localhost:27017/shop", "mongodb:/"),
        ("mongodb:localhost", "mongodb:"),
        ("mongodb:", "mongodb:"),
        ("mongodb//localhost", "mongodb//"),
        ("mongodb+srv:/a.b.example", "mongodb+srv:/"),
        ("mongodb+srv:a.b.example", "mongodb+srv:"),
    ],
)
def test_a_misspelt_scheme_is_named(uri: str, scheme: str) -> None:
    expected = f"the connection string must begin with mongodb:// or mongodb+srv://, not with {scheme!r}"
    with pytest.raises(InvalidURI) as caught:
        wiredrv.Client(uri)
    assert str(caught.value) == expected


def test_a_client_of_an_srv_record_shows_its_name() -> None:
    assert repr(wiredrv.Client("mongodb+srv://ann:secret@a.b.example")) == "Client('mongodb+srv://a.b.example')"


def test_a_user_called_mongodb_is_not_a_scheme() -> None:
    """The ``@`` is missing."""
    with pytest.raises(InvalidURI, match="host 1 of the connection string is not a valid address"):
        wiredrv.Client("mongodb://mongodb:secret")


def test_a_host_called_mongodb_is_not_a_scheme() -> None:
    assert str(wiredrv.Client("mongodb:27018")) == "Client('mongodb:27018')"


@pytest.mark.parametrize("hosts", ["localhost:99999", "mongodb://localhost:99999", "10.0.0.1:99999", "[::1]:99999"])
def test_a_port_out_of_range_is_named(hosts: str) -> None:
    with pytest.raises(
        InvalidURI, match="host 1 of the connection string has the port 99999; it must be from 1 to 65535"
    ):
        wiredrv.Client(hosts)


def test_a_port_out_of_range_after_a_name_is_pointed_out() -> None:
    with pytest.raises(InvalidURI, match="the port of host 2 of the connection string must be from 1 to 65535"):
        wiredrv.Client("localhost,db.example.com:99999")


def test_what_may_be_a_password_is_not_shown() -> None:
    """``root`` and ``jane.doe`` may be users whose ``@host`` is missing."""
    root = ("mongodb://root:99999", "mongodb://root:123456,localhost", "root:s3cret")
    for uri in (*root, "mongodb://jane.doe:123456/db", "jane.doe:123456", "mongodb://jane.doe:99999?x@h"):
        with pytest.raises(InvalidURI) as caught:
            wiredrv.Client(uri)
        assert not any(secret in str(caught.value) for secret in ("99999", "123456", "s3cret"))


# --- methods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, meant",
    [
        (lambda client: client.start_sesion(), "start_session"),
        (lambda client: client.start_transaction(), "transaction"),
        (lambda client: client.shop.comand("ping"), "command"),
        (lambda client: client.shop.listCollections(), "list_collections"),
        (lambda client: client.shop.orders.insertOne({}), "insert_one"),
        (lambda client: client.shop.orders.find_on({}), "find_one"),
    ],
)
def test_the_call_of_a_misspelt_method_names_the_method_that_was_meant(call: Callable[[Any], Any], meant: str) -> None:
    with pytest.raises(TypeError, match=rf"which cannot be called; did you mean {meant}\(\)\?$"):
        call(wiredrv.Client())


def test_a_name_that_is_like_no_method_gets_no_suggestion() -> None:
    collection: Any = wiredrv.Client().shop.orders
    with pytest.raises(TypeError, match=r"which cannot be called$"):
        collection.qqq()


# --- synchronous use --------------------------------------------------------------------------------------------------


async def test_a_cursor_is_not_read_with_a_plain_for() -> None:
    client = wiredrv.Client()
    cursors: list[Any] = [client.shop.orders.find(), client.shop.orders.aggregate([]), client.shop.list_collections()]
    for cursor in cursors:
        with pytest.raises(TypeError, match="`async for`"):
            list(cursor)


async def test_a_plain_with_names_what_to_write() -> None:
    async with wiredrv.Client() as client, client.start_session() as session:
        wrong: dict[str, Any] = {
            "session.bind()": session.bind(),
            "client.transaction()": client.transaction(),
            "session.start_transaction()": session.start_transaction(),
            "client.start_session()": session,
            "wiredrv.Client(...)": client,
            "cursor": client.shop.orders.find(),
        }
        for written, block in wrong.items():
            with pytest.raises(TypeError) as caught, block:
                pass
            assert f"use `async with {written}`, not `with`" in str(caught.value)
            if hasattr(block, "_used"):
                block._used = True  # no warning: it was used wrongly, not forgotten


# --- options that a method does not have ---


OrdersCall: TypeAlias = Callable[[Any, dict[str, Any]], Any]


@pytest.mark.parametrize(
    "method, call, misspelt, meant",
    [
        ("find", lambda o, given: o.find({}, **given), "limitt", "limit"),
        ("find", lambda o, given: o.find(**given), "batchSize", "batch_size"),
        ("find_one", lambda o, given: o.find_one({}, **given), "sesion", "session"),
        ("insert_one", lambda o, given: o.insert_one({}, **given), "comnent", "comment"),
        ("insert_many", lambda o, given: o.insert_many([{}], **given), "orderd", "ordered"),
        ("update_one", lambda o, given: o.update_one({}, {"$set": {}}, **given), "upsrt", "upsert"),
        ("update_many", lambda o, given: o.update_many({}, [{}], **given), "arrayfilters", "array_filters"),
        ("replace_one", lambda o, given: o.replace_one({}, {}, **given), "hnt", "hint"),
        ("delete_one", lambda o, given: o.delete_one({}, **given), "colation", "collation"),
        ("delete_many", lambda o, given: o.delete_many({}, **given), "sessions", "session"),
        (
            "find_one_and_delete",
            lambda o, given: o.find_one_and_delete({}, **given),
            "prjection",
            "projection",
        ),
        (
            "find_one_and_replace",
            lambda o, given: o.find_one_and_replace({}, {}, **given),
            "upsret",
            "upsert",
        ),
        (
            "find_one_and_update",
            lambda o, given: o.find_one_and_update({}, [{}], **given),
            "returnDocument",
            "return_document",
        ),
        ("bulk_write", lambda o, given: o.bulk_write([wiredrv.InsertOne({})], **given), "lett", "let"),
        (
            "estimated_document_count",
            lambda o, given: o.estimated_document_count(**given),
            "max_time",
            "max_time_ms",
        ),
    ],
)
async def test_an_unknown_option_is_refused_with_all_those_of_its_method(
    method: str, call: OrdersCall, misspelt: str, meant: str
) -> None:
    orders = wiredrv.Client().shop.orders

    async def called() -> None:
        result = call(orders, {misspelt: 1})
        if inspect.isawaitable(result):
            await result

    with pytest.raises(ConfigurationError) as caught:
        await called()
    told, _, listed = str(caught.value).partition(f" The options of {method} are ")
    assert told == f"unknown option '{misspelt}'; did you mean {meant}?"
    optional = [p.name for p in inspect.signature(getattr(orders, method)).parameters.values() if p.default is None]
    assert set(optional) <= set(listed.split(", ")), listed
    assert meant in listed.split(", ")


def test_an_option_that_is_like_none_is_refused_with_the_list_alone() -> None:
    with pytest.raises(ConfigurationError, match=r"^unknown option 'zzz'; the options of find are .*, limit,"):
        wiredrv.Client().shop.orders.find({}, zzz=1)  # type: ignore[call-arg]  # bad input is the point


# --- objects of PyMongo -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use, kind",
    [
        (lambda client: client.drop_database(pymongo.AsyncMongoClient().shop), "AsyncDatabase"),
        (lambda client: client.shop.validate_collection(pymongo.AsyncMongoClient().shop.orders), "AsyncCollection"),
        (
            lambda client: client.shop.orders.insert_one({}, session=pymongo.AsyncMongoClient().start_session()),
            "AsyncClientSession",
        ),
    ],
)
async def test_a_handle_of_pymongo_is_refused_with_both_packages_names(use: Callable[[Any], Any], kind: str) -> None:
    async def called() -> None:
        result = use(wiredrv.Client())
        if inspect.isawaitable(result):
            await result

    with pytest.raises(DriverError) as caught:
        await called()
    assert f"{kind} is pymongo's, and only wiredrv's own is taken here" in str(caught.value)


# --- arguments of PyMongo's client ---


@pytest.mark.parametrize(
    "arguments, options, shown",
    [
        ((), {}, "localhost:27017"),
        (("db.example",), {}, "db.example:27017"),
        (("db.example", 27018), {}, "db.example:27018"),
        ((["a", "b:27018"], 27019, None, True, False), {}, "a:27019,b:27018"),
        ((), {"host": "db.example", "port": 27018, "connect": True}, "db.example:27018"),
        ((), {"host": "mongodb://db.example:27018/shop"}, "db.example:27018"),
        ((), {"uri": "mongodb://db.example:27018/shop"}, "db.example:27018"),
        (("localhost",), {"io_loop": object()}, "localhost:27017"),
        ((None, None), {}, "localhost:27017"),
    ],
)
def test_a_client_is_made_in_pymongos_and_motors_ways(arguments: Any, options: Any, shown: str) -> None:
    assert repr(wiredrv.Client(*arguments, **options)) == f"Client({shown!r})"


def test_what_a_client_takes_by_position_is_used() -> None:
    client = wiredrv.Client("localhost", 27018, RawBSONDocument, True, False, TypeRegistry())
    assert client.codec_options.document_class is RawBSONDocument
    assert client.codec_options.tz_aware
    assert client.codec_options.type_registry == TypeRegistry()


@pytest.mark.parametrize(
    "options, advice",
    [
        ({"host": "localhost", "uri": "localhost"}, "^host and uri are two names of one argument"),
        ({"connect": 1}, "^connect must be True or False"),
        ({"auto_encryption_opts": None}, "^unknown option 'auto_encryption_opts': .* not supported yet"),
    ],
)
def test_an_argument_of_a_client_that_cannot_be_is_refused(options: Any, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        wiredrv.Client(**options)


def test_other_objects_get_no_such_note() -> None:
    wrong: Any = {"w": 1}
    with pytest.raises(ConfigurationError) as caught:
        wiredrv.Client().shop.with_options(write_concern=wrong)
    assert "pymongo" not in str(caught.value)


# --- blocks that are never entered ------------------------------------------------------------------------------------


async def test_a_forgotten_async_with_warns_once_and_names_the_place() -> None:
    async with wiredrv.Client() as client, client.start_session() as session:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            session.bind()
            first_line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]  # CPython has frames
            client.transaction()
            gc.collect()
    told = [(str(warning.message), warning.category, warning.filename, warning.lineno) for warning in caught]
    assert [category for _, category, _, _ in told] == [RuntimeWarning, RuntimeWarning]
    assert [(file, line) for _, _, file, line in told] == [(__file__, first_line), (__file__, first_line + 2)]
    assert "write `async with session.bind()`" in told[0][0]
    assert "write `async with client.transaction()`" in told[1][0]


async def test_blocks_that_were_entered_or_could_not_be_made_do_not_warn() -> None:
    async with wiredrv.Client() as client, client.start_session() as session:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with session.bind(end_session=False), client.transaction(join=True):
                pass
            session.start_transaction()  # allowed without a block
            with pytest.raises(ConfigurationError):
                client.transaction(max_commit_time_ms=-1)
            gc.collect()
