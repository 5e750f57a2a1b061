"""What operations are made of: their specification, the call, and the binding of arguments to the driver's methods.

An argument becomes a keyword: its PyMongo spelling where the method has that parameter, else the command's own option
name where the method passes such options on. Arguments that only a driver can honour (``timeoutMS``...) are never
passed on as options of a command.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from spec_tests import seam
from spec_tests.capture import Trace
from spec_tests.entities import EntityMap, SessionHandle, concern
from spec_tests.environment import Environment
from spec_tests.errors import RunnerError, Unsupported
from spec_tests.matching import Matcher
from spec_tests.schema import Entity, Operation

# Arguments for the driver itself: a server has no such option, or a different one.
_DRIVER_ARGUMENTS = frozenset({"timeoutMS", "timeoutMode", "cursorType", "maxAwaitTimeMS", "rawData", "session"})
_COMMON = ("session", "timeoutMS", "rawData", "comment", "readConcern", "writeConcern", "readPreference")


class RunningTest(Protocol):
    """The part of a running test that its operations use."""

    @property
    def environment(self) -> Environment:
        """What all tests of the run share."""
        ...

    @property
    def entities(self) -> EntityMap:
        """The test's entities, by their ids."""
        ...

    @property
    def trace(self) -> Trace:
        """Every command of every client, in order."""
        ...

    @property
    def matcher(self) -> Matcher:
        """The matching rules over the test's entities."""
        ...

    @property
    def fail_points(self) -> list[tuple[str, str]]:
        """The fail points to switch off at the end of the test: the address of a server, and a name."""
        ...

    async def create_entity(self, model: Entity) -> None:
        """Create an entity while the test runs."""
        ...

    async def execute(self, operation: Operation, path: str = "", *, propagate: bool = False) -> None:
        """Carry out an operation that is part of another."""
        ...


@dataclass(slots=True)
class Call:
    """One operation to be carried out: on which entity, with which arguments, in which test."""

    run: RunningTest
    target: Any
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spec:
    """One row of the table.

    :param run: carries the operation out.
    :param arguments: the names of the arguments that the operation may have.
    :param required: those that it must have.
    :param rows: its result is an iterable of documents, each matched as a root document.
    """

    run: Callable[[Call], Awaitable[Any]]
    arguments: frozenset[str]
    required: frozenset[str] = frozenset()
    rows: bool = False

    def check(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Refuse arguments that the operation does not have, and a call that lacks a required one."""
        unknown = set(arguments) - self.arguments
        if unknown:
            raise RunnerError(f"{name} has no argument {', '.join(sorted(unknown))}")
        lacking = self.required - set(arguments)
        if lacking:
            raise RunnerError(f"{name} lacks the argument {', '.join(sorted(lacking))}")


@dataclass(frozen=True, slots=True)
class Method:
    """How an operation of the format becomes a call of one of the driver's methods.

    :param names: the method's names, the first that exists is taken.
    :param renames: an argument's keyword, if it is not just its name in snake case.
    :param convert: converts an argument's value, if it is not passed unchanged.
    :param result: makes a document of what the method returned.
    :param options_in_snake_case: ``**kwargs`` of the method take the driver's names, not the command's.
    """

    names: tuple[str, ...]
    renames: Mapping[str, str] = field(default_factory=dict)
    convert: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    result: Callable[[Any], Any] | None = None
    rows: bool = False
    options_in_snake_case: bool = False

    async def __call__(self, call: Call, owner: Any) -> Any:
        seam.method(owner, *self.names)  # a missing method is the better reason
        keywords = resolve(call, self.convert)
        with seam.time_limit(keywords):
            return await self._call(owner, keywords)

    async def _call(self, owner: Any, keywords: dict[str, Any]) -> Any:
        target, keywords = _with_concerns(owner, self.names, keywords)
        function = seam.method(target, *self.names)
        value = function(**self.bind(function, keywords))
        if self.rows:
            return await seam.rows(value)
        value = await seam.settle(value)
        return self.result(value) if self.result is not None else value

    def bind(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The keywords that ``function`` takes for ``arguments``."""
        return bind(function, arguments, self.renames, snake_options=self.options_in_snake_case)


def spec(method: Method, owner: Callable[[Any], Any], arguments: str = "", required: str = "") -> Spec:
    """A row that calls a method of the driver. ``arguments`` and ``required`` are names, separated by spaces."""

    async def run(call: Call) -> Any:
        return await method(call, owner(call.target))

    names = frozenset(arguments.split()) | frozenset(required.split()) | frozenset(_COMMON)
    return Spec(run, names, frozenset(required.split()), method.rows)


def resolve(call: Call, convert: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """The arguments with sessions and concerns as objects ("Special Handling for Arguments")."""
    resolved = {}
    for name, value in call.arguments.items():
        if name == "session":
            resolved[name] = call.run.entities.get(value, SessionHandle).session
        elif name == "timeoutMode":
            resolved[name] = snake(value)
        elif name in convert:
            resolved[name] = convert[name](value)
        else:
            resolved[name] = concern(name, value)
    return resolved


def bind(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    renames: Mapping[str, str],
    *,
    snake_options: bool = False,
) -> dict[str, Any]:
    """Find the keyword for each argument by asking the function's signature."""
    bound: dict[str, Any] = {}
    for name, value in arguments.items():
        spellings = [*renames.get(name, "").split(), snake(name), name]
        keyword = next((s for s in spellings if seam.accepts(function, s)), None)
        as_option = seam.accepts(function, name) is None and (snake_options or name not in _DRIVER_ARGUMENTS)
        as_option = as_option and seam.passes_on(function, spellings[0] if snake_options else name)
        if keyword is None and not as_option:
            owner = getattr(function, "__self__", None)
            prefix = f"{type(owner).__name__}." if owner is not None else ""
            raise Unsupported(f"argument {name}", f"{prefix}{function.__name__} has no such parameter")
        bound[keyword or (spellings[0] if snake_options else name)] = value
    return bound


def snake(name: str) -> str:
    """``maxTimeMS`` as ``max_time_ms``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _with_concerns(owner: Any, names: tuple[str, ...], keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Concerns that the method has no parameter for are set on a copy of the collection or database."""
    function = seam.method(owner, *names)
    ours = {snake(n): v for n, v in keywords.items() if n in ("readConcern", "writeConcern", "readPreference")}
    on_copy = {n: v for n, v in ours.items() if not seam.accepts(function, n)}
    if not on_copy:
        return owner, keywords
    copy = seam.method(owner, "with_options")(**on_copy)
    return copy, {n: v for n, v in keywords.items() if snake(n) not in on_copy}


def pairs(value: Any) -> Any:
    """A document of sort keys, index keys or a hint as the list of pairs that drivers in Python take."""
    return list(value.items()) if isinstance(value, Mapping) else value
