"""Reads one object of a test file, key by key, and refuses unknown keys.

Every model reads its keys through :class:`Fields` and then calls :meth:`Fields.done`: a key that was not read is not in
the format. Errors carry the key path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from spec_tests.errors import SchemaError

T = TypeVar("T")


class Fields:
    """The keys of one object, consumed as they are read."""

    def __init__(self, value: Any, path: str, min_properties: int = 0) -> None:
        if not isinstance(value, Mapping):
            raise SchemaError(path, f"must be an object, not {kind_of(value)}")
        if len(value) < min_properties:
            raise SchemaError(path, f"must have at least {min_properties} key(s)")
        self._value: Mapping[str, Any] = value
        self._left = set(value)
        self.path = path

    def has(self, key: str) -> bool:
        """Whether the key is there; reads nothing."""
        return key in self._value

    def require(self, *keys: str) -> None:
        """Refuse an object that lacks one of ``keys``."""
        for key in keys:
            if key not in self._value:
                raise SchemaError(self.path, f"lacks the required key {key!r}")

    def forbid_together(self, *pairs: tuple[str, str]) -> None:
        """Refuse an object that has both keys of a pair."""
        for one, other in pairs:
            if one in self._value and other in self._value:
                raise SchemaError(self.path, f"{one!r} and {other!r} exclude each other")

    def raw(self, key: str, default: Any = None) -> Any:
        """A value of any type."""
        self._left.discard(key)
        return self._value.get(key, default)

    def text(self, key: str) -> str:
        """A required string."""
        self.require(key)
        return self._typed(key, str, "a string")

    def optional_text(self, key: str) -> str | None:
        return self._optional(key, str, "a string")

    def flag(self, key: str) -> bool | None:
        return self._optional(key, bool, "a boolean")

    def integer(self, key: str) -> int | None:
        return self._optional(key, int, "an integer")

    def document(self, key: str) -> Mapping[str, Any]:
        """A required object with keys of any name."""
        self.require(key)
        return self._typed(key, Mapping, "an object")  # type: ignore[type-abstract]  # isinstance is all it is for

    def optional_document(self, key: str) -> Mapping[str, Any] | None:
        return self.document(key) if self.has(key) else None

    def choice(self, key: str, choices: Collection[str]) -> str | None:
        """A string out of ``choices``."""
        value = self.optional_text(key)
        if value is not None and value not in choices:
            raise SchemaError(self._sub(key), f"{value!r} is none of {', '.join(sorted(choices))}")
        return value

    def array(self, key: str, read: Callable[[Any, str], T], min_items: int = 0) -> tuple[T, ...]:
        """A list whose elements ``read`` reads; empty if the key is absent."""
        if not self.has(key):
            return ()
        values = self._typed(key, list, "an array")
        if len(values) < min_items:
            raise SchemaError(self._sub(key), f"must have at least {min_items} element(s)")
        return tuple(read(value, f"{self._sub(key)}[{index}]") for index, value in enumerate(values))

    def nested(self, key: str, read: Callable[[Any, str], T]) -> T | None:
        """An object that another model reads; None if the key is absent."""
        if not self.has(key):
            return None
        return read(self.raw(key), self._sub(key))

    def done(self) -> None:
        """Refuse the object if a key was left unread."""
        if self._left:
            raise SchemaError(self.path, f"unknown key(s): {', '.join(sorted(self._left))}")

    def _sub(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _optional(self, key: str, wanted: type[T], name: str) -> T | None:
        return self._typed(key, wanted, name) if self.has(key) else None

    def _typed(self, key: str, wanted: type[T], name: str) -> T:
        value = self.raw(key)
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise SchemaError(self._sub(key), f"must be {name}, not {kind_of(value)}")
        return value


def read_text(value: Any, path: str) -> str:
    """An element that is a string."""
    if not isinstance(value, str):
        raise SchemaError(path, f"must be a string, not {kind_of(value)}")
    return value


def read_document(value: Any, path: str) -> Mapping[str, Any]:
    """An element that is an object."""
    if not isinstance(value, Mapping):
        raise SchemaError(path, f"must be an object, not {kind_of(value)}")
    return value


def read_choice(choices: Collection[str]) -> Callable[[Any, str], str]:
    """An element that is one of ``choices``."""

    def read(value: Any, path: str) -> str:
        if read_text(value, path) not in choices:
            raise SchemaError(path, f"{value!r} is none of {', '.join(sorted(choices))}")
        return str(value)

    return read


def check_pattern(value: str | None, pattern: re.Pattern[str], path: str, what: str) -> None:
    """Refuse a string that ``pattern`` does not match whole."""
    if value is not None and not pattern.fullmatch(value):
        raise SchemaError(path, f"{value!r} is no {what}")


def kind_of(value: Any) -> str:
    """The JSON name of a value's type, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return {int: "an integer", float: "a number", str: "a string"}.get(type(value), type(value).__name__)
