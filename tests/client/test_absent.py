"""Attributes of PyMongo's handles that ours lack: an error, instead of a database or a collection."""

from __future__ import annotations

from typing import Any

import pytest
from motor import motor_asyncio
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

import wiredrv
from wiredrv.client.absent import ABSENT

CLIENT = wiredrv.Client()
#: For each kind of handle: one of ours, and PyMongo's class.
HANDLES: dict[str, tuple[Any, type[Any]]] = {
    "Client": (CLIENT, AsyncMongoClient),
    "Database": (CLIENT.shop, AsyncDatabase),
    "Collection": (CLIENT.shop.orders, AsyncCollection),
}


def _public(kind: type[Any]) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("handle", HANDLES)
def test_the_table_holds_what_pymongo_and_motor_have_and_we_have_not(handle: str) -> None:
    ours, theirs = HANDLES[handle]
    motors = getattr(motor_asyncio, f"AsyncIOMotor{handle}")
    assert set(ABSENT[handle]) == (_public(theirs) | _public(motors)) - _public(type(ours))


@pytest.mark.parametrize("handle, name", [(handle, name) for handle, names in ABSENT.items() for name in names])
def test_an_attribute_of_pymongos_is_no_database_or_collection(handle: str, name: str) -> None:
    ours, _ = HANDLES[handle]
    with pytest.raises(AttributeError) as caught:
        getattr(ours, name)
    what = "database" if handle == "Client" else "collection"
    assert str(caught.value) == (
        f"{handle} has no attribute {name!r}: {ABSENT[handle][name]}; "
        f"use {handle.lower()}[{name!r}] for the {what} of that name"
    )
    assert not hasattr(ours, name)
    assert ours[name].name.endswith(name)


@pytest.mark.parametrize("handle", HANDLES)
def test_any_other_name_still_is_one(handle: str) -> None:
    ours, _ = HANDLES[handle]
    assert ours.invoices.name.endswith("invoices")
    with pytest.raises(AttributeError, match=rf"^{handle} has no attribute '_hidden'; use "):
        _ = ours._hidden


# --- truth, iteration, membership -------------------------------------------------------------------------------------


def _outcome(function: Any, handle: Any) -> Any:
    try:
        return function(handle)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize(
    "function", [bool, list, iter, lambda handle: "a" in handle], ids=["bool", "list", "iter", "in"]
)
@pytest.mark.parametrize("handle", HANDLES)
def test_truth_iteration_and_membership_are_pymongos(handle: str, function: Any) -> None:
    peer: Any = AsyncMongoClient()
    theirs = {"Client": peer, "Database": peer.shop, "Collection": peer.shop.orders}[handle]
    assert _outcome(function, HANDLES[handle][0]) == _outcome(function, theirs)


def test_a_client_is_true() -> None:
    assert CLIENT
    assert bool(CLIENT) is True


@pytest.mark.parametrize("handle", HANDLES)
def test_what_cannot_be_done_with_a_handle_is_said_with_what_can(handle: str) -> None:
    ours, _ = HANDLES[handle]
    advice = {"Client": "list_database_names", "Database": "list_collection_names", "Collection": "find"}[handle]
    with pytest.raises(TypeError, match=advice):
        list(ours)
    with pytest.raises(TypeError, match=advice):
        assert "a" in ours
