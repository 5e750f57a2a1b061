"""The unified tests of the specification "retryable-reads"."""

from spec_tests.under_pytest import suite_tests

test_retryable_reads = suite_tests("retryable-reads")
