"""Which frames of a drive are nuScenes' samples (key frames, 2 Hz) and which are sweeps between."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

KEY_PERIOD_S = 0.5
CLOCK_SLACK_S = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One frame number that every camera has.

    Attributes:
        frame_id: the simulator's frame number. timestamp: simulated seconds.
        key: whether it is a sample.
        sample: frame number of the sample it belongs to: the one that follows, as nuScenes has
            it; behind a scene's last sample, that one.
    """

    frame_id: int
    timestamp: float
    key: bool
    sample: int

    @property
    def microseconds(self) -> int:
        """The timestamp as nuScenes writes it."""
        return round(self.timestamp * 1e6)


def key_frames(stamps: Mapping[int, float]) -> set[int]:
    """Return which of frame number -> simulated seconds are key frames: one each half second.

    The count starts anew behind a gap of more than half a second.
    """
    keys: set[int] = set()
    last = before = float("-inf")
    for frame_id, now in sorted(stamps.items()):
        if now - last >= KEY_PERIOD_S - CLOCK_SLACK_S or _is_gap(before, now):
            keys.add(frame_id)
            last = now
        before = now
    return keys


def scenes_of(stamps: Mapping[int, float], keys: Collection[int]) -> list[list[Moment]]:
    """Return scenes, each a list of moments in order, of frame number -> simulated seconds.

    Where more than half a second is missing a scene ends and another begins; one without a key
    frame is left out.
    """
    scenes: list[list[tuple[int, float]]] = []
    for frame_id, now in sorted(stamps.items()):
        if not scenes or _is_gap(scenes[-1][-1][1], now):
            scenes.append([])
        scenes[-1].append((frame_id, now))
    return [
        _moments(scene, inside)
        for scene in scenes
        if (inside := [frame_id for frame_id, _ in scene if frame_id in keys])
    ]


def _is_gap(before: float, now: float) -> bool:
    return now - before > KEY_PERIOD_S + CLOCK_SLACK_S


def _moments(scene: list[tuple[int, float]], keys: list[int]) -> list[Moment]:
    ahead = iter(keys)
    sample = next(ahead)
    moments = []
    for frame_id, now in scene:
        if frame_id > sample:
            sample = next(ahead, sample)
        moments.append(
            Moment(frame_id=frame_id, timestamp=now, key=frame_id == sample, sample=sample)
        )
    return moments
