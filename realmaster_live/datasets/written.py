"""A list of the files that an export wrote, extended on the disk before each file is written.

So an export never overwrites a file that is not its own, and replacing it removes nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import weakref
from pathlib import Path

from realmaster_live.datasets.names import alike
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.system.inside import ANY_SCRIPT, SafeFolder, kind_of, open_regular

LIST = ".files"
TITLE = "files of an export of realmaster-live, each on a line\n"
PART = re.compile(r"\.(.+)\.[0-9a-f]{12}\.part(\..*)?")  # of a process that was killed


class WrittenFiles:
    """The files that an export wrote, in this run and in earlier ones.

    Args:
        out: the folder of the export.
        resume: continue the list of an earlier run.

    Raises:
        ConfigError: there is no such list.
    """

    def __init__(self, out: Path, *, resume: bool) -> None:
        self._out = out
        self._folder = SafeFolder(out, error=RecordingError, names=ANY_SCRIPT, remember=True)
        # hashes: a path itself takes three times the memory
        self._earlier = set(map(_hash, _listed(out))) if resume else set()
        self._claimed: set[int] = set()
        self._parents: set[str] = set()
        self._list = self._folder.target(LIST)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if resume else os.O_TRUNC)
        try:
            self._file = os.open(self._list, flags, 0o666)
        except OSError as error:
            raise self._unwritten(error) from error
        weakref.finalize(self, os.close, self._file)
        if not resume:
            self._add(TITLE)

    def claim(self, path: Path, *, again: bool = False) -> Path:
        """List a file that is going to be written, and return its path.

        Args:
            path: a file in the export's folder.
            again: it may be written more than once in this run.

        Raises:
            RecordingError: it was written before in this run, so that a frame would be lost, or
                something that the export did not write is in its place.
        """
        inside = path.relative_to(self._out)
        name = inside.as_posix()
        key = self.claim_name(name, again=again)
        place = self._folder.target(name)
        self._check_parents(inside)
        if key not in self._earlier:
            if place.exists():
                raise RecordingError(
                    f"expected to write {path}, got a file there that no export wrote: move it "
                    "away, or export into another folder"
                )
            self._add(f"{name}\n")
            self._earlier.add(key)
        return place

    def claim_name(self, name: str, *, again: bool = False) -> int:
        """Note a name of this run, of a file or of a sample in one; return its hash.

        Raises:
            RecordingError: it was noted before, ignoring case, unless it may come `again`.
        """
        key = _hash(name)
        if key in self._claimed and not again:
            raise RecordingError(
                f"expected a file name of its own for each frame, got {name} twice: a camera has a "
                "frame number twice, so repair the recording, or export its parts one by one"
            )
        self._claimed.add(key)
        return key

    def _add(self, text: str) -> None:
        """Extend the list; it reaches the operating system before the file does."""
        data = text.encode()
        try:
            if os.write(self._file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: OSError) -> RecordingError:
        return RecordingError(
            f"expected to write {self._list}, got {error.strerror}: free some disk space or "
            "export elsewhere"
        )

    def _check_parents(self, inside: Path) -> None:
        if str(inside.parent) in self._parents:
            return
        for parent in inside.parents:
            folder = self._out / parent
            if folder.exists() and not folder.is_dir():
                raise RecordingError(
                    f"expected a folder at {folder}, got {kind_of(folder)}: move it away, or "
                    "export into another folder"
                )
        self._parents.add(str(inside.parent))


def remove_written(out: Path) -> None:
    """Remove the files that an earlier export of a folder lists, and folders that are then empty.

    Raises:
        ConfigError: there is no such list, so nothing is removed.
        RecordingError: a file cannot be removed.
    """
    folder = SafeFolder(out, error=RecordingError, names=ANY_SCRIPT)
    by_parent: dict[Path, set[str]] = {}
    for name in _listed(out):
        path = folder.path / name
        with contextlib.suppress(RecordingError):  # a link, or a name of no export
            folder.target(name)
            by_parent.setdefault(path.parent, set()).add(path.name)
    try:
        for parent, names in by_parent.items():
            for path in parent.iterdir() if parent.is_dir() else ():
                part = PART.fullmatch(path.name)
                whole = path.name if part is None else f"{part[1]}{part[2] or ''}"
                if whole in names and path.is_file():
                    path.unlink()
    except OSError as error:
        raise RecordingError(
            f"expected to remove {error.filename}, got {error.strerror}: check its permissions, or "
            "export into another folder"
        ) from error
    above = {parent for path in by_parent for parent in (path, *path.parents)}
    for path in sorted(above, key=lambda path: len(path.parts), reverse=True):
        if path != folder.path and path.is_relative_to(folder.path):
            with contextlib.suppress(OSError):  # it holds files that are not the export's
                path.rmdir()


def _listed(out: Path) -> list[str]:
    """Return the names in the list of an export."""
    path = out / LIST
    try:
        with open_regular(path, error=ConfigError) as file:
            title, *names = file.read().decode(errors="replace").splitlines(keepends=True)
        if title != TITLE:
            raise ValueError
    except (ConfigError, ValueError) as error:
        raise ConfigError(
            f"expected the list of what an export wrote in {path}, got none: what belongs to the "
            "export is not known, so remove it by hand, or export into another folder"
        ) from error
    return [name[:-1] for name in names if name.endswith("\n")]  # the last may be cut


def _hash(name: str) -> int:
    digest = hashlib.blake2b(alike(name).encode(errors="surrogateescape"), digest_size=8)
    return int.from_bytes(digest.digest())
