"""The kinds of values that options have: how each is read from a connection string, and how a keyword is checked.

Rules kept here:

* A kind does not depend on options. It says in words what it accepts; the caller names the option.
* A value that does not fit raises :class:`BadValue`, whose text never repeats the value (it may be a secret).
* Text is percent-decoded already. Keyword values are Python objects: ``"20"`` is not a number there.

Specifications: connection-string ("Values"), uri-options ("List of specified options").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bson.codec_options import CodecOptions

from wiredrv.compat.objects import adopted

_INTEGER = re.compile(r"[+-]?[0-9]+")
_INT32 = 2**31 - 1
INT64 = 2**63 - 1

_BOOLEANS = {"true": True, "false": False}
_LEGACY_TRUE = frozenset({"1", "yes", "y", "t"})
_LEGACY_FALSE = frozenset({"0", "-1", "no", "n", "f"})


class BadValue(ValueError):
    """The value does not fit its kind. A message, if any, adds to the kind's own description."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A valid value, with a warning."""

    value: object
    warning: str


@dataclass(frozen=True, slots=True)
class OptionKind:
    """A kind of value.

    :param accepts: the valid values, in words that follow "must be".
    :param from_text: reads a value out of a connection string; may return a :class:`Notice`.
    :param from_keyword: checks a keyword's value.
    """

    accepts: str
    from_text: Callable[[str], object]
    from_keyword: Callable[[object], object]


def integer(low: int, high: int = _INT32, also: int | None = None, words: str = "") -> OptionKind:
    """A whole number from ``low`` to ``high``, or the one number ``also``."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValue
        if value != also and not low <= value <= high:
            raise BadValue
        return value

    def read(text: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise BadValue
        return check(int(text))

    return OptionKind(words or _range_words(low, high), read, check)


def _range_words(low: int, high: int) -> str:
    return f"a whole number from {low} {'up' if high in (_INT32, INT64) else f'to {high}'}"


def _read_boolean(text: str) -> bool | Notice:
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text in _LEGACY_TRUE or text in _LEGACY_FALSE:
        value = text in _LEGACY_TRUE
        return Notice(value, f"{text!r} is an outdated spelling: write {str(value).lower()}")
    raise BadValue


def _check_boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadValue
    return value


BOOLEAN = OptionKind("true or false", _read_boolean, _check_boolean)


def text(words: str = "a string that is not empty", empty: bool = False, max_bytes: int | None = None) -> OptionKind:
    """A string, of at most ``max_bytes`` bytes in UTF-8."""

    def check(value: object) -> str:
        if not isinstance(value, str) or (not value and not empty):
            raise BadValue
        if max_bytes is not None and len(value.encode("utf-8", "surrogatepass")) > max_bytes:
            raise BadValue
        return value

    return OptionKind(words, check, check)


def choice(*names: str) -> OptionKind:
    """One of a few names, spelt exactly."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            raise BadValue
        return value

    return OptionKind("one of " + ", ".join(names), check, check)


def names(known: tuple[str, ...]) -> OptionKind:
    """A list of known names in the order of preference; in a connection string, those unknown are left out."""

    def read(text: str) -> tuple[str, ...] | Notice:
        given = [name.strip() for name in text.split(",") if name.strip()]
        kept = tuple(name for name in dict.fromkeys(given) if name in known)
        unknown = [name for name in given if name not in known]
        if unknown:
            return Notice(kept, f"{', '.join(map(repr, unknown))} left out: known are {', '.join(known)}")
        return kept

    def check(value: object) -> tuple[str, ...]:
        given = value.split(",") if isinstance(value, str) else value
        if not isinstance(given, Iterable):
            raise BadValue
        kept = tuple(name.strip() if isinstance(name, str) else name for name in given)
        if not all(name in known for name in kept):
            raise BadValue
        return tuple(dict.fromkeys(kept))

    return OptionKind(f"a list of {', '.join(known)}", read, check)


def instance(words: str, *types: type) -> OptionKind:
    """An object of one of ``types``: for keywords only."""

    def check(value: object) -> object:
        if not isinstance(value, types):
            raise BadValue
        return value

    return OptionKind(words, _refuse_text, check)


def value_object(kind: type) -> OptionKind:
    """An object of ``kind``, or of PyMongo's class of that name: for keywords only."""

    def check(value: object) -> object:
        found = adopted(value, kind)
        if not isinstance(found, kind):
            raise BadValue
        return found

    return OptionKind(f"a {kind.__name__}", _refuse_text, check)


def _check_function(value: object) -> object:
    if not callable(value):
        raise BadValue
    return value


def _refuse_text(text: str) -> object:
    raise BadValue("it can be given as a keyword argument only")


FUNCTION = OptionKind("a function", _refuse_text, _check_function)


def _check_document_class(value: Any) -> object:
    try:
        CodecOptions(document_class=value)  # bson knows which classes it can decode into
    except TypeError:
        pass
    else:
        return value
    raise BadValue


DOCUMENT_CLASS = OptionKind(
    "a class of mutable mappings, a TypedDict or RawBSONDocument", _refuse_text, _check_document_class
)


def named(values: Mapping[str, object]) -> OptionKind:
    """A name that stands for a value; a keyword may be the value itself."""

    def read(text: str) -> object:
        if text not in values:
            raise BadValue
        return values[text]

    def check(value: object) -> object:
        if isinstance(value, str):
            return read(value)
        if isinstance(value, bool) or value not in values.values():
            raise BadValue
        return value

    return OptionKind("one of " + ", ".join(values), read, check)


def either(kind: OptionKind, other: type) -> OptionKind:
    """What ``kind`` accepts or, as a keyword, an object of ``other``, or of PyMongo's class of that name."""

    def check(value: object) -> object:
        found = adopted(value, other)
        return found if isinstance(found, other) else kind.from_keyword(value)

    return OptionKind(kind.accepts, kind.from_text, check)


# --- kinds of one option each ---------------------------------------------------------------------------------------


def _read_w(text: str) -> int | str:
    if not text:
        raise BadValue
    return _check_w(int(text)) if _INTEGER.fullmatch(text) else text


def _check_w(value: object) -> int | str:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
        raise BadValue
    if isinstance(value, int) and not 0 <= value <= _INT32:
        raise BadValue
    return value


W = OptionKind("a whole number from 0 up, 'majority' or the name of a custom write concern", _read_w, _check_w)


def read_key_values(text: str) -> dict[str, str]:
    """Read ``key:value,key:value``; a value may contain more colons (connection-string, "Key value pairs").

    :raises BadValue: a pair has no colon or no key.
    """
    pairs = {}
    for pair in text.split(",") if text else ():
        key, colon, value = pair.partition(":")
        if not colon or not key.strip():
            raise BadValue("each pair is written key:value, and no value may contain a comma")
        pairs[key.strip()] = value.strip()
    return pairs


def _check_pairs(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        return dict(read_key_values(value))
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key for key in value):
        raise BadValue
    return dict(value)


PAIRS = OptionKind("pairs written key:value,key:value", read_key_values, _check_pairs)


def _read_tag_sets(text: str) -> tuple[Mapping[str, str], ...]:
    return (read_key_values(text),)


def _check_tag_sets(value: object) -> tuple[Mapping[str, str], ...]:
    if isinstance(value, (str, Mapping)):
        value = [value]
    if not isinstance(value, Iterable):
        raise BadValue
    return tuple(_check_pairs(tag_set) for tag_set in value)


TAG_SETS = OptionKind("tags written key:value,key:value, once for each tag set", _read_tag_sets, _check_tag_sets)

_SERVICE_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]+(-[A-Za-z0-9]+)*")


def _check_service_name(value: object) -> str:
    if not isinstance(value, str) or len(value) > 62 or not _SERVICE_NAME.fullmatch(value):
        raise BadValue
    return value


SERVICE_NAME = OptionKind(
    "a service name of RFC 6335: letters, digits and single hyphens, at most 62 characters",
    _check_service_name,
    _check_service_name,
)


def _read_try_once(text: str) -> Notice | bool:
    value = _read_boolean(text)
    given = value.value if isinstance(value, Notice) else value
    return Notice(given, "this driver always tries until serverSelectionTimeoutMS has passed") if given else value


TRY_ONCE = OptionKind("false", _read_try_once, _check_boolean)
