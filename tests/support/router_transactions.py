"""What one router double knows about its clients' transactions, and which of their commands it accepts. Pure.

The rules, as recorded from a mongos:

* A transaction continues only where it was started. Statements of an unknown one are refused as transient.
* A commit of an unknown transaction needs a recovery token, with which the router looks up the outcome on the shard; an
  empty token says that there is nothing to lose.
* An abort of an unknown transaction is refused and changes nothing.
* Replies carry a recovery token: an empty one until something was written. A failed statement's reply has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.support.router_errors import TRANSIENT, failure

_TOO_OLD, _NO_SUCH, _STARTED_ALREADY, _NO_TOKEN = 225, 251, 117, 50940
_COUNTED_WRITES = frozenset({"insert", "update", "delete"})


class Passage(Enum):
    """How a command that is not refused is handled."""

    FORWARD = "send it on"
    RECOVER = "look the outcome up"


@dataclass
class _Known:
    number: int
    started: bool
    recovered: bool = False
    wrote: bool = False


class RouterTransactions:
    """The transactions of all sessions that this router has seen; ``shard`` names the one shard behind it."""

    def __init__(self, shard: str) -> None:
        self._shard = shard
        self._known: dict[bytes, _Known] = {}

    def admit(self, command: Mapping[str, Any]) -> Passage | dict[str, Any]:
        """How a command with ``autocommit`` is handled if it is accepted; else the reply that refuses it."""
        session, number = _session(command), int(command["txnNumber"])
        known = self._known.get(session)
        last = known.number if known is not None else -1
        shown = f"session {session.hex()}"
        if number < last:
            return failure(_TOO_OLD, f"txnNumber {number} is less than last txnNumber {last} seen in {shown}")
        if command.get("startTransaction"):
            if number == last:
                return failure(_STARTED_ALREADY, f"txnNumber {number} for {shown} already started")
            self._known[session] = _Known(number, started=True)
            return Passage.FORWARD
        is_commit = "commitTransaction" in command
        if known is None or number > last:
            if not is_commit:
                return _refusal(f"cannot continue txnId {last} for {shown} with txnId {number}")
            known = self._known[session] = _Known(number, started=False)
        if known.started:
            return Passage.FORWARD
        if is_commit:
            return self._recover(known, command.get("recoveryToken"))
        if known.recovered and "abortTransaction" in command:
            return Passage.FORWARD
        return _refusal("no known command has been sent by this router for this transaction")

    @staticmethod
    def _recover(known: _Known, token: Mapping[str, Any] | None) -> Passage | dict[str, Any]:
        if token is None:
            return failure(_NO_TOKEN, "Cannot recover the transaction decision without a recoveryToken")
        if "recoveryShardId" not in token:
            return _refusal("Recovery token is empty: the transaction only read, and can be tried again")
        known.recovered = True
        return Passage.RECOVER

    def token(self, command: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, Any] | None:
        """Record the shard's reply; returns the recovery token to add to it, if any."""
        known = self._known.get(_session(command))
        name = next(iter(command))
        ending = name in ("commitTransaction", "abortTransaction")
        if known is None or not (reply.get("ok") or ending):
            return None
        known.wrote = known.wrote or _has_written(name, reply)
        return {"recoveryShardId": self._shard} if known.wrote else {}


def _has_written(name: str, reply: Mapping[str, Any]) -> bool:
    if not reply.get("ok"):
        return False
    if name in _COUNTED_WRITES:
        return bool(reply.get("n"))
    if name.lower() == "findandmodify":
        return bool((reply.get("lastErrorObject") or {}).get("n"))
    return name in ("create", "createIndexes", "bulkWrite")


def _session(command: Mapping[str, Any]) -> bytes:
    return bytes(command["lsid"]["id"])


def _refusal(message: str) -> dict[str, Any]:
    return failure(_NO_SUCH, message, [TRANSIENT])
