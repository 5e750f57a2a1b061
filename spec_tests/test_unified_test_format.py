"""The unified tests of the specification "unified-test-format"."""

from spec_tests.under_pytest import suite_tests

test_unified_test_format = suite_tests("unified-test-format")
