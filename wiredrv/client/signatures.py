"""What ``help()`` shows of a method whose options are a TypedDict: each option in its signature and in its docstring.

Rules kept here:

* An option is described once, by a ``:param`` of the TypedDict that declares it; those derived from it inherit that.
* Annotations are shown as they are written, and never evaluated, so that importing stays cheap.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ForwardRef, TypeVar

if sys.version_info >= (3, 12):
    from types import get_original_bases
    from typing import TypedDict
else:  # Until 3.12, a TypedDict does not record its bases.
    from typing_extensions import TypedDict, get_original_bases

__all__ = ["TypedDict", "described_in", "descriptions", "expanded", "in_place_of_options"]

F = TypeVar("F", bound=Callable[..., Any])

#: A ``:param name: ...`` with the indented lines that continue it.
_PARAMETER = re.compile(r"^:param (\w+):.*(?:\n[ \t]+\S.*)*\n?", re.MULTILINE)


class _Written(str):
    """An annotation as it is written. ``inspect`` shows signatures by reprs, and this one has no quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def expanded(options: type[Any], order: Sequence[str] = ()) -> Callable[[F], F]:
    """Show a TypedDict's options in the signature and docstring of a method or class, in place of ``**options``.

    :param order: those that ``*more`` takes by position; they are shown in its place.
    """
    annotations = inspect.get_annotations(options)
    described = descriptions(options)

    def show(function: F) -> F:
        signature = inspect.signature(function)
        own = {
            name: parameter.replace(annotation=_written(parameter.annotation))
            for name, parameter in signature.parameters.items()
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        }
        added = {
            name: inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=_default(annotation), annotation=_written(annotation)
            )
            for name, annotation in annotations.items()
            if name not in own
        }
        all_of_them = {**own, **added}
        placed = {
            name: all_of_them[name].replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
            for name in order
            if name in all_of_them
        }
        shown = sorted({**all_of_them, **placed}.values(), key=lambda parameter: _place(parameter, order, own))
        function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # read by inspect
            shown, return_annotation=_written(signature.return_annotation)
        )
        if function.__doc__ is not None:
            texts = "".join(described.get(name, "") for name in added)
            document = inspect.cleandoc(function.__doc__)
            if order:
                document = _PARAMETER.sub(lambda field: "" if field[1] == "more" else field[0], document)
            function.__doc__ = in_place_of_options(document, texts)
        return function

    return show


def _place(parameter: inspect.Parameter, order: Sequence[str], own: Mapping[str, object]) -> tuple[int, int]:
    """Where a parameter is shown: the method's own, those of its order, the keywords."""
    if parameter.name in order:
        return 1, order.index(parameter.name)
    first = parameter.kind is not parameter.KEYWORD_ONLY
    return (0 if first else 2), 0


def descriptions(options: type[Any]) -> Mapping[str, str]:
    """The ``:param`` fields of a TypedDict's docstring by name, after those that it inherits."""
    found: dict[str, str] = {}
    for base in get_original_bases(options):
        if isinstance(base, type):
            found.update(descriptions(base))
    return {**found, **described_in(inspect.cleandoc(options.__doc__ or ""))}


def described_in(text: str) -> Mapping[str, str]:
    """The ``:param`` fields of a docstring by name."""
    return {field[1]: field[0].rstrip() + "\n" for field in _PARAMETER.finditer(text)}


def in_place_of_options(text: str, fields: str) -> str:
    """A docstring with ``fields`` in the place of its ``:param options:``, else after its last parameter or its end."""
    parameters = list(_PARAMETER.finditer(text))
    for parameter in parameters:
        if parameter[1] == "options":
            return text[: parameter.start()] + fields + text[parameter.end() :]
    if parameters:
        end = parameters[-1].end()
        return f"{text[:end].rstrip()}\n{fields}{text[end:]}".rstrip()
    return f"{text}\n\n{fields}".rstrip()


def _default(annotation: object) -> object:
    """The default that is shown for an option: ``None`` if it may be None, else ``...``, as in a stub."""
    text = str(_written(annotation))
    return None if text in ("object", "Any") or "None" in text else _Written("...")


def _written(annotation: Any) -> Any:
    if isinstance(annotation, ForwardRef):
        return _Written(annotation.__forward_arg__)
    return _Written(annotation) if isinstance(annotation, str) else annotation
