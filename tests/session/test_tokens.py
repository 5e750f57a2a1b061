"""Tokens: what is written is read, everything else is refused by one kind of error, and one text stands for a value."""

from __future__ import annotations

import base64
import copy
import pickle
from typing import Any

import pytest
from bson import Int64, ObjectId
from bson.timestamp import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st

from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import ConfigurationError, InvalidToken
from wiredrv.session import tokens
from wiredrv.session.tokens import (
    UNKNOWN_DEPLOYMENT,
    CausalToken,
    SnapshotToken,
    TokenKeys,
    deployment_label,
    read_causal_token,
    read_snapshot_token,
    same_deployment,
    write_causal_token,
    write_snapshot_token,
)
from wiredrv.types import Address

HERE = b"replica!"
KEYS = TokenKeys("k" * 32)
OTHERS = TokenKeys(b"\xff" * 32)
TIME = Timestamp(1_700_000_000, 7)
SIGNED = {"clusterTime": Timestamp(1_700_000_001, 2), "signature": {"hash": b"h" * 20, "keyId": Int64(7 << 40)}}

timestamps = st.builds(Timestamp, st.integers(1, 2**32 - 1), st.integers(0, 2**32 - 1))
signatures = st.fixed_dictionaries(
    {
        "hash": st.binary(min_size=20, max_size=20),
        "keyId": st.integers(-(2**63), 2**63 - 1).filter(bool).map(Int64),
    }
)
cluster_times = st.none() | st.fixed_dictionaries({"clusterTime": timestamps, "signature": signatures})
labels = st.binary(min_size=8, max_size=8)
some_keys = st.sampled_from([None, KEYS])


def altered(text: str, at: int, byte: int) -> str:
    data = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    data[at] = byte
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def reason(text: Any, keys: TokenKeys | None = None) -> str:
    with pytest.raises(InvalidToken) as refused:
        read_causal_token(text, keys)
    return refused.value.reason


# --- what is written is read ---


@given(timestamps, cluster_times, labels, some_keys)
def test_a_causal_token_says_what_was_written(
    time: Timestamp, cluster_time: Any, label: bytes, keys: TokenKeys | None
) -> None:
    text = write_causal_token(time, cluster_time, label, keys)
    assert read_causal_token(text, keys) == CausalToken(label, time, cluster_time, keys is not None)


@given(timestamps, labels, some_keys)
def test_the_token_of_a_snapshot_says_what_was_written(time: Timestamp, label: bytes, keys: TokenKeys | None) -> None:
    text = write_snapshot_token(time, label, keys)
    assert read_snapshot_token(text, keys) == SnapshotToken(label, time, keys is not None)


@pytest.mark.parametrize(
    "cluster_time, keys, length",
    [(None, None, 31), (None, KEYS, 47), (SIGNED, None, 79), (SIGNED, KEYS, tokens.LONGEST)],
)
def test_a_token_is_short_and_fits_into_a_url(cluster_time: Any, keys: TokenKeys | None, length: int) -> None:
    text = write_causal_token(TIME, cluster_time, HERE, keys)
    assert len(text) == length
    assert text.replace("-", "a").replace("_", "a").isalnum()
    assert text.isascii()


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "text",
        {},
        {"hash": b"\0" * 20, "keyId": Int64(0)},
        {"hash": b"short", "keyId": Int64(1)},
        {"hash": b"h" * 20, "keyId": True},
        {"hash": b"h" * 20, "keyId": 2**63},
        {"hash": "h" * 20, "keyId": 1},
    ],
)
def test_a_cluster_time_that_no_server_signed_is_left_out(signature: Any) -> None:
    unsigned = {"clusterTime": TIME, "signature": signature}
    assert not tokens.is_signed(unsigned)
    found = read_causal_token(write_causal_token(TIME, unsigned, HERE, KEYS), KEYS)
    assert found.cluster_time is None
    assert found.gossip is None


@pytest.mark.parametrize(
    "keys, verified, gossip", [(None, False, None), (KEYS, True, SIGNED)], ids=["no key", "verified"]
)
def test_only_the_cluster_time_of_a_verified_token_is_for_servers(
    keys: TokenKeys | None, verified: bool, gossip: Any
) -> None:
    found = read_causal_token(write_causal_token(TIME, SIGNED, HERE, KEYS), keys)
    assert found.verified is verified
    assert found.cluster_time == SIGNED
    assert found.gossip == gossip


def test_keyid_0_is_for_no_server_even_where_the_codec_is_passed_by() -> None:
    unsigned = {"clusterTime": TIME, "signature": {"hash": b"\0" * 20, "keyId": Int64(0)}}
    assert CausalToken(HERE, TIME, unsigned, verified=True).gossip is None


# --- everything else is refused ---

CAUSAL = write_causal_token(TIME, None, HERE)
CAUSAL_SIGNED = write_causal_token(TIME, SIGNED, HERE, KEYS)


@pytest.mark.parametrize(
    "text, keys, expected",
    [
        ("", None, "malformed"),
        ("hello", None, "malformed"),
        ("a" * 31, None, "malformed"),
        ("\ud800" * 31, None, "malformed"),
        ("\u00e9" * 31, None, "malformed"),
        ("\u0661" * 31, None, "malformed"),
        ("\0" * 47, None, "malformed"),
        ("a" * 10_000_000, None, "malformed"),
        (CAUSAL + "\n", None, "malformed"),
        (CAUSAL + "=", None, "malformed"),
        (" " + CAUSAL, None, "malformed"),
        (CAUSAL[:-1], None, "malformed"),
        (CAUSAL + "A", None, "malformed"),
        (CAUSAL.swapcase(), None, "malformed"),
        (CAUSAL_SIGNED[:-1], KEYS, "malformed"),
        (altered(CAUSAL, 0, 2), None, "malformed"),  # another version
        (altered(CAUSAL, 1, 3), None, "malformed"),  # another kind
        (altered(CAUSAL, 2, 128), None, "malformed"),  # an unknown flag
        (altered(CAUSAL, 2, 1), None, "malformed"),  # a cluster time that is not there
        (altered(CAUSAL_SIGNED, 2, 2), KEYS, "malformed"),
        (altered(CAUSAL, 12, 1), None, "malformed"),  # the time
        (altered(CAUSAL_SIGNED, 12, 1), KEYS, "signature"),
        (altered(CAUSAL_SIGNED, 4, 1), KEYS, "signature"),  # the deployment
        (altered(CAUSAL_SIGNED, 70, 1), KEYS, "signature"),
        (CAUSAL, KEYS, "signature"),  # not signed
        (CAUSAL_SIGNED, OTHERS, "signature"),
        (write_snapshot_token(TIME, HERE), None, "kind"),
        (write_snapshot_token(TIME, HERE, KEYS), KEYS, "kind"),
        (write_snapshot_token(TIME, HERE, OTHERS), KEYS, "signature"),
        (write_causal_token(Timestamp(0, 0), None, HERE), None, "malformed"),
        (write_causal_token(Timestamp(0, 1), None, HERE, KEYS), KEYS, "malformed"),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, keys: TokenKeys | None, expected: str) -> None:
    assert reason(text, keys) == expected


def test_a_causal_token_is_not_that_of_a_snapshot() -> None:
    with pytest.raises(InvalidToken, match="a causal token, where the token of a snapshot is needed") as refused:
        read_snapshot_token(CAUSAL)
    assert refused.value.reason == "kind"


def test_a_signed_token_can_be_read_without_keys_and_is_not_verified() -> None:
    assert read_causal_token(CAUSAL_SIGNED) == CausalToken(HERE, TIME, SIGNED, verified=False)


@given(st.text() | st.text("AQEA-_b1", min_size=28, max_size=100) | st.binary().map(lambda b: b.decode("latin-1")))
@example("A" * 95)
def test_no_text_raises_anything_else(text: str) -> None:
    for keys in (None, KEYS):
        for read in (read_causal_token, read_snapshot_token):
            with pytest.raises(InvalidToken):
                read(text, keys)


@given(st.binary(min_size=19, max_size=75), some_keys, st.booleans())
def test_whatever_is_read_is_exactly_what_would_be_written(data: bytes, keys: TokenKeys | None, sealed: bool) -> None:
    head = bytes((1, data[1] % 3, data[2] % 4)) + data[3:]
    # With a correct seal what is within it is checked too.
    text = tokens._write(head, keys) if sealed else base64.urlsafe_b64encode(head).rstrip(b"=").decode()
    try:
        found = read_causal_token(text, keys)
    except InvalidToken:
        return
    signed = (
        text if keys is not None else write_causal_token(found.operation_time, found.cluster_time, found.deployment)
    )
    assert write_causal_token(found.operation_time, found.cluster_time, found.deployment, keys) == signed == text


@given(timestamps, cluster_times, labels, st.data())
def test_one_altered_character_is_always_found(time: Timestamp, cluster_time: Any, label: bytes, data: Any) -> None:
    text = write_causal_token(time, cluster_time, label, KEYS)
    at = data.draw(st.integers(0, len(text) - 1))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = data.draw(st.sampled_from(alphabet.replace(text[at], "")))
    assert reason(text[:at] + other + text[at + 1 :], KEYS) in ("malformed", "signature")


def test_two_texts_never_stand_for_one_value() -> None:
    # The last character of this length carries two bits that mean nothing.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    read = [CAUSAL[:-1] + last for last in alphabet if not _refused(CAUSAL[:-1] + last)]
    assert read == [CAUSAL]


def _refused(text: str) -> bool:
    try:
        read_causal_token(text)
    except InvalidToken:
        return True
    return False


def test_a_refusal_does_not_repeat_the_token() -> None:
    for text in ("secret" * 6, CAUSAL_SIGNED):
        with pytest.raises(InvalidToken) as refused:
            read_causal_token(text, OTHERS)
        assert text not in str(refused.value)
        assert text not in repr(refused.value)


def test_a_refusal_can_be_copied_and_pickled() -> None:
    error = InvalidToken("no", "foreign")
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(other), other.reason) == ("no", "foreign")


# --- keys ---


def test_keys_sign_what_a_session_gave_and_a_signature_is_replaced() -> None:
    for text in (CAUSAL, CAUSAL_SIGNED, write_causal_token(TIME, None, HERE, OTHERS)):
        assert read_causal_token(KEYS.sign(text), KEYS).verified
    snapshot = KEYS.sign(write_snapshot_token(TIME, HERE))
    assert read_snapshot_token(snapshot, KEYS) == SnapshotToken(HERE, TIME, True)


@pytest.mark.parametrize(
    "token, error", [("no token", InvalidToken), (None, ConfigurationError), (b"x", ConfigurationError)]
)
def test_keys_sign_nothing_but_tokens(token: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        KEYS.sign(token)


def test_keys_are_rotated_without_a_gap() -> None:
    old, new = "o" * 32, b"n" * 40
    by_old = TokenKeys(old).sign(CAUSAL)
    between = TokenKeys(new, old)
    by_new = between.sign(CAUSAL)
    assert read_causal_token(by_old, between).verified
    assert read_causal_token(by_new, between).verified
    assert read_causal_token(by_new, TokenKeys(old, new)).verified
    assert reason(by_old, TokenKeys(new)) == "signature"


@pytest.mark.parametrize(
    "keys", [(), ("short",), ("",), (b"x" * 31,), (None,), (7,), ("k" * 32, "short"), (["k"] * 32,)]
)
def test_there_must_be_keys_and_they_must_be_long(keys: Any) -> None:
    with pytest.raises(ConfigurationError):
        TokenKeys(*keys)


def test_keys_are_shown_nowhere() -> None:
    keys = TokenKeys("s3cret" * 6)
    assert repr(keys) == "<TokenKeys, 1>"
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            copied(keys)


# --- the deployment ---


def server(kind: ServerType, **fields: Any) -> dict[Address, ServerDescription]:
    address = Address("db1.example", 27017)
    return {address: ServerDescription(address, kind, **fields)}


REPLICA_SET = TopologyDescription(TopologyType.REPLICA_SET_WITH_PRIMARY, set_name="rs0")


@pytest.mark.parametrize(
    "description",
    [
        TopologyDescription(TopologyType.REPLICA_SET_NO_PRIMARY, set_name="rs0"),
        TopologyDescription(
            TopologyType.REPLICA_SET_WITH_PRIMARY,
            server(ServerType.RS_PRIMARY, set_name="rs0", set_version=9, election_id=ObjectId()),
            set_name="rs0",
        ),
        TopologyDescription(TopologyType.SINGLE, server(ServerType.RS_SECONDARY, set_name="rs0")),
    ],
    ids=["no primary", "other hosts and another election", "connected to one member"],
)
def test_a_replica_set_keeps_its_label(description: TopologyDescription) -> None:
    assert deployment_label(description) == deployment_label(REPLICA_SET)


def test_other_deployments_have_other_labels() -> None:
    labels = {
        deployment_label(description)
        for description in (
            REPLICA_SET,
            TopologyDescription(TopologyType.REPLICA_SET_NO_PRIMARY, set_name="rs1"),
            TopologyDescription(TopologyType.REPLICA_SET_NO_PRIMARY, set_name="\ud800"),
            TopologyDescription(TopologyType.SHARDED),
            TopologyDescription(TopologyType.SINGLE, server(ServerType.STANDALONE)),
            TopologyDescription(),
        )
    }
    assert len(labels) == 6
    assert UNKNOWN_DEPLOYMENT in labels


def test_a_sharded_cluster_has_one_label_however_it_is_reached() -> None:
    labels = {
        deployment_label(TopologyDescription(TopologyType.SHARDED)),
        deployment_label(TopologyDescription(TopologyType.LOAD_BALANCED)),
        deployment_label(TopologyDescription(TopologyType.SINGLE, server(ServerType.MONGOS))),
    }
    assert len(labels) == 1


@pytest.mark.parametrize(
    "token, own, same",
    [
        (HERE, HERE, True),
        (HERE, b"another!", False),
        (UNKNOWN_DEPLOYMENT, HERE, True),
        (HERE, UNKNOWN_DEPLOYMENT, True),
    ],
)
def test_what_is_not_known_is_not_foreign(token: bytes, own: bytes, same: bool) -> None:
    assert same_deployment(token, own) is same
