"""Finishes what an open segment holds of the vehicle and its sensors.

Nothing is cut: states, events and sweeps name their frames, so some may be of the last half second
of which no pictures were kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realmaster_live.recording.aside import Aside
from realmaster_live.recording.ego_schemas import EGO_SCHEMAS
from realmaster_live.recording.files import replacing
from realmaster_live.recording.sweeps import count_sweeps, finish_sweeps, is_whole, sweep_files
from realmaster_live.recording.tables import has_table, keep_table


def mend_ego(folder: Path, tables: Mapping[str, Any], aside: Aside) -> tuple[str, ...]:
    """Finish the files in their place; return the names of those that the segment keeps.

    Raises:
        RecordingError: something cannot be written.
        OSError: likewise.
    """
    kept = []
    for name in EGO_SCHEMAS:
        if has_table(folder, name):
            keep_table(folder, name, tables[name])
            kept.append(f"{name}.parquet")
    for name in sweep_files(folder):
        path = folder / name
        readable = count_sweeps(path)
        if not readable.pictures:
            why = readable.problem or "nothing had reached the disk"
            aside.move(path, f"no sweep of it can be read: {why}", is_loss=not readable.opened)
            continue
        if readable.problem or not is_whole(path):
            if readable.problem:
                why = f"only {readable.pictures} sweeps could be read: {readable.problem}"
                aside.keep(path, why, is_loss=True)
            with replacing(path) as part:
                finish_sweeps(path, part)
        kept.append(name)
    return tuple(kept)
