"""The specification's data sets, unpacked from its archives for as long as a run lasts."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARCHIVES = ("single_and_multi_document", "parallel")


@dataclass(frozen=True)
class DataSets:
    """Where the unpacked files are."""

    folder: Path

    def document(self, name: str) -> dict[str, Any]:
        """A document: ``tweet``, ``small_doc`` or ``large_doc``."""
        document: dict[str, Any] = json.loads(self._single(f"{name}.json").read_bytes())
        return document

    def document_size(self, name: str) -> int:
        """The size of the document's file in bytes, from which scores are computed."""
        return self._single(f"{name}.json").stat().st_size

    @property
    def large_file(self) -> Path:
        """The file of 50 MB for GridFS."""
        return self._single("gridfs_large.bin")

    @property
    def json_files(self) -> list[Path]:
        """100 files of 5,000 documents, one in each line."""
        return sorted((self.folder / "parallel" / "ldjson_multi").glob("*.txt"))

    @property
    def binary_files(self) -> list[Path]:
        """50 files of 5 MB."""
        return sorted((self.folder / "parallel" / "gridfs_multi").glob("*.txt"))

    def _single(self, name: str) -> Path:
        return self.folder / "single_and_multi_document" / name


@contextmanager
def unpacked(source: Path) -> Iterator[DataSets]:
    """The data sets in a temporary folder, which is removed at the block's end.

    :param source: the ``source`` folder of the specifications.
    """
    with tempfile.TemporaryDirectory(prefix="driverbench-") as folder:
        for name in ARCHIVES:
            with tarfile.open(source / "benchmarking" / "data" / f"{name}.tgz") as archive:
                archive.extractall(folder, filter="data")
        yield DataSets(Path(folder))
