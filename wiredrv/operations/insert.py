"""insert, of one document. For many documents see :mod:`wiredrv.operations.write_batch`.

The document is sent as a sequence of its own: it is encoded once, with its ``_id`` first, and not copied afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from wiredrv.errors import InvalidDocument
from wiredrv.operations.base import RETRIED_WRITE, Limits, Operation, Target, add_options, unencodable
from wiredrv.operations.failures import raise_write_failure
from wiredrv.operations.results import InsertOneResult
from wiredrv.operations.write_batch import check_document_size, id_first
from wiredrv.types import Address, Document, PlainDocument, Reply
from wiredrv.wire.codec import encode
from wiredrv.wire.op_msg import DocumentSequence


@dataclass(frozen=True, slots=True)
class Insert(Operation[InsertOneResult]):
    """Insert one document, whose ``_id`` is ``inserted_id``. ``options`` have the wire's names.

    :raises DocumentTooLarge: the document cannot be sent.
    """

    name: ClassVar[str] = "insert"
    traits = RETRIED_WRITE

    target: Target
    document: Document
    inserted_id: Any
    options: Document
    #: The document's bytes, once there are any: a retry sends them again, even if the program has changed the document.
    _encoded: list[bytes] = field(default_factory=list, init=False, repr=False, compare=False)

    def command(self, limits: Limits) -> PlainDocument:
        command: PlainDocument = {"insert": self.target.collection, "ordered": True}
        return add_options(command, self.options, limits) if self.options else command

    def sequences(self, limits: Limits) -> Sequence[DocumentSequence]:
        if not self._encoded:
            try:
                self._encoded.append(encode(self.document, self.target.codec_options))
            except InvalidDocument as error:
                raise unencodable(error, "insert", self.target.namespace) from error.__cause__
        document = self._encoded[0]
        if len(document) > limits.max_bson_object_size:
            check_document_size("insert", len(document), self.target, limits)
        return (DocumentSequence("documents", (document,)),)

    def described(self, command: Document) -> Document:
        return {**command, "documents": [id_first(self.document)]}

    def parse(self, reply: Reply, address: Address) -> InsertOneResult:
        if "writeErrors" in reply or "writeConcernError" in reply:
            raise_write_failure(reply)
        return InsertOneResult(self.inserted_id, bool(reply))
