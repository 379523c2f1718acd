"""`realmaster dataset info`: what was recorded, without looking into the videos."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from realmaster_live.cli.values import Flag

if TYPE_CHECKING:
    from realmaster_live.recording import Recording


@dataclass(frozen=True, kw_only=True)
class Info:
    """Say what was recorded.

    Attributes:
        recording: The folder of a recording.
    """

    recording: Annotated[Path, Flag(positional=True)]


def run(options: Info) -> int:
    """Print what was recorded."""
    from realmaster_live.recording import Recording

    recording = Recording(options.recording, verify=False)
    sys.stdout.write("".join(f"{name:12}{value}\n" for name, value in _facts(recording)))
    return 0


def _facts(recording: Recording) -> list[tuple[str, object]]:
    import numpy as np

    meta, about = recording.meta, recording.meta.about
    facts: list[tuple[str, object]] = [
        ("recorded", f"{meta.created} by {meta.software}"),
        ("town", _in_order(meta.towns or (about.town,))),
        ("route", about.route or "not recorded"),
        ("weather", _in_order(meta.weathers or (about.weather,))),
        ("engine", about.engine or "none"),
        ("licence", about.licence or "not recorded"),
        ("complete", "yes" if meta.complete else "no: run realmaster dataset repair"),
    ]
    for name in recording.cameras:
        camera, frames = meta.cameras[name], recording.table("frames", name)
        stamps = frames["timestamp"].to_numpy()
        steps = np.diff(stamps)
        seconds = steps[steps > 0].sum()  # the clock falls where another town was loaded
        lost = sum(frames["dropped_before"].to_pylist())
        facts.append(
            (
                name,
                f"{camera.width}x{camera.height}, {len(frames)} frames, {seconds:.1f} s, "
                f"{lost} lost; {', '.join(camera.streams)}",
            )
        )
    facts.append(("sensors", _sensors(recording) or "none recorded"))
    counts = Counter(recording.table("objects")["class"].to_pylist())
    listed = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    facts.append(("in view", listed or "nothing"))
    judged = Counter(filter(None, recording.table("trust")["verdict"].to_pylist()))
    listed = ", ".join(f"{count} {name}" for name, count in judged.most_common())
    facts.append(("judged", listed or "no frame"))
    return facts


def _sensors(recording: Recording) -> str:
    """Return the sensors with their readings, and how often one did not deliver."""
    missing = Counter(n for names in recording.table("ego")["missing"].to_pylist() for n in names)
    return ", ".join(
        f"{count} {name}" + (f" ({missing[name]} missing)" if missing[name] else "")
        for name, count in recording.sensor_counts.items()
    )


def _in_order(names: Sequence[str]) -> str:
    return ", then ".join(filter(None, names)) or "not recorded"
