"""What the span of a failed operation or command says of the error. Pure.

OpenTelemetry specification, "Exceptions" and "Security Implication".
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence

from wiredrv.errors import DriverError, OperationFailure
from wiredrv.server_facts import ErrorCode
from wiredrv.tracing.attributes import Attributes
from wiredrv.types import Reply

#: Instead of the text of an error that may hold a credential.
REDACTED = "(redacted)"

#: Operations for which a collection that does not exist is no failure.
_WITHOUT_COLLECTION = frozenset({"dropCollection", "dropIndexes", "listIndexes"})
#: Operations whose errors are never raised: the server cleans up by itself, sooner or later.
_NEVER_RAISED = frozenset({"abortTransaction", "endSessions", "killCursors", "killSessions"})


def is_expected(operation: object, error: BaseException) -> bool:
    """Whether the caller of an operation does not get its error, so that only the command has failed.

    :param operation: the driver's name of the operation.
    """
    if operation in _NEVER_RAISED:
        return isinstance(error, DriverError)
    code = error.code if isinstance(error, OperationFailure) else None
    return code == ErrorCode.NamespaceNotFound and operation in _WITHOUT_COLLECTION


def exception_attributes(error: BaseException, stack: str = "", *, hidden: bool = False) -> dict[str, str]:
    """What is recorded of an error: of one that may hold a credential, its kind and the places in the source only.

    :param stack: where an error was made that was not raised yet.
    """
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if hidden:
        trace = "".join([stack, *traceback.format_tb(error.__traceback__), f"{name}: {REDACTED}\n"])
    else:
        trace = stack + "".join(traceback.format_exception(error))
    return {
        "exception.type": name,
        "exception.message": _message(error, hidden),
        "exception.stacktrace": trace,
    }


def description(error: BaseException, *, hidden: bool = False) -> str:
    """The status of a failed span, in words."""
    text = _message(error, hidden)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _message(error: BaseException, hidden: bool) -> str:
    try:
        return REDACTED if hidden else str(error)
    except Exception:  # the class's own __str__ failed
        return ""


def status_code(error: BaseException) -> Attributes:
    """The code of a server's error."""
    code = getattr(error, "code", None)
    if code is None:
        # That of a server which is not primary is in its reply.
        details = getattr(error, "details", None)
        code = details.get("code") if isinstance(details, Mapping) else None
    return _code(code)


def refused_writes(reply: Reply) -> Attributes:
    """The code in a reply with ``ok: 1`` to a write that failed: the first statement's, or the write concern's."""
    errors = reply.get("writeErrors")
    entry = errors[0] if isinstance(errors, Sequence) and errors else reply.get("writeConcernError")
    return _code(entry.get("code")) if isinstance(entry, Mapping) else {}


def _code(code: object) -> Attributes:
    return {"db.response.status_code": str(int(code))} if isinstance(code, int) else {}
