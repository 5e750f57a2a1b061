"""What becomes of the tokens that a session is started after: the table of ``session.after``, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Int64
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.errors import ConfigurationError, InvalidToken
from wiredrv.session.after import OLDEST_SECONDS, After, checked_after, judge, read_tokens
from wiredrv.session.options import SessionOptions
from wiredrv.session.tokens import UNKNOWN_DEPLOYMENT, CausalToken, TokenKeys, write_causal_token

HERE, THERE = b"this one", b"another!"
NOW = Timestamp(1_700_000_000, 5)
KEYS = TokenKeys("k" * 32)


def at(seconds: int, increment: int = 5, label: bytes = HERE, **more: Any) -> CausalToken:
    return CausalToken(label, Timestamp(NOW.time + seconds, increment), **more)


@pytest.mark.parametrize(
    "token, own, known, expected",
    [
        (at(0), HERE, NOW, "accepted"),
        (at(-1), HERE, NOW, "accepted"),
        (at(0, 6), HERE, NOW, "open"),
        (at(1, 0), HERE, NOW, "open"),
        (at(2**20), HERE, NOW, "open"),
        (at(0), HERE, None, "open"),
        (at(-OLDEST_SECONDS), HERE, NOW, "accepted"),
        (at(-OLDEST_SECONDS - 1), HERE, NOW, "old"),
        (at(0), THERE, NOW, "foreign"),
        (at(1), THERE, NOW, "foreign"),
        (at(0), THERE, None, "foreign"),
        (at(0, 5, UNKNOWN_DEPLOYMENT), HERE, NOW, "accepted"),
        (at(0), UNKNOWN_DEPLOYMENT, NOW, "accepted"),
        (at(1), UNKNOWN_DEPLOYMENT, NOW, "open"),
    ],
)
def test_one_token(token: CausalToken, own: bytes, known: Timestamp | None, expected: str) -> None:
    judged = judge([token], own, known)
    refused = [problem.reason for _, problem in judged.refused]
    found = "accepted" if judged.accepted is not None else "open" if judged.open else refused[0]
    assert found == expected
    assert (judged.accepted is not None) + len(judged.open) + len(refused) == 1


def test_what_is_later_after_the_question_is_refused() -> None:
    judged = judge([at(1), at(-1), at(900)], HERE, NOW).closed(NOW)
    assert judged.accepted == at(-1).operation_time
    assert [problem.reason for _, problem in judged.refused] == ["unconfirmed"] * 2
    assert not judged.open


def test_without_an_answer_what_is_open_is_refused_for_that() -> None:
    trouble = InvalidToken("no answer", "unavailable")
    assert judge([at(1)], HERE, NOW).closed(NOW, trouble).refused == ((at(1), trouble),)


@given(st.lists(st.tuples(st.integers(-50, 50), st.sampled_from([HERE, THERE])), max_size=8))
def test_the_latest_that_is_confirmed_counts(tokens: list[tuple[int, bytes]]) -> None:
    judged = judge([at(seconds, 5, label) for seconds, label in tokens], HERE, NOW)
    confirmed = [seconds for seconds, label in tokens if label == HERE and seconds <= 0]
    assert judged.accepted == (at(max(confirmed)).operation_time if confirmed else None)
    assert len(judged.open) == sum(label == HERE and seconds > 0 for seconds, label in tokens)
    assert len(judged.refused) == sum(label == THERE for _, label in tokens)


def test_only_verified_cluster_times_that_servers_signed_are_passed_on() -> None:
    def signed(seconds: int, key_id: int = 7) -> dict[str, Any]:
        time = Timestamp(NOW.time + seconds, 1)
        return {"clusterTime": time, "signature": {"hash": b"h" * 20, "keyId": Int64(key_id)}}

    tokens = [
        at(1, cluster_time=signed(9), verified=False),
        at(1, cluster_time=signed(8, 0), verified=True),
        at(1, cluster_time=signed(1), verified=True),
        at(2, cluster_time=signed(2), verified=True),
        at(3, verified=True),
        at(-1, cluster_time=signed(7), verified=True),  # not open: nobody has to be told
    ]
    assert judge(tokens, HERE, NOW).gossip == signed(2)
    assert judge(tokens[:2], HERE, NOW).gossip is None


def test_the_latest_token_goes_on() -> None:
    after = After((at(1), at(3), at(2), at(9, label=THERE)), False)
    assert after.latest(HERE) == at(3)
    assert after.latest(UNKNOWN_DEPLOYMENT) == at(9, label=THERE)
    assert After((at(9, label=THERE),), False).latest(HERE) is None


def test_standalone_servers_confirm_nothing() -> None:
    ((_, problem),) = judge([at(0)], UNKNOWN_DEPLOYMENT, None).closed(None).refused
    assert problem.reason == "unconfirmed"
    assert "standalone servers have no cluster time" in str(problem)


# --- the argument ---


@pytest.mark.parametrize(
    "given, texts",
    [
        (None, ()),
        ("", ("",)),
        ("one", ("one",)),
        (["one", None, "two"], ("one", "two")),
        ((None,), ()),
    ],
)
def test_one_or_several(given: Any, texts: tuple[str, ...]) -> None:
    assert checked_after(given) == texts
    assert SessionOptions(after=given).after == (texts if given is not None else None)


@pytest.mark.parametrize("given", [b"x", bytearray(b"x"), 7, [7], [b"x"], {"x"}, {"x": 1}, iter("x"), [["x"]]])
def test_other_values_are_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="a causal token, which is a text, or a list of them"):
        checked_after(given)


@given(st.lists(st.text(max_size=100) | st.none(), max_size=5))
def test_whatever_the_texts_are_they_are_read_or_reported(texts: list[str | None]) -> None:
    good = write_causal_token(NOW, None, HERE)
    found, problems = read_tokens([*texts, good], None)
    assert found == (CausalToken(HERE, NOW),)
    assert len(problems) == sum(text is not None for text in texts)


def test_options_show_neither_tokens_nor_keys() -> None:
    shown = repr(SessionOptions(after="a token that is a secret of its user", token_keys=KEYS))
    assert "secret" not in shown
    assert "k" * 32 not in shown
