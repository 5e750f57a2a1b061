"""SASLprep: the examples and rules of RFC 4013 and RFC 3454."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.connection.auth.saslprep import NotPrepared, saslprep


@pytest.mark.parametrize(
    "text, prepared",
    [
        # RFC 4013, section 3.
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        # The auth specification's own.
        ("\u2163", "IV"),
        ("I\u00adV", "IV"),
        # Spaces of every kind, and characters without width (RFC 3454, tables C.1.2 and B.1).
        ("a\u00a0b\u3000c", "a b c"),
        ("a\u200db\ufe0fc\ufeff", "abc"),
        ("", ""),
        ("p\u0061\u0308ss", "p\u00e4ss"),
        ("\ufb01ne", "fine"),
        ("\u0627\u0031\u0628", "\u06271\u0628"),
    ],
)
def test_prepared_forms(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    "text, why",
    [
        ("\u0007", "prohibits"),  # RFC 4013, section 3: a control character
        ("\u0627\u0031", "begin and end"),  # RFC 4013, section 3: directions
        ("\u06271a\u0628", "mixes"),
        ("1\u0627", "begin and end"),
        ("\x7f", "prohibits"),
        ("\u0080", "prohibits"),
        ("\ue000", "prohibits"),  # private use
        ("\ufdd0", "prohibits"),  # not a character
        (chr(0xD800), "prohibits"),  # half of a surrogate pair
        ("\ufffd", "prohibits"),  # inappropriate for plain text
        ("\u2ff0", "prohibits"),  # inappropriate for canonical representation
        ("\u200e", "prohibits"),  # changes the display
        ("\U000e0041", "prohibits"),  # tagging
        ("\u0221", "prohibits"),  # not assigned in Unicode 3.2
        ("\U0001f511", "prohibits"),
    ],
)
def test_what_has_no_prepared_form(text: str, why: str) -> None:
    with pytest.raises(NotPrepared, match=why) as failure:
        saslprep(f"{text}")
    assert text not in str(failure.value)


@given(st.text())
def test_preparing_twice_changes_nothing_more(text: str) -> None:
    try:
        prepared = saslprep(text)
    except NotPrepared:
        return
    assert saslprep(prepared) == prepared


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_printable_ascii_is_its_own_form(text: str) -> None:
    assert saslprep(text) == text
