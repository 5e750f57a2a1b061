"""What a span says of an error. OpenTelemetry specification, "Exceptions"."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wiredrv.errors import AutoReconnect, DuplicateKeyError, NotPrimaryError, OperationFailure
from wiredrv.tracing.failures import (
    REDACTED,
    description,
    exception_attributes,
    is_expected,
    refused_writes,
    status_code,
)

SECRET = "hunter2secret"


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_an_error_has_its_type_its_text_and_where_it_was_raised() -> None:
    found = exception_attributes(raised(OperationFailure("no such thing", 20)))
    assert found["exception.type"] == "wiredrv.errors.OperationFailure"
    assert found["exception.message"] == "no such thing"
    assert "in raised" in found["exception.stacktrace"]
    assert found["exception.stacktrace"].rstrip().endswith("no such thing")


def test_an_error_that_was_not_raised_has_the_place_that_made_it() -> None:
    found = exception_attributes(OperationFailure("no such thing", 20), "  File here, line 1\n")
    assert found["exception.stacktrace"].startswith("  File here, line 1\n")


def test_a_builtin_error_has_no_module() -> None:
    assert exception_attributes(ValueError("x"))["exception.type"] == "ValueError"


def test_of_a_hidden_error_nothing_is_shown_but_its_kind_and_place() -> None:
    error = raised(OperationFailure(SECRET, 11000, {"pwd": SECRET}))
    error.__cause__ = ValueError(SECRET)
    error.add_note(SECRET)
    found = exception_attributes(error, hidden=True)
    assert SECRET not in str(found)
    assert found["exception.message"] == REDACTED
    assert "in raised" in found["exception.stacktrace"]
    assert description(error, hidden=True) == "OperationFailure: (redacted)"


@pytest.mark.parametrize(
    "error, words",
    [
        (OperationFailure("no such thing"), "OperationFailure: no such thing"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
)
def test_the_description_of_a_status(error: BaseException, words: str) -> None:
    assert description(error) == words


@pytest.mark.parametrize(
    "error, code",
    [
        (OperationFailure("x", 20), "20"),
        (DuplicateKeyError("x", 11000), "11000"),
        (NotPrimaryError("x", {"ok": 0, "code": 10107}), "10107"),
        (OperationFailure("x"), None),
        (AutoReconnect("x"), None),
        (ValueError("x"), None),
    ],
)
def test_the_code_of_an_error(error: BaseException, code: str | None) -> None:
    assert status_code(error) == ({} if code is None else {"db.response.status_code": code})


@pytest.mark.parametrize(
    "reply, code",
    [
        ({"ok": 1, "n": 1}, None),
        ({"ok": 1, "writeErrors": []}, None),
        ({"ok": 1, "writeErrors": [{"index": 0, "code": 11000}]}, "11000"),
        ({"ok": 1, "writeConcernError": {"code": 64}}, "64"),
        ({"ok": 1, "writeErrors": [{"code": 11000}], "writeConcernError": {"code": 64}}, "11000"),
        ({"ok": 1, "writeErrors": "?"}, None),
        ({"ok": 1, "writeConcernError": {"code": "?"}}, None),
    ],
)
def test_the_code_of_a_write_that_failed(reply: dict[str, Any], code: str | None) -> None:
    assert refused_writes(reply) == ({} if code is None else {"db.response.status_code": code})


@pytest.mark.parametrize(
    "operation, error, expected",
    [
        ("dropCollection", OperationFailure("ns not found", 26), True),
        ("listIndexes", OperationFailure("ns not found", 26), True),
        ("dropIndexes", OperationFailure("ns not found", 26), True),
        ("find", OperationFailure("ns not found", 26), False),
        ("runCommand", OperationFailure("ns not found", 26), False),
        ("dropCollection", OperationFailure("no", 20), False),
        ("dropCollection", ValueError(), False),
        ("abortTransaction", OperationFailure("no such transaction", 251), True),
        ("abortTransaction", asyncio.CancelledError(), False),
        ("commitTransaction", OperationFailure("no such transaction", 251), False),
        ("killCursors", AutoReconnect("broken"), True),
        ("endSessions", AutoReconnect("broken"), True),
    ],
)
def test_what_a_caller_does_not_get_is_no_failure_of_the_operation(
    operation: str, error: BaseException, expected: bool
) -> None:
    assert is_expected(operation, error) is expected
