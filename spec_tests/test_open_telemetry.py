"""The unified tests of the specification "open-telemetry"."""

from spec_tests.under_pytest import suite_tests

test_open_telemetry = suite_tests("open-telemetry")
