"""The unified tests of the specification "server-discovery-and-monitoring"."""

from spec_tests.under_pytest import suite_tests

test_server_discovery_and_monitoring = suite_tests("server-discovery-and-monitoring")
