"""What was recorded of the vehicle's sensors, sensor by sensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.frames.ego import Collision
from realmaster_live.frames.rig_sensors import EVENTS, SENSOR_KINDS
from realmaster_live.recording.ego_rows import read_events
from realmaster_live.recording.reading import Segment

OF_STATES = ("control", "imu", "gnss")  # fields of EgoState


def count_readings(segments: Sequence[Segment]) -> dict[str, int]:
    """Return sensor -> how many readings it has, none of events that were only watched for."""
    found = dict.fromkeys(recorded(segments), 0)
    for segment in segments:
        states = segment.states.values()
        for name in OF_STATES:
            if name in found:
                found[name] += sum(getattr(state, name) is not None for state in states)
        for name, count in Counter(segment.rows("events")["kind"].to_pylist()).items():
            found[name] += count
        for name, file in segment.sweeps.items():
            found[name] += len(file.frame_ids)
    return found


def recorded(segments: Sequence[Segment]) -> tuple[str, ...]:
    """Return the names of all that has readings or was watched for, without reading sweeps."""
    found: dict[str, None] = {}
    for segment in segments:
        states = segment.states.values()
        for name in OF_STATES:
            if any(getattr(state, name) is not None for state in states):
                found[name] = None
        watched = (name for name in segment.source.sensors if name in EVENTS)
        found |= dict.fromkeys((*watched, *segment.rows("events")["kind"].to_pylist()))
        found |= dict.fromkeys(segment.sweeps)
    return tuple(found)


def check_recorded(name: str, segments: Sequence[Segment], folder: Path) -> None:
    """Raise ConfigError for a sensor that was not recorded, naming the flag that records it."""
    known = recorded(segments)
    if name in known:
        return
    is_ours = name in (*SENSOR_KINDS, *OF_STATES)
    remedy = f"record again with --sensors {name}" if name in SENSOR_KINDS else "record again"
    raise ConfigError(
        f"expected a sensor among {', '.join(known) or 'none'}, which were recorded in "
        f"{folder}, got {name}: {remedy if is_ours else 'name one of those'}"
    )


def readings(name: str, segments: Sequence[Segment]) -> Iterator[tuple[int, Any]]:
    """Yield (frame number, reading) of one sensor in order."""
    for segment in segments:
        if name in segment.sweeps:
            yield from ((sweep.frame_id, sweep) for sweep in segment.sweeps[name])
        elif name in EVENTS:
            for event in read_events(segment.rows("events")):
                if isinstance(event, Collision) == (name == "collision"):
                    yield event.frame_id, event
        else:
            for number, state in segment.states.items():
                reading = getattr(state, name, None)
                if reading is not None:
                    yield number, reading
