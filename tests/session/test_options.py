"""The options with which sessions and transactions may be started, and contradictory ones."""

from __future__ import annotations

from typing import Any

import pytest
from bson.timestamp import Timestamp

from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.errors import ConfigurationError
from wiredrv.session.options import SessionOptions, TransactionOptions

TIME = Timestamp(5, 1)


@pytest.mark.parametrize(
    "given, causal",
    [
        ({}, True),
        ({"causal_consistency": True}, True),
        ({"causal_consistency": False}, False),
        ({"snapshot": True}, False),
        ({"snapshot": True, "causal_consistency": False}, False),
    ],
)
def test_causal_consistency_is_on_unless_a_snapshot_is_asked_for(given: dict[str, Any], causal: bool) -> None:
    assert SessionOptions(**given).causal_consistency is causal


@pytest.mark.parametrize(
    "given, says",
    [
        ({"snapshot": True, "causal_consistency": True}, "exclude each other"),
        ({"snapshot_time": TIME}, "snapshot=True"),
        ({"snapshot": True, "snapshot_time": 5}, "Timestamp"),
        ({"default_transaction_options": {"max_commit_time_ms": 1}}, "TransactionOptions"),
    ],
)
def test_contradicting_session_options_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        SessionOptions(**given)


@pytest.mark.parametrize(
    "given, says",
    [
        ({"read_concern": "majority"}, "read_concern must be a ReadConcern"),
        ({"write_concern": {"w": 1}}, "write_concern must be a WriteConcern"),
        ({"read_preference": "primary"}, "read_preference must be a ReadPreference"),
        ({"write_concern": WriteConcern(w=0)}, "unacknowledged"),
        ({"max_commit_time_ms": -1}, "milliseconds"),
        ({"max_commit_time_ms": 1.5}, "milliseconds"),
        ({"max_commit_time_ms": True}, "milliseconds"),
    ],
)
def test_wrong_transaction_options_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        TransactionOptions(**given)


def test_what_a_transaction_leaves_open_comes_from_the_defaults() -> None:
    defaults = TransactionOptions(ReadConcern("majority"), WriteConcern("majority"), ReadPreference.PRIMARY, 100)
    own = TransactionOptions(read_concern=ReadConcern("snapshot"), max_commit_time_ms=0)
    both = own.over(defaults)
    assert both == TransactionOptions(ReadConcern("snapshot"), WriteConcern("majority"), ReadPreference.PRIMARY, 0)
    assert own.over(None) is own
