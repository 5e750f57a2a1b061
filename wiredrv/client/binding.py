"""``session.bind()``: which session the calls of a block use when they name none.

A context variable carries the binding, and a child task inherits a copy of it, in which the session would be used by
two tasks at once without anybody having said so. So a binding remembers its task, and a call in another one is refused
with the way to hand the session over.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wiredrv import waits
from wiredrv.errors import InvalidOperation
from wiredrv.session.state import SessionState
from wiredrv.session.turns import task_name

if TYPE_CHECKING:
    from wiredrv.client.client_session import ClientSession


@dataclass(frozen=True, slots=True)
class Binding:
    """A session and the task that it is bound in."""

    session: ClientSession
    state: SessionState
    task_id: int
    task_name: str


_binding: ContextVar[Binding | None] = ContextVar("wiredrv_binding", default=None)


def bind(session: ClientSession, state: SessionState) -> Binding | None:
    """Bind a session in this task; returns what was bound before, for :func:`restore`."""
    previous = _binding.get()
    task = waits.current_task()
    _binding.set(Binding(session, state, id(task), task_name(task)))
    return previous


def unbind() -> Binding | None:
    """Bind nothing; returns what was bound before, for :func:`restore`."""
    previous = _binding.get()
    _binding.set(None)
    return previous


def restore(previous: Binding | None) -> None:
    """Put back what was bound before."""
    _binding.set(previous)


def bound_state(owner: object) -> SessionState | None:
    """The session that is bound here, if any.

    :raises InvalidOperation: the binding was inherited from another task, or its session is another client's.
    """
    binding = _binding.get()
    return None if binding is None else _checked(binding, owner).state


def bound_transaction(owner: object) -> ClientSession | None:
    """The bound session, where a transaction is in progress in it.

    :raises InvalidOperation: as of :func:`bound_state`.
    """
    binding = _binding.get()
    if binding is None or not binding.state.transaction.active:
        return None
    return _checked(binding, owner).session


def opened_at(session: ClientSession) -> str:
    """Where in the user's program a session was started."""
    return session._origin


def _checked(binding: Binding, owner: object) -> Binding:
    task = waits.current_task()
    if id(task) != binding.task_id:
        name = task_name(task)
        raise InvalidOperation(
            f"task {name!r} inherited a session that is bound in task {binding.task_name!r}; a session serves one "
            "task at a time. To hand it over, write `async with session.bind(end_session=False):` in this task and let "
            "the other wait; to run calls without it, `with wiredrv.unbound():`. If asyncio.wait_for() made this task, "
            "asyncio.timeout() or anyio.fail_after() set the same limit without one."
        )
    if binding.state.owner is not owner:
        raise InvalidOperation(
            "the bound session belongs to another client: pass session= for this call, or run it in "
            "`with wiredrv.unbound():`"
        )
    return binding
