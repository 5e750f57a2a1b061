"""The unified tests of the specification "versioned-api"."""

from spec_tests.under_pytest import suite_tests

test_versioned_api = suite_tests("versioned-api")
