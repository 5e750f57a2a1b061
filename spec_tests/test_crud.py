"""The unified tests of the specification "crud"."""

from spec_tests.under_pytest import suite_tests

test_crud = suite_tests("crud")
