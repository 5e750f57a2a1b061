"""The unified tests of the specification "causal-consistency"."""

from spec_tests.under_pytest import suite_tests

test_causal_consistency = suite_tests("causal-consistency")
