"""The format's matching rules: an expected value, with its ``$$`` operators, against an actual one.

A match returns None; anything else is a :class:`Mismatch` that names the key path and says what differs. Malformed
operators and unknown entities are the test's own fault and raise RunnerError.

Unified test format specification, "Evaluating Matches".
"""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from spec_tests.errors import RunnerError, SpecFailure
from spec_tests.schema.models import parse_json


class _Missing:
    def __repr__(self) -> str:
        return "(missing)"


#: Stands for a missing value, which is not the same as null.
MISSING: Any = _Missing()


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where and how an actual value differs from the expected one."""

    path: str
    message: str
    expected: Any
    actual: Any

    def failure(self) -> SpecFailure:
        """The mismatch as the failure of a test."""
        return SpecFailure(self.message, self.path, self.expected, self.actual)

    def __str__(self) -> str:
        return f"{self.path or '(root)'}: {self.message}"


class Lookup(Protocol):
    """The look-ups that the operators need from the entity map."""

    def value(self, name: str) -> Any:
        """The BSON value stored under ``name``; RunnerError if there is none."""

    def lsid(self, name: str) -> Any:
        """The logical session id of the session entity ``name``; RunnerError if there is none."""


class NoEntities:
    """The lookup of a matcher that works outside a test."""

    def value(self, name: str) -> Any:
        raise RunnerError(f"there is no entity {name!r}")

    def lsid(self, name: str) -> Any:
        raise RunnerError(f"there is no session entity {name!r}")


class Matcher:
    """Matches values against expectations that may refer to entities."""

    def __init__(self, lookup: Lookup | None = None) -> None:
        self._lookup: Lookup = lookup if lookup is not None else NoEntities()

    def match(self, expected: Any, actual: Any, path: str = "", *, root: bool = True) -> Mismatch | None:
        """Match one value. ``root``: the actual document may have keys that are not expected."""
        operator = operator_of(expected)
        if operator is not None:
            return self._operate(operator, expected[operator], actual, path, root)
        if actual is MISSING:
            return Mismatch(path, f"expected {short(expected)}, and there is nothing", expected, actual)
        if isinstance(expected, Mapping):
            return self._match_document(expected, actual, path, root)
        if isinstance(expected, (list, tuple)):
            return self._match_array(expected, actual, path, root_items=False)
        if not same_value(expected, actual):
            return Mismatch(path, f"expected {short(expected)}, not {short(actual)}", expected, actual)
        return None

    def match_rows(self, expected: Any, actual: Any, path: str = "") -> Mismatch | None:
        """Match the documents of an iterable: each is a root document ("Examples of Root-level Documents")."""
        if not isinstance(expected, (list, tuple)):
            return self.match(expected, actual, path)
        return self._match_array(expected, actual, path, root_items=True)

    def _match_document(self, expected: Mapping[str, Any], actual: Any, path: str, root: bool) -> Mismatch | None:
        if not isinstance(actual, Mapping):
            return Mismatch(path, f"expected a document, not {short(actual)}", expected, actual)
        for key, value in expected.items():
            found = self.match(value, actual.get(key, MISSING), join(path, key), root=False)
            if found is not None:
                return found
        extra = [key for key in actual if key not in expected]
        if extra and not root:
            names = ", ".join(map(str, extra))
            return Mismatch(path, f"unexpected key(s): {names}", expected, actual)
        return None

    def _match_array(self, expected: Sequence[Any], actual: Any, path: str, *, root_items: bool) -> Mismatch | None:
        if not isinstance(actual, (list, tuple)):
            return Mismatch(path, f"expected an array, not {short(actual)}", expected, actual)
        if len(expected) != len(actual):
            return Mismatch(path, f"expected {len(expected)} element(s), not {len(actual)}", expected, actual)
        for index, (want, have) in enumerate(zip(expected, actual, strict=True)):
            found = self.match(want, have, f"{path}[{index}]", root=root_items)
            if found is not None:
                return found
        return None

    def _operate(self, operator: str, operand: Any, actual: Any, path: str, root: bool) -> Mismatch | None:
        method = _OPERATORS.get(operator)
        if method is None:
            raise RunnerError(f"{path}: there is no operator {operator}: they are {', '.join(_OPERATORS)}")
        return method(self, operand, actual, path, root)

    def _exists(self, operand: Any, actual: Any, path: str, root: bool) -> Mismatch | None:
        if not isinstance(operand, bool):
            raise RunnerError(f"{path}: $$exists takes a boolean, not {operand!r}")
        if operand is (actual is not MISSING):
            return None
        message = "expected the key to exist" if operand else f"expected no such key, and it is {short(actual)}"
        return Mismatch(path, message, {"$$exists": operand}, actual)

    def _type(self, operand: Any, actual: Any, path: str, root: bool) -> Mismatch | None:
        wanted = [operand] if isinstance(operand, str) else operand
        if not isinstance(wanted, list) or not wanted or not all(name in BSON_TYPES for name in wanted):
            raise RunnerError(f"{path}: $$type takes names of BSON types, not {operand!r}")
        kind = None if actual is MISSING else bson_type(actual)
        numeric = "number" in wanted and kind in _NUMBERS
        if kind is not None and (kind in wanted or numeric):
            return None
        found = "nothing" if kind is None else f"{kind} {short(actual)}"
        return Mismatch(path, f"expected type {' or '.join(wanted)}, not {found}", {"$$type": operand}, actual)

    def _matches_entity(self, operand: Any, actual: Any, path: str, root: bool) -> Mismatch | None:
        if not isinstance(operand, str):
            raise RunnerError(f"{path}: $$matchesEntity takes an entity's name, not {operand!r}")
        return self.match(self._lookup.value(operand), actual, path, root=root)

    def _matches_hex(self, operand: Any, actual: Any, path: str, root: bool) -> Mismatch | None:
        wanted = hex_bytes(operand, path)
        if isinstance(actual, (bytes, bytearray)) and bytes(actual) == wanted:
            return None
        return Mismatch(path, f"expected the bytes {wanted.hex()}, not {short(actual)}", wanted, actual)

    def _unset_or_matches(self, operand: Any, actual: Any, path: str, root: bool) -> Mismatch | None:
        return None if actual is MISSING else self.match(operand, actual, path, root=root)

    def _session_lsid(self, operand: Any, actual: Any, path: str, root: bool) -> Mismatch | None:
        if not isinstance(operand, str):
            raise RunnerError(f"{path}: $$sessionLsid takes a session's name, not {operand!r}")
        lsid = self._lookup.lsid(operand)
        if isinstance(actual, str):  # as attributes of spans have it
            lsid = str(lsid["id"].as_uuid())
        if actual is not MISSING and same_value(lsid, actual):
            return None
        return Mismatch(path, f"expected the lsid of {operand}, not {short(actual)}", lsid, actual)

    def _lte(self, operand: Any, actual: Any, path: str, root: bool) -> Mismatch | None:
        if not _is_number(operand):
            raise RunnerError(f"{path}: $$lte takes a number, not {operand!r}")
        if _is_number(actual) and actual <= operand:
            return None
        return Mismatch(path, f"expected at most {operand}, not {short(actual)}", {"$$lte": operand}, actual)

    def _as_document(self, operand: Any, actual: Any, path: str, root: bool) -> Mismatch | None:
        if not isinstance(actual, str):
            return Mismatch(path, f"expected a string of Extended JSON, not {short(actual)}", operand, actual)
        try:
            document = parse_json(actual)
        except Exception as error:  # the parser raises errors of many kinds
            return Mismatch(path, f"no Extended JSON ({error}): {short(actual)}", operand, actual)
        if not isinstance(document, Mapping):
            return Mismatch(path, f"expected the JSON of an object: {short(actual)}", operand, actual)
        return self.match(operand, document, path, root=False)

    def _as_root(self, operand: Any, actual: Any, path: str, root: bool) -> Mismatch | None:
        return self.match(operand, actual, path, root=True)


_OPERATORS: Mapping[str, Callable[[Matcher, Any, Any, str, bool], Mismatch | None]] = {
    "$$exists": Matcher._exists,
    "$$type": Matcher._type,
    "$$matchesEntity": Matcher._matches_entity,
    "$$matchesHexBytes": Matcher._matches_hex,
    "$$unsetOrMatches": Matcher._unset_or_matches,
    "$$sessionLsid": Matcher._session_lsid,
    "$$lte": Matcher._lte,
    "$$matchAsDocument": Matcher._as_document,
    "$$matchAsRoot": Matcher._as_root,
}


def operator_of(value: Any) -> str | None:
    """The ``$$`` operator that a value is, if it is one: an object whose only key starts with ``$$``."""
    if isinstance(value, Mapping) and len(value) == 1:
        (key,) = value
        if isinstance(key, str) and key.startswith("$$"):
            return key
    return None


def hex_bytes(text: Any, path: str) -> bytes:
    """Read the hexadecimal bytes of ``$$matchesHexBytes`` and ``$$hexBytes``."""
    if not isinstance(text, str) or not re.fullmatch(r"([0-9A-Fa-f]{2})*", text):
        raise RunnerError(f"{path}: {text!r} is no even number of hexadecimal digits")
    return bytes.fromhex(text)


# --- values -----------------------------------------------------------------------------------------------------

_NUMBERS = frozenset({"int", "long", "double", "decimal"})
_TYPE_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "bool"),
    (Int64, "long"),
    (float, "double"),
    ((Binary, bytes, bytearray, uuid.UUID), "binData"),
    (ObjectId, "objectId"),
    ((datetime.datetime, DatetimeMS), "date"),
    ((Regex, re.Pattern), "regex"),
    (Timestamp, "timestamp"),
    (Decimal128, "decimal"),
    (MinKey, "minKey"),
    (MaxKey, "maxKey"),
    (str, "string"),
    ((Mapping, DBRef), "object"),
    ((list, tuple), "array"),
)
# Deprecated types are valid names of $$type, though no value that the codec reads has them.
_OTHER_NAMES = ("null", "int", "javascript", "javascriptWithScope", "undefined", "dbPointer", "symbol", "number")
BSON_TYPES = frozenset({*(name for _, name in _TYPE_NAMES), *_OTHER_NAMES})


def bson_type(value: Any) -> str:
    """The name of a value's BSON type, as the query operator ``$type`` spells it."""
    if value is None:
        return "null"
    if isinstance(value, Code):  # also a str, so it is checked first
        return "javascript" if value.scope is None else "javascriptWithScope"
    for types, name in _TYPE_NAMES:
        if isinstance(value, types):
            return name
    if isinstance(value, int):
        return "int" if -(2**31) <= value < 2**31 else "long"
    raise RunnerError(f"{value!r} is of no BSON type")


def same_value(expected: Any, actual: Any) -> bool:
    """Whether two values are equal and of one type, int, long and double counting as one ("Flexible Numeric…")."""
    if _is_number(expected) or _is_number(actual):
        return _is_number(expected) and _is_number(actual) and bool(expected == actual)
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return expected.keys() == actual.keys() and all(same_value(expected[k], actual[k]) for k in expected)
    if isinstance(expected, (list, tuple)) and isinstance(actual, (list, tuple)):
        return len(expected) == len(actual) and all(map(same_value, expected, actual))
    return bson_type(expected) == bson_type(actual) and bool(expected == actual)


def same_document(expected: Any, actual: Any) -> bool:
    """Exact equality except for the order of keys, as outcomes require: a double does not equal an integer."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return expected.keys() == actual.keys() and all(same_document(expected[k], actual[k]) for k in expected)
    if isinstance(expected, (list, tuple)) and isinstance(actual, (list, tuple)):
        return len(expected) == len(actual) and all(map(same_document, expected, actual))
    return isinstance(expected, float) == isinstance(actual, float) and same_value(expected, actual)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def join(path: str, key: str) -> str:
    """A key path with one more key."""
    return f"{path}.{key}" if path else str(key)


def short(value: Any, limit: int = 200) -> str:
    """A value in one line of bounded length."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
