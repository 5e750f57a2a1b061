"""The unified tests of the specification "change-streams"."""

from spec_tests.under_pytest import suite_tests

test_change_streams = suite_tests("change-streams")
