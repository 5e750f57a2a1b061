"""What is kept of an error once nothing else refers to it."""

from __future__ import annotations

import gc
import weakref

from wiredrv.errors import TRANSIENT_TRANSACTION, DriverError, OperationFailure
from wiredrv.session.kept_error import KeptError


class _Data:
    """A user's object."""


def _failing(error: Exception) -> tuple[KeptError, weakref.ref[_Data]]:
    """Raise an error in a frame that holds data, and keep it."""
    data = _Data()
    try:
        raise error from ValueError("below")
    except Exception as caught:
        return KeptError(caught), weakref.ref(data)


def test_the_error_itself_is_found_while_somebody_holds_it() -> None:
    error = OperationFailure("refused", 112, {"code": 112}, error_labels=[TRANSIENT_TRANSACTION])
    kept, _ = _failing(error)
    assert kept.get() is error


def test_afterwards_a_copy_says_the_same_and_holds_no_frame() -> None:
    details = {"code": 112, "errmsg": "refused"}
    kept, data = _failing(OperationFailure("refused", 112, details, error_labels=[TRANSIENT_TRANSACTION]))
    gc.collect()
    assert data() is None
    found = kept.get()
    assert isinstance(found, OperationFailure)
    assert (str(found), found.code, set(found.error_labels)) == ("refused", 112, {TRANSIENT_TRANSACTION})
    assert found.details == details
    assert (found.__traceback__, found.__cause__, found.__context__) == (None, None, None)


def test_an_error_whose_text_cannot_be_read_is_named_by_its_class() -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise AttributeError("no text")

    kept = KeptError(Unprintable())
    gc.collect()
    assert str(kept.get()) == "Unprintable"


def test_an_error_that_is_not_the_drivers_is_named() -> None:
    kept, data = _failing(ZeroDivisionError("a listener's"))
    gc.collect()
    assert data() is None
    assert type(kept.get()) is DriverError
    assert str(kept.get()) == "ZeroDivisionError: a listener's"
