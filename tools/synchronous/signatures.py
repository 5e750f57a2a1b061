"""Names, annotations and arguments: what the synchronous ones are for those of an asynchronous method."""

from __future__ import annotations

import ast
import re


def annotation(text: str) -> str:
    """An annotation of the synchronous face."""
    return text.replace("AsyncIterator", "Iterator").replace("OpeningGridOut", "GridOut")


def sync_name(name: str) -> str:
    """The synchronous name of a method."""
    return {"__aiter__": "__iter__", "__anext__": "__next__", "__aexit__": "__exit__"}.get(name, name)


def name_of(returns: str) -> str:
    """The class in an annotation, without what it is parametrized with."""
    return returns.partition("[")[0]


def passed(arguments: ast.arguments) -> str:
    """The arguments of a method as they are passed on."""
    parts = [given(argument) for argument in arguments.args[1:]]
    if arguments.vararg is not None:
        parts.append(f"*map(wrapped, {arguments.vararg.arg})")
    parts += [f"{argument.arg}={given(argument)}" for argument in arguments.kwonlyargs]
    if arguments.kwarg is not None:
        parts.append(f"**{arguments.kwarg.arg}")
    return ", ".join(parts)


def given(argument: ast.arg) -> str:
    """An argument as it is passed on: an object of this face as the one that it wraps."""
    kind = ast.unparse(argument.annotation) if argument.annotation is not None else ""
    if kind == "ClientSession | None":
        return f"None if {argument.arg} is None else session_of({argument.arg})"
    return f"wrapped({argument.arg})" if re.search(r"\b(Collection|Database)\[", kind) else argument.arg
