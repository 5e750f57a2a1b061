"""The unified tests of the specification "transactions-convenient-api"."""

from spec_tests.under_pytest import suite_tests

test_transactions_convenient_api = suite_tests("transactions-convenient-api")
