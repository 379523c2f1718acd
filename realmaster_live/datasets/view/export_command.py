"""The command that exports a selection of ticks, and the file of frames that it takes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realmaster_live.datasets.formats import FORMATS
from realmaster_live.datasets.selection import PICTURES
from realmaster_live.datasets.view.timeline import Timeline
from realmaster_live.errors import ConfigError

FILE = "frames.toml"
Ranges = list[tuple[int, int]]  # first and last frame number


@dataclass(frozen=True, kw_only=True)
class ExportCommand:
    """What exports a selection.

    Attributes:
        text: the command. file: what FILE has to hold; "" where all frames are chosen.
        frames: the number of ticks.
    """

    text: str
    file: str
    frames: int


def export_command(timelines: Sequence[Timeline], request: Mapping[str, Any]) -> ExportCommand:
    """Return the command for what a page asks.

    Args:
        timelines: of the recordings that are shown.
        request: "format", "variant", and "spans": [number of the recording, first tick, tick after
            the last one] of each stretch.

    Raises:
        ConfigError: it asks for something else, or for no frame.
    """
    format_, variant, spans = (request.get(name) for name in ("format", "variant", "spans"))
    if format_ not in FORMATS or variant not in PICTURES or not _are_spans(spans, timelines):
        raise ConfigError(
            f"expected a format, a variant and spans of ticks, got {request!r:.200}: choose them "
            "on the page"
        )
    assert isinstance(spans, list)
    if not spans:
        raise ConfigError("expected frames to export, got none: relax the search")
    chosen: dict[Path, Ranges] = {}
    for number, begin, end in spans:
        timeline = timelines[number]
        folder = timeline.recording.folder
        chosen.setdefault(folder, []).extend(_ranges(timeline, begin, end))
    lengths = {number: 0 for number, *_ in spans}
    for number, begin, end in spans:
        lengths[number] += end - begin
    all_of = {one.recording.folder: 0 for one in timelines}
    for one in timelines:
        all_of[one.recording.folder] += len(one)
    counted = sum(all_of[folder] for folder in chosen)
    frames = sum(lengths.values())
    file = "" if frames == counted else _file({_shown(k): _merged(v) for k, v in chosen.items()})
    words = ["realmaster", "dataset", "export", *map(_shown, chosen), "--to", str(format_)]
    words += ["--out", f"data/{format_}", "--variant", str(variant)]
    words += ["--frames", FILE] if file else []
    return ExportCommand(text=shlex.join(words), file=file, frames=frames)


def _are_spans(spans: object, timelines: Sequence[Timeline]) -> bool:
    if not isinstance(spans, list):
        return False
    for span in spans:
        is_triple = isinstance(span, list) and len(span) == 3
        if not is_triple or not all(type(value) is int for value in span):
            return False
        number, begin, end = span
        if not 0 <= number < len(timelines) or not 0 <= begin < end <= len(timelines[number]):
            return False
    return True


def _ranges(timeline: Timeline, begin: int, end: int) -> Ranges:
    """Return the frame numbers of a stretch of ticks, segment by segment."""
    found = []
    for part in timeline.parts:
        low, high = max(begin - part.first, 0), min(end - part.first, len(part))
        if low < high:
            found.append((int(part.numbers[low]), int(part.numbers[high - 1])))
    return found


def _merged(ranges: Ranges) -> Ranges:
    """Return ranges in order, those that overlap or follow each other as one."""
    found: Ranges = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def _file(chosen: Mapping[str, Ranges]) -> str:
    lines = ["[frames]  # of the simulator's numbers, both ends included"]
    for name, ranges in chosen.items():
        texts = (f'"{first}-{last}"' if last > first else f'"{first}"' for first, last in ranges)
        lines.append(f"{_quoted(name)} = [{', '.join(texts)}]")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a basic string of TOML."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in plain) + '"'


def _shown(folder: Path) -> str:
    """Return a folder as a command in the working directory names it."""
    try:
        return str(folder.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
