"""All cameras of a drive side by side, for datasets that are made of whole moments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from realmaster_live.datasets.rules import why_left_out
from realmaster_live.datasets.selection import Drive, Selection
from realmaster_live.recording.sample import Sample

Moment = tuple[Sample, ...]  # one a camera, in the drive's order, all of one frame number

UNMATCHED = "not in every camera"


def moments(
    drive: Drive,
    selection: Selection,
    streams: Collection[str] = (),
    *,
    left_out: Counter[str] | None = None,
) -> Iterator[Moment]:
    """Yield the frame numbers that every camera has, in order.

    Args:
        drive: what to read.
        selection: its pictures and rules.
        streams: labels to decode.
        left_out: counts the pictures that are not given, by why.

    A moment is left out whole where the gate or the rules reject the picture of one camera.
    """
    reasons: Counter[str] = Counter() if left_out is None else left_out
    players = [drive.samples(camera, selection, streams) for camera in drive.cameras]
    samples = [next(player, None) for player in players]
    while all(sample is not None for sample in samples):
        there = [sample for sample in samples if sample is not None]
        newest = max(sample.frame.frame_id for sample in there)
        behind = [place for place, one in enumerate(there) if one.frame.frame_id < newest]
        why = next(filter(None, (why_left_out(one, selection.rules) for one in there)), "")
        if behind:
            reasons[UNMATCHED] += len(behind)
        elif why:
            reasons[why] += len(there)
        else:
            yield tuple(there)
        for place in behind or range(len(players)):
            samples[place] = next(players[place], None)
    rest = sum(sample is not None for sample in samples)
    rest += sum(1 for player in players for _ in player)
    if rest:
        reasons[UNMATCHED] += rest
