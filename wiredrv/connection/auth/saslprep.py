"""SASLprep (RFC 4013): the one form of a password that is typed in different ways. Pure.

The tables are those of ``stringprep`` (RFC 3454, Unicode 3.2) in the standard library. Passwords count as stored
strings: code points that Unicode 3.2 did not assign are prohibited (RFC 5802, section 2.2), as the server has it.
"""

from __future__ import annotations

import stringprep
from collections.abc import Callable
from unicodedata import ucd_3_2_0

_PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


class NotPrepared(ValueError):
    """The string has no prepared form. The message says why, without showing the string."""


def saslprep(text: str) -> str:
    """The prepared form of ``text``.

    :raises NotPrepared: it contains a prohibited character, or mixes writing directions against the rules.
    """
    if text.isascii() and text.isprintable():
        return text
    prepared = ucd_3_2_0.normalize("NFKC", "".join(map(_mapped, text)))
    for character in prepared:
        if any(prohibits(character) for prohibits in _PROHIBITED):
            raise NotPrepared("it holds a control character, or another that SASLprep (RFC 4013) prohibits")
    _check_directions(prepared)
    return prepared


def _mapped(character: str) -> str:
    """Every kind of space becomes a space; characters without width are removed (RFC 4013, section 2.1)."""
    if stringprep.in_table_c12(character):
        return " "
    return "" if stringprep.in_table_b1(character) else character


def _check_directions(text: str) -> None:
    """A string with right-to-left characters may not contain left-to-right ones, and begins and ends with one (RFC
    3454, 6).
    """
    if not any(map(stringprep.in_table_d1, text)):
        return
    if any(map(stringprep.in_table_d2, text)):
        raise NotPrepared("it mixes characters written from right to left with others written from left to right")
    if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise NotPrepared("it holds characters written from right to left, but does not begin and end with one")
