"""The unified tests of the specification "client-side-operations-timeout"."""

from spec_tests.under_pytest import suite_tests

test_client_side_operations_timeout = suite_tests("client-side-operations-timeout")
