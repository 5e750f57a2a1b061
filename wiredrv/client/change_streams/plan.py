"""What a call of ``watch()`` asks for: its arguments checked, and the command for each position. Pure.

Change-streams specification, "Helper Method". The server checks what the values of the stage's options may be, and
which of them go together.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from wiredrv.client import validation as check
from wiredrv.client.change_streams.position import BEGINNINGS, Position
from wiredrv.operations.base import NEVER_ENCODED, Target
from wiredrv.operations.change_stream import OpenChangeStream
from wiredrv.types import Document, Pipeline, PlainDocument


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        check.refuse(name, "a string", value)
    return value


def _timestamp(name: str, value: object) -> Timestamp:
    if not isinstance(value, Timestamp):
        check.refuse(name, "a bson Timestamp", value)
    return value


def _token(name: str, value: object) -> PlainDocument:
    return dict(check.document(name, value))


#: The options of the ``$changeStream`` stage, those of the aggregate command, and those of the driver.
_STAGE: check.Table = {
    "full_document": ("fullDocument", _text),
    "full_document_before_change": ("fullDocumentBeforeChange", _text),
    "resume_after": ("resumeAfter", _token),
    "start_after": ("startAfter", _token),
    "start_at_operation_time": ("startAtOperationTime", _timestamp),
    "show_expanded_events": ("showExpandedEvents", check.flag),
}
_COMMAND: check.Table = {
    "collation": ("collation", check.collation_document),
    "comment": ("comment", None),
}
_CURSOR: check.Table = {
    "batch_size": ("batch_size", check.whole_number),
    "max_await_time_ms": ("max_await_time_ms", check.whole_number),
}
OPTIONS: check.Table = {**_STAGE, **_COMMAND, **_CURSOR}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change stream was asked for.

    :param target: where the aggregate goes, and with which options of the handle.
    :param stage: the options of the ``$changeStream`` stage that never change.
    :param beginning: those that say where the stream begins, as the user gave them.
    :param pipeline: the user's stages.
    :param command: the options of the aggregate command.
    :param batch_size: documents in a batch; None leaves it to the server.
    :param max_await_time_ms: milliseconds that a getMore waits for an event; None leaves it to the server.
    """

    target: Target
    stage: Document
    beginning: Document
    pipeline: Pipeline
    command: Document
    batch_size: int | None = None
    max_await_time_ms: int | None = None

    @classmethod
    def of(
        cls,
        target: Target,
        pipeline: object,
        options: Document,
        method: Callable[..., object] | None = None,
        *,
        whole_deployment: bool = False,
    ) -> Plan:
        """The plan of a call.

        :param pipeline: the stages; None means none.
        :param options: the other arguments, by their names in Python.
        :param method: what was called, for an error that lists its options.
        :param whole_deployment: whether it watches all databases.
        :raises ConfigurationError: an argument is unknown or of the wrong kind.
        """
        stages = deepcopy(check.pipeline(() if pipeline is None else pipeline))
        check.wire_options(options, OPTIONS, method)  # refuses names that no table has
        stage = check.wire_options({n: v for n, v in options.items() if n in _STAGE}, _STAGE)
        command = check.wire_options({n: v for n, v in options.items() if n in _COMMAND}, _COMMAND)
        cursor = check.wire_options({n: v for n, v in options.items() if n in _CURSOR}, _CURSOR)
        beginning = {name: stage.pop(name) for name in BEGINNINGS if name in stage}
        if whole_deployment:
            stage = {"allChangesForCluster": True, **stage}
        if not target.plain:
            # Commands are encoded with the user's options. Events stay encoded until the stream gives them.
            target = replace(target, codec_options=target.codec_options.with_options(document_class=RawBSONDocument))
        return cls(target, stage, beginning, stages, command, **cursor)

    def operation(self, position: Position, encoded_from: int = NEVER_ENCODED) -> OpenChangeStream:
        """The aggregate that opens the stream at a position.

        :param encoded_from: the size in bytes from which its batch stays encoded.
        """
        stage = {**self.stage, **position.beginning()}
        return OpenChangeStream(self.target, stage, self.pipeline, self.command, self.batch_size, encoded_from)
