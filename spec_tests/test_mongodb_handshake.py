"""The unified tests of the specification "mongodb-handshake"."""

from spec_tests.under_pytest import suite_tests

test_mongodb_handshake = suite_tests("mongodb-handshake")
