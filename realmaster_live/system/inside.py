"""Decides which paths inside a folder may be opened; every reader of foreign folders uses it.

A folder from somebody else (a recording, an engine, a pair store, an export) is not trusted:
its JSON may name `../../etc/passwd`, a stream may be a FIFO that never ends, a folder may be a
link to another place. So names are checked on reading as on writing, and only regular files inside
the folder are opened:

    folder = SafeFolder("drive", error=RecordingError)
    folder.file("segments/000000/front/sim.mp4")  # absolute path of a regular file inside
    with folder.open("meta.json") as file: ...    # never waits on a FIFO, never reads a device
    folder.target("calib.json")                   # where a file may be written; follows no link
    plain_name(camera, "a camera's name", error=RecordingError)  # a name read from a file

Returned paths are absolute, so no library takes a colon for a URL (`2026-11-28T18:30:00`).
Libraries that only take UTF-8 paths get the open file instead. A link is followed if it leads to a
place inside the folder, and refused if it leads out.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from realmaster_live.errors import RealMasterError

PLAIN = re.compile(r"\.?[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", re.ASCII)
ANY_SCRIPT = re.compile(r"\.?[\w-][\w.-]{0,254}")  # letters of any script
CAMERA = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class SafeFolder:
    """A folder of which only safe paths are opened.

    Names are relative, with "/" between their parts (`front/sim.mp4`); each part is plain: letters,
    digits, "_", "-" and ".", not ".." and not absolute.

    Args:
        folder: where to look; it need not exist yet. It may itself be a link.
        error: raised, with one sentence, for a path that is unsafe or missing.
        names: what each part of a name matches.
        remember: look at a folder above a target once, for the writer of thousands of files.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        error: type[RealMasterError],
        names: re.Pattern[str] = PLAIN,
        remember: bool = False,
    ) -> None:
        self.path = Path(folder).absolute()
        self._real = Path(os.path.realpath(self.path))
        self._error = error
        self._names = names
        self._remember = remember
        self._linkless: set[Path] = set()

    def exists(self, name: str) -> bool:
        """Return whether the name exists, a broken link included."""
        return os.path.lexists(self.path / self._checked(name))

    def file(self, name: str) -> Path:
        """Return the absolute path of a regular file, to read."""
        path = self._inside(name)
        check_regular(path, error=self._error)
        return path

    def open(self, name: str) -> BufferedReader:
        """Open a regular file to read its bytes."""
        return open_regular(self._inside(name), error=self._error)

    def folder(self, name: str) -> SafeFolder:
        """Return a folder inside this one, to read: links out of it are refused too."""
        path = self._inside(name)
        if not path.is_dir():
            raise self._error(f"expected a folder at {path}, got {kind_of(path)}: restore it")
        return SafeFolder(path, error=self._error, names=self._names)

    def names(self, name: str = "") -> list[str]:
        """Return the names in the folder, or in one inside it, that are plain, in order."""
        path = self._inside(name) if name else self.path
        try:
            return sorted(
                entry.name for entry in path.iterdir() if self._names.fullmatch(entry.name)
            )
        except OSError as error:
            raise self._error(
                f"expected a folder that can be read at {path}, got {error.strerror}: check its "
                "name and its permissions"
            ) from error

    def target(self, name: str) -> Path:
        """Return the absolute path of a file to write or replace: no part of it may be a link."""
        path = self.path / self._checked(name)
        if path.parent not in self._linkless:
            for folder in reversed(path.parents[: len(path.parts) - len(self.path.parts) - 1]):
                self._check_linkless(folder, path)
            if self._remember and path.parent.is_dir():
                self._linkless.add(path.parent)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                self._check_linkless(path, path)
            if not stat.S_ISREG(mode):
                raise self._error(
                    f"expected to write {path}, got {_kind(mode)} in its place: move it away"
                )
        return path

    def _check_linkless(self, part: Path, target: Path) -> None:
        if part.is_symlink():
            raise self._error(
                f"expected to write {target}, got a link at {part}: nothing is written through "
                "links, so put the files themselves there"
            )

    def _checked(self, name: str) -> Path:
        parts = name.split("/") if isinstance(name, str) else []
        if not parts or not all(self._names.fullmatch(part) for part in parts):
            raise self._error(
                f"expected the name of a file inside {self.path}, got {_shown(name)}: take such a "
                "name out of the files that describe the folder"
            )
        return Path(*parts)

    def _inside(self, name: str) -> Path:
        path = self.path / self._checked(name)
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self._real):
            raise self._error(
                f"expected {path} inside {self.path}, got a link to {real}: put the file itself "
                "there"
            )
        return path


def plain_name(name: object, what: str, *, error: type[RealMasterError]) -> str:
    """Return a name that a file gives to a camera, a stream or another file, if it is plain.

    Args:
        name: what was read.
        what: what it should be, such as "a camera's name".
        error: raised for any other name.
    """
    if isinstance(name, str) and CAMERA.fullmatch(name):
        return name
    raise error(
        f"expected {what} of letters, digits, '_', '-' and '.', got {_shown(name)}: rename it"
    )


def check_regular(path: Path, *, error: type[RealMasterError]) -> os.stat_result:
    """Return the facts of a regular file; anything else, or nothing, raises `error`."""
    try:
        facts = path.stat()
    except (OSError, ValueError) as problem:
        raise error(_unread(path, problem)) from problem
    if not stat.S_ISREG(facts.st_mode):
        raise error(
            f"expected a file at {path}, got {_kind(facts.st_mode)}: put the file in its place"
        )
    return facts


def open_regular(path: Path, *, error: type[RealMasterError]) -> BufferedReader:
    """Open a regular file to read its bytes: never waits on a FIFO, never reads a device."""
    check_regular(path, error=error)  # opening a device can have side effects
    try:
        file = os.fdopen(os.open(path, _READ), "rb")
    except OSError as problem:
        raise error(_unread(path, problem)) from problem
    mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode):  # replaced in between
        file.close()
        raise error(f"expected a file at {path}, got {_kind(mode)}: put the file in its place")
    return file


def check_utf8(path: Path, *, error: type[RealMasterError]) -> None:
    """Raise `error` for a path that is not UTF-8, which some libraries cannot open."""
    try:
        str(path).encode()
    except UnicodeEncodeError as problem:
        raise error(
            f"expected a path in UTF-8, got {str(path)!r}: rename the file or folder"
        ) from problem


def regular_files(folder: Path) -> Iterator[Path]:
    """Yield every regular file below a folder, in order, following no link."""
    for at, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(at, name)
            if not path.is_symlink() and path.is_file():
                yield path


def kind_of(path: Path) -> str:
    """Return the kind of a path in words."""
    try:
        return _kind(path.lstat().st_mode)
    except (OSError, ValueError):
        return "nothing"


def _kind(mode: int) -> str:
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "a file")


def _unread(path: Path, problem: Exception) -> str:
    if isinstance(problem, FileNotFoundError):
        return f"expected {path}, got no such file: restore it from a copy"
    got = problem.strerror if isinstance(problem, OSError) else problem
    return f"expected to read {path}, got {got}: check the file and its permissions"


def _shown(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:77]}..."
