"""One case: a client, a deployment that misbehaves, some operations, the recovery, and the checks."""

from __future__ import annotations

import gc
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

import wiredrv
from tests.fuzz import operations, sessions
from tests.fuzz.answers import Commit
from tests.fuzz.chance import Chance
from tests.fuzz.clock import make_repeatable
from tests.fuzz.deployment import Deployment, Plan
from tests.fuzz.operations import Call, Scene, Transaction
from tests.fuzz.options import CODECS, client_options
from tests.fuzz.transport import FuzzDialer
from tests.fuzz.watch import Sessions, inspected, left_behind, tasks, trace, where
from wiredrv.errors import UNKNOWN_COMMIT_RESULT, DriverError

#: Seconds of virtual time that one operation may take: all of its attempts, with the limits of ``options``.
_LONGEST = 60.0
#: Seconds of virtual time after which a client whose peer has recovered must have recovered too.
_RECOVERY = 60.0
#: Seconds of virtual time within which the background finishes what was handed to it.
_BACKGROUND = 15.0

_KINDS = {"replica set": 5, "standalone": 1, "sharded": 2, "balanced": 1}
_WIRE_VERSIONS = (8, 9, 13, 17, 21, 25)


@dataclass(frozen=True)
class Finding:
    """Something that must not happen. Findings of one ``kind`` probably have one cause."""

    number: int
    kind: str
    detail: str


@dataclass
class Result:
    """The result of a case."""

    number: int
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    damages: int = 0

    def found(self, kind: str, detail: str = "") -> None:
        """Record a finding, once for each kind."""
        if all(known.kind != kind for known in self.findings):
            self.findings.append(Finding(self.number, kind, detail))

    def note(self, name: str, outcome: str) -> None:
        """Record the outcome of an operation."""
        self.outcomes.append((name, outcome))
        self.log.append(f"{name} -> {outcome}")


def backend_of(number: int) -> str:
    """The event loop of a case: half of them run on each."""
    return "trio" if number % 2 else "asyncio"


def plan_for(chance: Chance, *, harmless: bool) -> Plan:
    """Draw the deployment and the damage."""
    kind = chance.weighted(_KINDS)
    profile = chance.weighted({"commands": 5, "hellos": 2, "both": 2, "all": 0.5})
    budget = {"command": 0, "hello": 0, "connect": 0}
    rate = {"command": chance.choice((1.0, 0.5, 0.25)), "hello": chance.choice((0.3, 0.6)), "connect": 0.2}
    if profile in ("commands", "both"):
        budget["command"] = chance.randint(1, 3)
    if profile in ("hellos", "both"):
        budget.update(hello=chance.randint(1, 4), connect=chance.randint(0, 2))
    if profile == "all":
        budget["command"], rate["command"] = 40, 0.9
    if harmless:
        budget = {}
    return Plan(
        kind,
        chance.choice(_WIRE_VERSIONS),
        budget,
        rate,
        sockets=chance.maybe(0.15),
        hurry=8 if chance.maybe(0.15) else 0,
    )


class _Case:
    """Everything that a case needs."""

    def __init__(self, seed: int, number: int, out: Sessions, result: Result, *, harmless: bool) -> None:
        def streams(name: str) -> Chance:
            return Chance(seed, number, name)

        self.chance = streams("case")
        self.result = result
        self.out = out
        self.deployment = Deployment(plan_for(self.chance, harmless=harmless), streams)
        self.deployment.record.log = result.log
        self.transactions: list[Transaction] = []
        self.bounded = True

    async def run(self) -> None:
        chance, deployment = self.chance, self.deployment
        client = self._client()
        count = chance.choice((1, 1, 2, 3, 4))
        async with client:
            scene = Scene(client, self._collection(client), chance, None, self.transactions, self._inspect)
            for _ in range(count):
                call = chance.choice(operations.PLAIN if chance.maybe(0.55) else sessions.COMPOUND)
                await self._perform(call, scene)
            if scene.mixed_up:
                self.result.found("the answer to another question", "\n".join(scene.mixed_up))
            self._inspect(client)
            self._inspect(client.topology_description)
            deployment.recover()
            await self._recovery(client)
            await self._quiet(client)
        self._judge_commits()
        self.result.damages = deployment.record.damages
        if deployment.record.nonsense:
            self.result.found("the client sent nonsense", "\n".join(deployment.record.nonsense))

    def _client(self) -> wiredrv.Client:
        chance, deployment = self.chance, self.deployment
        chosen = dict(client_options(chance))
        if deployment.plan.kind == "balanced":
            chosen.pop("serverMonitoringMode", None)
        if chance.maybe(0.06):
            chosen.update(username="ann", password="secret")
        self.bounded = "socketTimeoutMS" in chosen
        listeners: list[Callable[[Any], object]] = [repr] if chance.maybe(0.3) else []
        client = wiredrv.Client(deployment.uri, event_listeners=listeners, **chosen)
        core = client._core
        core._dialer = FuzzDialer(core.settings.net, deployment)
        return client

    def _collection(self, client: wiredrv.Client) -> wiredrv.Collection:
        return client["db"].get_collection("c", codec_options=self.chance.choice(CODECS))

    def _inspect(self, value: Any) -> None:
        inspected(value, self.result.found)

    async def _perform(self, call: Call, scene: Scene) -> None:
        """Run one operation: a value, a DriverError or its caller's deadline; anything else is a finding."""
        name, result, deployment = call.__name__, self.result, self.deployment
        result.log.append(f"{name} ...")
        deadline = _LONGEST if self.bounded else scene.chance.choice((0.0015, 0.5, 3.0))
        started = anyio.current_time()
        scope = anyio.move_on_after(deadline)
        endless = False

        def runaway() -> None:
            nonlocal endless
            endless = True
            scope.cancel()

        deployment.record.commands, deployment.runaway = 0, runaway
        outcome = "cancelled"
        try:
            with scope:
                value = await call(scene)
                outcome = "value"
                self._inspect(value)
        except DriverError as error:
            outcome = type(error).__name__
            self._inspect(error)
        except Exception as error:
            outcome = f"raw {type(error).__name__}"
            result.found(f"raw {where(error)}", f"{name}\n{trace(error)}")
        result.note(name, outcome)
        took = anyio.current_time() - started
        if endless:
            result.found(f"{name} sends commands without end")
        elif took >= deadline + _LONGEST or (self.bounded and outcome == "cancelled"):
            result.found(f"{name} hangs: {took:.0f} s")

    async def _recovery(self, client: wiredrv.Client) -> None:
        """The peer works correctly again: an operation succeeds, and every member is monitored."""
        error: BaseException | None = None
        limit = anyio.current_time() + _RECOVERY
        while anyio.current_time() < limit:
            try:
                with anyio.fail_after(_RECOVERY):
                    await client["db"]["c"].insert_one({"recovered": True})
                break
            except (DriverError, TimeoutError) as failure:
                error = failure
                if self._is_lost(client):
                    self.result.note("recovery", "lost")
                    return
            except Exception as failure:
                self.result.found(f"raw {where(failure)}", f"recovery\n{trace(failure)}")
                return
            await anyio.sleep(0.5)
        else:
            what = where(error) if error is not None else ""
            self.result.found(f"no recovery: {what}", trace(error) if error else "")
            return
        while unseen := self._unseen(client):
            if anyio.current_time() > limit + _RECOVERY:
                self.result.found(f"not watched any longer: {self.deployment.plan.kind}", f"{unseen}")
                return
            await anyio.sleep(1)

    def _is_lost(self, client: wiredrv.Client) -> bool:
        """Whether replies made the client remove all members, as the specification requires: another set's name."""
        return not any(address in client.topology_description.servers for address in self.deployment.members)

    def _unseen(self, client: wiredrv.Client) -> list[str]:
        """The members that the client should know and does not."""
        description = client.topology_description
        wanted = self.deployment.members if self.deployment.plan.kind == "replica set" else description.servers
        return [str(address) for address in wanted if address not in client.nodes]

    async def _quiet(self, client: wiredrv.Client) -> None:
        limit = anyio.current_time() + _BACKGROUND
        while left := left_behind(client, self.out):
            if anyio.current_time() > limit:
                self.result.found(f"left behind: {left}")
                return
            gc.collect()  # objects dropped in a cycle are released by their finalizers
            await anyio.sleep(0.5)

    def _judge_commits(self) -> None:
        for transaction in self.transactions:
            commit = self.deployment.record.commits.get((transaction.session_id, transaction.number))
            for kind in judge_commit(transaction, commit or Commit()):
                error = transaction.error
                self.result.found(kind, f"{transaction}\n{commit}\n{trace(error) if error is not None else ''}")


def judge_commit(transaction: Transaction, commit: Commit) -> list[str]:
    """What is wrong with the reported outcome of a transaction.

    After a commit was sent, nothing may report "aborted" or "committed" without a reply from the server.
    """
    if not commit.came or commit.unsure:
        return []
    found = []
    if not commit.refused and "abort" in transaction.told:
        found.append("a commit that was not refused is said to be aborted")
    if not commit.granted and "commit" in transaction.told:
        found.append("a commit that was not granted is said to be done")
    error, unclear = transaction.error, not commit.refused and not commit.concern
    if isinstance(error, DriverError) and unclear and not error.has_error_label(UNKNOWN_COMMIT_RESULT):
        found.append(f"an unclear commit without its label: {where(error)}")
    return found


async def run_case(seed: int, number: int, out: Sessions, result: Result, *, harmless: bool = False) -> None:
    """Run a case in the event loop that is already running."""
    random.seed(f"{seed}/{number}/driver")
    make_repeatable(f"{seed}/{number}")
    out.clear()
    before = tasks()
    case = _Case(seed, number, out, result, harmless=harmless)
    level = logging.DEBUG if case.chance.maybe(0.05) else logging.NOTSET
    logging.getLogger("wiredrv").setLevel(level)
    try:
        await case.run()
    except Exception as error:
        result.found(f"raw {where(error)}", trace(error))
    finally:
        logging.getLogger("wiredrv").setLevel(logging.NOTSET)
    for _ in range(20):
        if tasks() <= before:
            break
        await anyio.sleep(1)
    else:
        result.found("tasks are left after the client closed", f"{tasks()} and not {before}")
