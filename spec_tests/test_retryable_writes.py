"""The unified tests of the specification "retryable-writes"."""

from spec_tests.under_pytest import suite_tests

test_retryable_writes = suite_tests("retryable-writes")
