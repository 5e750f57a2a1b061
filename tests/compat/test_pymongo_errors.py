"""``import wiredrv.compat.pymongo``: the errors of this driver are PyMongo's too.

It changes classes for the whole process, so each test runs a program of its own.
"""

from __future__ import annotations

import pickle
import subprocess
import sys

import gridfs.errors
import pymongo.errors
import pytest

from wiredrv import errors
from wiredrv.errors import DuplicateKeyError, UnknownOption

#: What the programs share: an error raised, and one of its classes imported, before the import.
_BEFORE = """
import asyncio, copy, pickle, sys
import bson.errors, gridfs.errors, pymongo.errors
from wiredrv import errors
from wiredrv.errors import DuplicateKeyError
from wiredrv.server_errors import command_error, write_concern_error

def refused():
    return command_error({"ok": 0, "code": 11000, "errmsg": "E11000", "errorLabels": ["A"]}, 17)

try:
    raise refused()
except DuplicateKeyError as caught:
    early = caught
assert not isinstance(early, pymongo.errors.PyMongoError)
"""
_IMPORT = "import wiredrv.compat.pymongo\n"

PROGRAMS = {
    "an error that was raised before": """
assert isinstance(early, pymongo.errors.DuplicateKeyError), type(early).__mro__
assert (early.code, early.details["code"], early.max_wire_version) == (11000, 11000, 17)
""",
    "a class that was imported before": """
try:
    raise DuplicateKeyError("x", 11000)
except pymongo.errors.WriteError as error:
    assert type(error) is DuplicateKeyError and error.code == 11000
""",
    "handlers of every class that has a name in PyMongo": """
import wiredrv.server_errors
for theirs in (pymongo.errors, gridfs.errors):
    for name, kind in vars(theirs).items():
        if isinstance(kind, type) and issubclass(kind, Exception) and hasattr(errors, name):
            assert issubclass(getattr(errors, name), kind), name
""",
    "no method of PyMongo's takes the place of one of ours": """
def ours(kind, name):
    home = next(base for base in kind.__mro__ if name in vars(base))
    return home.__module__.startswith("wiredrv") or home in (BaseException, object)
for name, kind in vars(errors).items():
    if isinstance(kind, type) and issubclass(kind, errors.DriverError):
        assert kind.__mro__.index(errors.DriverError) < kind.__mro__.index(pymongo.errors.PyMongoError)
        wrong = [n for n in dir(kind) if not n.startswith("__") and not ours(kind, n)]
        assert set(wrong) <= {"document", "verbose", "_add_error_label", "_remove_error_label"}, (name, wrong)
""",
    "every public attribute of PyMongo's can be read": """
made = [refused(), command_error({"ok": 0, "code": 10107, "errmsg": "no"}), errors.BulkWriteError({"writeErrors": []}),
    errors.ClientBulkWriteException({"error": ValueError("x")}), errors.OperationTimeout("x"),
    errors.TransactionTimeoutError("x"), errors.TransactionLimitExceeded("x"), errors.AutoReconnect("x"),
    errors.CollectionExists("x", 48, {}), errors.InvalidDocument("x"), errors.DocumentTooLarge("x"),
    errors.BulkDocumentTooLarge({}), errors.ServerSelectionTimeoutError("x"), errors.UnreadableReply("x"),
    errors.UnknownOption("x"), errors.NoFile("x")]
for error in made:
    for name in dir(error):
        if name != "verbose":
            getattr(error, name)
    error._add_error_label("L")
    assert error.has_error_label("L") and "L" in error.error_labels and "L" in error._error_labels
    error._remove_error_label("L")
    assert not error.has_error_label("L")
    str(error), repr(error), error.timeout
""",
    "copies": """
for error in (early, refused(), errors.BulkWriteError({"writeErrors": [{"errmsg": "x"}]}, ["A"]),
              errors.AutoReconnect("x", {"a": 1}, ["A"]), errors.TransactionTimeoutError("x", ["A"])):
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error) and again.args == error.args and vars(again) == vars(error)
        assert again.error_labels == {"A"} and isinstance(again, pymongo.errors.PyMongoError)
""",
    "exception groups": """
seen = []
try:
    raise ExceptionGroup("both", [refused(), ValueError("other"), pymongo.errors.CursorNotFound("x")])
except* pymongo.errors.OperationFailure as group:
    seen += group.exceptions
except* ValueError:
    pass
assert [type(e) for e in seen] == [DuplicateKeyError, pymongo.errors.CursorNotFound]
assert ExceptionGroup("one", [early]).subgroup(pymongo.errors.DuplicateKeyError) is not None
""",
    "a time limit": """
late = errors.OperationTimeout("late", ["A"])
assert isinstance(late, pymongo.errors.ExecutionTimeout) and late.timeout
assert (late.code, late.details) == (50, {"ok": 0, "errmsg": "late", "code": 50})
""",
    "a transaction out of time": """
from wiredrv.client.sessions.with_transaction import out_of_time
cause = errors.AutoReconnect("x", error_labels=["TransientTransactionError"])
late = out_of_time(cause, 120)
assert isinstance(late, pymongo.errors.NetworkTimeout) and not isinstance(late, pymongo.errors.ExecutionTimeout)
assert late.__cause__ is cause and late.has_error_label("TransientTransactionError")
assert (late.errors, late.details) == ([], {})
limited = out_of_time(cause, 1, limited=True)
assert isinstance(limited, pymongo.errors.ExecutionTimeout) and isinstance(limited, errors.TransactionTimeoutError)
assert (limited.code, limited.details["code"]) == (50, 50)
""",
    "an unknown keyword": """
import wiredrv
try:
    asyncio.run(wiredrv.Client().shop.orders.insert_one({}, sesion=None))
except TypeError as error:
    assert isinstance(error, pymongo.errors.ConfigurationError), type(error).__mro__
""",
    "a second import": """
before = {name: kind.__mro__ for name, kind in vars(errors).items() if isinstance(kind, type)}
del sys.modules["wiredrv.compat.pymongo"]
import wiredrv.compat.pymongo
after = {name: kind.__mro__ for name, kind in vars(errors).items() if isinstance(kind, type)}
assert before == after
""",
    "PyMongo's own errors stay as they are": """
assert not issubclass(pymongo.errors.PyMongoError, errors.DriverError)
assert pymongo.errors.PyMongoError.__bases__ == (Exception,)
plain = pymongo.errors.OperationFailure("x", 5, {"errorLabels": ["B"]})
assert (plain.code, plain.has_error_label("B"), plain.timeout) == (5, True, False)
""",
}


def _run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_errors_are_pymongos_too(name: str) -> None:
    _run(_BEFORE + _IMPORT + PROGRAMS[name])


def test_without_the_import_they_are_not() -> None:
    assert not issubclass(errors.DriverError, pymongo.errors.PyMongoError)
    assert not issubclass(errors.NoFile, gridfs.errors.NoFile)


def test_an_error_that_was_pickled_without_the_import_is_pymongos_with_it() -> None:
    pickled = pickle.dumps(DuplicateKeyError("x", 11000, {"code": 11000}, 17, ["A"]))
    _run(
        f"import pickle, pymongo.errors, wiredrv.compat.pymongo\nerror = pickle.loads({pickled!r})\n"
        "assert isinstance(error, pymongo.errors.DuplicateKeyError)\n"
        "assert (error.code, error.error_labels) == (11000, {'A'})"
    )


def test_an_applications_class_of_both_drivers_keeps_working() -> None:
    _run(
        f"{_BEFORE}\n"
        "class Both(errors.OperationFailure, pymongo.errors.OperationFailure): pass\n"
        f"{_IMPORT}\n"
        "assert issubclass(Both, pymongo.errors.OperationFailure) and Both('x', 5).code == 5"
    )


def test_a_class_in_the_wrong_order_is_an_error_that_changes_nothing() -> None:
    _run(
        f"{_BEFORE}\n"
        "class Both(pymongo.errors.OperationFailure, errors.OperationFailure): pass\n"
        "before = {name: kind.__mro__ for name, kind in vars(errors).items() if isinstance(kind, type)}\n"
        "try:\n"
        "    import wiredrv.compat.pymongo\n"
        "except ImportError as error:\n"
        '    assert "name wiredrv\'s first among its bases" in str(error), error\n'
        "else:\n"
        "    raise AssertionError(Both.__mro__)\n"
        "after = {name: kind.__mro__ for name, kind in vars(errors).items() if isinstance(kind, type)}\n"
        "assert before == after\n"
        "assert isinstance(Both('x', 5), pymongo.errors.OperationFailure)\n"
    )


def test_an_unknown_keyword_is_a_type_error_without_the_import_too() -> None:
    assert issubclass(UnknownOption, TypeError)
