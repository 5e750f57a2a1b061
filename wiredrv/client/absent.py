"""Attributes that handles of PyMongo and Motor have and those of wiredrv do not, and misspelt methods.

Any other attribute of a client is a database, and any other attribute of a database or collection is a collection. So
that a method of theirs is not silently taken for a collection, each of these names raises AttributeError, which says
what to use instead. A misspelt method is noticed when it is called. The classes that have another name here are listed
for the same error of the package ``wiredrv``.
"""

from __future__ import annotations

from wiredrv.types import near_match

_NO_ITERATION = "it cannot be iterated"

#: For each kind of handle: the names that are missing, and what to use instead.
ABSENT: dict[str, dict[str, str]] = {
    "Client": {
        "HOST": "the default host is localhost",
        "PORT": "the default port is 27017",
        "eq_props": "compare clients with `is`",
        "get_io_loop": "it belongs to the event loop in which it was opened",
        "io_loop": "it belongs to the event loop in which it was opened",
        "next": _NO_ITERATION,
        "wrap": "documents need no wrapping",
    },
    "Database": {
        "get_io_loop": "its client belongs to the event loop in which it was opened",
        "next": _NO_ITERATION,
        "wrap": "documents need no wrapping",
    },
    "Collection": {
        "get_io_loop": "its client belongs to the event loop in which it was opened",
        "next": _NO_ITERATION,
        "wrap": "documents need no wrapping",
    },
}

#: Classes of PyMongo's asynchronous API (of the synchronous one where only that has the name) and of Motor's -> their
#: names here.
RENAMED = {
    "AsyncChangeStream": "ChangeStream",
    "AsyncClientSession": "ClientSession",
    "AsyncClusterChangeStream": "ChangeStream",
    "AsyncCollection": "Collection",
    "AsyncCollectionChangeStream": "ChangeStream",
    "AsyncCommandCursor": "CommandCursor",
    "AsyncCursor": "Cursor",
    "AsyncDatabase": "Database",
    "AsyncDatabaseChangeStream": "ChangeStream",
    "AsyncGridFSBucket": "GridFSBucket",
    "AsyncGridIn": "GridIn",
    "AsyncGridOut": "GridOut",
    "AsyncGridOutCursor": "GridOutCursor",
    "AsyncMongoClient": "Client",
    "AsyncRawBatchCommandCursor": "RawBatchCommandCursor",
    "AsyncRawBatchCursor": "RawBatchCursor",
    "MongoClient": "Client",
    "AsyncIOMotorChangeStream": "ChangeStream",
    "AsyncIOMotorClient": "Client",
    "AsyncIOMotorClientSession": "ClientSession",
    "AsyncIOMotorCollection": "Collection",
    "AsyncIOMotorCommandCursor": "CommandCursor",
    "AsyncIOMotorCursor": "Cursor",
    "AsyncIOMotorDatabase": "Database",
    "AsyncIOMotorGridFSBucket": "GridFSBucket",
    "AsyncIOMotorGridIn": "GridIn",
    "AsyncIOMotorGridOut": "GridOut",
    "AsyncIOMotorGridOutCursor": "GridOutCursor",
}


def renamed_note(name: str) -> str:
    """What a class of PyMongo's or Motor's is called here, as the end of a message; else an empty string."""
    whose = "Motor" if name.startswith("AsyncIOMotor") else "PyMongo"
    return f": {whose}'s {name} is {RENAMED[name]} here" if name in RENAMED else ""


def refuse_absent(handle: str, name: str, what: str) -> None:
    """Refuse an attribute that is private, or that PyMongo or Motor has and wiredrv does not.

    :param handle: the kind of handle: a key of :data:`ABSENT`.
    :param name: the attribute.
    :param what: how to get the database or the collection of that name, with a placeholder for the name.
    :raises AttributeError: the attribute is one of these.
    """
    advice = "" if name.startswith("_") else ABSENT[handle].get(name)
    if advice is not None:
        reason = f": {advice}" if advice else ""
        raise AttributeError(f"{handle} has no attribute {name!r}{reason}; {what.format(repr(name))}")


def did_you_mean(name: str, handle: object) -> str:
    """The method of ``handle`` that ``name`` probably stands for, as the end of a message; else an empty string."""
    methods = [
        method for method in dir(type(handle)) if not method.startswith("_") and callable(getattr(type(handle), method))
    ]
    near = near_match(name, methods)
    return f"; did you mean {near}()?" if near else ""
