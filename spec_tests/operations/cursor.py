"""Operations of cursors and change streams. Unified test format specification, "Cursor Operations"."""

from __future__ import annotations

from typing import Any

from spec_tests import seam
from spec_tests.operations.base import Call, Method, Spec


async def _iterate_until_document(call: Call) -> Any:
    return await seam.method(call.target.cursor, "next", "__anext__")()


async def _iterate_once(call: Call) -> Any:
    return await seam.method(call.target.cursor, "try_next")()


async def _close(call: Call) -> None:
    try:
        await Method(("close",))(call, call.target.cursor)
    except seam.OPERATION_ERRORS:
        pass  # only the events show the reply to killCursors


OPERATIONS = {
    "close": Spec(_close, frozenset({"timeoutMS"})),
    "iterateOnce": Spec(_iterate_once, frozenset()),
    "iterateUntilDocumentOrError": Spec(_iterate_until_document, frozenset()),
}
