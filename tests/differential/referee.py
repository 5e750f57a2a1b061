"""The referee: lays out the starting data and reads what is left. A client of its own, whoever is compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from tests.differential.world import STARTING_DATA, Starting

#: A database's collections by name: options, indexes and documents, each as the bytes of BSON.
State = Mapping[str, tuple[bytes, tuple[bytes, ...], tuple[bytes, ...]]]


class Referee:
    """Reads and restores databases on the deployment at ``uri``, which it prepares for short scenarios."""

    def __init__(self, uri: str) -> None:
        self._client: MongoClient[RawBSONDocument] = MongoClient(uri, document_class=RawBSONDocument)
        #: What each database holds when the starting data is laid out.
        self._made: dict[str, State] = {}
        self._client.admin.command("setDefaultRWConcern", 1, defaultWriteConcern={"w": 1})
        self._client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=10)

    def state(self, database: str) -> State:
        """What a database holds, documents in their natural order."""
        handle = self._client[database]
        found = {}
        for collection in handle.list_collections():
            name = str(collection["name"])
            if name.startswith("system."):
                continue
            is_view = collection["type"] == "view"
            indexes = [] if is_view else [bson.encode(index) for index in handle[name].list_indexes()]
            documents = [] if is_view else [bytes(document.raw) for document in handle[name].find()]
            found[name] = (bson.encode(collection["options"]), tuple(sorted(indexes)), tuple(documents))
        return dict(sorted(found.items()))

    def restore(self, database: str) -> None:
        """Have the database hold the starting data and nothing else; what does so already is left alone."""
        made = self._made.get(database)
        if made is None:
            self._client.drop_database(database)
            for name, starting in STARTING_DATA.items():
                self._create(database, name, starting)
            self._made[database] = self.state(database)
            return
        left = self.state(database)
        for name in left.keys() - made.keys():
            self._client[database].drop_collection(name)
        for name, wanted in made.items():
            if left.get(name) != wanted:
                self._repair(database, name, wanted, left.get(name))

    def _repair(self, database: str, name: str, wanted: Any, left: Any) -> None:
        starting = STARTING_DATA[name]
        if left is not None and left[:2] == wanted[:2] and "capped" not in starting.options:
            collection = self._client[database][name]
            collection.delete_many({})
            if starting.documents:
                collection.insert_many(map(RawBSONDocument, wanted[2]))
            return
        self._client[database].drop_collection(name)
        self._create(database, name, starting)

    def _create(self, database: str, name: str, starting: Starting) -> None:
        handle = self._client[database]
        handle.create_collection(name, **starting.options)
        if starting.documents:
            handle[name].insert_many(RawBSONDocument(bson.encode(document)) for document in starting.documents)
        if starting.indexes:
            handle.command("createIndexes", name, indexes=list(starting.indexes))

    def meddle(self, database: str, collection: str, document: Mapping[str, Any]) -> None:
        """Insert a document behind the drivers' backs, for tests of the lab."""
        self._client[database][collection].insert_one(RawBSONDocument(bson.encode(document)))

    def drop(self, databases: Iterable[str]) -> None:
        """Drop databases."""
        for name in databases:
            self._client.drop_database(name)

    def close(self) -> None:
        """Close the client."""
        self._client.close()


def decoded(state: State) -> dict[str, Any]:
    """A state as values."""
    return {
        name: {
            "options": bson.decode(options),
            "indexes": [bson.decode(index) for index in indexes],
            "documents": [bson.decode(document) for document in documents],
        }
        for name, (options, indexes, documents) in state.items()
    }
