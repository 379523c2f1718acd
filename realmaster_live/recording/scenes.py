"""Where a recording is cut into scenes: another town, a clock that falls, another weather."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from realmaster_live.errors import RecordingError
from realmaster_live.recording.reading import SceneFacts, Segment

log = logging.getLogger(__name__)


def scene_parts(
    segments: Sequence[Segment], cameras: Collection[str], *, by_weather: bool
) -> list[tuple[SceneFacts, list[Segment]]]:
    """Return the segments of every scene, in order, with what its first frames say."""
    parts: list[tuple[SceneFacts, list[Segment]]] = []
    before: SceneFacts | None = None
    unknown: list[Segment] = []  # empty or damaged: they go with what comes before them
    for segment in segments:
        facts = scene_facts(segment, cameras)
        if facts is None:
            (parts[-1][1] if parts else unknown).append(segment)
            continue
        same = before is not None and before.continues_in(facts)
        if by_weather and before is not None and before.weather != facts.weather:
            same = False
        if same:
            parts[-1][1].append(segment)
        else:
            parts.append((facts, [*unknown, segment]))
            unknown = []
        before = facts
    return parts


def scene_facts(segment: Segment, cameras: Collection[str]) -> SceneFacts | None:
    """Return where a segment was recorded; None where it is empty or damaged."""
    try:
        return segment.scene(cameras)
    except RecordingError as error:
        log.debug("%s", error)  # raised again when its frames are read
        return None
