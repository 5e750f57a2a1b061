"""Errors compared with what a test expects. Unified test format specification, "expectedError"."""

from __future__ import annotations

from typing import Any

import pytest

from spec_tests.expected_errors import check_error
from spec_tests.matching import Matcher
from spec_tests.schema import ExpectedError
from wiredrv import errors
from wiredrv.server_errors import command_error

REPLY = {"ok": 0, "code": 11601, "codeName": "Interrupted", "errmsg": "operation was interrupted", "errorLabels": ["L"]}
SERVER = command_error(REPLY)
NETWORK = errors.NetworkTimeout("the server is silent", error_labels=["RetryableWriteError"])
BULK = errors.BulkWriteError(
    {
        "writeErrors": [{"index": 1, "code": 11000, "errmsg": "E11000 duplicate key"}],
        "writeConcernErrors": [{"code": 64, "errmsg": "waiting for replication timed out"}],
        "nInserted": 1,
        "nUpserted": 0,
        "nMatched": 0,
        "nModified": 0,
        "nRemoved": 0,
        "upserted": [],
    }
)
NOT_PRIMARY = command_error({"ok": 0, "code": 10107, "errmsg": "not primary"})


class _ClientBulk(errors.OperationFailure):
    def __init__(self) -> None:
        super().__init__("bulk")
        self.error = errors.AutoReconnect("gone")
        self.write_errors = [{"idx": 0, "code": 11000, "errmsg": "dup"}]
        self.write_concern_errors = [{"code": 91, "errmsg": "shutting down"}]


CLIENT_BULK = _ClientBulk()
RESULT = {
    "deletedCount": 0,
    "insertedCount": 1,
    "matchedCount": 0,
    "modifiedCount": 0,
    "upsertedCount": 0,
    "upsertedIds": {},
}


@pytest.mark.parametrize(
    "expected, error",
    [
        ({"isError": True}, SERVER),
        ({"isClientError": False}, SERVER),
        ({"isClientError": False}, NOT_PRIMARY),
        ({"isClientError": True}, NETWORK),
        ({"isClientError": True}, errors.InvalidOperation("no")),
        ({"isClientError": True}, CLIENT_BULK),
        ({"isTimeoutError": True}, NETWORK),
        ({"isTimeoutError": False}, SERVER),
        ({"errorContains": "WAS interrupted"}, SERVER),
        ({"errorContains": "replication timed"}, BULK),
        ({"errorCode": 11601, "errorCodeName": "interrupted"}, SERVER),
        ({"errorCode": 11000}, BULK),
        ({"errorCodeName": "WriteConcernFailed"}, BULK),
        ({"errorCode": 10107}, NOT_PRIMARY),
        ({"errorLabelsContain": ["L"], "errorLabelsOmit": ["M"]}, SERVER),
        ({"errorResponse": {"code": 11601, "ok": 0}}, SERVER),
        ({"expectResult": RESULT}, BULK),
        ({"expectResult": {"$$unsetOrMatches": RESULT}}, SERVER),
        ({"writeErrors": {"0": {"code": 11000}}, "writeConcernErrors": [{"code": 91}]}, CLIENT_BULK),
        ({"writeErrors": {"0": {"message": "dup"}}}, CLIENT_BULK),
    ],
)
def test_an_error_that_is_as_expected(expected: Any, error: BaseException) -> None:
    assert check_error(ExpectedError.read(expected, "e"), error, Matcher(), "e") is None


@pytest.mark.parametrize(
    "expected, error, path",
    [
        ({"isClientError": True}, SERVER, "e.isClientError"),
        ({"isClientError": False}, NETWORK, "e.isClientError"),
        ({"isTimeoutError": True}, SERVER, "e.isTimeoutError"),
        ({"isTimeoutError": False}, NETWORK, "e.isTimeoutError"),
        ({"errorContains": "other"}, SERVER, "e.errorContains"),
        ({"errorCode": 1}, SERVER, "e.errorCode"),
        ({"errorCode": 65}, BULK, "e.errorCode"),
        ({"errorCode": 1}, NETWORK, "e.errorCode"),
        ({"errorCodeName": "Other"}, SERVER, "e.errorCodeName"),
        ({"errorLabelsContain": ["L", "M"]}, SERVER, "e.errorLabelsContain[1]"),
        ({"errorLabelsOmit": ["RetryableWriteError"]}, NETWORK, "e.errorLabelsOmit[0]"),
        ({"errorResponse": {"code": 1}}, SERVER, "e.errorResponse.code"),
        ({"errorResponse": {"code": 1}}, NETWORK, "e.errorResponse"),
        ({"expectResult": {**RESULT, "insertedCount": 2}}, BULK, "e.expectResult.insertedCount"),
        ({"expectResult": RESULT}, SERVER, "e.expectResult"),
        ({"writeErrors": {"1": {}}}, CLIENT_BULK, "e.writeErrors"),
        ({"writeErrors": {"0": {"code": 1}}}, CLIENT_BULK, "e.writeErrors.0.code"),
        ({"writeConcernErrors": []}, CLIENT_BULK, "e.writeConcernErrors"),
        ({"writeErrors": {"0": {}}}, SERVER, "e.writeErrors"),
    ],
)
def test_an_error_that_differs_names_the_key_path(expected: Any, error: BaseException, path: str) -> None:
    found = check_error(ExpectedError.read(expected, "e"), error, Matcher(), "e")
    assert found is not None
    assert found.path == path
