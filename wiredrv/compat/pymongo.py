"""Makes the errors of this driver PyMongo's too. Import it once, anywhere, before or after anything else::

    import wiredrv.compat.pymongo

From then on, ``except pymongo.errors.DuplicateKeyError`` also catches :class:`wiredrv.errors.DuplicateKeyError`: in
libraries that were written for PyMongo, in exception groups, and for errors that were raised before. Each class of
:mod:`wiredrv.errors` becomes a subclass of the class of ``pymongo.errors`` or ``gridfs.errors`` with its name;
:data:`BASES` lists those that have another name there. Nothing else changes: the methods and attributes of the errors
stay this driver's, and PyMongo's own errors stay as they are.

It cannot be undone: it changes the classes, for the whole process. This is the only module that imports ``pymongo``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gridfs.errors
import pymongo.errors

from wiredrv import errors
from wiredrv.server_facts import ErrorCode
from wiredrv.types import Document


class _PyMongoParts(errors._Root):
    """The attributes that ``pymongo.errors.PyMongoError`` sets in its constructor, which is not called."""

    _labels: set[str]

    @property
    def _message(self) -> str:
        return str(self.args[0]) if self.args else ""

    @property
    def _error_labels(self) -> set[str]:
        return self._labels

    @_error_labels.setter
    def _error_labels(self, labels: set[str]) -> None:
        self._labels = labels

    @property
    def _max_wire_version(self) -> int | None:
        return getattr(self, "max_wire_version", None)

    @property
    def _base_backoff_ms(self) -> float | None:
        return (getattr(self, "details", None) or {}).get("baseBackoffMS")


class _NoReply(errors._Root):
    """The attributes of ``pymongo.errors.AutoReconnect``, for an error that stands for no reply of a server."""

    @property
    def errors(self) -> list[Any]:
        return []

    @property
    def details(self) -> Document:
        return {}


class _Expired(_NoReply):
    """The attributes of ``pymongo.errors.OperationFailure``, as PyMongo fills them when a time limit has passed."""

    code = ErrorCode.MaxTimeMSExpired.value

    @property
    def details(self) -> Document:
        return {"ok": 0, "errmsg": str(self), "code": self.code}


#: Classes of this driver whose counterpart has another name, and what they become.
BASES: dict[type[errors.DriverError], tuple[type[BaseException], ...]] = {
    errors.DriverError: (_PyMongoParts, pymongo.errors.PyMongoError),
    # What PyMongo's with_transaction raises when it is out of time, and what it raises within a `pymongo.timeout()`.
    errors.TransactionTimeoutError: (_NoReply, pymongo.errors.NetworkTimeout),
    errors.TransactionLimitExceeded: (_Expired, pymongo.errors.ExecutionTimeout),
    errors.OperationTimeout: (_Expired, pymongo.errors.ExecutionTimeout),
}


def _counterparts(kind: type[errors.DriverError]) -> tuple[type[BaseException], ...]:
    """What a class becomes besides what it is."""
    if kind in BASES:
        return BASES[kind]
    found = getattr(pymongo.errors, kind.__name__, None) or getattr(gridfs.errors, kind.__name__, None)
    return (found,) if found is not None and found not in kind.__mro__ else ()


def _classes() -> Iterator[type[errors.DriverError]]:
    """The classes of ``wiredrv.errors``, each after its bases."""
    found = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DriverError)}
    return iter(sorted(found, key=lambda kind: len(kind.__mro__)))


def _become_pymongos() -> None:
    """Add the bases to all classes, or to none.

    :raises ImportError: a class of the application derives from both drivers' errors in an order that does not fit.
    """
    before: dict[type[errors.DriverError], tuple[type, ...]] = {}
    try:
        for kind in _classes():
            added = _counterparts(kind)
            if added and added[-1] not in kind.__bases__:
                bases = kind.__bases__
                kept = () if kind is errors.DriverError else bases
                kind.__bases__ = (*kept, *added)
                before[kind] = bases
    except TypeError as problem:
        for kind, bases in reversed(before.items()):
            kind.__bases__ = bases
        raise ImportError(
            "the errors of wiredrv cannot become PyMongo's: a class derives from an error of PyMongo's and then from "
            "one of wiredrv's; name wiredrv's first among its bases, or import wiredrv.compat.pymongo before it "
            f"({problem})"
        ) from problem


_become_pymongos()
