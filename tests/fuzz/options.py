"""The options of the cases' clients and collections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import SON, CodecOptions, Int64
from bson.codec_options import DatetimeConversion, TypeDecoder, TypeRegistry
from bson.raw_bson import RawBSONDocument

from tests.fuzz.chance import Chance


class _Picky(TypeDecoder):
    """A user's decoder that rejects even numbers."""

    bson_type = Int64

    def transform_bson(self, value: Any) -> Any:
        if value % 2 == 0:
            raise ValueError("no even numbers")
        return value


CODECS: tuple[CodecOptions[Any], ...] = (
    CodecOptions(),
    CodecOptions(),
    CodecOptions(tz_aware=True),
    CodecOptions(document_class=SON),
    CodecOptions(document_class=RawBSONDocument),
    CodecOptions(unicode_decode_error_handler="replace"),
    CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO),
    CodecOptions(type_registry=TypeRegistry([_Picky()])),
    CodecOptions(uuid_representation=4),
)


def client_options(chance: Chance) -> Mapping[str, Any]:
    """Options of a case's client. Each of its waits is bounded, by these or by the caller's deadline."""
    chosen: dict[str, Any] = {
        "serverSelectionTimeoutMS": 2_500,
        "connectTimeoutMS": 1_000,
        "waitQueueTimeoutMS": 1_500,
        "maxPoolSize": chance.choice((2, 10)),
        "retryReads": chance.maybe(0.8),
        "retryWrites": chance.maybe(0.8),
    }
    if chance.maybe(0.7):
        chosen["socketTimeoutMS"] = 1_000
    if chance.maybe(0.2):
        chosen["serverMonitoringMode"] = "poll"
    if chance.maybe(0.15):
        chosen["compressors"] = chance.choice(("zlib", "zstd", "snappy", "zlib,zstd"))
    if chance.maybe(0.1):
        chosen["readPreference"] = chance.choice(("secondaryPreferred", "nearest"))
    if chance.maybe(0.05):
        chosen["minPoolSize"] = 2
    return chosen
