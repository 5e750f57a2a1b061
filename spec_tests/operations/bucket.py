"""Operations of GridFS buckets. Unified test format specification, "Bucket Operations"."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from spec_tests import seam
from spec_tests.entities import BucketHandle
from spec_tests.errors import RunnerError, Unsupported
from spec_tests.matching import hex_bytes
from spec_tests.operations.base import Call, Method, Spec, bind, resolve, spec


def _owner(handle: BucketHandle) -> Any:
    return handle.bucket


def _source(value: Any) -> io.BytesIO:
    if not isinstance(value, Mapping) or list(value) != ["$$hexBytes"]:
        raise RunnerError(f"a source is {{$$hexBytes: …}}, not {value!r}")
    return io.BytesIO(hex_bytes(value["$$hexBytes"], "source"))


def _download(name: str, renames: Mapping[str, str]) -> Any:
    async def run(call: Call) -> bytes:
        function = seam.method(call.target.bucket, name)
        stream = await seam.settle(function(**bind(function, resolve(call, {}), renames)))
        try:
            data: bytes = await stream.read()
        finally:
            await stream.close()
        return data

    return run


def _upload(name: str, renames: Mapping[str, str]) -> Any:
    async def run(call: Call) -> Any:
        function = seam.method(call.target.bucket, name)
        arguments = resolve(call, {"source": _source})
        # GridFS specification: a driver that computes no MD5 has no such option.
        if arguments.pop("disableMD5", True) is not True:
            raise Unsupported("argument disableMD5", "this driver computes no MD5")
        return await function(**bind(function, arguments, renames))

    return run


_UPLOAD_ARGUMENTS = frozenset(
    ["filename", "source", "chunkSizeBytes", "disableMD5", "metadata", "contentType", "session", "timeoutMS"]
)

OPERATIONS = {
    "delete": spec(Method(("delete",), {"id": "file_id"}), _owner, "", "id"),
    "deleteByName": spec(Method(("delete_by_name",)), _owner, "", "filename"),
    "download": Spec(
        _download("open_download_stream", {"id": "file_id"}), frozenset({"id", "timeoutMS"}), frozenset({"id"})
    ),
    "downloadByName": Spec(
        _download("open_download_stream_by_name", {}),
        frozenset({"filename", "revision", "timeoutMS"}),
        frozenset({"filename"}),
    ),
    "drop": spec(Method(("drop",)), _owner),
    "find": spec(Method(("find",), rows=True, options_in_snake_case=True), _owner, "sort limit", "filter"),
    "rename": spec(Method(("rename",), {"id": "file_id", "newFilename": "new_filename"}), _owner, "", "id newFilename"),
    "renameByName": spec(Method(("rename_by_name",)), _owner, "", "filename newFilename"),
    "upload": Spec(_upload("upload_from_stream", {}), _UPLOAD_ARGUMENTS, frozenset({"filename", "source"})),
    "uploadWithId": Spec(
        _upload("upload_from_stream_with_id", {"id": "file_id"}),
        _UPLOAD_ARGUMENTS | {"id"},
        frozenset({"id", "filename", "source"}),
    ),
}
