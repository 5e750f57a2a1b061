"""The unified tests of the specification "client-backpressure"."""

from spec_tests.under_pytest import suite_tests

test_client_backpressure = suite_tests("client-backpressure")
