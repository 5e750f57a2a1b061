"""What PyMongo's clients, databases and collections have, and ours do not.

An attribute that a handle lacks is a database or a collection. A name of PyMongo's that is taken for one would be
answered, with an object that means something else; so each raises AttributeError with what to use instead.
"""

from __future__ import annotations

_NO_STREAMS = "this version has no change streams"
_NO_SEARCH = "this version has no helpers for search indexes; database.command() sends their commands"
_NO_RAW = "this version has no raw batches; codec_options with document_class=RawBSONDocument keeps documents as bytes"
_NO_ITERATION = "it cannot be iterated"

#: For each kind of handle, the names, and what to say of them.
ABSENT: dict[str, dict[str, str]] = {
    "Client": {
        "HOST": "the default host is localhost",
        "PORT": "the default port is 27017",
        "aclose": "use close()",
        "aconnect": "use open()",
        "address": "use primary, or topology_description",
        "arbiters": "topology_description.servers tells the type of each server",
        "bulk_write": "this version has no bulk writes across collections; each collection has bulk_write()",
        "eq_props": "compare clients with `is`",
        "is_mongos": "use is_sharded",
        "is_primary": "use primary, which is None while none is known",
        "next": _NO_ITERATION,
        "options": "the client has codec_options, read_preference, read_concern and write_concern",
        "watch": _NO_STREAMS,
    },
    "Database": {
        "dereference": "find the document by its _id in the collection that the DBRef names",
        "next": _NO_ITERATION,
        "validate_collection": 'use command("validate", name)',
        "watch": _NO_STREAMS,
    },
    "Collection": {
        "aggregate_raw_batches": _NO_RAW,
        "create_search_index": _NO_SEARCH,
        "create_search_indexes": _NO_SEARCH,
        "drop_search_index": _NO_SEARCH,
        "find_raw_batches": _NO_RAW,
        "list_search_indexes": "aggregate([{'$listSearchIndexes': {}}]) lists them",
        "next": _NO_ITERATION,
        "update_search_index": _NO_SEARCH,
        "watch": _NO_STREAMS,
    },
}


def refuse_absent(handle: str, name: str, what: str) -> None:
    """Refuse an attribute that is private, or that PyMongo has and this driver has not.

    :param handle: what kind of handle was asked.
    :param name: the attribute.
    :param what: how a database or collection of that name is had, with a place for the name.
    :raises AttributeError: it is one of these.
    """
    advice = "" if name.startswith("_") else ABSENT[handle].get(name)
    if advice is not None:
        reason = f": {advice}" if advice else ""
        raise AttributeError(f"{handle} has no attribute {name!r}{reason}; {what.format(repr(name))}")
