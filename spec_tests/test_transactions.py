"""The unified tests of the specification "transactions"."""

from spec_tests.under_pytest import suite_tests

test_transactions = suite_tests("transactions")
