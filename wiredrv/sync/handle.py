"""The base of clients, databases and collections, and the interface of the client that these use.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.handle``: do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from bson.codec_options import CodecOptions

from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.sync.base import Synchronous
from wiredrv.types import DocumentT

if TYPE_CHECKING:
    from wiredrv.client.handle import HandleOptions as AsyncHandleOptions


class HandleOptions(Synchronous, Generic[DocumentT]):
    """The options that clients, databases and collections all have."""

    __slots__ = ()

    _inner: AsyncHandleOptions[DocumentT]

    @property
    def codec_options(self) -> CodecOptions[DocumentT]:
        """How documents become Python objects and back."""
        return self._inner.codec_options

    @property
    def read_preference(self) -> ReadPreference:
        """Which members may answer reads."""
        return self._inner.read_preference

    @property
    def read_concern(self) -> ReadConcern:
        """How durable what is read must be."""
        return self._inner.read_concern

    @property
    def write_concern(self) -> WriteConcern:
        """What a write waits for."""
        return self._inner.write_concern
