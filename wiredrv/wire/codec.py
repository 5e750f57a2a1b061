"""Calls the BSON encoder and decoder and translates their errors; no other module does.

A document that cannot be decoded is an error of its own, :class:`~wiredrv.errors.UnreadableReply`: its message arrived
whole, so the connection is intact. The codec is the C extension of the ``pymongo`` distribution's ``bson`` package.
Replies are decoded with the default options; documents of users with other options are decoded from their raw bytes, so
that a custom type never changes what the driver itself reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, is_typeddict

import bson
from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from wiredrv.errors import InvalidDocument, UnreadableReply
from wiredrv.types import Body, Document, DocumentT, PlainDocument
from wiredrv.wire.envelope import TOLERANT

# Tolerant, since only the driver's own fields are read with these options: documents of users with their own.
_RAW_OPTIONS: CodecOptions[RawBSONDocument] = TOLERANT.with_options(document_class=RawBSONDocument)


def encode(document: Document, options: CodecOptions[Any] = DEFAULT_CODEC_OPTIONS) -> bytes:
    """Encode one document.

    :raises InvalidDocument: a key or value has no BSON form, or a type encoder of the user's raised.
    """
    try:
        return bson.encode(document, False, options)
    except Exception as error:
        raise InvalidDocument(_explain(error) + _place(document, options, error)) from error


def decode(data: Body) -> PlainDocument:
    """Decode a reply with the driver's own options.

    :raises UnreadableReply: the bytes are not a BSON document, or hold a value that Python cannot represent.
    """
    try:
        return bson.decode(data)
    except (BSONError, ValueError, OverflowError, RecursionError) as error:
        raise _unreadable(error) from error


def decode_raw(data: Body) -> RawBSONDocument:
    """Decode a reply lazily: its sub-documents keep their bytes, to be read with a user's options later.

    :raises UnreadableReply: the bytes are not a BSON document.
    """
    try:
        document = bson.decode(bytes(data), _RAW_OPTIONS)
        document.get("ok")  # decodes the outermost level, which would otherwise fail at its first use
    except (BSONError, ValueError, OverflowError, RecursionError) as error:
        raise _unreadable(error) from error
    return document


def decode_for_user(data: bytes | memoryview, options: CodecOptions[DocumentT]) -> DocumentT:
    """Decode a document with a user's codec options.

    :raises UnreadableReply: it cannot be decoded, or a type decoder of the user's raised.
    """
    try:
        return bson.decode(data, options)
    except Exception as error:
        raise _unreadable(error) from error


def decode_document(raw: object, options: CodecOptions[DocumentT]) -> DocumentT:
    """Decode a document of a reply that was decoded lazily; as :func:`decode_for_user`."""
    try:
        return bson.decode(raw.raw, options)  # type: ignore[attr-defined]  # what is not a document raises
    except Exception as error:
        raise _unreadable(error) from error


def decode_documents(raw: Sequence[RawBSONDocument], options: CodecOptions[DocumentT]) -> list[DocumentT]:
    """Decode documents of a reply that was decoded lazily; as :func:`decode_for_user`."""
    try:
        return [bson.decode(document.raw, options) for document in raw]
    except Exception as error:  # also where something in a batch is not a document
        raise _unreadable(error) from error


def sound_document(value: object) -> PlainDocument | None:
    """A sub-document of a reply that is to be sent on, fully decoded; None if it is not a valid document."""
    if isinstance(value, RawBSONDocument):
        try:
            return bson.decode(value.raw)
        except (BSONError, ValueError, OverflowError, RecursionError):
            return None
    return dict(value) if isinstance(value, Mapping) else None


def _unreadable(error: BaseException) -> UnreadableReply:
    return UnreadableReply(f"a document cannot be read: {error_text(error)}")


def error_text(error: BaseException) -> str:
    """The message of a decoding error, with its class unless that is BSON's own."""
    return str(error) if isinstance(error, BSONError) else f"{type(error).__name__}: {error}"


def is_default(options: CodecOptions[Any]) -> bool:
    """Whether ``options`` decode exactly as the driver's own do. An object of a TypedDict is a plain dict."""
    if options is DEFAULT_CODEC_OPTIONS:
        return True
    if is_typeddict(options.document_class):
        options = options.with_options(document_class=dict)
    return options == DEFAULT_CODEC_OPTIONS


def _explain(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, OverflowError):
        return f"the document contains a number that BSON cannot represent: {text}; integers are at most 64 bits long"
    if isinstance(error, RecursionError):
        return "the document is nested too deeply, or contains itself"
    return f"the document cannot be encoded as BSON: {error_text(error)}"


def _place(document: object, options: CodecOptions[Any], error: Exception) -> str:
    """Where in a document the value is that cannot be encoded, for a message; empty where that cannot be said."""
    if isinstance(error, RecursionError):
        return ""
    path: list[str] = []
    try:
        while (found := _first_bad(document, options)) is not None:
            key, document = found
            path.append(str(key))
    except Exception:  # of a mapping of the user's, which may be what failed in the first place
        return ""
    return f" (at {'.'.join(path)!r})" if path else ""


def _first_bad(document: object, options: CodecOptions[Any]) -> tuple[object, object] | None:
    """The first key, or index, and value of a document or a list that cannot be encoded by itself."""
    inside: Iterable[tuple[object, object]] = ()
    if isinstance(document, Mapping):
        inside = document.items()
    elif isinstance(document, (list, tuple)):
        inside = enumerate(document)
    for key, value in inside:
        try:
            bson.encode({"": value}, False, options)
        except Exception:
            return key, value
    return None
