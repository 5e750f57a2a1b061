"""Operations of clients. Unified test format specification, "Client Operations"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spec_tests import seam
from spec_tests.entities import ClientHandle
from spec_tests.errors import RunnerError
from spec_tests.operations import results
from spec_tests.operations.base import Call, Method, Spec, spec
from spec_tests.operations.collection import change_stream
from spec_tests.operations.models import write_models


def _owner(handle: ClientHandle) -> Any:
    return handle.client


async def _append_metadata(call: Call) -> None:
    options: Mapping[str, Any] = call.arguments["driverInfoOptions"]
    unknown = set(options) - {"name", "version", "platform"}
    if unknown:
        raise RunnerError(f"driverInfoOptions has no key {', '.join(sorted(unknown))}")
    append = seam.method(call.target.client, "append_metadata")
    info = seam.public("DriverInfo")(options["name"], options.get("version"), options.get("platform"))
    await seam.settle(append(info))


OPERATIONS = {
    "appendMetadata": Spec(_append_metadata, frozenset({"driverInfoOptions"}), frozenset({"driverInfoOptions"})),
    "clientBulkWrite": spec(
        Method(("bulk_write",), convert={"models": write_models}, result=results.client_bulk_write),
        _owner,
        "ordered bypassDocumentValidation let verboseResults",
        "models",
    ),
    "close": spec(Method(("close",)), _owner),
    "createChangeStream": change_stream(),
    "dropDatabase": spec(Method(("drop_database",), {"database": "name_or_database name"}), _owner, "", "database"),
    "listDatabaseNames": spec(Method(("list_database_names",)), _owner, "filter nameOnly authorizedDatabases"),
    "listDatabaseObjects": spec(Method(("list_database_objects",)), _owner, "filter"),
    "listDatabases": spec(Method(("list_databases",), rows=True), _owner, "filter nameOnly authorizedDatabases"),
}
