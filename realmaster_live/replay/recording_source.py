"""A recording of ours as footage."""

from __future__ import annotations

from pathlib import Path

from realmaster_live.recording import Recording
from realmaster_live.recording.about import META
from realmaster_live.recording.segment import SEGMENT, segment_folders
from realmaster_live.replay.footage import Footage, Reading, hash_files


def describe_recording(path: Path, reading: Reading) -> Footage:
    """Return what a recording says of itself."""
    with Recording(path, labels=reading.labels, verify=False) as recording:
        meta = recording.meta
        files = sorted(
            file
            for segment in segment_folders(path)  # behind a link, too
            for file in segment.iterdir()
            if file.name == SEGMENT or file.suffix == ".arrows"
        )
        return Footage(
            kind="recording",
            name=path.resolve().name,
            path=str(path.resolve()),
            cameras={
                name: (meta.cameras[name].width, meta.cameras[name].height)
                for name in recording.cameras
            },
            fps=meta.spec.fps,
            frames=len(recording),
            sha256=hash_files(path / META, *files),
            origin=recording.info.as_json(),
        )


def open_recording(footage: Footage, reading: Reading, *, pace: bool) -> Recording:
    """Return the frames of a recording."""
    return Recording(footage.path, labels=reading.labels, pace=pace)
