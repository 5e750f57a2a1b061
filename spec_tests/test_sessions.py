"""The unified tests of the specification "sessions"."""

from spec_tests.under_pytest import suite_tests

test_sessions = suite_tests("sessions")
