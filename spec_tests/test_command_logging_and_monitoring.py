"""The unified tests of the specification "command-logging-and-monitoring"."""

from spec_tests.under_pytest import suite_tests

test_command_logging_and_monitoring = suite_tests("command-logging-and-monitoring")
