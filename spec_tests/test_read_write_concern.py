"""The unified tests of the specification "read-write-concern"."""

from spec_tests.under_pytest import suite_tests

test_read_write_concern = suite_tests("read-write-concern")
