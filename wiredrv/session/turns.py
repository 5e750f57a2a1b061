"""Operations of one session take turns, in the order of the calls. Pure: the executor does the waiting.

A turn lasts one operation, with its retries and its clean-up; it may be passed to a background task that cleans up
after a cancellation. A waiting operation belongs to the transaction in which it was called, or to none, and never runs
outside of that. The rules:

=====================================================  ==============================================================
the session ended                                      refused, including calls that already wait
a commit or an abort was called before                 refused until that is done; cleaning up waits for it
the caller holds the turn itself (a listener, a hook)  refused: it would wait for itself
no operation is in flight                              gets the turn immediately
another operation is in flight                         waits; with ``overlap="refuse"`` refused
its transaction ended while it waited                  refused
its transaction became abort-only while it waited      refused, but for the commit, which then aborts
=====================================================  ==============================================================

Specification: sessions, "Why must drivers not detect" concurrent use of a session: with turns there is none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

from wiredrv.errors import InvalidOperation, OperationFailure
from wiredrv.session.transaction import Transaction


def ended(origin: str, command: str = "") -> str:
    """The message for the use of a session that has ended.

    :param origin: where in the user's program the session was started.
    :param command: the name of the command that was called.
    """
    which = f"the one that was started at {origin} has ended" if origin else "it has ended"
    if command == "getMore":
        return (
            f"Cannot use ended session: {which}, and no cursor that was opened with it can be read any further; read "
            "cursors to their end (to_list() does) before that. If another task reads this one, let the block of the "
            "session, or of client.transaction(), wait for that task"
        )
    return f"Cannot use ended session: {which}; start a new one with client.start_session()"


class Purpose(Enum):
    """The purpose of a call, for the turns of its session."""

    STATEMENT = "a statement"
    #: A commit or an abort: no statement may follow it until it is done.
    ENDING = "the end of a transaction"
    #: Sent by the driver itself: it never belongs to a transaction.
    HOUSEKEEPING = "housekeeping"
    #: An abort that is always executed, whatever else was called; also in a session that has ended.
    CLEAN_UP = "cleaning up"


#: The purposes that end a transaction. (A constant, since each access to a member of an enum costs a call.)
_ENDS = (Purpose.ENDING, Purpose.CLEAN_UP)


class Turn:
    """The place of one call in the queue. ``refusal`` is set instead of ``granted`` if the call must not run any more.

    ``wake`` is called when either is set, if the call is waiting. ``handed_over``: a background task finishes it.
    """

    __slots__ = ("command", "granted", "handed_over", "purpose", "refusal", "task", "transaction", "wake")

    def __init__(self, command: str, purpose: Purpose, task: object, transaction: int | None) -> None:
        self.command = command
        self.purpose = purpose
        self.task = task
        #: The number of the transaction that the call belongs to.
        self.transaction = transaction
        self.granted = False
        self.handed_over = False
        self.refusal: InvalidOperation | None = None
        self.wake: Callable[[], None] | None = None


def task_name(task: object) -> str:
    """The name of an asyncio or trio task, for messages."""
    get_name = getattr(task, "get_name", None)
    return str(get_name() if get_name is not None else getattr(task, "name", task))


class Turns:
    """The operation that uses a session, and those that wait for it."""

    __slots__ = ("_ending", "_on_idle", "_origin", "_transaction", "_waiting", "closed", "current", "overlap")

    def __init__(self, transaction: Transaction, overlap: str = "wait") -> None:
        self._transaction = transaction
        #: The call that has the turn.
        self.current: Turn | None = None
        self._waiting: deque[Turn] = deque()
        #: The commit or abort that was called and is not done.
        self._ending: Turn | None = None
        self._on_idle: Callable[[], None] | None = None
        self._origin = ""
        self.overlap = overlap
        #: Whether the session has ended.
        self.closed = False

    @property
    def busy(self) -> bool:
        """Whether an operation is in flight. If none is, none is waiting."""
        return self.current is not None

    @property
    def ending(self) -> bool:
        """Whether a commit or an abort was called and is not done."""
        return self._ending is not None

    @property
    def cleaning_up(self) -> bool:
        """Whether an abort with the purpose CLEAN_UP has the turn, or waits for it."""
        current = self.current
        turns = self._waiting if current is None else (current, *self._waiting)
        return any(turn.purpose is Purpose.CLEAN_UP for turn in turns)

    def enter(self, command: str, purpose: Purpose, task: object) -> Turn:
        """Take the turn, or a place in the queue: ``granted`` says which.

        :param task: the running task.
        :raises InvalidOperation: the call is refused by the rules above.
        """
        transaction = self._transaction
        turn = Turn(command, purpose, task, transaction.number if transaction.active else None)
        if self.current is None and not self.closed:
            turn.granted = True
            self.current = turn
        else:
            self._queue(turn, self.current)
        if purpose in _ENDS:
            self._ending = turn
        return turn

    def _queue(self, turn: Turn, current: Turn | None) -> None:
        if turn.purpose is not Purpose.CLEAN_UP:
            if self.closed:
                raise InvalidOperation(ended(self._origin, turn.command))
            assert current is not None
            self._refuse(turn, current)
        if current is None:
            turn.granted = True
            self.current = turn
        else:
            self._waiting.append(turn)

    def _refuse(self, turn: Turn, current: Turn) -> None:
        if current.task is turn.task and not current.handed_over:
            raise InvalidOperation(
                f"{turn.command!r} was called while {current.command!r} runs in the same task with the same session "
                "(from a listener, a hook or a decoder): it would wait for itself; call it afterwards, or without the "
                "session"
            )
        if self._ending is not None and turn.purpose is not Purpose.HOUSEKEEPING:
            raise InvalidOperation(
                f"{turn.command!r} was called after {self._ending.command!r}, which is not done yet: await the end of "
                "the transaction before the session's next operation"
            )
        if self.overlap == "refuse":
            raise InvalidOperation(
                f"a session carries one operation at a time: task {task_name(turn.task)!r} starts {turn.command!r} "
                f"while task {task_name(current.task)!r} still runs {current.command!r} with it; give each task a "
                "session of its own, or await one operation before the next (this session was started with "
                "overlap='refuse')"
            )

    def failed(self, turn: Turn, error: BaseException) -> None:
        """A statement failed, or was cancelled, in its turn or while it waited.

        One that was cancelled makes its transaction abort-only. So does one that failed while a commit waits behind it,
        unless the server refused it, and thereby ended the transaction.
        """
        transaction = self._transaction
        if turn.purpose is not Purpose.STATEMENT or turn.transaction != transaction.number:
            return
        if not isinstance(error, Exception):
            transaction.doom(turn.command)
        elif self._ending is not None and not isinstance(error, OperationFailure):
            transaction.doom(turn.command, error)

    def leave(self, turn: Turn) -> None:
        """An operation is done, or was abandoned while it waited. May be called twice."""
        if turn is self._ending:
            self._ending = None
        if turn is not self.current:
            if turn in self._waiting:
                self._waiting.remove(turn)
            return
        self.current = None
        while self._waiting and self.current is None:
            self._admit(self._waiting.popleft())
        if self.current is None and self._on_idle is not None:
            on_idle, self._on_idle = self._on_idle, None
            on_idle()

    def hand_over(self, turn: Turn) -> None:
        """A background task finishes the operation: its caller may continue, also with this session."""
        turn.handed_over = True
        if turn is self._ending:
            self._ending = None

    def _admit(self, turn: Turn) -> None:
        """Give the turn to a call that waited, or refuse it."""
        refusal = None if turn.purpose is Purpose.CLEAN_UP else self._late_refusal(turn)
        if refusal is not None:
            self._turn_down(turn, refusal)
            return
        turn.granted = True
        self.current = turn
        if turn.wake is not None:
            turn.wake()

    def _late_refusal(self, turn: Turn) -> str | None:
        if self.closed:
            return f"the session ended while {turn.command!r} waited for its turn"
        transaction = self._transaction
        if turn.purpose is not Purpose.STATEMENT:
            return None
        now = transaction.number if transaction.active else None
        if now != turn.transaction:
            return f"the transaction in which {turn.command!r} was called ended while it waited for its turn"
        if transaction.doomed:
            return f"{turn.command!r} waited for its turn behind a statement that was given up: abort the transaction"
        return None

    def _turn_down(self, turn: Turn, refusal: str) -> None:
        if turn is self._ending:
            self._ending = None
        turn.refusal = InvalidOperation(refusal)
        if turn.wake is not None:
            turn.wake()

    def refuse_waiting(self, why: str) -> None:
        """Refuse the waiting operations, except housekeeping and clean-up: their transaction's block was left by an
        error.

        :param why: how the message ends, after the command's name.
        """
        kept: deque[Turn] = deque()
        for turn in self._waiting:
            if turn.purpose is Purpose.HOUSEKEEPING or turn.purpose is Purpose.CLEAN_UP:
                kept.append(turn)
            else:
                self._turn_down(turn, f"{turn.command!r} {why}")
        self._waiting = kept

    def close(self, on_idle: Callable[[], None], origin: str = "") -> None:
        """The session ends: refuse the waiting operations and all later calls.

        :param on_idle: called once no operation is in flight: now, or when the last one is done.
        :param origin: where the session was started, for the errors of later calls.
        """
        self.closed = True
        self._origin = origin
        self.refuse_waiting("waited for its turn in a session that was ended")
        if self.current is None:
            on_idle()
        else:
            self._on_idle = on_idle
