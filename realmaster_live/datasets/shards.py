"""Tar files in WebDataset's layout, in which the files of one sample follow each other."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from realmaster_live.datasets.written import WrittenFiles
from realmaster_live.errors import RecordingError

BLOCK = 512  # bytes of a tar file's block: headers and padding are multiples of it


class ShardWriter:
    """Writes NAME-000000.tar, NAME-000001.tar and so on; equal samples give equal bytes.

    Args:
        folder: the folder to write to. name: the beginning of the shards' names.
        max_bytes: largest size of a shard, unless a single sample is larger.
        written: the files that the run has written.

    Attributes:
        counts: file name -> number of samples, for finished shards.
    """

    def __init__(self, folder: Path, name: str, max_bytes: int, written: WrittenFiles) -> None:
        self._written = written
        self.counts: dict[str, int] = {}
        self._folder, self._name, self._max_bytes = folder, name, max_bytes
        self._tar: tarfile.TarFile | None = None
        self._path = folder
        self._bytes = self._samples = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self._end()
        elif self._tar is not None:
            self._tar.close()

    def write(self, key: str, files: Mapping[str, bytes]) -> None:
        """Append a sample; `files` maps suffixes, which follow the key and a dot, to bytes.

        Raises:
            RecordingError: it cannot be written.
        """
        self._written.claim_name(f"{self._folder.name}/{key}")
        size = sum(2 * BLOCK + len(data) for data in files.values())
        if self._samples and self._bytes + size > self._max_bytes:
            self._end()
        try:
            tar = self._tar or self._begin()
            for suffix, data in files.items():
                entry = tarfile.TarInfo(f"{key}.{suffix}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        except OSError as error:
            raise self._unwritable(error) from error
        self._bytes += size
        self._samples += 1

    def _begin(self) -> tarfile.TarFile:
        name = f"{self._name}-{len(self.counts):06d}.tar"
        self._path = self._written.claim(self._folder / name)
        part = self._written.claim(self._folder / f"{name}.part")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._tar = tarfile.open(part, "w", format=tarfile.PAX_FORMAT, encoding="utf-8")  # noqa: SIM115
        return self._tar

    def _end(self) -> None:
        if self._tar is None:
            return
        try:
            self._tar.close()
            self._path.with_name(f"{self._path.name}.part").replace(self._path)
        except OSError as error:
            raise self._unwritable(error) from error
        self.counts[self._path.name] = self._samples
        self._tar, self._bytes, self._samples = None, 0, 0

    def _unwritable(self, error: OSError) -> RecordingError:
        return RecordingError(
            f"expected to write {self._path}, got {error.strerror}: free some disk space or export "
            "elsewhere"
        )
