"""The unified tests of the specification "server-selection"."""

from spec_tests.under_pytest import suite_tests

test_server_selection = suite_tests("server-selection")
