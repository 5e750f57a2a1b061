"""What the tests in all folders share."""

from tests.support.skips import pytest_terminal_summary as pytest_terminal_summary
