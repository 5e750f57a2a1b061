"""The form of errors: they can be copied and pickled, and their classes can become another driver's too."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import bson
import bson.errors
import pytest
from bson.raw_bson import RawBSONDocument

from wiredrv import errors
from wiredrv.description import TopologyDescription
from wiredrv.errors import (
    AutoReconnect,
    BulkWriteError,
    CollectionExists,
    DriverError,
    DuplicateKeyError,
    InvalidDocument,
    NetworkTimeout,
    ServerSelectionTimeoutError,
    UnreadableReply,
)
from wiredrv.server_errors import command_error, handshake_error, write_concern_error, write_error


def _unreadable() -> UnreadableReply:
    error = UnreadableReply("the reply cannot be read")
    error.namespace = "db.c"
    error.envelope = {"ok": 1.0, "cursor": {"id": 5, "ns": "db.c"}}
    return error


ERRORS: dict[str, DriverError] = {
    "DriverError": DriverError("x", ["A"]),
    "AutoReconnect": AutoReconnect("x", {"a": 1}, ["A"]),
    "NetworkTimeout": NetworkTimeout("x"),
    "ServerSelectionTimeoutError": ServerSelectionTimeoutError("x", TopologyDescription(), ["A"]),
    "a refusal": command_error({"ok": 0, "code": 11000, "errmsg": "E11000", "errorLabels": ["A"]}, 17),
    "not primary": command_error({"ok": 0, "code": 10107, "errmsg": "no"}),
    "write concern": write_concern_error({"code": 64, "errmsg": "slow"}, {"ok": 1}),
    "a bulk": BulkWriteError({"writeErrors": [{"index": 0, "errmsg": "E11000"}], "writeConcernErrors": []}, ["A"]),
    "unreadable": _unreadable(),
    "document": InvalidDocument("x"),
    "exists": CollectionExists("x", 48, {"code": 48}),
}
WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_the_same_after_a_copy(name: str, way: str) -> None:
    error = ERRORS[name]
    again = WAYS[way](error)
    assert type(again) is type(error)
    assert again.args == error.args
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert again.error_labels == error.error_labels


@pytest.mark.parametrize("way", WAYS)
def test_a_copys_labels_are_its_own(way: str) -> None:
    error = DriverError("x", ["A"])
    WAYS[way](error).add_error_label("B")
    assert error.error_labels == {"A"}


def test_what_another_driver_may_define_as_a_property_can_be_set() -> None:
    refusal = command_error({"ok": 0, "code": 1, "errmsg": "x"})
    assert isinstance(refusal, errors.OperationFailure)
    refusal.code = 2
    refusal.details = {"code": 2}
    assert (refusal.code, refusal.details) == (2, {"code": 2})
    broken = AutoReconnect("x", ["y"])
    broken.errors = ["z"]
    broken.details = {"a": 1}
    assert (broken.errors, broken.details) == (["z"], {"a": 1})


def test_an_unreadable_reply_is_what_handlers_of_bson_errors_look_for() -> None:
    assert isinstance(_unreadable(), bson.errors.InvalidBSON)


@pytest.mark.parametrize("code", ["10107", True, 1.5, None, [], {}], ids=repr)
def test_a_code_that_is_not_a_number_is_none(code: object) -> None:
    error: Any = command_error({"ok": 0, "code": code, "errmsg": "x"})
    assert error.code is None


# In a process of its own, since it changes the classes permanently.
_BECOME_PYMONGOS = """
import pymongo.errors as theirs
from wiredrv import errors as ours
from wiredrv.server_errors import command_error

def below(kind):
    for found in kind.__subclasses__():
        yield found
        yield from below(found)

ours.DriverError.__bases__ = (theirs.PyMongoError,)
for found in below(ours.DriverError):
    other = getattr(theirs, found.__name__, None)
    if other is not None and other not in found.__mro__:
        found.__bases__ = (*found.__bases__, other)

refusal = command_error({"ok": 0, "code": 11000, "errmsg": "E11000", "errorLabels": ["A"]}, 17)
assert isinstance(refusal, theirs.DuplicateKeyError), type(refusal).__mro__
assert (refusal.code, refusal.details["code"], refusal.max_wire_version) == (11000, 11000, 17)
assert refusal.has_error_label("A")
moved = command_error({"ok": 0, "code": 10107, "errmsg": "no"})
assert isinstance(moved, theirs.NotPrimaryError)
assert (moved.code, moved.details["code"], moved.errors["code"]) == (10107, 10107, 10107)
bulk = ours.BulkWriteError({"writeErrors": [{"index": 0, "errmsg": "x"}]})
assert isinstance(bulk, theirs.BulkWriteError)
assert bulk.details["writeErrors"][0]["index"] == 0
late = ours.ServerSelectionTimeoutError("late", {"servers": []})
assert isinstance(late, theirs.ServerSelectionTimeoutError)
assert late.timeout
for error in (refusal, moved, bulk, late, ours.InvalidDocument("x"), ours.UnreadableReply("x")):
    repr(error), str(error), error.timeout
    assert isinstance(error, theirs.PyMongoError)
"""


def test_the_classes_can_become_pymongos_too() -> None:
    done = subprocess.run([sys.executable, "-c", _BECOME_PYMONGOS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- details ---

#: A date after year 9999 and a string that is not UTF-8, which Python's own types cannot hold.
_STRANGE = bson.encode({"at": bson.Int64(2**60)}).replace(b"\x12at", b"\x09at")
_BROKEN_TEXT = bson.encode({"s": "ab"}).replace(b"ab", b"\xff\xfe")


@pytest.mark.parametrize(
    "make", [command_error, lambda reply: write_error(reply, {}), lambda reply: write_concern_error(reply, {})]
)
def test_details_are_dictionaries_also_where_the_reply_was_not_decoded_yet(make: Callable[[Any], Any]) -> None:
    raw = RawBSONDocument(bson.encode({"code": 11000, "errmsg": "E11000", "keyValue": {"a": [{"b": 1}]}}))
    for reply in (raw, dict(raw)):
        details = make(reply).details
        assert type(details) is dict
        assert type(details["keyValue"]) is dict
        assert details["keyValue"] == {"a": [{"b": 1}]}


@pytest.mark.parametrize("stored", [_STRANGE, _BROKEN_TEXT])
def test_details_that_cannot_be_decoded_strictly_hide_no_error(stored: bytes) -> None:
    error = command_error({"code": 11000, "errmsg": "E11000", "keyValue": RawBSONDocument(stored)})
    assert isinstance(error, DuplicateKeyError)
    assert error.details is not None
    assert error.details["keyValue"]
    assert repr(error)


def test_what_cannot_be_decoded_of_a_refusal_does_not_hide_it() -> None:
    broken = bson.encode({"b": 1}).replace(b"\x10b", b"\x7ab")
    reply = RawBSONDocument(bson.encode({"ok": 0, "code": 11000, "errmsg": "E11000", "x": RawBSONDocument(broken)}))
    error = command_error(reply)
    assert isinstance(error, DuplicateKeyError)
    assert error.details == {"ok": 0, "code": 11000, "errmsg": "E11000", "x": broken}


def test_the_refusal_of_a_handshake_says_nothing_about_an_operation() -> None:
    labels = ["TransientTransactionError", "RetryableWriteError", "SystemOverloadedError", 5]
    error = handshake_error({"ok": 0, "code": 251, "errmsg": "no", "errorLabels": labels})
    assert error.error_labels == {"SystemOverloadedError"}


def test_the_details_of_a_failed_bulk_are_never_none() -> None:
    error = BulkWriteError({"nInserted": 1, "writeErrors": [{"index": 0, "errmsg": "E11000"}]})
    assert error.details["nInserted"] == 1
    error.details = None  # as code that wraps an OperationFailure may do
    assert error.details == {}
    assert not error.timeout
