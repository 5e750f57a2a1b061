"""What a cancelled operation may leave behind, and where to look for it: the servers, the pools, the event loop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

import anyio
import anyio.to_thread

import wiredrv
from tests.support.waiting import PATIENCE
from wiredrv import _introspect
from wiredrv.local import ReplicaSet, Server

_INTERVAL = 0.01
#: How many samples of a count are enough to be sure of it.
_SETTLED = 5


def _counters(server: Server) -> dict[str, int]:
    status = server.ask({"serverStatus": 1})
    cursors = status["metrics"]["cursor"]["open"]
    return {
        # A cursor that is not being read is idle. The secondaries' cursors on the oplog are nearly always pinned.
        "open cursors": int(cursors["total"]) - int(cursors["pinned"]),
        "open transactions": int(status["transactions"]["currentOpen"]),
    }


def _details(server: Server, namespace: str) -> list[Any]:
    pipeline = [{"$currentOp": {"idleCursors": True, "allUsers": True, "idleSessions": True}}]
    command = {"aggregate": 1, "pipeline": pipeline, "cursor": {"batchSize": 1000}}
    found = server.ask({**command, "$readPreference": {"mode": "nearest"}})["cursor"]["firstBatch"]
    return [op for op in found if str(op.get("ns", "")).startswith(namespace) or op.get("transaction")]


async def counters(deployment: ReplicaSet) -> dict[str, dict[str, int]]:
    """Each member's own count of open cursors and open transactions."""
    return {
        str(server.address): await anyio.to_thread.run_sync(partial(_counters, server))
        for server in deployment.members
        if server.running
    }


@dataclass(frozen=True)
class State:
    """What was open before."""

    servers: dict[str, dict[str, int]]
    tasks: int


class LeakWatch:
    """Compares what is open now with what was open before. Servers' own cursors (replication) are part of both."""

    def __init__(self, deployment: ReplicaSet, client: wiredrv.Client, namespace: str) -> None:
        self._deployment = deployment
        self._client = client
        self._namespace = namespace
        self._before: State | None = None

    async def remember(self) -> None:
        """Record what is open now as what must be open afterwards: for each count the minimum of a few samples."""
        tasks = await settled_tasks()
        looks = [await counters(self._deployment) for _ in range(_SETTLED)]
        least = {
            server: {what: min(look[server][what] for look in looks) for what in counts}
            for server, counts in looks[0].items()
        }
        self._before = State(least, tasks)

    async def check(self, when: str) -> None:
        """Fail unless everything is as before within a deadline, and the client works."""
        before = self._before
        assert before is not None, "remember() comes first"
        deadline = monotonic() + PATIENCE
        while True:
            problems = self._compare(before, await self._measure())
            if not problems:
                break
            if monotonic() > deadline:
                raise AssertionError(f"{when}: {'; '.join(problems)}\n{await self._explain()}")
            await anyio.sleep(_INTERVAL)
        assert (await self._client["admin"].command("ping"))["ok"] == 1, f"{when}: the client does not work any longer"

    async def _measure(self) -> State:
        return State(await counters(self._deployment), len(anyio.get_running_tasks()))

    def _compare(self, before: State, now: State) -> list[str]:
        problems = [
            f"{server}: {count} {what}, before {before.servers[server][what]}"
            for server, counts in now.servers.items()
            for what, count in counts.items()
            if count > before.servers[server][what]
        ]
        if now.tasks > before.tasks:
            problems.append(f"{now.tasks} tasks, before {before.tasks}")
        in_use = _introspect.checked_out(self._client)
        if in_use:
            problems.append(f"{in_use} connections checked out")
        return problems

    async def _explain(self) -> str:
        found = [
            f"{server.address}: {await anyio.to_thread.run_sync(partial(_details, server, self._namespace))}"
            for server in self._deployment.members
        ]
        tasks = ", ".join(sorted(str(task.name) for task in anyio.get_running_tasks()))
        return "\n".join([*found, f"tasks: {tasks}"])


async def settled_tasks() -> int:
    """The number of tasks, once it has stopped changing."""
    count, same = len(anyio.get_running_tasks()), 0
    deadline = monotonic() + PATIENCE
    while same < 2 * _SETTLED and monotonic() < deadline:
        await anyio.sleep(_INTERVAL)
        now = len(anyio.get_running_tasks())
        same = same + 1 if now == count else 0
        count = now
    return count
