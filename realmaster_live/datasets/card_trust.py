"""What the fidelity gate measured of the recordings of a data set, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from realmaster_live.datasets.selection import Drive, Selection
from realmaster_live.errors import RecordingError

SCORES = ("score", "edges", "depth_order", "semantics", "boxes", "lights")


def trust_lines(drives: Sequence[Drive], selection: Selection) -> Iterator[str]:
    """Yield how many frames were judged, their verdicts, and how their scores are distributed."""
    frames = 0
    verdicts: Counter[str] = Counter()
    scores: dict[str, list[float]] = {name: [] for name in SCORES}
    things: list[float] = []
    unread = []
    for drive in drives:
        for camera in drive.cameras:
            try:
                frames += len(drive.recording.table("frames", camera))
                table = drive.recording.table("trust", camera)
            except RecordingError:
                unread.append(drive.name)  # the summary names its damaged segments
                continue
            of_frame = table.filter(table["mask_id"].is_null())
            verdicts.update(filter(None, of_frame["verdict"].to_pylist()))
            for name in SCORES:
                scores[name] += of_frame[name].drop_null().to_pylist()
            things += table.filter(table["mask_id"].is_valid())["score"].drop_null().to_pylist()
    if unread:
        yield f"not read, because a table is damaged: {', '.join(dict.fromkeys(unread))}"
    judged = sum(verdicts.values())
    if not judged:
        yield (
            "no frame was judged: how far the realized pictures agree with the labels is not "
            "known (record with --fidelity)"
            if selection.variant != "sim"
            else "no frame was judged; that concerns realized pictures only"
        )
        return
    listed = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    yield f"{judged} of {frames} recorded frames were judged: {listed}"
    for name in SCORES:
        found = np.array(scores[name], np.float64)
        found = found[np.isfinite(found)]
        if len(found):
            low, middle = np.quantile(found, (0.05, 0.5))
            yield f"{name.replace('_', ' ')} of frames: median {middle:.2f}, 5 % below {low:.2f}"
    of_things = np.array(things, np.float64)
    of_things = of_things[np.isfinite(of_things)]
    if len(of_things):
        least = selection.rules.min_trust
        share = float((of_things < least).mean())
        yield f"{len(of_things)} things were judged; {share:.1%} of them score below {least:g}"
