"""The unified tests of the specification "run-command"."""

from spec_tests.under_pytest import suite_tests

test_run_command = suite_tests("run-command")
