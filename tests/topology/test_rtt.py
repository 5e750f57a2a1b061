"""Round-trip times: the moving average and the least of the last ten (server-selection specification)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.topology.rtt import RoundTripTimes

samples = st.lists(st.floats(0.0001, 10.0), min_size=1, max_size=30)


def fed(*values: float) -> RoundTripTimes:
    times = RoundTripTimes()
    for value in values:
        times.add(value)
    return times


def test_nothing_is_known_before_the_first_sample() -> None:
    times = RoundTripTimes()
    assert (times.average, times.least) == (None, 0.0)


@pytest.mark.parametrize(
    "values, average", [((0.5,), 0.5), ((0.0, 1.0), 0.2), ((1.0, 0.0), 0.8), ((0.1, 0.2, 0.3), 0.156)]
)
def test_the_newest_sample_weighs_a_fifth(values: tuple[float, ...], average: float) -> None:
    assert fed(*values).average == pytest.approx(average)


def test_the_least_needs_two_samples() -> None:
    assert fed(0.5).least == 0.0
    assert fed(0.5, 0.7).least == 0.5


def test_the_least_is_that_of_the_last_ten() -> None:
    times = fed(0.001, *[0.5] * 9)
    assert times.least == 0.001
    times.add(0.6)
    assert times.least == 0.5


def test_a_lost_server_is_measured_anew() -> None:
    times = fed(5.0, 5.0)
    times.reset()
    assert (times.average, times.least) == (None, 0.0)
    times.add(0.1)
    assert times.average == 0.1


@given(samples)
def test_the_average_lies_among_the_samples(values: list[float]) -> None:
    average = fed(*values).average
    assert average is not None
    assert min(values) - 1e-9 <= average <= max(values) + 1e-9


@given(samples)
def test_the_least_is_one_of_the_last_ten(values: list[float]) -> None:
    expected = min(values[-10:]) if len(values) > 1 else 0.0
    assert fed(*values).least == expected
