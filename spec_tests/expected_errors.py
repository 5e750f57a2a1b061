"""Whether the error of an operation is the one that the test expects. Pure.

Unified test format specification, "expectedError", with the special rules of "bulkWrite" and "clientBulkWrite".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from spec_tests import seam
from spec_tests.matching import MISSING, Matcher, Mismatch, join
from spec_tests.operations import results
from spec_tests.schema import ExpectedError

# The server's names of the codes that tests ask for by name; write errors carry the number alone.
CODE_NAMES = {
    11: "UserNotFound",
    13: "Unauthorized",
    24: "LockTimeout",
    26: "NamespaceNotFound",
    50: "MaxTimeMSExpired",
    64: "WriteConcernFailed",
    79: "UnknownReplWriteConcern",
    91: "ShutdownInProgress",
    100: "UnsatisfiableWriteConcern",
    112: "WriteConflict",
    121: "DocumentValidationFailure",
    189: "PrimarySteppedDown",
    246: "SnapshotUnavailable",
    251: "NoSuchTransaction",
    263: "OperationNotSupportedInTransaction",
    280: "ChangeStreamFatalError",
    322: "APIVersionError",
    323: "APIStrictError",
    324: "APIDeprecationError",
    10107: "NotWritablePrimary",
    11000: "DuplicateKey",
    11601: "Interrupted",
}


def check_error(expected: ExpectedError, error: BaseException, matcher: Matcher, path: str) -> Mismatch | None:
    """Compare an error with everything that the test asserts about it."""
    for check in _CHECKS:
        found = check(expected, error, matcher, path)
        if found is not None:
            return found
    return None


def _kind(expected: ExpectedError, error: Any, matcher: Matcher, path: str) -> Mismatch | None:
    judged = _top(error)
    if expected.is_client_error is not None:
        is_client = not seam.is_server_error(judged)
        if is_client is not expected.is_client_error:
            return _mismatch(path, "isClientError", expected.is_client_error, is_client, error)
    if expected.is_timeout_error is not None:
        is_timeout = bool(getattr(judged, "timeout", False))
        if is_timeout is not expected.is_timeout_error:
            return _mismatch(path, "isTimeoutError", expected.is_timeout_error, is_timeout, error)
    return None


def _text(expected: ExpectedError, error: Any, matcher: Matcher, path: str) -> Mismatch | None:
    wanted = expected.error_contains
    if wanted is None:
        return None
    texts = [str(_top(error)), *(str(entry.get("errmsg", "")) for entry in _documents(error))]
    if any(wanted.lower() in text.lower() for text in texts):
        return None
    return _mismatch(path, "errorContains", wanted, texts, error)


def _code(expected: ExpectedError, error: Any, matcher: Matcher, path: str) -> Mismatch | None:
    codes = [entry["code"] for entry in _documents(error) if "code" in entry]
    own = getattr(_top(error), "code", None)
    if own is not None and not _is_bulk(error):
        codes.insert(0, own)
    if expected.error_code is not None and expected.error_code not in codes:
        return _mismatch(path, "errorCode", expected.error_code, codes, error)
    wanted = expected.error_code_name
    if wanted is not None:
        names = [str(entry["codeName"]) for entry in _documents(error) if "codeName" in entry]
        names += [CODE_NAMES[code] for code in codes if code in CODE_NAMES]
        if wanted.lower() not in {name.lower() for name in names}:
            return _mismatch(path, "errorCodeName", wanted, names or codes, error)
    return None


def _labels(expected: ExpectedError, error: Any, matcher: Matcher, path: str) -> Mismatch | None:
    labels = seam.labels_of(error)
    for index, label in enumerate(expected.error_labels_contain):
        if label not in labels:
            return _mismatch(path, f"errorLabelsContain[{index}]", label, labels, error)
    for index, label in enumerate(expected.error_labels_omit):
        if label in labels:
            return _mismatch(path, f"errorLabelsOmit[{index}]", f"not {label}", labels, error)
    return None


def _response(expected: ExpectedError, error: Any, matcher: Matcher, path: str) -> Mismatch | None:
    if expected.error_response is None:
        return None
    details = getattr(_top(error), "details", None)
    actual = details if isinstance(details, Mapping) and details else MISSING
    return matcher.match(expected.error_response, actual, join(path, "errorResponse"), root=True)


def _write_errors(expected: ExpectedError, error: Any, matcher: Matcher, path: str) -> Mismatch | None:
    if expected.write_errors is not None:
        actual = {str(entry.get("idx", entry.get("index"))): entry for entry in _entries(error, "write_errors")}
        where = join(path, "writeErrors")
        if set(actual) != set(expected.write_errors):
            return _mismatch(path, "writeErrors", sorted(expected.write_errors), sorted(actual), error)
        for index, wanted in expected.write_errors.items():
            found = matcher.match(wanted, _renamed(actual[index]), join(where, index), root=True)
            if found is not None:
                return found
    if expected.write_concern_errors is not None:
        entries = [_renamed(entry) for entry in _entries(error, "write_concern_errors")]
        where = join(path, "writeConcernErrors")
        return matcher.match_rows(list(expected.write_concern_errors), entries, where)
    return None


def _result(expected: ExpectedError, error: Any, matcher: Matcher, path: str) -> Mismatch | None:
    if not expected.has_expect_result:
        return None
    return matcher.match(expected.expect_result, _partial_result(error), join(path, "expectResult"), root=True)


_CHECKS: tuple[Callable[[ExpectedError, Any, Matcher, str], Mismatch | None], ...] = (
    _kind,
    _text,
    _code,
    _labels,
    _response,
    _write_errors,
    _result,
)


def _top(error: Any) -> Any:
    """The error to check: a client bulk write error has the one that ended it in ``error``."""
    inner = getattr(error, "error", None)
    return inner if isinstance(inner, BaseException) else error


def _is_bulk(error: Any) -> bool:
    details = getattr(error, "details", None)
    return isinstance(details, Mapping) and "writeErrors" in details and "nInserted" in details


def _documents(error: Any) -> Iterator[Mapping[str, Any]]:
    """The server's documents in an error: its reply, and, for a bulk write, each individual error."""
    details = getattr(_top(error), "details", None)
    if not isinstance(details, Mapping):
        return
    if not _is_bulk(error):
        yield details
    for key in ("writeErrors", "writeConcernErrors"):
        for entry in details.get(key) or ():
            if isinstance(entry, Mapping):
                yield entry
    concern = details.get("writeConcernError")
    if isinstance(concern, Mapping):
        yield concern


def _entries(error: Any, name: str) -> list[Any]:
    return list(getattr(error, name, None) or ())


def _renamed(entry: Any) -> Mapping[str, Any]:
    """A write error with the format's key names; it may be a document or an object."""
    if not isinstance(entry, Mapping):
        details = getattr(entry, "details", None)
        entry = {"code": getattr(entry, "code", None), "errmsg": str(entry), **(details or {})}
    message = {"message": entry["errmsg"]} if "errmsg" in entry else {}
    details = {"details": entry["errInfo"]} if "errInfo" in entry else {}
    return {**entry, **message, **details}


def _partial_result(error: Any) -> Any:
    partial = getattr(error, "partial_result", None)
    if partial is not None:
        of_client = hasattr(type(partial), "insert_results")
        return results.client_bulk_write(partial) if of_client else results.bulk_write(partial)
    if _is_bulk(error) and not hasattr(type(error), "write_concern_errors"):
        return results.bulk_write_error(error.details)
    return MISSING


def _mismatch(path: str, key: str, wanted: Any, actual: Any, error: BaseException) -> Mismatch:
    message = f"expected {wanted!r}, not {actual!r}, of {type(error).__name__}: {error}"
    return Mismatch(join(path, key), message, wanted, actual)
