"""The table of operations: for each kind of entity, the format's names and how each is carried out.

``find_operation`` is the only way in. A name that is not in the table is an error in the file (RunnerError); a method
or an argument that the driver lacks is noticed by inspecting the driver, and makes the test unsupported.

Unified test format specification, "Entity Test Operations".
"""

from __future__ import annotations

from collections.abc import Mapping

from spec_tests.errors import RunnerError
from spec_tests.operations import bucket, client, collection, cursor, database, session, special
from spec_tests.operations.base import Call, Spec

__all__ = ["TABLE", "Call", "Spec", "find_operation"]

TABLE: Mapping[str, Mapping[str, Spec]] = {
    "client": client.OPERATIONS,
    "database": database.OPERATIONS,
    "collection": collection.OPERATIONS,
    "session": session.OPERATIONS,
    "cursor": cursor.OPERATIONS,
    "bucket": bucket.OPERATIONS,
    "testRunner": special.OPERATIONS,
}


def find_operation(kind: str, name: str) -> Spec:
    """The operation ``name`` of an entity of ``kind``."""
    spec = TABLE.get(kind, {}).get(name)
    if spec is None:
        raise RunnerError(f"a {kind} has no operation {name!r}")
    return spec
