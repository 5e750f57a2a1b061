"""Operations of sessions. Unified test format specification, "Session Operations"."""

from __future__ import annotations

from typing import Any

from spec_tests import seam
from spec_tests.entities import SessionHandle, transaction_options
from spec_tests.errors import Unsupported
from spec_tests.operations.base import Call, Method, Spec, bind
from spec_tests.schema import Operation
from spec_tests.schema.reader import Fields

_TRANSACTION = frozenset({"readConcern", "writeConcern", "readPreference", "maxCommitTimeMS"})


async def _start_transaction(call: Call) -> None:
    start = seam.method(call.target.session, "start_transaction")
    await seam.settle(start(**transaction_options(call.arguments)))


def _ending(name: str) -> Spec:
    async def run(call: Call) -> None:
        await Method((name,))(call, call.target.session)

    return Spec(run, frozenset({"timeoutMS"}))


async def _end_session(call: Call) -> None:
    handle: SessionHandle = call.target
    if handle.lsid is None and seam.has_introspection("session_lsid"):
        handle.known_lsid()
    await seam.settle(seam.method(handle.session, "end_session")())


async def _with_transaction(call: Call) -> Any:
    arguments = dict(call.arguments)
    callback = Fields({"callback": arguments.pop("callback")}, "callback").array("callback", Operation.read)
    timeout = {"timeoutMS": arguments.pop("timeoutMS")} if "timeoutMS" in arguments else {}

    async def run(session: Any) -> None:
        for index, operation in enumerate(callback):
            await call.run.execute(operation, f"callback[{index}]", propagate=True)

    function = seam.method(call.target.session, "with_transaction")
    return await function(run, **transaction_options(arguments), **bind(function, timeout, {}))


async def _snapshot_time(call: Call) -> Any:
    if not hasattr(type(call.target.session), "snapshot_time"):
        raise Unsupported("ClientSession.snapshot_time", "the driver has no such attribute")
    return call.target.session.snapshot_time


OPERATIONS = {
    "abortTransaction": _ending("abort_transaction"),
    "commitTransaction": _ending("commit_transaction"),
    "endSession": Spec(_end_session, frozenset()),
    "getSnapshotTime": Spec(_snapshot_time, frozenset()),
    "startTransaction": Spec(_start_transaction, _TRANSACTION),
    "withTransaction": Spec(_with_transaction, _TRANSACTION | {"callback", "timeoutMS"}, frozenset({"callback"})),
}
