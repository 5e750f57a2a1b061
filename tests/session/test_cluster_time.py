"""Gossip: the later cluster time wins, whoever signed it (sessions specification, "Gossipping the cluster time")."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Int64
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.errors import ConfigurationError
from wiredrv.session.cluster_time import ClusterClock, check_cluster_time, later


def at(seconds: int, increment: int = 0, signature: str = "s") -> dict[str, Any]:
    return {
        "clusterTime": Timestamp(seconds, increment),
        "signature": {"hash": signature.encode(), "keyId": Int64(7)},
    }


@pytest.mark.parametrize(
    "one, other, expected",
    [
        (None, None, None),
        (at(1), None, at(1)),
        (None, at(1), at(1)),
        (at(1), at(2), at(2)),
        (at(2), at(1), at(2)),
        (at(1, 5), at(1, 6), at(1, 6)),
        (at(2, 0), at(1, 9), at(2, 0)),
        (at(1, 1, "first"), at(1, 1, "second"), at(1, 1, "first")),
    ],
)
def test_the_later_of_two(one: Any, other: Any, expected: Any) -> None:
    assert later(one, other) == expected


times = st.builds(at, st.integers(0, 50), st.integers(0, 50))


@given(st.lists(times, max_size=10))
def test_the_clock_keeps_the_highest_in_whatever_order_they_come(received: list[dict[str, Any]]) -> None:
    clock = ClusterClock()
    for cluster_time in received:
        clock.learn(cluster_time)
    highest = max((cluster_time["clusterTime"] for cluster_time in received), default=None)
    assert (clock.latest or {}).get("clusterTime") == highest


def test_the_clock_takes_no_time_that_every_server_would_refuse() -> None:
    clock = ClusterClock()
    assert clock.learn({"clusterTime": Timestamp(1, 1)}) is not None  # a signature is not required
    for signature in (5, "x", {}, {"hash": b"x"}, {"hash": "x", "keyId": 1}, {"hash": b"x", "keyId": 1.5}):
        assert clock.learn({"clusterTime": Timestamp(9, 9), "signature": signature}) is None
    assert clock.latest == {"clusterTime": Timestamp(1, 1)}
    assert clock.learn(at(2)) == at(2)
    assert clock.learn(at(3, signature="t")) == clock.latest == at(3, signature="t")


@pytest.mark.parametrize("value", [None, 1, {}, {"clusterTime": 5}, {"signature": 1}, [Timestamp(1, 1)]])
def test_what_is_no_cluster_time_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="clusterTime"):
        check_cluster_time(value)


def test_a_cluster_time_is_taken_as_it_is() -> None:
    assert check_cluster_time(at(1)) == at(1)
