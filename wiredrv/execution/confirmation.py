"""The first operations of a session that was started after causal tokens.

Before the first one is sent, the tokens are judged (``session.after``): where one is later than what the client knows,
the primary is asked once, with an operation of its own, for :data:`ASK_SECONDS` at most. That operation never carries
the cluster time of a token, except that routers get one which was verified and which a server signed.

The time of a token may be confirmed, and a secondary still behind it, or a majority of the members. Until one operation
of the session has succeeded, a read that may go to a secondary, or has read concern ``majority``, therefore ends after
:data:`WAIT_SECONDS`, unless it has a time limit of its own. If all members that it may go to have come far enough, it
was slow for another reason and is sent again without that limit.
(The limit is kept here and not by ``maxTimeMS``, which the server would apply to the cursor's whole life.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from bson.timestamp import Timestamp

from wiredrv import waits
from wiredrv.concerns import ReadMode
from wiredrv.description import ServerType, TopologyType
from wiredrv.errors import DriverError, InvalidToken, OperationFailure, OperationTimeout
from wiredrv.events import CausalTokenIgnoredEvent
from wiredrv.execution.run import Run
from wiredrv.execution.time_limit import earlier, milliseconds
from wiredrv.failures import FailureKind, kind_of
from wiredrv.listeners import ListenerHub
from wiredrv.operations.base import Limits, Operation, OperationKind, Target
from wiredrv.operations.confirmation import AskMember, AskPrimary, AskShards
from wiredrv.server_facts import MAX_WIRE_VERSION, ErrorCode
from wiredrv.session.after import After, Judgement, judge
from wiredrv.session.cluster_time import ClusterClock, ClusterTime
from wiredrv.session.options import SessionOptions
from wiredrv.session.server_session import ServerSession
from wiredrv.session.state import SessionState
from wiredrv.session.tokens import deployment_label
from wiredrv.topology.selection import suitable_servers
from wiredrv.topology.topology import Topology
from wiredrv.types import Address, TimeLimit
from wiredrv.waits import monotonic, running_loop

T = TypeVar("T")

#: Seconds for which the deployment is asked whether it has reached a token's time.
ASK_SECONDS = 5.0
#: Seconds for which a read without a time limit waits for a secondary to reach a token's time.
WAIT_SECONDS = 30.0
#: Seconds for which one member is asked how far it has come.
_MEMBER_SECONDS = 2.0

_ENDINGS = (OperationKind.COMMIT, OperationKind.ABORT)
_ROUTED = (TopologyType.SHARDED, TopologyType.LOAD_BALANCED)
_REFUSED_TIMES = (
    ErrorCode.TimeProofMismatch,
    ErrorCode.ClusterTimeFailsRateLimiter,
    ErrorCode.CannotVerifyAndSignLogicalTime,
    ErrorCode.KeyNotFound,
)
_ANY_LIMITS = Limits(MAX_WIRE_VERSION, 16 * 1024 * 1024, 48_000_000, 100_000)
#: What the staleness of members is estimated with here, in seconds.
_HEARTBEAT = 10.0


class Asking:
    """A question to the primary that is under way: sessions that need its answer at the same time share it."""

    __slots__ = ("answered", "done", "place")

    def __init__(self) -> None:
        self.answered = False
        #: For those who wait; the first of them makes it.
        self.done: waits.Event | None = None
        #: Nobody will answer it in another event loop, or in a process that was forked meanwhile.
        self.place = _place()


def _place() -> tuple[int, object]:
    return os.getpid(), running_loop()


class Executes(Protocol):
    """What is needed of an executor."""

    topology: Topology
    clock: ClusterClock
    hub: ListenerHub
    asking: Asking | None

    async def execute(self, operation: Operation[T], session: SessionState | None = None) -> T:
        """Execute an operation."""
        ...

    async def drive(self, run: Run[T]) -> T:
        """Make the attempts of an operation."""
        ...

    def acquire(self) -> ServerSession:
        """A server session."""
        ...

    def release(self, session: ServerSession) -> None:
        """Give a server session back."""
        ...


def report_ignored(
    hub: ListenerHub, lsid: Mapping[str, object], problem: InvalidToken, time: Timestamp | None = None
) -> None:
    """Publish that a token is treated as absent.

    :param time: its operation time, if the token could be read.
    """
    if hub.session:
        hub.publish(hub.session, CausalTokenIgnoredEvent(lsid, problem.reason, str(problem), time))


async def drive_after(executor: Executes, run: Run[T], limit: TimeLimit | None) -> T:
    """Make the attempts of an operation in a session that was started after tokens.

    :param limit: the operation's time limit, which has started.
    :raises InvalidToken: a token cannot be used, and the session does not ignore such tokens.
    :raises OperationTimeout: the time limit ended while the primary was asked; or the members that may answer have not
        reached the time of a token.
    """
    session = run.session
    if session is None or session.after is None or not _waits_for_times(run, session):
        return await executor.drive(run)
    if session.after.confirmed is None and not session.after.unanswered:
        await _confirm(executor, run, session, session.after, limit)
    after = session.after
    time = None if after is None else after.confirmed
    bounded = time is not None and _may_wait(executor, run)
    result = await (_wait_for(executor, run, time) if bounded and time is not None else executor.drive(run))
    if after is not None and after.unanswered:
        after.confirmed = None
    else:
        session.after = None
    return result


def _waits_for_times(run: Run[object], session: SessionState) -> bool:
    """Whether the operation gets ``afterClusterTime``."""
    traits = run.traits
    if traits.kind is OperationKind.HOUSEKEEPING or traits.kind in _ENDINGS:
        return False
    return run.in_transaction or traits.accepts_cluster_time


# --- whether the deployment has reached the time ---


async def _confirm(
    executor: Executes, run: Run[object], session: SessionState, after: After, limit: TimeLimit | None
) -> None:
    if after.refusal is not None:
        raise InvalidToken(str(after.refusal), after.refusal.reason)
    judged = _judge(executor, after)
    still_open = judged.open
    trouble: InvalidToken | None = None
    cause: DriverError | None = None
    try:
        judged = await _ask(executor, after, judged, run.operation.name, limit)
    except _Unanswered as unanswered:
        trouble, cause = unanswered.problem, unanswered.cause
    judged = judged.closed(_known(executor), trouble)
    if judged.refused and after.refuse:
        problem = judged.refused[0][1]
        if problem.reason != "unavailable":
            after.refusal = InvalidToken(str(problem), problem.reason)
        try:
            raise problem from cause
        finally:
            del problem, cause, trouble, judged
    session.after = None
    for token, problem in judged.refused:
        report_ignored(executor.hub, session.lsid, problem, token.operation_time)
    if trouble is not None and trouble.reason == "unavailable":
        session.after = after = After(still_open, refuse=False, unanswered=True)
    if judged.accepted is not None:
        session.advance_operation_time(judged.accepted)
        after.confirmed = judged.accepted
        session.after = after


def _known(executor: Executes) -> Timestamp | None:
    latest = executor.clock.latest
    return None if latest is None else latest["clusterTime"]


def _judge(executor: Executes, after: After) -> Judgement:
    return judge(after.tokens, deployment_label(executor.topology.description), _known(executor))


class _Unanswered(Exception):
    """The question was not answered."""

    def __init__(self, problem: InvalidToken, cause: DriverError) -> None:
        super().__init__()
        self.problem = problem
        self.cause = cause


async def _ask(executor: Executes, after: After, judged: Judgement, command: str, limit: TimeLimit | None) -> Judgement:
    """Ask the primary, or a router and then the shards, if tokens are later than what is known.

    :raises _Unanswered: there was no answer.
    """
    seconds = ASK_SECONDS
    if executor.topology.socket_timeout is not None:
        seconds = min(seconds, executor.topology.socket_timeout)
    own = TimeLimit(seconds, monotonic() + seconds)
    target = Target("admin", limit=own if limit is None or limit.until is None else earlier(limit, own))
    questions: tuple[Operation[None], ...] = (AskPrimary(target), AskShards(target))
    for question in questions:
        routed = executor.topology.description.topology_type in _ROUTED
        if not judged.open or (question.name != "ping" and not routed):
            break
        # A replica set's primary knows its own time. One router of several learns it from the cluster time.
        gossip = judged.gossip if routed and question.name == "ping" else None
        try:
            if routed:
                await _execute(executor, question, gossip)
            else:
                await _ask_together(executor, question, lambda: not _judge(executor, after).open)
        except DriverError as error:
            if limit is not None and limit.until is not None and monotonic() >= limit.until:
                raise OperationTimeout(
                    f"{command!r} was not sent: its time limit of {milliseconds(limit)} went to asking whether the "
                    "deployment has reached the time of the causal token that its session was started after"
                ) from error
            if kind_of(error) is FailureKind.REFUSED_HERE:
                raise
            if gossip is None or not _refuses_time(error):
                raise _Unanswered(_unavailable(error), error) from None
            foreign = InvalidToken("this causal token was signed by another deployment's servers", "foreign")
            raise _Unanswered(foreign, error) from None
        judged = _judge(executor, after)
    return judged


def _refuses_time(error: DriverError) -> bool:
    return isinstance(error, OperationFailure) and error.code in _REFUSED_TIMES


def _unavailable(error: DriverError) -> InvalidToken:
    text = f"whether the deployment has reached the time of this causal token could not be found out: {error}"
    return InvalidToken(text, "unavailable")


async def _ask_together(executor: Executes, question: Operation[None], known: Callable[[], bool]) -> None:
    """Ask the primary, or wait for an answer that another session gets: one question at a time is under way.

    The answer to a question that was sent before this call may be too early, so that the next one counts.

    :param known: whether the answers so far are enough.
    """
    counts = False
    limit = question.target.limit
    while (other := executor.asking) is not None and other.place == _place():
        if other.done is None:
            other.done = waits.Event()
        with waits.move_on_after(limit.until - monotonic() if limit is not None and limit.until is not None else None):
            await other.done.wait()
        if executor.asking is other:
            raise OperationTimeout("the primary did not answer the question of another session in time")
        if known() or (counts and other.answered):
            return
        counts = True
    asking = executor.asking = Asking()
    try:
        await executor.execute(question)
        asking.answered = True
    finally:
        if executor.asking is asking:
            executor.asking = None
        if asking.done is not None:
            asking.done.set()


async def _execute(executor: Executes, question: Operation[None], gossip: ClusterTime | None) -> None:
    if gossip is None:
        await executor.execute(question)
        return
    # In a session of its own: if servers refuse the cluster time, no other command has it.
    carrier = SessionState(SessionOptions(causal_consistency=False), executor.acquire(), executor)
    carrier.advance_cluster_time(gossip)
    try:
        await executor.execute(question, carrier)
    finally:
        carrier.end(lambda: executor.release(carrier.server_session))


# --- whether members have ---


def _may_wait(executor: Executes, run: Run[object]) -> bool:
    """Whether the operation may wait for a secondary, without a limit of its own."""
    if run.traits.kind is not OperationKind.READ or run.in_transaction or run.deadline is not None:
        return False
    if executor.topology.socket_timeout is not None:
        return False
    direct = executor.topology.description.topology_type is TopologyType.SINGLE
    if run.read_preference.mode is ReadMode.PRIMARY and not direct and not _reads_majority(run):
        return False
    return "maxTimeMS" not in run.operation.command(_ANY_LIMITS)


def _reads_majority(run: Run[object]) -> bool:
    return run.operation.target.read_concern.level == "majority"


async def _wait_for(executor: Executes, run: Run[T], time: Timestamp) -> T:
    run.limit_to(TimeLimit(WAIT_SECONDS, monotonic() + WAIT_SECONDS, on_server=False))
    spent = run.spent
    try:
        return await executor.drive(run)
    except DriverError as error:
        if not error.timeout or spent is None or not spent.attempts:
            raise
        behind = await _behind(executor, run, time)
        if behind:
            raise OperationTimeout(
                f"{run.operation.name!r} was not answered within {WAIT_SECONDS:.0f} seconds: "
                f"{', '.join(map(str, behind))} is not known to have reached {time}"
                f"{' on a majority of members' if _reads_majority(run) else ''}, the operation time of the causal "
                "token that its session was started after; try again, "
                f"{'' if _reads_majority(run) else 'read from the primary, '}or give the operation a time limit of its "
                "own (timeout_ms)"
            ) from error
    run.deadline = run.spent = None
    return await executor.drive(run)


async def _behind(executor: Executes, run: Run[object], time: Timestamp) -> list[Address]:
    """The servers that the operation may go to and that are not known to have reached a time."""
    behind: list[Address] = []
    majority = _reads_majority(run)
    for server in suitable_servers(executor.topology.description, run.read_preference, _HEARTBEAT):
        if server.server_type is ServerType.RS_PRIMARY and not majority:
            continue
        limit = TimeLimit(_MEMBER_SECONDS, monotonic() + _MEMBER_SECONDS)
        try:
            reached = await executor.execute(AskMember(Target("admin", limit=limit), server.address, majority))
        except DriverError as error:
            if kind_of(error) is FailureKind.REFUSED_HERE:
                raise
            reached = None
        if reached is None or reached < time:
            behind.append(server.address)
    return behind
