"""Writing a method: its body calls that of the asynchronous object."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tools.synchronous.plan import HOMES, LOCKED, OPENED, PARENTS
from tools.synchronous.signatures import annotation, name_of, passed, sync_name
from tools.synchronous.words import reworded


def method_lines(owner: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """The lines of a method of a synchronous class, from the one of the asynchronous class."""
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    yield from (f"    @{decorator}" for decorator in decorators)
    returns = annotation(ast.unparse(node.returns)) if node.returns is not None else "None"
    yield f"    def {sync_name(node.name)}({annotation(ast.unparse(node.args))}) -> {returns}:"
    if "overload" in decorators:
        yield "        ...\n"
        return
    document = ast.get_docstring(node, clean=False)
    if document:
        yield f'        """{reworded(document)}"""'
    yield from (f"        {line}" for line in _body(owner, node, decorators, returns))
    yield ""


def _body(
    owner: str, node: ast.FunctionDef | ast.AsyncFunctionDef, decorators: list[str], returns: str
) -> Iterator[str]:
    if any(decorator.endswith(".setter") for decorator in decorators):
        argument = node.args.args[1].arg
        yield f"self._inner.{node.name} = {argument}"
        return
    if "property" in decorators:
        if isinstance(node, ast.AsyncFunctionDef):
            yield f"return self._threads.run(self._inner.{node.name})"
        else:
            yield from _property(owner, node.name, returns)
        return
    call = f"self._inner.{node.name}"
    arguments = passed(node.args)
    waits = isinstance(node, ast.AsyncFunctionDef)
    if node.name == "__aiter__":
        yield "return self"
        return
    if node.name == "__getattr__":
        yield 'if name == "_inner":'
        yield "    raise AttributeError(name)"
    if waits:
        value = f"self._threads.run({call}({arguments}))"
    elif node.name in LOCKED:
        value = f"self._threads.call({', '.join(filter(None, (call, arguments)))})"
    else:
        value = f"{call}({arguments})"
    if not waits and node.returns is not None and name_of(ast.unparse(node.returns)) in OPENED:
        value = f"self._threads.run(awaited({value}))"
    if sync_name(node.name) in ("__next__", "next") and waits:
        yield "try:"
        yield f"    return {_converted(owner, value, returns)}"
        yield "except StopAsyncIteration:"
        yield "    raise StopIteration from None"
    elif returns in ("None", "NoReturn"):
        yield value
    elif returns == "Self":
        yield from _self(owner, node.name, value)
    else:
        yield f"return {_converted(owner, value, returns)}"


def _self(owner: str, name: str, value: str) -> Iterator[str]:
    if name in ("__getitem__", "__getattr__"):
        yield f"return type(self)({value}, self._parent)"
    else:
        yield value
        yield "return self"


def _property(owner: str, name: str, returns: str) -> Iterator[str]:
    if name == "session":
        yield "return self._owner._session_of(self._inner.session)"
    elif (owner, name) in (("CollectionBase", "database"), ("Database", "client"), ("ClientSession", "client")):
        yield f'return cast("{returns}", self._parent)'
    else:
        yield f"return self._inner.{name}"


def _converted(owner: str, value: str, returns: str) -> str:
    listed = re.fullmatch(r"list\[(\w+)\b(.*)\]", returns)
    if listed and listed[1] in HOMES:
        parent = PARENTS.get((owner, listed[1]), "self")
        return f"[{listed[1]}(found, {parent}) for found in {value}]"
    name = name_of(returns)
    if name not in HOMES:
        return value
    parent = PARENTS.get((owner, name), "self")
    if owner == "CollectionBase" and name == "Collection":
        return f'cast("Collection[Any]", type(self)({value}, {parent}))'
    return f"{name}({value}, {parent})"
