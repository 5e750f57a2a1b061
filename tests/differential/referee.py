"""The referee: creates the starting data and reads the data at the end. It has its own client, whatever is compared.

Scenarios are short, so the work around them matters: a digest of each collection (``dbHash``) shows whether anything
changed, and only what did is read or repaired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from tests.differential.world import STARTING_DATA, Starting

#: A database's collections by name: options, indexes and documents, each as BSON bytes.
State = Mapping[str, tuple[bytes, tuple[bytes, ...], tuple[bytes, ...]]]


@dataclass(frozen=True)
class Digest:
    """What identifies a collection's state: its options, its documents' digest, and which collection it is."""

    options: bytes
    documents: str
    uuid: bytes = b""

    @property
    def content(self) -> tuple[bytes, str]:
        """The part that can be equal in two databases."""
        return self.options, self.documents


class Referee:
    """Reads and restores databases on the deployment at ``uri``, which it prepares for short scenarios."""

    def __init__(self, uri: str) -> None:
        self._client: MongoClient[RawBSONDocument] = MongoClient(uri, document_class=RawBSONDocument)
        #: The content of each database with the starting data, and the indexes of its collections.
        self._made: dict[str, dict[str, Digest]] = {}
        self._indexes: dict[str, dict[str, tuple[bytes, ...]]] = {}
        #: The content of each database when it was last compared: nothing changes until it is recreated.
        self._compared: dict[str, dict[str, Digest]] = {}
        self._have_majorities_answer_at_once()
        self._client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=10)

    def _have_majorities_answer_at_once(self) -> None:
        """A majority of one member need not wait for its disk; so majority reads see the latest writes."""
        config = dict(self._client.admin.command("replSetGetConfig")["config"])
        if config.get("writeConcernMajorityJournalDefault", True):
            config.update(version=config["version"] + 1, writeConcernMajorityJournalDefault=False)
            self._client.admin.command("replSetReconfig", config)

    # --- reading ---

    def digests(self, database: str) -> dict[str, Digest]:
        """The digests of all collections and views of a database."""
        hashes: Mapping[str, Any] = self._client[database].command("dbHash")["collections"]
        found = {}
        for collection in self._client[database].list_collections():
            name, uuid = str(collection["name"]), bytes(collection["info"].get("uuid", b""))
            if not name.startswith("system."):
                found[name] = Digest(bson.encode(collection["options"]), str(hashes.get(name, "")), uuid)
        return found

    def differ(self, databases: tuple[str, str], indexes: bool) -> bool:
        """Whether two databases may hold different things.

        :param indexes: whether their indexes may differ.
        """
        self._compared = {name: self.digests(name) for name in databases}
        first, second = ({n: d.content for n, d in digests.items()} for digests in self._compared.values())
        return indexes or first != second

    def state(self, database: str) -> State:
        """What a database holds, documents in their natural order."""
        found = {}
        for name, digest in self.digests(database).items():
            documents = self._client[database][name].find() if digest.uuid else ()
            contents = tuple(bytes(document.raw) for document in documents)
            found[name] = (digest.options, self._read_indexes(database, name) if digest.uuid else (), contents)
        return dict(sorted(found.items()))

    def _read_indexes(self, database: str, name: str) -> tuple[bytes, ...]:
        return tuple(sorted(bson.encode(index) for index in self._client[database][name].list_indexes()))

    # --- creating the starting data ---

    def restore(self, database: str, indexes: bool = True) -> None:
        """Make the database contain exactly the starting data; collections that already match are left alone.

        :param indexes: whether indexes may have changed.
        """
        made = self._made.get(database)
        if made is None:
            self._client.drop_database(database)
            for name, starting in STARTING_DATA.items():
                self._create(database, name, starting)
            self._made[database] = self.digests(database)
            tables = [name for name, digest in self._made[database].items() if digest.uuid]
            self._indexes[database] = {name: self._read_indexes(database, name) for name in tables}
            return
        left = self._compared.pop(database, None) or self.digests(database)
        for name in left.keys() - made.keys():
            self._client[database].drop_collection(name)
        for name, wanted in made.items():
            if indexes and wanted.uuid and self._read_indexes(database, name) != self._indexes[database][name]:
                self._recreate(database, name)
            elif left.get(name) != wanted:
                self._repair(database, name, wanted, left.get(name))

    def _repair(self, database: str, name: str, wanted: Digest, left: Digest | None) -> None:
        starting = STARTING_DATA[name]
        if left is None or left.uuid != wanted.uuid or "capped" in starting.options:
            self._recreate(database, name)
            return
        collection = self._client[database][name]
        collection.delete_many({})
        if starting.documents:
            collection.insert_many(_raw(starting))

    def _recreate(self, database: str, name: str) -> None:
        self._client[database].drop_collection(name)
        self._create(database, name, STARTING_DATA[name])
        self._made[database][name] = self.digests(database)[name]

    def _create(self, database: str, name: str, starting: Starting) -> None:
        handle = self._client[database]
        handle.create_collection(name, check_exists=False, **starting.options)
        if starting.documents:
            handle[name].insert_many(_raw(starting))
        if starting.indexes:
            handle.command("createIndexes", name, indexes=list(starting.indexes))

    def begin(self) -> None:
        """A scenario begins: earlier comparisons are no longer valid."""
        self._compared.clear()

    def forget(self) -> None:
        """Forget everything about what was created."""
        self._made.clear()
        self._compared.clear()

    def meddle(self, database: str, collection: str, document: Mapping[str, Any]) -> None:
        """Insert a document that neither driver knows of, for tests of the lab."""
        self._client[database][collection].insert_one(RawBSONDocument(bson.encode(document)))

    def drop(self, databases: Iterable[str]) -> None:
        """Drop databases."""
        for name in databases:
            self._client.drop_database(name)

    def close(self) -> None:
        """Close the client."""
        self._client.close()


def _raw(starting: Starting) -> list[RawBSONDocument]:
    return [RawBSONDocument(bson.encode(document)) for document in starting.documents]


def decoded(state: State) -> dict[str, Any]:
    """A state as decoded values."""
    return {
        name: {
            "options": bson.decode(options),
            "indexes": [bson.decode(index) for index in indexes],
            "documents": [bson.decode(document) for document in documents],
        }
        for name, (options, indexes, documents) in state.items()
    }
