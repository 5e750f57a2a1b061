"""Fresh databases: their names, and dropping them whatever a test has left in them.

An open transaction locks the collections that it has used, and a drop waits for it. So the drop is given little time;
if it does not succeed, the server is asked who holds locks on the database, and those sessions are killed.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from uuid import UUID

from bson.binary import Binary

from wiredrv.description import TopologyType
from wiredrv.errors import DriverError, InvalidOperation, OperationFailure
from wiredrv.sync import Client, Database
from wiredrv.types import PlainDocument
from wiredrv.waits import monotonic

_LONGEST_HINT = 24
#: Seconds that a drop may wait for locks before their holders are killed, and that all of it may take.
_PATIENCE, _WITHIN = 0.25, 15.0
_PAUSE = 0.05
#: More collections than this are dropped together: one by one takes less time only where there are few.
_FEW = 8
_LSID = re.compile(r'UUID\("([0-9a-f-]{36})"\).*?BinData\(0, ([0-9A-F]{64})\)')


def fresh_name(test: str) -> str:
    """A name for a database that no other test has, in this run or another.

    :param test: the test's name: the beginning of it is in the name, for whoever looks at the server.
    """
    hint = re.sub(r"[^A-Za-z0-9_]+", "_", test.removeprefix("test_"))[:_LONGEST_HINT].strip("_")
    return f"test_{hint or 'database'}_{secrets.token_hex(6)}"


def drop(client: Client[PlainDocument], name: str) -> None:
    """Drop a database. It is dropped also where a transaction that uses it was left open: this is aborted.

    :raises InvalidOperation: it could not be dropped in time, or the user may not do it.
    """
    deadline = monotonic() + _WITHIN
    database = client[name]
    while True:
        try:
            return _try(client, database, round(_PATIENCE * 1000))
        except DriverError as error:
            if monotonic() > deadline or not (error.timeout or _may_pass(error)):
                raise InvalidOperation(f"the test's database {name} could not be dropped: {error}") from error
        _kill_holders(client, name)


def _may_pass(error: DriverError) -> bool:
    return not isinstance(error, OperationFailure) or error.has_error_label("RetryableWriteError")


def _try(client: Client[PlainDocument], database: Database[PlainDocument], patience_ms: int) -> None:
    names = [found["name"] for found in database.list_collections(nameOnly=True, authorizedCollections=True)]
    if not names:
        return
    brief: PlainDocument = {"writeConcern": {"w": 1}, "maxTimeMS": patience_ms}
    if len(names) <= _FEW and not _is_sharded(client) and not any(name.startswith("system.") for name in names):
        # Dropping a database waits until its collections are gone on most members. Nobody reads them there any more.
        for name in names:
            database.command({"drop": name, **brief})
    database.command({"dropDatabase": 1, **brief})


def _is_sharded(client: Client[PlainDocument]) -> bool:
    return client.topology_description.topology_type in (TopologyType.SHARDED, TopologyType.LOAD_BALANCED)


def _kill_holders(client: Client[PlainDocument], name: str) -> None:
    """Kill the sessions that have locks on the database: those of transactions that were left open."""
    try:
        locks = client.admin.command("lockInfo")["lockInfo"]
    except DriverError:
        time.sleep(_PAUSE)
        return  # a router, a user without the right to ask, or no primary at the moment
    sessions = {lsid for lock in locks if _is_of(str(lock.get("resourceId")), name) for lsid in _holders(lock)}
    if sessions:
        lsids = [{"id": Binary.from_uuid(UUID(key)), "uid": bytes.fromhex(uid)} for key, uid in sorted(sessions)]
        client.admin.command("killAllSessionsByPattern", [{"lsid": lsid} for lsid in lsids])


def _is_of(resource: str, name: str) -> bool:
    """Whether a resource, as ``{5181210005077332819: Database, 569523986649944915, shop}``, is the database."""
    return bool(re.search(rf": Database, \d+, {re.escape(name)}\}}", resource))


def _holders(lock: PlainDocument) -> Iterator[tuple[str, str]]:
    for granted in lock.get("granted", ()):
        if match := _LSID.search(str(granted.get("debugInfo"))):
            yield match[1], match[2]


class Leftovers:
    """The databases that a test was given.

    :param client: drops them.
    """

    def __init__(self, client: Client[PlainDocument]) -> None:
        self._client = client
        self._names: list[str] = []

    def fresh(self, test: str) -> str:
        """A fresh name; the database is dropped after the test."""
        self._names.append(fresh_name(test))
        return self._names[-1]

    def drop(self) -> None:
        """Drop them all."""
        while self._names:
            drop(self._client, self._names.pop())
