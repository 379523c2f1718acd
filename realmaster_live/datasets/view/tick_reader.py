"""The pictures and labels of a tick, decoded one at a time as a page asks for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.view.timeline import SegmentTicks, Timeline
from realmaster_live.frames.chunk import Chunk
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.random_access import RandomAccess
from realmaster_live.recording.sample import Sample
from realmaster_live.sinks.viewer.layers import LAYERS
from realmaster_live.sinks.viewer.shots import Shot, TickShots

TRUST = "trust"


def layers_of(timeline: Timeline, camera: str) -> list[str]:
    """Return the layers that a recorded camera has."""
    streams = timeline.recording.streams(camera)
    layers = [name for name, (label, _) in LAYERS.items() if label in streams]
    is_judged = any(np.isfinite(part.trust).any() for part in timeline.parts)
    return [*layers, TRUST] if is_judged and "instance" in streams else layers


@dataclass(frozen=True, kw_only=True)
class TickReader:
    """Reads the ticks of a recording; belongs to the thread that uses it.

    Attributes:
        timeline: its ticks. access: keeps films open.
    """

    timeline: Timeline
    access: RandomAccess

    def samples(
        self, tick: int, cameras: Sequence[str], streams: Collection[str] = ()
    ) -> dict[str, Sample]:
        """Return the frames of some cameras at a tick; one that has none is missing.

        Raises:
            IndexError: there is no such tick.
            RecordingError: a file is missing or damaged.
        """
        part, place = self.timeline.at(tick)
        return {
            camera: self.access.sample(part.segment, camera, row, self._there(camera, streams))
            for camera in cameras
            if (row := _row(part, camera, place)) >= 0
        }

    def shots(self, tick: int, cameras: Sequence[str], layer: str) -> TickShots:
        """Return the pictures of some cameras at a tick, and the label of a layer, or ""."""
        label = "instance" if layer == TRUST else LAYERS[layer][0] if layer else ""
        found = self.samples(tick, cameras, ("sim", "real", label))
        return {camera: _shot(sample, layer) for camera, sample in found.items()}

    def _there(self, camera: str, streams: Collection[str]) -> list[str]:
        recorded = self.timeline.recording.streams(camera)
        return [name for name in recorded if name in streams]


def _row(part: SegmentTicks, camera: str, place: int) -> int:
    rows = part.rows.get(camera)
    return -1 if rows is None else int(rows[place])


def _shot(sample: Sample, layer: str) -> Shot:
    chunk = Chunk.of([replace(sample.frame, labels=_labels(sample, layer))], index=0)
    if sample.real is not None:
        chunk = replace(chunk, rendered=chunk.frames, frames=sample.real[None])
    return Shot(chunk=chunk, row=0)


def _labels(sample: Sample, layer: str) -> Mapping[str, NDArray[Any]]:
    labels = {name: label for name, label in sample.labels.items() if name in PACKINGS}
    if layer == TRUST and "instance" in labels:
        return {TRUST: trust_of_pixels(sample, labels["instance"])}
    return labels


def trust_of_pixels(sample: Sample, instance: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the scores (H, W) of the things that were judged, elsewhere the whole picture's."""
    score = np.nan if sample.trust is None else sample.trust.score
    scores = np.full(1 << 16, np.nan, np.float32)
    for thing in () if sample.trust is None else sample.trust.instances:
        scores[thing.mask_id & 0xFFFF] = thing.score
    numbers = instance & 0xFFFF
    own = scores[numbers]
    return np.where((instance == 0) | np.isnan(own), np.float32(score), own).astype(np.float32)
