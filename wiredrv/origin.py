"""Where in a user's program a call comes from, for warnings and errors that name it. It is cheap: no traceback is
created.
"""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def caller() -> str:
    """``file:line`` of the nearest frame outside of this package."""
    frame, _level = _nearest_outside()
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def warn(text: str, category: type[Warning]) -> None:
    """Warn at the nearest line outside of this package."""
    _frame, level = _nearest_outside()
    warnings.warn(text, category, stacklevel=level)


def _nearest_outside() -> tuple[FrameType, int]:
    """The nearest frame outside of this package, or the outermost one; and its ``stacklevel`` for the caller."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return frame, level
