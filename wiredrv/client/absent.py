"""Attributes that clients, databases and collections of PyMongo have and those of wiredrv do not, and misspelt methods.

Any other attribute of a client is a database, and any other attribute of a database or collection is a collection. So
that a method of PyMongo's is not silently taken for a collection, each of these names raises AttributeError, which says
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
        "aclose": "use close()",
        "aconnect": "use open()",
        "address": "use primary, or topology_description",
        "arbiters": "topology_description.servers tells the type of each server",
        "eq_props": "compare clients with `is`",
        "is_mongos": "use is_sharded",
        "is_primary": "use primary, which is None while none is known",
        "next": _NO_ITERATION,
        "options": "the client has codec_options, read_preference, read_concern and write_concern",
    },
    "Database": {
        "next": _NO_ITERATION,
    },
    "Collection": {
        "next": _NO_ITERATION,
    },
}

#: Classes of PyMongo's asynchronous API, and of the synchronous one where only that has the name -> their names here.
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
}


def renamed_note(name: str) -> str:
    """What a class of PyMongo's is called here, as the end of a message; else an empty string."""
    return f": PyMongo's {name} is {RENAMED[name]} here" if name in RENAMED else ""


def refuse_absent(handle: str, name: str, what: str) -> None:
    """Refuse an attribute that is private, or that PyMongo has and wiredrv does not.

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
