"""The rows of one camera in one segment, ready to become samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import Annotation
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.ego import EgoState
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.frames.trust import FrameTrust
from realmaster_live.recording.by_frame import ByFrame, Deferred
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.reading import Segment
from realmaster_live.recording.rows import arrays, read_annotations, read_trust
from realmaster_live.recording.sample import Sample

_NO_PICTURE: NDArray[np.uint8] = np.zeros((0, 0, 3), np.uint8)
_PLAIN = ("frame_id", "timestamp", "captured_at", "chunk_index", "prompt", "seed")


@dataclass(frozen=True, kw_only=True)
class CameraRows:
    """One camera's rows of a segment's tables.

    Attributes:
        pictures: (N,) place of each frame in the videos. dropped: (N,) frames missing before it.
        cam_to_world, ego_to_world: (N, 4, 4); the latter NaN where nothing carries the camera.
        intrinsics: (N, 3, 3). distortion: (N, 5). plain: name -> values of the other columns.
        annotations, trust, states: by frame id. sources: one for each frame.
    """

    camera: str
    pictures: NDArray[np.int32]
    dropped: NDArray[np.int64]
    cam_to_world: NDArray[np.float64]
    ego_to_world: NDArray[np.float64]
    intrinsics: NDArray[np.float64]
    distortion: NDArray[np.float64]
    plain: Mapping[str, list[Any]]
    annotations: Mapping[int, tuple[Annotation, ...]]
    trust: Mapping[int, FrameTrust]
    sources: Sequence[SourceInfo]
    states: Mapping[int, EgoState]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.pictures)

    @property
    def frame_ids(self) -> NDArray[np.int64]:
        """The simulator's number of each frame, (N,)."""
        return np.array(self.plain["frame_id"], np.int64)

    @classmethod
    def read(cls, segment: Segment, camera: str, *, one_by_one: bool = False) -> CameraRows:
        """Return the rows; RecordingError where a table is missing or damaged.

        Args:
            segment: the segment.
            camera: one of its cameras.
            one_by_one: read annotations and trust of a frame when they are asked for, for readers
                of few frames; all at once takes a tenth as long for each.
        """
        table = segment.rows("frames", camera)
        annotations: Mapping[int, tuple[Annotation, ...]]
        trust: Mapping[int, FrameTrust]
        if one_by_one:
            annotations = ByFrame(lambda: segment.rows("objects", camera), read_annotations)
            trust = ByFrame(lambda: segment.rows("trust", camera), read_trust)
        else:
            annotations = read_annotations(segment.rows("objects", camera))
            trust = read_trust(segment.rows("trust", camera))
        return cls(
            camera=camera,
            pictures=table["picture"].to_numpy(),
            dropped=table["dropped_before"].to_numpy().astype(np.int64),
            cam_to_world=arrays(table["cam_to_world"], 4, 4),
            ego_to_world=arrays(table["ego_to_world"], 4, 4),
            intrinsics=arrays(table["intrinsics"], 3, 3),
            distortion=arrays(table["distortion"], 5),
            plain={name: table[name].to_pylist() for name in _PLAIN},
            annotations=annotations,
            trust=trust,
            sources=_sources(table, segment),
            states=Deferred(lambda: segment.states) if one_by_one else segment.states,
        )

    def sample(self, row: int, images: Mapping[str, Any], *, dropped_before: int) -> Sample:
        """Return one frame with its decoded streams."""
        plain = {name: values[row] for name, values in self.plain.items()}
        chunks = self.plain["chunk_index"]
        marks = self.annotations.get(plain["frame_id"], ())
        carrier = self.ego_to_world[row]
        frame = Frame(
            camera=self.camera,
            frame_id=plain["frame_id"],
            timestamp=plain["timestamp"],
            captured_at=plain["captured_at"],
            image=images.get("sim", _NO_PICTURE),
            intrinsics=self.intrinsics[row],
            cam_to_world=self.cam_to_world[row],
            labels={name: images[name] for name in images if name in PACKINGS},
            dropped_before=dropped_before,
            distortion=self.distortion[row],
            ego_to_world=None if np.isnan(carrier).any() else carrier,
            objects=tuple(mark.thing for mark in marks if mark.thing is not None),
            source=self.sources[row],
            ego=self.states.get(plain["frame_id"]),
        )
        return Sample(
            frame=frame,
            real=images.get("real"),
            annotations=marks,
            trust=self.trust.get(plain["frame_id"]),
            chunk_index=plain["chunk_index"],
            chunk_start=row == 0 or chunks[row - 1] != chunks[row],
            prompt=plain["prompt"],
            seed=plain["seed"],
        )


def _sources(table: Any, segment: Segment) -> list[SourceInfo]:
    """Return the source of each frame; frames of the same conditions share one object.

    In version 2, whose frames have no town and weather, these are those of the recording.
    """
    about, source, weathers = segment.about, segment.source, segment.weathers
    columns = (table[name].to_pylist() for name in ("town", "weather", "frame_id"))
    made: dict[tuple[Any, ...], SourceInfo] = {}
    sources = []
    for town, words, number in zip(*columns, strict=True):
        weather = weathers.get(number, {})
        town = about.town if town is None else town
        words = about.weather if words is None else words
        key = (town, words, *weather.items())
        if key not in made:
            known = source.in_conditions(town, words)
            precise = replace(known, weather=weather)
            is_same = bool(weather) and precise.weather_words == known.weather_words
            made[key] = precise if is_same else known
        sources.append(made[key])
    return sources
