"""The unified tests of the specification "gridfs"."""

from spec_tests.under_pytest import suite_tests

test_gridfs = suite_tests("gridfs")
