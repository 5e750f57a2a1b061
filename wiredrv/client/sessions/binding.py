"""``session.bind()``: which session the calls of a block use when they name none.

A context variable carries the binding, and a child task inherits a copy of it, by which two tasks would use the session
without an explicit decision.

Rules kept here:

* A binding belongs to its task. A call in another task raises an error that says how to pass the session on, unless the
  binding was made with ``inherit=True``, and its block is not left yet. It never runs without the session instead.
* A binding ends with its block in its own task, also when the block is left from another context: an async generator
  that is left early is closed in another context, which cannot reset the variable here. So each binding refers to the
  one around it.
* Blocks may be left in any order: leaving one does not affect the others.
"""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING

from wiredrv import waits
from wiredrv.errors import InvalidOperation
from wiredrv.session.state import SessionState
from wiredrv.session.turns import task_name

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession


class Binding:
    """A session that is bound in a task, for the block of ``bind()``; or the absence of one, for ``unbound()``.

    :param session: the session, or None.
    :param inherit: whether tasks that are started in the block may use it.
    :param origin: where in the user's program the binding was made.
    """

    __slots__ = ("_task", "inherit", "left", "origin", "outer", "session", "task_name")

    def __init__(self, session: ClientSession | None = None, inherit: bool = False, origin: str = "") -> None:
        self.session = session
        self.inherit = inherit
        self.origin = origin
        task: object = waits.current_task()
        # There is no task if `unbound()` is around an event loop.
        self._task = None if task is None else weakref.ref(task)
        self.task_name = task_name(task)
        self.left = False
        #: The binding that was in force where this one was made.
        self.outer = _current()
        _binding.set(self)

    def leave(self) -> None:
        """The block ends. May be called twice."""
        self.left = True
        _current()

    @property
    def is_own(self) -> bool:
        """Whether it was made in the running task."""
        return (None if self._task is None else self._task()) is waits.current_task()


_binding: ContextVar[Binding | None] = ContextVar("wiredrv_binding", default=None)


def _current() -> Binding | None:
    """The innermost binding of this task whose block has not ended; others are dropped."""
    innermost = found = _binding.get()
    while found is not None and found.left and found.is_own:
        found = found.outer
    if found is not innermost:
        _binding.set(found)
    return found


def bound_state(owner: object) -> SessionState | None:
    """The session that is bound here, if any.

    :raises InvalidOperation: the binding was inherited from another task without ``inherit=True``, or its block was
        left; or its session is another client's, or has ended.
    """
    if _binding.get() is None:
        return None
    binding = _current()
    if binding is None or binding.session is None:
        return None
    return _checked(binding, binding.session, owner)._state


def bound_session(owner: object) -> ClientSession | None:
    """The session that is bound here, if any, for objects that keep it.

    :raises InvalidOperation: as of :func:`bound_state`.
    """
    binding = _current()
    return None if binding is None or binding.session is None else _checked(binding, binding.session, owner)


def bound_transaction(owner: object) -> ClientSession | None:
    """The bound session, where a transaction is in progress in it.

    :raises InvalidOperation: as of :func:`bound_state`.
    """
    binding = _current()
    if binding is None or binding.session is None or not binding.session.in_transaction:
        return None
    return _checked(binding, binding.session, owner)


def bound_around(owner: object) -> SessionState | None:
    """The causally consistent session that is bound here, for one that is started within its block; None if there is
    none that can be used.
    """
    binding = _current()
    if binding is None or binding.session is None or not (binding.is_own or (binding.inherit and not binding.left)):
        return None
    state = binding.session._state
    return state if state.owner is owner and not state.ended and state.options.causal_consistency else None


def opened_at(session: ClientSession) -> str:
    """Where in the user's program a session was started."""
    return session._state.origin


def _checked(binding: Binding, session: ClientSession, owner: object) -> ClientSession:
    if not binding.is_own and (binding.left or not binding.inherit):
        raise InvalidOperation(_not_inherited(binding))
    state = session._state
    if state.owner is not owner:
        raise InvalidOperation(
            "the bound session belongs to another client: pass session= for this call, or run it in "
            "`with wiredrv.unbound():`"
        )
    if state.ended:
        raise InvalidOperation(
            f"Cannot use ended session: the one that is bound here, at {binding.origin}, was ended inside its block; "
            "leave the block first, or run the call in `with wiredrv.unbound():`"
        )
    return session


def _not_inherited(binding: Binding) -> str:
    name = task_name(waits.current_task())
    if waits.backend() == "threads":
        return _not_inherited_by_thread(binding, name)
    if binding.inherit:
        return (
            f"task {name!r} inherited the binding that task {binding.task_name!r} made with inherit=True at "
            f"{binding.origin}, and its block was left: what was done in the session is over. Let the block wait for "
            "the tasks that it starts; to run calls without the session, use `with wiredrv.unbound():`."
        )
    return (
        f"task {name!r} inherited a session that is bound in task {binding.task_name!r}, at {binding.origin}; a "
        "binding serves one task. To hand the session over, write `async with session.bind(end_session=False):` in "
        "this task and let the other wait; to let every task that the block starts use it, bind with "
        "`session.bind(inherit=True)` or `client.transaction(inherit=True)`; to run calls without it, `with "
        "wiredrv.unbound():`. If asyncio.wait_for() made this task, asyncio.timeout() or anyio.fail_after() set the "
        "same limit without one."
    )


def _not_inherited_by_thread(binding: Binding, name: str) -> str:
    if binding.inherit:
        return (
            f"thread {name!r} inherited the binding that thread {binding.task_name!r} made with inherit=True at "
            f"{binding.origin}, and its block was left: what was done in the session is over. Let the block wait for "
            "the threads that it starts; to run calls without the session, use `with unbound():`."
        )
    return (
        f"thread {name!r} inherited, with a copy of the context (as asyncio.to_thread() makes one), a session that is "
        f"bound in thread {binding.task_name!r}, at {binding.origin}; a binding serves one thread. To hand the session "
        "over, write `with session.bind(end_session=False):` in this thread and let the other wait; to let every "
        "thread that gets the context use it, bind with `session.bind(inherit=True)` or "
        "`client.transaction(inherit=True)`; to run calls without it, `with unbound():`."
    )
