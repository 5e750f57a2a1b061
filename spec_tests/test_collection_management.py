"""The unified tests of the specification "collection-management"."""

from spec_tests.under_pytest import suite_tests

test_collection_management = suite_tests("collection-management")
