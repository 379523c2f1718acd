"""What is evaluated: one camera of a recording, or a clip of any kind, as samples in order."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from realmaster_live.engines.sizes import chunk_spans
from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.frames.geometry import pinhole
from realmaster_live.protocols import Engine
from realmaster_live.recording import Recording
from realmaster_live.recording.about import META
from realmaster_live.recording.sample import Sample
from realmaster_live.replay import video_files
from realmaster_live.replay.footage import FOV_DEG, Footage, Reading
from realmaster_live.replay.kinds import find_footage, open_footage
from realmaster_live.training.evaluate.drives.films import video_pictures
from realmaster_live.training.evaluate.drives.live_figures import live_values
from realmaster_live.training.evaluate.drives.summary import Value
from realmaster_live.training.evaluate.pictures import realize_spans

CLIP_CAMERA = "front"
NO_NOTES: dict[str, Any] = {"annotations": (), "trust": None, "prompt": None, "seed": None}


class DriveSource(Protocol):
    """One drive, seen by one camera.

    Attributes:
        name: what to call it. camera: whose pictures they are. fps: of the simulation clock.
        size: width and height, pixels. streams: "sim", "real" where it holds realized pictures, and
            labels.
    """

    name: str
    camera: str
    fps: float
    size: tuple[int, int]
    streams: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of frames."""

    def samples(
        self, *, streams: Collection[str] | None = None, every: int = 1
    ) -> Iterator[Sample]:
        """Yield every n-th frame in order with some of its streams; None for all."""

    def live_values(self) -> Mapping[str, Value]:
        """Return the figures of the run that recorded it; nothing where none did."""


class RecordedDrive:
    """One camera of a recording.

    Args:
        folder: of the recording. camera: which one; None for the first.

    Raises:
        RecordingError: it cannot be read. ConfigError: it has no such camera.
    """

    def __init__(self, folder: Path, camera: str | None = None) -> None:
        with Recording(folder, verify=False) as whole:
            self.camera = camera or whole.cameras[0]
        self.recording = Recording(folder, cameras=(self.camera,))
        self.name, self.fps = folder.resolve().name, self.recording.meta.spec.fps
        seen = self.recording.meta.cameras[self.camera]
        self.size = seen.width, seen.height
        self.streams = self.recording.streams(self.camera)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.recording)

    def samples(
        self, *, streams: Collection[str] | None = None, every: int = 1
    ) -> Iterator[Sample]:
        """Yield every n-th frame in order; RecordingError names a damaged file."""
        return self.recording.samples(self.camera, streams=streams, every=every)

    def live_values(self) -> Mapping[str, Value]:
        """Return the figures of the run that recorded it."""
        return live_values(self.recording, self.camera)


@dataclass(kw_only=True)
class Clip:
    """A video, or a folder of pictures with or without labels: it says nothing of chunks.

    Attributes:
        chunk: frames of a chunk, where films are known to be made in chunks of so many.
    """

    path: Path
    name: str
    fps: float
    size: tuple[int, int]
    frames: int
    streams: tuple[str, ...] = ("sim",)
    camera: str = CLIP_CAMERA
    chunk: int | None = None
    footage: Footage | None = None  # of a folder

    @classmethod
    def open(cls, path: Path, *, chunk: int | None = None, fps: float | None = None) -> Clip:
        """Return the clip at a path; `fps` is of pictures that do not tell theirs.

        Raises:
            ConfigError: it is a recording, has several cameras, or no known rate.
            RecordingError: it is no clip. PairError: it cannot be read.
        """
        if (path / META).exists():
            raise ConfigError(
                f"expected a clip without a recording's facts, got the recording {path}: measure "
                "it with realmaster evaluate recording"
            )
        if path.suffix.lower() in video_files.SUFFIXES:
            facts = video_files.describe(path)
            return cls(
                path=path, name=path.stem, fps=facts.fps, size=(facts.width, facts.height),
                frames=len(facts.times), chunk=chunk,
            )  # fmt: skip
        found = find_footage(str(path), Reading(fps=fps))
        if len(found) != 1 or len(found[0].cameras) != 1:
            raise ConfigError(
                f"expected one clip of one camera in {path}, got {len(found)} with "
                f"{sum(len(each.cameras) for each in found)} cameras: name one of them"
            )
        [footage] = found
        [(camera, size)] = footage.cameras.items()
        return cls(
            path=path, name=footage.name, fps=footage.fps, size=size, frames=footage.frames,
            streams=("sim", *footage.options.get("labels", ())), camera=camera, chunk=chunk,
            footage=footage,
        )  # fmt: skip

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.frames

    def samples(
        self, *, streams: Collection[str] | None = None, every: int = 1
    ) -> Iterator[Sample]:
        """Yield every n-th frame in order; PairError names the frame that cannot be read."""
        frames = self._video() if self.footage is None else self._footage(self.footage)
        for number, frame in enumerate(islice(frames, None, None, every)):
            index, starts = number * every, False
            if self.chunk is not None:
                starts = index % self.chunk == 0
            chunk = index // (self.chunk or self.frames)
            yield Sample(frame=frame, real=None, chunk_index=chunk, chunk_start=starts, **NO_NOTES)

    def live_values(self) -> Mapping[str, Value]:
        """Return nothing: nobody recorded it."""
        return {}

    def _video(self) -> Iterator[Frame]:
        optics = pinhole(*self.size, FOV_DEG)
        for index, picture in enumerate(video_pictures(self.path)):
            yield Frame(
                camera=self.camera,
                frame_id=index,
                timestamp=index / self.fps,
                captured_at=time.monotonic(),
                image=picture,
                intrinsics=optics,
                cam_to_world=np.eye(4),
            )

    def _footage(self, footage: Footage) -> Iterator[Frame]:
        source = open_footage(footage, Reading(fps=self.fps))
        with closing(source):
            yield from source.frames()


class RealizedDrive:
    """Frames in memory, and what an engine makes of them from a reset.

    Args:
        name: of the drive. frames: its own, in order and of one size. engine: realizes them; what
            is left over from whole chunks is cut off.

    Raises:
        PairError: there are fewer frames than a chunk.
    """

    def __init__(self, name: str, frames: Sequence[Frame], engine: Engine) -> None:
        self._realized = realize_spans(
            engine, len(frames), lambda index, span: Chunk.of(frames[span], index=index)
        )
        self._frames = frames[: len(self._realized)]
        self._starts = {span.start for span in chunk_spans(engine.spec, len(frames))}
        height, width = self._realized.shape[1:3]
        self.name, self.camera, self.fps = name, frames[0].camera, engine.spec.fps
        self.size = width, height
        self.streams = ("sim", "real", *frames[0].labels)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._frames)

    def samples(
        self, *, streams: Collection[str] | None = None, every: int = 1
    ) -> Iterator[Sample]:
        """Yield every n-th frame in order."""
        for index in range(0, len(self), every):
            yield Sample(
                frame=self._frames[index],
                real=self._realized[index],
                chunk_index=sum(start <= index for start in self._starts) - 1,
                chunk_start=index in self._starts,
                **NO_NOTES,
            )

    def live_values(self) -> Mapping[str, Value]:
        """Return nothing: it was not recorded."""
        return {}
