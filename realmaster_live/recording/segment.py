"""One segment of a recording: a minute or so, in a folder that is whole once segment.json is there.

    segments/000003/  segment.json  frames.parquet objects.parquet trust.parquet
                      front/  sim.mp4 real.mp4 depth.arrow ...

While it is open the tables are `*.arrows` and there is no segment.json.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from realmaster_live.errors import RecordingError
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.recording.files import as_described, read_json, write_json
from realmaster_live.recording.tables import SCHEMAS
from realmaster_live.system.contents import sha256_of
from realmaster_live.system.inside import SafeFolder, plain_name

SEGMENTS = "segments"
SEGMENT = "segment.json"
FORMAT = "realmaster-segment"
NAME = re.compile(r"[0-9]{6,12}")
MOST_FRAMES = 10**7  # of a camera in a segment


@dataclass(frozen=True, kw_only=True)
class CameraSpan:
    """What one camera has in one segment.

    Attributes:
        frames: how many. lost_frames: missing before and between them.
        first_frame, last_frame: the simulator's numbers. first_s, last_s: simulation clock.
        unknown_classes: numbers in its semantic label that the class map does not cover.
        town, weather: of its first frame; None in recordings of version 2.
    """

    frames: int
    first_frame: int
    last_frame: int
    first_s: float
    last_s: float
    lost_frames: int = 0
    unknown_classes: tuple[int, ...] = ()
    town: str | None = None
    weather: str | None = None


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """How large a finished file is, and the SHA-256 of its bytes."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SegmentInfo:
    """The content of segment.json.

    Attributes:
        cameras: name -> what it has. files: path within the segment -> its size and hash.
        source: what the frames came from, as it was at the first of them; None in version 2.
    """

    cameras: Mapping[str, CameraSpan]
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    source: SourceInfo | None = None

    @property
    def frames(self) -> int:
        """Return the number of frames of all cameras."""
        return sum(span.frames for span in self.cameras.values())

    def write(self, folder: Path) -> None:
        """Write segment.json in one step: the segment is whole from now on."""
        write_json(folder / SEGMENT, {"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> SegmentInfo:
        """Return the content of segment.json.

        Raises:
            RecordingError: it is damaged.
        """
        content = read_json(folder / SEGMENT)
        try:
            if content.get("format") != FORMAT:
                raise ValueError(f"format {content.get('format')!r}")
            info = as_described(content, cls)
            for camera, take in info.cameras.items():
                plain_name(camera, "a camera name", error=RecordingError)
                if not 0 <= take.frames <= MOST_FRAMES:
                    raise ValueError(f"{take.frames} frames of {camera}")
        except (RecordingError, ValueError) as error:
            raise RecordingError(
                f"expected the description of a segment in {folder / SEGMENT}, got {error}: "
                "restore the file from a copy, or run realmaster dataset repair, which "
                "rebuilds it"
            ) from error
        return info


def segment_name(number: int) -> str:
    """Return the name of a segment's folder."""
    return f"{number:06d}"


def segment_folders(folder: Path) -> list[Path]:
    """Return the folders of a recording's segments in order, finished or not."""
    inside = folder.absolute() / SEGMENTS
    if not inside.is_dir():
        return []
    root = SafeFolder(inside, error=RecordingError)
    return [
        inside / name for name in root.names() if NAME.fullmatch(name) and _is_inside(root, name)
    ]


def _is_inside(root: SafeFolder, name: str) -> bool:
    try:
        root.folder(name)
    except RecordingError:
        return False  # a link to somebody else's folder, or no folder
    return True


def is_finished(folder: Path) -> bool:
    """Return whether a segment was closed."""
    return os.path.lexists(folder / SEGMENT)


def stored_files(
    folder: Path, streams: Mapping[str, Mapping[str, str]], others: Iterable[str] = ()
) -> dict[str, StoredFile]:
    """Return path within the segment -> size and hash, of its tables and cameras' streams.

    `others` are the names of what only some recordings have.
    """
    names = [*(f"{table}.parquet" for table in SCHEMAS), *others]
    names += [f"{camera}/{file}" for camera, files in streams.items() for file in files.values()]
    return {
        name: StoredFile(
            bytes=(folder / name).stat().st_size,
            sha256=sha256_of(folder / name, error=RecordingError),
        )
        for name in names
    }


def spans_of(frames: Any, unknown: Mapping[str, tuple[int, ...]]) -> dict[str, CameraSpan]:
    """Return camera -> its span, from a segment's table of frames."""
    found: dict[str, CameraSpan] = {}
    cameras = frames["camera"].to_pylist()
    columns = zip(
        cameras,
        frames["frame_id"].to_pylist(),
        frames["timestamp"].to_pylist(),
        frames["dropped_before"].to_pylist(),
        frames["town"].to_pylist(),
        frames["weather"].to_pylist(),
        strict=True,
    )
    for camera, number, stamp, dropped, town, weather in columns:
        old = found.get(camera)
        found[camera] = CameraSpan(
            frames=1 if old is None else old.frames + 1,
            first_frame=number if old is None else old.first_frame,
            last_frame=number,
            first_s=stamp if old is None else old.first_s,
            last_s=stamp,
            lost_frames=dropped + (0 if old is None else old.lost_frames),
            unknown_classes=unknown.get(camera, ()),
            town=town if old is None else old.town,
            weather=weather if old is None else old.weather,
        )
    return found
