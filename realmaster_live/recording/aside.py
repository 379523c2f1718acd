"""Where a repair moves what it does not keep, with a note that gives the reason.

    drive/set-aside-2026-11-28T18-30-00/
        why.json                          one note per file or folder
        segments/000003/front/depth.arrow  at its path in the recording

The folder may be deleted when nobody needs it any more; until then `verify` lists it.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from realmaster_live.errors import RecordingError
from realmaster_live.recording.files import PART, as_described, read_json, write_json
from realmaster_live.system.inside import regular_files

WHY = "why.json"
FORMAT = "realmaster-set-aside"
NAME = re.compile(r"set-aside-[0-9T-]+(~[0-9]+)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Note:
    """Why one file or folder was set aside.

    Attributes:
        what: its path in the recording. why: one sentence.
        is_loss: more was lost than a killed process costs, so `verify` reports a problem.
    """

    what: str
    why: str
    is_loss: bool


@dataclass(frozen=True, kw_only=True)
class _Notes:
    notes: tuple[Note, ...]


class Aside:
    """The folder of one repair; made when it is first needed.

    Args:
        recording: the folder of the recording.
    """

    def __init__(self, recording: Path) -> None:
        self._recording = recording
        self.folder: Path | None = None
        self.notes: list[Note] = []

    def move(self, path: Path, why: str, *, is_loss: bool) -> None:
        """Move a file or a folder out of the recording."""
        path.rename(self.place(path, why, is_loss=is_loss))

    def keep(self, path: Path, why: str, *, is_loss: bool) -> None:
        """Keep a file as it is now; the one in its place may be replaced afterwards."""
        kept = self.place(path, why, is_loss=is_loss)
        try:
            os.link(path, kept, follow_symlinks=False)
        except OSError:  # not every file system has hard links
            shutil.copy2(path, kept, follow_symlinks=False)

    def place(self, path: Path, why: str, *, is_loss: bool) -> Path:
        """Write a note for a path that is set aside; return where it goes."""
        if self.folder is None:
            self.folder = self._made()
        place = path.relative_to(self._recording)
        self.notes.append(Note(what=place.as_posix(), why=why, is_loss=is_loss))
        notes = [asdict(note) for note in self.notes]
        write_json(self.folder / WHY, {"format": FORMAT, "notes": notes})
        target = self.folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _made(self) -> Path:
        name = f"set-aside-{datetime.now(UTC).strftime('%Y-%m-%dT%H-%M-%S')}"
        for number in range(1, 1000):
            folder = self._recording / (name if number == 1 else f"{name}~{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
        raise RecordingError(
            f"expected room for {name} in {self._recording}, got a thousand folders of that name: "
            "move them away"
        )


def read_notes(recording: Path) -> dict[str, tuple[Note, ...]]:
    """Return folder -> notes of everything that repairs set aside and nobody deleted."""
    found: dict[str, tuple[Note, ...]] = {}
    for path in sorted(recording.iterdir()):
        if NAME.fullmatch(path.name) is None or path.is_symlink() or not path.is_dir():
            continue
        if not any(file.suffix != PART for file in regular_files(path)):
            continue  # the repair was killed before it set anything aside
        try:
            found[path.name] = as_described(read_json(path / WHY), _Notes).notes
        except (RecordingError, ValueError) as error:
            found[path.name] = (Note(what=path.name, why=str(error), is_loss=True),)
    return found
