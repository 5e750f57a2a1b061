"""What the record of a transaction says about its commands."""

from __future__ import annotations

import pytest

from wiredrv.session.transaction import Transaction
from wiredrv.types import Address, SentCommand, TransactionRecord


@pytest.mark.parametrize(("sent", "shown"), [(0, 0), (1, 1), (20, 20), (21, 21), (22, 21), (5000, 21)])
def test_of_many_commands_a_summary_shows_the_first_and_the_last_ones(sent: int, shown: int) -> None:
    address = Address("localhost", 27017)
    commands = tuple(SentCommand(f"command{n}", address, n / 1000, 0.001, "ok") for n in range(sent))
    title, *lines = TransactionRecord(1, 7, None, commands, None).summary().split("\n")
    assert title == "transaction 7, attempt 1"
    assert len(lines) == shown
    if sent:
        assert "command0 " in lines[0]
        assert f"command{sent - 1} " in lines[-1]
    if sent > shown:
        assert f"and {sent - 20} more commands" in lines[10]


def test_the_record_of_a_very_long_transaction_is_bounded() -> None:
    address = Address("localhost", 27017)
    transaction = Transaction()
    for n in range(100_000):
        transaction.note(SentCommand(f"command{n}", address, n / 1000, 0.001, "ok"))
    record = transaction.record("an id", 7, None)
    assert 1000 < len(record.commands) < 2200
    assert len(record.commands) + record.left_out == 100_000
    numbers = [int(sent.name.removeprefix("command")) for sent in record.commands]
    assert numbers[:100] == list(range(100))
    assert numbers[100:] == list(range(100 + record.left_out, 100_000))
    title, *lines = record.summary().split("\n")
    assert title == "transaction 7 of session an id on localhost:27017, attempt 1"
    assert len(lines) == 21
    assert "and 99980 more commands" in lines[10]
