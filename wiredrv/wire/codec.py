"""The one place that calls the BSON encoder and decoder, and that turns their errors into ours.

The codec is the C extension of the ``pymongo`` distribution's ``bson`` package. Replies are decoded with the default
options; documents of a user who chose others are decoded from their raw bytes, so that a custom type never changes
what the driver reads of a reply.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions
from bson.errors import BSONError
from bson.errors import InvalidDocument as _BsonInvalidDocument
from bson.raw_bson import RawBSONDocument

from wiredrv.errors import InvalidDocument, ProtocolError

_RAW_OPTIONS: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


def encode(document: Mapping[str, Any], options: CodecOptions[Any] = DEFAULT_CODEC_OPTIONS) -> bytes:
    """Encode one document.

    :raises InvalidDocument: a key or value has no BSON form.
    """
    try:
        return bson.encode(document, False, options)
    except (BSONError, OverflowError, TypeError, UnicodeEncodeError, ValueError, RecursionError) as error:
        raise InvalidDocument(_explain(error)) from error


def decode(data: bytes) -> dict[str, Any]:
    """Decode a reply with the driver's own options.

    :raises ProtocolError: the bytes are no BSON document.
    """
    try:
        return bson.decode(data)
    except (BSONError, ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"the peer sent a document that is not valid BSON: {error}") from error


def decode_raw(data: bytes) -> RawBSONDocument:
    """Decode a reply lazily: its sub-documents keep their bytes, to be read with a user's options later.

    :raises ProtocolError: the bytes are no BSON document.
    """
    try:
        return bson.decode(data, _RAW_OPTIONS)
    except (BSONError, ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"the peer sent a document that is not valid BSON: {error}") from error


def is_default(options: CodecOptions[Any]) -> bool:
    """Whether ``options`` decode exactly as the driver's own do."""
    return options is DEFAULT_CODEC_OPTIONS or options == DEFAULT_CODEC_OPTIONS


def _explain(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, _BsonInvalidDocument):
        return f"the document cannot be encoded as BSON: {text}"
    if isinstance(error, OverflowError):
        return f"the document holds a number that BSON cannot: {text}; integers are at most 64 bits long"
    if isinstance(error, RecursionError):
        return "the document is nested too deeply, or contains itself"
    return f"the document cannot be encoded as BSON: {text}"
