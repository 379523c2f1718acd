"""How fast a recording was made: what its frames and its description say of the run.

Legend: T frames.
"""

from __future__ import annotations

import numpy as np

from realmaster_live.recording import Recording
from realmaster_live.training.evaluate.drives.summary import Figure, Value, interval

NOT_LIVE = "nothing was recorded live"
FPS = Figure(
    name="frames a second", group="system", better="higher", needs=NOT_LIVE,
    meaning="frames captured and recorded a second of wall time",
)  # fmt: skip
P50, P95, P99 = (
    Figure(
        name=f"latency p{percent}", group="system", better="lower", needs=NOT_LIVE, meaning=meaning,
    )
    for percent, meaning in (
        (50, "seconds from a frame's capture to its place in the recording"),
        (95, "the same, of the slowest twentieth"),
        (99, "the same, of the slowest hundredth"),
    )
)  # fmt: skip
LOST = Figure(
    name="lost frames", group="system", better="lower", needs=NOT_LIVE,
    meaning="share of the frames that were dropped or came too late",
)  # fmt: skip
MEMORY = Figure(
    name="peak memory", group="system", better="lower", needs=NOT_LIVE,
    meaning="of the process that recorded, GiB",
)  # fmt: skip
LIVE_FIGURES = (FPS, P50, P95, P99, LOST, MEMORY)
LEAST_FRAMES = 20  # of fewer, percentiles say nothing
GIB = 1024.0  # MiB


def live_values(recording: Recording, camera: str) -> dict[str, Value]:
    """Return the figures of the run that made a recording, from one camera's frames.

    The interval of a latency is the range of its value over the drive's tenths.
    """
    rows = recording.table("frames", camera)
    ages, captured = (np.asarray(rows[name], np.float64) for name in ("age_s", "captured_at"))
    if len(ages) < LEAST_FRAMES or np.ptp(captured) <= 0:
        return {}
    dropped = int(np.asarray(rows["dropped_before"]).sum())
    found = {
        FPS.name: Value(value=(len(captured) - 1) / float(np.ptp(captured))),
        LOST.name: Value(value=dropped / (dropped + len(ages))),
    }
    parts = np.array_split(ages, 10)
    for figure, percent in ((P50, 50), (P95, 95), (P99, 99)):
        over_time = np.array([np.percentile(part, percent) for part in parts])
        found[figure.name] = Value(
            value=float(np.percentile(ages, percent)), interval=interval(over_time)
        )
    memory = recording.meta.host.get("peak_memory_mib")
    if isinstance(memory, int | float):
        found[MEMORY.name] = Value(value=memory / GIB)
    return found
