"""A place in a user's program is identified, whichever part of the driver asks for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from inspect import currentframe

import pytest

import wiredrv
from wiredrv.origin import caller
from wiredrv.wire import compression


def _line() -> int:
    frame = currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_the_caller_is_the_nearest_line_outside_of_the_package() -> None:
    assert caller() == f"{__file__}:{_line()}"


def _strange_option() -> None:
    wiredrv.Client("mongodb://localhost/?madeUp=1")


def _compressor_that_is_missing() -> None:
    wiredrv.Client("mongodb://localhost/?compressors=zstd")


@pytest.mark.parametrize("make", [_strange_option, _compressor_that_is_missing])
def test_a_warning_points_to_the_line_that_gave_the_option(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], None]
) -> None:
    monkeypatch.setattr(compression, "available", lambda _name: False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    (warning,) = caught
    assert (warning.filename, warning.lineno) == (__file__, make.__code__.co_firstlineno + 1)
