"""PyMongo's value objects are accepted by their shape, wherever this driver's own are."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pymongo
import pytest
from pymongo import collation as theirs_collation
from pymongo import read_preferences as theirs
from pymongo.client_session_shared import TransactionOptions as TheirTransactionOptions
from pymongo.driver_info import DriverInfo as TheirDriverInfo
from pymongo.operations import SearchIndexModel as TheirSearchIndexModel
from pymongo.read_concern import ReadConcern as TheirReadConcern
from pymongo.server_api import ServerApi as TheirServerApi

import wiredrv
from wiredrv import concerns
from wiredrv.client import requests
from wiredrv.client.collection_search import _model
from wiredrv.compat.objects import SHAPES, adopted, index_document, of_kind, write_request
from wiredrv.connection.settings import DriverInfo, ServerApi
from wiredrv.errors import ConfigurationError

KINDS: dict[str, type[Any]] = {
    "ReadConcern": wiredrv.ReadConcern,
    "WriteConcern": wiredrv.WriteConcern,
    "ReadPreference": wiredrv.ReadPreference,
    "TransactionOptions": wiredrv.TransactionOptions,
    "DriverInfo": wiredrv.DriverInfo,
    "ServerApi": wiredrv.ServerApi,
}


def _hedged() -> theirs.Nearest:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return theirs.Nearest(hedge={"enabled": True})


VALUES: list[tuple[Any, Any]] = [
    (TheirReadConcern(), wiredrv.ReadConcern()),
    (TheirReadConcern("majority"), wiredrv.ReadConcern("majority")),
    (pymongo.WriteConcern(), wiredrv.WriteConcern()),
    (pymongo.WriteConcern(0), wiredrv.WriteConcern(0)),
    (pymongo.WriteConcern("majority", 5, True), wiredrv.WriteConcern("majority", 5, True)),
    (pymongo.WriteConcern(1, fsync=True), wiredrv.WriteConcern(1, fsync=True)),
    (theirs.Primary(), wiredrv.ReadPreference("primary")),
    (theirs.PrimaryPreferred(), wiredrv.ReadPreference("primaryPreferred")),
    (theirs.SecondaryPreferred(), wiredrv.ReadPreference("secondaryPreferred")),
    (theirs.Secondary([{"dc": "a"}, {}]), wiredrv.ReadPreference("secondary", [{"dc": "a"}, {}])),
    (theirs.Nearest(max_staleness=120), wiredrv.ReadPreference("nearest", max_staleness=120)),
    (_hedged(), wiredrv.ReadPreference("nearest", hedge={"enabled": True})),
    (pymongo.ReadPreference.SECONDARY, wiredrv.ReadPreference.SECONDARY),
    (TheirDriverInfo("odm", "1.0", "CPython"), DriverInfo("odm", "1.0", "CPython")),
    (TheirServerApi("1", True, False), ServerApi("1", True, False)),
    (
        TheirTransactionOptions(TheirReadConcern("snapshot"), pymongo.WriteConcern(2), theirs.Primary(), 500),
        wiredrv.TransactionOptions(
            wiredrv.ReadConcern("snapshot"), wiredrv.WriteConcern(2), wiredrv.ReadPreference.PRIMARY, 500
        ),
    ),
    (TheirTransactionOptions(), wiredrv.TransactionOptions()),
]


@pytest.mark.parametrize("given, expected", VALUES, ids=lambda value: type(value).__name__)
def test_an_object_of_pymongos_becomes_one_of_ours(given: Any, expected: Any) -> None:
    kind = next(kind for kind in KINDS.values() if isinstance(expected, kind))
    found = adopted(given, kind)
    assert type(found) is kind
    assert found == expected
    assert adopted(expected, kind) is expected
    assert of_kind("it", given, kind) == expected


def test_every_shape_is_tried() -> None:
    assert set(SHAPES) == set(KINDS)
    tried = {name for name, kind in KINDS.items() for _, ours in VALUES if isinstance(ours, kind)}
    assert tried == set(SHAPES)


def test_a_subclass_of_pymongos_counts_as_its_class() -> None:
    class Own(TheirReadConcern):
        pass

    assert adopted(Own("local"), wiredrv.ReadConcern) == wiredrv.ReadConcern("local")


@pytest.mark.parametrize("value", [None, 1, "majority", {"level": "majority"}, object(), ("odm", "1.0", None)])
@pytest.mark.parametrize("name", KINDS)
def test_what_has_another_shape_is_left_and_refused(value: Any, name: str) -> None:
    assert adopted(value, KINDS[name]) is value
    with pytest.raises(ConfigurationError, match=f"^it must be a {name}, not "):
        of_kind("it", value, KINDS[name])


def test_what_an_object_holds_is_checked_as_ever() -> None:
    with pytest.raises(ConfigurationError, match="needs a name"):
        wiredrv.Client().append_metadata(TheirDriverInfo(None))  # type: ignore[arg-type]  # PyMongo's allows it
    with pytest.raises(ConfigurationError, match="unacknowledged"):
        wiredrv.Client().transaction(write_concern=pymongo.WriteConcern(0))  # type: ignore[arg-type]  # PyMongo's


def test_an_object_that_only_looks_like_one_is_refused() -> None:
    for document in (None, 5, {}, {"mode": "sideways"}):
        strange = SimpleNamespace(document=document, mode=1, tag_sets=[], max_staleness=-1)
        with pytest.raises(ConfigurationError, match="is not a read preference mode"):
            of_kind("read_preference", strange, wiredrv.ReadPreference)
    with pytest.raises(ConfigurationError, match="level must be a string"):
        of_kind("read_concern", SimpleNamespace(document={}, level=5), wiredrv.ReadConcern)


# --- where they are taken ---------------------------------------------------------------------------------------------


def test_handles_take_them() -> None:
    client: Any = wiredrv.Client()
    options: dict[str, Any] = {
        "read_preference": theirs.Secondary(),
        "read_concern": TheirReadConcern("local"),
        "write_concern": pymongo.WriteConcern(2),
    }
    database = client.get_database("shop", **options)
    for handle in (
        database,
        client.get_default_database("shop", **options),
        client.shop.with_options(**options),
        client.shop.get_collection("orders", **options),
        client.shop.orders.with_options(**options),
        wiredrv.Collection(client.shop, "orders", **options),
    ):
        assert handle.read_preference == wiredrv.ReadPreference.SECONDARY
        assert type(handle.read_preference) is wiredrv.ReadPreference
        assert handle.read_concern == wiredrv.ReadConcern("local")
        assert handle.write_concern == wiredrv.WriteConcern(2)


def test_a_client_takes_them() -> None:
    options: Any = {
        "read_preference": theirs.Nearest([{"dc": "a"}]),
        "read_concern": TheirReadConcern("local"),
        "write_concern": pymongo.WriteConcern(2),
        "server_api": TheirServerApi("1"),
        "driver": TheirDriverInfo("odm", "1.0"),
    }
    client = wiredrv.Client(**options)
    settings = client._core.settings
    assert settings.read_preference == wiredrv.ReadPreference("nearest", [{"dc": "a"}])
    assert (settings.read_concern, settings.write_concern) == (wiredrv.ReadConcern("local"), wiredrv.WriteConcern(2))
    assert settings.connection.server_api == ServerApi("1")
    assert settings.connection.driver_info == (DriverInfo("odm", "1.0"),)
    client.append_metadata(TheirDriverInfo("web", "2.0"))  # type: ignore[arg-type]  # PyMongo's
    assert client.options.pool_options.metadata["driver"]["name"] == "wiredrv|odm|web"


@pytest.mark.anyio
async def test_sessions_and_transactions_take_them() -> None:
    client: Any = wiredrv.Client()
    options = TheirTransactionOptions(TheirReadConcern("snapshot"), pymongo.WriteConcern(2))
    async with client, client.start_session(default_transaction_options=options) as session:
        defaults = session.options.default_transaction_options
        assert defaults.write_concern == wiredrv.WriteConcern(2)
        session.start_transaction(TheirReadConcern("local"), read_preference=theirs.Primary())
        chosen = session._state.transaction.options
        assert chosen.read_concern == wiredrv.ReadConcern("local")
        assert chosen.write_concern == wiredrv.WriteConcern(2)
        assert chosen.read_preference == wiredrv.ReadPreference.PRIMARY


# --- requests of bulks, models of indexes -----------------------------------------------------------------------------

REQUESTS: list[tuple[Any, Any]] = [
    (pymongo.InsertOne({"_id": 1}), wiredrv.InsertOne({"_id": 1})),
    (pymongo.InsertOne({"_id": 1}, "shop.orders"), wiredrv.InsertOne({"_id": 1}, "shop.orders")),
    (pymongo.UpdateOne({"a": 1}, {"$set": {"a": 2}}), wiredrv.UpdateOne({"a": 1}, {"$set": {"a": 2}})),
    (
        pymongo.UpdateOne(
            {"a": 1}, {"$set": {"b.$[x]": 2}}, True, {"locale": "en"}, [{"x": 1}], [("a", 1)], "shop.orders", {"a": 1}
        ),
        wiredrv.UpdateOne(
            {"a": 1}, {"$set": {"b.$[x]": 2}}, True, {"locale": "en"}, [{"x": 1}], [("a", 1)], "shop.orders", {"a": 1}
        ),
    ),
    (
        pymongo.UpdateMany({"a": 1}, [{"$set": {"a": 2}}], hint="a_1", upsert=True),
        wiredrv.UpdateMany({"a": 1}, [{"$set": {"a": 2}}], hint="a_1", upsert=True),
    ),
    (
        pymongo.ReplaceOne({"a": 1}, {"a": 2}, True, theirs_collation.Collation("en"), "a_1", sort={"a": 1}),
        wiredrv.ReplaceOne({"a": 1}, {"a": 2}, True, wiredrv.Collation("en"), "a_1", sort={"a": 1}),
    ),
    (pymongo.DeleteOne({"a": 1}, hint="a_1"), wiredrv.DeleteOne({"a": 1}, hint="a_1")),
    (pymongo.DeleteMany({}, {"locale": "en"}), wiredrv.DeleteMany({}, {"locale": "en"})),
]


@pytest.mark.parametrize("given, expected", REQUESTS, ids=lambda value: type(value).__name__)
def test_a_request_of_pymongos_becomes_one_of_ours(given: Any, expected: Any) -> None:
    assert requests.write_request("it", given) == expected
    assert requests.write_request("it", expected) is expected


def test_every_request_is_tried() -> None:
    assert {type(ours).__name__ for _, ours in REQUESTS} == set(requests._REQUESTS)


def test_what_pymongos_request_would_refuse_is_refused() -> None:
    wrong: Any = 5
    with pytest.raises(ConfigurationError, match="cannot be sent: collation must be a dict"):
        write_request(pymongo.DeleteOne({}, collation=wrong))
    assert write_request(object()) is None
    assert write_request(wiredrv.IndexModel("a")) is None


@pytest.mark.parametrize(
    "model",
    [
        pymongo.IndexModel("a"),
        pymongo.IndexModel([("a", 1), ("b", -1)], unique=True, name="ab", partialFilterExpression={"a": {"$gt": 1}}),
        pymongo.IndexModel([("t", "text")], collation=theirs_collation.Collation("simple")),
    ],
)
def test_an_index_model_of_pymongos_is_one(model: pymongo.IndexModel) -> None:
    assert index_document(model) == model.document
    ours = wiredrv.IndexModel([("a", 1)])
    assert index_document(ours) is ours.document


@pytest.mark.parametrize("value", [None, "a", {"key": {"a": 1}}, theirs_collation.Collation("en"), theirs.Nearest()])
def test_anything_else_is_no_index_model(value: object) -> None:
    assert index_document(value) is None


def test_a_search_index_model_of_pymongos_is_one() -> None:
    found = _model("model", TheirSearchIndexModel({"mappings": {"dynamic": True}}, "s", "search"))
    assert found.document == {"definition": {"mappings": {"dynamic": True}}, "name": "s", "type": "search"}


# --- this driver's own under PyMongo's names --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Primary", "PrimaryPreferred", "Secondary", "SecondaryPreferred", "Nearest"])
def test_a_read_preference_has_pymongos_class_too(name: str) -> None:
    ours: Callable[..., Any] = getattr(wiredrv, name)
    other: Callable[..., Any] = getattr(theirs, name)
    assert ours().document == other().document
    assert ours() == wiredrv.ReadPreference(ours().mode)
    assert hash(ours()) == hash(wiredrv.ReadPreference(ours().mode))
    assert isinstance(ours(), wiredrv.ReadPreference)
    assert repr(ours()).startswith(f"{name}(mode=")
    if name != "Primary":
        arguments = ([{"dc": "a"}], 120)
        assert ours(*arguments).document == other(*arguments).document
        assert pickle.loads(pickle.dumps(ours(*arguments))) == ours(*arguments)
        assert ours(*arguments) != ours()


def test_read_preferences_of_two_modes_differ() -> None:
    assert concerns.Secondary() != concerns.Nearest()
    assert concerns.Secondary() != "secondary"


def test_a_collation_is_pymongos() -> None:
    options: dict[str, Any] = {
        "caseLevel": True,
        "caseFirst": wiredrv.CollationCaseFirst.UPPER,
        "strength": wiredrv.CollationStrength.SECONDARY,
        "numericOrdering": True,
        "alternate": wiredrv.CollationAlternate.SHIFTED,
        "maxVariable": wiredrv.CollationMaxVariable.SPACE,
        "normalization": False,
        "backwards": True,
    }
    ours, other = wiredrv.Collation("fr", **options), theirs_collation.Collation("fr", **options)
    assert ours.document == other.document
    assert ours == wiredrv.Collation("fr", **options)
    assert hash(ours) == hash(wiredrv.Collation("fr", **options))
    assert ours != wiredrv.Collation("fr")
    assert repr(wiredrv.Collation("en", strength=2)) == "Collation(locale='en', strength=2)"


@pytest.mark.parametrize(
    "name", ["CollationStrength", "CollationAlternate", "CollationMaxVariable", "CollationCaseFirst"]
)
def test_the_constants_of_collations_are_pymongos(name: str) -> None:
    ours, other = getattr(wiredrv, name), getattr(theirs_collation, name)
    values = {key: value for key, value in vars(other).items() if key.isupper()}
    assert {key: value for key, value in vars(ours).items() if key.isupper()} == values
