"""The unified tests of the specification "index-management"."""

from spec_tests.under_pytest import suite_tests

test_index_management = suite_tests("index-management")
